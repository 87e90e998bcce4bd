"""Chargers whose efficiency depends on the power: days by hand, exact optima, and bounds that hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum_cases import money, one_port_day
from test_optimum_curves import random_curve

from ev_marl.objective import Objective
from ev_marl.objective.ageing import AgeingPrices, BatteryAgeing
from ev_marl.objective.terminal import TerminalValue
from ev_marl.optimum import solve
from ev_marl.policies import make_policy, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.track import Track

seeds = st.integers(0, 2**32 - 1)
POLICIES = ("uncontrolled", "edf", "llf", "random", "best-response", "as-late-as-possible", "dual-prices", "mpc")
CONCAVE = [[0.5, 0.96], [1.0, 0.90]]  # at 10 kW: 4.8 kW of 5, 9 kW of 10
BENT = [[0.5, 0.80], [1.0, 0.90]]  # 4 kW of 5, 9 kW of 10


def with_tables(site: Site, tables: list[list[list[float]] | None]) -> Site:
    """The same site with tables, one after the other for one port after the other."""
    graph = site.graph.copy()
    for k, port in enumerate(site.ports):
        if (table := tables[k % len(tables)]) is not None:
            graph.nodes[port]["part_load"] = json.dumps(table)
    return Site.from_graph(graph)


def day_by_hand(buy: list[float], table: list[list[float]], **other: float) -> tuple[Site, Track]:
    """One vehicle at a port of 10 kW with a table, in steps of an hour."""
    site, track = one_port_day(buy, energy_kwh=0.0, taper_start=0.999, **other)  # type: ignore[arg-type]
    return with_tables(site, [table]), track


@pytest.mark.parametrize(
    ("buy", "paid"),
    [
        ([0.3, 0.3], 0.3 * 5.0 + 0.3 * 5.0),  # 5 kW twice, not 10 kW and the rest
        ([0.2, 0.3], 0.2 * 10.0 + 0.3 * 0.6 / 0.96),  # 0.84 of a kWh more reaches the battery: 0.2/0.84 < 0.3/0.96
    ],
)
def test_the_optimum_worked_by_hand(buy: list[float], paid: float) -> None:
    site, track = day_by_hand(buy, CONCAVE, wanted_kwh=9.6)
    solution = solve(site, track, money())
    assert solution.certificate.exact
    assert solution.bound == pytest.approx(-paid, abs=1e-9)
    assert solution.achieved == pytest.approx(-paid, abs=1e-9)


def test_a_bent_table_is_bounded_by_its_hull() -> None:
    # Behind 5 kW, 4 kWh an hour reach the battery; the hull gives 4.5, so the bound has no unmet kWh, and the day one.
    site, track = day_by_hand([0.3, 0.3], BENT, wanted_kwh=9.0, import_limit_kw=5.0)
    solution = solve(site, track, money(unmet=1.0))
    assert solution.bound == pytest.approx(-3.0, abs=1e-9)
    assert solution.achieved == pytest.approx(-4.0, abs=1e-9)
    assert not solution.certificate.exact
    assert "efficiencies by power that are not concave, of 1 stay" in solution.certificate.reasons[0].reason


def random_table(rng: np.random.Generator, *, concave: bool) -> list[list[float]]:
    """What reaches the battery rises, with falling slopes or with any."""
    shares = np.append(np.sort(rng.choice(np.arange(1, 20), size=int(rng.integers(0, 4)), replace=False)) / 20.0, 1.0)
    slopes = rng.uniform(0.3, 1.0, len(shares))
    slopes = np.sort(slopes)[::-1] if concave else slopes
    stored = np.cumsum(slopes * np.diff(shares, prepend=0.0))
    return [[float(share), float(kw / share)] for share, kw in zip(shares, stored, strict=True)]


@settings(max_examples=15, deadline=None)
@given(seeds, st.booleans(), st.booleans(), st.sampled_from([0.0, 0.02]), st.booleans())
def test_no_policy_beats_the_bound(seed: int, concave: bool, negative: bool, wear: float, ageing: bool) -> None:
    rng = np.random.default_rng(seed)
    site = random_site(rng, most_stations=5)
    site = with_tables(site, [random_table(rng, concave=concave), None, random_table(rng, concave=concave)])
    track = random_track(rng, site, n_steps=10, negative_prices=negative)
    sessions, curves = track.sessions.copy(), {}
    for k in range(0, len(sessions), 3):
        sessions["vehicle"][k] = f"curved_{k}"
        curves[f"curved_{k}"] = random_curve(rng, 1.2 * sessions["charge_kw"][k], concave=True)
    track = replace(track, sessions=sessions, curves=curves)
    objective = money(wear=wear, unmet=0.5)
    if ageing:
        prices = AgeingPrices(0.01, 0.002)
        terms = [*objective.terms, BatteryAgeing(prices, prices)]
        objective = Objective([*terms, TerminalValue.beside(terms)])
    solution = solve(site, track, objective)
    if concave and not negative:
        assert solution.certificate.exact
    elif not solution.certificate.exact:
        assert "efficiencies by power" in solution.certificate.reasons[0].reason
    simulator = Simulator(site.arrays, make_coordinator("priority"), [track])
    for name in POLICIES:
        earned = float(rollout(simulator, objective, make_policy(name), [track]).team[0])
        assert earned <= solution.bound + 1e-7 * max(1.0, abs(solution.bound)), name
    assert solution.achieved <= solution.bound + 1e-7 * max(1.0, abs(solution.bound))
