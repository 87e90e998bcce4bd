"""Service that is required, and drivers who pay: what the optimum then does, by hand and on random days."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimum_cases import one_port_day, random_day

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective, Term
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.grid import GridLosses
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.required import Extremes, required_price
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.terminal import TerminalValue
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.optimum import solve, solve_day
from ev_marl.policies import BestResponse, Mpc, PlanPolicy, rollout
from ev_marl.scenario import Scenario, ScenarioError
from ev_marl.scenario.series import Series
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import ObjectiveError
from ev_marl.world.track import Track

EXTREMES = Extremes(step_h=1.0, price_per_kwh=0.5, least_kw=-10.0, most_kw=20.0, n_levels=2)

HARD = {  # what saves most by leaving a kWh unmet
    "cheap unmet energy": {"unmet_energy": 0.001},
    "tracking": {"unmet_energy": 0.4, "setpoint_tracking": {"weight": 100, "target": 0}},
    "wear": {"unmet_energy": 0.4, "battery_wear": 200},
    "peak": {"unmet_energy": 0.0, "peak_power": 100},
}


def required(**keys: Any) -> Setting:
    """`tiny` with service required beside other keys of the objective."""
    plain = ev_marl.load_scenario("tiny").model_dump()
    return Setting.of(Scenario.model_validate({**plain, "objective": {"service": "required", **keys}}))


def test_a_refusal_that_pays_is_none_where_service_is_required() -> None:
    """10 kWh at 0.50 are worth 0.40 to the operator; required, they are delivered, and cost 5.00."""
    day = one_port_day([0.50], wanted_kwh=10.0)
    assert solve(*day, Objective([EnergyCost(), UnmetEnergy(0.40)])).achieved == pytest.approx(-4.0)
    price = required_price([EnergyCost()], EXTREMES)
    solution = solve(*day, Objective([EnergyCost(), UnmetEnergy(price)]))
    assert solution.bound == pytest.approx(-5.0)
    assert solution.achieved == pytest.approx(-5.0)


@pytest.mark.parametrize("name", HARD)
def test_whatever_else_is_priced_nothing_is_left_unmet_that_need_not_be(name: str) -> None:
    setting = required(**HARD[name])
    track = setting.world.sample(3)
    least_kwh = -solve(setting.site, track, Objective([UnmetEnergy(1.0)])).achieved
    assert least_kwh == pytest.approx(0.0, abs=1e-6)
    solution = solve_day(setting, track)
    assert shortfall_and_cost(setting.site, track, setting.objective, solution.plan)[0] == pytest.approx(0.0, abs=1e-6)
    assert solution.achieved == pytest.approx(solution.bound, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_the_least_shortfall_comes_first_and_the_least_cost_second(seed: int) -> None:
    site, track = random_day(seed)
    track = track.replace(import_limit_kw=track.base_load_kw + 0.3 * (track.import_limit_kw - track.base_load_kw))
    least_kwh = -solve(site, track, Objective([UnmetEnergy(1.0)])).achieved
    price = required_price([EnergyCost()], Extremes(1.0, float(np.abs(track.buy_per_kwh).max()), 0.0, 0.0, 1))
    found = []
    for factor in (1.0, 10.0):  # lexicographic: a still higher price changes nothing
        objective = Objective([EnergyCost(), UnmetEnergy(factor * price)])
        plan = solve(site, track, objective, tolerance=1e-9).plan
        found.append(shortfall_and_cost(site, track, objective, plan))
    assert found[0][0] == pytest.approx(least_kwh, abs=1e-4)
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def shortfall_and_cost(site: Site, track: Track, objective: Objective, plan: np.ndarray) -> tuple[float, float]:
    """Shortfall [kWh] of a plan that is replayed, and its cost without it."""
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    unmet: list[float] = []
    played = rollout(
        simulator, objective, PlanPolicy(plan), [track], watch=lambda flow, *_: unmet.append(flow.unmet_kwh.sum())
    )
    cost = sum(float(cost[0]) for name, cost in played.costs.items() if name != "unmet_energy")
    return sum(unmet), cost


def test_the_price_is_a_hundred_times_what_the_other_terms_can_cost() -> None:
    terms: list[Term] = [EnergyCost(2.0), BatteryWear(0.03), DriverTariff(0.45), Overload(3.0), PeakPower(7.0)]
    terms += [TerminalValue(0.30, 2.0, 0.03), SetpointTracking(0.1, Series.constant(4.0)), GridLosses(0.2)]
    # 2·0.1·(20 kW − 4 kW) of tracking; overload in both groups around a port
    alone = [2 * 0.5, 0.03, 0.45, 2 * 3.0, 7.0, 2 * 0.30 + 0.03, 3.2, 0.2]
    assert [required_price([term], EXTREMES) for term in terms] == pytest.approx([100 * price for price in alone])
    assert required_price(terms, EXTREMES) == pytest.approx(100 * sum(alone))
    assert required_price([], EXTREMES) == 1.0


def test_a_term_that_does_not_say_what_a_kwh_can_cost_is_refused_by_name() -> None:
    for extra in ({"voltage_deviation": 1.0}, {"line_overload": 1.0}, {"transformer_overload": 1.0}):
        scenario = ev_marl.load_scenario("street-lv")
        written = Scenario.model_validate({**scenario.model_dump(), "objective": {"service": "required", **extra}})
        with pytest.raises(ScenarioError, match=f"not possible with objective term '{next(iter(extra))}'"):
            Setting.of(written)

    class Odd(EnergyCost):
        def largest_per_kwh(self, extremes: Extremes) -> float:
            return float("nan")

    with pytest.raises(ObjectiveError, match="'energy_cost': largest_per_kwh is nan"):
        required_price([Odd()], EXTREMES)


@pytest.mark.parametrize("prices", [{"model": "nl/2022", "feed_in": 0.5, "markup": 0.1}, {"constant": -0.3}])
def test_no_price_of_a_day_is_above_the_largest(prices: dict[str, Any]) -> None:
    plain = ev_marl.load_scenario("tiny").model_dump()
    setting = Setting.of(Scenario.model_validate({**plain, "prices": prices}))
    largest = Extremes.of(setting.scenario).price_per_kwh
    for seed in range(20):
        track = setting.world.sample(seed)
        assert max(np.abs(track.buy_per_kwh).max(), np.abs(track.sell_per_kwh).max()) <= largest + 1e-12


def test_a_tariff_makes_the_return_a_profit() -> None:
    """Drivers pay 0.45: the wish of 10 kWh at 0.10 earns 3.50, and 10 kWh more at 0.30 another 1.50."""
    day = one_port_day([0.10, 0.30], wanted_kwh=10.0)
    objective = Objective([EnergyCost(), UnmetEnergy(0.40), DriverTariff(0.45)])
    assert solve(*day, objective).achieved == pytest.approx(3.5 + 1.5)


def test_feeding_back_is_refunded_so_that_charging_and_discharging_in_turn_earns_nothing() -> None:
    """At a flat price and without losses every cycle earns 0; the profit is that of the energy that stays."""
    day = one_port_day([0.20] * 4, wanted_kwh=0.0, energy_kwh=90.0, discharge_kw=10.0, taper_start=0.99)
    solution = solve(*day, Objective([EnergyCost(), DriverTariff(0.45)]))
    assert solution.bound == pytest.approx((0.45 - 0.20) * 10.0, rel=1e-3)


@pytest.mark.parametrize("policy", [BestResponse(), Mpc()])
def test_policies_know_the_tariff(policy: BestResponse | Mpc) -> None:
    site, track = one_port_day([0.10, 0.60], wanted_kwh=0.0)
    for tariff, earned in ((0.05, 0.0), (0.45, 3.5), (0.70, 7.0)):
        objective = Objective([EnergyCost(), UnmetEnergy(0.40), DriverTariff(tariff)])
        simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
        assert rollout(simulator, objective, policy, [track]).team[0] == pytest.approx(earned)


def test_both_are_written_in_a_scenario() -> None:
    prices = {term.name: getattr(term, "price_per_kwh", None) for term in required(driver_tariff=0.45).objective.terms}
    largest = 1.1 * 0.40  # of `tiny`: with a feed-in of 90 %, a price of −0.40 would be one of −0.44
    assert prices == {
        "energy_cost": None,
        "unmet_energy": pytest.approx(100 * (largest + 0.45 + max(0.0, largest - 0.45))),
        "driver_tariff": 0.45,
        "terminal_value": "auto",
    }
