"""A network on three phases: powers of each bus and phase in, voltages, unbalance and loadings of each phase out.

This is pandapower's `runpp_3ph`, some tens of milliseconds a state: for looking at what a balanced power flow cannot
show, not for training. It needs data that few networks bring, about currents that return through neutral and earth;
what is assumed in their place is said in `ThreePhase.assumptions`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower
from pandapower.auxiliary import LoadflowNotConverged

from ev_marl.grid.model.network import Network
from ev_marl.grid.model.spec import OTHER_ELEMENTS
from ev_marl.grid.solvers.base import LOWEST_PU
from ev_marl.grid.solvers.internals import follows_voltage, with_tap_positions
from ev_marl.support.errors import NetworkError

PHASES = ("a", "b", "c")
HIGHEST_PU = 1.5  # beyond this, a result is no solution
LOW_VOLTAGE_KV = 1.0  # up to here, loads stand between a phase and neutral
# What `runpp_3ph` leaves out, or has no zero sequence of.
_UNKNOWN = [table for table in ("gen", "trafo3w", *OTHER_ELEMENTS) if not table.startswith("asymmetric_")]
_ONE_GROUP = re.compile(r"\b(Dyn|Yzn|YNyn|Yy|Yd|Dy|Dd)\d{0,2}\b")
_LINE = {"r0_ohm_per_km": ("r_ohm_per_km", 4.0), "x0_ohm_per_km": ("x_ohm_per_km", 4.0)}
_TRANSFORMER = {"mag0_percent": 100.0, "mag0_rx": 0.0, "si0_hv_partial": 0.9}
_EXT_GRID = {"s_sc_max_mva": 1000.0, "rx_max": 0.1, "x0x_max": 1.0, "r0x0_max": 0.1}


@dataclass(frozen=True)
class PhaseFlow:
    """One state on three phases; all NaN where it did not converge."""

    vm_pu: np.ndarray  # float64 (N, 3)  phase to neutral, NaN at dead buses
    unbalance_percent: np.ndarray  # float64 (N,)  negative over positive sequence voltage
    line_percent: np.ndarray  # float64 (M, 3)
    transformer_percent: np.ndarray  # float64 (K, 3)
    converged: bool


class ThreePhase:
    """A network that takes different powers on its phases.

    Loads stand between phase and neutral up to 1 kV. Above, they stand between two phases: that is what a load on one
    phase looks like through the local transformer with its delta winding.

    Parameters
    ----------
    network : Network
        The network.
    taps : mapping of int to int, optional
        Tap positions other than the network's own, by position in `spec.transformers`.

    Attributes
    ----------
    assumptions : tuple of str
        What the network does not say and is taken for granted.

    Raises
    ------
    NetworkError
        If the network has elements, or transformers of a kind, that `runpp_3ph` does not know.
    """

    def __init__(self, network: Network, taps: Mapping[int, int] | None = None) -> None:
        spec, net = network.spec, with_tap_positions(network.net, taps)
        found = [table for table in _UNKNOWN if table in net and len(net[table]) and net[table].in_service.any()]
        if found:
            raise NetworkError(
                f"network '{spec.name}' has {', '.join(found)} in service, which pandapower's three-phase power flow "
                "does not know; take a network without them"
            )
        self.spec = spec
        _leave_out_dead_ends(net)
        self.assumptions = tuple(_complete(net))
        own = np.setdiff1d(np.arange(len(net.storage)), network.charger_rows)
        position = {int(index): k for k, index in enumerate(net.bus.index)}
        self._constant_kva = np.zeros(spec.n_buses, dtype=np.complex128)  # drawn by the network's own storages
        storage = net.storage.iloc[own][net.storage.in_service.to_numpy(dtype=bool)[own]]
        for bus, p_mw, q_mvar in zip(
            storage.bus, storage.p_mw * storage.scaling, storage.q_mvar * storage.scaling, strict=True
        ):
            self._constant_kva[position[int(bus)]] += 1000.0 * (p_mw + 1j * q_mvar)
        for table in ("load", "sgen", "storage"):
            net[table] = net[table].iloc[:0]
        drawn = np.concatenate(
            [spec.load_bus, spec.generator_bus, spec.charger_bus, np.flatnonzero(self._constant_kva)]
        )
        self._buses = np.unique(drawn)
        for bus in self._buses:
            kind = "wye" if spec.bus_kv[bus] <= LOW_VOLTAGE_KV else "delta"
            pandapower.create_asymmetric_load(net, int(net.bus.index[bus]), type=kind)
        self._rows = net.asymmetric_load.index[-len(self._buses) :]
        self._net = net

    def solve(self, drawn_kva: np.ndarray) -> PhaseFlow:
        """Solve one state.

        Parameters
        ----------
        drawn_kva : complex128, shape (n_buses, 3)
            Drawn at each bus from each phase, less what is fed in; active power is real, reactive imaginary [kVA].
        """
        net = self._net
        power = (drawn_kva + self._constant_kva[:, None] / 3.0)[self._buses] / 1000.0
        for k, phase in enumerate(PHASES):
            net.asymmetric_load.loc[self._rows, f"p_{phase}_mw"] = power[:, k].real
            net.asymmetric_load.loc[self._rows, f"q_{phase}_mvar"] = power[:, k].imag
        try:
            with warnings.catch_warnings():  # divisions by zero on the way to a failure that is reported as such
                warnings.simplefilter("ignore")
                pandapower.runpp_3ph(net)
        except LoadflowNotConverged:
            return self._nothing()
        vm_pu = _columns(net.res_bus_3ph, "vm_{}_pu")
        known = ~np.isnan(vm_pu[self._buses])
        # `runpp_3ph` looks at how much power moves, not at whose: far beyond what a network carries it calls anything
        # a solution. The lower bound is that of the balanced backends.
        if not known.any() or not ((vm_pu[self._buses] >= LOWEST_PU) & (vm_pu[self._buses] <= HIGHEST_PU))[known].all():
            return self._nothing()
        return PhaseFlow(
            vm_pu,
            net.res_bus_3ph.unbalance_percent.to_numpy(dtype=np.float64),
            np.nan_to_num(_columns(net.res_line_3ph, "loading_{}_percent")),
            np.nan_to_num(_columns(net.res_trafo_3ph, "loading_{}_percent")),
            True,
        )

    def _nothing(self) -> PhaseFlow:
        spec = self.spec
        return PhaseFlow(
            np.full((spec.n_buses, 3), np.nan),
            np.full(spec.n_buses, np.nan),
            np.full((spec.n_lines, 3), np.nan),
            np.full((spec.n_transformers, 3), np.nan),
            False,
        )


def _columns(table: Any, name: str) -> np.ndarray:
    columns = [name.format(phase) for phase in PHASES]
    if not set(columns) <= set(table.columns):  # no such element
        return np.zeros((len(table), 3))
    return np.asarray(table[columns].to_numpy(dtype=np.float64))


def _leave_out_dead_ends(net: Any) -> None:
    """Switch off branches to buses that are out of service, in place: `runpp_3ph` gives NaN all over with them."""
    off = net.bus.index[~net.bus.in_service.astype(bool)]
    for table, first, second in (("line", "from_bus", "to_bus"), ("trafo", "hv_bus", "lv_bus")):
        branches = net[table]
        branches.loc[branches[first].isin(off) | branches[second].isin(off), "in_service"] = False


def _complete(net: Any) -> list[str]:
    """Put zero-sequence data where the network has none, in place; what was assumed, one sentence each."""
    said = []
    if len(net.line):
        missing = [_fill(net.line, name, factor * net.line[own]) for name, (own, factor) in _LINE.items()]
        _fill(net.line, "c0_nf_per_km", net.line.c_nf_per_km)
        if any(missing):
            said.append(
                "lines: zero-sequence impedance 4 times the positive-sequence one (the neutral is like a phase "
                "conductor and carries the whole return current), capacitance the same"
            )
    if len(net.trafo):
        # Above 1 kV nothing returns through neutral or earth, so the vector group does not matter there.
        low = (net.bus.vn_kv.loc[net.trafo.lv_bus] <= LOW_VOLTAGE_KV).to_numpy()
        groups = [
            _vector_group(row) if below else "Dyn" for (_, row), below in zip(net.trafo.iterrows(), low, strict=True)
        ]
        if None in groups:
            said.append("transformers: vector group Dyn where none is given")
        net.trafo["vector_group"] = [group or "Dyn" for group in groups]
        missing = [_fill(net.trafo, f"{name}0_percent", net.trafo[f"{name}_percent"]) for name in ("vk", "vkr")]
        for name, value in _TRANSFORMER.items():
            _fill(net.trafo, name, value)
        if any(missing):
            said.append("transformers: zero-sequence short-circuit voltage like the positive-sequence one")
    missing = [_fill(net.ext_grid, name, value) for name, value in _EXT_GRID.items()]
    if any(missing):
        said.append("external grid: 1,000 MVA short-circuit power, R/X 0.1, X0/X 1, R0/X0 0.1 where not given")
    if follows_voltage(net):
        said.append("loads: constant power, though some of this network's follow the voltage")
    if (net.bus.vn_kv.loc[_ends(net)] > LOW_VOLTAGE_KV).any():
        said.append("above 1 kV, what draws from one phase stands between two phases, as through a Dyn transformer")
    return said


def _ends(net: Any) -> list[int]:
    """Buses at which something is drawn or fed in."""
    return [*net.load.bus, *net.sgen.bus, *net.storage.bus]


def _fill(table: Any, name: str, values: Any) -> bool:
    """Fill a column where it is missing or empty; whether it was anywhere."""
    if name not in table:
        table[name] = values
        return True
    known = table[name].astype(float)
    if not known.isna().any():
        return False
    table[name] = known.fillna(values)
    return True


def _vector_group(row: Any) -> str | None:
    """Of a transformer, as `runpp_3ph` spells it: from its own column, or from the name of its type."""
    for text in (row.get("vector_group"), row.get("std_type")):
        if isinstance(text, str) and text:
            found = _ONE_GROUP.search(text)
            if found:
                return found.group(1)
            if text == row.get("vector_group"):
                raise NetworkError(
                    f"transformer '{row['name']}' has the vector group {text}; pandapower's three-phase power flow "
                    "knows Dyn, Yzn, YNyn, and those without neutral"
                )
    return None
