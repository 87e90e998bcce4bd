"""Every backend agrees with pandapower, row by row, wherever it does not refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pandapower = pytest.importorskip("pandapower")
pytest.importorskip("pandapower.networks")
pytest.importorskip("lightsim2grid")
pytest.importorskip("simbench")

from grid_backend_cases import (  # noqa: E402  they need pandapower
    LINE_KA,
    LINE_OHM,
    LINE_REACTANCE_OHM,
    NETWORKS,
    TWO_BUS_KV,
    islands,
    network_of,
    saved,
    two_buses,
)
from network_elements import ELEMENTS  # noqa: E402

from ev_marl.env.setup import Setting  # noqa: E402
from ev_marl.grid.loop.setup import grid_loop  # noqa: E402
from ev_marl.grid.model.network import Network  # noqa: E402
from ev_marl.grid.solvers.base import BACKENDS, GridBackend, Injections, PowerFlow  # noqa: E402
from ev_marl.grid.solvers.checks import compare, random_states  # noqa: E402
from ev_marl.grid.solvers.choose import make_backend  # noqa: E402
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend  # noqa: E402
from ev_marl.support.errors import NetworkError, UnknownNameError  # noqa: E402

FIELDS = ("vm_pu", "line_percent", "transformer_percent", "slack_kw", "slack_kvar", "losses_kw")
FAST = [("zbus", "cigre_lv"), ("newton", "case14")]


def backend_of(name: str, network: Network) -> GridBackend:
    """A backend without its self-check."""
    return BACKENDS.get(name)(network)


def assert_agree(backend: GridBackend, network: Network, states: Injections) -> PowerFlow:
    """The backend and pandapower say the same, within what the documentation promises."""
    reference = PandapowerBackend(network).solve(states)
    assert compare(backend.solve(states), reference, network.spec).problems() == []
    return reference


@pytest.mark.parametrize("name", NETWORKS)
def test_fast_backends_agree_with_pandapower(name: str, tmp_path: Path) -> None:
    network = network_of(NETWORKS[name](tmp_path))
    chosen = make_backend(network)
    assert chosen.name == ("newton" if name == "case118" else "zbus")
    ordinary = assert_agree(chosen, network, random_states(network.spec, 24, seed=11))
    assert ordinary.converged.sum() > 12
    assert (ordinary.slack_kw < 0).any(), "some of the states feed back into the network above"
    network.net.ext_grid["vm_pu"] = 0.85
    low = assert_agree(backend_of(chosen.name, network), network, random_states(network.spec, 8, seed=2))
    assert low.converged.any()
    dead = np.isnan(ordinary.vm_pu[ordinary.converged][0])
    assert dead.any() == (name == "islands")


def test_newton_agrees_where_half_the_network_is_dead(tmp_path: Path) -> None:
    net = islands()
    net.ext_grid.loc[net.ext_grid.index[1], "in_service"] = False
    network = network_of(saved(net, tmp_path))
    flow = assert_agree(backend_of("newton", network), network, random_states(network.spec, 16, seed=3))
    assert np.isnan(flow.vm_pu[0]).sum() > 50


def test_newton_stops_where_rounding_leaves_more_than_its_usual_tolerance() -> None:
    """CIGRE HV at a base of 1 MVA: a mismatch of 1e-11 p.u. lies below the rounding of its short 220 kV branches."""
    network = network_of("create_cigre_network_hv")
    assert make_backend(network).name == "newton"
    states = random_states(network.spec, 24, seed=1)
    assert_agree(backend_of("newton", network), network, states)
    flow = backend_of("newton", network).solve(states)
    assert flow.converged.sum() > 16
    assert flow.iterations[flow.converged].max() <= 6


@pytest.mark.parametrize(("name", "choice"), FAST)
def test_states_without_a_solution_are_flagged_as_by_pandapower(name: str, choice: str) -> None:
    network = network_of(choice)
    states = random_states(network.spec, 12, seed=4)
    factor = np.geomspace(1.0, 40.0, 12)[:, None]
    states.load_kw *= factor
    states.load_kvar *= factor
    flow = assert_agree(backend_of(name, network), network, states)
    assert 0 < flow.converged.sum() < 12
    assert np.isnan(flow.vm_pu[~flow.converged]).all()


@pytest.mark.parametrize(("name", "choice"), FAST)
def test_a_row_does_not_depend_on_its_batch(name: str, choice: str) -> None:
    network = network_of(choice)
    backend = backend_of(name, network)
    states = random_states(network.spec, 33, seed=5)
    together = backend.solve(states)
    order = np.random.default_rng(0).permutation(33)
    mixed = backend.solve(states.rows(order))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(mixed, field), getattr(together, field)[order])
    for row in (0, 7, 32):
        alone = backend.solve(states.rows(np.array([row])))
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(alone, field)[0], getattr(together, field)[row])


@pytest.mark.parametrize(("name", "choice"), FAST)
def test_a_nan_and_a_diverged_row_leave_the_others_alone(name: str, choice: str) -> None:
    network = network_of(choice)
    backend = backend_of(name, network)
    states = random_states(network.spec, 9, seed=6)
    before = backend.solve(states)
    assert before.converged.all()
    states.charger_kw[2, 0] = np.nan
    states.load_kw[5] *= 1000.0
    states.load_kvar[7, 1] = np.inf
    after = backend.solve(states)
    assert np.flatnonzero(~after.converged).tolist() == [2, 5, 7]
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(after, field)[after.converged], getattr(before, field)[after.converged])
        assert np.isnan(getattr(after, field)[~after.converged]).all()


@pytest.mark.parametrize("name", ["pandapower", "zbus", "newton"])
def test_a_nan_is_seen_even_where_nothing_flows(name: str, tmp_path: Path) -> None:
    net = two_buses()
    dead = pandapower.create_bus(net, vn_kv=TWO_BUS_KV, name="dead")
    pandapower.create_load(net, dead, p_mw=0.01)
    network = network_of(saved(net, tmp_path), ["near", "far"])
    states = Injections.zeros(network.spec, 3)
    states.load_kw[0, 1] = np.nan  # at the dead bus
    states.charger_kvar[1, 0] = np.nan  # at the slack itself
    flow = backend_of(name, network).solve(states)
    assert flow.converged.tolist() == [False, False, True]
    for field in FIELDS:
        assert np.isnan(getattr(flow, field)[:2]).all()


@pytest.mark.parametrize("name", ["pandapower", "zbus", "newton"])
def test_charging_raises_what_is_drawn_from_above(name: str) -> None:
    network = network_of("cigre_lv", ["Bus R11"])
    states = Injections.zeros(network.spec, 3)
    states.charger_kw[:, 0] = [-20.0, 0.0, 20.0]
    flow = backend_of(name, network).solve(states)
    np.testing.assert_allclose(np.diff(flow.slack_kw), 20.0, rtol=0.05)
    np.testing.assert_allclose(flow.slack_kw, flow.losses_kw + states.charger_kw[:, 0], atol=1e-3)
    bus = network.spec.charger_bus[0]
    assert (np.diff(flow.vm_pu[:, bus]) < 0).all()


@pytest.mark.parametrize("name", ["pandapower", "zbus", "newton"])
@pytest.mark.parametrize(("kw", "kvar"), [(10.0, 2.0), (45.0, 10.0), (-60.0, 0.0)])
def test_two_buses_by_hand(name: str, kw: float, kvar: float, tmp_path: Path) -> None:
    network = network_of(saved(two_buses(), tmp_path))
    states = Injections.zeros(network.spec, 1)
    states.charger_kw[0, 0], states.charger_kvar[0, 0] = kw, kvar
    flow = backend_of(name, network).solve(states)
    # With P, Q in MW and U in kV: U⁴ + (2(PR + QX) − U₀²)U² + (R² + X²)(P² + Q²) = 0.
    p, q = kw / 1000.0, kvar / 1000.0
    middle = 2 * (p * LINE_OHM + q * LINE_REACTANCE_OHM) - TWO_BUS_KV**2
    product = (LINE_OHM**2 + LINE_REACTANCE_OHM**2) * (p * p + q * q)
    kv = np.sqrt((-middle + np.sqrt(middle**2 - 4 * product)) / 2)
    current_ka = np.hypot(p, q) / kv / np.sqrt(3)
    np.testing.assert_allclose(flow.vm_pu[0], [1.0, kv / TWO_BUS_KV], atol=2e-7)
    np.testing.assert_allclose(flow.line_percent[0], 100 * current_ka / LINE_KA, atol=1e-4)
    lost_kw = 1000 * 3 * LINE_OHM * current_ka**2
    np.testing.assert_allclose([flow.losses_kw[0], flow.slack_kw[0]], [lost_kw, kw + lost_kw], atol=1e-4)
    np.testing.assert_allclose(flow.slack_kvar[0], kvar + 1000 * 3 * LINE_REACTANCE_OHM * current_ka**2, atol=1e-4)


@pytest.mark.parametrize("name", ["pandapower", "zbus", "newton"])
def test_other_taps_are_another_network(name: str) -> None:
    network = network_of({"simbench": "1-MV-rural--0-sw"})
    states = random_states(network.spec, 3, seed=7)
    backend = backend_of(name, network)
    before = backend.solve(states)
    moved = backend.with_taps({1: 3})
    network.net.trafo.loc[network.net.trafo.index[1], "tap_pos"] = 3
    rebuilt = backend_of(name, network)
    other, same = moved.solve(states), rebuilt.solve(states)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(other, field), getattr(same, field))
    assert np.abs(other.vm_pu - before.vm_pu).max() > 0.005
    again = moved.with_taps({1: int(network.net.trafo.tap_neutral.iloc[1])})
    assert np.abs(again.solve(states).vm_pu - other.vm_pu).max() > 0.005
    assert_agree(moved, network, states)


def test_voltages_below_seven_tenths_are_no_solution() -> None:
    network = network_of("cigre_lv")
    states = Injections.zeros(network.spec, 2)
    states.charger_kw[:] = [[25.0], [62.0]]
    net = network.net
    net.load["p_mw"], net.load["q_mvar"], net.storage["p_mw"] = 0.0, 0.0, 0.062
    pandapower.runpp(net)
    assert net.res_bus.vm_pu.min() < 0.7, "pandapower itself finds one"
    for name in ("pandapower", "zbus", "newton"):
        assert backend_of(name, network).solve(states).converged.tolist() == [True, False]


@pytest.mark.parametrize("name", ["pandapower", "zbus", "newton"])
def test_a_line_of_unknown_rating_is_never_full(name: str, tmp_path: Path) -> None:
    net = two_buses()
    net.line["max_i_ka"] = np.nan
    network = network_of(saved(net, tmp_path))
    assert network.spec.line_kva.tolist() == [0.0]  # what it carries beyond its limit costs nothing
    assert_agree(backend_of(name, network), network, random_states(network.spec, 4))
    assert (backend_of(name, network).solve(random_states(network.spec, 4)).line_percent == 0.0).all()


@pytest.mark.parametrize("name", ["pandapower", "zbus", "newton"])
@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_a_transformer_of_unknown_rating_is_never_full(name: str, factor: float, tmp_path: Path) -> None:
    net = pandapower.networks.create_cigre_network_lv()
    net.trafo["df"] = factor
    network = network_of(saved(net, tmp_path))
    assert network.spec.transformer_kva.tolist() == [0.0, 0.0, 0.0]
    states = random_states(network.spec, 4, scale=0.7)
    assert_agree(backend_of(name, network), network, states)
    assert (backend_of(name, network).solve(states).transformer_percent == 0.0).all()


@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("held", [False, True])
def test_elements_of_other_kinds_are_solved_as_by_pandapower(name: str, held: bool, tmp_path: Path) -> None:
    net = pandapower.networks.create_cigre_network_lv()
    buses = {bus: int(index) for index, bus in net.bus.name.items()}
    add, backend = ELEMENTS[name]
    add(net, buses["Bus R16"])
    if held:
        pandapower.create_gen(net, buses["Bus R18"], p_mw=0.02, vm_pu=0.98)
    network = network_of(saved(net, tmp_path))
    chosen = make_backend(network)
    assert chosen.name == ("newton" if held else backend)
    for tried in dict.fromkeys([chosen.name, "newton"]):
        flow = assert_agree(backend_of(tried, network), network, random_states(network.spec, 6, seed=7, scale=0.7))
        assert flow.converged.sum() > 4


@pytest.mark.parametrize("name", ["pandapower", "zbus", "newton"])
@pytest.mark.parametrize("kind", ["const_i", "const_z"])
def test_a_load_that_follows_the_voltage_by_hand(name: str, kind: str, tmp_path: Path) -> None:
    net = two_buses()
    rated_kw, ohm = 40.0, LINE_OHM
    net.line["x_ohm_per_km"] = 1e-9
    net.load["p_mw"], net.load["q_mvar"] = rated_kw / 1000.0, 0.0
    net.load[f"{kind}_p_percent"] = 100.0
    states = Injections.zeros(network_of(saved(net, tmp_path), ["near"]).spec, 1)
    states.load_kw[:] = rated_kw
    flow = backend_of(name, network_of(saved(net, tmp_path), ["near"])).solve(states)
    # Without reactance all is in phase: v = 1 − r·p(v)/v with p = p₀·v or p₀·v².
    r = ohm * rated_kw / (1000.0 * TWO_BUS_KV**2)
    v = 1.0 - r if kind == "const_i" else 1.0 / (1.0 + r)
    drawn_kw = rated_kw * (v if kind == "const_i" else v**2)
    assert flow.converged[0]
    np.testing.assert_allclose(flow.vm_pu[0], [1.0, v], atol=1e-7)
    np.testing.assert_allclose(flow.losses_kw, drawn_kw * (1.0 / v - 1.0), atol=1e-4)
    np.testing.assert_allclose(flow.slack_kw, drawn_kw / v, atol=1e-4)


def test_what_a_motor_draws_is_no_loss(tmp_path: Path) -> None:
    net = two_buses()
    net.load["p_mw"], net.load["q_mvar"] = 0.0, 0.0
    pandapower.create_motor(net, 1, pn_mech_mw=0.02, cos_phi=1.0, efficiency_percent=100.0)
    network = network_of(saved(net, tmp_path), ["far"])
    states = Injections.zeros(network.spec, 1)
    for name in ("pandapower", "zbus", "newton"):
        flow = backend_of(name, network).solve(states)
        amperes = flow.slack_kw[0] / (np.sqrt(3.0) * TWO_BUS_KV)
        np.testing.assert_allclose(flow.losses_kw, 3.0 * LINE_OHM * amperes**2 / 1000.0, rtol=0.02)
        np.testing.assert_allclose(flow.slack_kw - flow.losses_kw, 20.0, atol=1e-3)


def test_lines_for_direct_current_are_left_to_pandapower(tmp_path: Path) -> None:
    net = pandapower.networks.create_cigre_network_mv()
    pandapower.create_dcline(net, 5, 9, p_mw=0.3, loss_percent=1.0, loss_mw=0.01, vm_from_pu=0.99, vm_to_pu=0.99)
    network = network_of(saved(net, tmp_path))
    assert make_backend(network).name == "pandapower"
    for name in ("zbus", "newton"):
        with pytest.raises(NetworkError, match="dcline"):
            make_backend(network, name)


def test_pandapower_compiles_only_where_it_solves_every_step() -> None:
    """It takes seconds in every process, which a few rows of a check are not worth."""
    setting = Setting.of("street-lv")
    loop = grid_loop(setting.scenario, setting.site)
    assert loop is not None
    assert not loop.reference.compiled
    assert make_backend(loop.site.network, "pandapower").compiled
    assert make_backend(loop.site.network, "pandapower").with_taps({0: 1}).compiled


def test_many_kinds_of_elements_and_voltages_at_once() -> None:
    network = network_of("example_multivoltage")
    assert all(len(network.net[table]) for table in ("trafo3w", "xward", "impedance", "shunt", "gen"))
    assert make_backend(network).name == "newton"


def test_generators_that_hold_voltages_are_not_for_the_fixed_point() -> None:
    with pytest.raises(NetworkError, match="holds a voltage"):
        make_backend(network_of("case14"), "zbus")


def test_a_backend_that_is_wrong_is_refused_loudly() -> None:
    network = network_of("cigre_lv")
    with pytest.raises(NetworkError, match=r"'grid_backend_cases:Shifted' does not agree.*voltages differ by 1"):
        make_backend(network, "grid_backend_cases:Shifted")
    with pytest.raises(UnknownNameError, match="Did you mean 'zbus'"):
        make_backend(network, "zbuz")


def test_a_network_without_loads_of_its_own_gets_a_fast_backend(tmp_path: Path) -> None:
    """The reference's own inaccuracy is measured against what flows, not against loads that are not there."""
    net = pandapower.networks.create_kerber_vorstadtnetz_kabel_1()
    buses = [int(bus) for bus in net.load.bus]
    net.load = net.load.iloc[:0]
    assert make_backend(network_of(saved(net, tmp_path), buses)).name == "zbus"


