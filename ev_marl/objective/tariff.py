"""What drivers pay the operator for energy, so that the team's return is the operator's profit.

A driver pays for what the vehicle has taken in the end: energy that is fed back is refunded at the same price, so
charging and discharging in turn earns nothing. Nobody pays for a stationary battery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.required import Extremes
from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.flow import Flow


@TERMS.register("driver_tariff")
class DriverTariff:
    """Revenue from drivers, as a negative cost.

    Parameters
    ----------
    price_per_kwh : float
        What a driver pays for a kWh at the meter of the port [currency/kWh].
    """

    name = "driver_tariff"
    keys: ClassVar[tuple[str, ...]] = ("driver_tariff",)

    def __init__(self, price_per_kwh: float) -> None:
        self.price_per_kwh = price_per_kwh

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0."""
        price = scenario.objective.driver_tariff
        return cls(price) if price > 0 else None

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """−price·Δ·p."""
        np.multiply(flow.granted_kw, -self.price_per_kwh * flow.step_h, out=out)
        if flow.site.has_batteries:
            out[:, flow.site.is_battery] = 0.0

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The price."""
        return self.price_per_kwh

    def expression(self, day: DayModel) -> Expression:
        """−price·Δ·Σ (charge − discharge)."""
        of_stay = np.where(day.sessions["is_battery"], 0.0, self.price_per_kwh * day.step_h)
        price = of_stay[day.pair_session]
        return day.linear(day.charge, -price) + day.linear(day.discharge, price[day.discharge_pairs])
