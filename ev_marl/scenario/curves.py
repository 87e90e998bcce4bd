"""Measured charge curves of vehicles: what is written, and what may be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Points = Sequence[tuple[float, float]]
"""States of charge from 0 to 1 [-], and the power into the battery at each [kW]; straight lines in between."""

MOST_POINTS = 12  # that are written
CURVE_POINTS = MOST_POINTS + 1  # that are kept: where a station caps a curve, its hull may have one more
LEAST_SOC_STEP = 0.001
LEAST_KW, MOST_KW = 0.1, 10_000.0


def curve_faults(points: Points) -> str | None:
    """What is wrong with the points of a curve, None if nothing is."""
    if not 2 <= len(points) <= MOST_POINTS:
        return f"has {len(points)} points; 2 to {MOST_POINTS} are needed"
    soc = [point[0] for point in points]
    rises = all(late - early >= LEAST_SOC_STEP * (1.0 - 1e-9) for early, late in pairwise(soc))
    if not (soc[0] == 0.0 and soc[-1] == 1.0 and rises):
        return f"does not rise from a state of charge of 0 to 100 % in steps of {LEAST_SOC_STEP:.1%} or more"
    if not all(LEAST_KW <= power_kw <= MOST_KW for _, power_kw in points):
        return f"has a power that is not between {LEAST_KW:g} and {MOST_KW:g} kW"
    return None
