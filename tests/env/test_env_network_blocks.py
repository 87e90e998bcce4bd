"""What stations see of the network: numbers worked by hand, bounds that hold whatever happens, and the ways up."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from builders import random_site, random_track
from grid_cases import chain_day, chain_loop, chain_site
from network_cases import quiet_flow, small_spec

from ev_marl.env.blocks import BLOCKS, ObservationBlock
from ev_marl.env.blocks.base import OnGrid
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import NetworkError


def two_stations(network: object = None) -> Site:
    """`dc_0` with one port of 20 kW at `east`, `ac_0` with two ports of 10 kW at `west`."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid")
    for name, n_ports, power_kw in (("dc_0", 1, 20.0), ("ac_0", 2, 10.0)):
        graph.add_node(name, kind="station")
        graph.add_edge("grid", name)
        for k in range(n_ports):
            graph.add_node(f"{name}/{k}", kind="port", charge_kw=power_kw)
            graph.add_edge(name, f"{name}/{k}")
    site = Site.from_graph(graph)
    if network is not None:
        site.network = network  # type: ignore[assignment]
        site.port_charger = np.array([1, 0, 0])
    return site


def seen(block: ObservationBlock, site: Site, n_batch: int = 1, **changes: Any) -> np.ndarray:
    """What a block writes when this is on the network; shape (n_batch, 2, n_features)."""
    simulator = Simulator(
        site.arrays, make_coordinator("none"), [random_track(np.random.default_rng(0), site, n_steps=2)]
    )
    simulator.reset([0] * n_batch)
    simulator.state.grid = SimpleNamespace(flow=quiet_flow(n_batch, **changes))  # type: ignore[assignment]
    features = block.bind(site)
    if isinstance(block, OnGrid):
        block.connect(SimpleNamespace(sensitivity_pu_per_kw=np.array([-0.001, -0.002])))  # type: ignore[arg-type]
    block.load(simulator.days)
    out = np.full((n_batch, 2, len(features)), np.nan, dtype=np.float32)
    block.fill(simulator.state, out)
    assert np.all(out >= [feature.low for feature in features])
    assert np.all(out <= [feature.high for feature in features])
    return out


def test_each_station_sees_the_voltage_of_its_own_bus() -> None:
    block, site = BLOCKS.get("voltage")(), two_stations(SimpleNamespace(spec=small_spec()))
    out = seen(block, site, vm_pu=[1.0, 1.0, 0.93, 1.08], lowest_pu=[0.9, 0.9, 0.92, 0.9])
    np.testing.assert_allclose(out[0, 0], [0.8, 1.8, 0.2, -0.4, 0], atol=1e-6)  # 20 kW · −0.002 a kW over 0.1
    np.testing.assert_allclose(out[0, 1], [-0.7, 0.1, 1.7, -0.2, 0], atol=1e-6)


def test_failure_is_seen_in_its_row_only() -> None:
    block, site = BLOCKS.get("voltage")(), two_stations(SimpleNamespace(spec=small_spec()))
    out = seen(block, site, 3, failed=[False, True, False])
    assert out[:, :, 4].tolist() == [[0, 0], [1, 1], [0, 0]]


def real_network(*, switch_closed: bool = True, dead: bool = False) -> Any:
    """The small network in pandapower: `station` in two halves with a switch, a ring that is open, a 110 kV side."""
    pp = pytest.importorskip("pandapower")
    net = pp.create_empty_network()
    top, above, station, half, west, east = (
        pp.create_bus(net, kv, name=name, index=index)
        for index, (name, kv) in zip(
            (10, 3, 7, 1, 5, 4),
            (("top", 110), ("above", 10), ("station", 0.4), ("half", 0.4), ("west", 0.4), ("east", 0.4)),
            strict=True,
        )
    )
    pp.create_ext_grid(net, top)

    def transformer(hv: int, lv: int, kva: float) -> None:
        pp.create_transformer_from_parameters(
            net, hv, lv, kva / 1000, net.bus.vn_kv[hv], net.bus.vn_kv[lv], 0.5, 4.0, 0.1, 0.1
        )

    def line(start: int, end: int, **options: Any) -> int:
        return int(pp.create_line_from_parameters(net, start, end, 0.1, 0.2, 0.08, 0.0, 0.1, **options))

    transformer(above, station, 100)
    transformer(top, above, 1000)
    line(half, west)
    line(half, east)
    line(half, east)  # in parallel
    ring = line(west, east)
    pp.create_switch(net, west, ring, et="l", closed=False)
    pp.create_switch(net, station, half, et="b", closed=switch_closed)
    if dead:
        net.line.loc[0, "in_service"] = False
    position = {bus: at for at, bus in enumerate(net.bus.index)}
    spec = SimpleNamespace(
        n_charger_buses=2,
        n_lines=len(net.line),
        n_transformers=len(net.trafo),
        charger_bus=np.array([position[west], position[east]]),
    )
    return SimpleNamespace(net=net, spec=spec)


def test_the_way_up_follows_switches_and_parallel_lines() -> None:
    charger_paths = pytest.importorskip("ev_marl.grid.model.paths").charger_paths
    found = charger_paths(real_network())
    assert found.lines.tolist() == [[True, False, False, False], [False, True, True, False]]
    assert found.transformer.tolist() == [0, 0]
    assert found.substation.tolist() == [1, 1]
    dead = charger_paths(real_network(dead=True))
    assert dead.lines.tolist() == [[False] * 4, [False, True, True, False]]
    assert (dead.transformer.tolist(), dead.substation.tolist()) == ([-1, 0], [-1, 1])
    cut_off = charger_paths(real_network(switch_closed=False))
    assert not cut_off.lines.any()


