"""Days from which expectations are made, drawn from the scenario's models or given, and the regression on them.

Models or tracks come in; means, the persistence of deviations, and vehicles go out. Drawn days are training days, with
one seed, the same in every process: never days of comparisons.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ev_marl.grid.loop.days import day_loads
from ev_marl.planning.outlook.base import NOBODY, Truth
from ev_marl.simulation.days import stays_of
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.site import Site
from ev_marl.support.errors import TrackError
from ev_marl.world.seeds import day_seeds
from ev_marl.world.track import Track
from ev_marl.world.track_files import track_paths
from ev_marl.world.world import World

SEED = 20_240_331  # of all drawn days
DRAWN_DAYS = 60  # days without vehicles: prices, limits, loads
_NOTHING_MOVES = 1e-9  # least sum of squared deviations over the days: below it, a series predicts nothing


class Series:
    """V series on D days of T steps, and the regression of later values on the present one.

    A later value is its mean over the days, plus the present deviation times a coefficient fitted by least squares over
    the days, within the range of the days. Only the deviations are kept, and coefficients are computed on demand: those
    of all pairs of steps would not fit into memory for a month.

    Parameters
    ----------
    values : float64, shape (n_days, n_steps, n_series)
        Infinite where there is no limit.
    totals : float64, shape (n_days, n_steps, n_totals), optional
        The present values from which all series are predicted, instead of each from itself.
    """

    def __init__(self, values: np.ndarray, totals: np.ndarray | None = None) -> None:
        self._finite = np.isfinite(values).all(axis=0)
        self._endless = np.where(self._finite, 0.0, np.where(np.isposinf(values).any(axis=0), np.inf, -np.inf))
        values = np.where(self._finite, values, 0.0)
        self._mean, self._least, self._most = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
        self._off = np.ascontiguousarray((values - self._mean).transpose(2, 0, 1))  # (V, D, T)
        self._totals = totals

    def given(self, step: int, now: np.ndarray) -> np.ndarray:
        """Expected values from a step on, each series predicted from itself.

        Parameters
        ----------
        step : int
            The present step.
        now : float64, shape (n_batch, n_series)
            Its values.

        Returns
        -------
        float64, shape (n_batch, n_steps - step, n_series)
        """
        off = self._off[:, :, step]
        own, shared = (off**2).sum(axis=1), (off[:, None] @ self._off[:, :, step:])[:, 0].T
        lasting = np.divide(shared, own, out=np.zeros_like(shared), where=own > _NOTHING_MOVES)
        known = self._finite[step] & np.isfinite(now)
        deviation = np.where(known, now, 0.0) - np.where(known, self._mean[step], 0.0)
        later: np.ndarray = self._mean[step:] + deviation[:, None] * lasting
        np.clip(later, self._least[step:], self._most[step:], out=later)
        later += self._endless[step:]
        later[:, 0] = now
        return later

    def given_totals(self, step: int, n_steps: int, now: np.ndarray) -> np.ndarray:
        """Expected values of some steps, predicted from the totals.

        Parameters
        ----------
        step, n_steps : int
            The present step, and the number of steps with it.
        now : float64, shape (n_batch, n_totals)
            Its totals.

        Returns
        -------
        float64, shape (n_batch, n_steps, n_series)
        """
        assert self._totals is not None
        seen = self._totals[:, step]
        mean = seen.mean(axis=0)
        of_days = (now - mean) @ np.linalg.pinv(seen - mean, rcond=1e-6)  # the deviation as a mixture of the days'
        later = slice(step, step + n_steps)
        expected = self._mean[later] + (of_days @ self._off[:, :, later]).transpose(1, 2, 0)
        inside: np.ndarray = np.clip(expected, self._least[later], self._most[later])
        return inside


@dataclass(frozen=True)
class Surroundings:
    """Prices, limits without events, and loads of the days."""

    prices: Series  # buying, selling
    lower_kw: Series  # lowest power of the vehicles below each group
    upper_kw: Series  # highest power
    base_load_kw: Series  # below each group


class Source(Protocol):
    """A source of days."""

    def surroundings(self) -> Iterable[Track]:
        """Days for prices, limits and loads."""
        ...

    def stays(self, n_days: int) -> Sequence[Track]:
        """At most `n` days with their vehicles."""
        ...


class ModelDays:
    """Days drawn from a scenario's models; holds only a weak reference to the world."""

    def __init__(self, world: World) -> None:
        self._world = weakref.proxy(world)

    def surroundings(self) -> Iterable[Track]:
        """Days without their vehicles, one for each seed."""
        return (self._world.surroundings(seed) for seed in day_seeds(SEED, DRAWN_DAYS, "train"))

    def stays(self, n_days: int) -> Sequence[Track]:
        """The days of the first seeds."""
        days: list[Track] = self._world.draw(SEED, n_days, "train")
        return days


