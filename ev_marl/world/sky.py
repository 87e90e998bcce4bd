"""The clearness of the sky of each day, which all plants share and prices follow.

A generator comes in; the share of clear-sky power of each day goes out, and the normal score that stands for it.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, ndtri

LEAST_CLEARNESS = 0.1  # PV under the darkest sky over PV under a clear one; assumption
CLEARNESS_SHAPE = (1.2, 1.0)  # of the beta distribution above that least value (mean clearness 0.59); assumption
MEAN_CLEARNESS = LEAST_CLEARNESS + (1.0 - LEAST_CLEARNESS) * CLEARNESS_SHAPE[0] / sum(CLEARNESS_SHAPE)
_LEAST_PROBABILITY = 1e-12


def daily_clearness(n_days: int, rng: np.random.Generator) -> np.ndarray:
    """PV of each day over PV under a clear sky, float64, shape (n_days,) [-]."""
    clear: np.ndarray = LEAST_CLEARNESS + (1.0 - LEAST_CLEARNESS) * rng.beta(*CLEARNESS_SHAPE, size=n_days)
    return clear


def normal_score(clearness: np.ndarray) -> np.ndarray:
    """The value of a standard normal that is as rare as each clearness: below 0 for dark days."""
    above_least = (clearness - LEAST_CLEARNESS) / (1.0 - LEAST_CLEARNESS)
    probability = betainc(*CLEARNESS_SHAPE, np.clip(above_least, 0.0, 1.0))
    return np.asarray(ndtri(np.clip(probability, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)))
