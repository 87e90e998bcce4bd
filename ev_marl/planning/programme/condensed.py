"""A long programme without energies that only add up: what the solver sees of it.

Where a vehicle only charges, far from its taper, the energies at the end of its steps say no more than the last one:
they rise, so its bounds imply theirs. Their columns are left out, and the balance rows of such steps are added up. A
programme comes in, a smaller one with the same optimum goes out; points and multipliers are put back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from ev_marl.planning.programme.programme import Pairs
from ev_marl.planning.programme.rows import Rows


class LinearArrays(Protocol):
    """A programme to which rows and columns may be added, see `Arrays`."""

    @property
    def cost(self) -> np.ndarray: ...
    @property
    def lower(self) -> np.ndarray: ...
    @property
    def upper(self) -> np.ndarray: ...
    @property
    def matrix(self) -> sparse.csr_array: ...
    @property
    def row_lower(self) -> np.ndarray: ...
    @property
    def row_upper(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Arrays:
    """minimise cost·x subject to row_lower <= matrix·x <= row_upper and lower <= x <= upper."""

    cost: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    matrix: sparse.csr_array
    row_lower: np.ndarray
    row_upper: np.ndarray


class Condensed:
    """What the solver sees of a programme.

    Parameters
    ----------
    program : LinearArrays
        The programme; rows and columns may be added to it later, but no rows with energies that are left out.
    pairs : Pairs
        Its (session, step) pairs.
    step_h : float
        Length of a step [h].
    charge, energy : int64, shape (N,)
        Columns of their charging powers, and of the energies at the end of their steps.
    first_row : int
        The first of their balance rows, which stand in their order.
    same : int64, shape (N,), optional
        Pairs of one vehicle with the same number have the same charging power, which is one column.
    """

    def __init__(
        self,
        program: LinearArrays,
        pairs: Pairs,
        step_h: float,
        charge: np.ndarray,
        energy: np.ndarray,
        first_row: int = 0,
        same: np.ndarray | None = None,
    ) -> None:
        self._program, self._pairs, self._step_h = program, pairs, step_h
        n_pairs, n_rows = len(pairs), program.matrix.shape[0]
        balance = np.zeros(n_rows, dtype=bool)
        balance[first_row : first_row + n_pairs] = True
        used = np.bincount(program.matrix[~balance].indices, minlength=len(program.cost)) > 0
        kept = used[energy] | (program.cost[energy] != 0.0) | (pairs.stays["discharge_kw"][pairs.session] > 0.0)
        kept |= pairs.stays["at_part_load"][pairs.session] > 0
        kept[pairs.last[pairs.last >= 0]] = True
        # Balance rows are added up to the next energy that is kept.
        order = np.lexsort((pairs.step, pairs.session))
        ends = np.flatnonzero(kept[order])
        sum_of = np.empty(n_pairs, dtype=np.int64)
        sum_of[order] = np.searchsorted(ends, np.arange(n_pairs))
        self._row = np.cumsum(~balance) - 1 + len(ends)  # of the condensed programme
        self._row[balance] = sum_of
        self._n_less = n_rows - len(ends) - int((~balance).sum())
        self._kept_rows = np.concatenate([first_row + order[ends], np.flatnonzero(~balance)])
        self._like = charge  # columns that stand for them
        if same is not None:
            key = pairs.session * (int(same.max(initial=0)) + 1) + same
            _, group = np.unique(key, return_inverse=True)
            stands: np.ndarray = np.zeros(int(group.max(initial=-1)) + 1, dtype=np.int64)
            stands[group] = charge  # the last one: pairs are ordered by step
            self._like = stands[group]
        self._order, self._gone, self._charge, self._energy = order, ~kept, charge, energy

    def __len__(self) -> int:
        return len(self.kept)

    def arrays(self) -> Arrays:
        """The programme as it stands."""
        program, row_of, kept = self._program, self._row_of(), self.kept
        entries = program.matrix.tocoo()
        column = self.columns(entries.col)
        there = column >= 0
        n_rows = program.matrix.shape[0] - self._n_less
        matrix = sparse.csr_array(
            (entries.data[there], (row_of[entries.row[there]], column[there])), shape=(n_rows, len(self))
        )
        matrix.sum_duplicates()
        matrix.eliminate_zeros()  # an energy at the end of a step and at the start of the next
        lower, upper = np.zeros(n_rows), np.zeros(n_rows)
        np.add.at(lower, row_of, program.row_lower)
        np.add.at(upper, row_of, program.row_upper)
        cost = program.cost.copy()
        cost[self._charge] = 0.0
        np.add.at(cost, self._like, program.cost[self._charge])
        return Arrays(cost[kept], program.lower[kept], program.upper[kept], matrix, lower, upper)

    def columns(self, columns: np.ndarray) -> np.ndarray:
        """Numbers of some columns in the condensed programme, −1 for those that are left out."""
        place = np.full(len(self._program.cost), -1)
        place[self.kept] = np.arange(len(self))
        place[self._charge] = place[self._like]
        return np.asarray(place[columns])

    def rows(self, rows: Rows) -> Rows:
        """Rows that are appended, on the columns of the condensed programme."""
        return Rows(rows.starts, self.columns(rows.columns), rows.values, rows.lower, rows.upper)

    def point(self, x: np.ndarray) -> np.ndarray:
        """A solution with the energies that were left out, float64, shape (n_columns,)."""
        whole: np.ndarray = np.zeros(len(self._program.cost))
        whole[self.kept] = x
        whole[self._charge] = whole[self._like]
        stays, session = self._pairs.stays, self._pairs.session[self._order]
        gain_kwh = self._step_h * stays["charge_efficiency"][session] * whole[self._charge[self._order]]
        total_kwh = np.concatenate([[0.0], np.cumsum(gain_kwh)])
        first = np.searchsorted(session, session)
        energy_kwh = stays["energy_kwh"][session] + total_kwh[1:] - total_kwh[first]
        gone = self._gone[self._order]
        whole[self._energy[self._order[gone]]] = energy_kwh[gone]
        return whole

    def multipliers(self, multipliers: np.ndarray) -> np.ndarray:
        """Multipliers of all rows, float64, shape (n_rows,): each balance row has that of its sum."""
        return np.asarray(multipliers[self._row_of()])

    @property
    def kept(self) -> np.ndarray:
        """Columns of the programme that the solver sees, int64, shape (len(self),)."""
        left_out = np.concatenate([self._energy[self._gone], self._charge[self._charge != self._like]])
        return np.delete(np.arange(len(self._program.cost)), left_out)

    @property
    def kept_rows(self) -> np.ndarray:
        """For each row that the solver sees, the one of the programme that it is, or the last of its sum."""
        more = np.arange(len(self._row), self._program.matrix.shape[0])
        return np.concatenate([self._kept_rows, more])

    def _row_of(self) -> np.ndarray:
        """Row of each row in the condensed programme."""
        more = np.arange(len(self._row), self._program.matrix.shape[0]) - self._n_less
        return np.concatenate([self._row, more])
