"""What a kW more costs, and a kW less earns, behind the site's meter.

A station knows the present price, and whether the site would import or export without vehicles: one bit of the base
load, and nothing of any vehicle.
"""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Exogenous, Feature, with_end
from ev_marl.objective.meter import marginal_prices
from ev_marl.simulation.days import Days
from ev_marl.site import Site


@BLOCKS.register("site_price")
class SitePrice(Exogenous):
    """The site's marginal prices of the coming step, at its base load without vehicles.

    Parameters
    ----------
    scale_per_kwh : float
        Price that is shown as 1 [currency/kWh].
    most : float
        Prices beyond ± `most` times the scale are shown as ± `most` [-].
    """

    name = "site_price"

    def __init__(self, scale_per_kwh: float = 0.25, most: float = 4.0) -> None:
        if scale_per_kwh <= 0 or most <= 0:
            raise ValueError(
                f"observation block 'site_price': scale_per_kwh and most must be above 0; got {scale_per_kwh}, {most}"
            )
        self.scale_per_kwh, self.most = scale_per_kwh, most

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Nothing depends on the site."""
        unit = f"over {self.scale_per_kwh:g} per kWh, clipped"
        return (
            Feature(
                "charging", -self.most, self.most, f"what the first kW of charging costs in the coming step {unit}"
            ),
            Feature("discharging", -self.most, self.most, f"what the first kW of discharging earns in it {unit}"),
        )

    def tabulate(self, days: Days) -> np.ndarray:
        """The prices at each step's base load."""
        both = marginal_prices(days.base_load_kw[:, :, 0], days.buy_per_kwh, days.sell_per_kwh)
        table = np.stack([with_end(price) for price in both], axis=2)
        return np.clip(table / self.scale_per_kwh, -self.most, self.most)
