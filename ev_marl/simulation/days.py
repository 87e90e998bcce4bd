"""Tracks made ready for the simulator: the stays of several days in one table, prices, loads and limits stacked.

A batched simulator points each of its rows at a day without copying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ev_marl.simulation.stays import stays_of
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import TrackError
from ev_marl.world.track import Track


@dataclass(frozen=True)
class Days:
    """K tracks of one site as stacked arrays; N sessions in all, sorted by track, port and arrival."""

    n_steps: int
    step_h: float
    stays: np.ndarray  # STAY (N,)
    first_session: np.ndarray  # int64 (K, P + 1)  sessions of track k and port p: [first[k, p], first[k, p + 1])
    track_session: np.ndarray  # int64 (N,)  index of each session in its own track
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
        tables: list[np.ndarray] = []
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
            stays = stays_of(site, track)
            order = np.lexsort((stays["arrival_step"], stays["port"]))
            counts = np.bincount(stays["port"], minlength=site.n_ports)
            starts[k, 0] = offset
            starts[k, 1:] = offset + np.cumsum(counts)
            offset += len(stays)
            tables.append(stays[order])
            orders.append(order)
        clocks = [track.clock for track in tracks]
        return cls(
            n_steps=first.n_steps,
            step_h=first.step_h,
            stays=np.concatenate(tables),
            first_session=starts,
            track_session=np.concatenate(orders),
            buy_per_kwh=np.stack([track.buy_per_kwh for track in tracks]),
            sell_per_kwh=np.stack([track.sell_per_kwh for track in tracks]),
            base_load_kw=np.stack([track.base_load_kw for track in tracks]),
            lower_kw=np.stack([track.lower_kw for track in tracks]),
            upper_kw=np.stack([track.upper_kw for track in tracks]),
            local_hour=np.stack([clock.local_hour for clock in clocks]),
            weekday=np.stack([clock.weekday for clock in clocks]),
            day_of_year=np.stack([clock.day_of_year for clock in clocks]),
        )
