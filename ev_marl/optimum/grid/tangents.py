"""A plan that is feasible on the network: the programme with tangents of the exact power flow, solved repeatedly.

A finished search comes in. Where the exact power flow of its plan violates a limit, or costs more than in the
programme, a row in the vehicles' powers is added: the quantity, linearised about the plan. Voltages are concave and
currents convex in the drawn power, so these rows cut off almost no feasible points, and a few rounds are enough. Where
power is fed in they may cut off more, so from then on the value of the programme is an estimate, not a bound. After
some rounds, steps that still violate a limit are scaled down to a feasible power, and all other steps near a limit are
fixed. The grid coordinator curtails the rest when the plan is replayed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.grid.loop.limits import LOADING_TOLERANCE_PERCENT, VOLTAGE_TOLERANCE_PU
from ev_marl.grid.loop.slopes import moved_powers
from ev_marl.grid.solvers.base import PowerFlow
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.search import Search
from ev_marl.planning.programme.rows import Rows
from ev_marl.policies.plan import Plan

ROUNDS = 6  # of linearising
_HOLDS = 2  # rounds of holding after that
_INSIDE = 0.9  # of the tolerances; the rest is left to the difference between backends
_BISECTIONS = 20


@dataclass(frozen=True)
class Carried:
    """A plan and its violations of the network's limits, which are 0 if every limit holds to within its tolerance."""

    plan: Plan
    value: float  # return in the programme with tangents: an estimate [currency]
    voltage_violation_pu: float  # beyond the clamped limits at most, in the exact power flow
    loading_violation_percent: float
    rounds: int
    seconds: float  # since the search began


def carried_plan(search: Search) -> Carried:
    """Make a feasible plan on the network from the last solution of a search.

    Parameters
    ----------
    search : Search
        With a network, finished. Rows are added to its programme, which proves nothing from now on.
    """
    tangents = _Tangents(search)
    rounds = 0
    best: tuple[float, Plan] | None = None
    while True:
        plan = search.plan()
        flow = tangents.flow(plan)
        broken = tangents.broken_steps(flow)
        missing = tangents.missing_cost(flow)
        promised = -search.program.value(search.x)
        if not len(broken) and (best is None or promised - missing.sum() > best[0]):
            best = promised - missing.sum(), plan
        short = np.flatnonzero(missing > tangents.share)
        over = rounds >= ROUNDS or search.time_left <= 0.0
        if (over or not len(short)) and not len(broken):
            break
        if not over:
            rows = tangents.rows(plan, flow, broken, short)
        elif rounds < ROUNDS + _HOLDS:
            rows = tangents.held(plan, broken)
        else:
            break
        rounds += 1
        search.estimate(rows)
    if best is not None and best[1] is not plan:
        plan, flow = best[1], tangents.flow(best[1])
    voltage, loading = violation(tangents.problem, np.arange(tangents.problem.n_steps), flow)
    return Carried(plan, -search.program.value(search.x), voltage, loading, rounds, search.time_spent)


def violation(problem: GridProblem, steps: np.ndarray, flow: PowerFlow) -> tuple[float, float]:
    """Largest violation of the clamped limits by voltages [p.u.] and loadings [percentage points].

    Parameters
    ----------
    problem : GridProblem
        The network.
    steps : int64, shape (n,)
        Step of each row; those without a solution even without charging are left out.
    flow : PowerFlow
        n rows.

    Returns
    -------
    voltage_pu, loading_percent : float
        0 where every limit holds to within its tolerance, infinite where a row has no solution.
    """
    there = problem.solvable[steps]
    if not flow.converged[there].all():
        return float("inf"), float("inf")
    bounds = problem.bounds.rows(steps)
    beyond = (
        np.maximum(bounds.lowest_pu - flow.vm_pu, flow.vm_pu - bounds.highest_pu),
        np.concatenate(
            [flow.line_percent - bounds.line_percent, flow.transformer_percent - bounds.transformer_percent], 1
        ),
    )
    voltage, loading = (float(np.nan_to_num(part[there]).max(initial=0.0)) for part in beyond)
    return (
        voltage if voltage > VOLTAGE_TOLERANCE_PU else 0.0,
        loading if loading > LOADING_TOLERANCE_PERCENT else 0.0,
    )


