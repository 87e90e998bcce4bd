"""The truth: the whole day is known in advance."""

from __future__ import annotations

import numpy as np

from ev_marl.grid.solvers.base import Injections
from ev_marl.planning.outlook.base import OUTLOOKS, Coming, Present, Rows, Truth, states, still_to_come
from ev_marl.world.world import World


@OUTLOOKS.register("known")
class KnownOutlook:
    """The whole day is known in advance, as in its track."""

    foresees = True

    def begin(self, truth: Truth, world: World | None) -> None:
        """Keep the days."""
        self._truth = truth

    def prices(self, day: Rows, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Prices of the day."""
        days = self._truth.days
        return days.buy_per_kwh[day, step:], days.sell_per_kwh[day, step:]

    def limits_kw(self, present: Present) -> tuple[np.ndarray, np.ndarray]:
        """Limits of the day."""
        days = self._truth.days
        return days.lower_kw[present.day, present.step :], days.upper_kw[present.day, present.step :]

    def base_load_kw(self, present: Present) -> np.ndarray:
        """Base load of the day."""
        load_kw: np.ndarray = self._truth.days.base_load_kw[present.day, present.step :]
        return load_kw

    def vehicles(self, present: Present, n_days: int) -> Coming:
        """Vehicles of the day."""
        return still_to_come(self._truth, self._truth.stays, present.day, present.step)

    def grid_loads(self, present: Present, n_steps: int) -> Injections:
        """Loads and generators of the day."""
        assert present.grid is not None  # whoever asks has a network
        later = slice(present.step, present.step + n_steps)
        played = np.arange(len(self._truth.tracks))[present.day]
        days = [self._truth.grid_loads[k] for k in played.tolist()]
        return states(present.grid, [np.stack([part[later] for part in parts]) for parts in zip(*days, strict=True)])
