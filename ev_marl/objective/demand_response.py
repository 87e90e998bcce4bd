"""What it costs not to follow a request for demand response: import above the requested limit, by the kWh.

Events of a day that have a penalty instead of a fixed limit come in, see `ev_marl.world.events`. The base load counts:
a bidirectional vehicle may supply it, and what the base load alone draws above the limit is paid whatever vehicles do.
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
from ev_marl.world.events import LIMIT, PENALTY


@TERMS.register("demand_response")
class DemandResponse:
    """Penalties of the requests that were not followed.

    Parameters
    ----------
    weight : float
        Factor on the penalties of the events [-].
    most_per_kwh : float
        Highest penalty of the scenario's events [currency/kWh].
    split : {"equal", "responsibility"}
        Among the agents of the site evenly, or among the ports below the group by their charging power.
    """

    name = "demand_response"
    keys: ClassVar[tuple[str, ...]] = ("demand_response",)

    def __init__(self, weight: float = 1.0, most_per_kwh: float = 0.0, split: ShareRule = "responsibility") -> None:
        self.weight = weight
        self.most_per_kwh = most_per_kwh
        self.split = split

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a weight above 0, where an event has a penalty; with a weight written down, for those of tracks, too."""
        keys, most_per_kwh = scenario.objective, max((event.penalty for event in scenario.events), default=0.0)
        asked = keys.demand_response > 0.0 and (most_per_kwh > 0.0 or "demand_response" in keys.model_fields_set)
        return cls(keys.demand_response, most_per_kwh, keys.split) if asked else None

    def due(self, flow: Flow) -> bool:
        """Where any request is under way."""
        return flow.requests is not None and bool(flow.requests[:, PENALTY].any())

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """weight·penalty·Δ·max(0, power + base load − limit), of each group with a request."""
        out[:] = 0.0
        if flow.requests is None:
            return
        site, part = flow.site, np.empty_like(out)
        per_kwh = flow.requests[:, PENALTY]
        for group in np.flatnonzero(per_kwh.any(axis=0)):
            below = slice(site.group_first_port[group], site.group_end_port[group])
            import_kw = flow.group_kw[:, group] + flow.base_load_kw[:, group]
            over_kw = np.maximum(0.0, import_kw - flow.requests[:, LIMIT, group])
            responsible_kw = np.zeros_like(out)
            responsible_kw[:, below] = np.maximum(0.0, flow.granted_kw[:, below])
            cost = self.weight * flow.step_h * per_kwh[:, group] * over_kw
            split_cost(cost, responsible_kw, site, self.split, part)
            out += part

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The highest penalty, in each of the groups around a port."""
        return self.weight * self.most_per_kwh * extremes.n_levels

    def expression(self, day: DayModel) -> Expression:
        """weight·penalty·Δ·Σ excess with excess >= power + base load − limit, excess >= 0."""
        if day.requests is None:
            return day.linear([], [])
        limit_kw, per_kwh = day.requests[:, LIMIT], day.requests[:, PENALTY]
        most_over_kw = np.where(per_kwh > 0.0, day.most_kw + day.base_load_kw - limit_kw, 0.0)
        step, group = np.nonzero(most_over_kw > 0.0)
        excess = day.variables("demand_response", np.zeros(len(step)), most_over_kw[step, group])
        over_kw = day.base_load_kw[step, group] - limit_kw[step, group]
        day.at_least("demand_response", excess - day.group_power(group, step), over_kw)
        return day.linear(excess, self.weight * day.step_h * per_kwh[step, group])
