"""Best response: by hand, against a linear programme of one vehicle, against brute force with the taper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_cases import day, make_station_view, two_lots
from scipy.optimize import linprog

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.policies import BestResponse, best_response, make_policy, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.charge_curve import energy_after
from ev_marl.support.errors import OptionError


def test_it_waits_for_the_cheap_steps_it_needs():
    # 15 kWh at 10 kW: the two cheapest of four steps are the second and the fourth; the first is not needed.
    view = make_station_view(buy=[0.30, 0.10, 0.40, 0.20], energy=20, due=35)
    assert best_response(view) == 0.0
    # One step later the cheapest step has come, and it is used in full.
    view = make_station_view(buy=[0.10, 0.40, 0.20], step=1, energy=20, due=35)
    assert best_response(view) == 10.0
    # In the last step it takes the 5 kWh that are missing.
    view = make_station_view(buy=[0.20], step=3, energy=30, due=35)
    assert best_response(view) == pytest.approx(5.0)


def test_a_price_above_that_of_unmet_energy_is_not_paid():
    assert best_response(make_station_view(buy=[0.5, 0.6], deadline=2, unmet=0.4)) == 0.0
    assert best_response(make_station_view(buy=[0.3, 0.6], deadline=2, unmet=0.4)) == 10.0
    # What counts is the price of a kWh in the battery, losses and wear included: (0.3 + 0.05) / 0.8 > 0.4.
    dear = make_station_view(buy=[0.3, 0.6], deadline=2, unmet=0.4, charge_efficiency=0.8, wear=0.05)
    assert best_response(dear) == 0.0


def test_it_sells_and_buys_back_where_that_pays():
    prices = {"buy": [0.5, 0.1], "sell": [0.45, 0.05], "deadline": 2, "energy": 40.0, "due": 40.0, "discharge_kw": 5.0}
    assert best_response(make_station_view(**prices)) == -5.0
    # Wear of 0.18 each way eats the spread of 0.35.
    assert best_response(make_station_view(**prices, wear=0.18)) == 0.0
    # The reserve is never touched.
    assert best_response(make_station_view(**prices, floor=37.0)) == pytest.approx(-3.0)


def test_it_charges_beyond_the_wish_to_sell_later():
    view = make_station_view(
        buy=[0.1, 0.5], sell=[0.1, 0.5], deadline=2, energy=40.0, due=40.0, discharge_kw=5.0, charge_efficiency=0.9
    )
    # Five kWh can be sold in the last step; 5 kWh in the battery are 5 / 0.9 kWh at the meter.
    assert best_response(view) == pytest.approx(5.0 / 0.9)


def test_negative_prices_fill_the_battery_when_paid_to():
    view = make_station_view(buy=[-0.1, -0.2], deadline=2, energy=20.0, due=20.0, capacity=35.0)
    # 15 kWh of room: ten in the second step, which pays more, so five now.
    assert best_response(view) == pytest.approx(5.0)


def test_of_equally_cheap_steps_the_first_is_taken():
    assert best_response(make_station_view(buy=[0.2, 0.2, 0.2, 0.2], due=30)) == 10.0


def test_the_weight_of_energy_is_that_of_the_objective():
    prices = {"buy": [0.3, 0.6], "deadline": 2, "unmet": 0.4}
    assert best_response(make_station_view(**prices, energy_weight=1.0)) == 10.0
    assert best_response(make_station_view(**prices, energy_weight=2.0)) == 0.0


def test_options_hedge():
    # 10 kWh due in three steps, the last one the cheapest.
    view = make_station_view(buy=[0.3, 0.2, 0.1], deadline=3, energy=20, due=30)
    assert best_response(view) == 0.0
    # Trusting in 40 % of its power later, it can count on 8 kWh only.
    assert best_response(view, trust=0.4) == pytest.approx(2.0)
    # Ready two steps before departure: now.
    assert best_response(view, margin_steps=2) == 10.0
    # Willing to pay 0.25 more for being served now.
    assert best_response(view, adder_per_kwh=-0.25) == 10.0
    assert best_response(view, adder_per_kwh=-0.15) == 0.0
    for options in ({"trust": 1.5}, {"trust": -0.1}, {"margin_steps": -1}):
        with pytest.raises(OptionError):
            BestResponse(**options)


def test_options_may_differ_by_port():
    view = make_station_view(buy=[0.3, 0.2, 0.1], deadline=[3, 3], energy=20, due=30)
    assert best_response(view, trust=np.array([[1.0, 0.4]]), adder_per_kwh=np.array([[0.0, 0.0]])) == pytest.approx(
        np.array([[0.0, 2.0]])
    )


def vehicle(rng: np.random.Generator, n: int, *, negative: bool) -> dict:
    """A random vehicle and prices at which charging and discharging at once never pays."""
    capacity = rng.uniform(20, 80)
    eta_in, eta_out, wear = rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.0), rng.choice([0.0, rng.uniform(0, 0.1)])
    buy = rng.uniform(-0.4 if negative else 0.0, 0.6, n)
    # A selling price low enough that buying always costs more than selling earns, even where both are negative.
    sell = np.minimum(buy, ((buy + wear) / eta_in) / eta_out + wear) - rng.choice([0.0, 0.05])
    floor = rng.uniform(0, 0.5) * capacity
    return {
        "buy": buy,
        "sell": sell,
        "deadline": n,
        "step_h": rng.choice([0.25, 1.0]),
        "capacity": capacity,
        "energy": rng.uniform(floor, capacity),
        "due": rng.uniform(0, capacity),
        "floor": floor,
        "charge_kw": rng.uniform(2, 22),
        "discharge_kw": rng.choice([0.0, rng.uniform(2, 22)]),
        "charge_efficiency": eta_in,
        "discharge_efficiency": eta_out,
        "wear": wear,
        "unmet": rng.choice([0.2, 0.5, 2.0]),
    }


def flow_tangents(v: dict, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and intercepts of F at many energies; F is concave, so no reachable state is cut off."""
    at = np.linspace(v["floor"], v["capacity"], n)
    rate = v["charge_efficiency"] * v["charge_kw"]
    to_knee_h = np.maximum(0.0, (v["capacity"] - at) / rate - v["tau_h"])
    slope = np.exp(-np.maximum(0.0, v["step_h"] - to_knee_h) / v["tau_h"])
    return slope, energy_after(at, v["step_h"], rate, v["capacity"], v["tau_h"]) - slope * at