class GivenDays:
    """Days that are given."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._tracks = tracks

    def surroundings(self) -> Iterable[Track]:
        """All days."""
        return self._tracks

    def stays(self, n_days: int) -> Sequence[Track]:
        """All days, or fewer, evenly spaced."""
        n_all = len(self._tracks)
        chosen = np.unique(np.linspace(0, n_all - 1, min(n_days, n_all)).round().astype(np.int64))
        return [self._tracks[k] for k in chosen.tolist()]


class Sample:
    """The days from which expectations are made.

    Parameters
    ----------
    source : Source
        Source of the days.
    site : SiteArrays
        The site.
    whole_site : Site, optional
        The site with the network above, if there is one.
    """

    def __init__(self, source: Source, site: SiteArrays, whole_site: Site | None) -> None:
        self._source, self._site, self._whole_site = source, site, whole_site
        self._vehicles: dict[int, tuple[np.ndarray, float]] = {}

    @cached_property
    def surroundings(self) -> Surroundings:
        """Prices, limits and base load."""
        days = [
            (np.stack([day.buy_per_kwh, day.sell_per_kwh], axis=1), *day.ordinary_bounds_kw, day.base_load_kw)
            for day in self._source.surroundings()
        ]
        return Surroundings(*(Series(np.stack(parts)) for parts in zip(*days, strict=True)))

    @cached_property
    def grid_loads(self) -> Series:
        """Loads [kW], [kvar] and generators [kW], [kvar] of the network, predicted from the totals of both.

        Totals predict the sum better than each element by itself: a cold day shows in all loads together.
        """
        assert self._whole_site is not None  # only called with a network
        drawn = [day_loads(self._whole_site, day, k) for k, day in enumerate(self._source.surroundings())]
        tables = [np.stack(parts) for parts in zip(*drawn, strict=True)]  # four of (D, T, L) or (D, T, S)
        return Series(np.concatenate(tables, axis=2), np.stack([tables[k].sum(axis=2) for k in (0, 2)], axis=2))

    def vehicles(self, n_days: int) -> tuple[np.ndarray, float]:
        """Stays of several days together, and the weight of each: one divided by the number of days."""
        if n_days not in self._vehicles:
            tables = [stays_of(self._site, day) for day in self._source.stays(n_days)] if n_days else []
            self._vehicles[n_days] = (np.concatenate(tables), 1.0 / len(tables)) if tables else (NOBODY, 1.0)
        return self._vehicles[n_days]


_SAMPLES: weakref.WeakKeyDictionary[World, Sample] = weakref.WeakKeyDictionary()


def sample_of_models(world: World) -> Sample:
    """Days drawn from a scenario's models; the same object as long as the world exists."""
    if world not in _SAMPLES:
        _SAMPLES[world] = Sample(ModelDays(world), world.site.arrays, world.site)
    return _SAMPLES[world]


def sample_of_folder(folder: str, truth: Truth) -> Sample:
    """The days of track files, without those that are played.

    Raises
    ------
    TrackError
        If a file cannot be read or does not fit the days that are played, or if no day is left.
    """
    files = track_paths([Path(folder)])
    given = _read_tracks(tuple((str(file), file.stat().st_mtime_ns) for file in files))
    needed = _measures(truth.tracks[0])
    for file, track in zip(files, given, strict=True):
        if _measures(track) != needed:
            raise TrackError(f"{file} has {_measures(track)}, the days that are played have {needed}")
    others = [track for track in given if not any(track == played for played in truth.tracks)]
    if not others:
        raise TrackError(f"{folder}: it has no track besides those that are played; add tracks of other days")
    return Sample(GivenDays(others), truth.site, truth.whole_site)


def _measures(track: Track) -> str:
    return f"{len(track.ports)} ports, {len(track.groups)} groups, {track.n_steps} steps of {track.step_h:g} h"


@lru_cache(maxsize=1)
def _read_tracks(files: tuple[tuple[str, int], ...]) -> tuple[Track, ...]:
    """Tracks of files, given with the times at which they were changed."""
    return tuple(Track.load(file) for file, _ in files)
