"""Levels in the step: what is granted, and what a vehicle near the end of charging draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_simulation_currents import day_of, simulator_of, site_of

from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site


def leveled(coordinator: str, *, energy_kwh: float = 0.0, **group: object) -> Simulator:
    """Two ports of 23 kW, from 4 kW on in steps of 1 kW; vehicles of 1000 kWh that want 100 kWh."""
    graph = site_of("L1-L2-L3", "L1-L2-L3", **group).graph.copy()
    for k in range(2):
        graph.nodes[f"ac_{k}/0"].update(least_kw=4.0, step_kw=1.0)
    site = Site.from_graph(graph)
    track = day_of(site)
    sessions = track.sessions.copy()
    sessions["energy_kwh"] = energy_kwh
    sessions["wanted_kwh"] = np.minimum(sessions["wanted_kwh"], 1000.0 - energy_kwh)
    return simulator_of(site, replace(track, sessions=sessions), coordinator)


@pytest.mark.parametrize("coordinator", ["nearest", "proportional", "none"])
def test_granted_powers_are_levels(coordinator: str) -> None:
    flow = leveled(coordinator).step(np.array([[10.7, 3.9]]))
    assert flow.granted_kw.tolist() == [[10.0, 0.0]]
    assert flow.setpoint_kw.tolist() == [[10.7, 3.9]]


def test_shares_of_a_limit_are_rounded_down() -> None:
    """80 A on three phases of 230 V are 55.2 kW, more than both ports; 20 A are 13.8 kW: 6.9 kW each, rounded to 6."""
    assert leveled("nearest", current_limit_a=80.0).step(np.full((1, 2), 23.0)).granted_kw.tolist() == [[23.0, 23.0]]
    assert leveled("nearest", current_limit_a=20.0).step(np.full((1, 2), 23.0)).granted_kw.tolist() == [[6.0, 6.0]]
    # One after the other, nothing is lost: 13 kW is a level, and the 0.8 kW left are none.
    assert leveled("priority", current_limit_a=20.0).step(np.full((1, 2), 23.0)).granted_kw.tolist() == [[13.0, 0.0]]


def test_a_battery_that_takes_less_draws_less() -> None:
    simulator = leveled("nearest", energy_kwh=999.5)
    most = simulator.state.hi_kw.copy()
    assert (most < 4.0).all()
    flow = simulator.step(np.full((1, 2), 23.0))
    assert flow.granted_kw == pytest.approx(most)
    assert simulator.step(0.5 * simulator.state.hi_kw).granted_kw.tolist() == [[0.0, 0.0]]
