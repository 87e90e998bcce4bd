"""pandapower itself, row by row: the reference that every other backend has to agree with."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
from pandapower.auxiliary import LoadflowNotConverged

from ev_marl.grid.model.network import Network
from ev_marl.grid.model.sources import Net
from ev_marl.grid.solvers.base import BACKENDS, Injections, PowerFlow, refuse_collapse
from ev_marl.grid.solvers.internals import beside_slacks, run, with_tap_positions

_WRITTEN = ("load", "sgen", "storage")
_BRANCHES = ("line", "trafo", "trafo3w", "impedance", "dcline")


@BACKENDS.register("pandapower")
class PandapowerBackend:
    """`runpp` for every row, from a fresh start, without `recycle`: some 20 ms each.

    Parameters
    ----------
    network : Network
        The network.
    taps : mapping of int to int, optional
        Tap positions other than the network's own, by position in `spec.transformers`.
    compiled : bool
        Whether pandapower compiles parts of it, which pays from some hundred rows on.
    """

    name = "pandapower"

    def __init__(self, network: Network, taps: Mapping[int, int] | None = None, *, compiled: bool = False) -> None:
        self.network = network
        self.compiled = compiled
        self.spec = network.spec
        self._taps = dict(taps or {})
        self._net = with_tap_positions(network.net, taps)
        self._storage_kw = 1000.0 * self._net.storage.p_mw.to_numpy(dtype=np.float64)
        self._storage_kvar = 1000.0 * self._net.storage.q_mvar.to_numpy(dtype=np.float64)

    def with_taps(self, taps: Mapping[int, int]) -> PandapowerBackend:
        """The same network at other tap positions."""
        return PandapowerBackend(self.network, {**self._taps, **taps}, compiled=self.compiled)

    def solve(self, injections: Injections) -> PowerFlow:
        """Solve every row."""
        spec, n_batch = self.spec, injections.n_batch
        flow = PowerFlow(
            np.full((n_batch, spec.n_buses), np.nan),
            np.full((n_batch, spec.n_lines), np.nan),
            np.full((n_batch, spec.n_transformers), np.nan),
            np.full(n_batch, np.nan),
            np.full(n_batch, np.nan),
            np.full(n_batch, np.nan),
            np.zeros(n_batch, dtype=bool),
            np.zeros(n_batch, dtype=np.int64),
        )
        net = self._working_copy()
        for b in range(n_batch):
            self._solve_row(net, injections, b, flow)
        return refuse_collapse(flow)

    def _working_copy(self) -> Net:
        """The network with tables of its own wherever a power flow writes: several threads may solve at once."""
        net = copy.copy(self._net)
        for table in net:
            if table in _WRITTEN or table.startswith("res_"):
                net[table] = net[table].copy()
        return net

    def _solve_row(self, net: Net, injections: Injections, b: int, flow: PowerFlow) -> None:
        chargers = self.network.charger_rows
        row = injections.rows(np.array([b]))
        parts = (row.load_kw, row.load_kvar, row.generator_kw, row.generator_kvar, row.charger_kw, row.charger_kvar)
        if not all(np.isfinite(part).all() for part in parts):
            return
        net.load["p_mw"], net.load["q_mvar"] = row.load_kw[0] / 1000.0, row.load_kvar[0] / 1000.0
        net.sgen["p_mw"], net.sgen["q_mvar"] = row.generator_kw[0] / 1000.0, row.generator_kvar[0] / 1000.0
        storage_kw, storage_kvar = self._storage_kw.copy(), self._storage_kvar.copy()
        storage_kw[chargers], storage_kvar[chargers] = row.charger_kw[0], row.charger_kvar[0]
        net.storage["p_mw"], net.storage["q_mvar"] = storage_kw / 1000.0, storage_kvar / 1000.0
        try:
            run(net, compiled=self.compiled)
        except LoadflowNotConverged:
            return
        flow.vm_pu[b] = net.res_bus.vm_pu
        flow.line_percent[b] = np.nan_to_num(net.res_line.loading_percent.to_numpy(dtype=np.float64))
        flow.transformer_percent[b] = np.nan_to_num(net.res_trafo.loading_percent.to_numpy(dtype=np.float64))
        slack_mw, slack_mvar = net.res_ext_grid.p_mw.sum(), net.res_ext_grid.q_mvar.sum()
        if len(net.gen):
            is_slack = net.gen.slack.to_numpy(dtype=bool)
            slack_mw += net.res_gen.p_mw[is_slack].sum()
            # A generator beside a slack holds the same voltage: how they share the reactive power is nobody's business.
            slack_mvar += net.res_gen.q_mvar[beside_slacks(net)].sum()
        flow.slack_kw[b], flow.slack_kvar[b] = 1000.0 * slack_mw, 1000.0 * slack_mvar
        flow.losses_kw[b] = 1000.0 * _lost_mw(net)
        flow.converged[b] = True
        flow.iterations[b] = int(net._ppc["iterations"])


def _lost_mw(net: Net) -> float:
    """What a solved network loses in all branches, switches and shunts [MW]."""
    lost_mw = sum(float(net[f"res_{table}"].pl_mw.sum()) for table in _BRANCHES if len(net[table]))
    lost_mw += float(net.res_shunt.p_mw.sum()) if len(net.shunt) else 0.0
    if len(net.switch):  # those with an impedance
        lost_mw += float((net.res_switch.p_from_mw + net.res_switch.p_to_mw).sum())
    for table in ("ward", "xward"):  # what is left when their part with constant power is taken off
        if len(net[table]):
            on = net[table].in_service.to_numpy(dtype=bool)
            lost_mw += float(net[f"res_{table}"].p_mw.sum() - net[table].ps_mw.to_numpy(dtype=np.float64)[on].sum())
    return lost_mw
