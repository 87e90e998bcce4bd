"""Energy that a driver wanted, that full power could have delivered, and that was not there when it was due.

It falls due at departure. A session that outlasts the horizon is owed, at the end, the least energy from which its
wish is still reachable by its departure at full power.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.flow import Flow
from ev_marl.support.compiled import kernel


@kernel
def _cost(unmet_kwh: np.ndarray, price_per_kwh: float, out: np.ndarray) -> None:
    n_batch, n_ports = unmet_kwh.shape
    for b in range(n_batch):
        for p in range(n_ports):
            out[b, p] = price_per_kwh * unmet_kwh[b, p]


@TERMS.register("unmet_energy")
class UnmetEnergy:
    """Price of unmet energy.

    Parameters
    ----------
    price_per_kwh : float
        Cost of one kWh that is missing [currency/kWh].
    """

    name = "unmet_energy"
    keys: ClassVar[tuple[str, ...]] = ("unmet_energy", "service")

    def __init__(self, price_per_kwh: float) -> None:
        self.price_per_kwh = price_per_kwh

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0; an endless one where service is required, until all other terms are known."""
        keys = scenario.objective
        if keys.service == "required":
            return cls(np.inf)
        return cls(keys.unmet_energy) if keys.unmet_energy > 0 else None

    def due(self, flow: Flow) -> bool:
        """Where any wish falls due."""
        return flow.n_due > 0

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·max(0, due − energy) in the step in which it falls due."""
        _cost(flow.unmet_kwh, self.price_per_kwh, out)

    def expression(self, day: DayModel) -> Expression:
        """price·Σ shortfall."""
        return day.linear(day.shortfall, np.full(len(day.shortfall), self.price_per_kwh))
