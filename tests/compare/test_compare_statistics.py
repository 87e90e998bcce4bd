"""Scores, intervals, satisfaction and fairness, against numbers worked by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ev_marl.compare.statistics import (
    day_scores,
    interquartile_mean,
    jain,
    paired_difference,
    score,
    score_interval,
    station_means,
    worst_tenth,
)
from ev_marl.world.seeds import SPLITS, day_seeds, policy_seed

UNCONTROLLED = np.array([-10.0, -20.0, -30.0])
BOUND = np.array([-6.0, -10.0, -30.0])  # nothing to gain on the third day
POLICY = np.array([-9.0, -13.0, -31.0])


def test_score_is_a_ratio_of_sums() -> None:
    # gained 1 + 7 − 1 of possible 4 + 10 + 0
    assert score(POLICY, UNCONTROLLED, BOUND) == pytest.approx(7 / 14)
    assert score(UNCONTROLLED, UNCONTROLLED, BOUND) == 0.0
    assert score(BOUND, UNCONTROLLED, BOUND) == 1.0


def test_scores_of_days_leave_out_those_without_anything_to_gain() -> None:
    scores = day_scores(POLICY, UNCONTROLLED, BOUND)
    np.testing.assert_allclose(scores[:2], [1 / 4, 7 / 10])
    assert math.isnan(scores[2])


def test_no_score_where_no_day_has_anything_to_gain() -> None:
    assert np.isnan(score(np.array([[-10.0], [-11.0]]), UNCONTROLLED[:1], UNCONTROLLED[:1])).all()
    assert np.isnan(score_interval(np.array([[-10.0, -9.0]]), UNCONTROLLED[:2], UNCONTROLLED[:2])).all()


def test_interval_is_that_of_all_resamples() -> None:
    # Three days have 27 equally likely resamples: the exact bootstrap distribution.
    days = [np.array(draw) for draw in itertools.product(range(3), repeat=3)]
    exact = [score(POLICY[d], UNCONTROLLED[d], BOUND[d]) for d in days]
    usable = np.array([value for value in exact if not np.isnan(value)])
    low, high = np.quantile(np.repeat(usable, 1000), [0.25, 0.75])
    interval = score_interval(POLICY[None], UNCONTROLLED, BOUND, seed=3, level=0.5, resamples=50_000)
    np.testing.assert_allclose(interval, [[low, high]], atol=1e-12)


def test_interval_is_paired() -> None:
    """A policy that always gains the same share has no spread, however much the days differ."""
    rng = np.random.default_rng(0)
    uncontrolled = -rng.uniform(10, 1000, 20)
    bound = uncontrolled + rng.uniform(1, 500, 20)
    returns = np.stack([uncontrolled, uncontrolled + 0.3 * (bound - uncontrolled), bound])
    expected = np.repeat([[0.0], [0.3], [1.0]], 2, axis=1)
    np.testing.assert_allclose(score_interval(returns, uncontrolled, bound), expected, atol=1e-12)


def test_interval_depends_on_the_seed_alone() -> None:
    rng = np.random.default_rng(1)
    returns = rng.normal(size=(2, 12))
    bound = returns.max(axis=0) + 1.0
    first = score_interval(returns, returns[0], bound, seed=5)
    np.testing.assert_array_equal(first, score_interval(returns, returns[0], bound, seed=5))
    assert not np.array_equal(first, score_interval(returns, returns[0], bound, seed=6))


def test_interval_needs_two_days() -> None:
    assert np.isnan(score_interval(POLICY[None, :1], UNCONTROLLED[:1], BOUND[:1])).all()


def test_interval_covers_training_seeds() -> None:
    """Three seeds on three days: the exact distribution is over 27 draws of days times 27 of seeds."""
    seeds = np.stack([POLICY, POLICY + 1.0, POLICY - 2.0])
    draws = [np.array(draw) for draw in itertools.product(range(3), repeat=3)]
    exact = [score(seeds[s].mean(axis=0)[d], UNCONTROLLED[d], BOUND[d]) for d in draws for s in draws]
    usable = np.array([value for value in exact if not np.isnan(value)])
    low, high = score_interval([seeds], UNCONTROLLED, BOUND, seed=3, level=0.8, resamples=200_000)[0]
    assert np.mean(usable < low) < 0.1 < np.mean(usable <= low + 1e-9) + 0.01
    assert np.mean(usable > high) < 0.1 < np.mean(usable >= high - 1e-9) + 0.01
    alone = score_interval([POLICY], UNCONTROLLED, BOUND, seed=3, level=0.8)[0]
    assert high - low > alone[1] - alone[0]


def test_equal_seeds_add_nothing() -> None:
    one = score_interval([POLICY], UNCONTROLLED, BOUND)
    np.testing.assert_allclose(score_interval([np.stack([POLICY] * 4)], UNCONTROLLED, BOUND), one)


def test_paired_difference() -> None:
    rng = np.random.default_rng(4)
    uncontrolled = -rng.uniform(10, 1000, 40)
    bound = uncontrolled + rng.uniform(100, 500, 40)
    policy = uncontrolled + 0.4 * (bound - uncontrolled)
    better = policy + rng.uniform(0.5, 1.5, 40)
    found = paired_difference(better, policy, uncontrolled, bound)
    assert found.per_day == pytest.approx((better - policy).mean())
    assert found.points == pytest.approx(100 * (better - policy).sum() / (bound - uncontrolled).sum())
    # Days differ by hundreds, the difference hardly: the interval is that of the difference.
    assert 0.85 < found.per_day_low < found.per_day < found.per_day_high < 1.15
    assert found.clear
    back = paired_difference(policy, better, uncontrolled, bound)
    assert (back.points, back.points_low) == pytest.approx((-found.points, -found.points_high))
    same = paired_difference(policy, policy, uncontrolled, bound)
    assert (same.points, same.points_low, same.points_high, same.clear) == (0.0, 0.0, 0.0, False)


def test_a_difference_between_trainings_counts_their_spread() -> None:
    rng = np.random.default_rng(5)
    uncontrolled, bound = np.full(50, -100.0), np.full(50, -50.0)
    baseline = -75.0 + rng.normal(0, 0.1, 50)
    seeds = baseline + np.array([[-4.0], [1.0], [6.0]])
    found = paired_difference(seeds, baseline, uncontrolled, bound)
    assert found.points == pytest.approx(2.0)
    assert found.points_low < 0.0 < found.points_high  # another training might have been worse
    assert paired_difference(seeds[2], baseline, uncontrolled, bound).clear


def test_one_day_has_a_difference_and_no_interval() -> None:
    found = paired_difference(POLICY[:1], UNCONTROLLED[:1], UNCONTROLLED[:1], BOUND[:1])
    assert (found.points, found.per_day) == (25.0, 1.0)
    assert not found.known
    assert not found.clear


def test_interquartile_mean() -> None:
    assert interquartile_mean(np.array([1.0, 100.0, 2.0, 3.0, -50.0, 4.0, 5.0, 6.0])) == 3.5
    assert interquartile_mean(np.array([[1.0, np.nan], [2.0, 6.0]])) == 3.0
    assert math.isnan(interquartile_mean(np.array([np.nan])))


def test_worst_tenth() -> None:
    values = np.arange(1.0, 21.0)[::-1].copy()
    assert worst_tenth(values) == 1.5  # of twenty values the two lowest
    assert worst_tenth(values[:11]) == 10.5  # of eleven values two as well: 10 and 11
    assert worst_tenth(np.array([0.7])) == 0.7
    assert math.isnan(worst_tenth(np.array([])))


def test_jain() -> None:
    assert jain(np.array([1.0, 1.0, 1.0])) == pytest.approx(1.0)
    assert jain(np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx(1 / 4)
    assert jain(np.array([1.0, 0.5])) == pytest.approx(1.5**2 / (2 * 1.25))
    assert jain(np.zeros(3)) == 1.0
    assert math.isnan(jain(np.array([])))


def test_station_means() -> None:
    means = station_means(np.array([1.0, 0.0, 0.4]), np.array([0, 0, 3]))
    np.testing.assert_allclose(means, [0.5, 0.4])


def test_day_seeds_are_distinct_and_a_longer_run_contains_the_shorter() -> None:
    seeds = day_seeds(0, 1000)
    assert len(set(seeds)) == 1000
    assert day_seeds(0, 30) == seeds[:30]
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert day_seeds(1, 30) != seeds[:30]


def test_splits_share_no_day() -> None:
    days = [set(day_seeds(seed, 2000, split)) for split in SPLITS for seed in (0, 1)]
    for one, other in itertools.product(days[:2], days[2:]):
        assert not one & other
    with pytest.raises(ValueError, match="split must be one of train, validation, test"):
        day_seeds(0, 1, "exam")  # type: ignore[arg-type]


def test_policy_seed_is_the_policys_own() -> None:
    assert policy_seed(7, "random") == policy_seed(7, "random")
    assert len({policy_seed(day, name) for day in (7, 8) for name in ("random", "other")}) == 4
