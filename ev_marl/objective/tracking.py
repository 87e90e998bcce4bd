"""Following a given charging power: a quadratic cost of the vehicles' total power off its target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.required import Extremes
from ev_marl.objective.split import split_cost
from ev_marl.scenario.named_series import series_of
from ev_marl.scenario.schema import Scenario, ShareRule
from ev_marl.scenario.series import Series
from ev_marl.simulation.flow import Flow


@TERMS.register("setpoint_tracking")
class SetpointTracking:
    """Quadratic deviation of the vehicles' power from a target.

    Parameters
    ----------
    weight : float
        Cost of one kW off the target for one hour [currency/(kW²·h)].
    target : Series
        Power that the vehicles should draw in all [kW].
    split : {"equal", "responsibility"}
        Evenly among agents, or by their power.
    """

    name = "setpoint_tracking"
    keys: ClassVar[tuple[str, ...]] = ("setpoint_tracking",)

    def __init__(self, weight: float, target: Series, split: ShareRule = "responsibility") -> None:
        self.weight = weight
        self.target = target
        self.split = split

    def target_kw(self, step: int | np.ndarray, local_hour: np.ndarray) -> np.ndarray:
        """Target at the given steps, of the shape of `local_hour` [kW]."""
        values = np.asarray(self.target.values)
        if self.target.kind == "constant":
            return np.full(np.shape(local_hour), values[0])
        index = np.floor(local_hour).astype(np.int64) if self.target.kind == "by_hour" else step
        return np.broadcast_to(values[index], np.shape(local_hour))

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """Where a target is given."""
        keys = scenario.objective.setpoint_tracking
        if keys is None:
            return None
        target = series_of(keys.target, scenario.n_steps)
        return cls(keys.weight, target, scenario.objective.split)

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """weight·Δ·(power − target)²."""
        off_kw = flow.group_kw[:, 0] - self.target_kw(flow.step, flow.local_hour)
        split_cost(self.weight * flow.step_h * off_kw**2, np.abs(flow.granted_kw), flow.site, self.split, out)

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The slope where the power is furthest from the target."""
        target_kw = np.asarray(self.target.values)
        furthest_kw = max((extremes.most_kw - target_kw).max(), (target_kw - extremes.least_kw).max())
        return float(2.0 * self.weight * furthest_kw)

    def expression(self, day: DayModel) -> Expression:
        """weight·Δ·Σ deviation with deviation >= (power − target)², by tangents."""
        step = np.arange(day.n_steps)
        target_kw = self.target_kw(day.first_step + step, day.local_hour)
        furthest_kw = np.maximum(day.most_kw[:, 0] - target_kw, target_kw - day.least_kw[:, 0])
        deviation = day.variables("deviation", np.zeros(day.n_steps), furthest_kw**2)
        day.above_convex(
            "tracking",
            deviation,
            day.group_power(np.zeros_like(step), step),
            lambda power_kw: (power_kw - target_kw) ** 2,
            lambda power_kw: 2.0 * (power_kw - target_kw),
        )
        return day.linear(deviation, np.full(day.n_steps, self.weight * day.step_h))
