"""The meter of a site: base load, PV and vehicles behind one connection, billed on what they import or export together.

Powers and prices come in, money and marginal prices go out. With N = base load + Σ p, the bill of a step is
Δ·(buy·max(0, N) − sell·max(0, −N)); the vehicles cause the bill with them less the bill without them. Whoever wants the
site's marginal prices at a base load (blocks, own plans, messages) asks `marginal_prices`.
"""

from __future__ import annotations

import numpy as np

from ev_marl.support.compiled import kernel


def marginal_prices(
    base_load_kw: np.ndarray, buy_per_kwh: np.ndarray, sell_per_kwh: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the first kW of charging costs behind a site's meter, and what the first kW of discharging earns there.

    While the site imports without vehicles (base load > 0), both are the buying price: charging is bought, and
    discharging saves buying. While it exports (< 0), both are the selling price: charging takes what would be sold. At
    exactly 0, charging is bought and discharging sold.

    Parameters
    ----------
    base_load_kw : float64, any shape
        Base load of the whole site, PV included, without vehicles [kW].
    buy_per_kwh, sell_per_kwh : float64, same shape
        Prices [currency/kWh].

    Returns
    -------
    charging, discharging : float64, same shape
        Prices [currency/kWh]; with meters at the ports they are the buying and the selling price.
    """
    charging = np.where(base_load_kw < 0.0, sell_per_kwh, buy_per_kwh)
    discharging = np.where(base_load_kw > 0.0, buy_per_kwh, sell_per_kwh)
    return charging, discharging


@kernel
def mean_price(base_load_kw: float, power_kw: float, buy: float, sell: float) -> float:
    """Mean of the site's marginal price on the way from no vehicles to all of them.

    Parameters
    ----------
    base_load_kw : float
        Net load of the site without vehicles [kW].
    power_kw : float
        Power of all vehicles [kW].
    buy, sell : float
        Prices [currency/kWh].

    Returns
    -------
    float
        Between `sell` and `buy`; times the vehicles' power, it is the difference that they make to the bill of an hour
        [currency/kWh].
    """
    net_kw = base_load_kw + power_kw
    if base_load_kw >= 0.0 and net_kw >= 0.0:
        return buy if base_load_kw > 0.0 or net_kw > 0.0 else 0.5 * (buy + sell)
    if base_load_kw <= 0.0 and net_kw <= 0.0:
        return sell
    imported = max(base_load_kw, net_kw) / (abs(base_load_kw) + abs(net_kw))
    return buy * imported + sell * (1.0 - imported)
