"""Vehicles for whoever plans: who stands where, what is in the battery, what can be done in this step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.simulation.state import State

ENERGY, LO, HI = 0, 1, 2  # rows of `Vehicles.ports`, as in a state


@dataclass(frozen=True)
class Vehicles:
    """Vehicles that are at the ports, or that are expected; B batch rows, V places, N stays."""

    stays: np.ndarray  # STAY (N,)
    session: np.ndarray  # int64 (B, V)  index into the stays, −1: nobody
    ports: np.ndarray  # float64 (3, B, V)  energy [kWh]; least and most power in this step of those who are there [kW]

    @classmethod
    def of(cls, stays: np.ndarray, state: State) -> Vehicles:
        """The vehicles of a state, with the stays that an outlook tells."""
        return cls(stays, state.session, state.ports[: HI + 1, : state.n_batch].copy())