@pytest.fixture
def small_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways up of the small network, without pandapower."""
    paths = SimpleNamespace(
        lines=np.array([[True, False], [False, True]]), transformer=np.array([0, 0]), substation=np.array([0, -1])
    )
    module = SimpleNamespace(charger_paths=lambda network: paths)
    monkeypatch.setitem(sys.modules, "ev_marl.grid.model.paths", module)


@pytest.mark.usefixtures("small_paths")
def test_each_station_sees_how_full_its_way_up_is() -> None:
    block, site = BLOCKS.get("grid")(), two_stations(SimpleNamespace(spec=small_spec()))
    out = seen(
        block,
        site,
        line_percent=[30.0, 150.0],
        line_limit_percent=[100.0, 120.0],
        transformer_percent=[80.0],
        transformer_limit_percent=[100.0],
        hot_spot_c=[73.5],
        tap=[-2],
    )
    np.testing.assert_allclose(out[0, 0], [1.25, 0.8, 0.75, 0.0, -0.2], atol=1e-6)
    np.testing.assert_allclose(out[0, 1], [0.3, 0.8, 0.75, 0.8, -0.2], atol=1e-6)


@pytest.mark.usefixtures("small_paths")
@pytest.mark.parametrize("name", ["voltage", "grid"])
def test_values_stay_within_their_bounds_whatever_happens(name: str) -> None:
    rng = np.random.default_rng(3)
    site = two_stations(SimpleNamespace(spec=small_spec()))
    seen(
        BLOCKS.get(name)(),
        site,
        64,
        vm_pu=rng.uniform(0.0, 3.0, (64, 4)),
        lowest_pu=np.where(rng.random((64, 4)) < 0.5, -np.inf, 0.9),
        line_percent=rng.uniform(0, 5000, (64, 2)),
        transformer_percent=rng.uniform(0, 5000, (64, 1)),
        hot_spot_c=rng.uniform(-100, 5000, (64, 1)),
        tap=rng.integers(-100, 100, 64),
    )


@pytest.mark.parametrize("name", ["voltage", "grid"])
def test_without_a_network_the_block_says_what_it_needs(name: str) -> None:
    with pytest.raises(NetworkError, match=f"observation block '{name}' needs `grid:`"):
        BLOCKS.get(name)().bind(two_stations())


def chain_simulator(site: Site, seeds: list[int]) -> Simulator:
    """Days on a chain of three buses, one row each, with more charging than it can carry at times."""
    tracks = [
        replace(random_track(np.random.default_rng(seed), site), grid=chain_day(12, load_kw=4.0 * k))
        for k, seed in enumerate(seeds)
    ]
    simulator = Simulator(site.arrays, make_coordinator("none"), tracks, chain_loop(site))
    simulator.reset(np.arange(len(tracks)))
    return simulator


def watched(block: ObservationBlock, site: Site, seeds: list[int], setpoint_kw: np.ndarray) -> list[np.ndarray]:
    """A block's table in every step of these days and at the end."""
    simulator = chain_simulator(site, seeds)
    features = block.bind(site)
    if isinstance(block, OnGrid):
        assert simulator.grid is not None
        block.connect(simulator.grid)
    block.load(simulator.days)
    tables = []
    while True:
        table = np.full((len(seeds), site.arrays.n_stations, len(features)), np.nan, dtype=np.float32)
        block.fill(simulator.state, table)
        assert np.all(table >= [feature.low for feature in features])
        assert np.all(table <= [feature.high for feature in features])
        tables.append(table)
        if simulator.done:
            return tables
        simulator.step(setpoint_kw[:, simulator.state.step])


@pytest.mark.usefixtures("small_paths")
@pytest.mark.parametrize("name", ["voltage", "grid"])
def test_in_the_loop_every_day_is_seen_alone_as_in_a_batch(name: str) -> None:
    rng = np.random.default_rng(5)
    site = chain_site(random_site(rng))
    setpoint_kw = rng.normal(20, 40, (3, 12, site.arrays.n_ports))
    together = watched(BLOCKS.get(name)(), site, [1, 2, 3], setpoint_kw)
    assert len(np.unique(np.stack(together), axis=0)) > 6  # it moves
    for step, table in enumerate(watched(BLOCKS.get(name)(), site, [1], setpoint_kw[:1])):
        np.testing.assert_array_equal(table[0], together[step][0])


def test_after_a_reset_the_first_step_without_charging_is_seen() -> None:
    site = chain_site(random_site(np.random.default_rng(5)))
    simulator = chain_simulator(site, [1, 2])
    block = BLOCKS.get("voltage")()
    out = np.zeros((2, site.arrays.n_stations, len(block.bind(site))), dtype=np.float32)
    assert simulator.grid is not None
    block.connect(simulator.grid)
    block.fill(simulator.state, out)
    idle_pu = simulator.grid.days.idle_vm_pu[:, 0, [1, 2]][:, site.port_charger[site.arrays.station_first_port[:-1]]]
    np.testing.assert_allclose(out[:, :, 0], (idle_pu - 1.0) / 0.1, atol=1e-6)
    assert np.all(out[:, :, 3] < 0.0)  # drawing lowers the voltage
