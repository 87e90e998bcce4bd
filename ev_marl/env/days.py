"""Which day an episode of a single environment plays: a seed or a choice of the user comes in, a `Track` goes out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ev_marl.env.arguments import check_seed, check_tracks, chosen_track
from ev_marl.world import Track, World


class DayChoice:
    """The days of an environment's episodes.

    A seed gives the world's day of that seed; later resets without a seed draw their days from a generator that the
    seed started. With a fixed list, episodes go through it in turn, and a seed says where to begin.

    Parameters
    ----------
    world : World
        Draws the days.
    tracks : sequence of Track, optional
        Fixed days.
    """

    def __init__(self, world: World, tracks: Any = None) -> None:
        self._world = world
        self._tracks = None if tracks is None else check_tracks(tracks, world.site)
        self._next = 0
        self._rng = np.random.default_rng()

    def next(self, seed: Any, options: Any) -> Track:
        """The day of the coming episode.

        Parameters
        ----------
        seed : int, optional
            Seed of the reset, >= 0.
        options : mapping, optional
            `track` is played as it is; other keys are left to others.

        Raises
        ------
        ArgumentError
            If seed or options are of a wrong kind.
        TrackError
            If the given track does not fit the site.
        """
        seed = check_seed(seed)
        given = chosen_track(options, self._world.site)
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        if given is not None:
            return given
        if self._tracks is not None:
            if seed is not None:
                self._next = seed
            track = self._tracks[self._next % len(self._tracks)]
            self._next += 1
            return track
        return self._world.sample(int(self._rng.integers(2**63)) if seed is None else seed)
