"""Current limits in the step: the base load, the clamped limit, what is scaled and what the flow says."""

from __future__ import annotations

import pickle
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from builders import START, random_track

from ev_marl.scenario.schema import Transformer
from ev_marl.simulation.coordinators import COORDINATORS
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.session_table import session_table
from ev_marl.world.track import Track


def site_of(*phases: str, v2g: bool = False, **group: object) -> Site:
    """One group with a station of 23 kW on each of the given conductors, 230 V."""
    graph = nx.DiGraph()
    graph.add_node("lot", kind="parking_lot", **group)
    for k, conductors in enumerate(phases):
        graph.add_node(f"ac_{k}", kind="station", phases=conductors)
        graph.add_node(f"ac_{k}/0", kind="port", charge_kw=23.0, discharge_kw=23.0 if v2g else 0.0)
        graph.add_edges_from([("lot", f"ac_{k}"), (f"ac_{k}", f"ac_{k}/0")])
    return Site.from_graph(graph)


def day_of(site: Site, base_kw: float = 0.0, n_steps: int = 4) -> Track:
    """A vehicle at each port all day, with room for much more than it gets."""
    ports = np.arange(site.arrays.n_ports)
    each = np.ones(len(ports))
    sessions = session_table(
        port=ports,
        arrival_step=0 * ports,
        departure_step=0 * ports + n_steps,
        energy_kwh=200.0 * each,
        wanted_kwh=100.0 * each,
        capacity_kwh=1000.0 * each,
        charge_kw=23.0 * each,
        discharge_kw=23.0 * each,
        taper_start=0.9 * each,
    )
    base = np.zeros((n_steps, site.arrays.n_groups)) + base_kw
    unlimited = np.full(base.shape, np.inf)
    return Track(
        start=START,
        timezone="UTC",
        step_h=0.25,
        currency="EUR",
        ports=site.ports,
        groups=site.groups,
        sessions=sessions,
        buy_per_kwh=np.full(n_steps, 0.3),
        sell_per_kwh=np.full(n_steps, 0.1),
        base_load_kw=base,
        import_limit_kw=unlimited,
        export_limit_kw=unlimited,
    )


def simulator_of(site: Site, track: Track, coordinator: str = "proportional") -> Simulator:
    simulator = Simulator(site.arrays, COORDINATORS.make(coordinator, options={}), [track])
    simulator.reset()
    return simulator


def test_single_phases_are_limited_one_by_one() -> None:
    # 23 kW is 100 A. On one phase, two ports share 80 A.
    site = site_of("L1", "L1", current_limit_a=80.0)
    flow = simulator_of(site, day_of(site)).step(np.array([[23.0, 11.5]]))
    assert flow.granted_kw[0] == pytest.approx(np.array([23.0, 11.5]) * 80 / 150)
    assert flow.current_a[0] == pytest.approx([80.0])
    assert flow.current_limit_a[0] == pytest.approx([80.0])


def test_currents_of_two_phases_add_as_phasors() -> None:
    # 13.28 kW between two phases of 400 V line to line is 33.3 A. L1 carries I(L1-L2) − I(L3-L1), at 30° and 150°:
    # √3 · 33.3 = 57.7 A; together with L2-L3 all lines carry that.
    site = site_of("L1-L2", "L3-L1", "L2-L3", current_limit_a=100.0)
    asked = np.full((1, 3), 100 / 3 * 0.23 * np.sqrt(3))
    flow = simulator_of(site, day_of(site)).step(asked)
    assert site.currents == ("lot L1", "lot L2", "lot L3")
    assert flow.current_a[0] == pytest.approx(np.full(3, 100 / np.sqrt(3)))
    assert flow.granted_kw == pytest.approx(asked)


