"""Service that is required: the price of unmet energy at which the least shortfall comes first, the least cost second.

The other terms of an objective and the largest numbers of a scenario's days come in, a price goes out. It is so high
that leaving a kWh unmet never saves anything. The reward is still one sum, the same for plans, policies and the bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np

from ev_marl.objective.base import Term
from ev_marl.scenario.schema import Scenario
from ev_marl.site import Site
from ev_marl.support.errors import ObjectiveError
from ev_marl.world.prices import largest_price

MARGIN = 100.0
"""Price of unmet energy where service is required, over the most that a kWh can cost or earn otherwise [-].

One kWh more in a battery may need more than one at the meter: for what is lost on the way, and where limits bind, for
energy of other vehicles that has to be moved to other steps.
"""


@dataclass(frozen=True)
class Extremes:
    """The largest numbers of all days of a scenario."""

    step_h: float
    price_per_kwh: float  # of a kWh bought or sold, its absolute value [currency/kWh]
    least_kw: float  # power of all vehicles together, <= 0
    most_kw: float
    n_levels: int  # groups around a port, the whole site included
    horizon_h: float = 24.0  # length of an episode

    @classmethod
    def of(cls, scenario: Scenario) -> Self:
        """Those of a scenario."""
        site = Site.from_scenario(scenario).arrays
        return cls(
            step_h=scenario.step,
            price_per_kwh=largest_price(scenario.prices, scenario.currency),
            least_kw=-float(site.port_discharge_kw.sum()),
            most_kw=float(site.port_charge_kw.sum()),
            n_levels=int(site.group_depth.max()) + 1,
            horizon_h=scenario.horizon,
        )


@runtime_checkable
class Bounded(Term, Protocol):
    """A term that says how much a kWh can matter to it, so that service can be required beside it."""

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The most that one kWh more or less through one port can cost or save, >= 0 [currency/kWh]."""
        ...


def required_price(terms: Iterable[Term], extremes: Extremes) -> float:
    """Price of unmet energy where service is required [currency/kWh].

    Parameters
    ----------
    terms : iterable of Term
        All others of the objective.
    extremes : Extremes
        Of the scenario.

    Raises
    ------
    ObjectiveError
        If a term does not say how much a kWh can cost.
    """
    total = 0.0
    for term in terms:
        if not isinstance(term, Bounded):
            raise ObjectiveError(
                f"`service: required` is not possible with objective term '{term.name}', as it does not say how much a "
                "kWh can cost (`largest_per_kwh`): leave one of them out, or give unmet energy a high price"
            )
        largest = float(term.largest_per_kwh(extremes))
        if not 0.0 <= largest < np.inf:
            raise ObjectiveError(f"objective term '{term.name}': largest_per_kwh is {largest}, not a number >= 0")
        total += largest
    return MARGIN * total if total > 0.0 else 1.0
