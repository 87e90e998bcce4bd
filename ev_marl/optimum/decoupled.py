"""Multipliers without a solution of the whole programme: each vehicle plans by itself, at fixed prices of shared rows.

A programme and the vehicle of each of its columns come in. First, the shared rows get the multipliers that they have
without charging, which are the prices of the objective. At these prices every vehicle is a small programme, whose
optimal multipliers are computed. By weak duality all of them together prove a bound, as any multipliers do. It is loose
by the cost of the shared limits.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.support.highs import make_highs, pass_linear_program

_TOGETHER = 20  # vehicles in one small program
_MOST_ITERATIONS = 100_000  # of the simplex method in one program


def decoupled_multipliers(program: LinearProgram, owner: np.ndarray, idle: np.ndarray) -> np.ndarray:
    """Multipliers of all rows.

    Parameters
    ----------
    program : LinearProgram
        The program.
    owner : int64, shape (n_columns,)
        Vehicle of each column, −1: of no single vehicle.
    idle : float64, shape (n_columns,)
        A point without charging.

    Returns
    -------
    float64, shape (n_rows,)
        For `LinearProgram.dual_value`.
    """
    matrix = program.matrix
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    first, last = np.full(matrix.shape[0], np.iinfo(np.int64).max), np.full(matrix.shape[0], -1)
    np.minimum.at(first, row, owner[matrix.indices])
    np.maximum.at(last, row, owner[matrix.indices])
    row_owner = np.where(first == last, first, -1)
    multipliers: np.ndarray = np.zeros(matrix.shape[0])
    shared, vehicles = np.flatnonzero(row_owner < 0), np.flatnonzero(owner >= 0)
    drawn = matrix[shared] @ np.where(owner >= 0, idle, 0.0)
    _solve_part(program, program.cost, shared, np.flatnonzero(owner < 0), drawn, multipliers)
    reduced = program.cost - matrix.T @ multipliers
    rows = np.flatnonzero(row_owner >= 0)
    columns_of = vehicles[np.argsort(owner[vehicles], kind="stable")]
    rows_of = rows[np.argsort(row_owner[rows], kind="stable")]
    starts = np.arange(0, int(owner.max(initial=-1)) + 1 + _TOGETHER, _TOGETHER)
    column_ends = np.searchsorted(owner[columns_of], starts)
    row_ends = np.searchsorted(row_owner[rows_of], starts)
    for k in range(len(starts) - 1):
        own_rows = rows_of[row_ends[k] : row_ends[k + 1]]
        own_columns = columns_of[column_ends[k] : column_ends[k + 1]]
        _solve_part(program, reduced, own_rows, own_columns, np.zeros(len(own_rows)), multipliers)
    return multipliers


def _solve_part(
    program: LinearProgram,
    cost: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    drawn: np.ndarray,
    multipliers: np.ndarray,
) -> None:
    """Write the multipliers of some rows, in a program of some columns; `drawn` is what the others come to there."""
    if not len(rows) or not len(columns):
        return
    part = sparse.csr_array(program.matrix[rows])
    place = np.full(program.n_columns, -1)
    place[columns] = np.arange(len(columns))
    inside = place[part.indices] >= 0
    counts = np.concatenate([[0], np.cumsum(inside)])[part.indptr]
    highs = make_highs(presolve="off", simplex_iteration_limit=_MOST_ITERATIONS)
    pass_linear_program(
        highs,
        cost[columns],
        (program.lower[columns], program.upper[columns]),
        (program.row_lower[rows] - drawn, program.row_upper[rows] - drawn),
        (counts, place[part.indices[inside]], part.data[inside]),
    )
    highs.run()
    solution = highs.getSolution()
    if solution.dual_valid:
        multipliers[rows] = solution.row_dual
