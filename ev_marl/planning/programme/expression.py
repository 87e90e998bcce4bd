"""Vectors of linear expressions on columns of a programme; objective terms use them instead of Pyomo's expressions.

Variables are such expressions, too. The usual operators (+, -, * with numbers and arrays, sum) work on all expressions
of a vector at once, so that stating a term takes a few array operations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ev_marl.planning.programme.rows import ragged

Factor = float | np.ndarray


class Linear:
    """K expressions Σ value·column + constant; a single one has no axis, and is broadcast like a number.

    Parameters
    ----------
    row : int64, shape (Z,)
        Expression that each coefficient belongs to.
    column : int64, shape (Z,)
        Its column in the program.
    value : float64, shape (Z,)
        The coefficient.
    constant : float64, shape (K,) or ()
        Constants.
    """

    __slots__ = ("column", "constant", "row", "value")
    __array_ufunc__ = None  # an array on the left uses the operators of this class

    def __init__(self, row: np.ndarray, column: np.ndarray, value: np.ndarray, constant: np.ndarray | float) -> None:
        self.row, self.column, self.value = row, column, value
        self.constant: np.ndarray = np.asarray(constant, dtype=np.float64)

    @classmethod
    def of_columns(cls, column: np.ndarray) -> Linear:
        """Variables, one for each column."""
        return cls(np.arange(len(column)), column, np.ones(len(column)), np.zeros(len(column)))

    @classmethod
    def nothing(cls) -> Linear:
        """The single expression 0."""
        none = np.empty(0, dtype=np.int64)
        return cls(none, none, np.empty(0), 0.0)

    @property
    def shape(self) -> tuple[int, ...]:
        """(K,), or () for a single expression."""
        return self.constant.shape

    def __len__(self) -> int:
        return len(self.constant)

    def __iter__(self) -> Iterator[Linear]:
        order = np.argsort(self.row, kind="stable")
        ends = np.searchsorted(self.row[order], np.arange(len(self) + 1))
        for k, constant in enumerate(self.constant):
            part = order[ends[k] : ends[k + 1]]
            yield Linear(np.zeros_like(part), self.column[part], self.value[part], constant)

    def __getitem__(self, which: int | slice | np.ndarray) -> Linear:
        chosen = np.arange(len(self))[which]
        order = np.argsort(self.row, kind="stable")
        ends = np.searchsorted(self.row[order], np.arange(len(self) + 1))
        row, place = ragged(ends[np.atleast_1d(chosen)], np.diff(ends)[np.atleast_1d(chosen)])
        entry = order[place]
        return Linear(row, self.column[entry], self.value[entry], self.constant[which])

    def __neg__(self) -> Linear:
        return Linear(self.row, self.column, -self.value, -self.constant)

    def __add__(self, other: Linear | Factor) -> Linear:
        if not isinstance(other, Linear):
            constant = self.constant + other
            return Linear(*self._over(constant.shape), constant)
        constant = self.constant + other.constant
        mine, theirs = self._over(constant.shape), other._over(constant.shape)
        row, column, value = (np.concatenate(both) for both in zip(mine, theirs, strict=True))
        return Linear(row, column, value, constant)

    def __sub__(self, other: Linear | Factor) -> Linear:
        return self + (-other)

    def __rsub__(self, other: Factor) -> Linear:
        return (-self) + other

    def __mul__(self, factor: Factor) -> Linear:
        factors = np.asarray(factor, dtype=np.float64)
        constant = self.constant * factors
        row, column, value = self._over(constant.shape)
        return Linear(
            row, column, value * (np.broadcast_to(factors, constant.shape)[row] if factors.ndim else factors), constant
        )

    def __truediv__(self, factor: Factor) -> Linear:
        return self * (1.0 / np.asarray(factor, dtype=np.float64))

    __radd__ = __add__
    __rmul__ = __mul__

    def sum(self) -> Linear:
        """All expressions together."""
        return Linear(np.zeros_like(self.row), self.column, self.value, self.constant.sum())

    def merged(self) -> Linear:
        """The same with each column once in each expression."""
        key = self.row * (self.column.max(initial=0) + 1) + self.column
        distinct, place = np.unique(key, return_inverse=True)
        if len(distinct) == len(key):
            return self
        first = np.empty(len(distinct), dtype=np.int64)
        first[place] = np.arange(len(key))
        return Linear(self.row[first], self.column[first], np.bincount(place, self.value), self.constant)

    def _over(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coefficients, repeated for each expression of a vector where this is a single one."""
        if shape == self.constant.shape:
            return self.row, self.column, self.value
        n = shape[0]
        return np.repeat(np.arange(n), len(self.column)), np.tile(self.column, n), np.tile(self.value, n)
