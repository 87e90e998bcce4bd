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
    by_step: np.ndarray  # float64 (3, K, T)  buy_per_kwh, sell_per_kwh, local_hour
    by_group: np.ndarray  # float64 (3, K, T, G)  lower_kw, upper_kw, base_load_kw
    later_per_kwh: np.ndarray  # float64 (K,)  price of energy after the episode
    weekday: np.ndarray  # int64 (K, T)  Monday 0
    day_of_year: np.ndarray  # int64 (K, T)  1..366

    @property
    def n_days(self) -> int:
        """K."""
        return len(self.weekday)

    @property
    def buy_per_kwh(self) -> np.ndarray:
        """Price of buying, float64, shape (K, T) [currency/kWh]."""
        return np.asarray(self.by_step[0])

    @property
    def sell_per_kwh(self) -> np.ndarray:
        """Price of selling, float64, shape (K, T) [currency/kWh]."""
        return np.asarray(self.by_step[1])

    @property
    def local_hour(self) -> np.ndarray:
        """Local clock time of each step, float64, shape (K, T) [h in 0..24)."""
        return np.asarray(self.by_step[2])

    @property
    def lower_kw(self) -> np.ndarray:
        """Clamped export limits of the groups, float64, shape (K, T, G) [kW]."""
        return np.asarray(self.by_group[0])

    @property
    def upper_kw(self) -> np.ndarray:
        """Clamped import limits of the groups, float64, shape (K, T, G) [kW]."""
        return np.asarray(self.by_group[1])

    @property
    def base_load_kw(self) -> np.ndarray:
        """Inflexible load − PV below each group, float64, shape (K, T, G) [kW]."""
        return np.asarray(self.by_group[2])

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
        clocks = [track.clock for track in tracks]
        return cls(
            n_steps=first.n_steps,
            step_h=first.step_h,
            stays=np.concatenate(tables),
            first_session=starts,
            by_step=np.stack(
                [
                    [track.buy_per_kwh for track in tracks],
                    [track.sell_per_kwh for track in tracks],
                    [clock.local_hour for clock in clocks],
                ]
            ),
            by_group=np.stack(
                [
                    [track.lower_kw for track in tracks],
                    [track.upper_kw for track in tracks],
                    [track.base_load_kw for track in tracks],
                ]
            ),
            later_per_kwh=np.array([track.later_per_kwh for track in tracks]),
            weekday=np.stack([clock.weekday for clock in clocks]),
            day_of_year=np.stack([clock.day_of_year for clock in clocks]),
        )
