"""A quantity over the day: one constant, 24 values by local clock hour, or one value per step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ev_marl.scenario.clock import Clock
from ev_marl.support.errors import SiteError

SeriesKind = Literal["constant", "by_hour", "by_step"]


@dataclass(frozen=True)
class Series:
    """Values of one quantity, and how they lie along the day.

    Parameters
    ----------
    values : tuple of float
        One value (`constant`), 24 values (`by_hour`, local clock hours 0 to 23), or one per step (`by_step`).
    kind : {"constant", "by_hour", "by_step"}
        Which of the three.
    """

    values: tuple[float, ...]
    kind: SeriesKind = "constant"

    def __post_init__(self) -> None:
        if self.kind == "constant" and len(self.values) != 1:
            raise ValueError(f"a constant has one value, not {len(self.values)}")
        if self.kind == "by_hour" and len(self.values) != 24:
            raise ValueError(f"a series by hour has 24 values, not {len(self.values)}")

    @classmethod
    def constant(cls, value: float) -> Series:
        """The same value at every step."""
        return cls((float(value),))

    def at(self, clock: Clock) -> np.ndarray:
        """Values at every step of `clock`, float64, shape (n_steps,); before an episode, a series by step repeats.

        Raises
        ------
        SiteError
            If a series by step has not one value per step.
        """
        if self.kind == "constant":
            return np.full(clock.n_steps, self.values[0])
        values = np.asarray(self.values, dtype=np.float64)
        if self.kind == "by_hour":
            return values[clock.local_hour.astype(np.int64)]
        if clock.first_step < 0:
            return values[np.arange(clock.first_step, clock.first_step + clock.n_steps) % len(values)]
        if len(values) != clock.n_steps:
            raise SiteError(f"a series by step needs {clock.n_steps} values, one per step, and has {len(values)}")
        return values.copy()

    @property
    def lowest(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def highest(self) -> float:
        """The largest value."""
        return max(self.values)
