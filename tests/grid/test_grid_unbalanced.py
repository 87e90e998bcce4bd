"""Three phases: the same as `runpp` where they are alike, the textbook where they are not."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandapower")

import pandapower
import pandapower.networks

from ev_marl.grid.model.network import Network
from ev_marl.grid.model.spec import NetworkSpec
from ev_marl.grid.solvers.base import Injections
from ev_marl.grid.solvers.checks import random_states
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend
from ev_marl.grid.studies.unbalanced import ThreePhase
from ev_marl.scenario.schema.grid import Grid
from ev_marl.support.errors import NetworkError

ALIKE = np.full(3, 1.0 / 3.0)


def drawn(spec: NetworkSpec, states: Injections, row: int) -> np.ndarray:
    """A state on three phases alike, shape (n_buses, 3) [kVA]."""
    kva = np.zeros((spec.n_buses, 3), dtype=np.complex128)
    for buses, power in (
        (spec.load_bus, states.load_kw[row] + 1j * states.load_kvar[row]),
        (spec.generator_bus, -states.generator_kw[row] - 1j * states.generator_kvar[row]),
        (spec.charger_bus, states.charger_kw[row] + 1j * states.charger_kvar[row]),
    ):
        np.add.at(kva, buses, power[:, None] * ALIKE)
    return kva


def street() -> Network:
    """CIGRE LV with a dead bus, plants, and storages of its own, one of them off."""
    net = pandapower.networks.create_cigre_network_lv()
    dead = pandapower.create_bus(net, 0.4, name="dead")
    pandapower.create_load(net, dead, p_mw=0.1)
    pandapower.create_sgen(net, 10, p_mw=0.03, q_mvar=0.004, type="PV")
    pandapower.create_storage(net, 17, p_mw=-0.02, q_mvar=0.001, max_e_mwh=1.0, scaling=0.5)
    pandapower.create_storage(net, 17, p_mw=-9.0, max_e_mwh=1.0, in_service=False)
    return Network.from_net(net, "street", ["Bus R15", "Bus R18", "Bus C20"])


@pytest.mark.parametrize("name", ["street", "cigre_mv", "1-LV-rural1--0-sw"])
def test_alike_on_all_phases_it_is_the_balanced_power_flow(name: str) -> None:
    if name[0].isdigit():
        pytest.importorskip("simbench")
    grid = Grid(network=name)
    network = street() if name == "street" else Network.of(grid, Network.load_buses(grid)[:5])
    states = random_states(network.spec, 3, seed=4, scale=0.4)
    expected = PandapowerBackend(network).solve(states)
    assert expected.converged.all()
    three = ThreePhase(network)
    for row in range(3):
        flow = three.solve(drawn(network.spec, states, row))
        assert flow.converged
        for phase in range(3):
            np.testing.assert_allclose(flow.vm_pu[:, phase], expected.vm_pu[row], rtol=0, atol=1e-7)
            np.testing.assert_allclose(flow.line_percent[:, phase], expected.line_percent[row], rtol=0, atol=1e-4)
            np.testing.assert_allclose(
                flow.transformer_percent[:, phase], expected.transformer_percent[row], rtol=0, atol=1e-4
            )
        assert np.nanmax(flow.unbalance_percent) < 1e-9
    assert np.isnan(flow.vm_pu).any() == (name == "street")


def test_a_bus_out_of_service_leaves_the_others_as_they_are() -> None:
    net = pandapower.networks.create_cigre_network_lv()
    net.bus.loc[net.bus.name == "Bus R16", "in_service"] = False
    network = Network.from_net(net, "without R16", ["Bus R15"])
    states = random_states(network.spec, 1, seed=4, scale=0.4)
    expected = PandapowerBackend(network).solve(states)
    flow = ThreePhase(network).solve(drawn(network.spec, states, 0))
    assert flow.converged
    assert np.isnan(flow.vm_pu[:, 0]).sum() == 1
    for phase in range(3):
        np.testing.assert_allclose(flow.vm_pu[:, phase], expected.vm_pu[0], rtol=0, atol=1e-7)


def line_of_1_km(kv: float) -> Network:
    """One line of 0.2 + 0.1j Ω behind a stiff grid."""
    net = pandapower.create_empty_network()
    here, there = (pandapower.create_bus(net, kv, name=name) for name in ("here", "there"))
    pandapower.create_ext_grid(net, here, s_sc_max_mva=1e9)
    pandapower.create_line_from_parameters(net, here, there, 1.0, 0.2, 0.1, 0.0, max_i_ka=0.2)
    return Network.from_net(net, "line", ["there"])


def test_one_phase_alone_meets_phase_and_neutral() -> None:
    """With Z0 = 4 Z1, the loop of a phase and the neutral has (Z0 + 2 Z1)/3 = 2 Z1; the other phases are shifted."""
    network = line_of_1_km(0.4)
    drawn_kva = np.zeros((2, 3), dtype=np.complex128)
    drawn_kva[1, 1] = 5.0 + 1.0j  # phase b
    flow = ThreePhase(network).solve(drawn_kva)
    volts, ohm, amperes = 400.0 / np.sqrt(3.0), 0.2 + 0.1j, 0.0j
    for _ in range(60):
        own = volts - 2.0 * ohm * amperes
        amperes = np.conj(1000.0 * (5.0 + 1.0j) / own)
    others = [abs(volts * np.exp(1j * angle) - ohm * amperes) for angle in (-2.0 * np.pi / 3.0, 2.0 * np.pi / 3.0)]
    assert flow.vm_pu[1, 1] == pytest.approx(abs(own) / volts, abs=1e-7)
    assert sorted(flow.vm_pu[1, [0, 2]]) == pytest.approx(sorted(np.array(others) / volts), abs=1e-7)
    assert flow.line_percent[0] == pytest.approx([0.0, abs(amperes) / 2.0, 0.0], abs=1e-4)
    positive, negative = volts - ohm * amperes / 3.0, ohm * amperes / 3.0
    assert flow.unbalance_percent[1] == pytest.approx(100.0 * abs(negative / positive), abs=1e-5)


def test_above_1_kv_one_phase_stands_between_two() -> None:
    """No current returns through neutral or earth: a phase is untouched, and two carry the same current."""
    drawn_kva = np.zeros((2, 3), dtype=np.complex128)
    drawn_kva[1, 0] = 900.0
    flow = ThreePhase(line_of_1_km(20.0)).solve(drawn_kva)
    percent = np.sort(flow.line_percent[0])
    assert percent[0] == pytest.approx(0.0, abs=1e-6)
    assert percent[1] == pytest.approx(percent[2], rel=1e-9)
    assert percent[2] == pytest.approx(100.0 * 900.0 / 20.0 / 200.0, rel=2e-3)
    assert np.sum(np.abs(flow.vm_pu[1] - 1.0) < 1e-9) == 1


def test_what_the_network_does_not_say_is_said() -> None:
    said = " ".join(ThreePhase(street()).assumptions)
    assert "4 times" in said
    assert "Dyn" in said
    assert "1,000 MVA" in said
    net = pandapower.networks.create_cigre_network_lv()
    net.line["r0_ohm_per_km"], net.line["x0_ohm_per_km"] = net.line.r_ohm_per_km * 3, net.line.x_ohm_per_km * 3
    net.trafo["vector_group"] = "Dyn11"
    net.trafo["vk0_percent"], net.trafo["vkr0_percent"] = net.trafo.vk_percent, net.trafo.vkr_percent
    net.ext_grid["x0x_max"], net.ext_grid["r0x0_max"] = 1.0, 0.1
    assert ThreePhase(Network.from_net(net, "told", ["Bus R15"])).assumptions == ()
    assert "two phases" in ThreePhase(line_of_1_km(20.0)).assumptions[-1]
    net.load["const_z_p_percent"] = 40.0
    assert "constant power" in ThreePhase(Network.from_net(net, "follows", ["Bus R15"])).assumptions[-1]


def test_no_solution_is_said() -> None:
    network = line_of_1_km(0.4)
    drawn_kva = np.zeros((2, 3), dtype=np.complex128)
    drawn_kva[1, 0] = 500.0
    flow = ThreePhase(network).solve(drawn_kva)
    assert not flow.converged
    assert np.isnan(flow.vm_pu).all()


def test_networks_that_it_cannot_do_are_refused() -> None:
    with pytest.raises(NetworkError, match="gen"):
        ThreePhase(Network.of(Grid(network="case14"), [3]))
    net = pandapower.networks.create_cigre_network_lv()
    net.trafo["vector_group"] = "YNd5"
    with pytest.raises(NetworkError, match="YNd5"):
        ThreePhase(Network.from_net(net, "earthed", ["Bus R15"]))
