"""What the site pays for the energy its vehicles draw, less what it earns for the energy they feed back.

Every port is metered by itself: energy in at the buying price, energy out at the selling price.
"""

from __future__ import annotations

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression
from ev_marl.simulation.simulator import Flow
from ev_marl.support.compiled import kernel


@kernel
def _cost(
    granted_kw: np.ndarray, buy_per_kwh: np.ndarray, sell_per_kwh: np.ndarray, factor: float, out: np.ndarray
) -> None:
    n_batch, n_ports = granted_kw.shape
    for b in range(n_batch):
        buy, sell = factor * buy_per_kwh[b], factor * sell_per_kwh[b]
        for p in range(n_ports):
            power = granted_kw[b, p]
            out[b, p] = power * (buy if power > 0.0 else sell)


@TERMS.register("energy_cost")
class EnergyCost:
    """Energy bought less energy sold.

    Parameters
    ----------
    weight : float
        Factor on the money [-].
    """

    name = "energy_cost"

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """weight·Δ·(buy·max(p, 0) + sell·min(p, 0))."""
        _cost(flow.granted_kw, flow.buy_per_kwh, flow.sell_per_kwh, self.weight * flow.step_h, out)

    def expression(self, day: DayModel) -> Expression:
        """weight·Δ·Σ (buy·charge − sell·discharge)."""
        factor = self.weight * day.step_h
        buy = factor * day.buy_per_kwh[day.pair_step]
        sell = factor * day.sell_per_kwh[day.pair_step[day.discharge_pairs]]
        return day.linear(day.charge, buy) + day.linear(day.discharge, -sell)
