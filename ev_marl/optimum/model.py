"""The Pyomo model of one day, known in advance: what the team could pay at least.

Site, track and objective come in, a Pyomo `ConcreteModel` goes out that any Pyomo solver takes. Rows that are valid for
every policy but rarely needed (tangents of the taper, of convex costs) are left to `cuts`, which adds them when a
solution asks for them. Every variable has finite bounds, so that every set of multipliers gives a finite bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name
from pyomo.core.expr import LinearExpression

from ev_marl.objective import Objective, expression_of
from ev_marl.objective.base import Expression, GridModel, Variable
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.grid.terms import GridTerms
from ev_marl.planning.programme.pairs import Pairs
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.track import Track

_FIRST_TANGENTS = 5  # of each convex function; more come where a solution needs them


@dataclass(frozen=True)
class ConvexRow:
    """A constraint epigraph >= value(argument) for a convex function, kept by tangents."""

    epigraph: Variable
    argument: Variable
    value: Callable[[float], float]
    slope: Callable[[float], float]

    def tangent(self, at: float) -> tuple[float, float]:
        """Slope and height at 0 of the tangent that touches the function at a point."""
        slope = self.slope(at)
        return slope, self.value(at) - slope * at


class PyomoDay:
    """A day as a Pyomo model; implements the `DayModel` that objective terms write their expressions on.

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
        Variables `charge`, `discharge`, `energy`, `shortfall`; constraints `balance`, `owed`, `group_limit`; `cost`.
    pairs : Pairs
        What the variables belong to.
    two_way : int64, shape (n_two_way,)
        Positions in `discharge` of the pairs that can charge, too.
    energy : list of Pyomo variables, length N
        Energy in the battery at the end of each pair's step [kWh].
    convex_rows : list of ConvexRow
        What terms asked to keep by tangents.
    grid_terms : GridTerms, optional
        What terms asked of the network; `network` is the same, as terms see it.

    Raises
    ------
    ObjectiveError
        If a term has no expression.
    """

    def __init__(self, site: SiteArrays, track: Track, objective: Objective, grid: GridProblem | None = None) -> None:
        self.site = site
        self.step_h = track.step_h
        self.n_steps = track.n_steps
        self.buy_per_kwh = track.buy_per_kwh
        self.sell_per_kwh = track.sell_per_kwh
        self.base_load_kw = track.base_load_kw
        self.lower_kw = track.lower_kw
        self.upper_kw = track.upper_kw
        self.local_hour = track.clock.local_hour
        self.pairs = Pairs.of(site, track)
        self.pair_step = self.pairs.step
        self.discharge_pairs = self.pairs.discharge
        self.two_way = np.flatnonzero(self.pairs.limits["charge_kw"][self.pairs.session[self.pairs.discharge]] > 0.0)
        self.convex_rows: list[ConvexRow] = []
        self.model = pyo.ConcreteModel(name="cooperative optimum of one day")
        self._add_variables()
        self._add_balance()
        self._add_owed()
        if objective.limits_are_hard:
            self._add_group_limits()
        occupied = np.bincount(self.pair_step, minlength=self.n_steps) > 0
        self.grid_terms = None if grid is None else GridTerms(grid, occupied, self.variables)
        self.network: GridModel | None = self.grid_terms
        self.model.term_rows = pyo.Constraint(pyo.Any)
        terms = [expression_of(term, self) for term in objective.terms]
        self.model.cost = pyo.Objective(expr=sum(terms), sense=pyo.minimize)
        self.model.cuts = pyo.ConstraintList()

    def go_one_way(self, charges: np.ndarray) -> None:
        """Let each pair that can charge and discharge do only one of them.

        Parameters
        ----------
        charges : bool, shape (n_two_way,)
            Whether it may charge (True) or discharge, for the pairs of `two_way`.
        """
        for i, charging in zip(self.two_way.tolist(), charges.tolist(), strict=True):
            (self.discharge[i] if charging else self.charge[self.discharge_pairs[i]]).setub(0.0)

    def linear(
        self, variables: Sequence[Variable], coefficients: Sequence[float] | np.ndarray, constant: float = 0.0
    ) -> Expression:
        """Σ coefficient·variable + constant as a Pyomo expression."""
        return LinearExpression(
            constant=constant,
            linear_coefs=np.asarray(coefficients, dtype=np.float64).tolist(),
            linear_vars=list(variables),
        )

    def group_power(self, group: int, step: int) -> tuple[list[Variable], list[float]]:
        """Variables and coefficients whose sum is the vehicles' power below a group [kW]."""
        pairs = self.pairs
        charge = self.charge[pairs.group_first[step, group] : pairs.group_end[step, group]]
        first, end = pairs.group_first_discharge[step, group], pairs.group_end_discharge[step, group]
        discharge = self.discharge[first:end]
        return [*charge, *discharge], [1.0] * len(charge) + [-1.0] * len(discharge)

    def variables(
        self, name: str, lower: Sequence[float] | np.ndarray, upper: Sequence[float] | np.ndarray
    ) -> list[Variable]:
        """New variables with finite bounds."""
        low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ValueError(f"variables '{name}' need finite bounds: without them there may be no finite bound")
        bounds = list(zip(low.tolist(), high.tolist(), strict=True))
        component = pyo.Var(range(len(bounds)), bounds=lambda _, i: bounds[i])
        self.model.add_component(unique_component_name(self.model, name), component)
        return list(component.values())

    def at_least(
        self, name: str, variables: Sequence[Variable], coefficients: Sequence[float] | np.ndarray, bound: float
    ) -> None:
        """New constraint Σ coefficient·variable >= bound."""
        self._add_row(name, float(bound), self.linear(variables, coefficients), None)

    def above_convex(
        self,
        name: str,
        epigraph: Variable,
        variables: Sequence[Variable],
        coefficients: Sequence[float] | np.ndarray,
        value: Callable[[float], float],
        slope: Callable[[float], float],
    ) -> None:
        """New constraint epigraph >= value(Σ coefficient·variable) for a convex function, kept by tangents.

        The sum becomes a variable of its own, so that a tangent has two coefficients; the first tangents are spread
        evenly over its range.
        """
        weights = np.asarray(coefficients, dtype=np.float64)
        ends = np.array([variable.bounds for variable in variables], dtype=np.float64).reshape(-1, 2) * weights[:, None]
        least, most = float(ends.min(axis=1).sum()), float(ends.max(axis=1).sum())
        (argument,) = self.variables(f"{name} argument", [least], [most])
        row = ConvexRow(epigraph, argument, value, slope)
        self.convex_rows.append(row)
        self._add_row(f"{name} argument", 0.0, self.linear([argument, *variables], [-1.0, *weights]), 0.0)
        for at in np.unique(np.linspace(least, most, _FIRST_TANGENTS)).tolist():
            slope_there, height = row.tangent(at)
            self.at_least(f"{name} tangent at {at:.6g}", [epigraph, argument], [1.0, -slope_there], height)

    def _add_row(self, name: str, lower: float, expression: Expression, upper: float | None) -> None:
        rows = self.model.term_rows
        rows[name if name not in rows else f"{name} ({len(rows)})"] = (lower, expression, upper)

    def _add_variables(self) -> None:
        pairs, limits = self.pairs, self.pairs.limits
        zeros = np.zeros(len(pairs))
        self.charge: Sequence[Variable] = self.variables("charge", zeros, limits["charge_kw"][pairs.session])
        self.discharge: Sequence[Variable] = self.variables(
            "discharge", zeros[pairs.discharge], limits["discharge_kw"][pairs.session[pairs.discharge]]
        )
        self.energy: Sequence[Variable] = self.variables("energy", pairs.least_kwh, pairs.end_most_kwh)
        least_kwh = np.where(limits["discharge_kw"] > 0.0, limits["floor_kwh"], limits["energy_kwh"])
        most_kwh = np.where(pairs.last >= 0, np.maximum(0.0, limits["due_kwh"] - least_kwh), 0.0)
        self.shortfall: Sequence[Variable] = self.variables("shortfall", np.zeros(len(limits)), most_kwh)

    def _add_balance(self) -> None:
        """e' = e + Δ(η⁺c − d/η⁻)."""
        pairs, limits = self.pairs, self.pairs.limits
        gain = (-self.step_h * limits["charge_efficiency"][pairs.session]).tolist()
        drain = (self.step_h / limits["discharge_efficiency"][pairs.session]).tolist()
        arrival_kwh = limits["energy_kwh"][pairs.session].tolist()
        previous = pairs.previous.tolist()
        position: list[int] = np.full(len(pairs), -1).tolist()
        for i, pair in enumerate(pairs.discharge.tolist()):
            position[pair] = i
        charge, discharge, energy = self.charge, self.discharge, self.energy

        def balance(_: pyo.ConcreteModel, n: int) -> tuple[float, Expression, float]:
            variables, coefficients = [energy[n], charge[n]], [1.0, gain[n]]
            if position[n] >= 0:
                variables.append(discharge[position[n]])
                coefficients.append(drain[n])
            start = arrival_kwh[n]
            if previous[n] >= 0:
                variables.append(energy[previous[n]])
                coefficients.append(-1.0)
                start = 0.0
            return start, LinearExpression(constant=0.0, linear_coefs=coefficients, linear_vars=variables), start

        self.model.balance = pyo.Constraint(range(len(pairs)), rule=balance)

    def _add_owed(self) -> None:
        """shortfall + energy at the deadline >= due."""
        due_kwh, last = self.pairs.limits["due_kwh"].tolist(), self.pairs.last.tolist()
        owed = [s for s, variable in enumerate(self.shortfall) if variable.ub > 0.0]

        def row(_: pyo.ConcreteModel, s: int) -> tuple[float, Expression, None]:
            return due_kwh[s], self.linear([self.shortfall[s], self.energy[last[s]]], [1.0, 1.0]), None

        self.model.owed = pyo.Constraint(owed, rule=row)

    def _add_group_limits(self) -> None:
        """lower <= Σ (c − d) <= upper for every group and step in which it can bind."""
        export_binds, import_binds = self.pairs.binding_limits(self.site, self.lower_kw, self.upper_kw)
        rows = [(int(t), int(g)) for t, g in np.argwhere(export_binds | import_binds)]

        def row(_: pyo.ConcreteModel, t: int, g: int) -> tuple[float | None, Expression, float | None]:
            variables, coefficients = self.group_power(g, t)
            expression = LinearExpression(constant=0.0, linear_coefs=coefficients, linear_vars=variables)
            lower = float(self.lower_kw[t, g]) if export_binds[t, g] else None
            upper = float(self.upper_kw[t, g]) if import_binds[t, g] else None
            return lower, expression, upper

        self.model.group_limit = pyo.Constraint(rows, rule=row)
