"""Plans of messages for vehicles that stay beyond the end: by hand, and against the optimum of one vehicle."""

from __future__ import annotations

import numpy as np
import pytest
from optimum_cases import staying_vehicle
from policies_cases import make_station_view, two_lots

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.terminal import TerminalValue
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.optimum import solve
from ev_marl.policies import DualPrices, Policy, Selfish, best_response, rollout
from ev_marl.policies.messages.plan import at_each_place, plan_at_prices, plan_in_turn
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator

# In four hours 4 kWh are due, and 20 kWh by some time after the end.
STAYS = {"buy": [0.30, 0.10, 0.20, 0.12], "energy": 20.0, "due": 24.0, "wish": 40.0, "even": 30.0, "departure": 9}


def both_plans(**options: object) -> list[np.ndarray]:
    """Power of the only vehicle in each step: as an answer to published prices, and in its turn."""
    view = make_station_view(**(STAYS | options))
    answered, chosen = np.zeros((1, 1, 4)), np.zeros((1, 1, 4))
    energy = view.worth.energy_per_kwh(view.buy_per_kwh, view.sell_per_kwh)
    price = at_each_place(energy, np.zeros((1, 1, 4)), 0)
    place = np.zeros(1, dtype=np.int64)
    plan_at_prices(view, view.vehicles, place, price, answered, inertia_per_kwh=1e-4, n_values=200)
    site, free = two_lots((1, 1)).arrays, np.full((1, 3, 4), np.inf)
    plan_in_turn(view, np.zeros((1, 1), dtype=np.int64), site, np.stack([-free, free]), np.zeros((1, 4)), chosen)
    return [answered[0, 0], chosen[0, 0]]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (0.0, [0.0, 4.0, 0.0, 0.0]),  # only what is due
        (0.11, [0.0, 10.0, 0.0, 0.0]),  # what is cheaper than later
        (0.15, [0.0, 10.0, 0.0, 10.0]),
        (0.35, [0.0, 10.0, 0.0, 10.0]),  # never more than the wish
    ],
)
def test_a_vehicle_that_stays_charges_what_is_cheaper_now_than_later(end: float, expected: list[float]) -> None:
    for plan in both_plans(end=end):
        assert plan == pytest.approx(expected, abs=0.05)


def test_losses_count_and_unmet_energy_is_the_most_that_a_kwh_is_worth() -> None:
    # Each kWh at the meter is 0.8 kWh in the battery, now and later alike.
    for plan in both_plans(end=0.15, charge_efficiency=0.8):
        assert plan == pytest.approx([0.0, 10.0, 0.0, 10.0], abs=0.05)
    # At 0.11 per kWh unmet, 0.10 is worth paying and 0.12 is not, whatever a kWh costs later.
    for plan in both_plans(end=0.35, unmet=0.11):
        assert plan == pytest.approx([0.0, 10.0, 0.0, 0.0], abs=0.05)


def test_nothing_is_taken_out_for_less_than_it_costs_later() -> None:
    full = {"energy": 40.0, "discharge_kw": 10.0, "floor": 10.0, "buy": [0.30] * 4, "unmet": 0.5, "wear": 0.02}
    for plan in both_plans(end=0.35, **full):
        assert plan == pytest.approx(0.0, abs=0.05)
    # Where later is cheaper, it sells, down to what is due.
    for plan in both_plans(end=0.25, **full):
        assert plan.sum() == pytest.approx(-16.0, abs=0.05)


@pytest.mark.parametrize("end", [0.0, 0.05, 0.11, 0.15, 0.35])
@pytest.mark.parametrize("step", range(4))
def test_the_first_step_is_that_of_the_exact_plan(end: float, step: int) -> None:
    buy = STAYS["buy"][step:] + STAYS["buy"][:step]
    exact = best_response(make_station_view(**(STAYS | {"buy": buy}), end=end)).item()
    for plan in both_plans(buy=buy, end=end):
        assert plan[0] == pytest.approx(exact, abs=0.05)


def gap(seed: int, policy: Policy) -> float:
    """What a policy earns less than the optimum of a vehicle that stays, alone at the site [EUR]."""
    site, track = staying_vehicle(np.random.default_rng(seed))
    terms = (EnergyCost(), UnmetEnergy(0.40))
    objective = Objective([*terms, TerminalValue.beside(terms)])
    bound = solve(site, track, objective).bound
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    return bound - float(rollout(simulator, objective, policy, [track]).team[0])


def test_a_vehicle_that_stays_plans_as_the_optimum_does() -> None:
    # Plans are made on a grid of marginal values: rarely that costs some cents.
    for policy in (DualPrices(rounds=30, inertia_per_kwh=0.02), Selfish()):
        gaps = np.array([gap(seed, policy) for seed in range(60)])
        assert gaps.min() >= -1e-6
        assert gaps.mean() < 0.005
        assert gaps.max() < 0.1