def optimum_lp(v: dict, first_kw: float | None = None) -> float:
    """Least cost of one vehicle, by scipy; with its first power given, or free."""
    n, h = v["deadline"], v["step_h"]
    # Variables: charge (n), discharge (n), shortfall.
    cost = np.concatenate([h * (v["buy"] + v["wear"]), h * (v["wear"] - v["sell"]), [v["unmet"]]])
    per_step = np.hstack([np.eye(n) * h * v["charge_efficiency"], -np.eye(n) * h / v["discharge_efficiency"]])
    energy = np.hstack([np.tril(np.ones((n, n))) @ per_step, np.zeros((n, 1))])
    due = -energy[-1:].copy()
    due[0, -1] = -1.0
    both = np.hstack([np.eye(n) / v["charge_kw"], np.eye(n) / max(v["discharge_kw"], 1e-9), np.zeros((n, 1))])
    rows = [energy, -energy, due, both]
    right = [
        np.full(n, v["capacity"] - v["energy"]),
        np.full(n, v["energy"] - v["floor"]),
        [v["energy"] - v["due"]],
        np.ones(n),
    ]
    if v.get("tau_h", 0.0) > 0.0:
        # Energy after <= slope * energy before + intercept.
        before = np.vstack([np.zeros((1, 2 * n + 1)), energy[:-1]])
        for slope, intercept in zip(*flow_tangents(v), strict=True):
            rows.append(energy - slope * before)
            right.append(np.full(n, intercept + (slope - 1.0) * v["energy"]))
    bounds = [(0, v["charge_kw"])] * n + [(0, v["discharge_kw"])] * n + [(0, None)]
    if first_kw is not None:
        bounds[0] = (max(first_kw, 0.0),) * 2
        bounds[n] = (max(-first_kw, 0.0),) * 2
    answer = linprog(cost, np.vstack(rows), np.concatenate(right) + 1e-9, bounds=bounds, method="highs")
    assert answer.status == 0, answer.message
    return float(answer.fun)


@given(st.integers(0, 2**32 - 1), st.integers(1, 14), st.booleans())
def test_the_first_power_is_optimal_by_a_linear_programme(seed, n, negative):
    v = vehicle(np.random.default_rng(seed), n, negative=negative)
    setpoint = best_response(make_station_view(**v)).item()
    assert optimum_lp(v, setpoint) == pytest.approx(optimum_lp(v), abs=1e-6)


def test_the_first_power_is_optimal_with_the_taper_too():
    losses = []
    for seed in [*range(150), 2616]:
        rng = np.random.default_rng(seed)
        v = vehicle(rng, 8, negative=seed % 2 == 0)
        v["due"] = rng.uniform(0.8, 1.0) * v["capacity"]
        v["tau_h"] = rng.uniform(0.05, 0.5) * v["capacity"] / (v["charge_efficiency"] * v["charge_kw"])
        losses.append(optimum_lp(v, best_response(make_station_view(**v)).item()) - optimum_lp(v))
    # Chords inside the step at the knee cost a fraction of a cent at worst, and next to nothing on average.
    assert max(losses) < 0.01
    assert np.mean(losses) < 1e-4


def objective(wear=0.02, unmet=0.4):
    return Objective([EnergyCost(), UnmetEnergy(unmet), BatteryWear(wear)])


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_alone_it_is_never_worse_than_any_other_policy(seed, v2g):
    # Charging up to the capacity with a taper: the closed loop pays no more than any simple policy.
    rng = np.random.default_rng(seed)
    site = two_lots((1, 1), power_kw=11.0, v2g=v2g, efficiency=0.93)
    sessions = [(port, 0, 16, 20.0, float(rng.uniform(10, 40)), 60.0, 11.0) for port in range(2)]
    buy = rng.uniform(0.0, 0.5, 16)
    track = day(site, sessions, buy, sell=buy * 0.9, step_h=0.5, reserve=10.0)
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    best = rollout(simulator, objective(), BestResponse(), [track]).team[0]
    for name in ("idle", "uncontrolled", "as-late-as-possible", "price-threshold", "llf", "random"):
        other = rollout(simulator, objective(), make_policy(name), [track]).team[0]
        assert other <= best + 2e-3, name
