"""The answer to the announced plans of all stations: the share of its own plan that each vehicle can count on."""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.planning.booking import booked_coverage
from ev_marl.planning.outlook import ComposedOutlook
from ev_marl.planning.vehicles import Vehicles
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site


@BLOCKS.register("booking")
class Booking:
    """Coverage of each vehicle's bookings, as after one round of messages between stations and groups."""

    name = "booking"
    scope: Scope = "port"
    static = False

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Take the coupling."""
        self._site = site.arrays
        return (Feature("shortage", 0, 1, "share of the vehicle's booked power that the limits above would not allow"),)

    def look(self, outlook: ComposedOutlook) -> None:
        """Take over the outlook, for prices."""
        self._outlook = outlook

    def load(self, days: Days) -> None:
        """Keep the days."""
        self._days = days

    def fill(self, state: State, out: np.ndarray) -> None:
        """Book for every vehicle."""
        days, step = self._days, state.step
        if step >= days.n_steps:
            out[:] = 0.0
            return
        prices, _ = self._outlook.prices(state.rows, step)
        covered = booked_coverage(Vehicles.of(days, state), step, days.step_h, prices, self._site, state.upper_kw)
        out[:, :, 0] = 1.0 - covered