def test_a_discharging_vehicle_relieves_its_own_phase_only() -> None:
    site = site_of("L1", "L1", "L2", v2g=True, current_limit_a=50.0)
    flow = simulator_of(site, day_of(site)).step(np.array([[23.0, -11.5, 0.0]]))
    assert flow.granted_kw[0] == pytest.approx([23.0, -11.5, 0.0])
    flow = simulator_of(site, day_of(site)).step(np.array([[23.0, 0.0, -11.5]]))
    assert flow.current_a[0] == pytest.approx([50.0, 25.0])


def test_the_base_load_flows_in_all_phases() -> None:
    # 27.6 kW of base load are 40 A in each phase: of 60 A, 20 A are left, 4.6 kW on one phase.
    site = site_of("L1", current_limit_a=60.0)
    flow = simulator_of(site, day_of(site, 27.6)).step(np.array([[23.0]]))
    assert flow.granted_kw[0] == pytest.approx([4.6])
    # 40 A at 0° and x at 30° make 60 A: x² + 2·40·x·cos 30° + 40² = 60², x = 21.93 A, 8.735 kW at 230 V · √3.
    site = site_of("L1-L2", current_limit_a=60.0)
    flow = simulator_of(site, day_of(site, 27.6)).step(np.array([[23.0]]))
    assert flow.granted_kw[0] == pytest.approx([21.9275 * 0.23 * np.sqrt(3)], rel=1e-5)


def test_a_base_load_beyond_the_limit_is_not_the_vehicles_doing() -> None:
    site = site_of("L1", "L2", v2g=True, current_limit_a=30.0)
    simulator = simulator_of(site, day_of(site, 27.6))
    assert simulator.state.currents[2] == pytest.approx(np.full((1, 2), 40.0))
    flow = simulator.step(np.array([[5.0, 0.0]]))
    assert flow.granted_kw[0] == pytest.approx([0.0, 0.0])
    flow = simulator.step(np.array([[-4.6, 0.0]]))
    assert flow.current_a[0] == pytest.approx([20.0, 40.0])


def test_no_coordinator_keeps_no_current_limit_but_currents_are_measured() -> None:
    site = site_of("L1", current_limit_a=60.0)
    flow = simulator_of(site, day_of(site), "none").step(np.array([[23.0]]))
    assert flow.current_a[0] == pytest.approx([100.0])


def test_a_transformer_limits_the_primary_too() -> None:
    # 30 kVA, 400 V to 400 V: 43.3 A in all windings and lines. L1 and L2 of the secondary at 43.3 A each make more than
    # that on the primary: L2 of a Dyn11 carries the difference of two phases over √3, and all of 43.3 · √3 / √3.
    transformer = Transformer(rating=30, vector_group="Dyn11", primary=400, secondary=400)
    site = site_of("L1", "L2", transformer=transformer)
    flow = simulator_of(site, day_of(site)).step(np.array([[23.0, 23.0]]))
    limit = 30_000 / np.sqrt(3) / 400
    assert flow.current_a.max() == pytest.approx(limit)
    currents = dict(zip(site.currents, flow.current_a[0], strict=True))
    assert currents["lot primary L2"] == pytest.approx(currents["lot secondary L1"])


def test_the_garage_that_the_documentation_works_by_hand() -> None:
    transformer = Transformer(rating=150, vector_group="Dyn11", primary=480, secondary=208)
    site = site_of(*["L1-L2"] * 36, *["L3-L1"] * 18, transformer=transformer)
    asked = np.full((1, 54), 2.08)
    flow = simulator_of(site, day_of(site), "none").step(asked)
    expected = {"secondary L1": 476.2, "secondary L2": 360, "secondary L3": 180}
    expected |= {"primary L1": 156, "primary L2": 206.4, "primary L3": 78}
    for name, amps in zip(site.currents, flow.current_a[0], strict=True):
        assert amps == pytest.approx(expected[name.removeprefix("lot ")], abs=0.05)
    granted = simulator_of(site, day_of(site)).step(asked).granted_kw
    assert granted == pytest.approx(asked * 0.8743, rel=1e-4)


