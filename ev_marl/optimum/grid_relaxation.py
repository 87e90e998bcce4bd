"""The network's part in the search for a bound: which steps need a block, and which rows a point breaks.

The program's solution comes in; blocks are added for steps in which the exact power flow of its plan breaks a limit or
costs more than the program thinks. A step without a block is a step without network limits: the bound holds all along.
"""

from __future__ import annotations

import numpy as np

from ev_marl.grid.base import PowerFlow
from ev_marl.optimum.grid_cone import GridBlocks
from ev_marl.optimum.grid_prices import PriceRows
from ev_marl.optimum.grid_problem import GridProblem
from ev_marl.optimum.model import PyomoDay
from ev_marl.optimum.network_terms import suffered
from ev_marl.optimum.program import LinearProgram, Rows
from ev_marl.policies.plan import Plan

CONE_TOLERANCE = 1e-6  # of the squared current, relative to its largest value on the edge


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
        Whether tangents of the cones are added where a point breaks them; without them currents are linear.
    settled : bool
        Whether no more rows are wanted.
    """

    def __init__(self, day: PyomoDay, program: LinearProgram, problem: GridProblem) -> None:
        assert day.grid_terms is not None
        self.problem, self._program = problem, program
        self.blocks = GridBlocks(day, program, problem, all_parts="added_losses_kw" in day.grid_terms.made)
        self.prices = PriceRows(day.grid_terms, program, self.blocks)
        self.cones = self.settled = False
        reach_kw = (self.blocks.most_kw - self.blocks.least_kw).sum(axis=1)
        self._may_have = problem.solvable & (reach_kw > 0.0) & problem.relaxable

    def flow(self, plan: Plan) -> PowerFlow:
        """Exact power flow of a plan on every step."""
        problem = self.problem
        return problem.flow(np.arange(problem.n_steps), problem.charger_power(plan.power_kw))

    def grow(self, x: np.ndarray, plan: Plan, tolerance: float) -> bool:
        """Add blocks for the steps that need one; whether there were any.

        Parameters
        ----------
        x : float64, shape (n_columns,)
            Solution of the program.
        plan : Plan
            The plan in it.
        tolerance : float
            What all steps together may cost more than the program thinks [currency].
        """
        steps = np.flatnonzero(self._may_have & ~np.isin(np.arange(self.problem.n_steps), self.blocks.steps))
        if not len(steps):
            return False
        flow = self.problem.flow(steps, self.problem.charger_power(plan.power_kw)[steps])
        short = self.prices.short(x, steps, suffered(self.problem, steps, flow)) > tolerance / self.problem.n_steps
        if self.problem.limits_are_hard:
            short |= ~self.problem.bounds.rows(steps).kept(flow)
        steps = steps[short | ~flow.converged]
        if not len(steps):
            return False
        self.blocks.add(steps)
        more = self.prices.first(steps)
        if len(more):
            self._program.add_rows(more)
        return True

    def broken(self, x: np.ndarray, tolerance: float) -> Rows:
        """Rows that a point breaks; for prices, where that saves more than the tolerance [currency] in a step."""
        if self.settled:
            return Rows.stack([])
        rows = [self.blocks.broken(x, cones=self.cones, tolerance=CONE_TOLERANCE)]
        if self.prices.columns:
            rows.append(self.prices.broken(x, tolerance))
        return Rows.stack(rows)
