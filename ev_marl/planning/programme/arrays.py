"""The programme of a day on arrays, as model predictive control solves it: a variable is a column.

An `Ahead` and an objective come in; costs, bounds and rows go out. It is the same programme as that of
`ev_marl.optimum.model` in Pyomo, without an object for every number, because making those takes longer than solving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ev_marl.objective import Objective
from ev_marl.objective.base import GridModel, Numbers, expression_of
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.currents import CurrentCuts, HalfPlanes
from ev_marl.planning.programme.cuts import ConvexCuts, ConvexFunctions, ExclusiveCuts, TaperCuts
from ev_marl.planning.programme.expression import Linear
from ev_marl.planning.programme.programme import Programme
from ev_marl.planning.programme.rows import Rows
from ev_marl.site.arrays import SiteArrays


class ArrayDay(Programme):
    """A programme as arrays; implements the `DayModel` that objective terms write their expressions on.

    Parameters
    ----------
    site : SiteArrays
        The site.
    ahead : Ahead
        The known or expected future.
    objective : Objective
        What is minimised, and whether group limits are constraints.
    grid : callable, optional
        Makes the model of the network that terms may price; without it, terms that price the network are refused.
    half_planes : HalfPlanes, optional
        Of current limits, those that are there from the start; by default a few, wherever a limit can be reached.
    block : int64, shape (n_steps,), optional
        Steps with the same number are one block: current limits are rows only where they, or the base load, are others
        than in the step before, and in the first step of a block.

    Attributes
    ----------
    cost : float64, shape (n_columns,)
        Of each column [currency].
    offset : float
        Cost that does not depend on the variables [currency].
    lower, upper : float64, shape (n_columns,)
        Bounds of the columns.
    rows : Rows
        All rows, first cuts of the charge curves and first half-planes of the current limits included.
    half_planes : HalfPlanes
        Those of the current limits.
    column_key, row_key : int64, shape (n_columns,) and (len(rows),)
        Which variable or row this is: the same numbers in the programme of a later step, where both have it.
    taper : TaperCuts
        Of the charge curves.
    discs : CurrentCuts
        Of the current limits.
    exclusive : ExclusiveCuts
        Pairs of columns of which one is 0: powers of the pairs of `two_way` first, then those added by terms.
    convex : ConvexCuts
        Of the convex functions added by terms.

    Raises
    ------
    ObjectiveError
        If a term has no expression.
    """

    def __init__(
        self,
        site: SiteArrays,
        ahead: Ahead,
        objective: Objective,
        grid: Callable[[ArrayDay], GridModel] | None = None,
        half_planes: HalfPlanes | None = None,
        block: np.ndarray | None = None,
    ) -> None:
        super().__init__(site, ahead)
        self.grid = None if grid is None else grid(self)
        self._lower, self._upper = [self.column_least], [self.column_most]
        self._n_columns = len(self.column_least)
        self.charge = Linear.of_columns(self.charge_column)
        self.discharge = Linear.of_columns(self.discharge_column)
        self.energy = Linear.of_columns(self.energy_column)
        self.shortfall = Linear.of_columns(self.shortfall_column)
        self.lost = Linear.of_columns(self.lost_column)
        pair, stay = self.pair_key, self.stay_key
        of_variables = (pair, pair[self.discharge_pairs], pair, stay[self.owed_sessions], pair[self.lossy_pairs])
        self._column_keys = [_keyed(kind, key) for kind, key in enumerate(of_variables)]
        self._rows = [self.balance(), self.owed()]
        self._row_keys = [_keyed(0, pair), _keyed(1, stay[self.owed_sessions])]
        if len(self.lossy_pairs):
            self._state(self.part_load())
        if objective.limits_are_hard:
            step, group, limits = self.group_limits()
            self._rows.append(limits)
            self._row_keys.append(_keyed(2, (step + self.first_step) * site.n_groups + group))
        both = self.discharge_pairs[self.two_way]
        self._exclusive = [(self.charge_column[both], self.discharge_column[self.two_way], self.round_trip)]
        self._convex: list[ConvexFunctions] = []
        total = sum((expression_of(term, self) for term in objective.terms), Linear.nothing())
        self.taper = TaperCuts(self.pairs, self.step_h, self.energy_column, corners=block is None)
        self._state(self.taper.first(), _keyed(3, pair[self.taper.pair]))
        stated = None
        if block is not None:
            news = (self.currents[:, 1:] != self.currents[:, :-1]).any(axis=(0, 2))
            stated = np.concatenate([[True], news | (np.diff(block) != 0)])
        self.discs = CurrentCuts(
            self,
            self.charge_column,
            self.discharge_column,
            limits_are_hard=objective.limits_are_hard,
            stated=stated,
        )
        self.half_planes = self.discs.first if half_planes is None else self.discs.only(half_planes)
        if len(self.discs):
            self._state(self.discs.at(self.half_planes), self.discs.row_key(self.half_planes))
        self.rows = Rows.stack(self._rows)
        self.column_key, self.row_key = np.concatenate(self._column_keys), np.concatenate(self._row_keys)
        self.lower, self.upper = np.concatenate(self._lower), np.concatenate(self._upper)
        self.cost: np.ndarray = np.bincount(total.column, total.value, minlength=self._n_columns).astype(np.float64)
        self.offset = float(total.constant)
        first, second, weight = (np.concatenate(parts) for parts in zip(*self._exclusive, strict=True))
        self.exclusive = ExclusiveCuts(first, second, self.upper[first], self.upper[second], weight)
        self.convex = ConvexCuts(self._convex, self.cost)

    @property
    def n_columns(self) -> int:
        """Number of variables."""
        return self._n_columns

    def linear(self, variables: Linear | Sequence[Linear], coefficients: Numbers, constant: float = 0.0) -> Linear:
        """Σ coefficient·variable + constant."""
        if isinstance(variables, Linear):
            return (variables * np.asarray(coefficients)).sum() + constant
        products = (variable * factor for variable, factor in zip(variables, coefficients, strict=True))
        return sum(products, Linear.nothing()) + constant

    def group_power(self, group: int | np.ndarray, step: int | np.ndarray) -> Linear:
        """The vehicles' power below a group [kW]."""
        groups, steps = np.atleast_1d(group), np.atleast_1d(step)
        return Linear(
            *self.power_entries(groups, steps), np.zeros(np.broadcast_shapes(np.shape(group), np.shape(step)))
        )

    def variables(self, name: str, lower: Numbers, upper: Numbers) -> Linear:
        """New variables with finite bounds."""
        low, high = finite_bounds(name, lower, upper)
        columns = self._n_columns + np.arange(len(low))
        self._n_columns += len(low)
        self._lower.append(low)
        self._upper.append(high)
        self._column_keys.append(_from_the_end(len(self._column_keys), len(low)))
        return Linear.of_columns(columns)

    def at_least(self, name: str, expression: Linear, bound: float | Numbers) -> None:
        """New constraint expression >= bound; or K of them."""
        self._add_rows(expression, bound, np.inf)

    def equal(self, name: str, expression: Linear, value: float | Numbers) -> None:
        """New constraint expression = value; or K of them."""
        self._add_rows(expression, value, value)

    def above_convex(
        self,
        name: str,
        epigraph: Linear,
        expression: Linear,
        value: Callable[[np.ndarray], np.ndarray],
        slope: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """New constraints epigraph >= value(expression) for K convex functions, kept by tangents.

        Each expression becomes a variable of its own, so that a tangent has two coefficients.
        """
        least, most = self._range(expression)
        argument = self.variables(name, least, most)
        self.equal(name, expression - argument, 0.0)
        functions = ConvexFunctions(_columns(name, epigraph), argument.column, value, slope)
        self._convex.append(functions)
        self._state(functions.first(least, most))

    def only_one(self, name: str, first: Linear, second: Linear) -> None:
        """New constraint: of each of K pairs of variables >= 0, one is 0."""
        self._exclusive.append((_columns(name, first), _columns(name, second), np.ones(len(first))))

    def _add_rows(self, expression: Linear, lower: float | Numbers, upper: float | Numbers) -> None:
        one = expression.merged()
        bounds = (np.atleast_1d(np.asarray(bound, dtype=np.float64) - one.constant) for bound in (lower, upper))
        self._state(Rows.of_entries(one.row, one.column, one.value, *bounds))

    def _state(self, rows: Rows, key: np.ndarray | None = None) -> None:
        self._rows.append(rows)
        self._row_keys.append(_from_the_end(4 + len(self._row_keys), len(rows)) if key is None else key)

    def _range(self, expression: Linear) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values of K expressions, within the bounds of their variables."""
        lower, upper = np.concatenate(self._lower), np.concatenate(self._upper)
        ends = np.stack([expression.value * lower[expression.column], expression.value * upper[expression.column]])
        return tuple(
            expression.constant + np.bincount(expression.row, end, minlength=len(expression))
            for end in (ends.min(axis=0), ends.max(axis=0))
        )  # type: ignore[return-value]


def _keyed(kind: int, key: np.ndarray) -> np.ndarray:
    """Keys of variables or rows of one kind."""
    return np.asarray((np.int64(kind) << 57) + key)


def _from_the_end(kind: int, count: int) -> np.ndarray:
    """Keys of what a term made: the end of the episode stays, while steps and vehicles go from the beginning."""
    return _keyed(kind, np.arange(count, 0, -1))


def finite_bounds(name: str, lower: Numbers, upper: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of variables as arrays.

    Raises
    ------
    ValueError
        If one is not finite.
    """
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError(f"variables '{name}' need finite bounds: without them there may be no finite bound")
    return low, high


def _columns(name: str, variables: Linear) -> np.ndarray:
    """Columns of plain variables."""
    if len(variables.column) != len(variables) or (variables.value != 1.0).any() or variables.constant.any():
        raise ValueError(f"'{name}' needs variables, not expressions of them")
    return variables.column
