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

# What the kernel writes of a state besides voltages and loadings: the first three are NaN where there is no solution;
# UNDECIDED tells whether Newton's method should be asked.
SLACK_KW, SLACK_KVAR, LOSSES_KW, CONVERGED, UNDECIDED, ITERATIONS = 0, 1, 2, 3, 4, 5
N_TOTALS = 6
_LANES = 4  # float64 in a vector register of AVX2


@kernel
def _draw(rated: np.ndarray, shares: np.ndarray, v_re: np.ndarray, v_im: np.ndarray, drawn: np.ndarray) -> None:
    """P or Q injected at some voltages, of which one share (2, J) follows the voltage and another its square."""
    for j in range(len(drawn)):
        square = v_re[j] * v_re[j] + v_im[j] * v_im[j]
        size = np.sqrt(square)
        drawn[j] = rated[j] * (1.0 + shares[0, j] * (size - 1.0) + shares[1, j] * (square - 1.0))


@kernel
def _inject(power_kw: np.ndarray, sign: float, base_kva: float, at: np.ndarray, rated: np.ndarray) -> float:
    """Add powers to what is injected at 1 p.u.; returns their sum, those at dead buses and slacks included, which is
    finite if all of them are."""
    given = 0.0
    for k in range(len(at)):
        given += power_kw[k]
        if at[k] >= 0:
            rated[at[k]] += sign * (power_kw[k] / base_kva)
    return given


