"""Limits beside those of the groups, as a programme takes them: rows in the powers of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class PowerRows:
    """R rows Σ weight·power <= most, each in the powers of one step's sessions."""

    step: np.ndarray  # int64 (R,)  from now
    weight: np.ndarray  # float64 (R, S)
    most_kw: np.ndarray  # float64 (R,)


class FurtherLimits(Protocol):
    """Limits beside those of the groups, as rows that hold and rows that a plan turns out to break."""

    def kept(self) -> PowerRows:
        """Rows to begin with."""
        ...

    def broken(self, power_kw: np.ndarray) -> PowerRows | None:
        """Rows that a plan breaks, float64, shape (n_steps, n_sessions) [kW]; None: there are none."""
        ...
