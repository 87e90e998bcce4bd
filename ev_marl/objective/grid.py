"""What the network above the site suffers: voltages beyond their band, overloaded elements, losses.

A step's `GridFlow` comes in, costs by port go out. The limits are the clamped ones: what the network does without any
charging is not charged to the vehicles. Where a flow has no network, these terms cost nothing. In the optimum they are
priced from below, see `GridModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Self, TypeVar

import numpy as np

from ev_marl.grid.loop.flow import GridFlow
from ev_marl.objective.base import TERMS, DayModel, Expression, GridModel, Term, Variables
from ev_marl.objective.required import Extremes
from ev_marl.objective.split import split_cost
from ev_marl.scenario.schema import Scenario, ShareRule
from ev_marl.simulation.flow import Flow
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import ObjectiveError

T = TypeVar("T")


@kernel
def _beyond_band(vm_pu: np.ndarray, lowest_pu: np.ndarray, highest_pu: np.ndarray, out: np.ndarray) -> None:
    """Sums over the buses of each row of what is missing below the band and what is too much above it [p.u.]."""
    n_batch, n_buses = vm_pu.shape
    for b in range(n_batch):
        below = 0.0
        above = 0.0
        for i in range(n_buses):
            below += max(0.0, lowest_pu[b, i] - vm_pu[b, i])
            above += max(0.0, vm_pu[b, i] - highest_pu[b, i])
        out[0, b] = below
        out[1, b] = above


@kernel
def _beyond_rating(percent: np.ndarray, limit_percent: np.ndarray, rated_kva: np.ndarray, out: np.ndarray) -> None:
    """Sum over the elements of each row of what they carry beyond their limits [kVA]."""
    n_batch, n_elements = percent.shape
    for b in range(n_batch):
        beyond = 0.0
        for i in range(n_elements):
            beyond += max(0.0, percent[b, i] - limit_percent[b, i]) * rated_kva[i]
        out[b] = 0.01 * beyond


def _responsible_kw(flow: Flow, grid: GridFlow) -> np.ndarray:
    """Power of the ports that move the vehicles' sum in the direction it has, >= 0, shape (n_batch, n_ports) [kW]."""
    direction = np.where(grid.charger_kw.sum(axis=1) < 0.0, -1.0, 1.0)
    return np.asarray(np.maximum(0.0, direction[:, None] * flow.granted_kw))


def _daily(name: str, day: DayModel, price: float, quantity: Callable[[GridModel], Variables]) -> Expression:
    """price·Δ·Σ of a quantity that the model of the day has from below, so that a bound with it is one.

    Raises
    ------
    ObjectiveError
        If the model has no network.
    """
    if day.grid is None:
        raise ObjectiveError(
            f"objective term '{name}' prices what happens on the network, and the plan does not model that: give the "
            "optimum the network (`grid=`), and let policies such as `mpc` plan with it (`grid: true`)"
        )
    return day.linear(quantity(day.grid), np.full(day.n_steps, price * day.step_h))


def _of(term: Callable[[float, ShareRule], T], key: str, scenario: Scenario) -> T | None:
    """The term at a key of a scenario, where its price is above 0.

    Raises
    ------
    ObjectiveError
        If it prices what happens on the network, and the scenario has none.
    """
    price: float = getattr(scenario.objective, key)
    if price > 0 and scenario.grid is None:
        raise ObjectiveError(f"objective term '{key}' is about a network, and this scenario has none: it needs `grid:`")
    return term(price, scenario.objective.split) if price > 0 else None


