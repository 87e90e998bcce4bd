"""Power flow as a fixed point on pandapower's admittance matrix, compiled, for any number of states at once.

With the slack's voltage given, the voltages of the rows that anything is injected at are V = w + Z·conj(S/V), where w
is the voltage without injections and Z the inverse admittance matrix between them (Kron reduction: rows without
injection are eliminated). Everything else, the other voltages and all branch currents, is linear in the injected
currents, so it comes at the end from one table. Method: "Z-bus Gauss", as in Stott, "Review of load-flow calculation
methods", Proc. IEEE 62 (1974).

A row is done when its power mismatch is below pandapower's own tolerance, and stays as it is then: a row's result does
not depend on its batch. Far from rated conditions, with much generation above all, the fixed point slows down or is
lost before the solution is; Newton's method decides those rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.sparse.linalg import splu

from ev_marl.grid.model.network import Network
from ev_marl.grid.solvers.base import BACKENDS, LOWEST_PU, MISMATCH_PU, Injections, PowerFlow, put_rows
from ev_marl.grid.solvers.internals import admittances, unsupported
from ev_marl.grid.solvers.newton import NewtonBackend
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import NetworkError

MOST_ITERATIONS = 50  # more take longer than Newton's method
_NOTHING = 1e-14
_LANES = 4  # float64 in a vector register of AVX2


@kernel
def _draw(
    rated_p: np.ndarray,
    rated_q: np.ndarray,
    shares: np.ndarray,
    v_re: np.ndarray,
    v_im: np.ndarray,
    p: np.ndarray,
    q: np.ndarray,
) -> None:
    """What is injected at some voltages, where a share follows the voltage and another its square."""
    for j in range(len(p)):
        square = v_re[j] * v_re[j] + v_im[j] * v_im[j]
        size = np.sqrt(square)
        p[j] = rated_p[j] * (1.0 + shares[0, 0, j] * (size - 1.0) + shares[1, 0, j] * (square - 1.0))
        q[j] = rated_q[j] * (1.0 + shares[0, 1, j] * (size - 1.0) + shares[1, 1, j] * (square - 1.0))


@kernel
def _inject(
    load_kw: np.ndarray,
    load_kvar: np.ndarray,
    generator_kw: np.ndarray,
    generator_kvar: np.ndarray,
    charger_kw: np.ndarray,
    charger_kvar: np.ndarray,
    load_at: np.ndarray,
    generator_at: np.ndarray,
    charger_at: np.ndarray,
    fixed: np.ndarray,
    base_kva: float,
    rated: np.ndarray,
    usable: np.ndarray,
) -> None:
    """Injected powers at 1 p.u., `rated` (2, B, J), and whether all that is given is finite, `usable` (B,)."""
    for b in range(rated.shape[1]):
        for j in range(rated.shape[2]):
            rated[0, b, j] = fixed[0, j]
            rated[1, b, j] = fixed[1, j]
        given = 0.0  # of no use but to see whether all numbers are finite, those at dead buses and slacks too
        for k in range(load_at.shape[0]):
            given += load_kw[b, k] + load_kvar[b, k]
            if load_at[k] >= 0:
                rated[0, b, load_at[k]] -= load_kw[b, k] / base_kva
                rated[1, b, load_at[k]] -= load_kvar[b, k] / base_kva
        for k in range(generator_at.shape[0]):
            given += generator_kw[b, k] + generator_kvar[b, k]
            if generator_at[k] >= 0:
                rated[0, b, generator_at[k]] += generator_kw[b, k] / base_kva
                rated[1, b, generator_at[k]] += generator_kvar[b, k] / base_kva
        for k in range(charger_at.shape[0]):
            given += charger_kw[b, k] + charger_kvar[b, k]
            if charger_at[k] >= 0:
                rated[0, b, charger_at[k]] -= charger_kw[b, k] / base_kva
                rated[1, b, charger_at[k]] -= charger_kvar[b, k] / base_kva
        usable[b] = np.isfinite(given)


@kernel
def _solve(
    rated: np.ndarray,
    usable: np.ndarray,
    shares: np.ndarray,
    voltages: np.ndarray,
    quantities: np.ndarray,
    bus_at: np.ndarray,
    loading_at: np.ndarray,
    loading_first: np.ndarray,
    loading_scale: np.ndarray,
    slack_v: np.ndarray,
    base_kva: float,
    vm_pu: np.ndarray,
    loading: np.ndarray,
    totals: np.ndarray,
    status: np.ndarray,
) -> None:
    """Rows one by one; J rows with injections, O quantities that are linear in the injected currents.

    `voltages` (2, 1 + J, J) and `quantities` (2, 1 + J, O) hold real and imaginary parts; their first row is what there
    is without injections, the others what one injecting row adds for each unit of current, so that inner loops run over
    neighbours in memory. The quantities are the currents of the slacks, the bus voltages, and the currents at branch
    ends. The shares (2, 2, J) of P and Q are drawn in proportion to the voltage, and to its square; none where no load
    depends on it. `status` (3, B) is written: whether there is a solution, whether Newton's method should be asked, and
    the iterations.
    """
    voltage_dependent = len(shares) > 0
    n_batch = rated.shape[1]
    n_inject = voltages.shape[2]
    n_out = quantities.shape[2]
    n_slack = slack_v.shape[1]
    n_loadings = loading.shape[1]
    p, q = np.empty(n_inject), np.empty(n_inject)
    v_re, v_im = np.empty(n_inject), np.empty(n_inject)
    new_re, new_im = np.empty(n_inject), np.empty(n_inject)
    i_re, i_im = np.empty(n_inject), np.empty(n_inject)
    out_re, out_im = np.empty(n_out), np.empty(n_out)
    for b in range(n_batch):
        rated_p, rated_q = rated[0, b], rated[1, b]
        for j in range(n_inject):
            v_re[j] = voltages[0, 0, j]
            v_im[j] = voltages[1, 0, j]
        for j in range(n_inject):
            p[j] = rated_p[j]
            q[j] = rated_q[j]
        if voltage_dependent:
            _draw(rated_p, rated_q, shares, v_re, v_im, p, q)
        done = usable[b] and n_inject == 0
        count = 0
        while usable[b] and not done and count < MOST_ITERATIONS:
            count += 1
            for j in range(n_inject):
                new_re[j] = voltages[0, 0, j]
                new_im[j] = voltages[1, 0, j]
            for j in range(n_inject):  # I = conj(S/V)
                square = v_re[j] * v_re[j] + v_im[j] * v_im[j]
                i_re[j] = (p[j] * v_re[j] + q[j] * v_im[j]) / square
                i_im[j] = (p[j] * v_im[j] - q[j] * v_re[j]) / square
                for k in range(n_inject):
                    new_re[k] += voltages[0, 1 + j, k] * i_re[j] - voltages[1, 1 + j, k] * i_im[j]
                    new_im[k] += voltages[0, 1 + j, k] * i_im[j] + voltages[1, 1 + j, k] * i_re[j]
            if voltage_dependent:
                _draw(rated_p, rated_q, shares, new_re, new_im, p, q)
            off = 0  # counts, which run in vector registers, where a maximum does not
            wild = 0
            for j in range(n_inject):  # mismatch of V_new with the currents that made it
                mismatch_p = new_re[j] * i_re[j] + new_im[j] * i_im[j] - p[j]
                mismatch_q = new_im[j] * i_re[j] - new_re[j] * i_im[j] - q[j]
                off += not abs(mismatch_p) < MISMATCH_PU
                off += not abs(mismatch_q) < MISMATCH_PU
                wild += not abs(new_re[j]) + abs(new_im[j]) < 1e6
            for j in range(n_inject):
                v_re[j] = new_re[j]
                v_im[j] = new_im[j]
            if wild > 0:
                break
            done = off == 0
        status[1, b] = usable[b] and not done
        for o in range(n_out):
            out_re[o] = quantities[0, 0, o]
            out_im[o] = quantities[1, 0, o]
        if done:
            for j in range(n_inject):
                for o in range(n_out):
                    out_re[o] += quantities[0, 1 + j, o] * i_re[j] - quantities[1, 1 + j, o] * i_im[j]
                    out_im[o] += quantities[0, 1 + j, o] * i_im[j] + quantities[1, 1 + j, o] * i_re[j]
            for n in range(len(bus_at)):
                at = bus_at[n]
                if at >= 0:
                    vm_pu[b, n] = np.sqrt(out_re[at] * out_re[at] + out_im[at] * out_im[at])
                    if not vm_pu[b, n] >= LOWEST_PU:
                        done = False
                else:
                    vm_pu[b, n] = np.nan
        status[0, b] = done
        status[2, b] = count
        if not done:
            for n in range(len(bus_at)):
                vm_pu[b, n] = np.nan
            for m in range(n_loadings):
                loading[b, m] = np.nan
            for k in range(3):
                totals[b, k] = np.nan
            continue
        for m in range(n_loadings):
            highest = 0.0
            for e in range(loading_first[m], loading_first[m + 1]):
                at = loading_at[e]
                current = np.sqrt(out_re[at] * out_re[at] + out_im[at] * out_im[at]) * loading_scale[e]
                highest = max(highest, current)
            loading[b, m] = highest
        slack_p = 0.0
        slack_q = 0.0
        for k in range(n_slack):  # S = V·conj(I)
            slack_p += slack_v[0, k] * out_re[k] + slack_v[1, k] * out_im[k]
            slack_q += slack_v[1, k] * out_re[k] - slack_v[0, k] * out_im[k]
        fed = 0.0
        for j in range(n_inject):
            fed += p[j]
        totals[b, 0] = slack_p * base_kva
        totals[b, 1] = slack_q * base_kva
        totals[b, 2] = (slack_p + fed) * base_kva


@BACKENDS.register("zbus")
class ZBusBackend:
    """Compiled fixed point on pandapower's own matrices; for networks in which only slacks hold a voltage.

    Parameters
    ----------
    network : Network
        The network.
    taps : mapping of int to int, optional
        Tap positions other than the network's own, by position in `spec.transformers`.

    Raises
    ------
    NetworkError
        If the network has elements that this method cannot represent.
    """

    name = "zbus"

    def __init__(self, network: Network, taps: Mapping[int, int] | None = None) -> None:
        self.network = network
        self.spec = spec = network.spec
        self._taps = dict(taps or {})
        matrices = admittances(network, taps)
        beyond = unsupported(network) + ["generator that holds a voltage"] * bool(len(matrices.pv_row))
        if beyond:
            raise NetworkError(f"network '{spec.name}': backend 'zbus' does not know " + ", ".join(beyond))
        n_rows = matrices.ybus.shape[0]
        slack = matrices.slack_row
        others = np.setdiff1d(np.arange(n_rows), slack)
        rows = [matrices.row[bus] for bus in (spec.load_bus, spec.generator_bus, spec.charger_bus)]
        hosts = np.unique(np.concatenate([*rows, np.flatnonzero(np.abs(matrices.fixed_s) > _NOTHING)]))
        inject = np.setdiff1d(hosts[hosts >= 0], slack)
        place = np.full(n_rows + 1, -1, dtype=np.int64)  # the last entry is that of row −1
        place[inject] = np.arange(len(inject))
        # What is connected to the slack itself moves no voltage; only its power counts.
        self._at_slack = [np.isin(bus_row, slack) for bus_row in rows]
        self._slack_fixed_kva = -matrices.fixed_s[slack].sum() * matrices.base_kva

        voltage = np.zeros(
            (n_rows, 1 + len(inject)), dtype=np.complex128
        )  # at every row: open circuit, then per current
        voltage[slack, 0] = matrices.slack_v
        if len(others):
            factor = splu(matrices.ybus[others][:, others].tocsc())
            drive = np.zeros((len(others), 1 + len(inject)), dtype=np.complex128)
            drive[:, 0] = -(matrices.ybus[others][:, slack] @ matrices.slack_v)
            drive[np.searchsorted(others, inject), np.arange(1, 1 + len(inject))] = 1.0
            voltage[others] = factor.solve(drive)
        shown = np.unique(matrices.row[matrices.row >= 0])
        first, second = matrices.yf @ voltage, matrices.yt @ voltage
        ends, loading_at, loading_first, scale = _branch_ends(
            np.concatenate([matrices.line_branch, matrices.transformer_branch]),
            np.concatenate([matrices.line_percent_per_pu, matrices.transformer_percent_per_pu]),
            first,
            second,
            len(slack) + len(shown),
        )
        quantities = np.concatenate([matrices.ybus[slack] @ voltage, voltage[shown], ends])
        self._places: tuple[Any, ...] = (
            *(place[bus_row] for bus_row in rows),
            _parts(_padded(matrices.fixed_s[inject])),
            matrices.base_kva,
        )
        shares = [matrices.current_share[inject], matrices.impedance_share[inject]]
        self._arguments: tuple[Any, ...] = (
            np.stack([_parts(_padded(share)) for share in shares])[: 2 * bool(matrices.voltage_dependent)],
            _with_first(_padded(voltage[inject, 0], 1.0), _padded(_padded(voltage[inject, 1:]).T)),
            _with_first(_padded(quantities[:, 0]), _padded(_padded(quantities[:, 1:]).T)),
            np.where(matrices.row >= 0, len(slack) + np.searchsorted(shown, matrices.row), -1),
            loading_at,
            loading_first,
            scale,
            _parts(matrices.slack_v),
            matrices.base_kva,
        )
        try:
            self._newton: NewtonBackend | None = NewtonBackend(network, taps, matrices)
        except NetworkError:  # not installed: what the fixed point does not find counts as not found
            self._newton = None
        self._anything_at_slack = any(mask.any() for mask in self._at_slack) or abs(self._slack_fixed_kva) > 0.0

    def with_taps(self, taps: Mapping[int, int]) -> ZBusBackend:
        """The same network at other tap positions."""
        return ZBusBackend(self.network, {**self._taps, **taps})

    def solve(self, injections: Injections) -> PowerFlow:
        """Solve every row."""
        spec, n_batch = self.spec, len(injections.charger_kw)
        vm_pu = np.empty((n_batch, spec.n_buses))
        loading = np.empty((n_batch, spec.n_lines + spec.n_transformers))
        totals = np.empty((n_batch, 3))
        rated = np.empty((2, n_batch, self._places[3].shape[1]))
        usable = np.empty(n_batch, dtype=np.bool_)
        status = np.empty((3, n_batch), dtype=np.int64)
        powers = (
            injections.load_kw,
            injections.load_kvar,
            injections.generator_kw,
            injections.generator_kvar,
            injections.charger_kw,
            injections.charger_kvar,
        )
        injected: tuple[Any, ...] = (*powers, *self._places, rated, usable)
        _inject(*injected)
        solved: tuple[Any, ...] = (rated, usable, *self._arguments, vm_pu, loading, totals, status)
        _solve(*solved)
        converged, undecided, iterations = status[0] > 0, status[1] > 0, status[2]
        flow = PowerFlow(
            vm_pu,
            loading[:, : spec.n_lines],
            loading[:, spec.n_lines :],
            totals[:, 0],
            totals[:, 1],
            totals[:, 2],
            converged,
            iterations,
        )
        if self._anything_at_slack:
            loads, generators, chargers = self._at_slack
            for of_slack, load, generator, charger in (
                (flow.slack_kw, injections.load_kw, injections.generator_kw, injections.charger_kw),
                (flow.slack_kvar, injections.load_kvar, injections.generator_kvar, injections.charger_kvar),
            ):
                of_slack += load[:, loads].sum(axis=1) - generator[:, generators].sum(axis=1)
                of_slack += charger[:, chargers].sum(axis=1)
            flow.slack_kw += self._slack_fixed_kva.real
            flow.slack_kvar += self._slack_fixed_kva.imag
        if self._newton is not None and undecided.any():
            rows = np.flatnonzero(undecided)
            put_rows(self._newton.solve(injections.rows(rows)), rows, flow)
        return flow


def _padded(values: np.ndarray, value: float = 0.0) -> np.ndarray:
    """With more entries along the first axis, so that inner loops fill whole vector registers: up to twice as fast.

    An injecting row more has no power, so no current; a quantity more is never looked at.
    """
    more = -len(values) % _LANES
    return np.concatenate([values, np.full((more, *values.shape[1:]), value, dtype=values.dtype)])


def _with_first(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Real and imaginary parts of a row and of the rows below it, stacked."""
    return _parts(np.concatenate([first[None], others]))


