"""What happens on the network above a site on one day: loads and generators by element and step.

Names come with the values, so that a day is never played on another network by mistake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.world.track_edits import read_only_arrays


@dataclass(frozen=True, eq=False)
class GridDay:
    """Loads and static generators of a network without those of the site; T steps, L loads, S generators."""

    loads: tuple[str, ...]  # (L,) names, in the network's order
    generators: tuple[str, ...]  # (S,)
    load_kw: np.ndarray  # float64 (T, L)  drawn
    load_kvar: np.ndarray  # float64 (T, L)  drawn
    generator_kw: np.ndarray  # float64 (T, S)  fed in
    generator_kvar: np.ndarray  # float64 (T, S)  fed in

    def __post_init__(self) -> None:
        """Arrays of a track cannot be written to."""
        read_only_arrays(self)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same data, bit for bit."""
        if not isinstance(other, GridDay):
            return NotImplemented
        if (self.loads, self.generators) != (other.loads, other.generators):
            return False
        mine = (self.load_kw, self.load_kvar, self.generator_kw, self.generator_kvar)
        theirs = (other.load_kw, other.load_kvar, other.generator_kw, other.generator_kvar)
        return all(
            one.shape == two.shape and one.dtype == two.dtype and one.tobytes() == two.tobytes()
            for one, two in zip(mine, theirs, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]
