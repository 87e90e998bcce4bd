"""What many days say together: scores with intervals, satisfaction, fairness.

Returns, bounds and satisfactions come in as arrays; plain numbers go out. Each formula stands here once, so that the
table, the files and the documentation cannot differ.
"""

from __future__ import annotations

import numpy as np

NOTHING_TO_GAIN = 1e-6  # relative to the size of the bound: below it, a day's score is solver tolerance over itself
RESAMPLES = 10_000
LEVEL = 0.95


def gains(returns: np.ndarray, uncontrolled: np.ndarray, bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a policy gained over uncontrolled charging, and what could be gained.

    Parameters
    ----------
    returns : float64, shape (..., n_days)
        Team returns of one or more policies [currency].
    uncontrolled, bound : float64, shape (n_days,)
        Team return of uncontrolled charging and bound of the same days [currency].

    Returns
    -------
    gained : float64, shape (..., n_days)
        R − R_uncontrolled [currency].
    possible : float64, shape (n_days,)
        R* − R_uncontrolled [currency].
    """
    return returns - uncontrolled, bound - uncontrolled


def day_scores(returns: np.ndarray, uncontrolled: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Score of each day by itself, (R − R_uncontrolled) / (R* − R_uncontrolled), shape as `returns` [-].

    NaN on a day on which perfect cooperation gains nothing over uncontrolled charging (less than 1e-6 of the bound).
    """
    gained, possible = gains(returns, uncontrolled, bound)
    worth = possible > NOTHING_TO_GAIN * np.maximum(1.0, np.abs(bound))
    scores = np.full(np.shape(gained), np.nan)
    np.divide(gained, possible, out=scores, where=worth)
    return scores


def score(returns: np.ndarray, uncontrolled: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Score over all days: Σ(R − R_uncontrolled) / Σ(R* − R_uncontrolled).

    A ratio of sums, not a mean of daily ratios: it is the share of the money that could be gained over these days.
    Every currency unit counts the same, and a day on which there is next to nothing to gain, whose own ratio could be
    anything, has next to no say.

    Parameters
    ----------
    returns : float64, shape (..., n_days)
        Team returns [currency].
    uncontrolled, bound : float64, shape (n_days,)
        See `gains`.

    Returns
    -------
    float64, shape (...)
        0: as uncontrolled charging, 1: as the optimum [-]; NaN if there was nothing to gain on any day.
    """
    gained, possible = gains(returns, uncontrolled, bound)
    total = possible.sum()
    if total <= NOTHING_TO_GAIN * max(1.0, float(np.abs(bound).sum())):
        return np.full(np.shape(gained)[:-1], np.nan)
    return np.asarray(gained.sum(axis=-1) / total)


def score_interval(
    returns: np.ndarray,
    uncontrolled: np.ndarray,
    bound: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> np.ndarray:
    """Paired bootstrap interval of `score` over days.

    Whole days are drawn with replacement, the same for all policies and for the bound, so what days differ in cancels
    out (percentile interval; Efron & Tibshirani 1993, chapter 13).

    Parameters
    ----------
    returns : float64, shape (n_policies, n_days)
        Team returns [currency].
    uncontrolled, bound : float64, shape (n_days,)
        See `gains`.
    seed : int
        Of the resampling.
    resamples : int
        How often days are drawn.
    level : float
        Share of the resampled scores inside the interval [-].

    Returns
    -------
    float64, shape (n_policies, 2)
        Lower and upper end [-]; NaN with fewer than two days or with nothing to gain.
    """
    gained, possible = gains(returns, uncontrolled, bound)
    n_policies, n_days = gained.shape
    if n_days < 2 or np.isnan(score(returns, uncontrolled, bound)).any():
        return np.full((n_policies, 2), np.nan)
    rng = np.random.default_rng(seed)
    times_drawn = rng.multinomial(n_days, np.full(n_days, 1.0 / n_days), size=resamples)
    total = times_drawn @ possible
    usable = total > 0.0  # a resample of nothing but days without anything to gain has no score
    scores = (times_drawn[usable] @ gained.T) / total[usable, None]
    tail = 0.5 * (1.0 - level)
    return np.asarray(np.quantile(scores, [tail, 1.0 - tail], axis=0).T)


def worst_tenth(values: np.ndarray) -> float:
    """Mean of the lowest tenth (at least one value, rounded up); NaN if there is none."""
    if not len(values):
        return float("nan")
    count = -(-len(values) // 10)
    return float(np.partition(values, count - 1)[:count].mean())


def mean_or_nan(values: np.ndarray) -> float:
    """Mean, NaN without a value."""
    return float(values.mean()) if len(values) else float("nan")


def jain(values: np.ndarray) -> float:
    """Jain's fairness index (Σx)² / (n·Σx²), from 1/n (one has everything) to 1 (all have the same) [-].

    Jain, Chiu & Hawe 1984. All zero counts as equal: 1. NaN without a value.
    """
    if not len(values):
        return float("nan")
    squares = len(values) * float(np.square(values).sum())
    return float(values.sum()) ** 2 / squares if squares > 0.0 else 1.0


def station_means(values: np.ndarray, station: np.ndarray) -> np.ndarray:
    """Mean of the values of each station that has any.

    Parameters
    ----------
    values : float64, shape (n_sessions,)
        One number a session.
    station : int64, shape (n_sessions,)
        Whose it is.

    Returns
    -------
    float64, shape (n_stations_with_a_session,)
    """
    counts = np.bincount(station)
    sums = np.bincount(station, weights=values)
    return np.asarray(sums[counts > 0] / counts[counts > 0])
