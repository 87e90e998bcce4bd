"""One step and whole days: limits, books, step length, events, rows independent of each other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import networkx as nx
import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given
from hypothesis import strategies as st

from ev_marl.simulation.coordinators import COORDINATORS, make_coordinator
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.site.charge_curve import energy_after
from ev_marl.support.errors import ActionError, TrackError
from ev_marl.world.session_table import session_table
from ev_marl.world.track import Track

seeds = st.integers(0, 2**32 - 1)


def random_day(seed: int, *, n_steps: int = 12) -> tuple[np.random.Generator, Site, Track]:
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    return rng, site, random_track(rng, site, n_steps=n_steps)


def copied(flow: Flow, name: str) -> np.ndarray:
    return np.array(getattr(flow, name))


@given(seeds, st.sampled_from(["proportional", "priority", "nearest"]))
def test_limits_hold_and_books_balance_in_every_step(seed: int, coordinator: str) -> None:
    rng, site, track = random_day(seed)
    simulator = Simulator(site.arrays, make_coordinator(coordinator), [track])
    simulator.reset([0, 0])
    sessions = simulator.days.stays
    while not simulator.done:
        lo, hi, session = simulator.state.lo_kw.copy(), simulator.state.hi_kw.copy(), simulator.state.session.copy()
        energy = simulator.state.energy_kwh.copy()
        flow = simulator.step(rng.normal(0, 15, (2, site.arrays.n_ports)))
        assert np.all(flow.group_kw <= flow.upper_kw + 1e-9)
        assert np.all(flow.group_kw >= flow.lower_kw - 1e-9)
        assert np.all(flow.granted_kw <= hi + 1e-12)
        assert np.all(flow.granted_kw >= lo - 1e-12)
        assert np.all(flow.granted_kw * flow.setpoint_kw >= 0)
        assert np.all(np.abs(flow.granted_kw) <= np.abs(flow.setpoint_kw) + 1e-12)
        there = session >= 0
        metered = flow.granted_kw[there] * flow.step_h
        s = session[there]
        losses = np.where(
            metered > 0,
            metered * (1 - sessions["charge_efficiency"][s]),
            -metered * (1 / sessions["discharge_efficiency"][s] - 1),
        )
        np.testing.assert_allclose(metered, flow.energy_change_kwh[there] + losses, atol=1e-9)
        np.testing.assert_allclose(flow.energy_kwh, energy + flow.energy_change_kwh, atol=1e-12)
        assert np.all(flow.energy_kwh[there] <= sessions["capacity_kwh"][s])
        assert np.all(flow.energy_kwh[there] >= sessions["floor_kwh"][s] - 1e-9)
        assert np.all(flow.granted_kw[~there] == 0)
        for group in range(site.arrays.n_groups):
            below = slice(site.arrays.group_first_port[group], site.arrays.group_end_port[group])
            np.testing.assert_allclose(flow.group_kw[:, group], flow.granted_kw[:, below].sum(axis=1), atol=1e-9)


@given(seeds, st.sampled_from(sorted(COORDINATORS.names())))
def test_a_row_does_not_depend_on_the_rows_beside_it(seed: int, coordinator: str) -> None:
    rng, site, track = random_day(seed)
    other = random_track(rng, site, n_steps=track.n_steps)
    asked = rng.normal(0, 15, (track.n_steps, 3, site.arrays.n_ports))
    together = Simulator(site.arrays, make_coordinator(coordinator), [track, other])
    together.reset([0, 1, 0])
    alone = Simulator(site.arrays, make_coordinator(coordinator), [other])
    alone.reset([0])
    for setpoint in asked:
        granted = copied(together.step(setpoint), "granted_kw")
        np.testing.assert_array_equal(granted[1:2], alone.step(setpoint[1:2]).granted_kw)


def one_port(power_kw: float = 22.0, *, discharge_kw: float = 0.0, limit_kw: float = 1000.0) -> Site:
    """A site with one port and a limit that does not bind unless told to."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid", import_limit_kw=limit_kw)
    graph.add_node("ac_0", kind="station", type="ac", supply="ac")
    graph.add_node(
        "ac_0/0",
        kind="port",
        supply="ac",
        charge_kw=power_kw,
        discharge_kw=discharge_kw,
        charge_efficiency=0.9,
        discharge_efficiency=0.8,
    )
    graph.add_edges_from([("grid", "ac_0"), ("ac_0", "ac_0/0")])
    return Site.from_graph(graph)


