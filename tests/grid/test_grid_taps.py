"""The on-load tap changer: one transformer above a street, solved by pandapower at every position for comparison."""

from __future__ import annotations

import copy
from typing import Any

import networkx as nx
import numpy as np
import pytest

pytest.importorskip("pandapower")

import pandapower

from ev_marl.compare.grid_metrics import GridRecorder
from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.loop.taps import TapChanger
from ev_marl.grid.model.network import Network
from ev_marl.grid.solvers.zbus import ZBusBackend
from ev_marl.scenario.schema.grid import Chargers, GridLimits, TapControl
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import NetworkError
from ev_marl.world import Track
from ev_marl.world.grid_day import GridDay

N_STEPS = 6
PORTS = 2
FULL_KW = 40.0  # of a port
LIMITS = GridLimits(voltage=[0.95, 1.05], line=500.0, transformer=500.0)


def above_a_street(side: str = "hv", step_percent: float = 2.0, lowest: int = -2, highest: int = 2) -> Any:
    """A slack, a transformer with taps, and a line to a house."""
    net = pandapower.create_empty_network(name="street")
    above, station, far = (
        pandapower.create_bus(net, kv, name=name) for kv, name in ((10.0, "above"), (0.4, "station"), (0.4, "far"))
    )
    pandapower.create_ext_grid(net, above)
    pandapower.create_transformer_from_parameters(
        net, above, station, sn_mva=0.16, vn_hv_kv=10.0, vn_lv_kv=0.4, vkr_percent=1.5, vk_percent=4.0, pfe_kw=0.0,
        i0_percent=0.0, tap_side=side, tap_neutral=0, tap_pos=0, tap_min=lowest, tap_max=highest,
        tap_step_percent=step_percent, tap_changer_type="Ratio", name="local",
    )  # fmt: skip
    pandapower.create_line_from_parameters(net, station, far, 0.05, 0.2, 0.08, c_nf_per_km=0.0, max_i_ka=0.4)
    pandapower.create_load(net, far, p_mw=0.01, name="house")
    return net


def hung_on(net: Any) -> Site:
    """Two ports at the far end."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid")
    for k in range(PORTS):
        graph.add_node(f"ac_{k}", kind="station", type="ac", supply="ac")
        graph.add_node(f"ac_{k}/0", kind="port", charge_kw=FULL_KW, discharge_kw=0.0, supply="ac")
        graph.add_edge("grid", f"ac_{k}")
        graph.add_edge(f"ac_{k}", f"ac_{k}/0")
    site = Site.from_graph(graph)
    site.network = Network.from_net(net, "street", ["far"])
    site.port_charger = np.zeros(PORTS, dtype=np.int64)
    return site


def loop_of(site: Site, band: list[float], transformer: int | str = 0) -> GridLoop:
    """The network in the loop, with a changer that keeps the station's voltage."""
    assert site.network is not None
    backend = ZBusBackend(site.network)
    return GridLoop(
        site=site,
        backend=backend,
        reference=backend,
        limits=LIMITS,
        chargers=Chargers(),
        curtails=False,
        safe_fraction=0.5,
        taps=TapChanger(site.network, TapControl(transformer=transformer, voltage=band), backend, backend),
    )


def day_of(site: Site, house_kw: list[float]) -> Track:
    """Big, empty batteries all day; the house draws so much in each step."""
    n_steps = len(house_kw)
    sessions = [
        {"port": port, "arrival": 0, "departure": n_steps, "wanted_kwh": 900, "capacity_kwh": 1000, "energy_kwh": 50}
        for port in site.ports
    ]
    load_kw, none = np.array(house_kw)[:, None], np.zeros((n_steps, 0))
    network = GridDay(("house",), (), load_kw, np.zeros_like(load_kw), none, none)
    return Track.build(site, n_steps=n_steps, sessions=sessions).replace(grid=network)


