"""Constants of a policy, tuned on training days: a scrambled grid first, then downhill along one constant at a time.

A policy, its ranges and days come in, trials come out, best first. Every trial runs on the same days, all of them at
once, and nothing is learned: what this finds is what a learned policy has to beat.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import qmc

from ev_marl.compare.baseline import team_returns
from ev_marl.compare.day import UNCONTROLLED
from ev_marl.compare.statistics import PairedDifference, paired_difference, score, score_interval
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies.base import POLICIES
from ev_marl.policies.make import make_policy, read_spec, write_spec
from ev_marl.support.errors import OptionError
from ev_marl.support.registry import did_you_mean
from ev_marl.world.track import Track

GRID_POINTS = 64  # of the scrambled grid; a power of two
GRID_DAYS = 20  # that all of them see
FINALISTS = 8  # that see all days
STARTS = 2  # from which the descent starts
SMALLEST_STEP = 1.0 / 128.0  # of the range, where the descent ends [-]


@dataclass(frozen=True)
class Range:
    """Values that an option may be tuned to."""

    name: str
    low: float
    high: float
    whole: bool = False  # whole numbers only

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise OptionError(f"range of {self.name}: {self.low:g} is not below {self.high:g}")

    def clean(self, value: float) -> float | int:
        """The nearest value that is inside and short enough to be written down."""
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.whole else float(f"{inside:.3g}")


@dataclass(frozen=True)
class Trial:
    """Options that were tried."""

    options: dict[str, Any]
    mean_return: float  # over all training days [currency/day]
    at_end: tuple[str, ...]  # options that stand at an end of their range


def ranges_of(policy: str, given: Mapping[str, tuple[float, float]]) -> list[Range]:
    """Ranges of the options to tune.

    Parameters
    ----------
    policy : str
        Name, with options that stay as they are in brackets. What else to tune its class says in `TUNABLE`: low and
        high end by name of the option, both whole numbers if the option takes only those.
    given : mapping of str to (low, high)
        Instead of these, or for other options.

    Raises
    ------
    OptionError
        If there is nothing to tune, or a given option does not exist.
    """
    name, fixed = read_spec(policy)
    factory = POLICIES.get(name, trust=True)
    declared = getattr(factory, "TUNABLE", {})
    ends = {option: pair for option, pair in {**declared, **given}.items() if option in given or option not in fixed}
    if not ends:
        raise OptionError(f"policy '{name}' does not say what can be tuned; give --range OPTION=LOW:HIGH")
    defaults = {key: value.default for key, value in inspect.signature(factory).parameters.items()}
    ranges = []
    for option, (low, high) in ends.items():
        whole = isinstance(low, int) and isinstance(high, int) and not isinstance(defaults.get(option), float)
        ranges.append(Range(option, low, high, whole))
    for one in ranges:
        make_policy(write_spec(name, {**fixed, one.name: one.clean(one.low)}))
    return ranges


def read_ranges(texts: Sequence[str], declared: Sequence[str] = ()) -> dict[str, tuple[float, float]]:
    """`trust=0.2:1` as an option with its ends.

    Raises
    ------
    OptionError
        If a text cannot be read.
    """
    found = {}
    for text in texts:
        option, equals, ends = text.partition("=")
        low, colon, high = ends.partition(":")
        try:
            found[option.strip()] = (_number(low), _number(high))
        except ValueError:
            equals = ""
        if not (option and equals and colon):
            near = did_you_mean(option, list(declared))
            raise OptionError(f"range '{text}': write OPTION=LOW:HIGH, as in trust=0.2:1.{near}")
    return found


def _number(text: str) -> float:
    return int(text) if text.strip().lstrip("+-").isdigit() else float(text)


def tune(
    setting: Setting,
    policy: str,
    tracks: Sequence[Track],
    ranges: Sequence[Range],
    *,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Search the ranges for the options with the highest mean return over some days.

    The policy as it is given and the points of a scrambled Sobol grid run on the first days; the best of them on all;
    from the best of these, each option in turn takes a step up or down as long as that helps, and steps are halved
    where none does.

    Parameters
    ----------
    setting : Setting
        Scenario and coordinator.
    policy : str
        Name, with options that stay as they are.
    tracks : sequence of Track
        Training days.
    ranges : sequence of Range
        What is tuned.
    seed : int
        Of the grid.
    advance : callable
        Called after each trial.

    Returns
    -------
    list of Trial
        Those that saw all days, best first.
    """
    search = _Search(setting, policy, tracks, ranges, seed, advance)
    width = np.array([one.high - one.low for one in ranges])
    lowest = np.array([one.low for one in ranges])
    grid = lowest + qmc.Sobol(len(ranges), rng=np.random.default_rng(seed)).random(GRID_POINTS) * width
    points = list(dict.fromkeys([search.start, *(search.clean(point) for point in grid)]))
    points.sort(key=lambda point: search.value(point, min(GRID_DAYS, len(tracks))), reverse=True)
    best = sorted({search.start, *points[:FINALISTS]}, key=search.value, reverse=True)
    for start in best[:STARTS]:
        search.descend(start)
    return search.trials()


