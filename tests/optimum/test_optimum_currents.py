"""Current limits in the optimum: the bound bounds, the plan reaches it, and other optima agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from current_cases import currents_a, mixed_phase_day, with_current_limits
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum_cases import money, one_port_day
from scipy.optimize import minimize

from ev_marl.objective import Objective
from ev_marl.objective.overload import Overload
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.optimum import solve
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.receding import Program
from ev_marl.policies import PlanPolicy, make_policy, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.currents import line_currents
from ev_marl.world.track import Track

seeds = st.integers(0, 2**32 - 1)
POLICIES = ("uncontrolled", "edf", "llf", "random", "price-threshold", "best-response", "as-late-as-possible")


def two_cars(limit_a: float, conductors: tuple[str, str]) -> tuple[SiteArrays, Track]:
    """Two cars that want 20 kWh in two hours at 10 kW ports, and one limit of the current in L1."""
    site, track = one_port_day([0.1, 0.2], wanted_kwh=20.0, n_vehicles=2)
    weight = np.array([line_currents(name, 230.0)[0] for name in conductors])
    return replace(
        site.arrays,
        current_weight=np.stack([weight.real, weight.imag])[None],
        current_limit_a=np.array([limit_a]),
        current_group=np.zeros(1, dtype=np.int64),
        current_base_weight=np.zeros((1, 2)),
    ), track


def test_one_phase_is_one_row() -> None:
    """Both cars in L1: 23 A are 5.29 kW, in both hours, and no cut has to be added."""
    solution = solve(*two_cars(23.0, ("L1", "L1")), money())
    assert solution.plan.power_kw.sum(axis=1) == pytest.approx([5.29, 5.29])
    assert solution.certificate.cuts == 0
    assert solution.certificate.exact


def test_phases_that_may_differ_by_little_are_filled_together() -> None:
    """20 A are 4.6 kW: nothing charges on L3, so each of the cars on L1 and L2 has at most that."""
    site, track = two_cars(20.0, ("L1", "L2"))
    currents = np.array([line_currents(name, 230.0) for name in ("L1", "L2")]).T
    turned = currents * np.exp(1j * np.radians([0.0, 120.0, -120.0]))[:, None]
    differences = turned - np.roll(turned, -1, axis=0)
    unequal = replace(
        site,
        current_weight=np.stack([differences.real, differences.imag], axis=1),
        current_limit_a=np.full(3, 20.0),
        current_group=np.zeros(3, dtype=np.int64),
        current_base_weight=np.zeros((3, 2)),
    )
    solution = solve(unequal, track, money())
    np.testing.assert_allclose(solution.plan.power_kw, 4.6)
    assert solution.certificate.exact


def test_an_ampere_is_worth_what_it_brings() -> None:
    """At 0.1 and 0.2 EUR/kWh, where a kWh that is missing costs 1: 0.23 kW more in one of the hours."""
    site, track = two_cars(23.0, ("L1", "L1"))
    prices = solve(site, track, money()).current_prices
    np.testing.assert_allclose(prices, [[0.23 * 0.9], [0.23 * 0.8]], rtol=1e-6)
    more = replace(site, current_limit_a=np.array([24.0]))
    assert solve(more, track, money()).bound - solve(site, track, money()).bound == pytest.approx(prices.sum())


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_more_amperes_are_worth_at_most_their_price(seed: int) -> None:
    """The value of the optimum is concave in the limits, whatever the angles; a small change is worth all of it."""
    site, track = mixed_phase_day(seed)
    objective = money(unmet=0.5)
    solution = solve(site, track, objective)
    assert solution.certificate.kind == "LP"
    assert solution.current_prices.any()
    # By the same share in every step, as the limits are those of the site.
    per_a = solution.current_prices.sum(axis=0)
    for change in (1e-3, 0.2, -1e-3, -0.2):
        moved = solve(replace(site, current_limit_a=(1.0 + change) * site.current_limit_a), track, objective)
        most = solution.bound + change * float(per_a @ site.current_limit_a)
        assert moved.bound <= most + 1e-6 * max(1.0, abs(most))
        if abs(change) < 0.01:
            assert moved.bound == pytest.approx(
                most, abs=0.1 * abs(change) * float(per_a @ site.current_limit_a) + 1e-6
            )


def test_currents_at_an_angle_leave_more_room_than_their_sum() -> None:
    """L1-L2 at 30° and L3-L1 at −30° in L1: equal currents of I give √3·I, so 23 A are 23/√3 A each at 398 V."""
    solution = solve(*two_cars(23.0, ("L1-L2", "L3-L1")), Objective([UnmetEnergy(1.0)]))
    each_kw = 23.0 / np.sqrt(3.0) * 230.0 * np.sqrt(3.0) / 1000.0
    assert solution.bound == pytest.approx(-(40.0 - 4.0 * each_kw), rel=1e-6)
    assert solution.certificate.exact
    assert solution.certificate.current_violation_a <= 1e-4


def test_the_base_load_takes_its_part_of_the_current() -> None:
    """6.9 kW of base load are 10 A in L1; of 23 A, 13 A are left, which are 2.99 kW."""
    site, track = two_cars(23.0, ("L1", "L1"))
    site = replace(site, current_base_weight=np.array([[1000.0 / 690.0, 0.0]]))
    solution = solve(site, replace(track, base_load_kw=np.full((2, site.n_groups), 6.9)), money())
    assert solution.plan.power_kw.sum(axis=1) == pytest.approx([2.99, 2.99])


def test_a_base_load_beyond_the_limit_leaves_nothing_but_is_no_fault() -> None:
    site, track = two_cars(5.0, ("L1", "L1"))
    site = replace(site, current_base_weight=np.array([[1000.0 / 690.0, 0.0]]))
    solution = solve(site, replace(track, base_load_kw=np.full((2, site.n_groups), 6.9)), money())
    assert solution.plan.power_kw == pytest.approx(0.0, abs=1e-6)
    assert solution.certificate.exact


def test_where_limits_are_priced_currents_are_no_constraints() -> None:
    objective = Objective([UnmetEnergy(1.0), Overload(0.0)], limits_are_hard=False)
    assert solve(*two_cars(1.0, ("L1", "L1")), objective).bound == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=40)
@given(seeds, st.sampled_from(["proportional", "priority", "nearest"]))
def test_no_policy_beats_the_bound(seed: int, coordinator: str) -> None:
    site, track = mixed_phase_day(seed)
    objective = money(wear=0.02 * (seed % 2), unmet=0.5)
    solution = solve(site, track, objective)
    simulator = Simulator(site, make_coordinator(coordinator), [track])
    for policy in [*(make_policy(name) for name in POLICIES), PlanPolicy(solution.plan)]:
        earned = float(rollout(simulator, objective, policy, [track]).team[0])
        assert earned <= solution.bound + 1e-9 * max(1.0, abs(solution.bound)), policy.name


@settings(max_examples=40)
@given(seeds)
def test_the_replayed_plan_earns_the_bound_within_the_limits(seed: int) -> None:
    site, track = mixed_phase_day(seed)
    solution = solve(site, track, money(wear=0.02 * (seed % 2), unmet=0.5))
    assert -1e-9 <= solution.relative_gap <= 1e-6
    assert solution.certificate.exact
    limit_a = np.maximum(site.current_limit_a, currents_a(site, track.base_load_kw, 0.0 * solution.plan.power_kw))
    excess = currents_a(site, track.base_load_kw, solution.plan.power_kw) / limit_a - 1.0
    assert excess.max() <= 1e-5


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_agrees_with_a_conic_optimum(seed: int) -> None:
    """Cars without taper and V2G: their powers, straight from the equations, by a solver that takes discs as such."""
    rng = np.random.default_rng(seed)
    n_cars, n_steps = 4, 3
    site, track = one_port_day(rng.uniform(0.1, 0.5, n_steps).tolist(), n_vehicles=n_cars, taper_start=0.99)
    arrays = with_current_limits(rng, site.arrays)
    sessions = track.sessions.copy()
    sessions["wanted_kwh"] = wanted_kwh = rng.uniform(10.0, 29.0, n_cars)
    track = track.replace(sessions=sessions)
    bound = solve(arrays, track, money(unmet=1.0)).bound
    weight = arrays.current_weight[:, 0] + 1j * arrays.current_weight[:, 1]

    def room(x: np.ndarray) -> np.ndarray:
        current = x.reshape(n_steps, n_cars) @ weight.T
        return (1.0 - np.abs(current / arrays.current_limit_a) ** 2).ravel()

    def slope(x: np.ndarray) -> np.ndarray:
        current = x.reshape(n_steps, n_cars) @ weight.T
        part = -2.0 * (np.conj(current)[:, :, None] * weight).real / arrays.current_limit_a[:, None] ** 2
        every = np.zeros((n_steps, len(weight), n_steps, n_cars))
        every[np.arange(n_steps), :, np.arange(n_steps)] = part
        return every.reshape(n_steps * len(weight), -1)

    price = np.repeat(track.buy_per_kwh - 1.0, n_cars)
    of_car = np.tile(np.eye(n_cars), n_steps)
    answer = minimize(
        lambda x: price @ x + wanted_kwh.sum(),
        np.full(n_steps * n_cars, 0.1),
        jac=lambda x: price,
        method="SLSQP",
        bounds=[(0.0, 10.0)] * (n_steps * n_cars),
        constraints=[
            {"type": "ineq", "fun": room, "jac": slope},
            {"type": "ineq", "fun": lambda x: wanted_kwh - of_car @ x, "jac": lambda x: -of_car},
        ],
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert answer.success, answer.message
    assert bound == pytest.approx(-answer.fun, rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_the_plan_of_a_receding_horizon_costs_what_the_bound_says(seed: int) -> None:
    site, track = mixed_phase_day(seed)
    objective = money(wear=0.02, unmet=0.5)
    decision = Program(site, Ahead.of_day(site, track), objective, tolerance_kwh=1e-7).decision()
    solution = solve(site, track, objective)
    if solution.certificate.kind == "LP":
        assert decision.cost == pytest.approx(-solution.bound, rel=1e-3, abs=1e-6)
