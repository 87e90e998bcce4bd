"""What must hold on any day: nobody beats the bound, the plan reaches it, and another optimum agrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum_cases import money, one_port_day, random_day, reference_bound, without_limits

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.optimum import solve
from ev_marl.policies import Plan, PlanPolicy, Policy, StationView, make_policy, rollout
from ev_marl.scenario.series import Series
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.charge_curve import energy_after, slope_of_energy_after
from ev_marl.world.track import Track

seeds = st.integers(0, 2**32 - 1)
HEURISTICS = ("uncontrolled", "edf", "llf", "random", "price-threshold", "best-response", "as-late-as-possible")


class NoisyPlan(PlanPolicy):
    """The optimal plan, disturbed: the strongest kind of policy there is to try the bound with."""

    def __init__(self, plan: Plan, rng: np.random.Generator, noise_kw: float) -> None:
        super().__init__(plan)
        self._rng, self._noise_kw = rng, noise_kw

    def act(self, view: StationView) -> np.ndarray:
        wanted = super().act(view)
        return wanted + self._rng.normal(0.0, self._noise_kw, wanted.shape) * (self._rng.random(wanted.shape) < 0.5)


def soft(rng: np.random.Generator) -> Objective:
    """Every term there is, limits priced."""
    target = Series.constant(float(rng.uniform(-5, 20)))
    return Objective(
        [
            EnergyCost(),
            UnmetEnergy(0.5),
            BatteryWear(float(rng.choice([0.0, 0.03]))),
            Overload(float(rng.uniform(0.05, 1.0))),
            PeakPower(0.1),
            SetpointTracking(0.002, target),
        ],
        limits_are_hard=False,
    )


@settings(max_examples=40)
@given(seeds, st.sampled_from(["proportional", "priority", "nearest"]), st.sampled_from([0.0, 0.02]))
def test_no_policy_beats_the_bound(seed: int, coordinator: str, wear: float) -> None:
    site, track = random_day(seed)
    objective, rng = money(wear=wear, unmet=0.5), np.random.default_rng(seed)
    solution = solve(site, track, objective)
    policies: list[Policy] = [make_policy(name) for name in HEURISTICS]
    policies += [NoisyPlan(solution.plan, rng, noise_kw) for noise_kw in (0.0, 1e-3, 3.0)]
    simulator = Simulator(site.arrays, make_coordinator(coordinator), [track])
    for policy in policies:
        earned = float(rollout(simulator, objective, policy, [track]).team[0])
        assert earned <= solution.bound + 1e-9 * max(1.0, abs(solution.bound)), policy.name


@settings(max_examples=20)
@given(seeds)
def test_no_policy_beats_the_bound_where_limits_are_priced(seed: int) -> None:
    rng = np.random.default_rng(seed)
    site, track = random_day(seed)
    objective = soft(rng)
    solution = solve(site, track, objective)
    assert solution.relative_gap <= 1e-6 or not solution.certificate.exact
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    for policy in [*(make_policy(name) for name in HEURISTICS), NoisyPlan(solution.plan, rng, 1.0)]:
        earned = float(rollout(simulator, objective, policy, [track]).team[0])
        assert earned <= solution.bound + 1e-9 * max(1.0, abs(solution.bound)), policy.name


@settings(max_examples=40)
@given(seeds, st.sampled_from([0.0, 0.02]))
def test_the_replayed_plan_earns_the_bound(seed: int, wear: float) -> None:
    solution = solve(*random_day(seed), money(wear=wear, unmet=0.5))
    certificate = solution.certificate
    assert certificate.exact
    assert certificate.reasons == ()
    assert -1e-9 <= solution.relative_gap <= 1e-6
    if certificate.kind == "LP":
        scale = max(1.0, abs(certificate.primal_value))
        assert abs(certificate.primal_value - certificate.dual_value) <= 1e-8 * scale
        assert "dual value" in certificate.source


@pytest.mark.parametrize("seed", range(24))
def test_the_bound_agrees_with_another_optimum(seed: int) -> None:
    site, track = random_day(seed, n_steps=7, negative_prices=seed % 2 == 0)
    wear = 0.02 * (seed % 3)
    bound = solve(site, track, money(wear=wear, unmet=0.5)).bound
    reference = reference_bound(site, track, wear=wear, unmet=0.5)
    assert bound == pytest.approx(reference, rel=2e-6, abs=2e-6)


@pytest.mark.parametrize(("price", "wear"), [(-0.1, 0.02), (-0.3, 0.02), (-0.6, 0.02), (-0.1, 0.0), (-0.6, 0.0)])
def test_at_negative_prices_binaries_keep_charging_and_discharging_apart(price: float, wear: float) -> None:
    """Doing both at once pays below −w(1 + η)/(1 − η), which is −0.276 at wear 0.02 and η = 0.93²."""
    site, track = one_port_day(
        [price] * 5, energy_kwh=50.0, wanted_kwh=0.0, capacity_kwh=60.0, discharge_kw=8.0, efficiency=0.93, n_vehicles=2
    )
    track = without_limits(track)
    solution = solve(site, track, money(wear=wear))
    pays = price < -wear * (1 + 0.93**2) / (1 - 0.93**2)
    assert solution.certificate.kind == ("MILP" if pays else "LP")
    assert (solution.certificate.binary_pairs > 0) == pays
    assert solution.certificate.exact
    assert 0.0 <= solution.relative_gap <= 1e-6
    assert solution.bound == pytest.approx(reference_bound(site, track, wear=wear), rel=2e-6)
    relaxed = -solution.certificate.dual_value
    assert (relaxed > solution.bound * (1 + 1e-4)) == pays
    assert relaxed <= reference_bound(site, track, wear=wear, exclusive=False) * (1 + 1e-6)


def test_selling_above_buying_needs_binaries_too() -> None:
    """One connection cannot buy and sell at once, however good the margin."""
    site, track = one_port_day([0.1, 0.1], sell=[0.4, 0.4], wanted_kwh=0.0, discharge_kw=10.0, efficiency=0.9)
    solution = solve(site, without_limits(track), money())
    assert solution.certificate.exact
    assert solution.bound == pytest.approx(0.81 * 10 * 0.4 - 10 * 0.1, rel=1e-6)
    assert -solution.certificate.dual_value > solution.bound + 0.1


def test_free_energy_needs_no_binaries() -> None:
    """Where both at once costs nothing, a vertex may do it; the replay, which nets them, earns the bound."""
    site, track = one_port_day([0.0] * 4, wanted_kwh=20.0, discharge_kw=10.0, efficiency=0.9)
    solution = solve(site, track, money())
    assert (solution.certificate.kind, solution.certificate.exact) == ("LP", True)
    assert solution.bound == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=15)
@given(seeds)
def test_more_limit_is_worth_at_most_its_shadow_price(seed: int) -> None:
    site, track = random_day(seed, negative_prices=False)
    rng = np.random.default_rng(seed)
    solution = solve(site, track, money(unmet=0.5))
    if solution.certificate.kind != "LP":
        return
    assert np.all(solution.shadow_prices >= 0.0)
    for _ in range(3):
        change_kw = rng.normal(0.0, 2.0, track.upper_kw.shape) * (rng.random(track.upper_kw.shape) < 0.3)
        headroom_kw = np.maximum(0.0, track.upper_kw + change_kw)
        moved = _with_headroom(track, headroom_kw)
        finite = np.isfinite(track.upper_kw)
        change_kw = np.where(finite, headroom_kw - np.where(finite, track.upper_kw, 0.0), 0.0)
        most = solution.bound + float((solution.shadow_prices * change_kw).sum())
        assert solve(site, moved, money(unmet=0.5)).bound <= most + 1e-6 * max(1.0, abs(most))


def _with_headroom(track: Track, headroom_kw: np.ndarray) -> Track:
    return replace(track, import_limit_kw=headroom_kw + np.where(np.isfinite(headroom_kw), track.base_load_kw, 0.0))


@given(
    st.floats(0.0, 0.999),
    st.floats(0.3, 0.99),
    st.floats(0.05, 2.0),
    st.floats(0.0, 1.0),
)
def test_no_tangent_cuts_off_a_reachable_energy(share: float, taper_start: float, hours: float, other: float) -> None:
    rate, capacity = np.array([9.0]), np.array([40.0])
    tau = (1 - taper_start) * capacity / rate
    at, elsewhere = np.array([share * 40.0]), np.array([other * 40.0])
    slope = slope_of_energy_after(at, hours, rate, capacity, tau)
    height = energy_after(at, hours, rate, capacity, tau) + slope * (elsewhere - at)
    assert height[0] >= energy_after(elsewhere, hours, rate, capacity, tau)[0] - 1e-12
    step = 1e-6
    rise = energy_after(at + step, hours, rate, capacity, tau) - energy_after(at - step, hours, rate, capacity, tau)
    assert slope[0] == pytest.approx(rise[0] / (2 * step), abs=1e-4)
