"""The linear programme that model predictive control solves in every step: arrays in, powers of this step out.

What is ahead (sessions, prices, limits from now on) and what counts come in. It is the programme of the cooperative
optimum, written straight into arrays for HiGHS, because a model of objects takes longer to build than to solve.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.blocks import Rows
from ev_marl.planning.programme.charges import Charges
from ev_marl.planning.programme.cuts import flow_slope
from ev_marl.planning.programme.pairs import Pairs
from ev_marl.policies.mpc.grid import GridRows, PowerRows
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import energy_after
from ev_marl.support.errors import SolverError
from ev_marl.support.highs import make_highs

MOST_ROUNDS = 50  # of adding tangents; each brings the curves closer
HULL_TOLERANCE = 1e-7
SIMULTANEOUS_KW2 = 1e-6
FIRST_TANGENTS = 5  # of each step's quadratic cost


@dataclass(frozen=True)
class Decision:
    """What a programme came to."""

    power_kw: np.ndarray  # float64 (n_here,)  of the vehicles that are there, in this step
    cost: float  # of all steps from now on, as planned [currency]


class Program:
    """The programme of one step, built and solved by the constructor.

    Columns are the powers c and d and the energy e at the end of every (session, step) pair, the shortfall of every
    session, and what the terms of the objective need: overloads, the peak, squared deviations. The taper is kept as in
    the optimum by tangents of F(e), added where a solution breaks them by more than `tolerance_kwh`; that of the
    present step is exact, since the energy at its start is known.

    Parameters
    ----------
    site : SiteArrays
        The site.
    ahead : Ahead
        What is known or expected from now on.
    charges : Charges
        What counts.
    waiting_per_kwh_h : float
        Added to the price of charging for every hour that it is put off, to choose among equally cheap steps
        [currency/(kWh·h)]; the cost of a decision is without it.
    tolerance_kwh : float
        How far a solution may lie above the charge curve [kWh].
    network : GridRows, optional
        Limits of the network above the site.

    Raises
    ------
    SolverError
        If a price is not finite, or if HiGHS finds no optimum.
    """

    def __init__(
        self,
        site: SiteArrays,
        ahead: Ahead,
        charges: Charges,
        *,
        waiting_per_kwh_h: float = 0.0,
        tolerance_kwh: float = 1e-4,
        network: GridRows | None = None,
    ) -> None:
        self._network = network
        self._site, self._ahead, self._charges = site, ahead, charges
        self._pairs = pairs = Pairs.of_sessions(site, ahead.limits, ahead.n_steps, ahead.step_h)
        self._tolerance_kwh = tolerance_kwh
        n, n_discharge = len(pairs), len(pairs.discharge)
        self._discharge0, self._energy0, self._shortfall0 = n, n + n_discharge, 2 * n + n_discharge
        self._rows = Rows()
        self._columns: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # cost, lower, upper
        self._n_columns = 0
        self._offset = 0.0
        self._add_powers()
        self._add_balance()
        self._add_owed()
        self._add_limits()
        if charges.peak_per_kw > 0.0:
            self._add_peak()
        self._deviation0, self._total0 = self._n_columns, self._n_columns
        if ahead.target_kw is not None and charges.tracking_weight > 0.0:
            self._add_tracking(ahead.target_kw)
        self._add_taper()
        if network is not None:
            self._put_grid(self._rows, network.kept())
        self._solve(waiting_per_kwh_h)

    def decision(self) -> Decision:
        """Powers of the vehicles that are there, and the planned cost."""
        now_kw = self.planned_kw()[0, : self._ahead.n_here]
        return Decision(now_kw, float(self._cost @ self._x) + self._offset)

    def planned_kw(self) -> np.ndarray:
        """Power of every session in every step, float64, shape (n_steps, n_sessions) [kW]."""
        pairs, x = self._pairs, self._x
        power_kw: np.ndarray = np.zeros((self._ahead.n_steps, len(self._ahead.limits)))
        power_kw[pairs.step, pairs.session] = x[: len(pairs)]
        out = pairs.discharge
        power_kw[pairs.step[out], pairs.session[out]] -= x[self._discharge0 : self._energy0]
        return power_kw

    def _add_columns(self, cost: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> int:
        first = self._n_columns
        self._n_columns += len(cost)
        self._columns.append((cost, lower, upper))
        return first

    def _add_powers(self) -> None:
        ahead, charges, pairs, limits = self._ahead, self._charges, self._pairs, self._ahead.limits
        zeros, step, session = np.zeros(len(pairs)), pairs.step, pairs.session
        out = pairs.discharge
        buy = ahead.step_h * (charges.energy_weight * ahead.buy_per_kwh + charges.wear_per_kwh)
        sell = ahead.step_h * (charges.wear_per_kwh - charges.energy_weight * ahead.sell_per_kwh)
        self._add_columns(buy[step], zeros, limits["charge_kw"][session])
        self._add_columns(sell[step[out]], zeros[out], limits["discharge_kw"][session[out]])
        self._add_columns(zeros, pairs.least_kwh, pairs.end_most_kwh)

    def _add_balance(self) -> None:
        """e' = e + Δ(η⁺c − d/η⁻)."""
        pairs, limits, step_h = self._pairs, self._ahead.limits, self._ahead.step_h
        later, pair = np.flatnonzero(pairs.previous >= 0), np.arange(len(pairs))
        start_kwh = np.where(pairs.previous >= 0, 0.0, limits["energy_kwh"][pairs.session])
        row = self._rows.begin(start_kwh, start_kwh)
        self._rows.put(row, self._energy0 + pair, 1.0)
        self._rows.put(row[later], self._energy0 + pairs.previous[later], -1.0)
        self._rows.put(row, pair, -step_h * limits["charge_efficiency"][pairs.session])
        drain = step_h / limits["discharge_efficiency"][pairs.session[pairs.discharge]]
        self._rows.put(row[pairs.discharge], self._discharge0 + np.arange(len(pairs.discharge)), drain)

    def _add_owed(self) -> None:
        """shortfall + energy at the deadline >= due."""
        pairs, limits = self._pairs, self._ahead.limits
        least_kwh = np.where(limits["discharge_kw"] > 0.0, limits["floor_kwh"], limits["energy_kwh"])
        owed = np.flatnonzero((pairs.last >= 0) & (limits["due_kwh"] > least_kwh))
        price = np.full(len(owed), self._charges.unmet_per_kwh)
        first = self._add_columns(price, np.zeros(len(owed)), (limits["due_kwh"] - least_kwh)[owed])
        row = self._rows.begin(limits["due_kwh"][owed], np.full(len(owed), np.inf))
        self._rows.put(row, first + np.arange(len(owed)), 1.0)
        self._rows.put(row, self._energy0 + pairs.last[owed], 1.0)

    def _put_totals(self, row: np.ndarray, step: np.ndarray, group: np.ndarray, factor: float) -> None:
        """Add factor·(Σ charge − Σ discharge below each group at each step) to rows."""
        self._put_powers(self._rows, row, step, group, np.full((1, len(self._ahead.limits)), factor))

    def _put_grid(self, rows: Rows, network: PowerRows) -> None:
        """Limits of the network, in the powers of a step's sessions."""
        row = rows.begin(np.full(len(network.step), -np.inf), network.most_kw)
        self._put_powers(rows, row, network.step, np.zeros_like(network.step), network.weight)

    def _put_powers(self, rows: Rows, row: np.ndarray, step: np.ndarray, group: np.ndarray, weight: np.ndarray) -> None:
        """Add Σ weight·(charge − discharge) below each group at each step to rows; weights by row, or one for all."""
        pairs = self._pairs
        of_row = np.broadcast_to(weight, (len(row), weight.shape[1]))
        for first, end, column0, sign, session in (
            (pairs.group_first, pairs.group_end, 0, 1.0, pairs.session),
            (
                pairs.group_first_discharge,
                pairs.group_end_discharge,
                self._discharge0,
                -1.0,
                pairs.session[pairs.discharge],
            ),
        ):
            begin, count = first[step, group], end[step, group] - first[step, group]
            inside = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            place = np.repeat(begin, count) + inside
            values = sign * of_row[np.repeat(np.arange(len(row)), count), session[place]]
            rows.put(np.repeat(row, count), column0 + place, values)

    def _add_limits(self) -> None:
        """Group limits: as constraints where they are hard, else by the price of overload."""
        ahead, charges = self._ahead, self._charges
        if not charges.limits_are_hard and charges.overload_per_kwh == 0.0:
            return
        export_binds, import_binds = self._pairs.binding_limits(self._site, ahead.lower_kw, ahead.upper_kw)
        if charges.limits_are_hard:
            step, group = np.nonzero(export_binds | import_binds)
            row = self._rows.begin(
                np.where(export_binds, ahead.lower_kw, -np.inf)[step, group],
                np.where(import_binds, ahead.upper_kw, np.inf)[step, group],
            )
            self._put_totals(row, step, group, 1.0)
        if charges.overload_per_kwh > 0.0:
            self._add_overload()

    def _add_overload(self) -> None:
        """excess >= power − upper, excess >= lower − power, excess >= 0."""
        ahead, pairs, limits = self._ahead, self._pairs, self._ahead.limits
        for limit_kw, pair_kw, sign in (
            (ahead.upper_kw, limits["charge_kw"][pairs.session], 1.0),
            (-ahead.lower_kw, limits["discharge_kw"][pairs.session], -1.0),
        ):
            total_kw = np.concatenate([[0.0], np.cumsum(pair_kw)])
            over_kw = total_kw[pairs.group_end] - total_kw[pairs.group_first] - limit_kw
            step, group = np.nonzero(over_kw > 0.0)
            price = np.full(len(step), self._charges.overload_per_kwh * ahead.step_h)
            first = self._add_columns(price, np.zeros(len(step)), over_kw[step, group])
            row = self._rows.begin(-limit_kw[step, group], np.full(len(step), np.inf))
            self._rows.put(row, first + np.arange(len(step)), 1.0)
            self._put_totals(row, step, group, -sign)

    def _add_peak(self) -> None:
        """peak >= power + base load in every step, peak >= the highest so far, which is paid already."""
        ahead = self._ahead
        base_kw = ahead.base_load_kw[:, 0]
        most_kw = max(ahead.peak_kw, float(base_kw.max())) + float(ahead.limits["charge_kw"].sum())
        price = self._charges.peak_per_kw
        peak = self._add_columns(np.array([price]), np.array([ahead.peak_kw]), np.array([most_kw]))
        self._offset -= price * ahead.peak_kw
        row = self._rows.begin(base_kw, np.full(ahead.n_steps, np.inf))
        self._rows.put(row, np.full(ahead.n_steps, peak), 1.0)
        self._put_totals(row, np.arange(ahead.n_steps), np.zeros(ahead.n_steps, dtype=np.int64), -1.0)

    def _add_tracking(self, target_kw: np.ndarray) -> None:
        """deviation >= (total − target)², by tangents."""
        ahead, limits, n = self._ahead, self._ahead.limits, self._ahead.n_steps
        nothing = np.zeros(n)
        most_kw, least_kw = nothing + limits["charge_kw"].sum(), nothing - limits["discharge_kw"].sum()
        square = np.maximum(np.abs(most_kw - target_kw), np.abs(least_kw - target_kw)) ** 2
        price = np.full(n, self._charges.tracking_weight * ahead.step_h)
        self._deviation0 = self._add_columns(price, nothing, square)
        self._total0 = self._add_columns(nothing, least_kw, most_kw)
        row = self._rows.begin(nothing, nothing)
        self._rows.put(row, self._total0 + np.arange(n), -1.0)
        self._put_totals(row, np.arange(n), np.zeros(n, dtype=np.int64), 1.0)
        for share in np.linspace(0.0, 1.0, FIRST_TANGENTS):
            self._put_squares(self._rows, np.arange(n), least_kw + share * (most_kw - least_kw))

    def _put_squares(self, rows: Rows, step: np.ndarray, at_kw: np.ndarray) -> None:
        """Tangents of (total − target)² at given totals."""
        assert self._ahead.target_kw is not None
        off_kw = at_kw - self._ahead.target_kw[step]
        row = rows.begin(off_kw**2 - 2.0 * off_kw * at_kw, np.full(len(step), np.inf))
        rows.put(row, self._deviation0 + step, 1.0)
        rows.put(row, self._total0 + step, -2.0 * off_kw)

    def _add_taper(self) -> None:
        """Tangents where a battery can be full enough for F to bend, touching at the most energy before the step."""
        pairs, limits, step_h = self._pairs, self._ahead.limits, self._ahead.step_h
        rate_kw = limits["charge_efficiency"] * limits["charge_kw"]
        straight_kwh = (limits["capacity_kwh"] - rate_kw * (limits["tau_h"] + step_h))[pairs.session]
        bends = (pairs.previous >= 0) & (pairs.start_most_kwh > straight_kwh) & (rate_kw[pairs.session] > 0.0)
        self._bent = bent = np.flatnonzero(bends)
        session = pairs.session[bent]
        self._battery = (rate_kw[session], limits["capacity_kwh"][session], limits["tau_h"][session])
        self._put_taper(self._rows, np.arange(len(bent)), pairs.end_most_kwh[pairs.previous[bent]])

    def _put_taper(self, rows: Rows, which: np.ndarray, at_kwh: np.ndarray) -> None:
        """Tangents e' <= F(at) + F'(at)·(e − at) of the pairs at positions `which` of those that bend."""
        pair, step_h = self._bent[which], self._ahead.step_h
        rate_kw, capacity_kwh, tau_h = (values[which] for values in self._battery)
        slope = flow_slope(at_kwh, step_h, rate_kw, capacity_kwh, tau_h)
        reached_kwh = energy_after(at_kwh, step_h, rate_kw, capacity_kwh, tau_h)
        row = rows.begin(np.full(len(pair), -np.inf), reached_kwh - slope * at_kwh)
        rows.put(row, self._energy0 + pair, 1.0)
        rows.put(row, self._energy0 + self._pairs.previous[pair], -slope)

    def _solve(self, waiting_per_kwh_h: float) -> None:
        self._cost, lower, upper = (np.concatenate(parts) for parts in zip(*self._columns, strict=True))
        cost = self._cost.copy()
        cost[: len(self._pairs)] += waiting_per_kwh_h * self._ahead.step_h**2 * self._pairs.step
        self._x = np.zeros(0)
        if not self._n_columns:
            return
        if not np.isfinite(cost).all():  # HiGHS would take it for a number
            raise SolverError("a price is not finite, so there is no optimum")
        row_lower, row_upper = self._rows.bounds()
        starts, columns, values = self._rows.by_row()
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self._n_columns, self._rows.n
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
        lp.row_lower_, lp.row_upper_ = row_lower, row_upper
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = starts, columns, values
        self._highs = make_highs(presolve="off")  # presolving takes longer than it saves
        if self._highs.passModel(lp) == highspy.HighsStatus.kError:
            raise SolverError("HiGHS does not take the programme: a limit or an energy is not a number")
        self._run_rounds()
        if self._go_one_way_now():
            self._run_rounds()

    def _run_rounds(self) -> None:
        """Solve, add the rows that the solution breaks, solve again."""
        for _ in range(MOST_ROUNDS):
            self._highs.run()
            status = self._highs.getModelStatus()
            if status != highspy.HighsModelStatus.kOptimal:
                raise SolverError(f"HiGHS found no optimum: {self._highs.modelStatusToString(status).lower()}")
            self._x = np.array(self._highs.getSolution().col_value)
            rows = self._broken()
            if not rows.n:
                return
            starts, columns, values = rows.by_row()
            self._highs.addRows(rows.n, *rows.bounds(), len(columns), starts[:-1], columns, values)

    def _broken(self) -> Rows:
        rows, x, pairs, limits = Rows(), self._x, self._pairs, self._ahead.limits
        before = pairs.previous[self._bent]
        start_kwh = np.clip(x[self._energy0 + before], pairs.least_kwh[before], pairs.end_most_kwh[before])
        reached_kwh = energy_after(start_kwh, self._ahead.step_h, *self._battery)
        above = np.flatnonzero(x[self._energy0 + self._bent] > reached_kwh + self._tolerance_kwh)
        if len(above):
            self._put_taper(rows, above, start_kwh[above])

        charge_kw, discharge_kw = (
            power[pairs.session[pairs.discharge]] for power in (limits["charge_kw"], limits["discharge_kw"])
        )
        charge, discharge = x[pairs.discharge], x[self._discharge0 : self._energy0]
        both = (charge > 0.0) & (discharge > 0.0)
        both[both] = (charge[both] / charge_kw[both] + discharge[both] / discharge_kw[both]) > 1.0 + HULL_TOLERANCE
        which = np.flatnonzero(both)
        if len(which):
            row = rows.begin(np.full(len(which), -np.inf), np.ones(len(which)))
            rows.put(row, pairs.discharge[which], 1.0 / charge_kw[which])
            rows.put(row, self._discharge0 + which, 1.0 / discharge_kw[which])

        if self._total0 > self._deviation0:
            assert self._ahead.target_kw is not None
            total_kw = x[self._total0 : self._total0 + self._ahead.n_steps]
            deviation = x[self._deviation0 : self._total0]
            missing = ((total_kw - self._ahead.target_kw) ** 2 - deviation) * self._cost[
                self._deviation0 : self._total0
            ]
            share = self._charges.tolerance * max(1.0, abs(float(self._cost @ x))) / self._ahead.n_steps
            steps = np.flatnonzero(missing > share)
            if len(steps):
                self._put_squares(rows, steps, total_kw[steps])
        if self._network is not None and not rows.n:
            beyond = self._network.broken(self.planned_kw())
            if beyond is not None:
                self._put_grid(rows, beyond)
        return rows

    def _go_one_way_now(self) -> bool:
        """Let each vehicle that would charge and discharge in this step do what it mostly does; whether any would."""
        pairs, limits = self._pairs, self._ahead.limits
        pair = pairs.discharge[: pairs.group_end_discharge[0, 0]] if self._ahead.n_steps else pairs.discharge[:0]
        column = self._discharge0 + np.arange(len(pair))
        charge, discharge = self._x[pair], self._x[column]
        session = pairs.session[pair]
        gains = charge * limits["charge_efficiency"][session] * limits["discharge_efficiency"][session] >= discharge
        both = charge * discharge > SIMULTANEOUS_KW2
        closed = np.where(gains, column, pair)[both].astype(np.int32)
        if len(closed):
            self._highs.changeColsBounds(len(closed), closed, np.zeros(len(closed)), np.zeros(len(closed)))
        return bool(len(closed))
