"""What stations learn when all have announced their plans: how much of its own plan each vehicle can count on."""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.planning.booking import booked_coverage
from ev_marl.planning.outlook import ComposedOutlook
from ev_marl.planning.vehicles import Vehicles
from ev_marl.simulation.days import Days
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site


@BLOCKS.register("booking")
class Booking:
    """Coverage of each vehicle's bookings, as after one round of messages between stations and groups."""

    name = "booking"
    scope: Scope = "port"
    static = False

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Nothing depends on the site but the coupling."""
        return (Feature("shortage", 0, 1, "share of the vehicle's booked power that the limits above would not allow"),)

    def look(self, outlook: ComposedOutlook) -> None:
        """Learn whom to ask for prices."""
        self._outlook = outlook

    def load(self, days: Days) -> None:
        """Nothing is prepared."""

    def fill(self, simulator: Simulator, out: np.ndarray) -> None:
        """Book for every vehicle."""
        if simulator.done:
            out[:] = 0.0
            return
        days, step = simulator.days, simulator.step_index
        prices, _ = self._outlook.prices(simulator.rows, step)
        covered = booked_coverage(Vehicles.of(simulator), step, days.step_h, prices, simulator.site, simulator.upper_kw)
        out[:, :, 0] = 1.0 - covered