def played(simulator: Simulator, setpoint_kw: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions after each step, whether they moved, and voltages: (T, B), (T, B), (T, B, N)."""
    flows = []
    while not simulator.done:
        simulator.step(setpoint_kw)
        assert simulator.grid is not None
        flows.append(simulator.state.grid.flow)
    return (
        np.array([f.tap for f in flows]),
        np.array([f.tap_moved for f in flows]),
        np.array([f.vm_pu for f in flows]),
    )


def at_tap(net: Any, tap: int, drawn_kw: float) -> np.ndarray:
    """Voltages as pandapower has them."""
    net = copy.deepcopy(net)
    net.trafo["tap_pos"] = tap
    net.load["p_mw"] = drawn_kw / 1000.0
    pandapower.runpp(net, tolerance_mva=1e-10)
    return np.asarray(net.res_bus.vm_pu)


@pytest.mark.parametrize(
    ("side", "step_percent", "raises"), [("hv", 2.0, -1), ("lv", 2.0, 1), ("hv", -2.0, 1), ("lv", -2.0, -1)]
)
def test_it_moves_by_one_a_step_until_the_low_side_is_in_its_band(side: str, step_percent: float, raises: int) -> None:
    """Under load the voltage is too low, then in the band; once the load is gone, it is too high."""
    net = above_a_street(side, step_percent)
    site = hung_on(net)
    house_kw = [0.0] * 4 + [-360.0] * 3  # the house's own panels, at the end
    simulator = Simulator(
        site.arrays, make_coordinator("none"), [day_of(site, house_kw)], loop_of(site, [0.994, 1.02], "local")
    )
    simulator.reset()
    setpoint_kw = np.full((1, PORTS), FULL_KW)
    taps, moved, vm_pu = played(simulator, setpoint_kw)
    assert (raises * taps[:, 0]).tolist() == [1, 1, 1, 1, 0, -1, -1]
    assert moved[:, 0].tolist() == [True, False, False, False, True, True, False]
    before = [0, *taps[:-1, 0].tolist()]  # a move counts from the next step on
    for step, tap in enumerate(before):
        expected = at_tap(net, tap, house_kw[step] + PORTS * FULL_KW)
        np.testing.assert_allclose(vm_pu[step, 0], expected, rtol=0, atol=1e-8)
    station = vm_pu[:, 0, 1]
    assert station[0] < 0.994 < station[1] < 1.02  # one position was enough
    assert station[4:6].min() > 1.02
    assert station[6] < 1.02


def test_it_stops_at_its_ends_and_only_moves_are_counted() -> None:
    net = above_a_street(lowest=-1, highest=3)
    site = hung_on(net)
    recorders = {}
    for name, band in (("never high enough", [1.4, 1.45]), ("never low enough", [0.75, 0.8])):
        simulator = Simulator(
            site.arrays, make_coordinator("none"), [day_of(site, [0.0] * N_STEPS)], loop_of(site, band)
        )
        simulator.reset()
        recorders[name] = GridRecorder(1, N_STEPS)
        taps = []
        for step in range(N_STEPS):
            simulator.step(np.zeros((1, PORTS)))
            assert simulator.grid is not None
            recorders[name].watch(simulator.state.grid.flow, step, 0.25)
            taps.append(int(simulator.state.grid.flow.tap[0]))
        assert taps == {"never high enough": [-1] * N_STEPS, "never low enough": [1, 2, 3, 3, 3, 3]}[name]
    assert recorders["never high enough"].measured(0).tap_moves == 1
    assert recorders["never low enough"].measured(0).tap_moves == 3


def test_each_day_starts_where_the_network_stands() -> None:
    """Also in a second simulator of the same loop, while the first one stands elsewhere, and goes on there."""
    net = above_a_street()
    net.trafo["tap_pos"] = 1
    site = hung_on(net)
    loop = loop_of(site, [1.4, 1.45])
    day = day_of(site, [0.0] * N_STEPS)
    first, second = (Simulator(site.arrays, make_coordinator("none"), [day], loop) for _ in range(2))
    first.reset()
    first.step(np.zeros((1, PORTS)))
    second.reset()
    assert second.grid is not None
    assert second.state.grid.flow.tap.tolist() == [1]
    taps, _, _ = played(first, np.zeros((1, PORTS)))
    assert taps[:, 0].tolist() == [-1, -2, -2, -2, -2]
    taps, _, vm_pu = played(second, np.zeros((1, PORTS)))
    assert taps[:, 0].tolist() == [0, -1, -2, -2, -2, -2]
    first.reset()
    assert first.grid is not None
    assert first.state.grid.flow.tap.tolist() == [1]
    np.testing.assert_array_equal(first.state.grid.flow.vm_pu, vm_pu[0])  # nothing is charged in either
    again, _, _ = played(first, np.zeros((1, PORTS)))
    np.testing.assert_array_equal(again, taps)


def test_rows_move_on_their_own() -> None:
    """Each day in a batch is bit for bit what it is alone, with rows at different positions in one step."""
    net = above_a_street()
    site = hung_on(net)
    loop = loop_of(site, [0.99, 1.01])
    rng = np.random.default_rng(3)
    days = [day_of(site, rng.uniform(-400.0, 300.0, 2 * N_STEPS).tolist()) for _ in range(5)]
    setpoint_kw = np.full((5, PORTS), FULL_KW)
    together = Simulator(site.arrays, make_coordinator("none"), days, loop)
    together.reset(np.arange(5))
    taps, moved, vm_pu = played(together, setpoint_kw)
    assert max(len(set(row.tolist())) for row in taps) >= 3
    for k, day in enumerate(days):
        alone = Simulator(site.arrays, make_coordinator("none"), [day], loop)
        alone.reset()
        own = played(alone, setpoint_kw[:1])
        for mine, batched in zip(own, (taps, moved, vm_pu), strict=True):
            np.testing.assert_array_equal(mine[:, 0], batched[:, k])


def test_limits_are_widened_to_what_is_at_the_position_of_the_row() -> None:
    """Without charging the far end is below 0.95 p.u. at the first position, and above it two positions on."""
    net = above_a_street(highest=0, lowest=-3)
    site = hung_on(net)
    house_kw = [330.0] * 4
    simulator = Simulator(site.arrays, make_coordinator("none"), [day_of(site, house_kw)], loop_of(site, [1.0, 1.02]))
    simulator.reset()
    lowest, taps = [], [0]
    while not simulator.done:
        simulator.step(np.zeros((1, PORTS)))
        assert simulator.grid is not None
        lowest.append(simulator.state.grid.flow.lowest_pu[0, 2])
        taps.append(int(simulator.state.grid.flow.tap[0]))
    idle = [at_tap(net, tap, house_kw[0])[2] for tap in taps[:-1]]
    assert idle[0] < 0.95 < idle[-1]
    np.testing.assert_allclose(lowest, np.minimum(0.95, idle), rtol=0, atol=1e-8)


def test_a_row_without_a_solution_stays_where_it_is() -> None:
    site = hung_on(above_a_street())
    taps = loop_of(site, [0.98, 1.02]).taps
    assert taps is not None
    low, high, inside, missing = 0.9, 1.1, 0.98, np.nan
    vm_pu = np.ones((6, 3))
    vm_pu[:, 1] = [low, high, inside, low, high, missing]
    failed = np.array([False, False, False, True, True, False])
    assert taps.next(np.zeros(6, dtype=np.int64), vm_pu, failed).tolist() == [-1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("transformer", "changes", "message"),
    [
        ("lokal", {}, "no transformer 'lokal'. Did you mean 'local'.* It has 0: local"),
        (1, {}, "no transformer 1"),
        (-1, {}, "no transformer -1"),
        (0, {"tap_max": -2}, "transformer 'local' has no taps"),
        (0, {"tap_pos": np.nan, "tap_neutral": np.nan}, "transformer 'local' has no taps"),
        (0, {"tap_step_percent": np.nan}, "taps of transformer 'local' leaves the voltage"),
        (0, {"tap_side": None}, "taps of transformer 'local' leaves the voltage"),
        (0, {"tap_step_percent": 0.0, "tap_step_degree": 5.0}, "taps of transformer 'local' leaves the voltage"),
    ],
)
def test_what_has_no_taps_is_refused(transformer: int | str, changes: dict[str, Any], message: str) -> None:
    net = above_a_street()
    for name, value in changes.items():
        net.trafo[name] = value
    site = hung_on(net)
    with pytest.raises(NetworkError, match=message):
        loop_of(site, [0.98, 1.02], transformer)
