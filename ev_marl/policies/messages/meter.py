"""The meter as one more node of the coupling graph: it hears what the site draws and announces the price of a kWh.

Sums of plans come in, prices from this step on go out. Where each port has a meter of its own, the published prices are
all there is to announce.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook import Outlook
from ev_marl.policies.base import SiteView
from ev_marl.policies.messages.sums import steepness


class MeterPrice:
    """Price of a kWh behind the meter of a site, B batch rows, T steps of the episode.

    A site's bill, the buying price times what it imports less the selling price times what it exports, is one more cost
    on a sum of plans. The price that belongs to it is the buying price where the site imports, the selling price where
    it exports, and one between them where the plans bring it to 0.

    Parameters
    ----------
    outlook : Outlook
        Gives the base load of later steps.
    n_batch, n_steps : int
        B and T.
    inertia_per_kwh : float
        That of the stations [currency/kWh].

    Attributes
    ----------
    price_per_kwh : float64, shape (n_batch, n_steps)
        What a kWh costs, or earns; NaN before the first step [currency/kWh].
    """

    def __init__(self, outlook: Outlook, n_batch: int, n_steps: int, inertia_per_kwh: float) -> None:
        self._outlook, self._inertia_per_kwh = outlook, inertia_per_kwh
        self.price_per_kwh = np.full((n_batch, n_steps), np.nan)

    def look(self, view: SiteView) -> None:
        """Take over published prices and the outlook on the base load; a price kept stays where it still can be."""
        self._left = slice(view.step, None)
        self._energy_per_kwh = view.bill_per_kwh
        self._shared = view.worth.metering == "site"
        if self._shared:
            self._base_kw = self._outlook.base_load_kw(view.present())[:, :, 0]
            kept = self.price_per_kwh[:, self._left]
            kept = np.where(np.isnan(kept), self._beyond(self._base_kw), kept)
            self.price_per_kwh[:, self._left] = self._announced = self._cut(kept, self._base_kw)

    def announced(self) -> np.ndarray:
        """What a kWh bought costs and one sold earns, float64, shape (2, n_batch, n_steps - step) [currency/kWh].

        The price of a site is extrapolated by one round, as those of limits are.
        """
        return np.stack([self._announced, self._announced]) if self._shared else self._energy_per_kwh

    def answer(self, total_kw: np.ndarray, able_kw: np.ndarray) -> None:
        """Take over plans, and move the price: higher where the site imports, lower where it exports.

        μ⁺ = clip(μ + σ (Σ planned + base load), selling price, buying price), σ being the `steepness` at the power that
        could be planned.

        Parameters
        ----------
        total_kw, able_kw : float64, shape (n_batch, n_steps - step)
            Sums of planned powers, and of powers that could be planned, of the whole site [kW].
        """
        if not self._shared:
            return
        old, net_kw = self.price_per_kwh[:, self._left], total_kw + self._base_kw
        new = self._cut(old + steepness(self._inertia_per_kwh, able_kw) * net_kw, net_kw)
        self._announced = 2.0 * new - old
        self.price_per_kwh[:, self._left] = new

    def _beyond(self, net_kw: np.ndarray) -> np.ndarray:
        """The buying price where the site imports, the selling price where it does not."""
        buy, sell = self._energy_per_kwh
        price: np.ndarray = np.where(net_kw > 0.0, buy, sell)
        return price

    def _cut(self, price_per_kwh: np.ndarray, net_kw: np.ndarray) -> np.ndarray:
        """A price within what it can be; where selling pays more than buying, it is one of the two."""
        buy, sell = self._energy_per_kwh
        return np.where(sell <= buy, np.clip(price_per_kwh, sell, buy), self._beyond(net_kw))
