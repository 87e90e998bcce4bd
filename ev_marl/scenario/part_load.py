"""Efficiency of chargers by their power: what is written, and what may be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

MOST_PAIRS = 5  # of a table


def part_load_faults(table: Sequence[Sequence[float]]) -> str | None:
    """What is wrong with a table of shares of the power, each with its efficiency [-]; None if nothing is."""
    if not 1 <= len(table) <= MOST_PAIRS:
        return f"has {len(table)} points; give 1 to {MOST_PAIRS}"
    shares = [share for share, _ in table]
    if shares[0] <= 0.0 or any(late <= early for early, late in pairwise(shares)) or shares[-1] != 1.0:
        return "must have rising shares of the power, from above 0 up to 100 %"
    if any(late <= early for early, late in pairwise(share * efficiency for share, efficiency in table)):
        return "gives the battery less at more power: the share times its efficiency must rise"
    return None
