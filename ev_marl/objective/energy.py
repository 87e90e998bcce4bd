"""What the team pays for the energy its vehicles draw, less what it earns for the energy they feed back.

Energy is billed where a contract has its meter: at the site's connection, where the vehicles pay the difference that
they make to the bill, or at each port by itself, in at the buying price, out at the selling price.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.meter import mean_price
from ev_marl.objective.required import Extremes
from ev_marl.scenario.schema import Metering, Scenario
from ev_marl.simulation.flow import Flow
from ev_marl.support.compiled import kernel


@kernel
def _cost_at_ports(
    granted_kw: np.ndarray, buy_per_kwh: np.ndarray, sell_per_kwh: np.ndarray, factor: float, out: np.ndarray
) -> None:
    n_batch, n_ports = granted_kw.shape
    for b in range(n_batch):
        buy, sell = factor * buy_per_kwh[b], factor * sell_per_kwh[b]
        for p in range(n_ports):
            power = granted_kw[b, p]
            out[b, p] = power * (buy if power > 0.0 else sell)


@kernel
def _cost_at_site(
    granted_kw: np.ndarray,
    base_load_kw: np.ndarray,
    buy_per_kwh: np.ndarray,
    sell_per_kwh: np.ndarray,
    factor: float,
    out: np.ndarray,
) -> None:
    n_batch, n_ports = granted_kw.shape
    for b in range(n_batch):
        power = 0.0
        for p in range(n_ports):
            power += granted_kw[b, p]
        price = factor * mean_price(base_load_kw[b, 0], power, buy_per_kwh[b], sell_per_kwh[b])
        for p in range(n_ports):
            out[b, p] = price * granted_kw[b, p]


@TERMS.register("energy_cost")
class EnergyCost:
    """Energy bought less energy sold.

    Parameters
    ----------
    weight : float
        Factor on the money [-].
    metering : {"port", "site"}
        Where energy is billed. At the site, all ports of a step pay, or earn, the same price: the mean of the site's
        marginal price on the way from no vehicles to all of them, so that the parts sum to the difference in the bill.
    """

    name = "energy_cost"
    keys: ClassVar[tuple[str, ...]] = ("energy_cost",)

    def __init__(self, weight: float = 1.0, metering: Metering = "port") -> None:
        self.weight = weight
        self.metering = metering

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a weight above 0, at the scenario's meter."""
        weight = scenario.objective.energy_cost
        return cls(weight, scenario.billed_at) if weight > 0 else None

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """weight·Δ·(buy·max(p, 0) + sell·min(p, 0)) at each port; at the site, weight·Δ·(mean marginal price)·p."""
        factor = self.weight * flow.step_h
        if self.metering == "port":
            _cost_at_ports(flow.granted_kw, flow.buy_per_kwh, flow.sell_per_kwh, factor, out)
        else:
            _cost_at_site(flow.granted_kw, flow.base_load_kw, flow.buy_per_kwh, flow.sell_per_kwh, factor, out)

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """At the largest price."""
        return self.weight * extremes.price_per_kwh

    def expression(self, day: DayModel) -> Expression:
        """weight·Δ·Σ (buy·charge − sell·discharge), or the difference in the site's bill."""
        if self.metering == "port":
            return self._at_ports(day)
        factor = self.weight * day.step_h
        return site_bill(day, factor * day.buy_per_kwh, factor * day.sell_per_kwh, "site")

    def _at_ports(self, day: DayModel) -> Expression:
        factor = self.weight * day.step_h
        buy = factor * day.buy_per_kwh[day.pair_step]
        sell = factor * day.sell_per_kwh[day.pair_step[day.discharge_pairs]]
        return day.linear(day.charge, buy) + day.linear(day.discharge, -sell)


def site_cost(flow: Flow, buy_per_kwh: np.ndarray, sell_per_kwh: np.ndarray, factor: float, out: np.ndarray) -> None:
    """Write each port's part of the difference that the vehicles make to a bill of the site's meter.

    Parameters
    ----------
    flow : Flow
        The step.
    buy_per_kwh, sell_per_kwh : float64, shape (n_batch,)
        What a kWh drawn costs, and what one fed in earns [currency/kWh].
    factor : float
        On these prices [h].
    out : float64, shape (n_batch, n_ports)
        Written [currency].
    """
    _cost_at_site(flow.granted_kw, flow.base_load_kw, buy_per_kwh, sell_per_kwh, factor, out)


def site_bill(day: DayModel, buy: np.ndarray, sell: np.ndarray, name: str = "site") -> Expression:
    """Σ sell·N + (buy − sell)·max(0, N) less the same without vehicles; the maximum only where N can change sign.

    Where selling pays more than buying, that is not convex: N is then import less export, of which one is 0.

    Parameters
    ----------
    day : DayModel
        The programme.
    buy, sell : float64, shape (n_steps,)
        Cost of one kW drawn in each step, and earning of one kW fed in [currency/kW].
    name : str
        What its variables are called after.
    """
    base_kw = day.base_load_kw[:, 0]
    least_kw, most_kw = base_kw + day.least_kw[:, 0], base_kw + day.most_kw[:, 0]
    crosses = (least_kw < 0.0) & (most_kw > 0.0)
    price = np.where(least_kw >= 0.0, buy, sell)
    without = price * base_kw - buy * np.maximum(0.0, base_kw) + sell * np.maximum(0.0, -base_kw)
    pair_price = price[day.pair_step]
    total = (
        day.linear(day.charge, pair_price)
        + day.linear(day.discharge, -pair_price[day.discharge_pairs])
        + float(without.sum())
    )
    convex, concave = np.flatnonzero(crosses & (buy > sell)), np.flatnonzero(crosses & (buy < sell))
    if len(convex):
        imported = day.variables(f"{name}_import", np.zeros(len(convex)), most_kw[convex])
        day.at_least(f"{name}_import", imported - day.group_power(0, convex), base_kw[convex])
        total = total + day.linear(imported, (buy - sell)[convex])
    if len(concave):
        none = np.zeros(len(concave))
        imported = day.variables(f"{name}_import", none, most_kw[concave])
        exported = day.variables(f"{name}_export", none, -least_kw[concave])
        day.equal(f"{name}_net", imported - exported - day.group_power(0, concave), base_kw[concave])
        day.only_one("the site imports or exports where selling pays more than buying", imported, exported)
        total = total + day.linear(imported, (buy - sell)[concave])
    return total
