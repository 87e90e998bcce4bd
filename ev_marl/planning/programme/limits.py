"""The network above the site in a programme: rows in the powers of sessions, and variables that terms may price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ev_marl.objective.base import GridModel
from ev_marl.planning.programme.arrays import ArrayDay


@dataclass(frozen=True)
class PowerRows:
    """R rows Σ weight·power − variable <= most, each in the powers of one step's sessions."""

    step: np.ndarray  # int64 (R,)  from now
    weight: np.ndarray  # float64 (R, S)
    most_kw: np.ndarray  # float64 (R,)
    variable: np.ndarray  # int64 (R,)  its column, −1: none

    @classmethod
    def limits(cls, step: np.ndarray, weight: np.ndarray, most_kw: np.ndarray) -> PowerRows:
        """Rows without variables."""
        return cls(step, weight, most_kw, np.full(len(step), -1))

    @classmethod
    def stack(cls, parts: Sequence[PowerRows]) -> PowerRows:
        """Rows of several parts, at least one, one after the other."""
        return cls(
            np.concatenate([part.step for part in parts]),
            np.concatenate([part.weight for part in parts]),
            np.concatenate([part.most_kw for part in parts]),
            np.concatenate([part.variable for part in parts]),
        )

    def take(self, which: np.ndarray) -> PowerRows:
        """Some of the rows; `which` is an index or mask."""
        return PowerRows(self.step[which], self.weight[which], self.most_kw[which], self.variable[which])


class FurtherRows(Protocol):
    """Rows beside those of the groups: initial rows, and rows that a plan violates."""

    def model(self, day: ArrayDay) -> GridModel:
        """The variables of the programme that terms may price; called before all other methods."""
        ...

    def kept(self) -> PowerRows:
        """Initial rows."""
        ...

    def broken(self, power_kw: np.ndarray, x: np.ndarray) -> PowerRows | None:
        """Rows that a plan violates, or None.

        Parameters
        ----------
        power_kw : float64, shape (n_steps, n_sessions)
            The plan [kW].
        x : float64, shape (n_columns,)
            All variables.
        """
        ...
