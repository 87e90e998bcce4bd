"""Rows of a linear programme in compressed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """K rows with Z coefficients: lower <= Σ value·column <= upper."""

    starts: np.ndarray  # int64 (K + 1,)
    columns: np.ndarray  # int64 (Z,)
    values: np.ndarray  # float64 (Z,)
    lower: np.ndarray  # float64 (K,)
    upper: np.ndarray  # float64 (K,)

    def __len__(self) -> int:
        return len(self.lower)

    @classmethod
    def of_entries(
        cls, row: np.ndarray, column: np.ndarray, value: np.ndarray, lower: np.ndarray, upper: np.ndarray
    ) -> Rows:
        """Rows from coefficients in any order, which is kept within a row. No column may occur twice in a row.

        Parameters
        ----------
        row, column : int64, shape (Z,)
            Row and column of each coefficient.
        value : float64, shape (Z,)
            The coefficients.
        lower, upper : float64, shape (K,)
            Bounds of the rows.
        """
        order = np.argsort(row, kind="stable")
        starts: np.ndarray = np.zeros(len(lower) + 1, dtype=np.int64)
        np.cumsum(np.bincount(row, minlength=len(lower)), out=starts[1:])
        return cls(starts, column[order], value[order], lower, upper)

    @classmethod
    def of_columns(cls, columns: np.ndarray, values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> Rows:
        """Rows with the same number of coefficients each.

        Parameters
        ----------
        columns, values : int64 and float64, shape (K, n)
            Coefficients.
        lower, upper : float64, shape (K,)
            Bounds of the rows.
        """
        n_rows, width = columns.shape
        return cls(width * np.arange(n_rows + 1), columns.ravel(), values.ravel(), lower, upper)

    @classmethod
    def stack(cls, parts: Sequence[Rows]) -> Rows:
        """Rows of several parts, one after the other."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return NO_ROWS
        if len(parts) == 1:
            return parts[0]
        counts = np.concatenate([[0], *(np.diff(part.starts) for part in parts)]).astype(np.int64)
        return cls(
            np.cumsum(counts),
            np.concatenate([np.empty(0, dtype=np.int64), *(part.columns for part in parts)]),
            np.concatenate([np.empty(0), *(part.values for part in parts)]),
            np.concatenate([np.empty(0), *(part.lower for part in parts)]),
            np.concatenate([np.empty(0), *(part.upper for part in parts)]),
        )


NO_ROWS = Rows(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros(0))


def ragged(first: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Several ranges one after the other: [first, first + count) of each.

    Parameters
    ----------
    first, count : int64, shape (K,)
        The ranges.

    Returns
    -------
    which : int64, shape (Σ count,)
        Range of each element.
    element : int64, shape (Σ count,)
        The elements.
    """
    which = np.repeat(np.arange(len(count)), count)
    element = np.arange(len(which)) - np.repeat(np.cumsum(count) - count - first, count)
    return which, element