def one_vehicle(
    site: Site,
    *,
    n_steps: int,
    step_h: float,
    arrival: int = 0,
    departure: int | None = None,
    energy: float = 10.0,
    wanted: float = 30.0,
    reserve: float = 5.0,
) -> Track:
    departure = n_steps if departure is None else departure
    sessions = session_table(
        port=np.array([0]),
        arrival_step=np.array([arrival]),
        departure_step=np.array([departure]),
        energy_kwh=np.array([energy]),
        wanted_kwh=np.array([wanted]),
        capacity_kwh=np.array([50.0]),
        charge_kw=np.array([11.0]),
        discharge_kw=np.array([11.0]),
        taper_start=np.array([0.8]),
        reserve_kwh=np.array([reserve]),
        vehicle=["test"],
    )
    nothing = np.zeros((n_steps, site.arrays.n_groups))
    return Track(
        start=datetime(2023, 5, 15, tzinfo=UTC),
        timezone="UTC",
        step_h=step_h,
        currency="EUR",
        ports=site.ports,
        groups=site.groups,
        sessions=sessions,
        buy_per_kwh=np.full(n_steps, 0.3),
        sell_per_kwh=np.full(n_steps, 0.2),
        base_load_kw=nothing,
        import_limit_kw=nothing + 1000.0,
        export_limit_kw=nothing + 1000.0,
    )


@pytest.mark.parametrize("energy", [10.0, 36.0, 39.5, 44.0, 49.0])
def test_three_steps_of_five_minutes_equal_one_of_fifteen(energy: float) -> None:
    site = one_port()
    coordinator = make_coordinator("nearest")
    short = Simulator(site.arrays, coordinator, [one_vehicle(site, n_steps=12, step_h=1 / 12, energy=energy)])
    long = Simulator(site.arrays, coordinator, [one_vehicle(site, n_steps=4, step_h=0.25, energy=energy)])
    short.reset()
    long.reset()
    full = np.full((1, 1), 100.0)
    while not long.done:
        for _ in range(3):
            thirds = copied(short.step(full), "energy_kwh")
        assert abs(thirds[0, 0] - long.step(full).energy_kwh[0, 0]) <= 1e-12 * 50


def test_discharge_stops_at_the_reserve_and_pays_its_losses() -> None:
    site = one_port(discharge_kw=11.0)
    track = one_vehicle(site, n_steps=4, step_h=0.5, energy=10.0, reserve=5.0)
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    simulator.reset()
    # 5 kWh above the reserve give 4 kWh at the meter (eta 0.8): 8 kW over half an hour.
    flow = simulator.step(np.full((1, 1), -100.0))
    assert flow.granted_kw[0, 0] == pytest.approx(-8.0, abs=1e-12)
    assert flow.energy_kwh[0, 0] == pytest.approx(5.0, abs=1e-12)
    assert simulator.step(np.full((1, 1), -100.0)).granted_kw[0, 0] == 0.0


def test_a_vehicle_that_comes_below_its_reserve_is_not_discharged() -> None:
    site = one_port(discharge_kw=11.0)
    track = one_vehicle(site, n_steps=2, step_h=0.5, energy=3.0, reserve=15.0)
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    simulator.reset()
    assert simulator.step(np.full((1, 1), -100.0)).granted_kw[0, 0] == 0.0


def test_vehicles_come_and_go_at_their_steps() -> None:
    site = one_port()
    track = one_vehicle(site, n_steps=6, step_h=0.25, arrival=2, departure=4)
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    simulator.reset()
    granted, settled = [], []
    while not simulator.done:
        flow = simulator.step(np.full((1, 1), 5.0))
        granted.append(float(flow.granted_kw[0, 0]))
        settled.append(int(flow.settled[0, 0]))
    assert granted == [0, 0, 5, 5, 0, 0]
    assert settled == [-1, -1, -1, 0, -1, -1]


