"""The whole clock hours around an episode, counted in hours elapsed since its start.

Session and price models speak of local hours, weekends, months and quarters; an episode is a sequence of steps of
elapsed time. This grid relates the two, clock changes included: a day of 23 hours lacks one local hour, a day of 25
hours has one twice.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from ev_marl.scenario.series import TOLERANCE_H, steps_of

__all__ = ["HOLIDAY", "HourGrid", "steps_of"]

HOLIDAY = 7  # as a day of the week


@dataclass(frozen=True)
class HourGrid:
    """N consecutive clock hours; index them by elapsed time."""

    start_h: np.ndarray  # float64 (N,)  start of each hour, elapsed since the start of the episode [h]
    local_hour: np.ndarray  # int64 (N,)  0..23
    weekend: np.ndarray  # int64 (N,)  1 on a Saturday, Sunday or public holiday, else 0
    month: np.ndarray  # int64 (N,)  0..11
    day: np.ndarray  # int64 (N,)  local calendar day, 0 for the first of the grid
    weekday: np.ndarray  # int64 (N,)  0 on a Monday, 6 on a Sunday; HOLIDAY on a public holiday

    def __len__(self) -> int:
        return len(self.start_h)

    @property
    def quarter(self) -> np.ndarray:
        """Quarter of the year, int64, shape (N,), 0..3."""
        return self.month // 3

    @classmethod
    def around(
        cls, start: datetime, timezone: str, first_h: float, last_h: float, holidays: Container[date] = ()
    ) -> HourGrid:
        """The clock hours that overlap the time from `first_h` to `last_h`.

        Parameters
        ----------
        start : datetime
            Start of the episode, aware.
        timezone : str
            IANA name of the local clock.
        first_h, last_h : float
            Bounds in hours since `start`; `first_h` may be negative.
        holidays : container of date
            Public holidays; left out, they are days like others.
        """
        zone = ZoneInfo(timezone)
        begin = start.astimezone(UTC)
        first = begin + timedelta(hours=first_h)
        local = first.astimezone(zone)
        first -= timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        offset_h = (first - begin) / timedelta(hours=1)
        n_hours = int(np.ceil(last_h - offset_h - TOLERANCE_H))
        times = [(first + timedelta(hours=k)).astimezone(zone) for k in range(n_hours)]
        dates = [time.toordinal() for time in times]
        weekday = np.array([HOLIDAY if time.date() in holidays else time.weekday() for time in times], dtype=np.int64)
        return cls(
            start_h=offset_h + np.arange(n_hours, dtype=np.float64),
            local_hour=np.array([time.hour for time in times], dtype=np.int64),
            weekend=(weekday >= 5).astype(np.int64),
            month=np.array([time.month - 1 for time in times], dtype=np.int64),
            day=np.array(dates, dtype=np.int64) - dates[0],
            weekday=weekday,
        )
