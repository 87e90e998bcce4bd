"""The life of the site's transformers as a price: by hand, in the optimum, in mpc."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.plan import PlanPolicy
from ev_marl.scenario import load_scenario
from ev_marl.support.errors import EvMarlError, ObjectiveError

SCENARIO = """
name: warm
start: 2023-05-15
step: 30 min
horizon: 6 h
site:
  name: grid
  groups:
    - name: lot
      base_load: {by_hour: [8, 8, 4, 4, 8, 12, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]}
      transformer: {rating: 16 kVA, secondary: 400 V}
      stations: [{type: ac, count: 2, power: 11 kW}]
  stations: [{type: slow, power: 11 kW}]
sessions: {per_port_per_day: 0}
prices: {constant: 0.10 EUR/kWh}
weather: {temperature: 30 °C}
coordinator: none
objective: {transformer_ageing: 0.50 EUR/h, overload: 1 EUR/kWh, terminal_value: 0}
metering: port
"""


def setting(tmp_path: Path, text: str = SCENARIO) -> Setting:
    path = tmp_path / "warm.yaml"
    path.write_text(text)
    return Setting.of(load_scenario(path))


def day(made: Setting) -> ev_marl.Track:
    cars = [
        {"port": port, "arrival": arrival, "departure": 12, "wanted_kwh": wanted, "capacity_kwh": 90, "energy_kwh": 10}
        for port, arrival, wanted in (("ac_0/0", 0, 20.0), ("ac_1/0", 3, 15.0), ("slow_0/0", 0, 5.0))
    ]
    return made.world.surroundings(0).with_sessions(cars, made.site)


def test_by_hand(tmp_path: Path) -> None:
    """Rest at 8 kW of 16 kVA, then half an hour at 19 kW, 118.75 %: 30 °C of air, oil and winding at both ends."""
    made = setting(tmp_path)
    simulator = made.simulator([day(made)])
    simulator.reset()
    flow = simulator.step(np.array([[5.0, 11.0, 0.0]]))
    assert flow.aged_h is not None
    oil = 55 * (2.25 / 6) ** 0.8
    final, winding = 55 * ((1 + 5 * 1.1875**2) / 6) ** 0.8, 23 * 1.1875**1.6
    after = final + (oil - final) * np.exp(-0.5 / 3)
    assert simulator.state.oil_k[0, 0] == pytest.approx(after)
    rates = [2 ** ((30 + rise + winding - 98) / 6) for rise in (oil, after)]
    assert 0.5 * rates[0] < flow.aged_h[0, 0] < 0.5 * rates[1]
    term = next(term for term in made.objective.terms if term.name == "transformer_ageing")
    out = np.zeros((1, 3))
    term.cost(flow, out)
    assert out[0] == pytest.approx([0.0, 0.5 * flow.aged_h[0, 0], 0.0])  # the slow one stands above the transformer


def test_no_policy_is_above_the_bound_and_the_plan_is_near_it(tmp_path: Path) -> None:
    """The rises are tangents from below: at most 1 % of the ageing. The optimum spreads the charging, mpc too."""
    made = setting(tmp_path)
    track = day(made)
    solution = ev_marl.solve_day(made, track)

    def play(policy: object) -> tuple[float, float]:
        done = rollout(made.simulator([track]), made.objective, policy, [track], world=made.world)
        return float(done.team[0]), float(done.costs["transformer_ageing"][0])

    best, aged = play(PlanPolicy(solution.plan))
    assert best == pytest.approx(solution.achieved)
    assert 0.0 <= solution.bound - best < 0.01 * aged
    early, early_aged = play(make_policy("uncontrolled"))
    assert early_aged > 1.2 * aged
    assert solution.bound - 0.01 * aged < play(make_policy("mpc-perfect"))[0] <= solution.bound
    assert early < play(make_policy("mpc(expected_days=0)"))[0] <= solution.bound
    for name in ("random", "as-late-as-possible", "best-response"):
        assert play(make_policy(name))[0] <= solution.bound
    assert early < best


def test_where_it_cannot_be_priced_it_is_refused_by_name(tmp_path: Path) -> None:
    without = SCENARIO.replace("      transformer: {rating: 16 kVA, secondary: 400 V}\n", "")
    with pytest.raises(ObjectiveError, match="needs a group of the site with `transformer`"):
        setting(tmp_path, without)
    with pytest.raises(EvMarlError, match="not possible with objective term 'transformer_ageing'"):
        setting(tmp_path, SCENARIO.replace("{transformer", "{service: required, transformer"))
    made = setting(tmp_path)
    by_hand = ev_marl.Site.from_graph(made.site.graph)
    with pytest.raises(ObjectiveError, match="does not follow the temperature"):
        ev_marl.solve(by_hand, day(made), made.objective)
