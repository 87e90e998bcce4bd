"""A price of the CO2 of what the site draws from the grid, at the carbon intensity of the step.

The vehicles pay the difference that they make at the grid connection. What the site feeds in is not credited: it is a
bill whose selling price is 0, so it is convex.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.energy import site_bill, site_cost
from ev_marl.objective.required import Extremes
from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.flow import Flow
from ev_marl.support.errors import ObjectiveError

KG_PER_T = 1000.0
MOST_KG_PER_KWH = 2.0
"""Above the carbon intensity of any power plant: lignite, with 35 %, emits 1.1 kg/kWh (IPCC 2006, 101 t/TJ)."""


@TERMS.register("carbon")
class Carbon:
    """Price of CO2.

    Parameters
    ----------
    price_per_t : float
        Cost of one t of CO2 [currency/t].
    """

    name = "carbon"
    keys: ClassVar[tuple[str, ...]] = ("carbon",)

    def __init__(self, price_per_t: float) -> None:
        self.price_per_kg = price_per_t / KG_PER_T

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0.

        Raises
        ------
        ObjectiveError
            If the scenario has no carbon intensity, or energy has no price: stations plan by prices of energy.
        """
        keys = scenario.objective
        if not keys.carbon:
            return None
        if scenario.carbon is None:
            raise ObjectiveError("objective term 'carbon' needs the scenario's key `carbon`, the carbon intensity")
        if not keys.energy_cost:
            raise ObjectiveError("objective term 'carbon' needs `energy_cost` above 0; a small weight is enough")
        return cls(keys.carbon)

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·intensity·Δ·(max(0, N) − max(0, N without vehicles)), split as the bill of the site's meter is."""
        per_kwh = self.price_per_kg * _known(flow.carbon_kg_per_kwh)
        site_cost(flow, per_kwh, np.zeros_like(per_kwh), flow.step_h, out)

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """At the highest intensity of any power plant."""
        return self.price_per_kg * MOST_KG_PER_KWH

    def expression(self, day: DayModel) -> Expression:
        """The same for all steps."""
        per_kw = day.step_h * self.price_per_kg * _known(day.carbon_kg_per_kwh)
        return site_bill(day, per_kw, np.zeros_like(per_kw), "carbon")


def _known(carbon_kg_per_kwh: np.ndarray | None) -> np.ndarray:
    if carbon_kg_per_kwh is None:
        raise ObjectiveError(
            "objective term 'carbon': the day has no carbon intensity; give its track `signals` with carbon_kg_per_kwh"
        )
    return carbon_kg_per_kwh
