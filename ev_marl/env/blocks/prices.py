"""What energy costs now and in the hours ahead, as published a day before, or as the scenario's outlook has it.

Hour k ahead is the mean buying price over that hour, whatever the step. Beyond the end of the day's prices the last
one is held.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Exogenous, Feature, with_end
from ev_marl.planning.outlook import ComposedOutlook, Kind
from ev_marl.scenario.sizes import MOST_AHEAD_H
from ev_marl.simulation.days import Days
from ev_marl.site import Site


@BLOCKS.register("prices")
class Prices(Exogenous):
    """Prices now, and the mean buying price of each hour ahead.

    Parameters
    ----------
    hours : float
        How far ahead [h]; rounded up to whole hours.
    scale_per_kwh : float
        Price that is shown as 1 [currency/kWh].
    most : float
        Prices beyond ± `most` times the scale are shown as ± `most` [-].
    """

    name = "prices"
    looks_at: ClassVar[tuple[Kind, ...]] = ("prices",)

    def __init__(self, hours: float = 12.0, scale_per_kwh: float = 0.25, most: float = 4.0) -> None:
        if hours < 0 or scale_per_kwh <= 0 or most <= 0:
            raise ValueError(
                f"observation block 'prices': hours must be 0 or more, scale_per_kwh and most above 0; "
                f"got {hours}, {scale_per_kwh}, {most}"
            )
        if hours > MOST_AHEAD_H:
            raise ValueError(f"observation block 'prices': found {hours:g} h ahead; at most {MOST_AHEAD_H:g} h")
        self.hours = math.ceil(hours - 1e-9)
        self.scale_per_kwh = scale_per_kwh
        self.most = most

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Nothing depends on the site."""
        unit = f"over {self.scale_per_kwh:g} per kWh, clipped"
        return (
            Feature("buy", -self.most, self.most, f"buying price of the coming step {unit}"),
            Feature("sell", -self.most, self.most, f"selling price of the coming step {unit}"),
            *(
                Feature(f"ahead_{k}h", -self.most, self.most, f"mean buying price from {k} to {k + 1} h ahead {unit}")
                for k in range(self.hours)
            ),
        )

    def look(self, outlook: ComposedOutlook) -> None:
        """Keep the outlook that prices are asked of."""
        self._outlook = outlook

    def tabulate(self, days: Days) -> np.ndarray:
        """One table for known prices; for others, the prices that are expected at each step."""
        n_steps, every = days.n_steps, np.arange(days.n_days)
        table = np.empty((days.n_days, n_steps + 1, 2 + self.hours))
        for column, prices in enumerate((days.buy_per_kwh, days.sell_per_kwh)):
            table[:, :, column] = with_end(prices)
        if self._outlook.knows("prices"):
            table[:, :, 2:] = hour_means(days.buy_per_kwh, np.arange(n_steps + 1), days.step_h, self.hours)
        else:
            for step in range(n_steps):
                buy, _ = self._outlook.prices(every, step)
                table[:, step : step + 1, 2:] = hour_means(buy, np.zeros(1), days.step_h, self.hours)
            table[:, -1, 2:] = days.buy_per_kwh[:, -1:]
        return np.clip(table / self.scale_per_kwh, -self.most, self.most)


def hour_means(per_kwh: np.ndarray, start_step: np.ndarray, step_h: float, hours: int) -> np.ndarray:
    """Mean price of each hour after some moments; beyond the end, the last price is held.

    Means over hours are differences of the running integral, which is linear within a step.

    Parameters
    ----------
    per_kwh : float64, shape (n_days, n_steps)
        Prices [currency/kWh].
    start_step : shape (n_starts,)
        The moments, in steps.
    step_h : float
        Length of a step [h].
    hours : int
        How many.

    Returns
    -------
    float64, shape (n_days, n_starts, hours)
    """
    n_days, n_steps = per_kwh.shape
    integral = np.concatenate([np.zeros((n_days, 1)), np.cumsum(per_kwh, axis=1) * step_h], axis=1)
    moment_h = (start_step * step_h)[:, None] + np.arange(hours + 1)
    place = np.minimum(moment_h / step_h, n_steps)
    before = np.minimum(place.astype(np.int64), n_steps - 1)
    start, end = integral[:, before], integral[:, before + 1]
    until = start + (place - before) * (end - start)
    until += per_kwh[:, -1:, None] * np.maximum(0.0, moment_h - n_steps * step_h)
    means: np.ndarray = until[:, :, 1:] - until[:, :, :-1]
    return means
