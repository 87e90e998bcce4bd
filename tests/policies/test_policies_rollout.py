"""Views and rollouts: what a policy is shown, and what an episode comes to."""

from __future__ import annotations

import numpy as np
import pytest
from policies_cases import day, outlook_on, two_lots

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.policies import Idle, LeastLaxityFirst, SiteView, Uncontrolled, make_policy, make_view, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator


@pytest.fixture
def setting():
    """Two one-port stations below 12 kW, one vehicle at each in the second hour, one hour apart in their departure."""
    site = two_lots((1, 1), limits=(12.0, np.inf, np.inf), efficiency=0.9)
    track = day(site, [(0, 1, 3, 10.0, 9.0, 60.0, 11.0), (1, 1, 4, 20.0, 9.0, 60.0, 11.0)], [0.1, 0.2, 0.3, 0.4])
    return site, track, Simulator(site.arrays, make_coordinator("priority"), [track])


def test_a_view_shows_what_is_there(setting):
    simulator = setting[2]
    objective = Objective([EnergyCost(2.0), UnmetEnergy(0.7), BatteryWear(0.03)])
    simulator.reset([0])
    outlook = outlook_on(simulator)
    empty = make_view(simulator, objective, Idle(), outlook)
    assert not isinstance(empty, SiteView)
    assert not empty.connected.any()
    assert (empty.energy_kwh == 0.0).all()
    assert (empty.vehicle["capacity_kwh"] == 1.0).all()
    assert np.isinf(empty.laxity_h).all()
    assert (empty.vehicle["deadline_step"] == 0).all()
    simulator.step(np.zeros((1, 2)))
    view = make_view(simulator, objective, LeastLaxityFirst(), outlook)
    assert isinstance(view, SiteView)
    assert view.step == 1
    assert view.connected.all()
    assert view.vehicle["due_kwh"] == pytest.approx(np.array([[19.0, 29.0]]))
    assert view.vehicle["deadline_step"].tolist() == [[3, 4]]
    # Time left less 9 kWh at 0.9 * 10 kW.
    assert view.laxity_h == pytest.approx(np.array([[1.0, 2.0]]))
    assert view.hi_kw == pytest.approx(np.array([[10.0, 10.0]]))
    assert view.buy_per_kwh.tolist() == [[0.2, 0.3, 0.4]]
    assert (view.worth.energy_weight, view.worth.wear_per_kwh, view.worth.unmet_per_kwh) == (2.0, 0.03, 0.7)
    assert view.upper_kw[0, 0] == 12.0
    view.energy_kwh[:] = 0.0
    assert simulator.state.energy_kwh.tolist() == [[10.0, 20.0]]


def test_what_does_not_count_has_no_price(setting):
    simulator = setting[2]
    simulator.reset([0])
    view = make_view(simulator, Objective([UnmetEnergy(0.7)]), Idle(), outlook_on(simulator))
    assert (view.worth.energy_weight, view.worth.wear_per_kwh) == (0.0, 0.0)


def test_a_rollout_by_hand(setting):
    _, track, simulator = setting
    objective = Objective([EnergyCost(), UnmetEnergy(0.7), BatteryWear(0.03)])
    # Nine kWh each: 10 kWh at the meter. In the second hour the more urgent port 0 gets 10 kW and port 1 gets 2 kW.
    result = rollout(simulator, objective, Uncontrolled(), [track, track])
    assert result.costs["energy_cost"] == pytest.approx([12 * 0.2 + 8 * 0.3] * 2)
    assert result.costs["battery_wear"] == pytest.approx([20 * 0.03] * 2)
    assert result.costs["unmet_energy"] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert result.returns[0] == pytest.approx([-10 * 0.2 - 0.3, -2 * 0.2 - 8 * 0.3 - 0.3])
    assert result.team == pytest.approx(-sum(result.costs.values()))
    assert rollout(simulator, objective, Idle(), [track]).team == pytest.approx([-18 * 0.7])


def test_the_seed_decides_what_is_random(setting):
    _, track, simulator = setting
    objective = Objective([EnergyCost()])
    first, same, other = (rollout(simulator, objective, make_policy("random"), [track], seed=s).team for s in (1, 1, 2))
    assert first == same
    assert first != other
