"""Random numbers of a track: an independent generator for each subsystem, all from one seed.

The keys are fixed, so changing what one subsystem draws (other prices, another vehicle mix) leaves the draws of all
others as they were. Nothing in the package uses a global generator.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Subsystem = Literal[
    "calendar",
    "arrivals",
    "vehicles",
    "stays",
    "ports",
    "prices",
    "loads",
    "pv",
    "grid",
    "weather",
    "events",
    "declared",
]

_SPAWN_KEYS: dict[Subsystem, int] = {
    "calendar": 0,
    "arrivals": 1,
    "vehicles": 2,
    "stays": 3,
    "ports": 4,
    "prices": 5,
    "loads": 6,
    "pv": 7,
    "grid": 8,
    "weather": 9,
    "events": 10,
    "declared": 11,
}


def stream(seed: int, subsystem: Subsystem, part: int = 0) -> np.random.Generator:
    """The generator of one subsystem.

    Parameters
    ----------
    seed : int
        Seed of the track, >= 0.
    subsystem : str
        One of the names of the fixed table.
    part : int
        Which of several independent parts of it.
    """
    key = (_SPAWN_KEYS[subsystem], part) if part else (_SPAWN_KEYS[subsystem],)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
