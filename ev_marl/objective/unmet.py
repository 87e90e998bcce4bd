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

REQUIRED = 250.0
"""Factor on the price of unmet energy where service is required [-].

No saving on energy, wear or peaks comes near it, so the least shortfall comes first and the least cost second, for the
optimum and for policies alike.
"""


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
    def required(cls, price_per_kwh: float) -> Self:
        """The term for a service that must be given wherever it can be: the price times `REQUIRED`."""
        return cls(REQUIRED * price_per_kwh)

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0; as `required` says where service is required."""
        keys = scenario.objective
        if not keys.unmet_energy > 0:
            return None
        return cls.required(keys.unmet_energy) if keys.service == "required" else cls(keys.unmet_energy)

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·max(0, due − energy) in the step in which it falls due."""
        _cost(flow.unmet_kwh, self.price_per_kwh, out)

    def expression(self, day: DayModel) -> Expression:
        """price·Σ shortfall."""
        return day.linear(day.shortfall, np.full(len(day.shortfall), self.price_per_kwh))
