"""One day's exogenous data: sessions, prices, base load, limits.

A track holds plain arrays and the names they belong to, so it can be saved, edited, replayed and solved without the
scenario it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from ev_marl.errors import TrackError
from ev_marl.scenario.clock import Clock


@dataclass(frozen=True)
class Sessions:
    """Vehicle stays, sorted by arrival step and port; S sessions.

    A session is connected in the steps arrival_step <= t < departure_step; departure_step may lie beyond the horizon.
    """

    port: np.ndarray  # int64 (S,)
    arrival_step: np.ndarray  # int64 (S,)  0 for vehicles already parked at the start
    departure_step: np.ndarray  # int64 (S,)
    energy_kwh: np.ndarray  # float64 (S,)  in the battery on arrival (or at the start) [kWh]
    wanted_kwh: np.ndarray  # float64 (S,)  wish, on top of energy_kwh [kWh]
    capacity_kwh: np.ndarray  # float64 (S,)
    charge_kw: np.ndarray  # float64 (S,)  vehicle's own maximum on the port's side (AC or DC) [kW]
    discharge_kw: np.ndarray  # float64 (S,)  vehicle's own maximum, 0 without V2G [kW]
    taper_start: np.ndarray  # float64 (S,)  state of charge where charging slows down [-]
    reserve_kwh: np.ndarray  # float64 (S,)  V2G never takes the battery below this [kWh]
    vehicle: tuple[str, ...]  # (S,) name of the vehicle model

    def __len__(self) -> int:
        return len(self.port)

    @classmethod
    def none(cls) -> Sessions:
        """No sessions at all."""
        whole, real = np.empty(0, dtype=np.int64), np.empty(0)
        return cls(whole, whole, whole, real, real, real, real, real, real, real, ())


@dataclass(frozen=True)
class Track:
    """One episode's exogenous data; T steps, G groups, S sessions."""

    start: datetime  # aware: start of the first step
    timezone: str
    step_h: float
    currency: str
    ports: tuple[str, ...]  # (P,) names, in the site's order
    groups: tuple[str, ...]  # (G,) names, in the site's order
    sessions: Sessions
    buy_per_kwh: np.ndarray  # float64 (T,)
    sell_per_kwh: np.ndarray  # float64 (T,)
    base_load_kw: np.ndarray  # float64 (T, G)  inflexible load − PV of everything below the group [kW]
    import_limit_kw: np.ndarray  # float64 (T, G)  >= 0, inf: no limit
    export_limit_kw: np.ndarray  # float64 (T, G)  >= 0, inf: no limit
    turned_away: int = 0  # vehicles that found no free port
    source: dict[str, str] = field(default_factory=dict)  # where it came from: scenario, seed, file, imputations

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.buy_per_kwh)

    @property
    def clock(self) -> Clock:
        """The steps as local times."""
        return Clock(self.start, self.timezone, self.step_h, self.n_steps)

    @property
    def upper_kw(self) -> np.ndarray:
        """Most that vehicles below a group may draw, max(0, import limit − base load), shape (T, G) [kW]."""
        return np.maximum(0.0, self.import_limit_kw - self.base_load_kw)

    @property
    def lower_kw(self) -> np.ndarray:
        """Least (most negative), min(0, −export limit − base load), shape (T, G) [kW]."""
        return np.minimum(0.0, -self.export_limit_kw - self.base_load_kw)

    @property
    def unavoidable_overload_kw(self) -> np.ndarray:
        """Overload that the base load alone makes, shape (T, G) [kW]."""
        over = np.maximum(0.0, self.base_load_kw - self.import_limit_kw)
        return np.maximum(over, -self.base_load_kw - self.export_limit_kw)
