"""The network in the loop, on a chain of three buses whose power flow the tests know by heart."""

from dataclasses import replace

import numpy as np
import pytest
from builders import random_site, random_track
from grid_cases import ChainBackend, chain_day, chain_loop, chain_site
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_marl.grid.loop import thermal
from ev_marl.grid.loop.limits import Bounds
from ev_marl.grid.loop.loop import GridLoop, droop_ratio
from ev_marl.grid.solvers.base import Injections, PowerFlow
from ev_marl.objective.grid import GridLosses, LineOverload, TransformerOverload, VoltageDeviation
from ev_marl.scenario.schema.grid import Chargers, GridLimits, VoltageDroop
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import TrackError
from ev_marl.world import Track


def two_stations(power_kw: float = 50.0, *, v2g: bool = False) -> Site:
    """A station at each bus of the chain."""
    rng = np.random.default_rng(0)
    site = random_site(rng, most_stations=1)
    graph = site.graph
    graph.clear()
    graph.add_node("grid", kind="grid")
    for a in range(2):
        graph.add_node(f"ac_{a}", kind="station", type="ac", supply="ac")
        graph.add_node(f"ac_{a}/0", kind="port", charge_kw=power_kw, discharge_kw=power_kw if v2g else 0.0, supply="ac")
        graph.add_edge("grid", f"ac_{a}")
        graph.add_edge(f"ac_{a}", f"ac_{a}/0")
    return chain_site(Site.from_graph(graph))


def full_day(site: Site, n_steps: int = 4, load_kw: float = 10.0) -> Track:
    """A big, empty battery at every port, all day."""
    sessions = [
        {"port": port, "arrival": 0, "departure": n_steps, "wanted_kwh": 900, "capacity_kwh": 1000, "energy_kwh": 50}
        for port in site.ports
    ]
    return Track.build(site, n_steps=n_steps, sessions=sessions).replace(grid=chain_day(n_steps, load_kw))


def run(site: Site, loop: GridLoop, setpoint_kw: list[float], **day: float) -> Simulator:
    """One step with these setpoints."""
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [full_day(site, **day)], loop)
    simulator.reset()
    simulator.step(np.array([setpoint_kw]))
    return simulator


def exact(loop: GridLoop, charger_kw: list[float], load_kw: float = 10.0) -> Injections:
    """The chain's state."""
    state = Injections.zeros(loop.spec, 1)
    state.load_kw[:], state.charger_kw[:] = load_kw, charger_kw
    return state


def test_the_network_feels_what_is_granted() -> None:
    site = two_stations()
    simulator = run(site, chain_loop(site, limits=GridLimits(voltage=[0.95, 1.05])), [30.0, 20.0])
    flow = simulator.state.grid.flow
    alone = ChainBackend().solve(exact(simulator.grid, [30.0, 20.0]))
    assert flow.charger_kw.tolist() == [[30.0, 20.0]]
    np.testing.assert_array_equal(flow.vm_pu, alone.vm_pu)
    np.testing.assert_array_equal(flow.losses_kw, alone.losses_kw)
    assert simulator.state.granted_kw.tolist() == [[30.0, 20.0]]  # prices, not force, where nothing curtails
    assert (flow.vm_pu < flow.lowest_pu).any()


