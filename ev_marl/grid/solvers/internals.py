"""pandapower's own matrices of a network, as plain arrays; the only module that touches what pandapower keeps private.

A `Network` comes in; `Admittances` go out, taken after one `runpp`, so that switches, tap positions, phase shifts,
fused buses and dead parts are pandapower's by construction. Pinned to pandapower 3.5: a newer one may keep these
elsewhere.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower
from pandapower.auxiliary import LoadflowNotConverged
from pandapower.pypower.idx_bus import CID_P, CID_Q, CZD_P, CZD_Q, PD, QD
from scipy import sparse

from ev_marl.grid.model.network import Network
from ev_marl.grid.model.sources import Net
from ev_marl.support.errors import NetworkError

UNKNOWN_ELEMENTS = ("dcline", "svc", "ssc", "tcsc", "vsc")  # lines for direct current, and what is controlled
MANY_ITERATIONS = 100
"""For loads that follow the voltage: pandapower's Jacobian is without that, so it needs more than its usual 10."""
_NOTHING = 1e-12  # p.u.


@dataclass(frozen=True)
class Admittances:
    """A network in p.u. of `base_kva`; R internal rows, Br branches, N buses, M lines, K transformers."""

    base_kva: float
    row: np.ndarray  # int64 (N,)  internal row of each bus, −1: dead; buses joined by a switch share one
    ybus: sparse.csr_matrix  # complex128 (R, R)
    yf: sparse.csr_matrix  # complex128 (Br, R)  current into each branch at its first end
    yt: sparse.csr_matrix  # complex128 (Br, R)  and at its second
    from_row: np.ndarray  # int64 (Br,)
    to_row: np.ndarray  # int64 (Br,)
    slack_row: np.ndarray  # int64
    slack_v: np.ndarray  # complex128
    pv_row: np.ndarray  # int64  rows whose voltage a generator holds
    pv_vm: np.ndarray  # float64
    fixed_s: np.ndarray  # complex128 (R,)  fed in by everything that is no load, generator or charger of the spec
    held_p: np.ndarray  # float64 (R,)  the part of it that is fed in by generators that hold a voltage
    current_share: np.ndarray  # complex128 (R,)  of P and jQ drawn at 1 p.u., what is in proportion to the voltage
    impedance_share: np.ndarray  # complex128 (R,)  in proportion to its square
    line_branch: np.ndarray  # int64 (M,)  branch of each line, −1: out of service
    transformer_branch: np.ndarray  # int64 (K,)
    line_percent_per_pu: np.ndarray  # float64 (M, 2)  loading by the current at each end, 0 where the rating is unknown
    transformer_percent_per_pu: np.ndarray  # float64 (K, 2)

    @property
    def voltage_dependent(self) -> bool:
        """Whether any load draws other than constant power."""
        return bool(self.current_share.any() or self.impedance_share.any())


def with_tap_positions(net: Net, taps: Mapping[int, int] | None) -> Net:
    """A copy of a network with other tap positions, by position in `net.trafo`."""
    changed = copy.deepcopy(net)
    for position, tap in (taps or {}).items():
        changed.trafo.loc[changed.trafo.index[position], "tap_pos"] = tap
    return changed


def unsupported(network: Network) -> list[str]:
    """What of the network the matrices do not describe; empty where they say it all."""
    net = network.net
    return [table for table in UNKNOWN_ELEMENTS if table in net and len(net[table]) and net[table].in_service.any()]


def admittances(network: Network, taps: Mapping[int, int] | None = None) -> Admittances:
    """The matrices of a network.

    Parameters
    ----------
    network : Network
        The network.
    taps : mapping of int to int, optional
        Tap positions other than the network's own, by position in `spec.transformers`.

    Raises
    ------
    NetworkError
        If pandapower finds no solution even without loads, or there is nothing to solve.
    """
    net, loaded = _solved(network, taps)
    internal: dict[str, Any] = net._ppc["internal"]
    lookups: dict[str, Any] = net._pd2ppc_lookups
    if not sparse.issparse(internal["Ybus"]):
        raise NetworkError(
            f"network '{network.spec.name}': every bus has the voltage of an external grid, so pandapower makes no "
            "matrices of it; take backend 'pandapower', or a network with lines or transformers"
        )
    ybus = internal["Ybus"].tocsr()
    n_rows = ybus.shape[0]
    branch = internal["branch"]
    base_kva = 1000.0 * float(internal["baseMVA"])
    voltage = internal["V"]
    slack, pv = np.asarray(internal["ref"], dtype=np.int64), np.asarray(internal["pv"], dtype=np.int64)
    row = np.asarray(lookups["bus"])[net.bus.index.to_numpy()].astype(np.int64)
    in_service = np.asarray(internal["branch_is"], dtype=bool)
    place = np.where(in_service, np.cumsum(in_service) - 1, -1)

    def branches(kind: str, count: int) -> np.ndarray:
        if not count:
            return np.empty(0, dtype=np.int64)
        first, end = lookups["branch"][kind]
        return np.asarray(place[first:end], dtype=np.int64)

    def amperes_per_pu(kv: np.ndarray) -> np.ndarray:
        return np.asarray(base_kva / (np.sqrt(3.0) * kv))

    spec, line, trafo = network.spec, net.line, net.trafo
    kv = spec.bus_kv
    rated = 1000.0 * (line.max_i_ka * line.df * line.parallel).to_numpy(dtype=np.float64)
    line_ends = [amperes_per_pu(kv[bus]) / rated for bus in (spec.line_from_bus, spec.line_to_bus)]
    rated_kva = 1000.0 * (trafo.sn_mva * trafo.df * trafo.parallel).to_numpy(dtype=np.float64)
    transformer_ends = [
        np.sqrt(3.0) * trafo[side].to_numpy(dtype=np.float64) * amperes_per_pu(kv[bus]) / rated_kva
        for side, bus in (("vn_hv_kv", spec.transformer_hv_bus), ("vn_lv_kv", spec.transformer_lv_bus))
    ]
    bus, held_p = internal["bus"], _held(net, internal, row, n_rows)
    return Admittances(
        base_kva=base_kva,
        row=np.where((row >= 0) & (row < n_rows), row, -1),
        ybus=ybus,
        yf=internal["Yf"].tocsr(),
        yt=internal["Yt"].tocsr(),
        from_row=branch[:, 0].real.astype(np.int64),
        to_row=branch[:, 1].real.astype(np.int64),
        slack_row=slack,
        slack_v=np.asarray(voltage[slack]),
        pv_row=pv,
        pv_vm=np.abs(voltage[pv]),
        fixed_s=_fixed(network if loaded else None, internal, row, n_rows) + held_p,
        held_p=held_p,
        current_share=bus[:, CID_P] + 1j * bus[:, CID_Q],
        impedance_share=bus[:, CZD_P] + 1j * bus[:, CZD_Q],
        line_branch=branches("line", len(line)),
        transformer_branch=branches("trafo", len(trafo)),
        line_percent_per_pu=np.where(np.isnan(rated)[:, None], 0.0, 100.0 * np.stack(line_ends, axis=1)),
        transformer_percent_per_pu=np.where(
            np.isnan(rated_kva)[:, None], 0.0, 100.0 * np.stack(transformer_ends, axis=1)
        ),
    )