def test_phases_may_differ_by_so_much() -> None:
    """20 A at 230 V are 4.6 kW. With 2.3 kW in L3, 10 A, L1 and L2 may have 30 A each, 6.9 kW."""
    site = site_of("L1", "L2", "L3", unbalance_limit_a=20.0)
    assert site.currents == ("lot L1 against L2", "lot L2 against L3", "lot L3 against L1")
    simulator = simulator_of(site, day_of(site, 27.6), "nearest")
    assert simulator.step(np.array([[23.0, 23.0, 2.3]])).granted_kw[0] == pytest.approx([6.9, 6.9, 2.3])
    assert simulator.step(np.array([[23.0, 23.0, 0.0]])).granted_kw[0] == pytest.approx([4.6, 4.6, 0.0])
    assert simulator.step(np.full((1, 3), 23.0)).granted_kw[0] == pytest.approx([23.0, 23.0, 23.0])
    alone = site_of("L1", "L1", unbalance_limit_a=20.0)
    assert len(alone.currents) == 1  # L1 against L2, and L3 against L1, are the same
    assert simulator_of(alone, day_of(alone)).step(np.full((1, 2), 23.0)).granted_kw.sum() == pytest.approx(4.6)
    assert site_of("L1-L2-L3", unbalance_limit_a=20.0).currents == ()


@pytest.mark.parametrize("coordinator", ["nearest", "proportional", "priority", "round-robin"])
def test_every_coordinator_keeps_the_phases_alike(coordinator: str) -> None:
    """The magnitudes of the currents, from voltages and powers: between two phases, the return is in the other one."""
    phases = ("L1", "L2", "L1", "L1-L2", "L3-L1", "L1-L2-L3", "L2-L3")
    site = site_of(*phases, v2g=True, unbalance_limit_a=20.0, current_limit_a=90.0)
    simulator, rng = simulator_of(site, day_of(site, 13.8, n_steps=400), coordinator), np.random.default_rng(1)
    weight, base_weight = site.connection_currents
    worst = 0.0
    for _ in range(400):
        flow = simulator.step(rng.uniform(-23.0, 23.0, (1, len(phases))))
        amps = np.abs(weight @ flow.granted_kw[0] + base_weight * 13.8)
        assert amps.max() <= 90.0 * (1.0 + 1e-6)
        worst = max(worst, amps.max() - amps.min())
    assert 15.0 < worst <= 20.0 * (1.0 + 1e-6)


def test_state_copies_and_pickles_with_its_currents() -> None:
    site = site_of("L1", "L2", current_limit_a=60.0)
    simulator = simulator_of(site, day_of(site, 6.9))
    state = simulator.state.copy()
    again = pickle.loads(pickle.dumps(state))
    assert np.array_equal(again.currents, simulator.state.currents)
    before = state.currents.copy()
    simulator.step(np.zeros((1, 2)))
    assert np.array_equal(state.currents, before)


def test_each_batch_row_has_the_currents_of_its_day() -> None:
    site = site_of("L1", current_limit_a=60.0)
    first = day_of(site)
    second = replace(first, base_load_kw=first.base_load_kw + np.arange(4)[:, None] * 6.9)
    simulator = Simulator(site.arrays, COORDINATORS.make("proportional", options={}), [first, second])
    simulator.reset([1, 0, 1])
    for step in range(4):
        assert simulator.state.currents[0, :, 0] == pytest.approx([10.0 * step, 0.0, 10.0 * step])
        flow = simulator.step(np.full((3, 1), 23.0))
        assert flow.current_a[:, 0] == pytest.approx([60.0, 60.0, 60.0])
    assert simulator.state.currents[0, :, 0] == pytest.approx([30.0, 0.0, 30.0])


def test_a_site_without_current_limits_has_none() -> None:
    rng = np.random.default_rng(0)
    site = site_of("L1", "L2-L3")
    simulator = simulator_of(site, random_track(rng, site))
    flow = simulator.step(np.zeros((1, 2)))
    assert simulator.state.currents.shape == (3, 1, 0)
    assert flow.current_a.shape == flow.current_limit_a.shape == (1, 0)
