"""Ranges of all states of the network: the bounds of the variables of the cone model.

Ranges of injections come in; the largest possible voltages and currents go out. They follow from the linearity of the
network in currents: with Y split into given voltages (sources x) and the rest,

    V = w + Z·I,   w = −Y⁻¹·Y_x·V_x,   I_j = conj(s_j / V_j)

so |V_i| <= |w_i| + Σ_j |Z_ij|·|s_j|/|V_j|, and the same for every current, which is linear in V. |V_j| is at least the
lower limit where that is enforced, and `LOWEST_PU` in any case: backends call a state below it a failure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from ev_marl.grid.loop.limits import LOADING_TOLERANCE_PERCENT, VOLTAGE_TOLERANCE_PU
from ev_marl.grid.solvers.base import LOWEST_PU
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.grid.reduction import Quantities, Reduction

# Limits are enforced to within a tolerance, and backends agree with pandapower to within about the same.
_WIDER = 2.0


@dataclass(frozen=True)
class Ranges:
    """Magnitudes on the T steps, in p.u. of the network's base; K kept rows, Z edges, N buses, Br branches."""

    row_least: np.ndarray  # float64 (T, K)
    row_most: np.ndarray  # float64 (T, K)
    edge_most: np.ndarray  # float64 (T, Z)  current at the first end
    bus_least: np.ndarray  # float64 (T, N)  enforced limits where there are any, else 0 and inf
    bus_most: np.ndarray  # float64 (T, N)
    end_most: np.ndarray  # float64 (T, 2·Br)  enforced limits of currents, inf where there is none
    bus_reach: np.ndarray  # float64 (T, N)  largest possible voltage
    end_reach: np.ndarray  # float64 (T, 2·Br)  largest possible current


def end_limits(problem: GridProblem, margin_percent: float) -> np.ndarray:
    """Highest currents at the branch ends by the loading limits, float64, shape (n_steps, 2·n_branches) [p.u.]."""
    matrices, n_branches = problem.matrices, len(problem.matrices.from_row)
    most = np.full((problem.n_steps, 2 * n_branches), np.inf)
    for branch, percent_per_pu, limit_percent in (
        (matrices.line_branch, matrices.line_percent_per_pu, problem.bounds.line_percent),
        (matrices.transformer_branch, matrices.transformer_percent_per_pu, problem.bounds.transformer_percent),
    ):
        rated = np.flatnonzero(branch >= 0)
        for side in (0, 1):
            with np.errstate(divide="ignore"):
                current = (limit_percent[:, rated] + margin_percent) / percent_per_pu[rated, side]
            most[:, side * n_branches + branch[rated]] = current
    return np.where(np.isnan(most), np.inf, most)


