"""The Pyomo model of one day, known in advance: the least cost of the team.

Site, track and objective come in, a Pyomo `ConcreteModel` for any Pyomo solver goes out. It states the `Programme` of
the day: variables, terms and cost at once; the rows of the physics, which are known as arrays, when `PyomoDay.whole` or
a solver that reads the model asks for them. Rows that are valid for every policy but rarely needed (tangents of the
taper, of convex costs) are added by `cuts` when a solution violates them. Every variable has finite bounds, so that
every set of multipliers gives a finite bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.contrib.fbbt.expression_bounds_walker import ExpressionBoundsVisitor
from pyomo.core.expr import LinearExpression

from ev_marl.objective import Objective, expression_of
from ev_marl.objective.base import Expression, Numbers, Variable, Variables
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.grid.terms import GridTerms
from ev_marl.optimum.linear_program import LinearProgram, Stated, new_variables
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.arrays import finite_bounds
from ev_marl.planning.programme.cuts import ConvexFunctions
from ev_marl.planning.programme.programme import Programme
from ev_marl.planning.programme.rows import Rows
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.track import Track


@dataclass(frozen=True)
class ConvexRows:
    """Constraints epigraph >= value(argument) for K convex functions, kept by tangents."""

    epigraph: Variables
    argument: Variables
    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


class PyomoDay(Programme):
    """A day as a Pyomo model; implements the `DayModel` that objective terms write their expressions on.

    Vectors of variables and of expressions are NumPy arrays of Pyomo's objects.

    Parameters
    ----------
    site : SiteArrays
        The site.
    track : Track
        The day.
    objective : Objective
        What is minimised, and whether group limits are constraints.
    grid : GridProblem, optional
        The network that terms may price.

    Attributes
    ----------
    model : pyomo.environ.ConcreteModel
        Variables `charge`, `discharge`, `energy`, `shortfall`, `lost`; `cost`, with the variables and constraints of
        terms. The constraints of the physics are there, without rows until `whole` states them.
    physics : dict of str to Stated
        Rows of the constraints `balance`, `owed` and, if there are any, `part_load` and `group_limit`.
    exclusive : list of (first, second, weight)
        Pairs of variables of which one is 0: powers of the pairs of `two_way` first, then those added by terms. If a
        solution has both, the first is the larger one where weight·first >= second.
    convex_rows : list of ConvexRows
        Convex functions of terms, kept by tangents.
    not_convex : list of (name, count)
        Constraints that terms added with `only_one`.
    grid_terms : GridTerms, optional
        Quantities of the network that terms use; `grid` is the same with the interface for terms.

    Raises
    ------
    ObjectiveError
        If a term has no expression.
    """

    def __init__(self, site: SiteArrays, track: Track, objective: Objective, grid: GridProblem | None = None) -> None:
        super().__init__(site, Ahead.of_day(site, track))
        self.convex_rows: list[ConvexRows] = []
        self.not_convex: list[tuple[str, int]] = []
        self.model = pyo.ConcreteModel(name="cooperative optimum of one day")
        self._every: list[Variable] = []
        self.charge, self.discharge, self.energy, self.shortfall, self.lost = (
            self.variables(name, self.column_least[columns], self.column_most[columns])
            for name, columns in (
                ("charge", self.charge_column),
                ("discharge", self.discharge_column),
                ("energy", self.energy_column),
                ("shortfall", self.shortfall_column),
                ("lost", self.lost_column),
            )
        )
        both = self.discharge_pairs[self.two_way]
        self.exclusive: list[tuple[Variable, Variable, float]] = list(
            zip(self.charge[both], self.discharge[self.two_way], self.round_trip.tolist(), strict=True)
        )
        # What comes later has its name already, so that no variable of a term takes it.
        self.physics = self._physics(objective.limits_are_hard)
        for name in self.physics:
            self.model.add_component(name, pyo.Constraint(pyo.Any))
        self.model.cost = pyo.Objective(expr=0.0, sense=pyo.minimize)
        self.model.cuts = pyo.ConstraintList()
        self.model.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
        occupied = np.bincount(self.pair_step, minlength=self.n_steps) > 0
        self.grid_terms = None if grid is None else GridTerms(grid, occupied, self.variables)
        self.grid = self.grid_terms
        self.model.term_rows = pyo.Constraint(pyo.Any)
        terms = [expression_of(term, self) for term in objective.terms]
        self.model.cost.set_value(sum(terms))

    def go_one_way(self, first: np.ndarray) -> None:
        """Fix one variable of each exclusive pair to 0.

        Parameters
        ----------
        first : bool, shape (n_exclusive,)
            Whether the first one may be above 0.
        """
        for (one, other, _), keeps_first in zip(self.exclusive, first.tolist(), strict=True):
            (other if keeps_first else one).setub(0.0)

    def keep_charging(self, least_kw: np.ndarray, most_kw: np.ndarray) -> None:
        """Bound the charging powers of all pairs, float64, shape (N,) each [kW]."""
        for variable, least, most in zip(self.charge, least_kw.tolist(), most_kw.tolist(), strict=True):
            variable.setlb(least)
            variable.setub(most)

    def linear(self, variables: Variables, coefficients: Numbers, constant: float = 0.0) -> Expression:
        """Σ coefficient·variable + constant as a Pyomo expression."""
        return LinearExpression(
            constant=constant,
            linear_coefs=np.asarray(coefficients, dtype=np.float64).tolist(),
            linear_vars=list(variables),
        )

    def group_power(self, group: int | np.ndarray, step: int | np.ndarray) -> Expression:
        """The vehicles' power below a group [kW]."""
        groups, steps = np.broadcast_arrays(np.atleast_1d(group), np.atleast_1d(step))
        sums = Rows.of_entries(*self.power_entries(groups, steps), np.zeros(len(groups)), np.zeros(len(groups)))
        expressions = _vector(self._sums(sums))
        return expressions[0] if np.ndim(group) == np.ndim(step) == 0 else expressions

    def variables(self, name: str, lower: Numbers, upper: Numbers) -> Variables:
        """New variables with finite bounds."""
        low, high = finite_bounds(name, lower, upper)
        made = new_variables(self.model, name, low, high)
        self._every.extend(made)
        return _vector(made)

    def at_least(self, name: str, expression: Expression, bound: float | Numbers) -> None:
        """New constraint expression >= bound; or K of them."""
        self._add_rows(name, expression, bound, same=False)

    def equal(self, name: str, expression: Expression, value: float | Numbers) -> None:
        """New constraint expression = value; or K of them."""
        self._add_rows(name, expression, value, same=True)

    def above_convex(
        self,
        name: str,
        epigraph: Variables,
        expression: Expression,
        value: Callable[[np.ndarray], np.ndarray],
        slope: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """New constraints epigraph >= value(expression) for K convex functions, kept by tangents.

        Each expression becomes a variable of its own, so that a tangent has two coefficients; the first tangents are
        spread evenly over its range.
        """
        bounds = ExpressionBoundsVisitor()
        expression = expression if isinstance(expression, np.ndarray) else _vector([expression])
        least, most = np.array([bounds.walk_expression(one) for one in expression], dtype=np.float64).reshape(-1, 2).T
        argument = self.variables(f"{name} argument", least, most)
        self.equal(f"{name} argument", expression - argument, 0.0)
        self.convex_rows.append(ConvexRows(epigraph, argument, value, slope))
        place = {id(variable): j for j, variable in enumerate(self._every)}
        columns = [np.array([place[id(one)] for one in vector]) for vector in (epigraph, argument)]
        first = ConvexFunctions(columns[0], columns[1], value, slope).first(least, most)
        for k, tangent in enumerate(self._sums(first)):
            self._add_row(f"{name} tangent[{k}]", float(first.lower[k]), tangent, None)

    def only_one(self, name: str, first: Variables, second: Variables) -> None:
        """New constraint: of each of K pairs of variables >= 0, one is 0."""
        self.exclusive.extend((one, other, 1.0) for one, other in zip(first, second, strict=True))
        self.not_convex.append((name, len(first)))

    @cached_property
    def program(self) -> LinearProgram:
        """The day as arrays, made when it is first asked for."""
        return LinearProgram(self.model, self._every, self.physics)

    def whole(self) -> pyo.ConcreteModel:
        """The model with the rows of the physics, to be read, extended, or solved by any solver.

        Charging and discharging at once, and energy above the charge curve, are not excluded: `solve` adds what a
        solution violates.
        """
        self.program.complete_model()
        return self.model

    def _physics(self, limits_are_hard: bool) -> dict[str, Stated]:
        """Rows by the name of their constraint."""
        physics = {
            "balance": Stated(range(len(self.pairs)), self.balance()),
            "owed": Stated(self.owed_sessions.tolist(), self.owed()),
        }
        if len(self.lossy_pairs):
            rows = self.part_load()
            physics["part_load"] = Stated(range(len(rows)), rows)
        if limits_are_hard:
            step, group, limits = self.group_limits()
            physics["group_limit"] = Stated(list(zip(step.tolist(), group.tolist(), strict=True)), limits)
        return physics

    def _sums(self, rows: Rows) -> list[Expression]:
        """Σ value·column of each row as a Pyomo expression."""
        values = rows.values.tolist()
        variables = [self._every[j] for j in rows.columns.tolist()]
        starts = rows.starts.tolist()
        return [
            LinearExpression(constant=0.0, linear_coefs=values[first:end], linear_vars=variables[first:end])
            for first, end in pairwise(starts)
        ]

    def _add_rows(self, name: str, expression: Expression, bound: float | Numbers, *, same: bool) -> None:
        """expression >= bound, or = bound for equalities."""
        if not isinstance(expression, np.ndarray):  # Pyomo gives a single one also for a vector of one
            least = float(np.asarray(bound).item())
            self._add_row(name, least, expression, least if same else None)
            return
        every = np.broadcast_to(np.asarray(bound, dtype=np.float64), expression.shape)
        for k, (one, least) in enumerate(zip(expression, every.tolist(), strict=True)):
            self._add_row(f"{name}[{k}]", least, one, least if same else None)

    def _add_row(self, name: str, lower: float, expression: Expression, upper: float | None) -> None:
        rows = self.model.term_rows
        rows[name if name not in rows else f"{name} ({len(rows)})"] = (lower, expression, upper)


def _vector(objects: Iterable[Any]) -> np.ndarray:
    """Pyomo's objects as an array."""
    listed = list(objects)
    vector = np.empty(len(listed), dtype=object)
    vector[:] = listed
    return vector