def test_agreement_of_nothing_is_no_agreement(tmp_path: Path) -> None:
    """Where pandapower solves none of the usual states, lighter ones are tried before a backend is believed."""
    net = two_buses()
    net.load["p_mw"] = 2.0
    network = network_of(saved(net, tmp_path))
    assert not PandapowerBackend(network).solve(random_states(network.spec, 8)).converged.any()
    with pytest.raises(NetworkError, match="voltages differ"):
        make_backend(network, "grid_backend_cases:Shifted")


def test_where_nothing_is_between_buses_and_external_grid_pandapower_solves(tmp_path: Path) -> None:
    net = pandapower.create_empty_network()
    bus = pandapower.create_bus(net, 0.4)
    pandapower.create_ext_grid(net, bus, vm_pu=1.02)
    pandapower.create_load(net, bus, p_mw=0.01)
    network = network_of(saved(net, tmp_path))
    with pytest.raises(NetworkError, match="voltage of an external grid"):
        make_backend(network, "zbus")
    backend = make_backend(network)
    assert backend.name == "pandapower"
    flow = backend.solve(random_states(network.spec, 2))
    assert flow.vm_pu.tolist() == [[1.02], [1.02]]


def test_pandapower_is_left_as_it_was(tmp_path: Path) -> None:
    network = network_of(saved(two_buses(), tmp_path))
    before: Any = network.net.load.copy()
    PandapowerBackend(network).solve(random_states(network.spec, 2))
    make_backend(network)
    assert network.net.load.equals(before)
