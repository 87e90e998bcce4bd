"""The programme of a day, or of what is left of it: what is known, its variables, and the rows of its physics.

What lies ahead comes in; columns and rows go out, for the optimum to state in Pyomo and for model predictive control to
solve as they are. What the terms of the objective add is theirs, see `DayModel`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ev_marl.objective.base import GridModel
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.pairs import Pairs
from ev_marl.planning.programme.rows import Rows, ragged
from ev_marl.site.arrays import SiteArrays


class Programme:
    """Facts, variables and physics; base of the implementations of `DayModel`, where the attributes are described.

    The variables are numbered: charge, discharge, energy at the end of each pair's step, shortfall of each session that
    can have one.

    Parameters
    ----------
    site : SiteArrays
        The site.
    ahead : Ahead
        What is known or expected.

    Attributes
    ----------
    pairs : Pairs
        What the variables belong to.
    charge_column, discharge_column, energy_column, shortfall_column : int64, shape (N,), (D,), (N,), (O,)
        Numbers of the variables.
    column_least, column_most : float64, shape (2·N + D + O,)
        Their bounds.
    two_way : int64, shape (n_two_way,)
        Positions in `discharge` of the pairs that can charge, too.
    """

    grid: GridModel | None = None

    def __init__(self, site: SiteArrays, ahead: Ahead) -> None:
        self.site = site
        self.first_step, self.step_h, self.n_steps = ahead.step, ahead.step_h, ahead.n_steps
        self.buy_per_kwh, self.sell_per_kwh = ahead.buy_per_kwh, ahead.sell_per_kwh
        self.base_load_kw, self.lower_kw, self.upper_kw = ahead.base_load_kw, ahead.lower_kw, ahead.upper_kw
        self.local_hour, self.peak_before_kw = ahead.local_hour, ahead.peak_kw
        self.later_per_kwh, self.ends = ahead.later_per_kwh, ahead.ends
        self.pairs = pairs = Pairs.of_sessions(site, ahead.limits, ahead.n_steps, ahead.step_h)
        self.sessions = limits = pairs.limits
        self.pair_session, self.pair_step, self.last_pair = pairs.session, pairs.step, pairs.last
        self.discharge_pairs = pairs.discharge
        self._charge_kw = limits["charge_kw"][pairs.session]
        self._discharge_kw = limits["discharge_kw"][pairs.session[pairs.discharge]]
        self.two_way = np.flatnonzero(self._charge_kw[pairs.discharge] > 0.0)
        self._number_variables()

    def _number_variables(self) -> None:
        pairs, limits = self.pairs, self.sessions
        kept_kwh = np.where(limits["discharge_kw"] > 0.0, limits["floor_kwh"], limits["energy_kwh"])
        missing_kwh = limits["due_kwh"] - kept_kwh
        self.owed_sessions = np.flatnonzero((pairs.last >= 0) & (missing_kwh > 0.0))
        n_pairs, n_out, n_owed = len(pairs), len(pairs.discharge), len(self.owed_sessions)
        ends = np.cumsum([0, n_pairs, n_out, n_pairs, n_owed]).tolist()
        self.charge_column, self.discharge_column, self.energy_column, self.shortfall_column = (
            np.arange(first, end) for first, end in pairwise(ends)
        )
        missing_kwh = missing_kwh[self.owed_sessions]
        self.column_least = np.concatenate([np.zeros(n_pairs + n_out), pairs.least_kwh, np.zeros(n_owed)])
        self.column_most = np.concatenate([self._charge_kw, self._discharge_kw, pairs.end_most_kwh, missing_kwh])

    @property
    def most_kw(self) -> np.ndarray:
        """Most power that the vehicles below each group can draw, float64, shape (T, G) [kW]."""
        total_kw = np.concatenate([[0.0], np.cumsum(self._charge_kw)])
        return np.asarray(total_kw[self.pairs.group_end] - total_kw[self.pairs.group_first])

    @property
    def least_kw(self) -> np.ndarray:
        """Least, where they feed back all they can, float64, shape (T, G) [kW]."""
        total_kw = np.concatenate([[0.0], np.cumsum(self._discharge_kw)])
        return np.asarray(total_kw[self.pairs.group_first_discharge] - total_kw[self.pairs.group_end_discharge])

    def balance(self) -> Rows:
        """e' = e + Δ(η⁺c − d/η⁻), one row for each pair."""
        pairs, limits = self.pairs, self.sessions
        n_pairs, pair, later = len(pairs), np.arange(len(pairs)), np.flatnonzero(pairs.previous >= 0)
        gain = self.step_h * limits["charge_efficiency"][pairs.session]
        drain = self.step_h / limits["discharge_efficiency"][pairs.session[pairs.discharge]]
        start_kwh = np.where(pairs.previous >= 0, 0.0, limits["energy_kwh"][pairs.session])
        previous = self.energy_column[pairs.previous[later]]
        return Rows.of_entries(
            np.concatenate([pair, pair, pairs.discharge, later]),
            np.concatenate([self.energy_column, self.charge_column, self.discharge_column, previous]),
            np.concatenate([np.ones(n_pairs), -gain, drain, np.full(len(later), -1.0)]),
            start_kwh,
            start_kwh,
        )

    def owed(self) -> Rows:
        """Shortfall + energy at the deadline >= due, one row for each session that can be short of it."""
        session = self.owed_sessions
        columns = np.column_stack([self.shortfall_column, self.energy_column[self.pairs.last[session]]])
        due_kwh = self.sessions["due_kwh"][session]
        return Rows.of_columns(columns, np.ones(columns.shape), due_kwh, np.full(len(due_kwh), np.inf))

    def group_limits(self) -> tuple[np.ndarray, np.ndarray, Rows]:
        """lower <= Σ (c − d) <= upper: steps and groups in which it can bind, and a row for each."""
        export_binds, import_binds = self.pairs.binding_limits(self.site, self.lower_kw, self.upper_kw)
        step, group = np.nonzero(export_binds | import_binds)
        rows = Rows.of_entries(
            *self.power_entries(group, step),
            np.where(export_binds, self.lower_kw, -np.inf)[step, group],
            np.where(import_binds, self.upper_kw, np.inf)[step, group],
        )
        return step, group, rows

    def power_entries(self, group: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The vehicles' power below groups at steps, Σ charge − Σ discharge.

        Parameters
        ----------
        group, step : int64, shape (K,)
            Where and when.

        Returns
        -------
        row, column : int64, shape (Z,)
            Which of the K sums each coefficient belongs to, and its variable.
        value : float64, shape (Z,)
            The coefficient.
        """
        pairs = self.pairs
        first, end = pairs.group_first[step, group], pairs.group_end[step, group]
        row_in, pair = ragged(first, end - first)
        first, end = pairs.group_first_discharge[step, group], pairs.group_end_discharge[step, group]
        row_out, position = ragged(first, end - first)
        return (
            np.concatenate([row_in, row_out]),
            np.concatenate([self.charge_column[pair], self.discharge_column[position]]),
            np.concatenate([np.ones(len(pair)), np.full(len(position), -1.0)]),
        )

    @property
    def round_trip(self) -> np.ndarray:
        """η⁺·η⁻ of the pairs that can do both, float64, shape (n_two_way,) [-]."""
        session = self.pair_session[self.discharge_pairs[self.two_way]]
        efficiency: np.ndarray = (
            self.sessions["charge_efficiency"][session] * self.sessions["discharge_efficiency"][session]
        )
        return efficiency
