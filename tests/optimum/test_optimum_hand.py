"""Days small enough to be solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
from optimum_cases import money, one_port_day

from ev_marl.objective import Objective
from ev_marl.objective.base import DayModel, Expression
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.optimum import looseness_of_levels, shadow_price_interval, solve
from ev_marl.scenario.series import Series
from ev_marl.simulation.flow import Flow
from ev_marl.site.charge_curve import energy_after


def test_everything_is_bought_in_the_cheap_hour() -> None:
    solution = solve(*one_port_day([0.30, 0.10]), money())
    assert solution.bound == pytest.approx(-1.0, rel=1e-9)
    assert solution.achieved == pytest.approx(-1.0, rel=1e-9)
    assert solution.gap == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(solution.plan.power_kw[:, 0], [0.0, 10.0], atol=1e-9)
    np.testing.assert_allclose(solution.plan.energy_kwh[:, 0], [20.0, 30.0], atol=1e-9)
    certificate = solution.certificate
    assert solution.status == "optimal"
    assert (certificate.kind, certificate.exact, certificate.reasons) == ("LP", True, ())
    assert certificate.primal_value == pytest.approx(1.0)
    assert certificate.dual_value == pytest.approx(1.0)


def test_a_limit_in_the_cheap_hour_is_worth_the_difference_of_the_prices() -> None:
    day = one_port_day([0.30, 0.10], import_limit_kw=[50.0, 6.0])
    solution = solve(*day, money())
    assert solution.bound == pytest.approx(-(6 * 0.10 + 4 * 0.30), rel=1e-9)
    np.testing.assert_allclose(solution.shadow_prices, [[0.0], [0.20]], atol=1e-9)
    np.testing.assert_allclose(solution.export_shadow_prices, 0.0)
    assert shadow_price_interval(*day, money(), step=1, group=0) == pytest.approx((0.20, 0.20), abs=1e-6)


def test_at_a_kink_more_and_less_have_different_worth() -> None:
    day = one_port_day([0.30, 0.10], import_limit_kw=[50.0, 10.0])
    right, left = shadow_price_interval(*day, money(), step=1, group=0)
    assert (right, left) == pytest.approx((0.0, 0.20), abs=1e-6)
    assert -1e-9 <= solve(*day, money()).shadow_prices[1, 0] <= 0.20 + 1e-9


def test_base_load_takes_headroom_and_an_overload_of_its_own_costs_nothing() -> None:
    solution = solve(*one_port_day([0.30, 0.10], import_limit_kw=[14.0, 8.0], base_load_kw=9.0), money())
    assert solution.bound == pytest.approx(
        -(5 * 0.30 + 5 * 1.0), rel=1e-9
    )  # 5 kW are left, then none; 5 kWh are missing


def test_energy_is_moved_from_the_cheap_hour_to_the_dear_one() -> None:
    day = one_port_day([0.10, 0.50], wanted_kwh=0.0, discharge_kw=10.0, efficiency=0.9)
    solution = solve(*day, money())
    assert solution.bound == pytest.approx(0.9 * 0.9 * 10 * 0.50 - 10 * 0.10, rel=1e-9)
    np.testing.assert_allclose(solution.plan.power_kw[:, 0], [10.0, -8.1], atol=1e-6)
    worn = solve(*day, money(wear=0.05))
    assert worn.bound == pytest.approx(0.81 * 10 * (0.50 - 0.05) - 10 * (0.10 + 0.05), rel=1e-9)
    held = solve(*one_port_day([0.10, 0.50], wanted_kwh=0, discharge_kw=10, efficiency=0.9, export_limit_kw=4), money())
    assert held.bound == pytest.approx(4 * 0.50 - 4 / 0.81 * 0.10, rel=1e-9)
    assert held.export_shadow_prices[1, 0] == pytest.approx(0.50 - 0.10 / 0.81, rel=1e-6)


def test_a_vehicle_below_its_reserve_is_not_discharged() -> None:
    solution = solve(
        *one_port_day([0.50, 0.10], discharge_kw=10.0, wanted_kwh=0.0, reserve_kwh=30.0), money(unmet=0.01)
    )
    assert solution.bound == pytest.approx(0.0, abs=1e-9)


def test_full_power_all_along_follows_the_taper_exactly() -> None:
    site, track = one_port_day([0.20, 0.20, 0.20], capacity_kwh=40.0, wanted_kwh=20.0, efficiency=0.95, taper_start=0.6)
    reached = float(energy_after(20.0, 3.0, 9.5, 40.0, 0.4 * 40.0 / 9.5))
    solution = solve(site, track, money(unmet=50.0))
    assert solution.bound == pytest.approx(-0.20 * (reached - 20.0) / 0.95, rel=1e-7)
    assert solution.certificate.taper_violation_kwh <= 1e-7
    assert solution.relative_gap <= 1e-6


def test_a_session_that_outlasts_the_day_owes_only_what_full_power_cannot_catch_up() -> None:
    solution = solve(*one_port_day([0.10, 0.10], stay=(0, 3), wanted_kwh=25.0), money())
    assert solution.bound == pytest.approx(-0.10 * 15.0, rel=1e-9)


def test_overload_is_paid_where_it_is_cheaper_than_the_next_hour() -> None:
    day = one_port_day([0.10, 0.30], import_limit_kw=[6.0, 50.0])
    terms = [EnergyCost(), UnmetEnergy(1.0)]
    cheap = solve(*day, Objective([*terms, Overload(0.05)], limits_are_hard=False))
    assert cheap.bound == pytest.approx(-(10 * 0.10 + 4 * 0.05), rel=1e-9)
    dear = solve(*day, Objective([*terms, Overload(0.50)], limits_are_hard=False))
    assert dear.bound == pytest.approx(-(6 * 0.10 + 4 * 0.30), rel=1e-9)
    for solution in (cheap, dear):
        assert solution.achieved == pytest.approx(solution.bound, rel=1e-9)
        assert not solution.certificate.limits_are_hard
        assert not solution.shadow_prices.any()
    with pytest.raises(ValueError, match="no hard import limit"):
        shadow_price_interval(*day, Objective(terms, limits_are_hard=False), step=0, group=0)


def test_a_demand_charge_spreads_the_power() -> None:
    objective = Objective([EnergyCost(), UnmetEnergy(10.0), PeakPower(1.0)])
    solution = solve(*one_port_day([0.20, 0.20], base_load_kw=3.0), objective)
    assert solution.bound == pytest.approx(-(10 * 0.20 + 8.0), rel=1e-9)
    assert solution.achieved == pytest.approx(solution.bound, rel=1e-9)


def test_a_day_of_one_step_pays_its_peak() -> None:
    """8 of the 10 kWh fit below the limit, beside 2 kW of base load."""
    objective = Objective([EnergyCost(), UnmetEnergy(10.0), PeakPower(1.0)])
    solution = solve(*one_port_day([0.20], base_load_kw=2.0, import_limit_kw=10.0), objective)
    assert solution.bound == pytest.approx(-(8 * 0.20 + 2 * 10.0 + 10.0), rel=1e-9)
    assert solution.achieved == pytest.approx(solution.bound, rel=1e-9)


class Unevenness:
    """Squared distance of the power in every step from a power that the plan chooses."""

    name = "unevenness"

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """Not used."""

    def expression(self, day: DayModel) -> Expression:
        """Σ (power − chosen)²."""
        (chosen,) = day.variables("chosen", [-100.0], [100.0])
        away = day.variables("away", np.zeros(day.n_steps), np.full(day.n_steps, 1e5))
        step = np.arange(day.n_steps)
        power = day.group_power(np.zeros_like(step), step)
        day.above_convex("unevenness", away, chosen - power, lambda kw: kw**2, lambda kw: 2.0 * kw)
        return day.linear(away, np.ones(day.n_steps))


@pytest.mark.parametrize("n_steps", [1, 2])
def test_a_convex_cost_of_one_variable_and_the_power_of_every_step(n_steps: int) -> None:
    objective = Objective([EnergyCost(), UnmetEnergy(1.0), Unevenness()])
    solution = solve(*one_port_day([0.20, 0.10][:n_steps]), objective)
    # 10 kWh: at once, or x in the first step where 2·(x − 5)² + 0.1·x is least.
    cost = 10 * 0.20 if n_steps == 1 else 10 * 0.10 + 2 * 0.025**2 + 0.1 * (5 - 0.025)
    assert solution.bound == pytest.approx(-cost, rel=2e-6)


def test_tracking_meets_its_target_between_two_wishes() -> None:
    """min w(p − 4)² + price·p + unmet·(10 − p): p = 4 + (unmet − price)/2w = 6."""
    objective = Objective([EnergyCost(), UnmetEnergy(0.5), SetpointTracking(0.1, Series.constant(4.0))])
    solution = solve(*one_port_day([0.1]), objective)
    assert solution.bound == pytest.approx(-(0.1 * 4 + 0.6 + 0.5 * 4), rel=2e-6)
    assert solution.relative_gap <= 1e-6
    assert solution.certificate.upper_value >= solution.certificate.primal_value
    assert solution.certificate.upper_value - solution.certificate.dual_value <= 1e-6 * 3.0


def test_two_vehicles_share_a_limit_by_need() -> None:
    solution = solve(*one_port_day([0.1, 0.1], import_limit_kw=8.0, n_vehicles=2), money())
    assert solution.bound == pytest.approx(-(16 * 0.1 + 4 * 1.0), rel=1e-9)
    np.testing.assert_allclose(solution.plan.power_kw.sum(axis=1), 8.0, atol=1e-6)
    np.testing.assert_allclose(solution.shadow_prices[:, 0], 0.9, rtol=1e-6)


def test_levels_cost_what_the_rounded_plan_loses() -> None:
    day = one_port_day([0.30, 0.10], import_limit_kw=[50.0, 6.0])
    levels = [0.0, 0.5, 1.0]
    solution = solve(*day, money(), levels=levels)
    # 4 kW in the first hour become 5; then 5 of the 6 that are left.
    assert solution.certificate.reasons[-1].amount == pytest.approx(5 * 0.30 + 5 * 0.10 - 1.8, abs=1e-9)
    assert "levels" in solution.certificate.reasons[-1].reason
    assert solution.bound == pytest.approx(-1.8)
    fine = looseness_of_levels(*day, money(), solution, np.linspace(0, 1, 11))
    assert fine == pytest.approx(0.0, abs=1e-9)


def test_an_empty_day_costs_nothing_but_its_base_load() -> None:
    day = one_port_day([0.1, 0.1], stay=(2, 3), base_load_kw=5.0)
    assert solve(*day, money()).bound == 0.0
    peak = solve(*day, Objective([PeakPower(2.0)]))
    assert peak.bound == pytest.approx(-10.0)
    assert peak.achieved == pytest.approx(-10.0)
