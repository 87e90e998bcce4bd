"""The linear programme that model predictive control solves in every step: arrays in, powers of this step out.

An `Ahead` (sessions, prices, limits from now on) and an objective come in. It is the programme of the cooperative
optimum on arrays, see `arrays`, solved by HiGHS, with cuts where solutions violate them.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from ev_marl.objective import Objective
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.arrays import ArrayDay
from ev_marl.planning.programme.limits import FurtherRows, PowerRows
from ev_marl.planning.programme.rows import Rows
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import SolverError
from ev_marl.support.highs import make_highs

MOST_ROUNDS = 50  # of adding tangents; each brings the curves closer
HULL_TOLERANCE = 1e-7
BOTH_KW2 = 1e-6  # product of two powers of which one should be 0
CONVEX_TOLERANCE = 1e-4  # relative, of convex costs that are kept by tangents [-]


@dataclass(frozen=True)
class Decision:
    """The solution of a programme."""

    power_kw: np.ndarray  # float64 (n_here,)  of the connected vehicles, in this step
    cost: float  # of all steps from now on, as planned [currency]


class Program:
    """The programme of one step, built and solved by the constructor.

    The taper is kept as in the optimum by tangents of F(e), added where a solution breaks them by more than
    `tolerance_kwh`; that of the present step is exact, since the energy at its start is known.

    Parameters
    ----------
    site : SiteArrays
        The site.
    ahead : Ahead
        The known or expected future.
    objective : Objective
        The objective.
    waiting_per_kwh_h : float
        Added to the price of charging for every hour of delay, to choose among equally cheap steps [currency/(kWh·h)];
        the cost of a decision is without it.
    tolerance_kwh : float
        How far a solution may lie above the charge curve [kWh].
    convex_tolerance : float
        How far convex costs that are kept by tangents may be off, relative to all that is paid [-].
    grid : FurtherRows, optional
        The network above the site: its limits, and what terms may price.

    Raises
    ------
    ObjectiveError
        If a term of the objective has no expression.
    SolverError
        If a price is not finite, or if HiGHS finds no optimum.
    """

    def __init__(
        self,
        site: SiteArrays,
        ahead: Ahead,
        objective: Objective,
        *,
        waiting_per_kwh_h: float = 0.0,
        tolerance_kwh: float = 1e-4,
        convex_tolerance: float = CONVEX_TOLERANCE,
        grid: FurtherRows | None = None,
    ) -> None:
        self._ahead, self._grid = ahead, grid
        self._day = day = ArrayDay(site, ahead, objective, None if grid is None else grid.model)
        self._tolerance_kwh, self._convex_tolerance = tolerance_kwh, convex_tolerance
        self._x = np.zeros(0)
        if not day.n_columns:
            return
        cost = day.cost.copy()
        cost[day.charge_column] += waiting_per_kwh_h * day.step_h**2 * day.pair_step
        self._give_to_highs(cost, day.rows if grid is None else Rows.stack([day.rows, self._in_powers(grid.kept())]))
        self._run_rounds()
        if self._go_one_way_now():
            self._run_rounds()

    def decision(self) -> Decision:
        """Powers of the connected vehicles, and the planned cost."""
        now_kw = self.planned_kw()[0, : self._ahead.n_here]
        return Decision(now_kw, float(self._day.cost @ self._x) + self._day.offset)

    def planned_kw(self) -> np.ndarray:
        """Power of every session in every step, float64, shape (n_steps, n_sessions) [kW]."""
        day, x = self._day, self._x
        power_kw: np.ndarray = np.zeros((day.n_steps, len(day.sessions)))
        power_kw[day.pair_step, day.pair_session] = x[day.charge_column]
        out = day.discharge_pairs
        power_kw[day.pair_step[out], day.pair_session[out]] -= x[day.discharge_column]
        return power_kw

    def _in_powers(self, further: PowerRows) -> Rows:
        """Further rows on the programme's columns."""
        row, column, sign = self._day.power_entries(np.zeros_like(further.step), further.step)
        out = self._day.discharge_pairs
        session = np.concatenate([self._day.pair_session, self._day.pair_session[out]])[column]
        lifting = np.flatnonzero(further.variable >= 0)
        return Rows.of_entries(
            np.concatenate([row, lifting]),
            np.concatenate([column, further.variable[lifting]]),
            np.concatenate([sign * further.weight[row, session], np.full(len(lifting), -1.0)]),
            np.full(len(further.step), -np.inf),
            further.most_kw,
        )

    def _give_to_highs(self, cost: np.ndarray, rows: Rows) -> None:
        day = self._day
        if not np.isfinite(cost).all():  # HiGHS would treat it as a number
            raise SolverError("a price is not finite, so there is no optimum")
        self._highs = make_highs(presolve="off")  # presolving takes longer than it saves
        status = self._highs.passModel(
            day.n_columns,
            len(rows),
            len(rows.values),
            int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMinimize),
            0.0,
            cost,
            day.lower,
            day.upper,
            rows.lower,
            rows.upper,
            rows.starts.astype(np.int32),
            rows.columns.astype(np.int32),
            rows.values,
            np.zeros(day.n_columns, dtype=np.int32),  # none is an integer
        )
        if status == highspy.HighsStatus.kError:
            raise SolverError("HiGHS does not take the programme: a limit or an energy is not a number")

    def _run_rounds(self) -> None:
        """Solve, add the rows that the solution violates, and solve again."""
        for _ in range(MOST_ROUNDS):
            self._highs.run()
            status = self._highs.getModelStatus()
            if status != highspy.HighsModelStatus.kOptimal:
                raise SolverError(f"HiGHS found no optimum: {self._highs.modelStatusToString(status).lower()}")
            self._x = np.array(self._highs.getSolution().col_value)
            rows = self._broken()
            if not len(rows):
                return
            columns, starts = rows.columns.astype(np.int32), rows.starts[:-1].astype(np.int32)
            self._highs.addRows(len(rows), rows.lower, rows.upper, len(columns), starts, columns, rows.values)

    def _broken(self) -> Rows:
        day, x = self._day, self._x
        share = self._convex_tolerance * max(1.0, abs(float(day.cost @ x))) / max(1, len(day.convex))
        rows = Rows.stack(
            [
                day.taper.broken(x, self._tolerance_kwh),
                day.exclusive.broken(x, HULL_TOLERANCE),
                day.convex.broken(x, share),
            ]
        )
        if self._grid is None or len(rows):
            return rows
        beyond = self._grid.broken(self.planned_kw(), x)
        return rows if beyond is None else self._in_powers(beyond)

    def _go_one_way_now(self) -> bool:
        """If both variables of a pair are above 0, set the smaller one to 0; returns whether any pair was changed.

        For charging and discharging at once, only in this step: later steps are planned again.
        """
        day, pairs = self._day, self._day.exclusive
        decided = np.ones(len(pairs), dtype=bool)
        decided[: len(day.two_way)] = day.pair_step[day.discharge_pairs[day.two_way]] == 0
        both = decided & pairs.both(self._x, BOTH_KW2)
        closed = np.where(pairs.mostly_first(self._x), pairs.second_column, pairs.first_column)[both].astype(np.int32)
        if len(closed):
            self._highs.changeColsBounds(len(closed), closed, np.zeros(len(closed)), np.zeros(len(closed)))
        return bool(len(closed))
