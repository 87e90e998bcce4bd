"""Rows of a linear programme in coordinates, block by block, as HiGHS takes them in the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Rows:
    """Rows in coordinates; blocks are added one after the other."""

    n: int = 0
    row: list[np.ndarray] = field(default_factory=list)
    column: list[np.ndarray] = field(default_factory=list)
    value: list[np.ndarray] = field(default_factory=list)
    lower: list[np.ndarray] = field(default_factory=list)
    upper: list[np.ndarray] = field(default_factory=list)

    def begin(self, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Add rows without coefficients; returns their numbers."""
        first = self.n
        self.n += len(lower)
        self.lower.append(lower)
        self.upper.append(upper)
        return np.arange(first, self.n)

    def put(self, row: np.ndarray, column: np.ndarray, value: np.ndarray | float) -> None:
        """Add coefficients."""
        self.row.append(row)
        self.column.append(column)
        self.value.append(np.broadcast_to(np.asarray(value, dtype=np.float64), column.shape))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of all rows."""
        return np.concatenate([np.empty(0), *self.lower]), np.concatenate([np.empty(0), *self.upper])

    def by_row(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Start of each row, columns and values."""
        row = np.concatenate([np.empty(0, dtype=np.int64), *self.row])
        order = np.argsort(row, kind="stable")
        starts = np.zeros(self.n + 1, dtype=np.int32)
        np.cumsum(np.bincount(row, minlength=self.n), out=starts[1:])
        columns = np.concatenate([np.empty(0, dtype=np.int64), *self.column])[order].astype(np.int32)
        return starts, columns, np.concatenate([np.empty(0), *self.value])[order]
