"""Battery wear by throughput: every kWh metered into or out of a vehicle wears its battery by the same amount."""

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
        Cost of one kWh metered in either direction [currency/kWh].
    """

    name = "battery_wear"
    keys: ClassVar[tuple[str, ...]] = ("battery_wear",)

    def __init__(self, price_per_kwh: float) -> None:
        self.price_per_kwh = price_per_kwh

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0."""
        price = scenario.objective.battery_wear
        return cls(price) if price > 0 else None

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·|p|."""
        _cost(flow.granted_kw, self.price_per_kwh * flow.step_h, out)

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The price."""
        return self.price_per_kwh

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ (charge + discharge)."""
        price = self.price_per_kwh * day.step_h
        parts = (day.linear(powers, np.full(len(powers), price)) for powers in (day.charge, day.discharge))
        return sum(parts)