def _parts(values: np.ndarray) -> np.ndarray:
    """Real and imaginary parts, stacked."""
    return np.ascontiguousarray(np.stack([values.real, values.imag]))


def _branch_ends(
    branch: np.ndarray, percent_per_pu: np.ndarray, first: np.ndarray, second: np.ndarray, offset: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Currents that decide each branch's loading: both ends, or one where the other is always the smaller.

    Without a shunt the current at one end is a multiple of that at the other; then only the higher loading is kept.

    Returns
    -------
    ends : complex128, shape (E, 1 + J)
        Currents at the chosen ends.
    at, first, scale
        Of the loadings: position of each end among all quantities, start of each branch's ends, percent per p.u.
    """
    ends: list[np.ndarray] = []
    at: list[int] = []
    scale: list[float] = []
    begin = [0]
    for k, position in enumerate(branch.tolist()):
        if position >= 0:
            one, other = first[position] * percent_per_pu[k, 0], second[position] * percent_per_pu[k, 1]
            largest = max(np.abs(one).max(), np.abs(other).max(), _NOTHING)
            main = int(np.abs(one).argmax())
            ratio = other[main] / one[main] if abs(one[main]) > 0.0 else 0.0
            alike = np.abs(other - ratio * one).max() <= 1e-9 * largest
            for end, column in ((0, first), (1, second)):
                if alike and end != (1 if abs(ratio) > 1.0 else 0):
                    continue
                ends.append(column[position])
                at.append(offset + len(at))
                scale.append(percent_per_pu[k, end])
        begin.append(len(at))
    currents = np.array(ends) if ends else np.zeros((0, first.shape[1]), dtype=np.complex128)
    return currents, np.array(at, dtype=np.int64), np.array(begin, dtype=np.int64), np.array(scale)
