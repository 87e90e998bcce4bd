"""Which days a comparison runs: day seeds from one seed, disjoint for training, validation and test."""

from __future__ import annotations

import zlib
from typing import Literal, get_args

import numpy as np

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_SPLIT_BITS = 2  # the lowest bits of a day seed say which split it is of


def day_seeds(seed: int, n: int, split: Split = "test") -> list[int]:
    """Seeds of `n` different days, for `World.sample`.

    The first days are the same whatever `n` is, so a longer run contains the shorter one. The lowest bits of a day seed
    carry the split, so no day of one split is ever one of another, whatever the two `seed`s are.

    Parameters
    ----------
    seed : int
        Seed of the run, >= 0.
    n : int
        Number of days.
    split : {"train", "validation", "test"}
        What the days are for; comparisons use "test".

    Returns
    -------
    list of int, length n
        Below 2³².
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    part = SPLITS.index(split)
    sequence = np.random.SeedSequence(seed, spawn_key=(part,))
    drawn = n
    while True:
        words = sequence.generate_state(max(1, drawn)) >> _SPLIT_BITS
        first = np.sort(np.unique(words, return_index=True)[1])
        if len(first) >= n:
            return [(int(word) << _SPLIT_BITS) | part for word in words[first[:n]]]
        drawn *= 2


def split_of(seed: int) -> Split:
    """The split of a day seed by its lowest bits; training where they say none."""
    part = seed & ((1 << _SPLIT_BITS) - 1)
    return SPLITS[part] if part < len(SPLITS) else "train"


def as_training_seed(seed: int) -> int:
    """The seed of a training day that stands for any number, >= 0."""
    return (seed << _SPLIT_BITS) | SPLITS.index("train")


def policy_seed(day_seed: int, policy: str) -> int:
    """Seed of a policy's random numbers on a day; it does not depend on which other policies run."""
    return int(np.random.SeedSequence([day_seed, zlib.crc32(policy.encode())]).generate_state(1)[0])


def episode_seed(seed: int, worker: int, start: int, number: int, split: Split) -> int:
    """Seed of the day of an episode, where one is drawn when it begins: for `World.sample`.

    Parameters
    ----------
    seed, worker : int
        As for `training_seeds`.
    start : int
        Tells sequences of episodes apart.
    number : int
        Of the episode in the sequence.
    split : {"train", "validation", "test"}
        What the day is for.
    """
    stream = np.random.SeedSequence([seed, worker, start, number])
    return day_seeds(int(stream.generate_state(1)[0]), 1, split)[0]


def training_seeds(seed: int, n: int, batch: int, worker: int = 0) -> list[int]:
    """Seeds of the training days of a batch: fresh ones in every batch, none of them ever a validation or test day.

    Parameters
    ----------
    seed : int
        Seed of the training run, >= 0.
    n : int
        Number of days.
    batch : int
        Number of the batch, from 0.
    worker : int
        Which of the processes that play days in parallel.

    Returns
    -------
    list of int, length n
        Below 2³², with the bits of the split "train", see `day_seeds`.
    """
    words = np.random.SeedSequence(seed, spawn_key=(len(SPLITS), worker, batch)).generate_state(n) >> _SPLIT_BITS
    return [(int(word) << _SPLIT_BITS) | SPLITS.index("train") for word in words]
