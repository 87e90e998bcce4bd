"""Vehicles as planners need them: their ports, energies, and possible powers in this step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.simulation.state import State

ENERGY, LO, HI = 0, 1, 2  # rows of `Vehicles.ports`, as in a state


@dataclass(frozen=True)
class Vehicles:
    """Connected or expected vehicles; B batch rows, V places, N stays."""

    stays: np.ndarray  # STAY (N,)
    session: np.ndarray  # int64 (B, V)  index into the stays, −1: no vehicle
    ports: np.ndarray  # float64 (3, B, V)  energy [kWh]; lowest and highest power in this step, if connected [kW]

    @classmethod
    def of(cls, stays: np.ndarray, state: State) -> Vehicles:
        """The vehicles of a state, with the stays that an outlook tells."""
        return cls(stays, state.session, state.ports[: HI + 1, : state.n_batch].copy())
