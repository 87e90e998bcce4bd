"""Checks of what people give to the faces of the environment: seeds, counts, options, days.

Anything comes in; what is allowed goes out, anything else is an `ArgumentError` that says what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from ev_marl.support.errors import ArgumentError, TrackError
from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import shown
from ev_marl.world import Track, World


def check_count(name: str, value: Any, most: int | None = None) -> int:
    """A whole number of 1 or more, up to `most`."""
    if not _whole(value) or value < 1:
        raise ArgumentError(f"{name} is {value!r}; it must be a whole number, 1 or more")
    if most is not None and value > most:
        raise ArgumentError(f"{name} is {shown(value)}; it may be at most {most:,} here")
    return int(value)


def check_seed(seed: Any) -> int | None:
    """A whole number of 0 or more, or None."""
    if seed is None:
        return None
    if not _whole(seed) or seed < 0:
        raise ArgumentError(f"seed is {seed!r}; it must be a whole number, 0 or more, or None")
    return int(seed)


def chosen_track(options: Any, world: World) -> Track | None:
    """The track that the options of a reset ask for. Other keys are left to others, as PettingZoo asks, but a mistyped
    `track` is refused.

    Raises
    ------
    TrackError
        If it does not fit the scenario.
    """
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise ArgumentError(
            f"options must be a mapping, such as {{'track': track}} for a day of your own, or None; got {options!r}"
        )
    for key in options:
        if key != "track" and (near := did_you_mean(str(key), ["track"], 0.85)):
            raise ArgumentError(f"options: no key {shown(key)}.{near}")
    track = options.get("track")
    return None if track is None else _fitting(track, world, "options['track']")


def check_tracks(tracks: Any, world: World) -> list[Track]:
    """At least one track, all fitting the scenario.

    Raises
    ------
    TrackError
        If there is none, or one does not fit the scenario.
    """
    if isinstance(tracks, str) or not isinstance(tracks, Sequence):
        raise ArgumentError(f"tracks must be a sequence of Track, or None; got {type(tracks).__name__}")
    if not tracks:
        raise TrackError("tracks is empty: give at least one, or leave it out")
    return [_fitting(track, world, f"tracks[{k}]") for k, track in enumerate(tracks)]


def check_days(day: Any, n_envs: int, n_days: int) -> np.ndarray:
    """Index into the pool of days for each row, int64, shape (n_envs,)."""
    chosen = np.asarray(day)
    whole = np.issubdtype(chosen.dtype, np.integer) and chosen.shape == (n_envs,)
    if not whole or chosen.min() < 0 or chosen.max() >= n_days:
        raise ArgumentError(
            f"day is {day!r}; it must be an array of shape ({n_envs},) with whole numbers from 0 to {n_days - 1}"
        )
    return chosen.astype(np.int64)


def _fitting(track: Any, world: World, name: str) -> Track:
    if not isinstance(track, Track):
        raise TrackError(f"{name} must be a Track, got {type(track).__name__}")
    try:
        world.check(track)
    except TrackError as error:
        raise TrackError(f"{name}: {error}") from error
    return track


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
