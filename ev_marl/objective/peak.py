"""The highest power that the site draws, base load included: a demand charge.

It is paid as it rises: a step that lifts the peak so far pays for the rise, so the steps sum to the charge.
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


@TERMS.register("peak_power")
class PeakPower:
    """Price of the episode's highest import.

    Parameters
    ----------
    price_per_kw : float
        Cost of one kW of peak [currency/kW].
    split : {"equal", "responsibility"}
        Evenly among agents, or by their charging power in the step that lifts the peak.
    """

    name = "peak_power"
    keys: ClassVar[tuple[str, ...]] = ("peak_power",)

    def __init__(self, price_per_kw: float, split: ShareRule = "responsibility") -> None:
        self.price_per_kw = price_per_kw
        self.split = split

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0."""
        keys = scenario.objective
        return cls(keys.peak_power, keys.split) if keys.peak_power > 0 else None

    def due(self, flow: Flow) -> bool:
        """Where any row's peak rises."""
        return bool((flow.import_kw > flow.peak_before_kw).any())

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·max(0, import − highest import before)."""
        rise_kw = np.maximum(0.0, flow.import_kw - flow.peak_before_kw)
        split_cost(self.price_per_kw * rise_kw, np.maximum(0.0, flow.granted_kw), flow.site, self.split, out)

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """The price of the power that gives a kWh in one step."""
        return self.price_per_kw / extremes.step_h

    def expression(self, day: DayModel) -> Expression:
        """price·share·(peak − peak before) with peak >= power + base load in every step, peak >= the one before."""
        base_kw, before_kw = day.base_load_kw[:, 0], day.peak_before_kw
        most_kw = max(before_kw, float((base_kw + day.most_kw[:, 0]).max(initial=0.0)))
        (peak,) = day.variables("peak", [before_kw], [most_kw])
        step = np.arange(day.n_steps)
        day.at_least("peak", peak - day.group_power(np.zeros_like(step), step), base_kw)
        return self.price_per_kw * day.peak_share * (peak - before_kw)
