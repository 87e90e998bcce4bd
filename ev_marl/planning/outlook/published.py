"""Prices as the market publishes them: true as far as they are published, and another outlook's beyond.

The track says at each step how far that is; where it does not, prices are published to the end of the episode.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook.base import OUTLOOKS, Outlook, Rows, Truth
from ev_marl.support.errors import OptionError
from ev_marl.world.world import World


@OUTLOOKS.register("published")
class PublishedOutlook:
    """Prices that are published, and what another outlook says of later ones, given the last one that is published.

    Parameters
    ----------
    beyond : str
        Outlook for prices that are not published yet: `expected`, `present`, `forecast`, `known`, or your own.

    Raises
    ------
    OptionError
        If that outlook does not cover prices.
    """

    foresees = False

    def __init__(self, beyond: str = "expected") -> None:
        self._beyond: Outlook = OUTLOOKS.make(beyond)
        if not hasattr(self._beyond, "prices"):
            raise OptionError(f"outlook 'published': {beyond} does not cover prices")

    def begin(self, truth: Truth, world: World | None) -> None:
        """Keep the days."""
        self._days = truth.days
        self._beyond.begin(truth, world)

    @property
    def to_the_end(self) -> bool:
        """Whether the prices of all days are published from the first step on."""
        steps = self._days.published_steps
        return steps is None or bool((steps[:, 0] >= self._days.n_steps).all())

    def prices(self, day: Rows, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Published prices, then those of the other outlook as it would see them from the last published step."""
        days = self._days
        buy, sell = days.buy_per_kwh[day, step:], days.sell_per_kwh[day, step:]
        if days.published_steps is None or self.to_the_end:
            return buy, sell
        buy, sell = buy.copy(), sell.copy()
        known = days.published_steps[day, step]
        rows = np.arange(days.n_days)[day]
        for n_known in np.unique(known[known < days.n_steps]).tolist():
            last = max(int(n_known) - 1, step)
            chosen = known == n_known
            for table, later in zip((buy, sell), self._beyond.prices(rows[chosen], last), strict=True):
                table[chosen, last - step + 1 :] = later[:, 1:]
        return buy, sell
