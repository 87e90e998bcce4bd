"""What the ageing of batteries costs, made linear: by throughput, and by the energy that they hold, hour by hour.

The laws of `ev_marl.site.battery_ageing` are neither linear nor convex: what a cycle costs depends on its depth and on
all cycles around it. Two prices stand for them, so that every plan can count them; `compare` measures the laws
themselves, and shows both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.required import Extremes
from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.flow import Flow
from ev_marl.site.battery_ageing import AgeingLaw


class AgeingPrices(NamedTuple):
    """Linear prices of ageing."""

    per_kwh: float = 0.0  # each kWh metered in or out of the battery [currency/kWh]
    held_per_kwh_h: float = 0.0  # each kWh in the battery, by the hour [currency/(kWh·h)]

    @classmethod
    def of(cls, law: AgeingLaw, weight: float = 1.0) -> Self:
        """Those of a law; what an empty battery costs is left out, as nothing changes it."""
        return cls(weight * law.per_kwh, weight * law.held_per_kwh_h[1])


@TERMS.register("battery_ageing")
class BatteryAgeing:
    """Linear cost of ageing: p·Δ·|power| + h·Δ·(mean energy in the battery).

    Parameters
    ----------
    vehicles, stationary : AgeingPrices
        Of vehicles and of stationary batteries.
    """

    name = "battery_ageing"
    keys: ClassVar[tuple[str, ...]] = ("battery_ageing",)

    def __init__(self, vehicles: AgeingPrices, stationary: AgeingPrices) -> None:
        self.vehicles = vehicles
        self.stationary = stationary

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a weight above 0."""
        weight = scenario.objective.battery_ageing
        if not weight:
            return None
        kinds = (scenario.laws.vehicles, scenario.laws.stationary)
        return cls(*(AgeingPrices.of(AgeingLaw.of(kind), weight) for kind in kinds))

    def _prices(self, is_battery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The prices of some ports or stays, of the shape of `is_battery`."""
        battery, vehicle = self.stationary, self.vehicles
        return (
            np.where(is_battery, battery.per_kwh, vehicle.per_kwh),
            np.where(is_battery, battery.held_per_kwh_h, vehicle.held_per_kwh_h),
        )

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """p·Δ·|power| + h·Δ·(energy at the end of the step − half of what was moved)."""
        per_kwh, held_per_kwh_h = self._prices(flow.site.is_battery)
        np.multiply(flow.granted_kw, flow.step_h * per_kwh, out=out)
        np.abs(out, out=out)
        out += flow.step_h * held_per_kwh_h * (flow.energy_kwh - 0.5 * flow.energy_change_kwh)

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """Of a kWh that is charged at the start and held to the end."""
        return max(kind.per_kwh + kind.held_per_kwh_h * extremes.horizon_h for kind in (self.vehicles, self.stationary))

    def expression(self, day: DayModel) -> Expression:
        """The same for all steps: a kWh moved into the battery is held until the vehicle leaves, or the day ends."""
        stays, session = day.sessions, day.pair_session
        per_kwh, held_per_kwh_h = self._prices(stays["is_battery"] > 0)
        per_kw, held_per_kwh = day.step_h * per_kwh, day.step_h * held_per_kwh_h
        steps = (stays["deadline_step"] - stays["arrival_step"].clip(0)).clip(0)
        total = float((held_per_kwh * stays["energy_kwh"] * steps).sum())
        held = (held_per_kwh * day.step_h)[session] * (stays["deadline_step"][session] - day.pair_step - 0.5)
        into = per_kw[session] + held * stays["charge_efficiency"][session]
        out = (per_kw[session] - held / stays["discharge_efficiency"][session])[day.discharge_pairs]
        less = day.linear(day.lost, held[day.lossy_pairs]) if len(day.lossy_pairs) else 0.0
        return day.linear(day.charge, into, total) + day.linear(day.discharge, out) - less