def run(net: Net, *, compiled: bool = False) -> None:
    """pandapower's power flow as the reference runs it.

    Parameters
    ----------
    net : pandapowerNet
        Solved in place.
    compiled : bool
        Whether pandapower compiles parts of it: a fifth faster, after three seconds in every process.

    Raises
    ------
    LoadflowNotConverged
        If there is no solution.
    """
    with warnings.catch_warnings():  # divisions by zero on the way to a failure that is reported as such
        warnings.simplefilter("ignore")
        pandapower.runpp(
            net,
            lightsim2grid=False,
            init="auto",
            max_iteration=MANY_ITERATIONS if follows_voltage(net) else "auto",
            numba=compiled,
        )


def beside_slacks(net: Net) -> np.ndarray:
    """Generators of a solved network that stand at a slack, or behind a closed switch there, bool, shape (n_gens,)."""
    row, gen = np.asarray(net._pd2ppc_lookups["bus"]), net.gen
    slacks = [*net.ext_grid.bus[net.ext_grid.in_service], *gen.bus[gen.in_service & gen.slack]]
    return np.isin(row[gen.bus.to_numpy(dtype=np.int64)], row[np.array(slacks, dtype=np.int64)])


def follows_voltage(net: Net) -> bool:
    """Whether any load draws other than constant power."""
    shares = [column for column in net.load.columns if column.startswith("const_")]
    return bool((net.load[shares].fillna(0.0) != 0.0).to_numpy().any())


def _solved(network: Network, taps: Mapping[int, int] | None) -> tuple[Net, bool]:
    """A solved copy, and whether its loads and generators are in it: with none of them, or else with all."""
    for loaded in (False, True):
        net = with_tap_positions(network.net, taps)
        net.storage.loc[net.storage.index[network.charger_rows], ["p_mw", "q_mvar"]] = 0.0
        if not loaded:
            for table in ("load", "sgen"):
                net[table][["p_mw", "q_mvar"]] = 0.0
        try:
            run(net)
        except LoadflowNotConverged:
            continue
        return net, loaded
    raise NetworkError(
        f"network '{network.spec.name}': pandapower finds no power flow, with or without loads; solve it with "
        "pandapower.runpp first, and mend what it names"
    )


def _held(net: Net, internal: dict[str, Any], row: np.ndarray, n_rows: int) -> np.ndarray:
    """Power fed in at each row by generators that hold a voltage, beside a slack too, but are none [p.u.]."""
    bus_mva, held = float(internal["baseMVA"]), np.zeros(n_rows)
    position = {int(index): k for k, index in enumerate(net.bus.index)}
    for bus, mw, slack in zip(net.gen.bus, net.res_gen.p_mw, net.gen.slack, strict=True):
        at = row[position[int(bus)]]
        if not slack and 0 <= at < n_rows and np.isfinite(mw):
            held[at] += mw / bus_mva
    return held


def _fixed(loaded: Network | None, internal: dict[str, Any], row: np.ndarray, n_rows: int) -> np.ndarray:
    """Power fed in at each row by what is neither load nor any generator or charger [p.u.].

    `loaded` is the network whose own loads and generators are in what pandapower holds as drawn.
    """
    bus, base_mva = internal["bus"], float(internal["baseMVA"])
    fixed: np.ndarray = -(bus[:, PD] + 1j * bus[:, QD]).astype(np.complex128) / base_mva
    if loaded is not None:
        spec = loaded.spec
        for place, drawn in (
            (spec.load_bus, spec.load_kw + 1j * spec.load_kvar),
            (spec.generator_bus, -spec.generator_kw - 1j * spec.generator_kvar),
        ):
            alive = (row[place] >= 0) & (row[place] < n_rows)
            np.add.at(fixed, row[place][alive], drawn[alive] / (1000.0 * base_mva))
    fixed[np.abs(fixed) < _NOTHING] = 0.0  # what is left of sums that cancel
    return fixed
