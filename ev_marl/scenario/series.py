"""A quantity over the day: one constant, 24 values by local clock hour, one value per step, or values with dates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from ev_marl.scenario.clock import Clock
from ev_marl.support.errors import DataError, SiteError

SeriesKind = Literal["constant", "by_hour", "by_step", "dated"]
TOLERANCE_H = 1e-9


@dataclass(frozen=True)
class Series:
    """Values of one quantity, and how they lie along the day.

    Parameters
    ----------
    values : tuple of float
        One value (`constant`), 24 values (`by_hour`, local clock hours 0 to 23), one per step (`by_step`), or one for
        each interval of time (`dated`).
    kind : {"constant", "by_hour", "by_step", "dated"}
        Which of the four.
    start : datetime, optional
        Start of the first interval of a dated series, aware.
    interval_h : float, optional
        Length of its intervals [h].
    source : str
        File that a dated series comes from, for messages.
    """

    values: tuple[float, ...]
    kind: SeriesKind = "constant"
    start: datetime | None = None
    interval_h: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.kind == "constant" and len(self.values) != 1:
            raise ValueError(f"a constant has one value, not {len(self.values)}")
        if self.kind == "by_hour" and len(self.values) != 24:
            raise ValueError(f"a series by hour has 24 values, not {len(self.values)}")
        if self.kind == "dated" and (self.start is None or self.start.tzinfo is None or not self.interval_h):
            raise ValueError("a dated series needs `start`, with its offset from UTC, and `interval_h`")
        if self.kind == "dated" and not self.values:
            raise ValueError("a dated series has at least one value")

    @classmethod
    def constant(cls, value: float) -> Series:
        """The same value at every step."""
        return cls((float(value),))

    def at(self, clock: Clock) -> np.ndarray:
        """Values at every step of `clock`, float64, shape (n_steps,).

        A dated series is averaged over each step. Before an episode, a series by step repeats, and a dated one has for
        what it lacks the values of the days that follow.

        Raises
        ------
        SiteError
            If a series by step has not one value per step.
        DataError
            If a dated series does not cover the steps.
        """
        if self.kind == "constant":
            return np.full(clock.n_steps, self.values[0])
        values = np.asarray(self.values, dtype=np.float64)
        if self.kind == "by_hour":
            return values[clock.local_hour.astype(np.int64)]
        if self.kind == "dated":
            return self._on_dates(values, clock)
        if clock.first_step < 0:
            return values[np.arange(clock.first_step, clock.first_step + clock.n_steps) % len(values)]
        if len(values) != clock.n_steps:
            raise SiteError(f"a series by step needs {clock.n_steps} values, one per step, and has {len(values)}")
        return values.copy()

    def check(self, start: datetime, horizon_h: float) -> None:
        """Raise a DataError that says what a dated series covers, unless it covers a whole episode."""
        if self.kind != "dated":
            return
        assert self.start is not None
        assert self.interval_h is not None
        end = self.start + timedelta(hours=self.interval_h * len(self.values))
        if not (self.start <= start and start.astimezone(UTC) + timedelta(hours=horizon_h) <= end):
            raise DataError(
                f"{self.source}: no values for the whole episode that starts at {start.isoformat()}; the file covers "
                f"{self.start.astimezone(UTC):%Y-%m-%d %H:%M} to {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC. Choose "
                "`start` and `until` within it."
            )

    def _on_dates(self, values: np.ndarray, clock: Clock) -> np.ndarray:
        assert self.start is not None
        assert self.interval_h is not None
        begin = clock.start.astimezone(UTC)
        if clock.first_step < 0:
            begin += timedelta(days=max(0, math.ceil((self.start - begin) / timedelta(days=1))))
        else:
            self.check(clock.start, clock.horizon_h)
        before_h = (self.start - begin) / timedelta(hours=1)
        first = int(np.floor(-before_h / self.interval_h + TOLERANCE_H))
        n = int(np.ceil(clock.horizon_h / self.interval_h)) + 1
        # Beyond the end, which only times before an episode reach, the last value is held.
        chosen = values[min(first, len(values) - 1) : first + n]
        start_h = before_h + self.interval_h * (first + np.arange(len(chosen)))
        return steps_of(chosen, start_h, clock.step_h, clock.n_steps)

    @property
    def lowest(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def highest(self) -> float:
        """The largest value."""
        return max(self.values)


def steps_of(values: np.ndarray, start_h: np.ndarray, step_h: float, n_steps: int) -> np.ndarray:
    """Piecewise constant values as averages over the steps of an episode.

    A step that lies within one piece takes its value unchanged; one that spans several takes their mean by time.

    Parameters
    ----------
    values : float64, shape (n_pieces,)
        Value of each piece.
    start_h : float64, shape (n_pieces,)
        Start of each piece, elapsed since the start of the episode [h], increasing, the first <= 0. The last piece
        lasts to the end of the episode.
    step_h : float
        Length of a step [h].
    n_steps : int
        Number of steps.

    Returns
    -------
    float64, shape (n_steps,)
    """
    edges = np.arange(n_steps + 1) * step_h
    first = np.searchsorted(start_h, edges[:-1] + TOLERANCE_H, side="right") - 1
    last = np.searchsorted(start_h, edges[1:] - TOLERANCE_H, side="right") - 1
    if np.array_equal(first, last):
        return values[first]
    bounds = np.append(start_h, max(edges[-1], start_h[-1]) + step_h)
    integral = np.concatenate([[0.0], np.cumsum(values * np.diff(bounds))])
    mean = np.diff(np.interp(edges, bounds, integral)) / step_h
    return np.where(first == last, values[first], mean)
