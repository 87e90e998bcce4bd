"""The search for the least cost of a day: solve, add the violated rows, solve again; then binaries where needed.

Site, track and objective come in; a `Search` has the last solution and the best proven bound. It works with costs; its
callers change the sign and replay the plan.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from pyomo.common.gc_manager import PauseGC

from ev_marl.objective import Objective
from ev_marl.optimum.decoupled import decoupled_multipliers
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.grid.relaxation import GridRelaxation
from ev_marl.optimum.levels import LevelColumns
from ev_marl.optimum.model import PyomoDay
from ev_marl.optimum.solvers import Answer, make_solver
from ev_marl.planning.programme.condensed import Condensed
from ev_marl.planning.programme.currents import CurrentCuts, HalfPlanes
from ev_marl.planning.programme.cuts import (
    BOTH_KW2,
    HULL_TOLERANCE,
    ConvexCuts,
    ConvexFunctions,
    ExclusiveCuts,
    TaperCuts,
)
from ev_marl.planning.programme.rows import NO_ROWS, Rows
from ev_marl.policies.plan import Plan
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.part_load import metered_kw
from ev_marl.support.errors import SolverError
from ev_marl.world.track import Track

TAPER_TOLERANCE_KWH = 1e-7
LONG = 50_000
"""Columns from which on a programme is condensed, see `ev_marl.planning.programme.condensed`."""
MIXED_INTEGER_MARGIN = 1e-9  # relative; subtracted from a solver's own bound for its feasibility tolerances
_PATIENCE = 10  # rounds with current limits that must together improve the cost
_CURRENT_SHARE = 0.01  # of the tolerance: allowed mean excess of currents over their limits [-]
_MOST_ROUNDS = 200
_STALLED = 3  # rounds with the network must together improve the cost by more than this share, else the search ends
_STALLED_GAIN = 5e-5


@dataclass(frozen=True)
class Stage:
    """One formulation of the network on the way to the last one."""

    name: str
    bound: float  # on the return, proven with it [currency]
    seconds: float  # since the start


class Search:
    """The programme of one day, and bounds of its least cost.

    Parameters
    ----------
    site : SiteArrays
        The site.
    track : Track
        The day.
    objective : Objective
        What is minimised.
    solver : str
        "highs" or a name of Pyomo's.
    tolerance : float
        Relative gap allowed between lower and upper value of convex costs, and in mixed-integer searches [-].
    time_limit : float
        Limit on the time of all solver calls together [s].
    first : bool, shape (n_exclusive,), optional
        For each pair of variables of which one is 0, in the order of `exclusive`: whether only the first one may be
        above 0, or only the second one.
    charging : pair of float64, shape (N,), optional
        Lower and upper bound of the charging power of each pair [kW].
    grid : GridProblem, optional
        The network.

    Attributes
    ----------
    least_cost : float
        Proven lower bound of the cost [currency].
    x : float64, shape (n_columns,)
        Last solution; a point without charging until there is one.
    out_of_time : bool
        Whether the solver stopped at the time limit.
    relaxed_x : float64, shape (n_columns,)
        Last solution while it was `proving`.
    multipliers : float64, shape (n_rows,), or None
        Of the last linear program.
    grid : GridRelaxation or None
        The network in the program.
    proving : bool
        Whether every row so far holds for every policy.
    stages : list of Stage
        The bound of each formulation of the network.
    long : bool
        Whether the programme is condensed for the solver.
    levels : LevelColumns or None
        The levels of ports, once they are in the programme.
    """

    def __init__(
        self,
        site: SiteArrays,
        track: Track,
        objective: Objective,
        *,
        solver: str,
        tolerance: float,
        time_limit: float,
        first: np.ndarray | None = None,
        charging: tuple[np.ndarray, np.ndarray] | None = None,
        grid: GridProblem | None = None,
    ) -> None:
        self._begin = time.perf_counter()
        self.track, self.objective = track, objective
        with PauseGC():  # there are thousands of small objects, and none is garbage
            self.day = PyomoDay(site, track, objective, grid)
            if first is not None:
                self.day.go_one_way(first)
            if charging is not None:
                self.day.keep_charging(*charging)
            self.program = self.day.program
            energy, self.long = self.program.columns(self.day.energy), self.program.n_columns >= LONG
            self.taper = TaperCuts(self.day.pairs, self.day.step_h, energy, corners=not self.long)
            self.exclusive = self._exclusive()
            self.convex = ConvexCuts(
                [
                    ConvexFunctions(
                        self.program.columns(rows.epigraph), self.program.columns(rows.argument), rows.value, rows.slope
                    )
                    for rows in self.day.convex_rows
                ],
                self.program.cost,
            )
            self.discs = CurrentCuts(
                self.day,
                self.program.columns(self.day.charge),
                self.program.columns(self.day.discharge),
                limits_are_hard=objective.limits_are_hard,
            )
            self._half_planes: list[tuple[int, HalfPlanes]] = []  # in the programme, and the first row of each part
            if len(rows := self.taper.first()):
                self.program.add_rows(rows)
            if len(rows := self._discs_at(self.discs.first, 0)):
                self.program.add_rows(rows)
        self.grid = None if grid is None else GridRelaxation(self.day, self.program, grid)
        self.tolerance = tolerance
        self.least_cost = -math.inf
        self.dual_value = -math.inf
        self.multipliers: np.ndarray | None = None
        self.status = "not solved"
        self.source = ""
        self.rounds = self.cuts = 0
        self.binary_pairs = np.zeros(len(self.exclusive), dtype=bool)
        self.stages: list[Stage] = []
        self.levels: LevelColumns | None = None
        self.proving = True
        self.out_of_time = self._solved = False
        self.x = self.relaxed_x = self._idle()
        self._condensed = self._what_is_seen()
        self._solver = make_solver(solver, self.program, tolerance=tolerance, condensed=self._condensed)
        self._deadline = time.perf_counter() + time_limit

    @property
    def time_left(self) -> float:
        """Remaining time [s]."""
        return self._deadline - time.perf_counter()

    @property
    def time_spent(self) -> float:
        """Time since the start [s]."""
        return time.perf_counter() - self._begin

    @property
    def mixed_integer(self) -> bool:
        """Whether there are integers."""
        return bool(self.program.integer.any())

    def closed(self, achieved: float) -> bool:
        """Whether a return reaches the bound, within the tolerance."""
        return -self.least_cost - achieved <= self.tolerance * max(1.0, abs(self.least_cost))

    def run(self) -> None:
        """Solve, and add violated rows, until there are none or time is up.

        Raises
        ------
        SolverError
            If the solver fails for another reason than the time limit.
        """
        self._settle()
        if self.grid is None:
            return
        self.stages.append(Stage("limits dropped", -self.least_cost, self.time_spent))
        if not self.grid.problem.relaxable:
            return
        for formulation, cones in (("linear branch flow", False), ("cones", True)):
            self.grid.cones, self.grid.wanted = cones, True
            self._settle()
            while self.time_left > 0.0 and self.grid.grow(self.x, self.plan(), self._share()):
                self._solver.start_anew()
                self._settle()
            self.stages.append(Stage(formulation, -self.least_cost, self.time_spent))

    def estimate(self, rows: Rows) -> None:
        """Continue with rows that policies may violate: from now on nothing is proven; `least_cost` is kept."""
        self.proving = False
        if self.grid is not None:
            self.grid.settled = True
        if len(rows):
            self.program.add_rows(rows)
            self._solver.add_rows(rows)
        self._settle()

    def _settle(self) -> None:
        begin, values = self.rounds, [-math.inf]
        while self.run_once() and self.rounds < begin + _MOST_ROUNDS:
            values.append(self.program.value(self.x))
            network = self.grid is not None and self.grid.wanted
            if network and len(values) > _STALLED and values[-1] - values[-1 - _STALLED] < self._stalled_gain():
                break  # still a bound: every row holds, and a row that is missing only leaves it higher
            if (
                len(self.discs)
                and len(values) > _PATIENCE
                and values[-1] - values[-1 - _PATIENCE] < 0.1 * self._share()
            ):
                break  # of equally cheap plans each exceeds a current limit elsewhere, by little

    def keep_levels(self) -> None:
        """From now on, ports grant levels only, by integers; see `LevelColumns`."""
        day, program = self.day, self.program
        energy = program.columns(day.energy)
        if self._condensed is not None:
            energy = np.where(self._condensed.columns(energy) >= 0, energy, -1)
        self.levels = LevelColumns(day, program, program.columns(day.charge), program.columns(day.discharge), energy)
        self._solver.add_columns(self.levels.columns)
        self._solver.add_rows(self.levels.rows)

    def start_from(self, plan: Plan) -> None:
        """Begin the next search over levels with a plan of levels."""
        assert self.levels is not None
        pairs, levels = self.day.pairs, self.levels
        power_kw = plan.power_kw[pairs.step[levels.pair], pairs.port[levels.pair]]
        self._solver.start_from(*levels.values_of(power_kw))

    def charging_of(self, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of the charging powers, shape (N,), for plans of levels like this one [kW].

        What it charges is at its least power or above, or where the vehicle takes less, at any; else there is none.
        """
        pairs, upper = self.day.pairs, self.program.upper[self.program.columns(self.day.charge)]
        power_kw, least_kw = plan.power_kw[pairs.step, pairs.port], self.day.site.port_levels_kw[0, pairs.port]
        leveled = self.day.site.is_leveled[pairs.port]
        least = np.where(leveled & (power_kw >= least_kw), np.minimum(least_kw, power_kw), 0.0)
        return least, np.where(leveled & (power_kw <= 0.0), 0.0, upper)

    @property
    def rows_can_be_missing(self) -> bool:
        """Whether rows are added where a solution violates them."""
        return bool(len(self.discs) or len(self.taper.pair) or len(self.convex) or len(self.exclusive))

    def run_once(self, most_s: float = math.inf) -> bool:
        """Solve, and add the rows that the solution violates; False if there are none or the solver did not finish.

        Parameters
        ----------
        most_s : float
            Time for the solver, if less than what is left [s]; what it found until then counts.

        Raises
        ------
        SolverError
            If the solver fails for another reason than the time limit.
        """
        answer = self._solver.solve(min(most_s, self.time_left))
        self.rounds += 1
        self._learn(answer)
        part = answer.x is not None and self.levels is not None
        rows = self._broken() if answer.optimal or part else Rows.stack([])
        if not len(rows):
            return False
        self.cuts += len(rows)
        self.program.add_rows(rows)
        self._solver.add_rows(rows)
        return True

    def both(self) -> np.ndarray:
        """Exclusive pairs of which both are above 0 in the last solution, bool, shape (n_exclusive,)."""
        return self.exclusive.both(self.x, BOTH_KW2)

    def mostly_first(self) -> np.ndarray:
        """Whether the first of each exclusive pair is larger, weighted, in the last solution, bool, (n_exclusive,)."""
        return self.exclusive.mostly_first(self.x)

    def exclude(self, which: np.ndarray) -> None:
        """From now on, one of each given pair is 0, by a binary: x <= X·z, y <= Y·(1 − z)."""
        pairs, n = self.exclusive, int(which.sum())
        columns = self.program.add_columns("first", np.zeros(n), np.ones(n), integer=True)
        self._solver.add_columns(columns)
        first_most, second_most = pairs.first_most[which], pairs.second_most[which]
        sides = [
            (pairs.first_column[which], -first_most, np.zeros(n)),
            (pairs.second_column[which], second_most, second_most),
        ]
        rows = Rows.stack(
            [
                Rows.of_columns(
                    np.column_stack([column, columns]),
                    np.column_stack([np.ones(n), coefficient]),
                    np.full(n, -np.inf),
                    upper,
                )
                for column, coefficient, upper in sides
            ]
        )
        self.program.add_rows(rows)
        self._solver.add_rows(rows)
        self.binary_pairs |= which

    def _what_is_seen(self) -> Condensed | None:
        """What the solver sees of a long programme."""
        if not self.long:
            return None
        charge, energy = self.program.columns(self.day.charge), self.program.columns(self.day.energy)
        return Condensed(
            self.program, self.day.pairs, self.day.step_h, charge, energy, self.program.first_row["balance"]
        )

    def _exclusive(self) -> ExclusiveCuts:
        """Those of the day, on the program's columns."""
        first, second = (self.program.columns([pair[side] for pair in self.day.exclusive]) for side in (0, 1))
        weight = np.array([pair[2] for pair in self.day.exclusive], dtype=np.float64)
        # A variable that was fixed to 0 (`go_one_way`) is not part of the row of its pair.
        most = np.where(self.program.upper > 0.0, self.program.upper, np.inf)
        return ExclusiveCuts(first, second, most[first], most[second], weight)

    def plan(self) -> Plan:
        """The last solution as powers and energies; net powers of the battery where a pair charges and discharges."""
        day, pairs, stays = self.day, self.day.pairs, self.day.pairs.stays
        energy_kwh = np.clip(self.x[self.program.columns(day.energy)], pairs.least_kwh, pairs.end_most_kwh)
        before_kwh = np.where(pairs.previous >= 0, energy_kwh[pairs.previous], stays["energy_kwh"][pairs.session])
        gain_kw = (energy_kwh - before_kwh) / day.step_h
        charge_efficiency = stays["charge_efficiency"][pairs.session]
        discharge_efficiency = stays["discharge_efficiency"][pairs.session]
        shape = (day.n_steps, day.site.n_ports)
        plan = Plan(np.zeros(shape), np.full(shape, np.nan))
        plan.power_kw[pairs.step, pairs.port] = np.where(
            gain_kw >= 0.0, gain_kw / charge_efficiency, gain_kw * discharge_efficiency
        )
        plan.energy_kwh[pairs.step, pairs.port] = energy_kwh
        if day.site.has_part_load:
            efficiency = np.broadcast_to(day.site.charge_efficiency, shape)
            metered_kw(plan.power_kw, efficiency, day.site.part_load)
        return plan

    def shadow_prices(self) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers of the import and the export limits, >= 0, float64, shape (n_steps, n_groups) [currency/kW]."""
        shape = (2, self.day.n_steps, self.day.site.n_groups)
        limits = self.program.stated.get("group_limit")
        known = limits is None or self.multipliers is not None
        imports, exports = np.full(shape, 0.0 if known else np.nan)
        if limits is not None and self.multipliers is not None:
            step, group = np.array(limits.index, dtype=np.int64).reshape(-1, 2).T
            first = self.program.first_row["group_limit"]
            multipliers = self.multipliers[first : first + len(step)]
            imports[step, group] = np.maximum(0.0, -multipliers)
            exports[step, group] = np.maximum(0.0, multipliers)
        return imports, exports

    def current_prices(self) -> np.ndarray:
        """What one more ampere of each current limit is worth, >= 0, float64, shape (n_steps, R) [currency/A]."""
        shape = (self.day.n_steps, self.day.site.n_currents)
        if not len(self.discs):
            return np.zeros(shape)
        if self.multipliers is None:
            return np.full(shape, np.nan)
        y = self.multipliers
        parts = [part for part in self._half_planes if part[0] < len(y)]  # the last ones may have come later
        rows = [first + np.arange(len(planes.step)) for first, planes in parts]
        return self.discs.prices(
            HalfPlanes.stack([planes for _, planes in parts]), np.concatenate([y[:0], *(y[row] for row in rows)])
        )

    def _idle(self) -> np.ndarray:
        """The columns without charging; variables of terms are at their bounds."""
        pairs = self.day.pairs
        x: np.ndarray = np.clip(0.0, self.program.lower, self.program.upper)
        arrival_kwh = pairs.stays["energy_kwh"][pairs.session]
        x[self.program.columns(self.day.energy)] = np.clip(arrival_kwh, pairs.least_kwh, pairs.end_most_kwh)
        return x

    def _learn(self, answer: Answer) -> None:
        if answer.x is not None:
            self.x = answer.x
        elif not answer.out_of_time:
            raise SolverError(f"solver '{self._solver.name}' gave no solution: {answer.status}")
        self.status, self.out_of_time = answer.status, answer.out_of_time
        if not self.proving:
            return
        self.relaxed_x = self.x
        if answer.multipliers is not None:
            self.multipliers = answer.multipliers
            self.dual_value = self.program.dual_value(answer.multipliers)
            self._prove(self.dual_value, "dual value, recomputed from the row multipliers")
        else:
            proven = answer.claimed_bound - MIXED_INTEGER_MARGIN * max(1.0, abs(answer.claimed_bound))
            self._prove(proven, f"the bound that solver '{self._solver.name}' reports")
        self._solved |= answer.optimal
        if answer.out_of_time and not self._solved:
            self._prove_without_solver()

    def _prove_without_solver(self) -> None:
        """A bound without a solution of the whole programme."""
        nothing = self.program.dual_value(np.zeros(self.program.matrix.shape[0]))
        self._prove(nothing, "the bounds of the variables alone: the solver had no better multipliers in time")
        apart = decoupled_multipliers(self.program, self._owner(), self._idle())
        self._prove(
            self.program.dual_value(apart),
            "every vehicle by itself, without shared limits: the solver had no better multipliers in time",
        )

    def _owner(self) -> np.ndarray:
        """Session of each column, −1: of no single session."""
        day, pairs = self.day, self.day.pairs
        owner = np.full(self.program.n_columns, -1)
        for variables, session in (
            (day.charge, pairs.session),
            (day.discharge, pairs.session[pairs.discharge]),
            (day.energy, pairs.session),
            (day.shortfall, day.owed_sessions),
            (day.lost, pairs.session[day.lossy_pairs]),
        ):
            columns = self.program.columns(variables)
            owner[columns[columns >= 0]] = session[columns >= 0]
        return owner

    def _prove(self, cost: float, source: str) -> None:
        """Keep a lower bound of the cost if it is the highest so far."""
        if cost > self.least_cost:
            self.least_cost, self.source = cost, source

    def _broken(self) -> Rows:
        share = self._share()
        taper = self.taper.broken(self.x, TAPER_TOLERANCE_KWH)
        return Rows.stack(
            [
                taper,
                self._discs_at(self.discs.wanted(self.x, _CURRENT_SHARE * self.tolerance), len(taper)),
                self.exclusive.broken(self.x, HULL_TOLERANCE),
                self.convex.broken(self.x, share / max(1, len(self.convex))),
                *([] if self.grid is None else [self.grid.broken(self.x, share / self.day.n_steps)]),
            ]
        )

    def _discs_at(self, half_planes: HalfPlanes, after: int) -> Rows:
        """The rows of half-planes, which will be appended to the programme after so many others."""
        if not len(half_planes.step):
            return NO_ROWS
        self._half_planes.append((len(self.program.row_lower) + after, half_planes))
        return self.discs.at(half_planes)

    def _share(self) -> float:
        """Tolerance of all tangents of one kind together [currency]."""
        return 0.1 * self.tolerance * max(1.0, abs(self.program.value(self.x)))

    def _stalled_gain(self) -> float:
        """Least improvement by rounds with the network [currency]."""
        return max(self.tolerance, _STALLED_GAIN) * max(1.0, abs(self.program.value(self.x)))