@TERMS.register("voltage_deviation")
class VoltageDeviation:
    """Price of voltages beyond the band, summed over the buses.

    Parameters
    ----------
    price_per_pu_h : float
        Cost of one p.u. beyond the band at one bus for one hour [currency/(p.u.·h)].
    split : {"equal", "responsibility"}
        Among the agents evenly; or what is below the band among the ports that draw, and what is above it among those
        that feed, by their power, wherever they are.
    """

    name = "voltage_deviation"
    keys: ClassVar[tuple[str, ...]] = ("voltage_deviation",)

    def __init__(self, price_per_pu_h: float, split: ShareRule = "responsibility") -> None:
        self.price_per_pu_h = price_per_pu_h
        self.split = split

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0, where there is a network."""
        return _of(cls, cls.name, scenario)

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·Σ_buses max(0, lowest − voltage, voltage − highest)."""
        out[:] = 0.0
        grid = flow.grid
        if grid is None:
            return
        beyond_pu = np.empty((2, len(out)))
        _beyond_band(grid.vm_pu, grid.lowest_pu, grid.highest_pu, beyond_pu)
        part = np.empty_like(out)
        for one_side_pu, sign in zip(beyond_pu, (1.0, -1.0), strict=True):
            if one_side_pu.any():
                cost = self.price_per_pu_h * flow.step_h * one_side_pu
                split_cost(cost, np.maximum(0.0, sign * flow.granted_kw), flow.site, self.split, part)
                out += part

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ what is beyond the band, from below."""
        return _daily(self.name, day, self.price_per_pu_h, lambda grid: grid.beyond_band_pu())


class _PricedEnergy:
    """A price per kWh, and how the cost is split; base of the terms below."""

    name: str

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0, where there is a network."""
        return _of(cls, cls.name, scenario)

    def __init__(self, price_per_kwh: float, split: ShareRule = "responsibility") -> None:
        self.price_per_kwh = price_per_kwh
        self.split = split

    def _split(self, flow: Flow, grid: GridFlow, amount_kw: np.ndarray, out: np.ndarray) -> None:
        """Write each port's part of price·Δ·amount."""
        if amount_kw.any():
            cost = self.price_per_kwh * flow.step_h * amount_kw
            split_cost(cost, _responsible_kw(flow, grid), flow.site, self.split, out)


@TERMS.register("line_overload")
class LineOverload(_PricedEnergy):
    """Price of what lines carry beyond their limits.

    Parameters
    ----------
    price_per_kwh : float
        Cost of one kVA beyond a limit for one hour [currency/kWh].
    split : {"equal", "responsibility"}
        Among the agents evenly; or among the ports that move the vehicles' power in the direction that it has
        altogether, by their power, wherever they are.
    """

    name = "line_overload"
    keys: ClassVar[tuple[str, ...]] = ("line_overload",)

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·Σ_lines max(0, loading − limit)·rating."""
        out[:] = 0.0
        grid = flow.grid
        if grid is not None:
            beyond_kva = np.empty(len(out))
            _beyond_rating(grid.line_percent, grid.line_limit_percent, grid.spec.line_kva, beyond_kva)
            self._split(flow, grid, beyond_kva, out)

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ overload, from below."""
        return _daily(self.name, day, self.price_per_kwh, lambda grid: grid.line_overload_kva())


@TERMS.register("transformer_overload")
class TransformerOverload(_PricedEnergy):
    """Price of what the network's transformers carry beyond their limits.

    Parameters
    ----------
    price_per_kwh : float
        Cost of one kVA beyond a limit for one hour [currency/kWh].
    split : {"equal", "responsibility"}
        As for `LineOverload`.
    """

    name = "transformer_overload"
    keys: ClassVar[tuple[str, ...]] = ("transformer_overload",)

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·Σ_transformers max(0, loading − limit)·rating."""
        out[:] = 0.0
        grid = flow.grid
        if grid is not None:
            beyond_kva = np.empty(len(out))
            _beyond_rating(
                grid.transformer_percent, grid.transformer_limit_percent, grid.spec.transformer_kva, beyond_kva
            )
            self._split(flow, grid, beyond_kva, out)

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ overload, from below."""
        return _daily(self.name, day, self.price_per_kwh, lambda grid: grid.transformer_overload_kva())


@TERMS.register("grid_losses")
class GridLosses(_PricedEnergy):
    """Price of the energy that the network loses because of the vehicles: its losses less those without charging.

    What agents cannot change is not in their rewards. Negative, an income, where charging takes up what plants nearby
    feed in, or discharging feeds loads nearby.

    Parameters
    ----------
    price_per_kwh : float
        Cost of energy lost [currency/kWh].
    split : {"equal", "responsibility"}
        As for `LineOverload`.
    """

    name = "grid_losses"
    keys: ClassVar[tuple[str, ...]] = ("grid_losses",)

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·(losses − losses without charging)."""
        out[:] = 0.0
        grid = flow.grid
        if grid is not None:
            self._split(flow, grid, grid.losses_kw - grid.idle_losses_kw, out)

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The price: no more is lost than is sent."""
        return self.price_per_kwh

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ added losses, from below."""
        return _daily(self.name, day, self.price_per_kwh, lambda grid: grid.added_losses_kw())
