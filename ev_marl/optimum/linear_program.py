"""A linear programme as arrays from Pyomo's standard form, to which cuts are added, and its dual value in NumPy.

A Pyomo model comes in, arrays for one call of a solver go out. The bound is the dual value computed here: by weak
duality it is valid for any multipliers, whatever the status of the solver.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name
from pyomo.core.expr import LinearExpression
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy import sparse

from ev_marl.objective.base import Variable
from ev_marl.planning.programme.rows import Rows


def new_variables(
    model: pyo.ConcreteModel, name: str, lower: np.ndarray, upper: np.ndarray, *, integer: bool = False
) -> list[Variable]:
    """Add variables to a model.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        The model.
    name : str
        Their name; another one like it if the model has it already.
    lower, upper : float64, shape (n,)
        Their bounds.
    integer : bool
        Whether they are integers; else continuous.
    """
    bounds = dict(enumerate(zip(lower.tolist(), upper.tolist(), strict=True)))  # Pyomo is slower with a function
    domain = pyo.Integers if integer else pyo.Reals
    component = pyo.Var(pyo.RangeSet(0, len(bounds) - 1), bounds=bounds, domain=domain)
    model.add_component(unique_component_name(model, name), component)
    return list(component.values())


@dataclass(frozen=True)
class Stated:
    """Rows that a Pyomo model will have as a named constraint, in numbered variables."""

    index: Sequence[Any]  # of the constraint, one entry for each row
    rows: Rows


class LinearProgram:
    """minimise cost·x + offset subject to row_lower <= matrix·x <= row_upper and lower <= x <= upper.

    Stating thousands of rows in Pyomo takes longer than solving them, so rows that are known as arrays stay arrays:
    `complete_model` states them for solvers that read the Pyomo model.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        A linear model with one objective, to be minimised, and an empty ConstraintList `cuts`.
    numbered : sequence of Pyomo variables, optional
        The variables of `stated`, by number.
    stated : mapping, optional
        Rows that the model does not have yet, by the name of its constraint, which is indexed and has no rows. They
        come first.

    Attributes
    ----------
    cost, lower, upper : float64, shape (n_columns,)
        Costs and bounds of the variables.
    offset : float
        Constant cost.
    matrix : scipy.sparse.csr_array, shape (n_rows, n_columns)
        Coefficients.
    row_lower, row_upper : float64, shape (n_rows,)
        Bounds of the rows, infinite where there is none.
    integer : bool, shape (n_columns,)
        Whether a variable is an integer.
    variables : list of Pyomo variables, length n_columns
        The variable of each column.
    stated : mapping of str to Stated
        As given.
    first_row : dict of str to int
        The first row of each of them.
    """

    def __init__(
        self, model: pyo.ConcreteModel, numbered: Sequence[Variable] = (), stated: Mapping[str, Stated] | None = None
    ) -> None:
        self.model = model
        self.stated = stated or {}
        form = LinearStandardFormCompiler().write(model, mixed_form=True)
        costs = form.c.toarray()[0]
        kinds = np.array([row.bound_type for row in form.rows], dtype=np.int64)
        rhs = np.asarray(form.rhs, dtype=np.float64)
        constraints = [row.constraint for row in form.rows]
        # A constraint with two bounds comes as two rows, upper first; solvers are faster with one row that has both.
        same = np.array([a is b for a, b in zip(constraints[1:], constraints[:-1], strict=True)], dtype=bool)
        second = np.concatenate([[False], same]) if constraints else np.zeros(0, dtype=bool)
        row_lower = np.where(kinds <= 0, rhs, -np.inf)
        row_upper = np.where(kinds >= 0, rhs, np.inf)
        row_lower[np.flatnonzero(second) - 1] = rhs[second]
        keep = np.flatnonzero(~second)

        rows = Rows.stack([named.rows for named in self.stated.values()])
        ends = np.cumsum([0, *(len(named.rows) for named in self.stated.values())]).tolist()
        self.first_row = dict(zip(self.stated, ends, strict=False))
        # Columns in the order in which they are met: in the cost, in the stated rows, in the model's.
        in_cost = int(np.flatnonzero(costs)[-1]) + 1 if costs.any() else 0
        met = [form.columns[:in_cost], [numbered[j] for j in rows.columns.tolist()], form.columns[in_cost:]]
        self.variables: list[Variable] = list({id(one): one for part in met for one in part}.values())
        self._column = {id(variable): j for j, variable in enumerate(self.variables)}
        self.offset = float(form.c_offset[0])
        self.cost = np.zeros(len(self.variables))
        of_form = self.columns(form.columns)
        self.cost[of_form] = costs
        theirs = sparse.csr_array(form.A)[keep]
        self.matrix = sparse.vstack(
            [
                self._sparse(rows.values, self.columns(numbered)[rows.columns], rows.starts),
                self._sparse(theirs.data, of_form[theirs.indices], theirs.indptr),
            ],
            format="csr",
        )
        self.matrix.sort_indices()
        self.row_lower = np.concatenate([rows.lower, row_lower[keep]])
        self.row_upper = np.concatenate([rows.upper, row_upper[keep]])
        self._constraints: list[Any] = [None] * len(rows) + [constraints[i] for i in keep]
        bounds = [variable.bounds for variable in self.variables]
        self.lower = np.array([low for low, _ in bounds], dtype=np.float64)
        self.upper = np.array([high for _, high in bounds], dtype=np.float64)
        self.integer = np.zeros(len(bounds), dtype=bool)

    def _sparse(self, values: np.ndarray, columns: np.ndarray, starts: np.ndarray) -> sparse.csr_array:
        return sparse.csr_array((values, columns, starts), shape=(len(starts) - 1, self.n_columns))

    @property
    def n_columns(self) -> int:
        """Number of variables."""
        return len(self.cost)

    def columns(self, variables: Sequence[Variable]) -> np.ndarray:
        """Columns of Pyomo variables, int64, shape (len(variables),); −1 for one that no row and no cost mentions."""
        return np.array([self._column.get(id(variable), -1) for variable in variables], dtype=np.int64)

    def add_rows(self, rows: Rows) -> None:
        """Append rows, here only: see `complete_model`."""
        data, columns, starts = self.matrix.data, self.matrix.indices, self.matrix.indptr
        self.matrix = self._sparse(
            np.concatenate([data, rows.values]),
            np.concatenate([columns, rows.columns], dtype=columns.dtype),
            np.concatenate([starts, starts[-1] + rows.starts[1:]], dtype=starts.dtype),
        )
        self.row_lower = np.concatenate([self.row_lower, rows.lower])
        self.row_upper = np.concatenate([self.row_upper, rows.upper])

    def complete_model(self) -> list[Any]:
        """State the rows that the Pyomo model lacks: its named constraints, and `cuts`.

        Returns
        -------
        list of Pyomo constraints, length n_rows
            The constraint of each row.
        """
        model, constraints = self.model, self._constraints
        for name, named in self.stated.items():
            component, first = model.component(name), self.first_row[name]
            for k, key in enumerate(named.index):
                if constraints[first + k] is None:
                    component[key] = self._bounded(first + k)
                    constraints[first + k] = component[key]
        constraints.extend(model.cuts.add(self._bounded(row)) for row in range(len(constraints), len(self.row_lower)))
        return constraints

    def _bounded(self, row: int) -> tuple[float | None, LinearExpression, float | None]:
        """A row as Pyomo states it."""
        part = slice(self.matrix.indptr[row], self.matrix.indptr[row + 1])
        expression = LinearExpression(
            constant=0.0,
            linear_coefs=self.matrix.data[part].tolist(),
            linear_vars=[self.variables[j] for j in self.matrix.indices[part]],
        )
        low, high = float(self.row_lower[row]), float(self.row_upper[row])
        return (low if low > -math.inf else None, expression, high if high < math.inf else None)

    def add_columns(self, name: str, lower: np.ndarray, upper: np.ndarray, *, integer: bool = False) -> np.ndarray:
        """Append columns without cost, here and to the Pyomo model; solvers must be told.

        Parameters
        ----------
        name : str
            Their name in the Pyomo model.
        lower, upper : float64, shape (n,)
            Finite bounds.
        integer : bool
            Whether they are integers; else continuous.

        Returns
        -------
        int64, shape (n,)
            The columns.
        """
        variables = new_variables(self.model, name, lower, upper, integer=integer)
        n = len(variables)
        columns = np.arange(self.n_columns, self.n_columns + n)
        self._column.update((id(variable), int(j)) for variable, j in zip(variables, columns, strict=True))
        self.variables.extend(variables)
        self.cost = np.concatenate([self.cost, np.zeros(n)])
        self.lower = np.concatenate([self.lower, lower])
        self.upper = np.concatenate([self.upper, upper])
        self.integer = np.concatenate([self.integer, np.full(n, integer)])
        self.matrix.resize((self.matrix.shape[0], self.n_columns))
        return columns

    def value(self, x: np.ndarray) -> float:
        """Cost of a point."""
        return math.fsum(self.cost * x) + self.offset

    def dual_value(self, multipliers: np.ndarray) -> float:
        """Least cost that multipliers prove: Σ y·(row bound) + Σ min over the bounds of (cost − Aᵀy)·x + offset.

        Valid for every y. A multiplier whose sign needs a bound that its row does not have is set to 0.

        Parameters
        ----------
        multipliers : float64, shape (n_rows,)
            y: positive prices the row's lower bound, negative its upper bound.
        """
        pull = np.where(multipliers > 0.0, self.row_lower, self.row_upper)
        y = np.where(np.isfinite(pull), multipliers, 0.0)
        reduced = self.cost - self.matrix.T @ y
        rows = y * np.where(np.isfinite(pull), pull, 0.0)
        box = np.minimum(reduced * self.lower, reduced * self.upper)
        return math.fsum(rows) + math.fsum(box) + self.offset
