"""Newton's method on pandapower's own admittance matrix, where generators hold voltages.

lightsim2grid solves one row after the other; loadings, slack and losses are worked out for all rows at once. It starts
and stops as pandapower does, so both give up on the same states.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pandapower.pypower.idx_bus import SL_FAC
from scipy import sparse

from ev_marl.grid.model.network import Network
from ev_marl.grid.solvers.base import BACKENDS, MISMATCH_PU, Injections, PowerFlow, refuse_collapse
from ev_marl.grid.solvers.internals import Admittances, admittances, unsupported
from ev_marl.support.errors import NetworkError, how_to_install

try:
    from lightsim2grid.newtonpf import newtonpf_new
except ImportError:  # pragma: no cover - depends on what is installed
    newtonpf_new = None  # the other backends do without

MOST_ITERATIONS = 10  # pandapower's own for Newton's method
ROUNDING = 4.0  # largest mismatch that rounding leaves, in units of the machine precision times |V|·Σ|Y|·|V|
MOST_FOLLOWS = 20  # of power and voltage; each brings them closer by a factor of ten or more


@BACKENDS.register("newton")
class NewtonBackend:
    """Newton's method for networks with voltage-controlled generators.

    Power that depends on the voltage is put in again until both agree, some five times.

    Parameters
    ----------
    network : Network
        The network.
    taps : mapping of int to int, optional
        Tap positions other than the network's own, by position in `spec.transformers`.
    matrices : Admittances, optional
        Of the network at these taps, where the caller has them; else pandapower is asked.

    Raises
    ------
    NetworkError
        If lightsim2grid is not installed, or the network has elements that this method cannot represent.
    """

    name = "newton"

    def __init__(
        self, network: Network, taps: Mapping[int, int] | None = None, matrices: Admittances | None = None
    ) -> None:
        if newtonpf_new is None:
            raise NetworkError(f"grid backend 'newton' needs lightsim2grid: {how_to_install('grid')}")
        self.network = network
        self.spec = spec = network.spec
        self._taps = dict(taps or {})
        beyond = unsupported(network)
        if beyond:
            raise NetworkError(f"network '{spec.name}': backend 'newton' does not know " + ", ".join(beyond))
        self._matrices = matrices = admittances(network, taps) if matrices is None else matrices
        n_rows = matrices.ybus.shape[0]
        self._slack, self._tied = matrices.slack_row[:1], matrices.slack_row[1:]
        self._ybus = _with_one_slack(matrices)
        self._pq = np.setdiff1d(np.arange(n_rows), np.concatenate([self._slack, matrices.pv_row]))
        self._start = self._flat_start()
        bus = np.zeros((n_rows, SL_FAC + 1))
        bus[self._slack, SL_FAC] = 1.0
        self._frame = {"bus": bus}
        self._tolerance = _tolerance(self._ybus)
        self._options = {"max_iteration": MOST_ITERATIONS, "tolerance_mva": self._tolerance}
        self._into_rows = [
            _incidence(matrices.row[bus], n_rows) for bus in (spec.load_bus, spec.generator_bus, spec.charger_bus)
        ]
        branch = np.concatenate([matrices.line_branch, matrices.transformer_branch])
        self._branch_is = branch >= 0
        scale = np.concatenate([matrices.line_percent_per_pu, matrices.transformer_percent_per_pu])[self._branch_is]
        self._ends = [
            sparse.diags(scale[:, end]) @ currents[branch[self._branch_is]]
            for end, currents in ((0, matrices.yf), (1, matrices.yt))
        ]

    def with_taps(self, taps: Mapping[int, int]) -> NewtonBackend:
        """The same network at other tap positions."""
        return NewtonBackend(self.network, {**self._taps, **taps})

    def solve(self, injections: Injections) -> PowerFlow:
        """Solve every row."""
        matrices, spec = self._matrices, self.spec
        elements = (
            (injections.load_kw, injections.load_kvar),
            (injections.generator_kw, injections.generator_kvar),
            (injections.charger_kw, injections.charger_kvar),
        )
        with np.errstate(invalid="ignore"):  # what is not finite is flagged below
            drawn, fed, charged = (
                (kw + 1j * kvar) @ into for (kw, kvar), into in zip(elements, self._into_rows, strict=True)
            )
            power = (fed - drawn - charged) / matrices.base_kva + matrices.fixed_s
        n_batch = len(power)
        usable = np.logical_and.reduce([np.isfinite(part).all(axis=1) for pair in elements for part in pair])
        voltage = np.full(power.shape, np.nan, dtype=np.complex128)
        converged, iterations = np.zeros(n_batch, dtype=bool), np.zeros(n_batch, dtype=np.int64)
        for b in np.flatnonzero(usable):
            solution, iterations[b] = self._follow(power[b])
            if solution is not None:
                voltage[b], converged[b] = solution, True
        percent = np.zeros((n_batch, len(self._branch_is)))
        with np.errstate(invalid="ignore"):  # rows without a solution are NaN, and stay so
            percent[:, self._branch_is] = np.maximum(*(np.abs((end @ voltage.T).T) for end in self._ends))
            made = voltage * np.conj((matrices.ybus @ voltage.T).T)
        slack = made[:, matrices.slack_row].sum(axis=1) - power[:, matrices.slack_row].sum(axis=1)
        vm_pu = np.where(matrices.row >= 0, np.abs(voltage)[:, matrices.row], np.nan)
        return refuse_collapse(
            PowerFlow(
                vm_pu,
                percent[:, : spec.n_lines],
                percent[:, spec.n_lines :],
                slack.real * matrices.base_kva,
                slack.imag * matrices.base_kva,
                made.sum(axis=1).real * matrices.base_kva,
                converged,
                iterations,
            )
        )

    def _follow(self, rated: np.ndarray) -> tuple[np.ndarray | None, int]:
        """Voltages for what is injected at 1 p.u., None where there is no solution, and how many iterations it took."""
        matrices = self._matrices
        voltage, total = self._start, 0
        asked = self._drawn(rated, voltage)
        for _ in range(MOST_FOLLOWS):
            voltage, found, count = newtonpf_new(
                self._ybus,
                asked,
                voltage.copy(),
                self._slack,
                matrices.pv_row,
                self._pq,
                self._frame,
                self._options,
            )[:3]
            total += count
            if not found or not np.isfinite(voltage).all():
                break
            before, asked = asked, self._drawn(rated, voltage)
            if np.abs(asked - before).max(initial=0.0) < self._tolerance:
                return voltage, total
        return None, total

    def _drawn(self, rated: np.ndarray, voltage: np.ndarray) -> np.ndarray:
        """What is injected at some voltages, given what is at 1 p.u.; nothing at slacks tied to another."""
        matrices = self._matrices
        drawn = rated.copy()
        if matrices.voltage_dependent:
            size = np.abs(voltage)
            change = matrices.current_share * (size - 1.0) + matrices.impedance_share * (size**2 - 1.0)
            follows = rated - matrices.held_p
            drawn += follows.real * change.real + 1j * follows.imag * change.imag
        drawn[self._tied] = 0.0
        return drawn

    def _flat_start(self) -> np.ndarray:
        """Voltages without injections but with the generators' magnitudes; phase shifts of transformers are in it."""
        matrices = self._matrices
        n_rows, slack = matrices.ybus.shape[0], matrices.slack_row
        others = np.setdiff1d(np.arange(n_rows), slack)
        voltage = np.zeros(n_rows, dtype=np.complex128)
        voltage[slack] = matrices.slack_v
        voltage[others] = sparse.linalg.spsolve(
            matrices.ybus[others][:, others].tocsc(), -(matrices.ybus[others][:, slack] @ matrices.slack_v)
        )
        voltage /= np.abs(voltage)
        voltage[slack] = matrices.slack_v
        voltage[matrices.pv_row] *= matrices.pv_vm
        return voltage


