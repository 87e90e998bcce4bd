"""Power beyond the limits of the groups, where the coordinator lets it happen.

The limits are the clamped ones: an overload that the base load alone makes is not charged to the vehicles. Nested
groups are priced each for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.required import Extremes
from ev_marl.objective.split import split_cost
from ev_marl.scenario.schema import Scenario, ShareRule
from ev_marl.simulation.flow import Flow


@TERMS.register("overload")
class Overload:
    """Price of power beyond a group's limits.

    Parameters
    ----------
    price_per_kwh : float
        Cost of one kW of overload for one hour [currency/kWh].
    split : {"equal", "responsibility"}
        Among the agents of the site evenly, or among the ports below the group by their power in its direction.
    """

    name = "overload"
    keys: ClassVar[tuple[str, ...]] = ("overload",)

    def __init__(self, price_per_kwh: float, split: ShareRule = "responsibility") -> None:
        self.price_per_kwh = price_per_kwh
        self.split = split

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """Wherever it is priced, at 0 too."""
        keys = scenario.objective
        return None if keys.overload is None else cls(keys.overload, keys.split)

    def due(self, flow: Flow) -> bool:
        """Where any group is beyond its limits."""
        return bool((flow.group_kw > flow.upper_kw).any() or (flow.group_kw < flow.lower_kw).any())

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·Σ_groups max(0, power − upper, lower − power)."""
        out[:] = 0.0
        site = flow.site
        over_kw = np.maximum(0.0, flow.group_kw - flow.upper_kw)
        under_kw = np.maximum(0.0, flow.lower_kw - flow.group_kw)
        part = np.empty_like(out)
        for group in np.flatnonzero((over_kw + under_kw).any(axis=0)):
            below = slice(site.group_first_port[group], site.group_end_port[group])
            for excess_kw, sign in ((over_kw, 1.0), (under_kw, -1.0)):
                responsible_kw = np.zeros_like(out)
                responsible_kw[:, below] = np.maximum(0.0, sign * flow.granted_kw[:, below])
                cost = self.price_per_kwh * flow.step_h * excess_kw[:, group]
                split_cost(cost, responsible_kw, site, self.split, part)
                out += part

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The price, in each of the groups around a port."""
        return self.price_per_kwh * extremes.n_levels

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ excess with excess >= power − upper, excess >= lower − power, excess >= 0."""
        cost = day.linear([], [])
        for side, limit_kw, most_kw, sign in (
            ("import", day.upper_kw, day.most_kw, 1.0),
            ("export", -day.lower_kw, -day.least_kw, -1.0),
        ):
            over_kw = most_kw - limit_kw
            step, group = np.nonzero(over_kw > 0.0)
            name = f"overload_{side}"
            excess = day.variables(name, np.zeros(len(step)), over_kw[step, group])
            day.at_least(name, excess - sign * day.group_power(group, step), -limit_kw[step, group])
            cost += day.linear(excess, np.full(len(excess), self.price_per_kwh * day.step_h))
        return cost
