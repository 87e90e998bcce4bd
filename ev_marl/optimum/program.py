"""A linear programme as arrays from Pyomo's standard form, to which cuts are added, and its dual value in NumPy.

A Pyomo model comes in, arrays for one call of a solver go out. The bound is the dual value computed here: by weak
duality it is valid for any multipliers, whatever the status of the solver.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name
from pyomo.core.expr import LinearExpression
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy import sparse

from ev_marl.objective.base import Variable
from ev_marl.planning.programme.rows import Rows


class LinearProgram:
    """minimise cost·x + offset subject to row_lower <= matrix·x <= row_upper and lower <= x <= upper.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        A linear model with one objective, to be minimised.

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
    variables : list of Pyomo variables, length n_columns
        The variable of each column.
    constraints : list of Pyomo constraints, length n_rows
        The constraint of each row.
    """

    def __init__(self, model: pyo.ConcreteModel) -> None:
        self.model = model
        form = LinearStandardFormCompiler().write(model, mixed_form=True)
        cost = form.c.toarray()[0]
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
        self.cost = cost
        self.offset = float(form.c_offset[0])
        self.matrix = sparse.csr_array(form.A)[keep]
        self.row_lower, self.row_upper = row_lower[keep], row_upper[keep]
        self.variables: list[Variable] = list(form.columns)
        self.constraints: list[Any] = [constraints[i] for i in keep]
        bounds = [variable.bounds for variable in self.variables]
        self.lower = np.array([low for low, _ in bounds], dtype=np.float64)
        self.upper = np.array([high for _, high in bounds], dtype=np.float64)
        self.binary = np.zeros(len(bounds), dtype=bool)
        self._column = {id(variable): j for j, variable in enumerate(self.variables)}

    @property
    def n_columns(self) -> int:
        """Number of variables."""
        return len(self.cost)

    def columns(self, variables: Sequence[Variable]) -> np.ndarray:
        """Columns of Pyomo variables, int64, shape (len(variables),); −1 for one that no row and no cost mentions."""
        return np.array([self._column.get(id(variable), -1) for variable in variables], dtype=np.int64)

    def add_rows(self, rows: Rows) -> None:
        """Append rows, here and to the Pyomo model's `cuts`."""
        shape = (len(rows), self.n_columns)
        more = sparse.csr_array((rows.values, rows.columns, rows.starts), shape=shape)
        self.matrix = sparse.vstack([self.matrix, more], format="csr")
        self.row_lower = np.concatenate([self.row_lower, rows.lower])
        self.row_upper = np.concatenate([self.row_upper, rows.upper])
        for k in range(len(rows)):
            part = slice(rows.starts[k], rows.starts[k + 1])
            expression = LinearExpression(
                constant=0.0,
                linear_coefs=rows.values[part].tolist(),
                linear_vars=[self.variables[j] for j in rows.columns[part]],
            )
            low, high = float(rows.lower[k]), float(rows.upper[k])
            self.constraints.append(
                self.model.cuts.add((low if low > -math.inf else None, expression, high if high < math.inf else None))
            )

    def add_columns(self, name: str, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """Append continuous columns without cost, here and to the Pyomo model; solvers must be told to start anew.

        Parameters
        ----------
        name : str
            Their name in the Pyomo model.
        lower, upper : float64, shape (n,)
            Finite bounds.

        Returns
        -------
        int64, shape (n,)
            The columns.
        """
        bounds = list(zip(lower.tolist(), upper.tolist(), strict=True))
        component = pyo.Var(range(len(bounds)), bounds=lambda _, i: bounds[i])
        self.model.add_component(unique_component_name(self.model, name), component)
        return self._append(list(component.values()), lower, upper, binary=False)

    def add_binaries(self, variables: Sequence[Variable]) -> np.ndarray:
        """Append binary Pyomo variables as columns without cost, int64, shape (len(variables),)."""
        n = len(variables)
        return self._append(variables, np.zeros(n), np.ones(n), binary=True)

    def _append(
        self, variables: Sequence[Variable], lower: np.ndarray, upper: np.ndarray, *, binary: bool
    ) -> np.ndarray:
        n = len(variables)
        columns = np.arange(self.n_columns, self.n_columns + n)
        self._column.update((id(variable), int(j)) for variable, j in zip(variables, columns, strict=True))
        self.variables.extend(variables)
        self.cost = np.concatenate([self.cost, np.zeros(n)])
        self.lower = np.concatenate([self.lower, lower])
        self.upper = np.concatenate([self.upper, upper])
        self.binary = np.concatenate([self.binary, np.full(n, binary)])
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