def test_curtailing_ends_just_within_the_limit_and_takes_where_it_helps() -> None:
    site = two_stations()
    loop = chain_loop(site, limits=GridLimits(voltage=[0.95, 1.05]), curtails=True)
    simulator = run(site, loop, [30.0, 30.0])
    flow, granted = simulator.state.grid.flow, simulator.state.granted_kw[0]
    assert 0.95 - 1e-6 <= flow.vm_pu.min() < 0.95 + 1e-4
    assert granted[1] < granted[0] < 30.0  # a kW at the far bus moves its voltage twice as far
    assert flow.curtailed_kw[0] == pytest.approx(60.0 - granted.sum())
    a, b = np.meshgrid(np.linspace(0.0, 30.0, 121), np.linspace(0.0, 30.0, 121))
    states = exact(loop, [0.0, 0.0]).rows(np.zeros(a.size, dtype=int))
    states.charger_kw[:] = np.stack([a.ravel(), b.ravel()], axis=1)
    kept = ChainBackend().solve(states).vm_pu.min(axis=1) >= 0.95
    least = ((30.0 - states.charger_kw[kept]) ** 2).sum(axis=1).min()
    assert ((30.0 - granted) ** 2).sum() == pytest.approx(least, rel=0.02)  # of a grid of quarter kW


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_curtailed_powers_keep_every_limit_and_only_shrink(seed: int, tight: bool) -> None:
    rng = np.random.default_rng(seed)
    site = chain_site(random_site(rng))
    tracks = [
        random_track(rng, site, n_steps=6).replace(grid=chain_day(6, float(rng.uniform(-20.0, 40.0)))) for _ in range(3)
    ]
    limits = GridLimits(voltage=[0.97, 1.01], line=30.0, transformer=25.0) if tight else GridLimits()
    simulator = Simulator(
        site.arrays, make_coordinator("nearest"), tracks, chain_loop(site, limits=limits, curtails=True)
    )
    simulator.reset(np.arange(3))
    loop = simulator.grid
    while not simulator.done:
        setpoint = rng.uniform(-25.0, 25.0, simulator.state.lo_kw.shape)
        lower, upper = simulator.state.lower_kw.copy(), simulator.state.upper_kw.copy()
        clipped = np.clip(setpoint, simulator.state.lo_kw, simulator.state.hi_kw)
        flow = simulator.step(setpoint)
        grid = flow.grid
        power = ChainBackend().solve(
            loop.days.injections(simulator.state.rows, flow.step, grid.charger_kw, np.zeros_like(grid.charger_kw))
        )
        bounds = Bounds(grid.lowest_pu, grid.highest_pu, grid.line_limit_percent, grid.transformer_limit_percent)
        assert bounds.kept(power).all()
        assert (np.abs(flow.granted_kw) <= np.abs(clipped) + 1e-9).all()
        assert (flow.granted_kw * clipped >= -1e-9).all()
        assert (flow.group_kw <= upper + 1e-7).all()
        assert (flow.group_kw >= lower - 1e-7).all()
        assert np.isfinite(grid.vm_pu).all()


class Rounded(ChainBackend):
    """Voltages that are off by a rounding error, another one in every power flow, at the slack too."""

    def solve(self, injections: Injections) -> PowerFlow:
        flow = super().solve(injections)
        flow.vm_pu += np.random.default_rng(self.solved).normal(0.0, 1e-12, flow.vm_pu.shape)
        return flow


def test_rounding_at_a_bus_that_nobody_moves_takes_no_charging_back() -> None:
    """The slack stands at 1.05 p.u., above the limit, whatever is charged; a line has to be relieved."""
    site = two_stations()
    limits = GridLimits(voltage=[0.75, 1.03], line=60.0, transformer=1000.0)
    granted = [
        run(site, chain_loop(site, limits=limits, curtails=True, backend=backend), [30.0, 30.0]).state.granted_kw[0]
        for backend in (ChainBackend(1.05), *(Rounded(1.05) for _ in range(5)))
    ]
    assert granted[0].min() > 10.0
    for other in granted[1:]:
        np.testing.assert_allclose(other, granted[0], atol=1e-3)


def test_discharging_taken_back_leaves_no_group_with_more_import_than_it_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grid_cases._REACH", np.diag([1.0, 2.0]))  # two feeders: what one does, the other does not feel
    graph = two_stations(60.0, v2g=True).graph.copy()
    graph.nodes["grid"]["import_limit_kw"] = 20.0
    site = chain_site(Site.from_graph(graph))
    track = full_day(site)
    sunny_kw = np.tile([10.0, -30.0], (4, 1))  # lifts the far bus beyond its limit
    track = track.replace(grid=replace(track.grid, load_kw=sunny_kw))
    loop = chain_loop(site, limits=GridLimits(voltage=[0.8, 1.01], line=1000.0, transformer=1000.0), curtails=True)
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], loop)
    simulator.reset()
    flow = simulator.step(np.array([[50.0, -45.0]]))
    assert flow.granted_kw[0].tolist() == pytest.approx([20.0, 0.0])
    assert flow.group_kw[0, 0] <= 20.0 + 1e-9


@pytest.mark.parametrize(("coordinator", "expected_kw"), [("nearest", 10.0), ("none", 30.0)])
def test_limits_of_the_site_that_may_be_exceeded_stay_so_where_the_network_curtails(
    monkeypatch: pytest.MonkeyPatch, coordinator: str, expected_kw: float
) -> None:
    monkeypatch.setattr("grid_cases._REACH", np.diag([1.0, 2.0]))
    graph = two_stations().graph.copy()
    for station in ("ac_0", "ac_1"):
        graph.nodes[station]["import_limit_kw"] = 10.0
    graph.nodes["grid"]["current_limit_a"] = (
        1000.0  # as soon as there are limits of currents, all limits are kept again
    )
    site = chain_site(Site.from_graph(graph))
    loop = chain_loop(site, limits=GridLimits(voltage=[0.95, 1.05], line=1000.0, transformer=1000.0), curtails=True)
    simulator = Simulator(site.arrays, make_coordinator(coordinator), [full_day(site, load_kw=15.0)], loop)
    simulator.reset()
    flow = simulator.step(np.array([[30.0, 45.0]]))
    assert flow.granted_kw[0, 0] == pytest.approx(expected_kw)
    assert (flow.grid.curtailed_kw[0] > 1.0) == (coordinator == "none")


