"""The clearness of the sky, which all plants share and prices follow: of each day, and of moments within it.

A generator comes in; the share of clear-sky power of each day goes out, and the normal score that stands for it.

Clouds within the day: the clear-sky index k of a moment is c + c·(1 − c)·x, kept between `LEAST_INDEX` and
`MOST_INDEX`. Here c is the clearness of the day, and x a first-order autoregressive process of unit variance with the
memory `CLOUD_H`. So clear and dark days are steady, and days between them are not, as Skartveit and Olseth found, Solar
Energy 49 (1992) 477-487; the form and its figures are assumptions.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betainc, ndtri

from ev_marl.world.noise import ar1

LEAST_CLEARNESS = 0.1  # PV under the darkest sky over PV under a clear one; assumption
CLEARNESS_SHAPE = (1.2, 1.0)  # of the beta distribution above that least value (mean clearness 0.59); assumption
MEAN_CLEARNESS = LEAST_CLEARNESS + (1.0 - LEAST_CLEARNESS) * CLEARNESS_SHAPE[0] / sum(CLEARNESS_SHAPE)
CLOUD_H = 0.25  # memory of clouds; assumption
LEAST_INDEX, MOST_INDEX = 0.05, 1.1  # of the clear-sky index; edges of clouds reflect; assumption
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


def clear_sky_index(clearness: np.ndarray, sample_h: float, rng: np.random.Generator) -> np.ndarray:
    """Clear-sky index of samples, float64, shape (n_samples,) [-].

    Parameters
    ----------
    clearness : float64, shape (n_samples,)
        Clearness of the day of each sample [-].
    sample_h : float
        Distance of samples [h].
    rng : numpy.random.Generator
        Source of the clouds.
    """
    clouds = ar1(len(clearness), math.exp(-sample_h / CLOUD_H), rng)
    return np.asarray(np.clip(clearness + clearness * (1.0 - clearness) * clouds, LEAST_INDEX, MOST_INDEX))
