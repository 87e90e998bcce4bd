"""The network in the search for a bound: the steps that need it, and the rows that a point violates.

The solution of the programme comes in. Steps in which the exact power flow violates a limit or costs more than in the
programme get rows in the vehicles' powers (`projection`) or, if these are too weak, a block of states (`cone`). A step
without either has no network limits, so the bound is valid at all times.
"""

from __future__ import annotations

import numpy as np

from ev_marl.grid.solvers.base import PowerFlow
from ev_marl.optimum.grid.columns import ChargerColumns
from ev_marl.optimum.grid.cone import GridBlocks
from ev_marl.optimum.grid.prices import PriceRows
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.grid.projection import Projection
from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.optimum.model import PyomoDay
from ev_marl.planning.programme.rows import Rows
from ev_marl.policies.plan import Plan

CONE_TOLERANCE = 1e-6  # of the squared current, relative to its largest value on the edge
_SCREEN = 1.9  # tolerances by which a limit is violated; the bound widens limits by two


class GridRelaxation:
    """Blocks of the network in a program.

    Parameters
    ----------
    day : PyomoDay
        Made with the same network.
    program : LinearProgram
        Of that day.
    problem : GridProblem
        The network.

    Attributes
    ----------
    cones : bool
        Whether tangents of the cones are added where a point violates them; without them currents are linear.
    wanted, settled : bool
        Whether rows are wanted yet, and whether no more are.
    columns : ChargerColumns
        The vehicles' powers in the program.
    projection : Projection
        Makes rows in these powers, if the network allows it.
    touched : bool, shape (n_steps,)
        Steps with rows of the network in the programme.
    """

    def __init__(self, day: PyomoDay, program: LinearProgram, problem: GridProblem) -> None:
        assert day.grid_terms is not None
        self.problem, self._program = problem, program
        self.blocks = GridBlocks(day, program, problem, all_parts="added_losses_kw" in day.grid_terms.made)
        self.prices = PriceRows(day.grid_terms, program, self.blocks)
        n_chargers = problem.backend.spec.n_charger_buses
        self.columns = ChargerColumns(day, program, problem.port_charger, n_chargers)
        self.projection = Projection(self.blocks, self.prices, self.columns)
        self.touched = np.zeros(problem.n_steps, dtype=bool)
        self.cones = self.wanted = self.settled = False
        reach_kw = (self.blocks.most_kw - self.blocks.least_kw).sum(axis=1)
        self._may_have = problem.solvable & (reach_kw > 0.0) & problem.relaxable

    def flow(self, plan: Plan) -> PowerFlow:
        """Exact power flow of a plan on every step."""
        problem = self.problem
        return problem.flow(np.arange(problem.n_steps), problem.charger_power(plan.power_kw))

    def grow(self, x: np.ndarray, plan: Plan, tolerance: float) -> bool:
        """Add blocks for the steps that need one; returns whether there are any.

        Parameters
        ----------
        x : float64, shape (n_columns,)
            Solution of the program.
        plan : Plan
            The plan in it.
        tolerance : float
            How much more than in the programme all steps together may cost [currency].
        """
        if self.projection.usable:
            if not self.cones:
                return False
            steps = np.flatnonzero(self.projection.stuck)
        else:
            steps = self._suffering(x, self.problem.charger_power(plan.power_kw), tolerance / self.problem.n_steps, 1.0)
        if not len(steps):
            return False
        self.projection.stuck[:] = False
        self.blocks.add(steps)
        self.touched[steps] = True
        more = self.prices.first(steps)
        if len(more):
            self._program.add_rows(more)
        return True

    def _suffering(self, x: np.ndarray, charger_kw: np.ndarray, tolerance: float, tolerances: float) -> np.ndarray:
        """Steps without a block whose exact power flow violates limits or costs more than in the programme."""
        steps = np.flatnonzero(self._may_have & ~np.isin(np.arange(self.problem.n_steps), self.blocks.steps))
        if not len(steps):
            return steps
        flow = self.problem.flow(steps, charger_kw[steps])
        short = self.prices.short(x, steps, self.problem.suffered(steps, flow)) > tolerance
        if self.problem.limits_are_hard:
            excess = np.nan_to_num(self.problem.bounds.rows(steps).stacked_excess(flow), nan=0.0)
            short |= excess.max(axis=1, initial=0.0) > tolerances
        return np.asarray(steps[short | ~flow.converged])

    def broken(self, x: np.ndarray, tolerance: float) -> Rows:
        """Rows that a point violates; for prices, by more than the tolerance [currency] in a step."""
        if self.settled or not self.wanted:
            return Rows.stack([])
        rows = [self.blocks.broken(x, cones=self.cones, tolerance=CONE_TOLERANCE)]
        if self.prices.columns:
            rows.append(self.prices.broken(x, tolerance))
        if self.projection.usable:
            charger_kw = self.columns.power_kw(x)
            steps = self._suffering(x, charger_kw, tolerance, _SCREEN)
            rows.append(self.projection.broken(x, steps, cones=self.cones, tolerance=tolerance))
            self.touched[steps] = True
        return Rows.stack(rows)
