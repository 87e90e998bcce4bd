"""The date: weekday and season as points on a circle."""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Exogenous, Feature, with_end
from ev_marl.simulation.days import Days
from ev_marl.site import Site


@BLOCKS.register("calendar")
class Calendar(Exogenous):
    """Local weekday and day of the year."""

    name = "calendar"

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Nothing depends on the site."""
        return (
            Feature("weekday_sin", -1, 1, "sine of the local weekday, Monday 0, 7 days a turn"),
            Feature("weekday_cos", -1, 1, "cosine of the local weekday"),
            Feature("weekend", 0, 1, "1 on Saturday and Sunday"),
            Feature("season_sin", -1, 1, "sine of the day of the year, 365.25 days a turn"),
            Feature("season_cos", -1, 1, "cosine of the day of the year"),
        )

    def tabulate(self, days: Days) -> np.ndarray:
        """The day that each step starts in."""
        weekday = with_end(days.weekday)
        week = 2.0 * np.pi / 7.0 * weekday
        season = 2.0 * np.pi / 365.25 * (with_end(days.day_of_year) - 1)
        return np.stack([np.sin(week), np.cos(week), weekday >= 5, np.sin(season), np.cos(season)], axis=2)
