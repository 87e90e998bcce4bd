"""What a network remembers from one step to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.grid.loop.flow import GridFlow
from ev_marl.grid.solvers.base import PowerFlow


@dataclass(frozen=True, slots=True)
class GridState:
    """B batch rows. Its arrays are never written to again: a copy may share them."""

    tap: np.ndarray  # int64 (B,)  position of the controlled transformer, 0 without one
    oil_rise_k: np.ndarray  # float64 (B, K)  of each transformer
    last_valid: PowerFlow  # the last power flow that each row has had
    flow: GridFlow  # of the last step; at the start, of the first step without charging
