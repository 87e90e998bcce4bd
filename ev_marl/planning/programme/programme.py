"""The programme of a day, or of the rest of a day: known data, variables, and the rows of the physics.

An `Ahead` comes in; columns and rows go out. The optimum states them in Pyomo, model predictive control solves them as
arrays. Terms of the objective add their own parts, see `DayModel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ev_marl.grid.loop.thermal import AMBIENT_C, oil_at_rest_k
from ev_marl.objective.base import GridModel
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.rows import Rows, ragged
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import curves_of, energy_after
from ev_marl.site.part_load import Pieces, pieces


@dataclass(frozen=True)
class Pairs:
    """The sparse skeleton of a day: one entry per (session, step) in which a vehicle is connected.

    Sessions and their N (session, step) pairs; D of them can discharge; T steps, G groups, S sessions.
    Pairs are ordered by step and then by port, so that those below a group at a step are one slice.
    """

    stays: np.ndarray  # STAY (S,)  those of the track that arrive before the horizon
    session: np.ndarray  # int64 (N,)
    step: np.ndarray  # int64 (N,)
    port: np.ndarray  # int64 (N,)
    previous: np.ndarray  # int64 (N,)  pair of the same session one step earlier, −1 at the first
    last: np.ndarray  # int64 (S,)  pair of the session's last step
    discharge: np.ndarray  # int64 (D,)  pairs that can discharge
    least_kwh: np.ndarray  # float64 (N,)  lowest possible energy at the end of the step
    start_most_kwh: np.ndarray  # float64 (N,)  highest possible energy at the start of the step
    end_most_kwh: np.ndarray  # float64 (N,)  and at the end of the step: full power since arrival
    group_first: np.ndarray  # int64 (T, G)  pairs below group g at step t: [group_first, group_end)
    group_end: np.ndarray  # int64 (T, G)
    group_first_discharge: np.ndarray  # int64 (T, G)  the same for positions in `discharge`
    group_end_discharge: np.ndarray  # int64 (T, G)

    def __len__(self) -> int:
        return len(self.session)

    @classmethod
    def of(cls, site: SiteArrays, stays: np.ndarray, n_steps: int, step_h: float) -> Pairs:
        """Pairs of sessions; several may be at one port at once.

        Parameters
        ----------
        site : SiteArrays
            The site.
        stays : STAY, shape (n_sessions,)
            The stays.
        n_steps : int
            Steps up to the horizon.
        step_h : float
            Length of a step [h].
        """
        first = np.minimum(stays["arrival_step"], n_steps)
        there = np.maximum(0, stays["deadline_step"] - first)
        session = np.repeat(np.arange(len(stays)), there)
        age = np.arange(len(session)) - np.repeat(np.cumsum(there) - there, there)
        step, port = first[session] + age, stays["port"][session]
        order = np.lexsort((port, step))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        previous = np.full(len(order), -1, dtype=np.int64)
        previous[place[age > 0]] = place[np.flatnonzero(age > 0) - 1]
        last = np.where(there > 0, place[np.minimum(np.cumsum(there), len(place)) - 1] if len(place) else -1, -1)
        session, step, port, age = session[order], step[order], port[order], age[order]

        battery = (
            stays["rate_kw"][session],
            stays["capacity_kwh"][session],
            stays["tau_h"][session],
            None if (hull := curves_of(stays, hull=True)) is None else hull[session],
        )
        arrival_kwh = stays["energy_kwh"][session]
        can_discharge = stays["discharge_kw"][session] > 0.0
        discharge = np.flatnonzero(can_discharge)
        key = step * (site.n_ports + 1) + port
        steps = np.arange(n_steps)[:, None] * (site.n_ports + 1)
        group_first = np.searchsorted(key, steps + site.group_first_port)
        group_end = np.searchsorted(key, steps + site.group_end_port)
        return cls(
            stays=stays,
            session=session,
            step=step,
            port=port,
            previous=previous,
            last=last,
            discharge=discharge,
            least_kwh=np.where(can_discharge, stays["floor_kwh"][session], arrival_kwh),
            start_most_kwh=energy_after(arrival_kwh, age * step_h, *battery),
            end_most_kwh=energy_after(arrival_kwh, (age + 1) * step_h, *battery),
            group_first=group_first,
            group_end=group_end,
            group_first_discharge=np.searchsorted(discharge, group_first),
            group_end_discharge=np.searchsorted(discharge, group_end),
        )

    def binding_limits(self, site: SiteArrays, lower_kw: np.ndarray, upper_kw: np.ndarray) -> np.ndarray:
        """Group limits that can bind: those that are not implied by the vehicles below and the limits further down.

        Parameters
        ----------
        site : SiteArrays
            The tree.
        lower_kw, upper_kw : float64, shape (n_steps, n_groups)
            Clamped limits [kW].

        Returns
        -------
        bool, shape (2, n_steps, n_groups)
            Export limits first, import limits second.
        """
        binding = np.empty((2, *upper_kw.shape), dtype=bool)
        sides = (
            (-lower_kw, self.stays["discharge_kw"][self.session]),
            (upper_kw, self.stays["charge_kw"][self.session]),
        )
        for side, (limit_kw, pair_kw) in enumerate(sides):
            total_kw = np.concatenate([[0.0], np.cumsum(pair_kw)])
            # Highest possible flow below each group: that of its subgroups, plus its own ports.
            most_kw = total_kw[self.group_end] - total_kw[self.group_first]
            for group in range(site.n_groups - 1, -1, -1):
                flow_kw = most_kw[:, group]
                binding[side, :, group] = limit_kw[:, group] < flow_kw * (1.0 - 1e-12)
                spared_kw = np.where(binding[side, :, group], flow_kw - limit_kw[:, group], 0.0)
                above = site.group_parent[group]
                while above >= 0:
                    most_kw[:, above] -= spared_kw
                    above = site.group_parent[above]
        return binding


class Programme:
    """Data, variables and physics; base class of the implementations of `DayModel`, which describes the attributes.

    The variables are numbered: charge, discharge, energy at the end of each pair's step, shortfall of each session that
    can have one, and what each charger whose efficiency depends on the power loses beside what the highest efficiency
    does.

    Parameters
    ----------
    site : SiteArrays
        The site.
    ahead : Ahead
        The known or expected future.

    Attributes
    ----------
    pairs : Pairs
        The (session, step) pairs of the variables.
    charge_column, discharge_column, energy_column, shortfall_column, lost_column : int64
        Numbers of the variables, of shapes (N,), (D,), (N,), (O,) and (L,).
    column_least, column_most : float64, shape (2·N + D + O + L,)
        Their bounds.
    two_way : int64, shape (n_two_way,)
        Positions in `discharge` of the pairs that can also charge.
    """

    grid: GridModel | None = None

    def __init__(self, site: SiteArrays, ahead: Ahead) -> None:
        self.site = site
        self.first_step, self.step_h, self.n_steps = ahead.step, ahead.step_h, ahead.n_steps
        self.buy_per_kwh, self.sell_per_kwh = ahead.buy_per_kwh, ahead.sell_per_kwh
        self.base_load_kw, self.lower_kw, self.upper_kw = ahead.base_load_kw, ahead.lower_kw, ahead.upper_kw
        self.currents = ahead.currents
        self.local_hour, self.peak_before_kw, self.peak_share = ahead.local_hour, ahead.peak_kw, ahead.peak_share
        self.later_per_kwh, self.ends = ahead.later_per_kwh, ahead.ends
        self.carbon_kg_per_kwh = ahead.carbon_kg_per_kwh
        self.requests = ahead.requests
        self.temperature_c = np.full(self.n_steps, AMBIENT_C) if ahead.temperature_c is None else ahead.temperature_c
        self.oil_k = oil_at_rest_k(site.thermal, self.base_load_kw[0]) if ahead.oil_k is None else ahead.oil_k
        self.pairs = pairs = Pairs.of(site, ahead.stays, ahead.n_steps, ahead.step_h)
        self.sessions = stays = pairs.stays
        self.pair_session, self.pair_step, self.last_pair = pairs.session, pairs.step, pairs.last
        self.discharge_pairs = pairs.discharge
        self._charge_kw = stays["charge_kw"][pairs.session]
        self._discharge_kw = stays["discharge_kw"][pairs.session[pairs.discharge]]
        if ahead.out is not None:
            works = ~ahead.out[pairs.step, pairs.port]
            self._charge_kw, self._discharge_kw = self._charge_kw * works, self._discharge_kw * works[pairs.discharge]
        self._pieces = _pieces_of(site, stays)
        most_lost_kw = np.array([one.most_lost_kw for one in self._pieces])
        self.lossy_pairs = np.zeros(0, dtype=np.int64)
        if len(most_lost_kw):
            self.lossy_pairs = np.flatnonzero((most_lost_kw[pairs.session] > 0.0) & (self._charge_kw > 0.0))
        self._most_lost_kw = most_lost_kw[pairs.session[self.lossy_pairs]] if len(most_lost_kw) else np.zeros(0)
        self.two_way = np.flatnonzero((self._charge_kw[pairs.discharge] > 0.0) & (self._discharge_kw > 0.0))
        self._number_variables()

    def _number_variables(self) -> None:
        pairs, stays = self.pairs, self.sessions
        kept_kwh = np.where(stays["discharge_kw"] > 0.0, stays["floor_kwh"], stays["energy_kwh"])
        missing_kwh = stays["due_kwh"] - kept_kwh
        self.owed_sessions = np.flatnonzero((pairs.last >= 0) & (missing_kwh > 0.0))
        n_pairs, n_out, n_owed, n_lossy = (
            len(pairs),
            len(pairs.discharge),
            len(self.owed_sessions),
            len(self.lossy_pairs),
        )
        ends = np.cumsum([0, n_pairs, n_out, n_pairs, n_owed, n_lossy]).tolist()
        self.charge_column, self.discharge_column, self.energy_column, self.shortfall_column, self.lost_column = (
            np.arange(first, end) for first, end in pairwise(ends)
        )
        missing_kwh = missing_kwh[self.owed_sessions]
        self.column_least = np.concatenate([np.zeros(n_pairs + n_out), pairs.least_kwh, np.zeros(n_owed + n_lossy)])
        self.column_most = np.concatenate(
            [self._charge_kw, self._discharge_kw, pairs.end_most_kwh, missing_kwh, self._most_lost_kw]
        )

    @property
    def stay_key(self) -> np.ndarray:
        """Which stay this is, also in a programme of a later step: port and departure, int64, shape (S,)."""
        departure = self.sessions["departure_step"] + self.first_step
        return np.asarray((self.sessions["port"].astype(np.int64) << 20) + departure)

    @property
    def pair_key(self) -> np.ndarray:
        """The same for (session, step) pairs, int64, shape (N,)."""
        return np.asarray((self.stay_key[self.pair_session] << 20) + self.pair_step + self.first_step)

    @property
    def most_kw(self) -> np.ndarray:
        """Highest possible power of the vehicles below each group, float64, shape (T, G) [kW]."""
        total_kw = np.concatenate([[0.0], np.cumsum(self._charge_kw)])
        return np.asarray(total_kw[self.pairs.group_end] - total_kw[self.pairs.group_first])

    @property
    def least_kw(self) -> np.ndarray:
        """Lowest possible power, with full discharging, float64, shape (T, G) [kW]."""
        total_kw = np.concatenate([[0.0], np.cumsum(self._discharge_kw)])
        return np.asarray(total_kw[self.pairs.group_first_discharge] - total_kw[self.pairs.group_end_discharge])

    def balance(self) -> Rows:
        """e' = e + Δ(η⁺c − lost − d/η⁻), one row for each pair."""
        pairs, stays = self.pairs, self.sessions
        n_pairs, pair, later = len(pairs), np.arange(len(pairs)), np.flatnonzero(pairs.previous >= 0)
        gain = self.step_h * stays["charge_efficiency"][pairs.session]
        drain = self.step_h / stays["discharge_efficiency"][pairs.session[pairs.discharge]]
        start_kwh = np.where(pairs.previous >= 0, 0.0, stays["energy_kwh"][pairs.session])
        previous = self.energy_column[pairs.previous[later]]
        return Rows.of_entries(
            np.concatenate([pair, pair, pairs.discharge, later, self.lossy_pairs]),
            np.concatenate([self.energy_column, self.charge_column, self.discharge_column, previous, self.lost_column]),
            np.concatenate(
                [
                    np.ones(n_pairs),
                    -gain,
                    drain,
                    np.full(len(later), -1.0),
                    np.full(len(self.lossy_pairs), self.step_h),
                ]
            ),
            start_kwh,
            start_kwh,
        )

    def part_load(self) -> Rows:
        """η⁺c − lost <= slope·c + intercept: what reaches a battery lies below the concave hull of its charger's table.

        One row for each pair of `lossy_pairs` and piece of its hull that the bounds of the variables do not imply.
        """
        session = self.pair_session[self.lossy_pairs]
        counts = np.array([len(one.slope) for one in self._pieces], dtype=np.int64)
        position, piece = ragged((np.cumsum(counts) - counts)[session], counts[session])
        slope, intercept = (
            np.concatenate([np.zeros(0), *(getattr(one, name) for one in self._pieces)])[piece]
            for name in ("slope", "intercept")
        )
        efficiency = self.sessions["charge_efficiency"][session[position]]
        most_kw = self._charge_kw[self.lossy_pairs[position]]
        binds = (efficiency - slope) * most_kw - intercept > 0.0
        position, slope, intercept, efficiency = (one[binds] for one in (position, slope, intercept, efficiency))
        columns = np.column_stack([self.lost_column[position], self.charge_column[self.lossy_pairs[position]]])
        values = np.column_stack([np.ones(len(position)), slope - efficiency])
        return Rows.of_columns(columns, values, -intercept, np.full(len(position), np.inf))

    @property
    def n_not_concave(self) -> int:
        """Stays at chargers of which the hull allows more than their table."""
        return sum(not one.exact for one in self._pieces)

    def owed(self) -> Rows:
        """Shortfall + energy at the deadline >= due, one row for each session that can have a shortfall."""
        session = self.owed_sessions
        columns = np.column_stack([self.shortfall_column, self.energy_column[self.pairs.last[session]]])
        due_kwh = self.sessions["due_kwh"][session]
        return Rows.of_columns(columns, np.ones(columns.shape), due_kwh, np.full(len(due_kwh), np.inf))

    def group_limits(self) -> tuple[np.ndarray, np.ndarray, Rows]:
        """lower <= Σ (c − d) <= upper: steps and groups where it can bind, with one row for each."""
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
            Groups and steps.

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
        """η⁺·η⁻ of the pairs that can charge and discharge, float64, shape (n_two_way,) [-]."""
        session = self.pair_session[self.discharge_pairs[self.two_way]]
        efficiency: np.ndarray = (
            self.sessions["charge_efficiency"][session] * self.sessions["discharge_efficiency"][session]
        )
        return efficiency


_NO_PIECES = Pieces(np.zeros(0), np.zeros(0), 0.0, True)


def _pieces_of(site: SiteArrays, stays: np.ndarray) -> list[Pieces]:
    """Of each stay; empty where no charger's efficiency depends on its power."""
    if not site.has_part_load:
        return []
    known: dict[tuple[bytes, float], Pieces] = {}
    found = []
    for stay in stays:
        if not stay["at_part_load"] or stay["charge_kw"] <= 0.0:  # also fleets, which have a mean efficiency
            found.append(_NO_PIECES)
            continue
        points, most_kw = site.part_load[stay["port"]], float(stay["charge_kw"])
        key = points.tobytes(), most_kw
        if key not in known:
            known[key] = pieces(points, most_kw, float(stay["charge_efficiency"]))
        found.append(known[key])
    return found