@dataclass(frozen=True)
class Validation:
    """What a tuned policy is worth on days that it was not tuned on."""

    score: float  # [-]
    low: float  # ends of its bootstrap interval of 95 %
    high: float
    difference: PairedDifference  # to the policy as it was before


def validate(
    setting: Setting,
    policy: str,
    tuned: str,
    tracks: Sequence[Track],
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Validation:
    """Score of a tuned policy, and how much better it is than before, on days of their own.

    Parameters
    ----------
    setting : Setting
        Scenario and coordinator.
    policy, tuned : str
        Before and after.
    tracks : sequence of Track
        Validation days.
    seed : int
        Of the policies' random numbers and of the resampling.
    advance : callable
        Called when a day's optimum is known.
    """
    bounds = []
    for track in tracks:
        bounds.append(solve_day(setting, track).bound)
        advance()
    bound = np.array(bounds)
    before, after, uncontrolled = (team_returns(setting, name, tracks, seed) for name in (policy, tuned, UNCONTROLLED))
    low, high = score_interval([after], uncontrolled, bound, seed=seed)[0]
    return Validation(
        float(score(after, uncontrolled, bound)),
        float(low),
        float(high),
        paired_difference(after, before, uncontrolled, bound, seed=seed),
    )


Point = tuple[float | int | None, ...]  # None: the option is left at the policy's own default


class _Search:
    """Trials so far, each made once."""

    def __init__(
        self,
        setting: Setting,
        policy: str,
        tracks: Sequence[Track],
        ranges: Sequence[Range],
        seed: int,
        advance: Callable[[], None],
    ) -> None:
        self._setting, self._tracks, self._ranges = setting, tracks, ranges
        self._seed, self._advance = seed, advance
        self._name, self._fixed = read_spec(policy)
        self._values: dict[tuple[Point, int], float] = {}
        made = make_policy(policy)
        self.start: Point = tuple(
            self._fixed[one.name] if one.name in self._fixed else getattr(made, one.name, None) for one in ranges
        )

    def clean(self, point: np.ndarray) -> Point:
        return tuple(one.clean(float(value)) for one, value in zip(self._ranges, point, strict=True))

    def options(self, point: Point) -> dict[str, Any]:
        tuned = {one.name: value for one, value in zip(self._ranges, point, strict=True) if value is not None}
        return {**self._fixed, **tuned}

    def value(self, point: Point, n_days: int | None = None) -> float:
        """Mean return over the first days, or over all [currency/day]."""
        n_days = n_days or len(self._tracks)
        if (point, n_days) not in self._values:
            spec = write_spec(self._name, self.options(point))
            returns = team_returns(self._setting, spec, self._tracks[:n_days], self._seed)
            self._values[point, n_days] = float(returns.mean())
            self._advance()
        return self._values[point, n_days]

    def descend(self, point: Point) -> None:
        """Step along one option at a time from a point, with ever smaller steps."""
        share = 1.0 / 8.0
        while share >= SMALLEST_STEP:
            before = self.value(point)
            for k, one in enumerate(self._ranges):
                at = point[k]
                if at is None:
                    continue
                step = max(share * (one.high - one.low), 1.0 if one.whole else 0.0)
                around = [one.clean(at - step), one.clean(at + step)]
                tries = [point, *((*point[:k], value, *point[k + 1 :]) for value in around)]
                point = max(tries, key=self.value)
            if self.value(point) <= before:
                share /= 2.0

    def trials(self) -> list[Trial]:
        whole = {point: value for (point, n_days), value in self._values.items() if n_days == len(self._tracks)}
        return [
            Trial(
                self.options(point),
                value,
                tuple(
                    one.name
                    for one, at in zip(self._ranges, point, strict=True)
                    if at in (one.clean(one.low), one.clean(one.high))
                ),
            )
            for point, value in sorted(whole.items(), key=lambda entry: entry[1], reverse=True)
        ]