def test_unmet_energy_is_settled_at_departure_on_the_reachable_wish() -> None:
    site = one_port()
    # 11 kW at the meter and eta 0.9 give 9.9 kWh in an hour; 30 were wanted, so 9.9 are due on top of 10.
    track = one_vehicle(site, n_steps=8, step_h=0.25, departure=4, wanted=30.0)
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    simulator.reset()
    unmet = [float(simulator.step(np.zeros((1, 1))).unmet_kwh[0, 0]) for _ in range(8)]
    assert unmet == pytest.approx([0, 0, 0, 9.9, 0, 0, 0, 0])


def test_a_session_that_outlasts_the_horizon_is_owed_what_keeps_its_wish_reachable() -> None:
    site = one_port()
    # 20 kWh wanted (to 30), two hours left after the end give 19.8 kWh: 10.2 kWh must be there at the end.
    track = one_vehicle(site, n_steps=4, step_h=0.5, departure=8, wanted=20.0)
    assert stays_of(site.arrays, track)["due_kwh"][0] == pytest.approx(10.2)
    longer = one_vehicle(site, n_steps=4, step_h=0.5, departure=8, wanted=39.0)
    stays = stays_of(site.arrays, longer)
    rate = 0.9 * 11
    assert float(energy_after(stays["due_kwh"][0], 2.0, rate, 50.0, stays["tau_h"][0])) == pytest.approx(
        min(49.0, float(energy_after(10.0, 4.0, rate, 50.0, stays["tau_h"][0])))
    )


def test_an_overload_by_the_base_load_alone_leaves_the_vehicles_at_zero() -> None:
    site = one_port()
    track = one_vehicle(site, n_steps=2, step_h=0.5)
    track = replace(track, base_load_kw=np.full((2, 1), 50.0), import_limit_kw=np.full((2, 1), 40.0))
    np.testing.assert_array_equal(track.unavoidable_overload_kw, np.full((2, 1), 10.0))
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    simulator.reset()
    assert simulator.step(np.full((1, 1), 5.0)).granted_kw[0, 0] == 0.0


def test_tracks_that_do_not_fit_are_refused() -> None:
    site = one_port()
    track = one_vehicle(site, n_steps=4, step_h=0.5)
    coordinator = make_coordinator("nearest")
    with pytest.raises(TrackError, match="at least one"):
        Simulator(site.arrays, coordinator, [])
    with pytest.raises(TrackError, match="6 steps"):
        Simulator(site.arrays, coordinator, [track, one_vehicle(site, n_steps=6, step_h=0.5)])
    simulator = Simulator(site.arrays, coordinator, [track])
    with pytest.raises(IndexError, match="day"):
        simulator.reset([1])
    with pytest.raises(RuntimeError, match="over"):
        simulator.step(np.zeros((1, 1)))


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("row", "port"), [(0, 0), (1, 3)])
def test_a_setpoint_that_is_not_finite_is_refused_and_the_step_can_be_repeated(
    wild: float, row: int, port: int
) -> None:
    rng = np.random.default_rng(1)
    site = random_site(rng)
    track = random_track(rng, site, n_steps=12)
    simulators = [Simulator(site.arrays, make_coordinator("nearest"), [track]) for _ in range(2)]
    port = min(port, site.arrays.n_ports - 1)
    for simulator in simulators:
        simulator.reset([0, 0])
    asked = rng.normal(0, 15, (2, site.arrays.n_ports))
    broken = asked.copy()
    broken[row, port] = wild
    with pytest.raises(ActionError, match=rf"row {row}, port {port} is {wild}"):
        simulators[0].step(broken)
    first, second = (simulator.step(asked) for simulator in simulators)
    np.testing.assert_array_equal(first.granted_kw, second.granted_kw)
    np.testing.assert_array_equal(first.energy_kwh, second.energy_kwh)


def test_setpoints_of_another_shape_are_refused() -> None:
    _, site, track = random_day(2)
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset()
    with pytest.raises(ActionError, match=r"have shape \(2, .*allowed is \(1, "):
        simulator.step(np.zeros((2, site.arrays.n_ports)))
    with pytest.raises(ActionError, match="setpoints are object; they must be numbers"):
        simulator.step(np.full((1, site.arrays.n_ports), None))