def find_ranges(problem: GridProblem, reduction: Reduction, least_kw: np.ndarray, most_kw: np.ndarray) -> Ranges:
    """Ranges of a network's states.

    Parameters
    ----------
    problem : GridProblem
        The day.
    reduction : Reduction
        Of its network.
    least_kw, most_kw : float64, shape (n_steps, n_charger_buses)
        Range of the power drawn at each charger bus [kW].
    """
    matrices, spec, bounds = problem.matrices, problem.backend.spec, problem.bounds
    n_rows, row = matrices.ybus.shape[0], matrices.row
    alive = np.flatnonzero(row >= 0)

    # The most apparent power at each row: of the ends of the chargers' range, as |s| is convex.
    quiet = problem.injected_kva() / matrices.base_kva
    charger_row = row[spec.charger_bus]
    ends = []
    for drawn_kw in (least_kw, most_kw):
        fans = (-1.0, 1.0) if problem.droop is not None else (0.0,)
        share = 0.0 if problem.droop is None else problem.droop.share
        for fan in fans:
            factor = 1.0 + 1j * (problem.kvar_per_kw + fan * share)
            s = quiet.copy()
            on = charger_row >= 0
            np.subtract.at(s.T, charger_row[on], (drawn_kw[:, on] * factor / matrices.base_kva).T)
            ends.append(np.abs(s))
    most_s = np.max(ends, axis=0)

    least = np.zeros((problem.n_steps, n_rows))
    least[:, row[alive]] = LOWEST_PU
    bus_least = np.zeros_like(bounds.lowest_pu)
    bus_most = np.full_like(bounds.highest_pu, np.inf)
    end_most = np.full((problem.n_steps, 2 * len(matrices.from_row)), np.inf)
    if problem.limits_are_hard:
        slack_pu = _WIDER * VOLTAGE_TOLERANCE_PU
        bus_least = np.maximum(0.0, bounds.lowest_pu - slack_pu)
        bus_most = bounds.highest_pu + slack_pu
        end_most = end_limits(problem, _WIDER * LOADING_TOLERANCE_PERCENT)
        np.maximum.at(least.T, row[alive], bus_least.T[alive])

    # V = w + Z·I on the rows that hang on a source.
    source_rows = np.concatenate([matrices.slack_row, matrices.pv_row]).astype(np.int64)
    others = np.setdiff1d(np.flatnonzero(np.diff(matrices.ybus.indptr) > 0), source_rows)
    feeding = np.flatnonzero(most_s.max(axis=0) > 0.0)
    feeding = np.intersect1d(feeding, others)
    place = np.full(n_rows, -1, dtype=np.int64)
    place[others] = np.arange(len(others))
    within = matrices.ybus.tocsr()[others]
    lu = splu(sparse.csc_matrix(within[:, others]))
    unit = np.zeros((len(others), len(feeding)), dtype=np.complex128)
    unit[place[feeding], np.arange(len(feeding))] = 1.0
    z = np.zeros((n_rows, len(feeding)), dtype=np.complex128)
    z[others] = lu.solve(unit)
    w = np.zeros(n_rows, dtype=np.complex128)
    w[matrices.slack_row] = matrices.slack_v
    w[others] = -lu.solve(within[:, matrices.slack_row] @ matrices.slack_v)
    k = np.zeros((n_rows, len(matrices.pv_row)), dtype=np.complex128)
    k[matrices.pv_row, np.arange(len(matrices.pv_row))] = matrices.pv_vm
    if len(matrices.pv_row):
        k[others] = -lu.solve(within[:, matrices.pv_row].toarray() * matrices.pv_vm)
    current = most_s[:, feeding] / least[:, feeding].clip(min=1e-3)

    alpha, beta = reduction.transfer[:, 0, 0], reduction.transfer[:, 0, 1]
    edges = sparse.csr_array(
        (
            np.concatenate([1.0 / beta, -alpha / beta]),
            (
                np.tile(np.arange(reduction.n_edges), 2),
                np.concatenate([reduction.rows[reduction.second], reduction.rows[reduction.first]]),
            ),
        ),
        shape=(reduction.n_edges, n_rows),
    )

    def reach(of: sparse.csr_array) -> np.ndarray:
        still = np.abs(of @ w) + np.abs(of @ k).sum(axis=1)
        return np.asarray(still + current @ np.abs(of @ z).T)

    rows_of = sparse.csr_array(
        (np.ones(reduction.n_rows), (np.arange(reduction.n_rows), reduction.rows)), shape=(reduction.n_rows, n_rows)
    )
    buses_of = sparse.csr_array((np.ones(len(alive)), (alive, row[alive])), shape=(len(row), n_rows))
    row_most, row_least = reach(rows_of), least[:, reduction.rows]
    upper = np.full((problem.n_steps, n_rows), np.inf)
    np.minimum.at(upper.T, row[alive], bus_most.T[alive])
    row_most = np.minimum(row_most, upper[:, reduction.rows])
    edge_most = reach(edges)
    _tighten(edge_most, reduction.branch_ends, end_most)
    ends_of = sparse.csr_array(sparse.vstack([matrices.yf, matrices.yt]))
    return Ranges(row_least, row_most, edge_most, bus_least, bus_most, end_most, reach(buses_of), reach(ends_of))


def _tighten(edge_most: np.ndarray, ends: Quantities, end_most: np.ndarray) -> None:
    """Where a branch's current is the edge's own, its limit is the edge's."""
    own = np.flatnonzero((ends.edge >= 0) & (np.abs(ends.a) == 0.0) & (np.abs(ends.b) > 0.0))
    np.minimum.at(edge_most.T, ends.edge[own], (end_most[:, own] / np.abs(ends.b[own])).T)
