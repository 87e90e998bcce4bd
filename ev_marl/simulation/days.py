"""Tracks made ready for the simulator and the optimum: physical limits of every session, several days in one table.

`session_limits` combines what port, station and vehicle allow; `Days` stacks many tracks of one site so that a batched
simulator can point each of its rows at a day without copying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import energy_after, energy_before, taper_time_h
from ev_marl.support.errors import TrackError
from ev_marl.world.track import Track

_NO_POWER_KW = 1e-300  # stands for 0 where 0/0 would be no number


@dataclass(frozen=True)
class SessionLimits:
    """Physical parameters of S sessions, in the order of the track (or of the table that holds several tracks)."""

    port: np.ndarray  # int64 (S,)
    arrival_step: np.ndarray  # int64 (S,)
    departure_step: np.ndarray  # int64 (S,)  may lie beyond the horizon
    deadline_step: np.ndarray  # int64 (S,)  when `due_kwh` is due: departure or the end of the horizon
    energy_kwh: np.ndarray  # float64 (S,)  on arrival [kWh]
    capacity_kwh: np.ndarray  # float64 (S,)
    charge_kw: np.ndarray  # float64 (S,)  P⁺: most that port and vehicle allow [kW]
    discharge_kw: np.ndarray  # float64 (S,)  P⁻ [kW], 0 without V2G
    charge_efficiency: np.ndarray  # float64 (S,)  η⁺ [-]
    discharge_efficiency: np.ndarray  # float64 (S,)  η⁻ [-]
    tau_h: np.ndarray  # float64 (S,)  time constant of the taper [h]
    floor_kwh: np.ndarray  # float64 (S,)  e_min: V2G never goes below [kWh]
    due_kwh: np.ndarray  # float64 (S,)  energy that should be in the battery at the deadline [kWh]

    def __len__(self) -> int:
        return len(self.port)


def session_limits(site: SiteArrays, track: Track) -> SessionLimits:
    """Physical parameters of every session of a track.

    What is due is the wish, as far as full power from arrival to departure can fulfil it. For a session that outlasts
    the horizon, it is the least energy at the end of the horizon from which that is still reachable by its departure
    at full power.

    Parameters
    ----------
    site : SiteArrays
        Ratings and efficiencies of the ports.
    track : Track
        The day.
    """
    sessions = track.sessions
    port = sessions.port
    charge_kw = np.minimum(site.port_charge_kw[port], sessions.charge_kw)
    discharge_kw = np.minimum(site.port_discharge_kw[port], sessions.discharge_kw)
    efficiency = site.charge_efficiency[port]
    tau_h = taper_time_h(sessions.taper_start, sessions.capacity_kwh, efficiency, sessions.charge_kw)
    rate_kw = efficiency * charge_kw
    stay_h = (sessions.departure_step - sessions.arrival_step) * track.step_h
    most = energy_after(sessions.energy_kwh, stay_h, rate_kw, sessions.capacity_kwh, tau_h)
    wish = np.minimum(sessions.energy_kwh + sessions.wanted_kwh, most)
    beyond_h = np.maximum(0, sessions.departure_step - track.n_steps) * track.step_h
    due = np.where(beyond_h > 0, energy_before(wish, beyond_h, rate_kw, sessions.capacity_kwh, tau_h), wish)
    return SessionLimits(
        port=port,
        arrival_step=sessions.arrival_step,
        departure_step=sessions.departure_step,
        deadline_step=np.minimum(sessions.departure_step, track.n_steps),
        energy_kwh=sessions.energy_kwh,
        capacity_kwh=sessions.capacity_kwh,
        charge_kw=charge_kw,
        discharge_kw=discharge_kw,
        charge_efficiency=efficiency,
        discharge_efficiency=site.discharge_efficiency[port],
        tau_h=tau_h,
        floor_kwh=np.minimum(sessions.energy_kwh, sessions.reserve_kwh),
        due_kwh=due,
    )


@dataclass(frozen=True)
class Days:
    """K tracks of one site as stacked arrays; N sessions in all, sorted by track, port and arrival."""

    n_steps: int
    step_h: float
    sessions: SessionLimits  # (N,)
    first_session: np.ndarray  # int64 (K, P + 1)  sessions of track k and port p: [first[k, p], first[k, p + 1])
    track_session: np.ndarray  # int64 (N,)  index of each session in its own track
    taper_kw_per_kwh: np.ndarray  # float64 (N,)  power of a step within the taper per room left, (1 − exp(−Δ/τ))/(η⁺Δ)
    hours_per_kwh: np.ndarray  # float64 (N,)  time to charge one kWh at full power, 1/(η⁺P⁺)
    buy_per_kwh: np.ndarray  # float64 (K, T)
    sell_per_kwh: np.ndarray  # float64 (K, T)
    base_load_kw: np.ndarray  # float64 (K, T, G)
    lower_kw: np.ndarray  # float64 (K, T, G)  clamped
    upper_kw: np.ndarray  # float64 (K, T, G)
    local_hour: np.ndarray  # float64 (K, T)  local clock time of each step [h in 0..24)
    weekday: np.ndarray  # int64 (K, T)  Monday 0
    day_of_year: np.ndarray  # int64 (K, T)  1..366

    @property
    def n_days(self) -> int:
        """K."""
        return len(self.buy_per_kwh)

    @classmethod
    def stack(cls, site: SiteArrays, tracks: Sequence[Track]) -> Days:
        """Stack tracks of the same site, step and horizon.

        Raises
        ------
        TrackError
            If there is no track, or if one differs in step or horizon, or does not fit the site.
        """
        if not tracks:
            raise TrackError("no track to simulate: give at least one")
        first = tracks[0]
        tables: list[SessionLimits] = []
        orders: list[np.ndarray] = []
        starts = np.empty((len(tracks), site.n_ports + 1), dtype=np.int64)
        offset = 0
        for k, track in enumerate(tracks):
            if track.step_h != first.step_h or track.n_steps != first.n_steps:
                raise TrackError(
                    f"track {k} has {track.n_steps} steps of {track.step_h} h, the first has {first.n_steps} of "
                    f"{first.step_h} h; simulate them separately"
                )
            if len(track.ports) != site.n_ports or track.base_load_kw.shape[1] != site.n_groups:
                raise TrackError(
                    f"track {k} is of a site with {len(track.ports)} ports and {track.base_load_kw.shape[1]} groups, "
                    f"this site has {site.n_ports} and {site.n_groups}"
                )
            sessions = track.sessions
            order = np.lexsort((sessions.arrival_step, sessions.port))
            counts = np.bincount(sessions.port, minlength=site.n_ports)
            starts[k, 0] = offset
            starts[k, 1:] = offset + np.cumsum(counts)
            offset += len(sessions)
            tables.append(session_limits(site, track))
            orders.append(order)
        stacked = {
            field.name: np.concatenate(
                [getattr(table, field.name)[order] for table, order in zip(tables, orders, strict=True)]
            )
            for field in fields(SessionLimits)
        }
        clocks = [track.clock for track in tracks]
        return cls(
            n_steps=first.n_steps,
            step_h=first.step_h,
            sessions=SessionLimits(**stacked),
            first_session=starts,
            track_session=np.concatenate(orders),
            taper_kw_per_kwh=-np.expm1(-first.step_h / stacked["tau_h"])
            / (stacked["charge_efficiency"] * first.step_h),
            hours_per_kwh=1.0 / np.maximum(stacked["charge_efficiency"] * stacked["charge_kw"], _NO_POWER_KW),
            buy_per_kwh=np.stack([track.buy_per_kwh for track in tracks]),
            sell_per_kwh=np.stack([track.sell_per_kwh for track in tracks]),
            base_load_kw=np.stack([track.base_load_kw for track in tracks]),
            lower_kw=np.stack([track.lower_kw for track in tracks]),
            upper_kw=np.stack([track.upper_kw for track in tracks]),
            local_hour=np.stack([clock.local_hour for clock in clocks]),
            weekday=np.stack([clock.weekday for clock in clocks]),
            day_of_year=np.stack([clock.day_of_year for clock in clocks]),
        )
