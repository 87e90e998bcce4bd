"""What the lack of central control costs: the price of decentralisation and the price of anarchy.

Returns of a policy and bounds of the same days come in, one record of plain numbers goes out. `price of
decentralisation` is that of a policy whose agents want the same and only know less; `price of anarchy` that of an
equilibrium of agents who want different things. Both are the same arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ev_marl.compare.statistics import score


@dataclass(frozen=True)
class PriceOf:
    """How much worse than the cooperative optimum."""

    ratio: float  # cost of the policy over cost of the optimum [-], NaN where the optimum costs nothing or earns
    per_day: float  # cost of the policy less cost of the optimum [currency/day]
    points: float  # score of the optimum (1) less score of the policy [-], NaN where there is nothing to gain


def price_of(returns: np.ndarray, bound: np.ndarray, uncontrolled: np.ndarray) -> PriceOf:
    """Price of playing as a policy does, over the same days.

    Parameters
    ----------
    returns : float64, shape (n_days,)
        Team returns of the policy: what it earns, costs being below 0 [currency].
    bound : float64, shape (n_days,)
        Bounds of the cooperative optimum [currency].
    uncontrolled : float64, shape (n_days,)
        Team returns of uncontrolled charging, from which scores count [currency].

    Returns
    -------
    PriceOf
        Ratio of summed costs, as the literature defines the price of anarchy (Koutsoupias and Papadimitriou 1999,
        there of the worst equilibrium; here of the one that was played); difference a day; difference of scores.
        Where vehicles may sell, the optimum can cost almost nothing, and the ratio means little: use the difference.
    """
    cost, best = -float(np.mean(returns)), -float(np.mean(bound))
    return PriceOf(
        ratio=cost / best if best > 0.0 else math.nan,
        per_day=cost - best,
        points=1.0 - float(score(returns, uncontrolled, bound)),
    )
