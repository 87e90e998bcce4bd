"""Booked response: best response that takes overbooked steps into account.

Own plans and one round of messages come in: every station announces the steps that it would book, and its groups answer
by how much they are overbooked. Each plan then counts on the share of its power that it could get, and behind a site's
meter on the price that its station found.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.planning.booking import LEAST_TRUST, book
from ev_marl.planning.outlook import Kind, OutlookLike, checked
from ev_marl.planning.worth import OWN_PRICES
from ev_marl.policies.base import POLICIES, Episode, Information, StationView, count_option, site_view
from ev_marl.policies.rules.best_response import best_response
from ev_marl.scenario.sizes import MOST_STEPS
from ev_marl.support.errors import OptionError


@POLICIES.register("booked-response")
class BookedResponse:
    """Each vehicle follows its own plan, which counts on the share of its power that all bookings together leave.

    Where nothing is overbooked and each port has a meter of its own, it is `best-response`. Behind a site's meter,
    stations book in the order of their ports, and whoever books later finds less of what PV leaves, see
    `ev_marl.planning.booking`. Nothing is learned; in each step, a station sends and receives one load profile.

    Parameters
    ----------
    factor : float
        Factor on the coverage of a vehicle's bookings; below 1 is more cautious [-].
    adder_per_kwh : float
        Added to this step's price; below 0 charges earlier than the plan alone would [currency/kWh].
    margin_steps : int
        Number of steps before the deadline at which the plan ends.
    outlook : str or mapping, optional
        Outlook of the stations on later prices, and on the base load where energy is billed at the site's meter, as the
        scenario's key `outlook`; keys that it does not have are those of the scenario.
    """

    name = "booked-response"
    information: Information = "messages"
    looks_at: ClassVar[tuple[Kind, ...]] = OWN_PRICES
    TUNABLE: ClassVar = {"adder_per_kwh": (-0.1, 0.1), "factor": (0.4, 1.6), "margin_steps": (0, 8)}

    def __init__(
        self,
        factor: float = 1.0,
        adder_per_kwh: float = 0.0,
        margin_steps: int = 0,
        outlook: OutlookLike | None = None,
    ) -> None:
        if factor <= 0.0:
            raise OptionError(f"policy 'booked-response': factor must be above 0, got {factor}")
        self.outlook = checked(outlook)
        self.factor = float(factor)
        self.adder_per_kwh = float(adder_per_kwh)
        self.margin_steps = count_option("booked-response", "margin_steps", margin_steps, 0, MOST_STEPS)

    def reset(self, episode: Episode) -> None:
        """Take over the outlook on the base load."""
        self._outlook = episode.outlook

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        seen = site_view(view)
        bill = view.bill_per_kwh
        if view.worth.metering == "site":
            bill = np.concatenate([bill, self._outlook.base_load_kw(seen.present())[None, :, :, 0]])
        rates = view.worth.rates(view.end_per_kwh)
        found = book(view.vehicles, view.step, view.step_h, bill, rates, seen.site, seen.upper_kw)
        return best_response(
            view,
            energy_per_kwh=found.price_per_kwh,
            adder_per_kwh=self.adder_per_kwh,
            trust=np.clip(self.factor * found.coverage, LEAST_TRUST, 1.0),
            margin_steps=self.margin_steps,
        )
