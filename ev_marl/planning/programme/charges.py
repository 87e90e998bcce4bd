"""What model predictive control minimises: the prices of the objective's terms, as numbers of a linear programme.

An objective comes in; a term that the programme does not know is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.policies.base import StationView
from ev_marl.support.errors import ObjectiveError


@dataclass(frozen=True)
class Charges:
    """Prices of the terms; 0 where a term is not part of the objective."""

    energy_weight: float = 0.0  # factor on the money for energy [-]
    wear_per_kwh: float = 0.0
    unmet_per_kwh: float = 0.0
    overload_per_kwh: float = 0.0
    peak_per_kw: float = 0.0
    tracking: SetpointTracking | None = None
    limits_are_hard: bool = True
    tolerance: float = 1e-4  # relative, of squared deviations that are kept by tangents [-]

    @property
    def tracking_weight(self) -> float:
        """Price of squared deviation [currency/(kW²·h)]."""
        return 0.0 if self.tracking is None else self.tracking.weight

    @classmethod
    def of(cls, objective: Objective, policy: str) -> Charges:
        """Prices of an objective.

        Parameters
        ----------
        objective : Objective
            What counts.
        policy : str
            Who asks, for messages.

        Raises
        ------
        ObjectiveError
            If there is a term that the programme does not know.
        """
        found: dict[str, float | SetpointTracking] = {}
        for term in objective.terms:
            if isinstance(term, EnergyCost):
                found["energy_weight"] = term.weight
            elif isinstance(term, BatteryWear):
                found["wear_per_kwh"] = term.price_per_kwh
            elif isinstance(term, UnmetEnergy):
                found["unmet_per_kwh"] = term.price_per_kwh
            elif isinstance(term, Overload):
                found["overload_per_kwh"] = term.price_per_kwh
            elif isinstance(term, PeakPower):
                found["peak_per_kw"] = term.price_per_kw
            elif isinstance(term, SetpointTracking):
                found["tracking"] = term
            else:
                raise ObjectiveError(
                    f"policy '{policy}': its linear programme does not know the objective term '{term.name}'; "
                    "leave the term out, or compare other policies"
                )
        return cls(limits_are_hard=objective.limits_are_hard, **found)  # type: ignore[arg-type]

    @classmethod
    def of_view(cls, view: StationView) -> Charges:
        """Prices that every view tells, for a policy that is not given the objective; limits are hard."""
        return cls(view.energy_weight, view.wear_per_kwh, view.unmet_per_kwh)