def test_a_limit_that_breaks_without_charging_is_widened_and_not_made_worse() -> None:
    site = two_stations(v2g=True)
    loop = chain_loop(site, limits=GridLimits(voltage=[0.99, 1.01]), curtails=True)
    simulator = run(site, loop, [30.0, -10.0], load_kw=20.0)
    flow = simulator.state.grid.flow
    idle = ChainBackend().solve(exact(loop, [0.0, 0.0], 20.0))
    assert idle.vm_pu.min() < 0.99
    np.testing.assert_allclose(flow.lowest_pu[0], np.minimum(0.99, idle.vm_pu[0]))
    assert (flow.vm_pu >= idle.vm_pu - 1e-6).all()
    assert simulator.state.granted_kw[0, 1] == -10.0  # what helps is not taken back


@pytest.mark.parametrize("chargers", [Chargers(), Chargers(q_of_v=VoltageDroop(share=1.0))])
def test_rows_do_not_depend_on_who_shares_the_batch(chargers: Chargers) -> None:
    rng = np.random.default_rng(3)
    site = chain_site(random_site(rng))
    tracks = [random_track(rng, site, n_steps=5).replace(grid=chain_day(5, 12.0 * k)) for k in range(3)]
    loop = chain_loop(site, limits=GridLimits(voltage=[0.97, 1.02]), curtails=True, chargers=chargers)
    together = Simulator(site.arrays, make_coordinator("nearest"), tracks, loop)
    together.reset(np.arange(3))
    setpoints = rng.uniform(-25.0, 25.0, (5, 3, site.arrays.n_ports))
    told = [(together.step(s).granted_kw.copy(), together.state.grid.flow.vm_pu.copy()) for s in setpoints]
    for row in range(3):
        alone = Simulator(site.arrays, make_coordinator("nearest"), tracks, loop)
        alone.reset(np.array([row]))
        for (granted, vm_pu), setpoint in zip(told, setpoints, strict=True):
            flow = alone.step(setpoint[row : row + 1])
            np.testing.assert_allclose(flow.granted_kw[0], granted[row], rtol=0, atol=1e-9)
            np.testing.assert_allclose(flow.grid.vm_pu[0], vm_pu[row], rtol=0, atol=1e-12)


def test_what_the_backend_cannot_solve_the_reference_may() -> None:
    site = two_stations()
    loop = chain_loop(site, backend=ChainBackend(blind_above_kw=20.0))
    simulator = run(site, loop, [20.0, 10.0])
    flow = simulator.state.grid.flow
    assert simulator.grid.retried == 1
    assert not flow.cut.any()
    assert not flow.failed.any()
    assert simulator.state.granted_kw.tolist() == [[20.0, 10.0]]


def test_without_a_solution_charging_is_cut_to_the_safe_share() -> None:
    site = two_stations(600.0)
    simulator = run(site, chain_loop(site, safe_fraction=0.1), [300.0, 300.0])
    flow = simulator.state.grid.flow
    assert flow.cut.tolist() == [True]
    assert flow.failed.tolist() == [False]
    np.testing.assert_allclose(simulator.state.granted_kw, [[30.0, 30.0]])
    simulator = run(site, chain_loop(site, safe_fraction=0.9), [300.0, 300.0])
    np.testing.assert_array_equal(simulator.state.granted_kw, [[0.0, 0.0]])
    assert simulator.state.grid.flow.cut.tolist() == [True]


def test_a_network_that_fails_without_charging_tells_the_last_valid_state() -> None:
    site = two_stations()
    track = full_day(site, n_steps=2)
    day = track.grid
    load_kw = day.load_kw.copy()
    load_kw[1] = 2000.0
    track = track.replace(grid=replace(day, load_kw=load_kw))
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], chain_loop(site, curtails=True))
    simulator.reset()
    first = simulator.step(np.array([[5.0, 5.0]])).grid.vm_pu.copy()
    flow = simulator.step(np.array([[5.0, 5.0]])).grid
    assert flow.failed.tolist() == [True]
    np.testing.assert_array_equal(flow.vm_pu, first)
    np.testing.assert_array_equal(simulator.state.granted_kw, 0.0)
    assert all(np.isfinite(value).all() for value in (flow.losses_kw, flow.line_percent, flow.hot_spot_c))


