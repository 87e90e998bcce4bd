"""The answer to the announced plans of all stations: the share of its own plan that each vehicle can count on."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.planning.booking import book
from ev_marl.planning.outlook import ComposedOutlook, Kind, Present
from ev_marl.planning.vehicles import Vehicles
from ev_marl.planning.worth import OWN_PRICES, Worth, own_prices
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site


@BLOCKS.register("booking")
class Booking:
    """Coverage of each vehicle's bookings, as after one round of messages between stations and groups."""

    name = "booking"
    scope: Scope = "port"
    static = False
    looks_at: ClassVar[tuple[Kind, ...]] = OWN_PRICES

    def __init__(self) -> None:
        self._worth = Worth(1.0, 0.0, 0.0)

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Take the coupling."""
        self._site = site.arrays
        return (Feature("shortage", 0, 1, "share of the vehicle's booked power that the limits above would not allow"),)

    def weigh(self, worth: Worth) -> None:
        """Learn where energy is billed."""
        self._worth = worth

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
        worth = self._worth
        bill = worth.energy_per_kwh(*own_prices(self._outlook, Present.of(state, days.n_steps), worth))
        rates = worth.rates(worth.end_per_kwh(days.later_per_kwh[state.rows]))
        found = book(Vehicles.of(days.stays, state), step, days.step_h, bill, rates, self._site, state.upper_kw)
        out[:, :, 0] = 1.0 - found.coverage
