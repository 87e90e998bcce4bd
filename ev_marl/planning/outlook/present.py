"""No change: the present values stay to the end of the episode, and no vehicles come."""

from __future__ import annotations

import numpy as np

from ev_marl.grid.solvers.base import Injections
from ev_marl.planning.outlook.base import NOBODY, OUTLOOKS, Coming, Present, Rows, Truth
from ev_marl.world.world import World


@OUTLOOKS.register("present")
class PresentOutlook:
    """No change: prices, limits and loads stay as they are now, and no vehicles come."""

    foresees = False

    def begin(self, truth: Truth, world: World | None) -> None:
        """Keep the prices, of which only those of the present step are read."""
        self._days = truth.days

    def prices(self, day: Rows, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The present prices."""
        buy, sell = (np.atleast_1d(table[day, step]) for table in (self._days.buy_per_kwh, self._days.sell_per_kwh))
        n_left = self._days.n_steps - step
        return np.repeat(buy[:, None], n_left, axis=1), np.repeat(sell[:, None], n_left, axis=1)

    def limits_kw(self, present: Present) -> tuple[np.ndarray, np.ndarray]:
        """The present limits."""
        return _stays(present.lower_kw, present), _stays(present.upper_kw, present)

    def base_load_kw(self, present: Present) -> np.ndarray:
        """The present base load."""
        return _stays(present.base_load_kw, present)

    def vehicles(self, present: Present, n_days: int) -> Coming:
        """No vehicles."""
        return Coming(NOBODY, np.empty((present.n_batch, 0), dtype=bool), 1.0)

    def grid_loads(self, present: Present, n_steps: int) -> Injections:
        """The present state in every step."""
        assert present.grid is not None  # only called with a network
        return present.grid.rows(np.repeat(np.arange(present.n_batch), n_steps))


def _stays(values_kw: np.ndarray, present: Present) -> np.ndarray:
    return np.repeat(values_kw[:, None], present.n_steps - present.step, axis=1)
