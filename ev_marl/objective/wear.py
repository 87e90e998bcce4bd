"""Battery wear by throughput: every kWh metered into or out of a vehicle wears its battery by the same amount."""

from __future__ import annotations

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression
from ev_marl.simulator import Flow


@TERMS.register("battery_wear")
class BatteryWear:
    """Price of throughput.

    Parameters
    ----------
    price_per_kwh : float
        Cost of one kWh metered in either direction [currency/kWh].
    """

    name = "battery_wear"

    def __init__(self, price_per_kwh: float) -> None:
        self.price_per_kwh = price_per_kwh

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·|p|."""
        np.abs(flow.granted_kw, out=out)
        out *= self.price_per_kwh * flow.step_h

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ (charge + discharge)."""
        variables = [*day.charge, *day.discharge]
        return day.linear(variables, np.full(len(variables), self.price_per_kwh * day.step_h))
