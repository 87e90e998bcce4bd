"""Vehicles for whoever plans: who stands where, what is in the battery, what can be done in this step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State


@dataclass(frozen=True)
class Vehicles:
    """Vehicles that are at the ports, or that are expected; B batch rows, V places, N stays."""

    stays: np.ndarray  # STAY (N,)
    session: np.ndarray  # int64 (B, V)  index into the stays, −1: nobody
    energy_kwh: np.ndarray  # float64 (B, V)
    lo_kw: np.ndarray  # float64 (B, V)  what can be done in this step, by those who are there
    hi_kw: np.ndarray  # float64 (B, V)

    @classmethod
    def of(cls, days: Days, state: State) -> Vehicles:
        """The vehicles of a state; its arrays, not copies."""
        return cls(days.stays, state.session, state.energy_kwh, state.lo_kw, state.hi_kw)
