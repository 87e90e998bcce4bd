"""Battery wear by throughput: every kWh metered into or out of a battery wears it by the same amount.

Vehicles have the price of the objective, stationary batteries each their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.required import Extremes
from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.flow import Flow
from ev_marl.support.compiled import kernel


@kernel
def _cost(granted_kw: np.ndarray, factor: float, out: np.ndarray) -> None:
    n_batch, n_ports = granted_kw.shape
    for b in range(n_batch):
        for p in range(n_ports):
            out[b, p] = factor * abs(granted_kw[b, p])


@TERMS.register("battery_wear")
class BatteryWear:
    """Price of throughput.

    Parameters
    ----------
    price_per_kwh : float
        Cost of one kWh metered into or out of a vehicle [currency/kWh].
    stationary_per_kwh : float
        Highest cost of one kWh metered into or out of a stationary battery; each has its own [currency/kWh].
    """

    name = "battery_wear"
    keys: ClassVar[tuple[str, ...]] = ("battery_wear",)

    def __init__(self, price_per_kwh: float, stationary_per_kwh: float = 0.0) -> None:
        self.price_per_kwh = price_per_kwh
        self.stationary_per_kwh = stationary_per_kwh

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0, that of vehicles or of a stationary battery."""
        price = scenario.objective.battery_wear
        stationary = max((battery.wear for battery in scenario.site.batteries), default=0.0)
        return cls(price, stationary) if price > 0 or stationary > 0 else None

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·|p|."""
        _cost(flow.granted_kw, self.price_per_kwh * flow.step_h, out)
        site = flow.site
        if site.has_batteries:
            battery = site.is_battery
            out[:, battery] = flow.step_h * site.storage_wear_per_kwh[battery] * np.abs(flow.granted_kw[:, battery])

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The highest price."""
        return max(self.price_per_kwh, self.stationary_per_kwh)

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ (charge + discharge)."""
        of_stay = np.where(day.sessions["is_battery"], day.sessions["wear_per_kwh"], self.price_per_kwh)
        price = of_stay[day.pair_session] * day.step_h
        both = ((day.charge, price), (day.discharge, price[day.discharge_pairs]))
        return sum(day.linear(powers, prices) for powers, prices in both)
