"""Vehicles with measured charge curves: a day by hand, exact optima, bounds that hold, all policies on such days."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum_cases import money, one_port_day, random_day

from ev_marl.optimum import solve
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario.curves import Points
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.site.charge_curve import not_concave
from ev_marl.world.track import Track

seeds = st.integers(0, 2**32 - 1)
POLICIES = ("uncontrolled", "edf", "llf", "random", "best-response", "as-late-as-possible", "dual-prices", "mpc")


def random_curve(rng: np.random.Generator, peak_kw: float, *, concave: bool) -> Points:
    """A curve around the peak; a concave one rises, stays and falls, the other one is any."""
    if concave:
        return ((0.0, 0.7 * peak_kw), (0.3, peak_kw), (0.6, 0.9 * peak_kw), (0.8, 0.5 * peak_kw), (1.0, 0.05 * peak_kw))
    inner = np.sort(rng.choice(np.arange(1, 20), size=4, replace=False)) / 20.0
    power_kw = peak_kw * rng.uniform(0.1, 1.0, 6)
    return tuple(zip([0.0, *inner.tolist(), 1.0], power_kw.tolist(), strict=True))


def curved_day(seed: int, *, concave: bool) -> tuple[Site, Track]:
    """A random day on which every second vehicle has a curve."""
    site, track = random_day(seed)
    rng = np.random.default_rng(seed)
    sessions, curves = track.sessions.copy(), {}
    for k in range(0, len(sessions), 2):
        sessions["vehicle"][k] = f"curved_{k}"
        curves[f"curved_{k}"] = random_curve(rng, 1.2 * sessions["charge_kw"][k], concave=concave)
    return site, replace(track, sessions=sessions, curves=curves)


def test_a_day_by_hand() -> None:
    # Steps of an hour at 10 kW, 20 kWh, full at the end; 10 kW up to 10 kWh, then down to 2 kW: r = 10 − 0.8(e − 10).
    # The second hour is free, so the best plan is at 10 kWh before it: the first hour charges 10 kWh of an empty one.
    site, track = one_port_day(
        [0.1, 0.0, 0.3], energy_kwh=0.0, wanted_kwh=20.0, capacity_kwh=20.0, stay=(0, 3), efficiency=1.0
    )
    track = replace(track, curves={"car": ((0.0, 10.0), (0.5, 10.0), (1.0, 2.0))})
    from_half_kwh = 10.0 / 0.8 * (1.0 - np.exp(-0.8))  # in an hour from 10 kWh: 6.88 kWh
    rest_kwh = 10.0 - from_half_kwh
    rate = 10.0 - 0.8 * from_half_kwh
    assert rate / 0.8 * (1.0 - np.exp(-0.8)) < rest_kwh  # the third hour does not fill it
    reached = 10.0 + from_half_kwh + rate / 0.8 * (1.0 - np.exp(-0.8))
    assert stays_of(site.arrays, track)["due_kwh"][0] == pytest.approx(reached, abs=1e-12)
    solution = solve(site, track, money(unmet=1.0))
    assert solution.certificate.exact
    assert solution.bound == pytest.approx(-(0.1 * 10.0 + 0.3 * (reached - 10.0 - from_half_kwh)), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(seeds, st.booleans(), st.sampled_from([0.0, 0.02]))
def test_no_policy_beats_the_bound(seed: int, concave: bool, wear: float) -> None:
    site, track = curved_day(seed, concave=concave)
    objective = money(wear=wear, unmet=0.5)
    solution = solve(site, track, objective)
    if concave:
        assert solution.certificate.exact
    elif not solution.certificate.exact:
        assert "concave hull" in solution.certificate.reasons[0].reason
        assert not_concave(stays_of(site.arrays, track)).any()
    simulator = Simulator(site.arrays, make_coordinator("priority"), [track])
    for name in POLICIES:
        earned = float(rollout(simulator, objective, make_policy(name), [track]).team[0])
        assert earned <= solution.bound + 1e-7 * max(1.0, abs(solution.bound)), name
    assert solution.achieved <= solution.bound + 1e-7 * max(1.0, abs(solution.bound))


def test_steps_of_a_minute_and_of_an_hour_agree() -> None:
    # At full power the energy after an hour does not depend on the step.
    ends = []
    for per_hour in (1, 4, 60):
        site, track = one_port_day([0.1] * 2, energy_kwh=5.0, wanted_kwh=40.0, capacity_kwh=50.0)
        n = 2 * per_hour
        sessions = track.sessions.copy()
        sessions["departure_step"] = n
        column = np.ones((n, 1))
        track = replace(
            track,
            step_h=1.0 / per_hour,
            sessions=sessions,
            curves={"car": ((0.0, 4.0), (0.2, 9.0), (0.25, 12.0), (0.3, 3.0), (1.0, 1.0))},
            buy_per_kwh=np.full(n, 0.1),
            sell_per_kwh=np.full(n, 0.1),
            base_load_kw=0.0 * column * track.base_load_kw[:1],
            import_limit_kw=column * track.import_limit_kw[:1],
            export_limit_kw=column * track.export_limit_kw[:1],
        )
        simulator = Simulator(site.arrays, make_coordinator("none"), [track])
        result = rollout(simulator, money(unmet=1.0), make_policy("uncontrolled"), [track])
        ends.append(float(result.team[0]))
    assert ends[1] == pytest.approx(ends[0], abs=1e-9)
    assert ends[2] == pytest.approx(ends[0], abs=1e-9)


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_a_file_keeps_the_curves(tmp_path: Path, suffix: str) -> None:
    _, track = curved_day(3, concave=False)
    assert track.curves
    loaded = Track.load(track.save(tmp_path / f"day{suffix}"))
    assert loaded == track
    assert loaded.curves == track.curves
    assert loaded.source == track.source
