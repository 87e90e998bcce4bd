"""What many days say together: scores with intervals, satisfaction, fairness.

Returns, bounds and satisfactions come in as arrays; plain numbers go out. Each formula stands here once, so that the
table, the files and the documentation cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
    Every currency unit counts the same, and a day with almost nothing to gain, whose own ratio could be
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


@dataclass(frozen=True)
class Resamples:
    """Draws of days, the same for everything that is compared, and of each policy's training seeds.

    Days are drawn with replacement, whole, the same for all policies and for the bound, so what days differ in cancels
    out. Where a policy was trained several times, its training seeds are drawn too, each policy's on their own: the
    interval covers what another training and other days would have given (stratified bootstrap, Agarwal et al. 2021;
    percentile interval, Efron & Tibshirani 1993, chapter 13). With few training seeds such an interval is rather too
    narrow than too wide.

    Parameters
    ----------
    uncontrolled, bound : float64, shape (n_days,)
        See `gains`.
    seed : int
        Of the resampling.
    count : int
        How often days are drawn.
    """

    uncontrolled: np.ndarray
    bound: np.ndarray
    seed: int = 0
    count: int = RESAMPLES

    @cached_property
    def _days(self) -> np.ndarray:
        """How often each day is in each draw, float64, shape (count, n_days)."""
        n_days = len(self.bound)
        drawn = np.random.default_rng(self.seed).multinomial(n_days, np.full(n_days, 1.0 / n_days), size=self.count)
        return drawn.astype(np.float64)

    @cached_property
    def _possible(self) -> np.ndarray:
        """What could be gained over the days of each draw, shape (count,) [currency]; NaN where that is nothing."""
        total = self._days @ (self.bound - self.uncontrolled)
        return np.where(total > 0.0, total, np.nan)  # nothing but days without anything to gain have no score

    def mean_gains(self, returns: np.ndarray, stream: int = 0) -> np.ndarray:
        """Mean gain per day in each draw, shape (count,) [currency].

        Parameters
        ----------
        returns : float64, shape (n_seeds, n_days)
            Team returns, a row for each training seed [currency].
        stream : int
            Policies with the same number and the same count of seeds draw the same seeds.
        """
        gained = returns - self.uncontrolled
        n_seeds, n_days = gained.shape
        if n_seeds == 1:
            return np.asarray(self._days @ gained[0] / n_days)
        rng = np.random.default_rng([self.seed, 1 + stream])
        seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1.0 / n_seeds), size=self.count)
        return np.asarray(((self._days @ gained.T) * seeds).sum(axis=1) / (n_seeds * n_days))

    def scores(self, returns: np.ndarray, stream: int = 0) -> np.ndarray:
        """Score in each draw, shape (count,) [-]; parameters as for `mean_gains`."""
        return np.asarray(len(self.bound) * self.mean_gains(returns, stream) / self._possible)


def percentile_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Ends between which the middle `level` of the values lies; those that are NaN are left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)


def score_interval(
    returns: Sequence[np.ndarray] | np.ndarray,
    uncontrolled: np.ndarray,
    bound: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> np.ndarray:
    """Paired bootstrap intervals of `score` over days and training seeds, see `Resamples`.

    Parameters
    ----------
    returns : sequence of float64, shape (n_days,) or (n_seeds, n_days)
        Team returns of each policy; a row for each training seed [currency].
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
    if len(bound) < 2 or np.isnan(score(bound, uncontrolled, bound)):
        return np.full((len(returns), 2), np.nan)
    draws = Resamples(uncontrolled, bound, seed, resamples)
    rows = [np.atleast_2d(policy) for policy in returns]
    return np.array([percentile_interval(draws.scores(policy, k), level) for k, policy in enumerate(rows)])


@dataclass(frozen=True)
class PairedDifference:
    """How much better one policy is than another on the same days; NaN where it cannot be said."""

    points: float  # difference of the scores, in percentage points
    points_low: float
    points_high: float
    per_day: float  # difference of the team returns [currency/day], > 0: better
    per_day_low: float
    per_day_high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval: at least two days, and something to gain on them."""
        return not math.isnan(self.points_low)

    @property
    def clear(self) -> bool:
        """Whether the interval of the score's difference leaves out zero."""
        return self.points_low > 0.0 or self.points_high < 0.0


def paired_difference(
    returns: np.ndarray,
    baseline: np.ndarray,
    uncontrolled: np.ndarray,
    bound: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> PairedDifference:
    """Difference between two policies on the same days, with bootstrap intervals over days and training seeds.

    The same days are drawn for both, so that only what the policies do differently on them counts.

    Parameters
    ----------
    returns, baseline : float64, shape (n_days,) or (n_seeds, n_days)
        Team returns of both; a row for each training seed [currency].
    uncontrolled, bound : float64, shape (n_days,)
        See `gains`.
    seed, resamples, level
        As for `score_interval`.
    """
    ours, theirs = np.atleast_2d(returns), np.atleast_2d(baseline)
    per_day = float(ours.mean() - theirs.mean())
    points = 100.0 * float(
        score(ours.mean(axis=0), uncontrolled, bound) - score(theirs.mean(axis=0), uncontrolled, bound)
    )
    if len(bound) < 2:
        nan = float("nan")
        return PairedDifference(points, nan, nan, per_day, nan, nan)
    draws = Resamples(uncontrolled, bound, seed, resamples)
    money = draws.mean_gains(ours, 0) - draws.mean_gains(theirs, 1)
    shares = draws.scores(ours, 0) - draws.scores(theirs, 1)
    known = not math.isnan(points)
    ends = percentile_interval(100.0 * shares, level) if known else (float("nan"), float("nan"))
    return PairedDifference(points, *ends, per_day, *percentile_interval(money, level))


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half: the lowest and the highest quarter, each rounded down, are left out.

    It says what a usual day and training seed give: a few very good or very bad ones have no say (Agarwal et al. 2021).
    NaN are left out first; NaN without a value.
    """
    known = np.sort(values[~np.isnan(values)], axis=None)
    cut = len(known) // 4
    return mean_or_nan(known[cut : len(known) - cut])


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
