"""What loads and generators of the network do from now on, as model predictive control sees it.

The present state of the network comes in; states of this and all later steps go out, without any charging: the truth,
what the scenario's models let expect, or the present state throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ev_marl.grid.loop.days import day_loads
from ev_marl.grid.solvers.base import Injections
from ev_marl.planning.outlook.ahead import LOAD_DAYS, SEED
from ev_marl.site.site import Site
from ev_marl.world.seeds import day_seeds
from ev_marl.world.track import Track
from ev_marl.world.world import World


class Loads(Protocol):
    """Where loads and generators of later steps come from."""

    def ahead(self, row: int, step: int, now: Injections, n_steps: int) -> Injections:
        """States from a step on, without charging.

        Parameters
        ----------
        row : int
            Row of the batch.
        step : int
            The present step.
        now : Injections
            Its state, one row.
        n_steps : int
            K, the present step included.

        Returns
        -------
        Injections
            K rows.
        """
        ...


class KnownLoads:
    """The truth: what the tracks hold."""

    def __init__(self, site: Site, tracks: Sequence[Track]) -> None:
        self._days = [day_loads(site, track, k) for k, track in enumerate(tracks)]

    def ahead(self, row: int, step: int, now: Injections, n_steps: int) -> Injections:
        """States of the track."""
        return _states([part[step : step + n_steps] for part in self._days[row]], now)


class PresentLoads:
    """Nothing is known of later steps: the present state stays."""

    def ahead(self, row: int, step: int, now: Injections, n_steps: int) -> Injections:
        """The present state, again and again."""
        return now.rows(np.zeros(n_steps, dtype=np.int64))


class ExpectedLoads:
    """What the scenario's models let expect, from days drawn without vehicles.

    Every load and generator is expected at its mean over these days, plus what the present totals of all loads and of
    all generators tell of it, by least squares over the days. No element leaves the range of what was drawn.

    Parameters
    ----------
    world : World
        The scenario's models.
    """

    def __init__(self, world: World) -> None:
        rng = np.random.default_rng(SEED)
        days = [world.days[int(rng.integers(len(world.days)))] for _ in range(LOAD_DAYS)]
        seeds = day_seeds(SEED, LOAD_DAYS, "train")
        drawn = [day_loads(world.site, world.surroundings(day, seed)) for day, seed in zip(days, seeds, strict=True)]
        tables = [np.stack(parts) for parts in zip(*drawn, strict=True)]  # four of (D, T, L) or (D, T, S)
        self._ends = np.cumsum([table.shape[2] for table in tables])[:-1]
        values = np.concatenate(tables, axis=2)
        self._mean, self._least, self._most = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
        self._off = values - self._mean
        self._totals = np.stack([tables[k].sum(axis=2) for k in (0, 2)], axis=2)  # (D, T, 2)

    def ahead(self, row: int, step: int, now: Injections, n_steps: int) -> Injections:
        """Expected states, given the present one."""
        seen = self._totals[:, step]
        mean = seen.mean(axis=0)
        deviation = np.array([now.load_kw.sum(), now.generator_kw.sum()]) - mean
        of_days = deviation @ np.linalg.pinv(seen - mean, rcond=1e-6)  # the present deviation as a mixture of the days'
        later = slice(step, step + n_steps)
        expected = self._mean[later] + np.tensordot(of_days, self._off[:, later], axes=1)
        np.clip(expected, self._least[later], self._most[later], out=expected)
        states = _states(np.split(expected, self._ends, axis=1), now)
        for name in ("load_kw", "load_kvar", "generator_kw", "generator_kvar"):
            getattr(states, name)[0] = getattr(now, name)[0]
        return states


def _states(parts: Sequence[np.ndarray], now: Injections) -> Injections:
    load_kw, load_kvar, generator_kw, generator_kvar = parts
    none = np.zeros((len(load_kw), now.charger_kw.shape[1]))
    return Injections(load_kw, load_kvar, generator_kw, generator_kvar, none, none)
