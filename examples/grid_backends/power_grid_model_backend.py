"""power-grid-model as a grid backend: what an adapter for another engine has to map, worked out once.

A `Network` comes in; its elements go into power-grid-model's own tables (not pandapower's matrices), and its answers
come back as a `PowerFlow`. Name it in a scenario file:

    grid: {network: cigre_lv, backend: "power_grid_model_backend:PowerGridModelBackend"}

It differs from pandapower by up to 4e-6 p.u. on the networks of its tests, because it models transformers as a pi and
pandapower as a T; with `runpp(trafo_model="pi")` both agree to 1e-10 p.u. So it states a tolerance of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from power_grid_model import BranchSide, LoadGenType, PowerGridModel, WindingType, initialize_array
from power_grid_model.errors import PowerGridError

from ev_marl.grid.model.network import Network
from ev_marl.grid.solvers.base import Injections, PowerFlow, refuse_collapse
from ev_marl.support.errors import NetworkError

IDEAL_VA = 1e20  # short-circuit power of a source: without it, power-grid-model puts an impedance behind every slack
CANNOT = (
    "gen", "trafo3w", "impedance", "ward", "xward", "motor", "dcline", "asymmetric_load", "asymmetric_sgen",
    "svc", "ssc", "tcsc", "vsc",
)  # fmt: skip


class PowerGridModelBackend:
    """Newton's method of power-grid-model, rows in sequence.

    Parameters
    ----------
    network : Network
        The network.
    taps : mapping of int to int, optional
        Tap positions other than the network's own, by position in `spec.transformers`.

    Raises
    ------
    NetworkError
        If the network has elements that are not mapped here.
    """

    name = "power-grid-model"
    tolerances: ClassVar = {"voltage_pu": 2e-5, "loading_percent": 1e-2, "power_share": 1e-4}

    def __init__(self, network: Network, taps: Mapping[int, int] | None = None) -> None:
        self.network = network
        self.spec = network.spec
        self._taps = dict(taps or {})
        _refuse(network)
        self._next_id = 0
        self._tables: dict[str, Any] = {}
        self._nodes()
        self._lines()
        self._transformers()
        self._switches()
        self._sources()
        self._appliances()
        self._shunts()
        self._model = PowerGridModel(self._tables)

    def with_taps(self, taps: Mapping[int, int]) -> PowerGridModelBackend:
        """The same network at other tap positions."""
        return PowerGridModelBackend(self.network, {**self._taps, **taps})

    def solve(self, injections: Injections) -> PowerFlow:
        """Solve every row."""
        n_batch, spec = injections.n_batch, self.spec
        drawn_kw = np.concatenate([injections.load_kw, injections.charger_kw], axis=1)
        drawn_kvar = np.concatenate([injections.load_kvar, injections.charger_kvar], axis=1)
        fed_kw, fed_kvar = injections.generator_kw, injections.generator_kvar
        # To power-grid-model NaN means "as before": rows with one must not get there.
        usable = np.logical_and.reduce(
            [np.isfinite(part).all(axis=1) for part in (drawn_kw, drawn_kvar, fed_kw, fed_kvar)]
        )
        rows = np.flatnonzero(usable)
        flow = PowerFlow(
            np.full((n_batch, spec.n_buses), np.nan),
            np.zeros((n_batch, spec.n_lines)),
            np.zeros((n_batch, spec.n_transformers)),
            *(np.full(n_batch, np.nan) for _ in range(3)),
            usable.copy(),
            np.zeros(n_batch, dtype=np.int64),
        )
        if len(rows):
            update = {}
            for kind, ids, kw, kvar in (
                ("sym_load", self._drawing, drawn_kw, drawn_kvar),
                ("sym_gen", self._feeding, fed_kw, fed_kvar),
            ):
                if len(ids):
                    update[kind] = initialize_array("update", kind, (len(rows), len(ids)))
                    update[kind]["id"] = ids
                    update[kind]["p_specified"], update[kind]["q_specified"] = 1e3 * kw[rows], 1e3 * kvar[rows]
            self._run(update, rows, flow)
            fed = self._fixed_kw + fed_kw[:, self._feeding_alive].sum(axis=1)
            flow.losses_kw[:] = flow.slack_kw + fed - drawn_kw[:, self._drawing_alive].sum(axis=1)
        return refuse_collapse(flow)

    def _run(self, update: dict[str, Any], rows: np.ndarray, flow: PowerFlow) -> None:
        try:
            out = self._model.calculate_power_flow(update_data=update, continue_on_batch_error=True)
        except PowerGridError:  # not of single rows: nothing can be said of any
            flow.converged[rows] = False
            return
        failed = self._model.batch_error
        if failed is not None:
            flow.converged[rows[failed.failed_scenarios]] = False
        table = self.network.net
        node = out["node"]
        flow.vm_pu[np.ix_(rows, self._node_bus)] = np.where(node["energized"] == 1, node["u_pu"], np.nan)
        if self.spec.n_lines:
            amperes = np.maximum(out["line"]["i_from"], out["line"]["i_to"])
            rated = 1e3 * (table.line.max_i_ka * table.line.df * table.line.parallel).to_numpy(dtype=np.float64)
            flow.line_percent[rows] = 100.0 * np.nan_to_num(amperes) / rated
        if self.spec.n_transformers:
            # Its own `loading` is by apparent power; pandapower's, and so ours, is by current at the rated voltages.
            trafo, of = table.trafo, out["transformer"]
            high = of["i_from"] * 1e3 * trafo.vn_hv_kv.to_numpy(dtype=np.float64)
            low = of["i_to"] * 1e3 * trafo.vn_lv_kv.to_numpy(dtype=np.float64)
            rated = 1e6 * (trafo.sn_mva * trafo.df * trafo.parallel).to_numpy(dtype=np.float64)
            flow.transformer_percent[rows] = 100.0 * np.sqrt(3.0) * np.nan_to_num(np.maximum(high, low)) / rated
        flow.slack_kw[rows] = out["source"]["p"].sum(axis=1) / 1e3
        flow.slack_kvar[rows] = out["source"]["q"].sum(axis=1) / 1e3

    def _table(self, kind: str, count: int) -> Any:
        """An input table; ids run through all kinds, as power-grid-model wants them."""
        table = initialize_array("input", kind, count)
        table["id"] = np.arange(self._next_id, self._next_id + count)
        self._next_id += count
        if count:
            self._tables[kind] = table
        return table

    def _at(self, buses: Sequence[int]) -> np.ndarray:
        """Ids of the nodes of buses; −1 where a bus is out of service."""
        return np.array([self._node_of.get(int(bus), -1) for bus in buses], dtype=np.int64)

    def _nodes(self) -> None:
        bus = self.network.net.bus
        self._node_bus = np.flatnonzero(bus.in_service.to_numpy(dtype=bool))
        nodes = self._table("node", len(self._node_bus))
        nodes["u_rated"] = 1e3 * bus.vn_kv.to_numpy(dtype=np.float64)[self._node_bus]
        self._node_of = {int(index): k for k, index in enumerate(bus.index[self._node_bus])}

    def _ends(self, table: Any, letter: str, source: Any, first: str, second: str) -> None:
        """Where a branch ends, and on which sides it is connected."""
        switch = self.network.net.switch
        opened = switch[(switch.et == letter) & ~switch.closed]
        is_open = set(zip(opened.element.tolist(), opened.bus.tolist(), strict=True))
        at_first, at_second = self._at(source[first]), self._at(source[second])
        on = source.in_service.to_numpy(dtype=bool) & (at_first >= 0) & (at_second >= 0)
        # A branch needs two nodes even where it is off.
        table["from_node"], table["to_node"] = np.maximum(at_first, 0), np.maximum(at_second, 0)
        for status, column in (("from_status", first), ("to_status", second)):
            table[status] = [
                bool(alive) and (int(index), int(bus)) not in is_open
                for alive, index, bus in zip(on, source.index, source[column], strict=True)
            ]

    def _lines(self) -> None:
        net = self.network.net
        line = net.line
        table = self._table("line", len(line))
        km, parallel = line.length_km.to_numpy(dtype=np.float64), line.parallel.to_numpy(dtype=np.float64)
        self._ends(table, "l", line, "from_bus", "to_bus")
        table["r1"] = line.r_ohm_per_km * km / parallel
        table["x1"] = line.x_ohm_per_km * km / parallel
        table["c1"] = 1e-9 * line.c_nf_per_km * km * parallel
        wc = 2.0 * np.pi * net.f_hz * 1e-9 * line.c_nf_per_km.to_numpy(dtype=np.float64)
        g = 1e-6 * line.g_us_per_km.to_numpy(dtype=np.float64)
        table["tan1"] = np.divide(g, wc, out=np.zeros_like(g), where=wc > 0.0)
        table["i_n"] = 1e3 * line.max_i_ka

    def _transformers(self) -> None:
        trafo = self.network.net.trafo
        table = self._table("transformer", len(trafo))
        parallel = trafo.parallel.to_numpy(dtype=np.float64)
        self._ends(table, "t", trafo, "hv_bus", "lv_bus")
        table["u1"], table["u2"] = 1e3 * trafo.vn_hv_kv, 1e3 * trafo.vn_lv_kv
        table["sn"] = 1e6 * trafo.sn_mva * parallel
        table["uk"] = trafo.vk_percent / 100.0
        table["pk"] = 1e4 * trafo.vkr_percent * trafo.sn_mva * parallel
        table["i0"], table["p0"] = trafo.i0_percent / 100.0, 1e3 * trafo.pfe_kw * parallel
        clock = np.round(trafo.shift_degree.to_numpy(dtype=np.float64) / 30.0).astype(np.int64) % 12
        table["clock"] = clock
        table["winding_from"] = np.where(clock % 2 == 1, WindingType.delta, WindingType.wye)
        table["winding_to"] = WindingType.wye_n
        # Tap changers of no given type are ignored by pandapower, so they are here.
        works = (trafo.tap_changer_type == "Ratio").to_numpy(dtype=bool)
        high = (trafo.tap_side == "hv").to_numpy(dtype=bool)
        position = trafo.tap_pos.to_numpy(dtype=np.float64).copy()
        position[list(self._taps)] = list(self._taps.values())
        step_v = 10.0 * (trafo.tap_step_percent * np.where(high, trafo.vn_hv_kv, trafo.vn_lv_kv)).to_numpy()
        # Counted from the neutral position, and turned round where a higher position means less.
        steps = np.where(works, np.sign(step_v) * (position - trafo.tap_neutral.to_numpy(dtype=np.float64)), 0.0)
        table["tap_side"] = np.where(high, BranchSide.from_side, BranchSide.to_side)
        table["tap_pos"], table["tap_nom"] = steps, 0
        table["tap_min"], table["tap_max"] = np.minimum(steps, 0), np.maximum(steps, 0)
        table["tap_size"] = np.where(works, np.abs(step_v), 0.0)

    def _switches(self) -> None:
        switch = self.network.net.switch
        closed = switch[(switch.et == "b") & switch.closed]
        at_first, at_second = self._at(closed.bus), self._at(closed.element)
        both = (at_first >= 0) & (at_second >= 0)
        table = self._table("link", int(both.sum()))
        table["from_node"], table["to_node"] = at_first[both], at_second[both]
        table["from_status"] = table["to_status"] = 1

    def _sources(self) -> None:
        grids = self.network.net.ext_grid
        grids = grids[grids.in_service & (self._at(grids.bus) >= 0)]
        table = self._table("source", len(grids))
        table["node"], table["status"] = self._at(grids.bus), 1
        table["u_ref"], table["u_ref_angle"] = grids.vm_pu, np.deg2rad(grids.va_degree)
        table["sk"], table["rx_ratio"], table["z01_ratio"] = IDEAL_VA, 0.1, 1.0

    def _appliances(self) -> None:
        """Loads, then chargers, then the network's own storages as loads; generators are of another kind."""
        net, spec = self.network.net, self.spec
        own = net.storage.iloc[: len(net.storage) - spec.n_charger_buses]
        on = own.in_service.to_numpy(dtype=bool)
        own_kva = 1e3 * (own.p_mw + 1j * own.q_mvar).to_numpy(dtype=np.complex128) * own.scaling.to_numpy() * on
        energized = self._energized()
        index = net.bus.index.to_numpy()
        drawing = np.concatenate([index[spec.load_bus], index[spec.charger_bus]])
        at_all = np.concatenate([self._at(drawing), self._at(own.bus)])
        loads = self._table("sym_load", len(at_all))
        loads["node"], loads["status"] = np.maximum(at_all, 0), at_all >= 0
        loads["type"] = LoadGenType.const_power
        loads["p_specified"], loads["q_specified"] = 0.0, 0.0
        n_own = len(own)
        if n_own:
            loads["p_specified"][-n_own:], loads["q_specified"][-n_own:] = 1e3 * own_kva.real, 1e3 * own_kva.imag
        self._drawing = loads["id"][: len(drawing)].copy()
        self._drawing_alive = np.isin(drawing, energized)
        self._fixed_kw = -float(own_kva.real[np.isin(own.bus, energized)].sum())
        feeding = index[spec.generator_bus]
        at = self._at(feeding)
        gens = self._table("sym_gen", len(at))
        gens["node"], gens["status"] = np.maximum(at, 0), at >= 0
        gens["type"] = LoadGenType.const_power
        gens["p_specified"], gens["q_specified"] = 0.0, 0.0
        self._feeding = gens["id"].copy()
        self._feeding_alive = np.isin(feeding, energized)

    def _energized(self) -> np.ndarray:
        """Buses with a way to a source: a run without any load says so."""
        node = PowerGridModel(self._tables).calculate_power_flow()["node"]
        index = self.network.net.bus.index.to_numpy()
        return np.asarray(index[self._node_bus][node["energized"] == 1])

    def _shunts(self) -> None:
        shunt = self.network.net.shunt
        at = self._at(shunt.bus)
        table = self._table("shunt", len(shunt))
        square_v = (1e3 * shunt.vn_kv.to_numpy(dtype=np.float64)) ** 2
        table["node"] = np.maximum(at, 0)
        table["status"] = shunt.in_service.to_numpy(dtype=bool) & (at >= 0)
        table["g1"] = 1e6 * shunt.p_mw * shunt.step / square_v
        table["b1"] = -1e6 * shunt.q_mvar * shunt.step / square_v
        table["g0"], table["b0"] = table["g1"], table["b1"]


def _refuse(network: Network) -> None:
    """Say what is not mapped, rather than leave it out."""
    net = network.net
    found = [table for table in CANNOT if table in net and len(net[table]) and net[table].in_service.any()]
    parts = [column for column in net.load.columns if column.startswith("const_")]
    if parts and bool((net.load[parts].fillna(0.0) != 0.0).to_numpy().any()):
        found.append("voltage-dependent load")
    shift = net.trafo.shift_degree.to_numpy(dtype=np.float64)
    if bool((np.abs(shift - 30.0 * np.round(shift / 30.0)) > 1e-9).any()):
        found.append("transformer with a phase shift that is no clock number")
    if len(net.switch) and bool((net.switch.z_ohm.fillna(0.0) > 0.0).any()):
        found.append("switch with an impedance")
    if found:
        raise NetworkError(
            f"network '{network.spec.name}': backend 'power-grid-model' maps no such elements: {', '.join(found)}"
        )