def _tolerance(ybus: sparse.csc_matrix) -> float:
    """Power mismatch at which to stop [p.u.]: `MISMATCH_PU`, unless rounding alone leaves more.

    S = V·conj(Y·V) near 1 p.u. has a rounding error of the machine precision times the sum of a row of |Y|. With a base
    of 1 MVA and short lines of a high voltage, this is more than `MISMATCH_PU`, and the method would never stop.
    """
    row_sum = float(abs(ybus).sum(axis=1).max())
    return max(MISMATCH_PU, ROUNDING * float(np.finfo(np.float64).eps) * row_sum)


def _with_one_slack(matrices: Admittances) -> sparse.csc_matrix:
    """The admittance matrix with all slacks but the first as rows without power, tied to the first one's voltage.

    lightsim2grid takes several slacks for one that is distributed. Here V_k = V_0·(v_k/v_0) is the equation of slack k,
    and its currents into the other rows are as before.
    """
    first, others = matrices.slack_row[0], matrices.slack_row[1:]
    if not len(others):
        return matrices.ybus.tocsc()
    ybus = matrices.ybus.tolil(copy=True)
    ratio = matrices.slack_v[1:] / matrices.slack_v[0]
    ybus[others, :] = 0.0
    for row, share in zip(others.tolist(), ratio.tolist(), strict=True):
        ybus[row, row], ybus[row, first] = 1.0, -share
    return ybus.tocsc()


def _incidence(row: np.ndarray, n_rows: int) -> sparse.csr_matrix:
    """Sums elements into rows, shape (n_elements, n_rows); those at dead buses are left out."""
    alive = np.flatnonzero(row >= 0)
    return sparse.csr_matrix((np.ones(len(alive)), (alive, row[alive])), shape=(len(row), n_rows))
