"""The steps of one episode as local times: elapsed time moves evenly, local clock hours follow the time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np

from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import shown


def zone_of(name: object) -> ZoneInfo:
    """The time zone of an IANA name.

    Raises
    ------
    ValueError
        If there is none of this name; the message suggests one.
    """
    try:
        return ZoneInfo(name if isinstance(name, str) else "")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: `Europe` is a folder of zones
        near = did_you_mean(str(name), sorted(available_timezones()))
        message = f"found {shown(name)}; expected an IANA time zone such as Europe/Amsterdam.{near}"
        raise ValueError(message) from error


@dataclass(frozen=True)
class Clock:
    """Times of an episode of `n_steps` steps of `step_h` hours that starts at `start`.

    Parameters
    ----------
    start : datetime
        Start of the first step, aware.
    timezone : str
        IANA name, such as "Europe/Amsterdam"; local hours are counted there, clock changes included.
    step_h : float
        Length of a step [h].
    n_steps : int
        Number of steps T.
    first_step : int
        Step of the episode that the first of these steps is, negative before the episode.
    """

    start: datetime
    timezone: str
    step_h: float
    n_steps: int
    first_step: int = 0

    @cached_property
    def local_times(self) -> list[datetime]:
        """Local start time of each step, length n_steps."""
        zone = ZoneInfo(self.timezone)
        begin = self.start.astimezone(UTC)
        return [(begin + timedelta(hours=t * self.step_h)).astimezone(zone) for t in range(self.n_steps)]

    @cached_property
    def local_hour(self) -> np.ndarray:
        """Local clock time of each step's start [h in 0..24), float64, shape (n_steps,)."""
        return np.array([time.hour + time.minute / 60 + time.second / 3600 for time in self.local_times])

    @cached_property
    def weekday(self) -> np.ndarray:
        """Local weekday of each step (Monday 0), int64, shape (n_steps,)."""
        return np.array([time.weekday() for time in self.local_times])

    @cached_property
    def day_of_year(self) -> np.ndarray:
        """Local day of the year (1..366) of each step, int64, shape (n_steps,)."""
        return np.array([time.timetuple().tm_yday for time in self.local_times])

    def before(self, n_steps: int) -> Clock:
        """The last `n_steps` steps before these."""
        start = self.start.astimezone(UTC) - timedelta(hours=n_steps * self.step_h)
        return Clock(start, self.timezone, self.step_h, n_steps, self.first_step - n_steps)

    @property
    def horizon_h(self) -> float:
        """Length of the episode [h]."""
        return self.step_h * self.n_steps
