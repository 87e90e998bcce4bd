"""The linear programme that model predictive control solves in every step: arrays in, powers of this step out.

An `Ahead` (sessions, prices, limits from now on) and an objective come in. It is the programme of the cooperative
optimum on arrays, see `arrays`, solved by HiGHS, with cuts where solutions violate them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from scipy import sparse

from ev_marl.objective import Objective
from ev_marl.planning.outlook.ahead import Ahead, shifted
from ev_marl.planning.programme.arrays import ArrayDay
from ev_marl.planning.programme.condensed import Arrays, Condensed
from ev_marl.planning.programme.currents import HalfPlanes
from ev_marl.planning.programme.cuts import BOTH_KW2, HULL_TOLERANCE
from ev_marl.planning.programme.limits import FurtherRows, PowerRows
from ev_marl.planning.programme.rows import Rows
from ev_marl.planning.worth import Worth
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import SolverError
from ev_marl.support.highs import make_highs, pass_linear_program

MOST_ROUNDS = 50  # of adding tangents; each brings the curves closer
MOST_COST_OF_TAPER = 1e-3  # of energy that lies above the charge curve and so stays unmet [currency]
CONVEX_TOLERANCE = 1e-4  # relative, of convex costs that are kept by tangents [-]
CURRENT_TOLERANCE = 1e-4  # excess over current limits, relative to them, on average [-]
_LOWER, _BASIC = int(highspy.HighsBasisStatus.kLower), int(highspy.HighsBasisStatus.kBasic)
_DUAL, _PRIMAL = 1, 4  # of HiGHS's option `simplex_strategy`
_STATUSES = np.array([highspy.HighsBasisStatus(value) for value in range(5)], dtype=object)
_KEPT = ("port", "departure_step", "deadline_step", "due_kwh", "charge_kw", "discharge_kw", "rate_kw", "capacity_kwh")
_PRICES: tuple[str, ...] = ("buy_per_kwh", "sell_per_kwh", "lower_kw", "upper_kw", "base_load_kw", "local_hour")
_PRICES += ("carbon_kg_per_kwh", "requests")
_AS_PLANNED_KWH = 1e-3  # an energy that is as planned may be off by this much
_NO_KEY = -1  # of rows that the next step does not have
_ODD = 0x9E3779B97F4A7C15 - 2**64  # spreads keys over all bits


@dataclass(frozen=True)
class Decision:
    """The solution of a programme."""

    power_kw: np.ndarray  # float64 (n_here,)  of the connected vehicles, in this step
    cost: float  # of all steps from now on, as planned [currency]


@dataclass(frozen=True)
class Start:
    """Where the programme of the next step starts: the basis of a solution, and the cuts that it needed.

    It saves time, and may lead to another one of several cheapest plans. Variables and rows that both programmes have
    are found by their keys.
    """

    column_key: np.ndarray  # int64 (n_columns,)
    column_status: np.ndarray  # int64 (n_columns,)  as `highspy.HighsBasisStatus` counts
    row_key: np.ndarray  # int64 (n_rows,)
    row_status: np.ndarray  # int64 (n_rows,)
    tangent_pair: np.ndarray  # int64 (K,)  keys of the pairs, in the order of their rows
    tangent_kwh: np.ndarray  # float64 (K,)  where they touch the charge curve
    half_planes: HalfPlanes  # of current limits, with steps of the episode

    def half_planes_from(self, step: int) -> HalfPlanes:
        """Those of a step and later, with steps counted from there."""
        later = self.half_planes.step >= step
        return HalfPlanes(*(part[later] for part in self.half_planes._replace(step=self.half_planes.step - step)))


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
        How far a solution may lie above the charge curve [kWh]; less where unmet energy is so expensive that this would
        cost more than `MOST_COST_OF_TAPER`.
    convex_tolerance : float
        How far convex costs that are kept by tangents may be off, relative to all that is paid [-].
    grid : FurtherRows, optional
        The network above the site: its limits, and what terms may price.
    start : Start, optional
        That of the programme of the step before.
    block_steps : int
        Of steps later than this many, this many at a time are one block, in which a vehicle charges with constant
        power, and current limits are kept as in its first step.

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
        start: Start | None = None,
        block_steps: int = 1,
    ) -> None:
        self._block = _blocks(ahead.step, ahead.n_steps, block_steps) if block_steps > 1 else None
        self._fine = ahead.n_steps  # steps by themselves
        if self._block is not None:
            self._fine = int(np.append(np.flatnonzero(np.diff(self._block) == 0), ahead.n_steps)[0])
        self._ahead, self._grid = ahead, grid
        half_planes = None if start is None else start.half_planes_from(ahead.step)
        model = None if grid is None else grid.model
        self._day = day = ArrayDay(site, ahead, objective, model, half_planes, self._block)
        unmet_per_kwh = Worth.of(objective).unmet_per_kwh
        self._tolerance_kwh = min(tolerance_kwh, MOST_COST_OF_TAPER / max(unmet_per_kwh, MOST_COST_OF_TAPER))
        self._convex_tolerance = convex_tolerance
        self._x = np.zeros(0)
        if not day.n_columns:
            return
        cost = day.cost.copy()
        cost[day.charge_column] += waiting_per_kwh_h * day.step_h**2 * day.pair_step
        self._tangents: list[tuple[np.ndarray, np.ndarray]] = []
        self._half_planes = [day.half_planes]
        rows, keys = [day.rows], [day.row_key]
        if grid is not None:
            rows.append(self._in_powers(grid.kept()))
            keys.append(np.full(len(rows[1]), _NO_KEY))
        self._column_key, self._row_keys = day.column_key, keys
        self._condensed: Condensed | None = None
        self._give_to_highs(cost, Rows.stack(rows))
        if start is not None:
            self._start_from(start)
        self._run_rounds()
        if self._go_one_way_now():
            self._run_rounds()

    def decision(self) -> Decision:
        """Powers of the connected vehicles, and the planned cost."""
        now_kw = self.planned_kw()[0, : self._ahead.n_here]
        return Decision(now_kw, float(self._day.cost @ self._x) + self._day.offset)

    def later(self, ahead: Ahead) -> np.ndarray | None:
        """What this plan has for a later step, where nothing came otherwise than it expected.

        Then the rest of the cheapest plan is the cheapest plan of the rest. Steps after those of this plan must have no
        vehicles, and no vehicles may be expected.

        Parameters
        ----------
        ahead : Ahead
            The known or expected future at the later step.

        Returns
        -------
        float64, shape (n_here,), or None
            Powers of the connected vehicles [kW].
        """
        before, shift = self._ahead, ahead.step - self._ahead.step
        if self._grid is not None or len(before.stays) > before.n_here or len(ahead.stays) > ahead.n_here:
            return None
        if not 0 < shift < self._fine or ahead.ends != before.ends:
            return None
        there = np.flatnonzero(before.stays["departure_step"] > shift)
        expected, stays = shifted(before.stays[there], shift), ahead.stays
        if len(stays) != len(expected) or any((stays[name] != expected[name]).any() for name in _KEPT):
            return None
        n = min(ahead.n_steps, before.n_steps - shift)
        for name in _PRICES:
            told, known = getattr(ahead, name), getattr(before, name)
            if (told is None) != (known is None) or (told is not None and (told[:n] != known[shift : shift + n]).any()):
                return None
        if (ahead.currents[:, :n] != before.currents[:, shift : shift + n]).any():
            return None
        energy_kwh = np.zeros(len(before.stays))
        now = self._day.pair_step == shift - 1
        energy_kwh[self._day.pair_session[now]] = self._x[self._day.energy_column[now]]
        if (np.abs(energy_kwh[there] - stays["energy_kwh"]) > _AS_PLANNED_KWH).any():
            return None
        return np.asarray(self.planned_kw()[shift, there])

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
        columns, bounds, entries = (
            (day.lower, day.upper),
            (rows.lower, rows.upper),
            (rows.starts, rows.columns, rows.values),
        )
        if self._block is not None:
            cost, columns, bounds, entries = self._condense(cost, rows)
        status = pass_linear_program(self._highs, cost, columns, bounds, entries)
        if status == highspy.HighsStatus.kError:
            raise SolverError("HiGHS does not take the programme: a limit or an energy is not a number")

    def _condense(self, cost: np.ndarray, rows: Rows) -> tuple[Any, ...]:
        """What the solver sees of a programme with blocks: costs, bounds of columns and rows, and coefficients."""
        day = self._day
        matrix = sparse.csr_array((rows.values, rows.columns, rows.starts), shape=(len(rows), day.n_columns))
        whole = Arrays(cost, day.lower, day.upper, matrix, rows.lower, rows.upper)
        same = None if self._block is None else self._block[day.pair_step]
        self._condensed = Condensed(whole, day.pairs, day.step_h, day.charge_column, day.energy_column, same=same)
        self._column_key = day.column_key[self._condensed.kept]
        self._row_keys = [np.concatenate(self._row_keys)[self._condensed.kept_rows]]
        part = self._condensed.arrays()
        entries = part.matrix.indptr, part.matrix.indices, part.matrix.data
        return part.cost, (part.lower, part.upper), (part.row_lower, part.row_upper), entries

    def _start_from(self, start: Start) -> None:
        """Add the cuts of the step before, and take over its basis as far as both programmes have it."""
        places = _places(self._day.pair_key[self._day.taper.pair], start.tangent_pair)
        self._add_tangents(places[places >= 0], start.tangent_kwh[places >= 0])
        basis = highspy.HighsBasis()
        basis.valid = basis.alien = True  # HiGHS itself makes up for variables and rows that came or went
        basis.col_status = _statuses(self._column_key, start.column_key, start.column_status, _LOWER)
        basis.row_status = _statuses(np.concatenate(self._row_keys), start.row_key, start.row_status, _BASIC)
        self._highs.setBasis(basis)
        # What is left of the last plan nearly keeps the rows of this step, but there are other costs and tangents.
        # Blocks that begin in other places break more rows than that.
        self._highs.setOptionValue("simplex_strategy", _PRIMAL if self._condensed is None else _DUAL)

    def start(self) -> Start | None:
        """Where the programme of the next step starts; None if this one has no variables."""
        if not self._day.n_columns:
            return None
        basis, half_planes = self._highs.getBasis(), self._day.discs.tight(HalfPlanes.stack(self._half_planes), self._x)
        return Start(
            self._column_key,
            np.array([int(status) for status in basis.col_status]),
            np.concatenate(self._row_keys),
            np.array([int(status) for status in basis.row_status]),
            np.concatenate([np.zeros(0, dtype=np.int64), *(pair for pair, _ in self._tangents)]),
            np.concatenate([np.zeros(0), *(at_kwh for _, at_kwh in self._tangents)]),
            half_planes._replace(step=half_planes.step + self._ahead.step),
        )

    def _run_rounds(self) -> None:
        """Solve, add the rows that the solution violates, and solve again."""
        for _ in range(MOST_ROUNDS):
            self._highs.run()
            if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                self._highs.clearSolver()  # once more, without where it started from
                self._highs.setOptionValue("simplex_strategy", _DUAL)
                self._highs.run()
            self._highs.setOptionValue("simplex_strategy", _DUAL)  # added rows leave a basis that is dual feasible
            status = self._highs.getModelStatus()
            if status != highspy.HighsModelStatus.kOptimal:
                raise SolverError(f"HiGHS found no optimum: {self._highs.modelStatusToString(status).lower()}")
            x = np.array(self._highs.getSolution().col_value)
            self._x = x if self._condensed is None else self._condensed.point(x)
            if not self._add_broken():
                return

    def _add_broken(self) -> bool:
        """Add the rows that the solution violates; whether there are any."""
        day, x = self._day, self._x
        share = self._convex_tolerance * max(1.0, abs(float(day.cost @ x))) / max(1, len(day.convex))
        which, at_kwh = day.taper.wanted(x, self._tolerance_kwh)
        half_planes = day.discs.wanted(x, CURRENT_TOLERANCE)
        rows = Rows.stack([day.exclusive.broken(x, HULL_TOLERANCE), day.convex.broken(x, share)])
        if self._grid is not None and not len(which) and not len(half_planes.step) and not len(rows):
            beyond = self._grid.broken(self.planned_kw(), x)
            rows = rows if beyond is None else self._in_powers(beyond)
        self._add_tangents(which, at_kwh)
        self._add_half_planes(half_planes)
        self._add(rows, np.full(len(rows), _NO_KEY))
        return bool(len(which) or len(half_planes.step) or len(rows))

    def _add_tangents(self, which: np.ndarray, at_kwh: np.ndarray) -> None:
        """Tangents of the charge curves, see `TaperCuts.at`; kept for the next step."""
        pair = self._day.pair_key[self._day.taper.pair[which]]
        self._tangents.append((pair, at_kwh))
        self._add(self._day.taper.at(which, at_kwh), (pair * _ODD) ^ at_kwh.view(np.int64))

    def _add_half_planes(self, half_planes: HalfPlanes) -> None:
        """Half-planes of current limits; kept for the next step."""
        if len(half_planes.step):
            self._half_planes.append(half_planes)
            self._add(self._day.discs.at(half_planes), self._day.discs.row_key(half_planes))

    def _add(self, rows: Rows, keys: np.ndarray) -> None:
        if not len(rows):
            return
        rows = rows if self._condensed is None else self._condensed.rows(rows)
        columns, starts = rows.columns.astype(np.int32), rows.starts[:-1].astype(np.int32)
        self._highs.addRows(len(rows), rows.lower, rows.upper, len(columns), starts, columns, rows.values)
        self._row_keys.append(keys)

    def _go_one_way_now(self) -> bool:
        """If both variables of a pair are above 0, set the smaller one to 0; returns whether any pair was changed.

        For charging and discharging at once, only in this step: later steps are planned again.
        """
        day, pairs = self._day, self._day.exclusive
        decided = np.ones(len(pairs), dtype=bool)
        decided[: len(day.two_way)] = day.pair_step[day.discharge_pairs[day.two_way]] == 0
        both = decided & pairs.both(self._x, BOTH_KW2)
        closed = np.where(pairs.mostly_first(self._x), pairs.second_column, pairs.first_column)[both]
        closed = (closed if self._condensed is None else self._condensed.columns(closed)).astype(np.int32)
        if len(closed):
            self._highs.changeColsBounds(len(closed), closed, np.zeros(len(closed)), np.zeros(len(closed)))
        return bool(len(closed))


def _blocks(step: int, n_steps: int, block_steps: int) -> np.ndarray:
    """Block of each step from now, int64, shape (n_steps,): single steps, then blocks that stay where they are."""
    steps = np.arange(n_steps)
    fine = block_steps + (-step) % block_steps  # up to where a block begins
    return np.where(steps < fine, steps, fine + (steps - fine) // block_steps)


def _places(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where wanted keys stand among others, int64, shape (len(wanted),); −1 for one that is not there."""
    if not len(keys):
        return np.full(len(wanted), -1)
    order = np.argsort(keys, kind="stable")
    places = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where((keys[places] == wanted) & (wanted != _NO_KEY), places, -1)


def _statuses(keys: np.ndarray, known: np.ndarray, status: np.ndarray, otherwise: int) -> list[Any]:
    """Status of each key as HiGHS takes it: that of the same key before, if there was one."""
    places = _places(known, keys)
    return list(_STATUSES[np.where(places >= 0, status[places], otherwise)])
