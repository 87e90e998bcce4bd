"""Levels of ports in the optimum: hand-worked days, all sequences of levels tried, and a bound that holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from current_cases import mixed_phase_day
from optimum_cases import money, one_port_day, random_day

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.optimum import Solution, solve
from ev_marl.policies import PlanPolicy, make_policy, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import energy_after
from ev_marl.support.errors import OptionError
from ev_marl.world.track import Track

POLICIES = ("uncontrolled", "llf", "random", "as-late-as-possible")


def leveled(arrays: SiteArrays, least_kw: float = 4.0, step_kw: float = 2.0) -> SiteArrays:
    """The same site, all ports with levels."""
    levels = np.array([[least_kw], [step_kw]]) * np.ones((2, arrays.n_ports))
    return replace(arrays, port_levels_kw=np.minimum(levels, arrays.port_charge_kw))


def exactly(site: SiteArrays, track: Track, objective: Objective, **options: float) -> Solution:
    return solve(site, track, objective, exact_levels=True, time_limit=options.pop("time_limit", 20.0), **options)


def test_what_is_wanted_is_no_sum_of_cheap_levels() -> None:
    """13 kWh at 0.1 and 0.2 EUR/kWh and levels of 4, 6, 8, 10 kW: 10·0.1 + 4·0.2 = 1.80, where any power costs 1.60."""
    site, track = one_port_day([0.1, 0.2, 0.4], wanted_kwh=13.0)
    solution = exactly(leveled(site.arrays), track, money())
    assert solution.plan.power_kw[:, 0].tolist() == [10.0, 4.0, 0.0]
    assert (solution.bound, solution.achieved) == pytest.approx((-1.8, -1.8))
    assert solution.certificate.any_power_bound == pytest.approx(-1.6)
    assert solution.certificate.exact
    assert (solution.certificate.kind, solution.certificate.level_pairs) == ("MILP", 3)


def test_two_least_powers_do_not_fit_below_the_limit() -> None:
    """7 kW and two cars that want 6 kWh each: one level of 6 kW in each hour, in place of 7 and 5."""
    site, track = one_port_day([0.1, 0.2], wanted_kwh=6.0, n_vehicles=2, import_limit_kw=7.0)
    solution = exactly(leveled(site.arrays), track, money())
    assert solution.achieved == pytest.approx(-1.8)
    assert solution.bound == pytest.approx(-1.8)
    assert solution.certificate.any_power_bound == pytest.approx(-1.7)


def test_a_peak_is_shared_in_turn() -> None:
    """Two cars want 8 kWh in four hours; a kW of peak costs 1: 4 kW in turn, no unmet, peak 4, as for any power."""
    site, track = one_port_day([0.1] * 4, wanted_kwh=8.0, n_vehicles=2)
    objective = Objective([EnergyCost(metering="site"), UnmetEnergy(5.0), PeakPower(1.0)])
    solution = exactly(leveled(site.arrays), track, objective)
    assert solution.achieved == pytest.approx(-5.6)
    assert solution.certificate.exact


def all_sequences(site: SiteArrays, track: Track, unmet: float) -> float:
    """Best return of one vehicle over every sequence of levels and of all that it takes."""
    stay, step_h = track.sessions[0], track.step_h
    eta, least, step = site.charge_efficiency[0], *site.port_levels_kw[:, 0]
    most = min(site.port_charge_kw[0], stay["charge_kw"])
    tau = (1 - stay["taper_start"]) * stay["capacity_kwh"] / (eta * stay["charge_kw"])
    levels = [0.0, *np.arange(least, most + 1e-9, step), np.inf]
    best = -np.inf
    for asked in product(levels, repeat=track.n_steps):
        energy, cost = stay["energy_kwh"], 0.0
        for power, price in zip(asked, track.buy_per_kwh, strict=True):
            takes = float(energy_after(energy, step_h, eta * most, stay["capacity_kwh"], tau) - energy) / (eta * step_h)
            cost += price * step_h * min(power, takes)
            energy += eta * step_h * min(power, takes)
        due = stay["energy_kwh"] + stay["wanted_kwh"]
        best = max(best, -cost - unmet * max(0.0, due - energy))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_every_sequence_of_levels_tried(seed: int) -> None:
    rng = np.random.default_rng(seed)
    site, track = one_port_day(
        rng.uniform(0.1, 0.5, 4).tolist(),
        energy_kwh=float(rng.uniform(0.0, 20.0)),
        wanted_kwh=float(rng.uniform(15.0, 28.0)),
        capacity_kwh=50.0,
        efficiency=float(rng.uniform(0.85, 1.0)),
        taper_start=0.6,
    )
    arrays = leveled(site.arrays, 3.0, 2.6)
    solution = exactly(arrays, track, money(unmet=1.0))
    best = all_sequences(arrays, track, 1.0)
    assert solution.bound >= best - 1e-7
    assert solution.achieved == pytest.approx(best, abs=1e-7)
    assert solution.bound <= solution.certificate.any_power_bound + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_nobody_exceeds_the_bound(seed: int) -> None:
    """V2G, negative prices, limits of powers and of currents, any power from the least on."""
    site, track = mixed_phase_day(seed) if seed % 2 else random_day(seed)
    arrays = leveled(site if isinstance(site, SiteArrays) else site.arrays, 3.0, 1.5 if seed % 3 else 0.0)
    objective = money(wear=0.02, unmet=0.5)
    relaxed, solution = solve(arrays, track, objective), exactly(arrays, track, objective, time_limit=1.0)
    assert relaxed.achieved <= solution.achieved + 1e-9
    assert solution.achieved - 1e-9 <= solution.bound <= relaxed.bound + 1e-9
    simulator = Simulator(arrays, make_coordinator("nearest"), [track])
    for policy in [*(make_policy(name) for name in POLICIES), PlanPolicy(solution.plan)]:
        earned = float(rollout(simulator, objective, policy, [track]).team[0])
        assert earned <= solution.bound + 1e-9 * max(1.0, abs(solution.bound)), policy.name


def test_time_is_kept_and_the_bound_still_holds() -> None:
    site, track = random_day(3)
    arrays = leveled(site.arrays)
    solution = exactly(arrays, track, money(), time_limit=0.0)
    assert solution.achieved <= solution.bound + 1e-9
    assert solution.certificate.level_pairs == 0


def test_without_levels_it_changes_nothing() -> None:
    site, track = random_day(5)
    one, other = solve(site, track, money()), exactly(site.arrays, track, money())
    assert (one.bound, one.achieved, other.certificate.kind) == (other.bound, other.achieved, one.certificate.kind)


def test_a_network_is_refused() -> None:
    site, track = one_port_day([0.1, 0.2])
    with pytest.raises(OptionError, match="not there on a network"):
        solve(leveled(site.arrays), track, money(), grid=object(), exact_levels=True)  # type: ignore[arg-type]