def test_a_network_that_fails_in_the_first_step_tells_numbers_all_day() -> None:
    site = two_stations()
    track = full_day(site)
    load_kw = track.grid.load_kw.copy()
    load_kw[0] = 2000.0
    track = track.replace(grid=replace(track.grid, load_kw=load_kw))
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], chain_loop(site))
    simulator.reset()
    told = [simulator.state.grid.flow]
    while not simulator.done:
        told.append(simulator.step(np.array([[5.0, 5.0]])).grid)
    assert [bool(flow.failed[0]) for flow in told] == [True, True, False, False, False]
    for flow in told:
        loadings = (flow.line_percent, flow.transformer_percent, flow.hot_spot_c)
        assert all(np.isfinite(value).all() for value in (flow.vm_pu, flow.slack_kw, flow.losses_kw, *loadings))


def test_a_network_that_fails_without_charging_costs_the_vehicles_nothing() -> None:
    site = two_stations()
    track = full_day(site, n_steps=3)
    load_kw = track.grid.load_kw.copy()
    load_kw[0], load_kw[1] = 60.0, 2000.0  # too much for the limits, then for the network
    track = track.replace(grid=replace(track.grid, load_kw=load_kw))
    limits = GridLimits(voltage=[0.95, 1.05])
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], chain_loop(site, limits=limits))
    simulator.reset()
    terms = [VoltageDeviation(1.0), LineOverload(1.0), TransformerOverload(1.0), GridLosses(1.0)]
    failed, cost = [], np.empty((1, site.arrays.n_ports))
    while not simulator.done:
        flow = simulator.step(np.zeros((1, site.arrays.n_ports)))
        failed.append(bool(flow.grid.failed[0]))
        for term in terms:
            term.cost(flow, cost)
            assert cost.tolist() == [[0.0, 0.0]]
    assert failed == [False, True, False]


def test_reactive_power_follows_the_voltage() -> None:
    site = two_stations()
    droop = VoltageDroop()
    simulator = run(site, chain_loop(site, chargers=Chargers(q_of_v=droop)), [30.0, 20.0])
    flow = simulator.state.grid.flow
    np.testing.assert_allclose(
        flow.charger_kvar[0], [30.0, 20.0] * droop_ratio(droop, flow.vm_pu[0, 1:]), rtol=0, atol=1e-3
    )
    plain = run(site, chain_loop(site), [30.0, 20.0]).state.grid.flow
    assert (flow.vm_pu[0, 1:] > plain.vm_pu[0, 1:]).all()
    assert droop_ratio(droop, np.array([0.90, 0.955, 1.0, 1.10])).tolist() == pytest.approx(
        [-0.3287, -0.16435, 0.0, 0.3287]
    )


def test_a_power_factor_draws_reactive_power() -> None:
    site = two_stations()
    flow = run(site, chain_loop(site, chargers=Chargers(power_factor=0.8)), [10.0, 0.0]).state.grid.flow
    assert flow.charger_kvar[0].tolist() == pytest.approx([7.5, 0.0])


def test_a_transformer_at_rated_load_ends_at_98_degrees() -> None:
    rated = np.array([100.0])
    assert thermal.hot_spot_c(thermal.steady_oil_rise_k(rated), rated)[0] == pytest.approx(98.0)
    cold = thermal.steady_oil_rise_k(np.array([0.0]))
    assert cold[0] == pytest.approx(55.0 * (1.0 / 6.0) ** 0.8)
    after = thermal.oil_after(cold, rated, 3.0)  # one time constant closes 63 % of the way
    assert after[0] == pytest.approx(55.0 + (cold[0] - 55.0) * np.exp(-1.0))
    thrice = thermal.oil_after(thermal.oil_after(thermal.oil_after(cold, rated, 1.0), rated, 1.0), rated, 1.0)
    assert thrice[0] == pytest.approx(after[0])


def test_sensitivity_is_that_of_the_own_bus() -> None:
    site = two_stations()
    near, far = chain_loop(site).sensitivity_pu_per_kw
    assert near == pytest.approx(-0.05 / 100.0, rel=0.1)
    assert far == pytest.approx(-0.10 / 100.0, rel=0.1)


def test_tracks_must_know_the_network() -> None:
    site = two_stations()
    track = full_day(site)
    with pytest.raises(TrackError, match="without `grid`"):
        Simulator(site.arrays, make_coordinator("nearest"), [track.replace(grid=None)], chain_loop(site))
