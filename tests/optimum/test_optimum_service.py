"""Service that is required, and drivers who pay: what the optimum then does, by hand and on random days."""

from __future__ import annotations

import numpy as np
import pytest
from optimum_cases import one_port_day, random_day

import ev_marl
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.unmet import REQUIRED, UnmetEnergy
from ev_marl.optimum import solve
from ev_marl.policies import BestResponse, Mpc, PlanPolicy, rollout
from ev_marl.scenario import Scenario
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.track import Track


def test_a_refusal_that_pays_is_none_where_service_is_required() -> None:
    """10 kWh at 0.50 are worth 0.40 to the operator; required, they are delivered, and cost 5.00."""
    day = one_port_day([0.50], wanted_kwh=10.0)
    assert solve(*day, Objective([EnergyCost(), UnmetEnergy(0.40)])).achieved == pytest.approx(-4.0)
    solution = solve(*day, Objective([EnergyCost(), UnmetEnergy.required(0.40)]))
    assert solution.bound == pytest.approx(-5.0)
    assert solution.achieved == pytest.approx(-5.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_least_shortfall_comes_first_and_the_least_cost_second(seed: int) -> None:
    site, track = random_day(seed)
    track = track.replace(import_limit_kw=track.base_load_kw + 0.3 * (track.import_limit_kw - track.base_load_kw))
    least_kwh = -solve(site, track, Objective([UnmetEnergy(1.0)])).achieved
    required = unmet_and_cost(site, track, REQUIRED)
    assert required[0] == pytest.approx(least_kwh, abs=1e-4)
    # Lexicographic: a still higher price changes nothing.
    assert required == pytest.approx(unmet_and_cost(site, track, 10 * REQUIRED), abs=1e-3)


def unmet_and_cost(site: Site, track: Track, factor: float) -> tuple[float, float]:
    """Shortfall [kWh] and cost of energy of the plan, with unmet energy at 0.40 times the factor."""
    solution = solve(site, track, Objective([EnergyCost(), UnmetEnergy(0.40 * factor)]), tolerance=1e-9)
    unmet: list[float] = []
    costs: list[float] = []

    def watch(flow: Flow, _rewards: np.ndarray, terms: np.ndarray) -> None:
        unmet.append(float(flow.unmet_kwh.sum()))
        costs.append(float(terms[0].sum()))

    objective = Objective([EnergyCost(), UnmetEnergy(0.40 * factor)])
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    rollout(simulator, objective, PlanPolicy(solution.plan), [track], watch=watch)
    return sum(unmet), sum(costs)


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
    scenario = ev_marl.load_scenario("tiny")
    written = {"unmet_energy": 0.4, "service": "required", "driver_tariff": 0.45}
    changed = Scenario.model_validate({**scenario.model_dump(), "objective": written})
    objective = Objective.from_scenario(changed, make_coordinator("nearest"))
    prices = {term.name: getattr(term, "price_per_kwh", None) for term in objective.terms}
    assert prices == {
        "energy_cost": None,
        "unmet_energy": pytest.approx(100.0),
        "driver_tariff": 0.45,
        "terminal_value": "auto",
    }
    with pytest.raises(ValueError, match="give it a price above 0"):
        Scenario.model_validate({**scenario.model_dump(), "objective": {"service": "required", "unmet_energy": 0}})
