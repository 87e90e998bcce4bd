"""Interfaces to solvers: HiGHS with arrays in one call, all others through Pyomo.

A `LinearProgram` comes in, an `Answer` goes out: a point, row multipliers, and the status and bound of the solver. Rows
may be added between two calls; HiGHS then starts from its last basis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import StringIO
from typing import Any, Protocol

import highspy
import numpy as np
import pyomo.environ as pyo
from pyomo.common.errors import ApplicationError
from pyomo.common.log import LoggingIntercept
from pyomo.common.tee import capture_output
from pyomo.opt import SolverStatus, TerminationCondition

from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.planning.programme.condensed import Condensed
from ev_marl.planning.programme.rows import Rows
from ev_marl.support.errors import SolverError
from ev_marl.support.highs import make_highs

_SMALL = 500  # columns of a linear programme that is solved sooner than presolve could make it smaller
_INTEGER_TOLERANCE = 1e-9

# Names of the option for the relative gap of a mixed-integer search; other solvers keep their default.
_GAP_OPTION = {
    "appsi_highs": "mip_rel_gap",
    "scip_direct": "limits/gap",
    "gurobi_direct": "MIPGap",
    "appsi_gurobi": "MIPGap",
    "cplex_direct": "mip_tolerances_mipgap",
    "cbc": "ratioGap",
    "glpk": "mipgap",
}


@dataclass(frozen=True)
class Answer:
    """The result of a solver."""

    x: np.ndarray | None  # float64 (n_columns,)  a point, None if there is none
    multipliers: np.ndarray | None  # float64 (n_rows,)  of the rows, None for a mixed-integer program
    claimed_bound: float  # lower bound of the cost by the solver, −inf: none
    optimal: bool  # whether it finished
    out_of_time: bool  # whether it stopped at its time limit: point and multipliers may be missing or far from optimal
    status: str  # its status as text


_NOTHING_TO_SOLVE = Answer(np.zeros(0), np.zeros(0), -math.inf, True, False, "optimal")  # of a day without vehicles


class Solver(Protocol):
    """Solves one programme repeatedly while rows and columns are added."""

    name: str

    def add_rows(self, rows: Rows) -> None:
        """Add rows that were just appended to the programme."""
        ...

    def add_columns(self, columns: np.ndarray) -> None:
        """Take over columns that were just appended to the program, in no row yet."""
        ...

    def start_from(self, columns: np.ndarray, values: np.ndarray) -> None:
        """Begin the next mixed-integer search with a point of which some columns are known.

        Parameters
        ----------
        columns : int64, shape (n,)
            All integer columns, and others.
        values : float64, shape (n,)
            Their values.
        """
        ...

    def start_anew(self) -> None:
        """Take over the program with columns that were just appended to it, and their rows."""
        ...

    def solve(self, time_limit: float) -> Answer:
        """Solve the program as it stands.

        Parameters
        ----------
        time_limit : float
            Time limit [s].
        """
        ...


def make_solver(name: str, program: LinearProgram, *, tolerance: float, condensed: Condensed | None = None) -> Solver:
    """The interface to the solver called `name`.

    Parameters
    ----------
    name : str
        "highs", or a name that Pyomo's `SolverFactory` knows ("appsi_highs", "scip_direct", "gurobi_direct", "glpk").
    program : LinearProgram
        The programme.
    tolerance : float
        Relative gap at which a mixed-integer search may stop [-].
    condensed : Condensed, optional
        What HiGHS sees of a long programme.

    Raises
    ------
    SolverError
        If it is unknown or not installed.
    """
    if name == "highs":
        return HighsSolver(program, tolerance, condensed)
    return PyomoSolver(name, program, tolerance)


class HighsSolver:
    """HiGHS, given the arrays directly: dual simplex, one thread, fixed seed, silent."""

    name = "highs"

    def __init__(self, program: LinearProgram, tolerance: float, condensed: Condensed | None = None) -> None:
        self._program, self._condensed = program, condensed
        self._start: tuple[np.ndarray, np.ndarray] | None = None
        self._highs: Any = make_highs(
            mip_rel_gap=0.5 * tolerance,
            mip_abs_gap=_INTEGER_TOLERANCE,
            mip_feasibility_tolerance=_INTEGER_TOLERANCE,
        )
        self.start_anew()

    def start_anew(self) -> None:
        """Pass the whole programme, without the last basis."""
        program = self._program if self._condensed is None else self._condensed.arrays()
        columns = program.matrix.tocsc()
        lp = highspy.HighsLp()
        lp.num_row_, lp.num_col_ = program.matrix.shape
        lp.col_cost_, lp.offset_ = program.cost, self._program.offset
        lp.col_lower_, lp.col_upper_ = program.lower, program.upper
        lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = columns.indptr, columns.indices
        lp.a_matrix_.value_ = columns.data
        self._highs.passModel(lp)
        self._mark_integers(np.flatnonzero(self._program.integer))

    def add_rows(self, rows: Rows) -> None:
        """Take over rows that were just appended to the program."""
        rows = rows if self._condensed is None else self._condensed.rows(rows)
        columns, starts = rows.columns.astype(np.int32), rows.starts[:-1].astype(np.int32)
        self._highs.addRows(len(rows), rows.lower, rows.upper, len(columns), starts, columns, rows.values)

    def add_columns(self, columns: np.ndarray) -> None:
        """Take over columns that were just appended to the program, in no row yet."""
        self._highs.addVars(len(columns), self._program.lower[columns], self._program.upper[columns])
        self._mark_integers(columns[self._program.integer[columns]])

    def start_from(self, columns: np.ndarray, values: np.ndarray) -> None:
        """Begin the next mixed-integer search with a point of which some columns are known; HiGHS finds the others."""
        self._start = self._seen(columns).astype(np.int32), values

    def _seen(self, columns: np.ndarray) -> np.ndarray:
        """Numbers of columns as the solver sees them."""
        return columns if self._condensed is None else self._condensed.columns(columns)

    def _mark_integers(self, columns: np.ndarray) -> None:
        if len(columns):
            kinds = np.full(len(columns), int(highspy.HighsVarType.kInteger), dtype=np.uint8)
            self._highs.changeColsIntegrality(len(columns), self._seen(columns).astype(np.int32), kinds)

    def solve(self, time_limit: float) -> Answer:
        """Solve the program as it stands."""
        if not self._program.n_columns:
            return _NOTHING_TO_SOLVE
        mixed = bool(self._program.integer.any())
        presolve = mixed or self._program.n_columns > _SMALL
        self._highs.setOptionValue("presolve", "choose" if presolve else "off")
        # HiGHS counts the time of all its linear programs together, but starts anew for every mixed-integer search.
        spent = 0.0 if mixed else self._highs.getRunTime()
        self._highs.setOptionValue("time_limit", spent + max(0.0, time_limit))
        if mixed and self._start is not None:
            self._highs.setSolution(len(self._start[0]), *self._start)
        self._highs.run()
        if self._highs.getModelStatus() == highspy.HighsModelStatus.kUnknown:
            self._highs.clearSolver()  # the basis of the round before led nowhere: once more without it
            self._highs.run()
        status, info, solution = self._highs.getModelStatus(), self._highs.getInfo(), self._highs.getSolution()
        # After scaling back, an optimal point may break a row by a bit more than the tolerance: it still is the point.
        feasible = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
        has_point = feasible or status == highspy.HighsModelStatus.kOptimal
        x = np.array(solution.col_value) if has_point else None
        multipliers = np.array(solution.row_dual) if solution.dual_valid and not mixed else None
        if self._condensed is not None:
            x = x if x is None else self._condensed.point(x)
            multipliers = multipliers if multipliers is None else self._condensed.multipliers(multipliers)
        return Answer(
            x=x,
            multipliers=multipliers,
            claimed_bound=info.mip_dual_bound if mixed else -math.inf,
            optimal=status == highspy.HighsModelStatus.kOptimal,
            out_of_time=status == highspy.HighsModelStatus.kTimeLimit,
            status=self._highs.modelStatusToString(status).lower(),
        )


class PyomoSolver:
    """Any solver of Pyomo's, by the name that `SolverFactory` knows."""

    def __init__(self, name: str, program: LinearProgram, tolerance: float) -> None:
        self.name = name
        self._program = program
        self._tolerance = 0.5 * tolerance
        with LoggingIntercept(StringIO(), "pyomo"):
            self._solver = pyo.SolverFactory(name)
            try:
                available = bool(self._solver.available(exception_flag=False))
            except ApplicationError:
                available = False
        if not available:
            raise SolverError(
                f"solver '{name}' is not available: Pyomo does not know it, or its program or Python package is not "
                "installed (for example `pip install pyscipopt` for scip_direct, `pip install gurobipy` for "
                "gurobi_direct, `apt install glpk-utils` for glpk). 'highs' comes with ev_marl."
            )

    def add_rows(self, rows: Rows) -> None:
        """Nothing to do: the next solve completes the Pyomo model."""

    def start_anew(self) -> None:
        """Nothing to do: the columns are in the Pyomo model."""

    def add_columns(self, columns: np.ndarray) -> None:
        """Set the gap of a mixed-integer search; the variables are in the Pyomo model."""
        if not self._program.integer[columns].any():
            return
        self._ask_no_multipliers()
        if self.name in _GAP_OPTION:
            self._solver.options[_GAP_OPTION[self.name]] = self._tolerance

    def start_from(self, columns: np.ndarray, values: np.ndarray) -> None:
        """Nothing to do: not every solver of Pyomo's takes a point to start from."""

    def solve(self, time_limit: float) -> Answer:
        """Solve the program as it stands."""
        if not self._program.n_columns:
            return _NOTHING_TO_SOLVE
        constraints, model = self._program.complete_model(), self._program.model
        with capture_output():
            try:
                results = self._solver.solve(model, load_solutions=False, timelimit=max(1.0, time_limit))
            except NotImplementedError:  # SCIP raises this when asked for multipliers
                self._ask_no_multipliers()
                results = self._solver.solve(model, load_solutions=False, timelimit=max(1.0, time_limit))
            condition = results.solver.termination_condition
            out_of_time = condition == TerminationCondition.maxTimeLimit
            fine = results.solver.status in (SolverStatus.ok, SolverStatus.aborted)
            finished = condition == TerminationCondition.optimal or out_of_time
            if not fine or not finished or not len(results.solution):
                return Answer(None, None, -math.inf, False, out_of_time, str(condition))
            model.solutions.load_from(results)
        point = [variable.value for variable in self._program.variables]
        dual = model.component("dual")
        duals = [None] if dual is None else [dual.get(constraint) for constraint in constraints]
        lower_bound = results.problem.lower_bound
        return Answer(
            x=None if any(value is None for value in point) else np.array(point, dtype=np.float64),
            multipliers=None if None in duals else np.array(duals, dtype=np.float64),
            claimed_bound=float(lower_bound) if isinstance(lower_bound, int | float) else -math.inf,
            optimal=condition == TerminationCondition.optimal,
            out_of_time=out_of_time,
            status=str(condition),
        )

    def _ask_no_multipliers(self) -> None:
        """Mixed-integer programmes have none, and some solvers raise an error when asked for them."""
        if self._program.model.component("dual") is not None:
            self._program.model.del_component("dual")