class _Tangents:
    """Rows in the vehicles' powers."""

    def __init__(self, search: Search) -> None:
        assert search.grid is not None
        self._grid, self._search = search.grid, search
        self.problem = search.grid.problem
        self._near = np.zeros(self.problem.n_steps, dtype=bool)  # steps that were beyond a limit
        value = abs(search.program.value(search.x))
        self.share = 0.3 * search.tolerance * max(1.0, value) / search.day.n_steps

    def flow(self, plan: Plan) -> PowerFlow:
        return self._grid.flow(plan)

    def broken_steps(self, flow: PowerFlow) -> np.ndarray:
        problem = self.problem
        broken = ~flow.converged
        if problem.limits_are_hard:
            broken |= self._most_excess(np.arange(problem.n_steps), flow) > _INSIDE
        broken &= problem.solvable
        self._near |= broken
        return np.flatnonzero(broken)

    def _most_excess(self, steps: np.ndarray, flow: PowerFlow) -> np.ndarray:
        """Violation of the worst limit of each row, in tolerances."""
        excess = np.nan_to_num(self.problem.bounds.rows(steps).stacked_excess(flow), nan=0.0)
        return np.asarray(excess.max(axis=1, initial=-np.inf))

    def missing_cost(self, flow: PowerFlow) -> np.ndarray:
        """Cost of the exact power flow less that in the programme, shape (n_steps,) [currency]."""
        prices, search = self._grid.prices, self._search
        steps = np.arange(self.problem.n_steps)
        missing = prices.short(search.x, steps, self.problem.suffered(steps, flow))
        return np.where(self.problem.solvable, missing, 0.0)

    def rows(self, plan: Plan, flow: PowerFlow, broken: np.ndarray, short: np.ndarray) -> Rows:
        """Tangents at a plan."""
        problem, powers = self.problem, self._grid.columns
        charger_kw = problem.charger_power(plan.power_kw)
        steps = np.union1d(broken, short)
        n_buses = charger_kw.shape[1]
        moved, step_kw = moved_powers(charger_kw[steps])
        every = np.repeat(steps, n_buses)
        part = problem.flow(every, moved.reshape(-1, n_buses))
        excess = problem.bounds.stacked_excess(flow)
        changed = problem.bounds.rows(every).stacked_excess(part).reshape(len(steps), n_buses, -1)
        here = {name: values[:, None] for name, values in problem.suffered(np.arange(len(excess)), flow).items()}
        there = problem.suffered(every, part)
        out = []
        for i, step in enumerate(steps.tolist()):
            at_kw = charger_kw[step]
            if not flow.converged[step]:
                out.append(powers.held(step, 0.5 * at_kw))
                continue
            slopes = np.nan_to_num((changed[i] - excess[step]) / step_kw[i][:, None])
            for c in np.flatnonzero(excess[step] > _INSIDE).tolist() if step in broken else ():
                slope = slopes[:, c]
                scale = max(float(np.abs(slope).max()), 1e-12)
                # No charging is always allowed, also if the linear model violates a limit there.
                room = max(0.0, float(slope @ at_kw) - float(excess[step, c]))
                out.append(powers.row(step, -slope / scale, -room / scale))
            for name, columns in self._grid.prices.columns.items() if step in short else ():
                amount = float(here[name][step, 0])
                slope = (there[name].reshape(len(steps), n_buses)[i] - amount) / step_kw[i]
                out.append(powers.row(step, -slope, amount - float(slope @ at_kw), int(columns[step])))
        return Rows.stack(out)

    def held(self, plan: Plan, broken: np.ndarray) -> Rows:
        """Rows that limit the buses of violated steps to a feasible share of their power.

        Steps that violated a limit in any earlier round are fixed to their powers.
        """
        problem = self.problem
        charger_kw = problem.charger_power(plan.power_kw)
        low, high = np.zeros(len(broken)), np.ones(len(broken))
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            flow = problem.flow(broken, charger_kw[broken] * middle[:, None])
            fits = flow.converged & (self._most_excess(broken, flow) <= _INSIDE)
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        charger_kw[broken] *= low[:, None]
        near = np.flatnonzero(self._near | self._grid.touched)
        return Rows.stack([self._grid.columns.held(step, charger_kw[step]) for step in near.tolist()])
