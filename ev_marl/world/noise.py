"""Stationary first-order noise, the one kernel that prices and loads share.

Independent standard normals come in; a unit-variance AR(1) series with the given lag-one correlation goes out.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.support.compiled import kernel


@kernel
def _filter(normal: np.ndarray, lag1: float, scale: float) -> None:
    for k in range(1, normal.size):
        normal[k] = lag1 * normal[k - 1] + scale * normal[k]


def ar1(n: int, lag1: float, rng: np.random.Generator) -> np.ndarray:
    """A stationary AR(1) series of mean 0 and standard deviation 1.

    Parameters
    ----------
    n : int
        Length.
    lag1 : float
        Correlation of neighbours, |lag1| < 1 [-].
    rng : numpy.random.Generator
        Source of the innovations.

    Returns
    -------
    float64, shape (n,)
    """
    series = rng.standard_normal(n)
    _filter(series, lag1, math.sqrt(1.0 - lag1 * lag1))
    return series
