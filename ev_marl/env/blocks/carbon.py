"""Carbon intensity of what the site draws from the grid, now and in the hours ahead, as it is published."""

from __future__ import annotations

import math

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Exogenous, Feature, with_end
from ev_marl.env.blocks.prices import hour_means
from ev_marl.scenario.sizes import MOST_AHEAD_H
from ev_marl.simulation.days import Days
from ev_marl.site import Site


@BLOCKS.register("carbon")
class CarbonIntensity(Exogenous):
    """Carbon intensity now, and its mean of each hour ahead; 0 on days on which it is not known.

    Parameters
    ----------
    hours : float
        How far ahead [h]; rounded up to whole hours. Beyond the end of the day, the last value is held.
    scale_kg_per_kwh : float
        Intensity that is shown as 1 [kg/kWh].
    most : float
        Intensities beyond `most` times the scale are shown as `most` [-].
    """

    name = "carbon"

    def __init__(self, hours: float = 12.0, scale_kg_per_kwh: float = 0.5, most: float = 4.0) -> None:
        if not 0 <= hours <= MOST_AHEAD_H or scale_kg_per_kwh <= 0 or most <= 0:
            raise ValueError(
                f"observation block 'carbon': hours must be 0 to {MOST_AHEAD_H:g}, scale_kg_per_kwh and most above 0; "
                f"got {hours}, {scale_kg_per_kwh}, {most}"
            )
        self.hours = math.ceil(hours - 1e-9)
        self.scale_kg_per_kwh = scale_kg_per_kwh
        self.most = most

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Nothing depends on the site."""
        unit = f"over {self.scale_kg_per_kwh:g} kg/kWh, clipped"
        ahead = (
            Feature(f"ahead_{k}h", 0.0, self.most, f"mean carbon intensity from {k} to {k + 1} h ahead {unit}")
            for k in range(self.hours)
        )
        return Feature("now", 0.0, self.most, f"carbon intensity of the coming step {unit}"), *ahead

    def tabulate(self, days: Days) -> np.ndarray:
        """The intensity at each step, and over the hours that follow."""
        if days.carbon_kg_per_kwh is None:
            return np.zeros((days.n_days, days.n_steps + 1, 1 + self.hours))
        known = days.carbon_kg_per_kwh
        ahead = hour_means(known, np.arange(days.n_steps + 1), days.step_h, self.hours)
        table = np.concatenate([with_end(known)[:, :, None], ahead], axis=2)
        return np.clip(table / self.scale_kg_per_kwh, 0.0, self.most)