@kernel
def _solve(
    load_kw: np.ndarray,
    load_kvar: np.ndarray,
    generator_kw: np.ndarray,
    generator_kvar: np.ndarray,
    charger_kw: np.ndarray,
    charger_kvar: np.ndarray,
    at: np.ndarray,
    ends: np.ndarray,
    by_row: np.ndarray,
    by_quantity: np.ndarray,
    constants: np.ndarray,
    out: np.ndarray,
) -> None:
    """Rows one by one; J rows with injections, O quantities that are linear in the injected currents.

    `by_row` (2, R, J) and `by_quantity` (2, 1 + J, O) hold real and imaginary parts, or P and Q. Their first row is the
    voltage, or the quantity, without injections; the next J are what one injecting row adds for each unit of current,
    so that inner loops run over neighbours in memory. Then `by_row` has the fixed injections and, where loads depend on
    the voltage, the shares that are drawn in proportion to it and to its square. The quantities are the currents of the
    slacks, the bus voltages, and the currents at branch ends.

    These are laid end to end: in `at`, the injecting row of each load, generator and charger, and the quantity that is
    each bus's voltage (−1: none); in `ends`, where the branch ends of each loading start, and the quantity of each end;
    in `constants`, the power of 1 p.u. [kVA], the slacks' voltages (real, imaginary), and percent per p.u. at each end.
    In each row of `out` (B, ...): bus voltages, loadings, and the numbers from `SLACK_KW` on.
    """
    n_batch, n_inject, n_out = out.shape[0], by_row.shape[2], by_quantity.shape[2]
    generators = load_kw.shape[1]
    chargers = generators + generator_kw.shape[1]
    buses = chargers + charger_kw.shape[1]
    load_at, generator_at, charger_at, bus_at = at[:generators], at[generators:chargers], at[chargers:buses], at[buses:]
    n_buses = len(bus_at)
    n_shown = out.shape[1] - N_TOTALS
    n_loadings = n_shown - n_buses
    loading_first, loading_at = ends[: n_loadings + 1], ends[n_loadings + 1 :]
    loading_scale = constants[len(constants) - len(loading_at) :]
    base_kva, n_slack = constants[0], (len(constants) - 1 - len(loading_at)) // 2
    slack_re, slack_im = constants[1 : 1 + n_slack], constants[1 + n_slack : 1 + 2 * n_slack]
    fixed = 1 + n_inject
    voltage_dependent = by_row.shape[1] > fixed + 1
    shares_p, shares_q = by_row[0, fixed + 1 :], by_row[1, fixed + 1 :]
    work, worked_out = np.empty((10, n_inject)), np.empty((2, n_out))
    rated_p, rated_q, p, q, v_re, v_im = work[0], work[1], work[2], work[3], work[4], work[5]
    new_re, new_im, i_re, i_im = work[6], work[7], work[8], work[9]
    out_re, out_im = worked_out[0], worked_out[1]
    for b in range(n_batch):
        vm_pu, loading, totals = out[b, :n_buses], out[b, n_buses:n_shown], out[b, n_shown:]
        for j in range(n_inject):
            rated_p[j] = by_row[0, fixed, j]
            rated_q[j] = by_row[1, fixed, j]
            v_re[j] = by_row[0, 0, j]
            v_im[j] = by_row[1, 0, j]
        given = _inject(load_kw[b], -1.0, base_kva, load_at, rated_p)
        given += _inject(load_kvar[b], -1.0, base_kva, load_at, rated_q)
        given += _inject(generator_kw[b], 1.0, base_kva, generator_at, rated_p)
        given += _inject(generator_kvar[b], 1.0, base_kva, generator_at, rated_q)
        given += _inject(charger_kw[b], -1.0, base_kva, charger_at, rated_p)
        given += _inject(charger_kvar[b], -1.0, base_kva, charger_at, rated_q)
        usable = np.isfinite(given)
        for j in range(n_inject):
            p[j] = rated_p[j]
            q[j] = rated_q[j]
        if voltage_dependent:
            _draw(rated_p, shares_p, v_re, v_im, p)
            _draw(rated_q, shares_q, v_re, v_im, q)
        done = usable and n_inject == 0
        count = 0
        while usable and not done and count < MOST_ITERATIONS:
            count += 1
            for j in range(n_inject):
                new_re[j] = by_row[0, 0, j]
                new_im[j] = by_row[1, 0, j]
            for j in range(n_inject):  # I = conj(S/V)
                square = v_re[j] * v_re[j] + v_im[j] * v_im[j]
                i_re[j] = (p[j] * v_re[j] + q[j] * v_im[j]) / square
                i_im[j] = (p[j] * v_im[j] - q[j] * v_re[j]) / square
                for k in range(n_inject):
                    new_re[k] += by_row[0, 1 + j, k] * i_re[j] - by_row[1, 1 + j, k] * i_im[j]
                    new_im[k] += by_row[0, 1 + j, k] * i_im[j] + by_row[1, 1 + j, k] * i_re[j]
            if voltage_dependent:
                _draw(rated_p, shares_p, new_re, new_im, p)
                _draw(rated_q, shares_q, new_re, new_im, q)
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
        totals[UNDECIDED] = usable and not done
        totals[ITERATIONS] = count
        for o in range(n_out):
            out_re[o] = by_quantity[0, 0, o]
            out_im[o] = by_quantity[1, 0, o]
        if done:
            for j in range(n_inject):
                for o in range(n_out):
                    out_re[o] += by_quantity[0, 1 + j, o] * i_re[j] - by_quantity[1, 1 + j, o] * i_im[j]
                    out_im[o] += by_quantity[0, 1 + j, o] * i_im[j] + by_quantity[1, 1 + j, o] * i_re[j]
            for n in range(n_buses):
                here = bus_at[n]
                if here >= 0:
                    vm_pu[n] = np.sqrt(out_re[here] * out_re[here] + out_im[here] * out_im[here])
                    if not vm_pu[n] >= LOWEST_PU:
                        done = False
                else:
                    vm_pu[n] = np.nan
        totals[CONVERGED] = done
        if not done:
            for n in range(n_shown + 3):
                out[b, n] = np.nan
            continue
        for m in range(n_loadings):
            highest = 0.0
            for e in range(loading_first[m], loading_first[m + 1]):
                here = loading_at[e]
                current = np.sqrt(out_re[here] * out_re[here] + out_im[here] * out_im[here]) * loading_scale[e]
                highest = max(highest, current)
            loading[m] = highest
        slack_p = 0.0
        slack_q = 0.0
        for k in range(n_slack):  # S = V·conj(I)
            slack_p += slack_re[k] * out_re[k] + slack_im[k] * out_im[k]
            slack_q += slack_im[k] * out_re[k] - slack_re[k] * out_im[k]
        fed = 0.0
        for j in range(n_inject):
            fed += p[j]
        totals[SLACK_KW] = slack_p * base_kva
        totals[SLACK_KVAR] = slack_q * base_kva
        totals[LOSSES_KW] = (slack_p + fed) * base_kva


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
        bus_at = np.where(matrices.row >= 0, len(slack) + np.searchsorted(shown, matrices.row), -1)
        self._at = np.concatenate([*(place[bus_row] for bus_row in rows), bus_at])
        self._ends = np.concatenate([loading_first, loading_at])
        injected = [matrices.fixed_s[inject]]
        if matrices.voltage_dependent:
            injected += [matrices.current_share[inject], matrices.impedance_share[inject]]
        open_circuit, per_current = _padded(voltage[inject, 0], 1.0), _padded(_padded(voltage[inject, 1:]).T)
        self._by_row = _parts(np.stack([open_circuit, *per_current, *map(_padded, injected)]))
        without, per_current = _padded(quantities[:, 0]), _padded(_padded(quantities[:, 1:]).T)
        self._by_quantity = _parts(np.stack([without, *per_current]))
        slack_v = matrices.slack_v
        self._constants = np.concatenate([[matrices.base_kva], slack_v.real, slack_v.imag, scale])
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
        lines, transformers = spec.n_buses, spec.n_buses + spec.n_lines
        shown = transformers + spec.n_transformers
        out = np.empty((n_batch, shown + N_TOTALS))
        _solve(
            injections.load_kw,
            injections.load_kvar,
            injections.generator_kw,
            injections.generator_kvar,
            injections.charger_kw,
            injections.charger_kvar,
            self._at,
            self._ends,
            self._by_row,
            self._by_quantity,
            self._constants,
            out,
        )
        flow = PowerFlow(
            out[:, :lines],
            out[:, lines:transformers],
            out[:, transformers:shown],
            out[:, shown + SLACK_KW],
            out[:, shown + SLACK_KVAR],
            out[:, shown + LOSSES_KW],
            out[:, shown + CONVERGED] > 0.0,
            out[:, shown + ITERATIONS].astype(np.int64),
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
        if self._newton is not None and not flow.converged.all():
            rows = np.flatnonzero(out[:, shown + UNDECIDED])
            if len(rows):
                put_rows(self._newton.solve(injections.rows(rows)), rows, flow)
        return flow


def _padded(values: np.ndarray, value: float = 0.0) -> np.ndarray:
    """With more entries along the first axis, so that inner loops fill whole vector registers: up to twice as fast.

    An injecting row more has no power, so no current; a quantity more is never looked at.
    """
    more = -len(values) % _LANES
    return np.concatenate([values, np.full((more, *values.shape[1:]), value, dtype=values.dtype)])


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
