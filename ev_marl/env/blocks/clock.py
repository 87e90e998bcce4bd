"""The time: the local clock as a point on a circle, and the progress of the episode."""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Exogenous, Feature
from ev_marl.simulation.days import Days
from ev_marl.site import Site


@BLOCKS.register("clock")
class TimeOfDay(Exogenous):
    """Local time of day and progress of the episode."""

    name = "clock"

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Nothing depends on the site."""
        return (
            Feature("hour_sin", -1, 1, "sine of the local clock time, 24 h a turn"),
            Feature("hour_cos", -1, 1, "cosine of the local clock time"),
            Feature("progress", 0, 1, "steps done over steps of the episode"),
        )

    def tabulate(self, days: Days) -> np.ndarray:
        """Start of every step, and the end of the last."""
        end = days.local_hour[:, -1:] + days.step_h
        turn = 2.0 * np.pi / 24.0 * np.concatenate([days.local_hour, end], axis=1)
        progress = np.broadcast_to(np.linspace(0.0, 1.0, days.n_steps + 1), turn.shape)
        return np.stack([np.sin(turn), np.cos(turn), progress], axis=2)
