"""Networks that every backend of the grid room is tried on, small ones for paper, and backends that are wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandapower
import pandapower.networks

from ev_marl.grid.model.network import Network
from ev_marl.grid.solvers.base import GridBackend, Injections, PowerFlow
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend
from ev_marl.grid.solvers.zbus import ZBusBackend
from ev_marl.scenario.schema.grid import Grid

LINE_OHM, LINE_REACTANCE_OHM, LINE_KA, TWO_BUS_KV = 0.3, 0.12, 0.2, 0.4


def network_of(choice: Any, charger_buses: Sequence[int | str] | None = None, **grid: Any) -> Network:
    """A network as a scenario's `network` names it, with chargers at every load unless told otherwise."""
    model = Grid(network=choice, **grid)
    return Network.of(model, Network.load_buses(model) if charger_buses is None else charger_buses)


def saved(net: Any, folder: Path, name: str = "net") -> dict[str, str]:
    """Write pandapower's network to a file, and say it as a scenario does."""
    path = folder / f"{name}.json"
    pandapower.to_json(net, str(path))
    return {"file": str(path)}


def islands() -> Any:
    """Oberrhein's medium-voltage network with open switches, dead buses, fused buses, and elements out of service."""
    with warnings.catch_warnings():  # of pandapower's, about its own file
        warnings.simplefilter("ignore")
        net = pandapower.networks.mv_oberrhein()
    closed = net.switch.index[net.switch.closed & (net.switch.et == "l")]
    net.switch.loc[closed[[3, 40, 77]], "closed"] = False
    net.line.loc[net.line.index[[10, 90]], "in_service"] = False
    lonely = pandapower.create_bus(net, vn_kv=20.0, name="lonely")
    pandapower.create_load(net, lonely, p_mw=0.1, name="at a lonely bus")
    twin = pandapower.create_bus(net, vn_kv=20.0, name="twin")
    pandapower.create_switch(net, net.load.bus.iloc[0], twin, et="b", closed=True)
    pandapower.create_load(net, twin, p_mw=0.05, q_mvar=0.01, name="at the twin")
    pandapower.create_shunt(net, twin, q_mvar=-0.05, name="capacitor")
    net.load.loc[net.load.index[5], "in_service"] = False
    net.sgen.loc[net.sgen.index[2], "scaling"] = 0.4
    return net


def two_buses() -> Any:
    """A slack at 1 p.u., a line without capacitance, and a load at its end."""
    net = pandapower.create_empty_network()
    near, far = (pandapower.create_bus(net, vn_kv=TWO_BUS_KV, name=name) for name in ("near", "far"))
    pandapower.create_ext_grid(net, near, vm_pu=1.0)
    pandapower.create_line_from_parameters(
        net, near, far, 1.0, LINE_OHM, LINE_REACTANCE_OHM, c_nf_per_km=0.0, max_i_ka=LINE_KA, name="line"
    )
    pandapower.create_load(net, far, p_mw=0.01, q_mvar=0.002, name="house")
    return net


NETWORKS: dict[str, Callable[[Path], Any]] = {
    "cigre_lv": lambda folder: "cigre_lv",
    "cigre_mv": lambda folder: {"pandapower": "cigre_mv", "options": {"with_der": "pv_wind"}},
    "kerber": lambda folder: "create_kerber_vorstadtnetz_kabel_1",
    "case118": lambda folder: "case118",
    "islands": lambda folder: saved(islands(), folder, "islands"),
    "rural": lambda folder: "1-LV-rural1--0-sw",
    "semiurban": lambda folder: {"simbench": "1-LV-semiurb4--2-sw"},
    "medium": lambda folder: {"simbench": "1-MV-rural--0-sw"},
}
"""What a scenario calls them; three of SimBench, one with generators that hold voltages, one with dead buses."""


class Shifted:
    """Agrees with pandapower but for one thousandth of a per cent of voltage."""

    name = "shifted"

    def __init__(self, network: Network) -> None:
        self._backend: GridBackend = PandapowerBackend(network)
        self.spec = network.spec

    def solve(self, injections: Injections) -> PowerFlow:
        """A little too high."""
        flow = self._backend.solve(injections)
        flow.vm_pu *= 1.00001
        return flow

    def with_taps(self, taps: Mapping[int, int]) -> Shifted:
        """Never gets here."""
        raise AssertionError(f"asked for {taps}")


class Reused(ZBusBackend):
    """Hands out the same arrays at every call."""

    name = "reused"

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._kept: dict[int, PowerFlow] = {}

    def solve(self, injections: Injections) -> PowerFlow:
        """Right, but not to be kept."""
        flow = super().solve(injections)
        kept = self._kept.setdefault(injections.n_batch, flow)
        kept.vm_pu[:] = flow.vm_pu
        flow.vm_pu = kept.vm_pu
        return flow


class Coupled(ZBusBackend):
    """Lets the rows of a batch know each other."""

    name = "coupled"

    def solve(self, injections: Injections) -> PowerFlow:
        """Depends a little on the first row."""
        flow = super().solve(injections)
        if flow.converged[0]:
            flow.vm_pu += 1e-8 * (flow.vm_pu[0] - flow.vm_pu)
        return flow


class Deaf(ZBusBackend):
    """Does not move its taps."""

    name = "deaf"

    def with_taps(self, taps: Mapping[int, int]) -> Deaf:
        """The same again."""
        return Deaf(self.network)
