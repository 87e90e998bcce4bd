"""What happens on the network on the days of a simulator, and what its state is without any charging.

Tracks come in; tables over days and steps go out, with every power flow without charging solved once, in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ev_marl.grid.solvers.base import GridBackend, Injections
from ev_marl.site.site import Site
from ev_marl.support.errors import TrackError
from ev_marl.world.track import Track
from ev_marl.world.track_checks import grid_day_problems


def of_step(by_day: np.ndarray, rows: np.ndarray | slice, step: int) -> np.ndarray:
    """by_day[rows, step], two to three times as fast where the days of a step lie side by side; see `step_by_step`."""
    of_days: np.ndarray = by_day[:, step]
    return of_days[rows] if isinstance(rows, slice) else of_days.take(rows, axis=0)


def step_by_step(by_day: np.ndarray) -> np.ndarray:
    """The same array, shape (K, T, ...), with the days of a step side by side in memory."""
    return np.ascontiguousarray(by_day.swapaxes(0, 1)).swapaxes(0, 1)


@dataclass(frozen=True)
class GridDays:
    """K days of T steps on one network; in memory, the days of a step lie side by side."""

    load_kw: np.ndarray  # float64 (K, T, L)  site loads included
    load_kvar: np.ndarray  # float64 (K, T, L)
    generator_kw: np.ndarray  # float64 (K, T, S)
    generator_kvar: np.ndarray  # float64 (K, T, S)
    idle_vm_pu: np.ndarray  # float64 (K, T, N)  without charging; NaN at dead buses and where there is no solution
    idle_line_percent: np.ndarray  # float64 (K, T, M)
    idle_transformer_percent: np.ndarray  # float64 (K, T, K)
    idle_losses_kw: np.ndarray  # float64 (K, T)

    @classmethod
    def stack(cls, site: Site, backend: GridBackend, tracks: Sequence[Track]) -> GridDays:
        """Stack tracks, and solve the network without charging.

        Raises
        ------
        TrackError
            If a track has no network data, or that of another network or with other lengths.
        """
        days = [day_loads(site, track, k) for k, track in enumerate(tracks)]
        load_kw, load_kvar, generator_kw, generator_kvar = (np.stack(part) for part in zip(*days, strict=True))
        n_days, n_steps = load_kw.shape[:2]
        spec = backend.spec
        rows = n_days * n_steps
        idle = Injections.zeros(spec, rows)
        idle.load_kw, idle.load_kvar = load_kw.reshape(rows, -1), load_kvar.reshape(rows, -1)
        idle.generator_kw, idle.generator_kvar = generator_kw.reshape(rows, -1), generator_kvar.reshape(rows, -1)
        flow = backend.solve(idle)

        def by_day(values: np.ndarray) -> np.ndarray:
            return step_by_step(values.reshape(n_days, n_steps, *values.shape[1:]))

        return cls(
            step_by_step(load_kw),
            step_by_step(load_kvar),
            step_by_step(generator_kw),
            step_by_step(generator_kvar),
            by_day(flow.vm_pu),
            by_day(flow.line_percent),
            by_day(flow.transformer_percent),
            by_day(flow.losses_kw),
        )

    def injections(
        self, rows: np.ndarray | slice, step: int, charger_kw: np.ndarray, charger_kvar: np.ndarray
    ) -> Injections:
        """State of a step with some charging; `rows` picks the day of each batch row."""
        return Injections(
            of_step(self.load_kw, rows, step),
            of_step(self.load_kvar, rows, step),
            of_step(self.generator_kw, rows, step),
            of_step(self.generator_kvar, rows, step),
            charger_kw,
            charger_kvar,
        )


def day_loads(site: Site, track: Track, number: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Loads and generators of a track on the network of its site.

    The site's own base loads and plants are drawn at the buses of their groups, without reactive power.

    Parameters
    ----------
    site : Site
        With a network.
    track : Track
        With network data.
    number : int
        Of the track, for messages.

    Returns
    -------
    load_kw, load_kvar : float64, shape (n_steps, n_loads)
        Drawn [kW, kvar].
    generator_kw, generator_kvar : float64, shape (n_steps, n_generators)
        Fed in [kW, kvar].

    Raises
    ------
    TrackError
        If the track has no network data, or that of another network or with other lengths.
    """
    assert site.network is not None  # callers have a network
    spec, day = site.network.spec, track.grid
    if day is None:
        raise TrackError(
            f"track {number} says nothing of the network: it was drawn for a scenario without `grid`; draw it anew, or "
            "give it `grid=`"
        )
    n_own = site.network.n_own_loads
    problems = grid_day_problems(day, track.n_steps, site.network)
    if problems:
        raise TrackError(f"track {number} does not fit its network: {'; '.join(problems)}")
    parent = site.arrays.group_parent
    own_kw = track.base_load_kw.copy()
    for g in range(1, len(parent)):
        own_kw[:, parent[g]] -= track.base_load_kw[:, g]
    load_kw = np.zeros((track.n_steps, spec.n_loads))
    load_kvar = np.zeros((track.n_steps, spec.n_loads))
    load_kw[:, :n_own], load_kvar[:, :n_own] = day.load_kw, day.load_kvar
    for g in np.flatnonzero(site.group_load >= 0).tolist():
        load_kw[:, site.group_load[g]] += own_kw[:, g]
    return load_kw, load_kvar, day.generator_kw, day.generator_kvar
