"""The key `sessions`: when vehicles come, how long they stay, what they need."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ev_marl.scenario.base import Model
from ev_marl.scenario.sizes import warm_up_h
from ev_marl.scenario.units import NUMBER


class Sessions(Model):
    """When vehicles come, how long they stay, what they need."""

    model: str = "elaadnl/workplace"
    """`elaadnl/workplace`, `elaadnl/private`, `elaadnl/public`, `acn/caltech`, `acn/jpl`, `highway`, or
    module:Class."""
    per_port_per_day: Annotated[float, Field(ge=0, le=1000), NUMBER] = 1.0
    """Mean number of vehicles that come per port and weekday [1/day]."""
    weekend_factor: Annotated[float, Field(ge=0, le=1000), NUMBER] | None = None
    """Arrivals on a weekend day over those on a weekday [-]; left out: as the model says."""
    energy_scale: Annotated[float, Field(gt=0, le=1000), NUMBER] = 1.0
    """Factor on the energy wanted [-]."""
    stay_scale: Annotated[float, Field(gt=0, le=1000), NUMBER] = 1.0
    """Factor on the length of stay [-]."""

    @property
    def warm_up_h(self) -> float:
        """How long before an episode the first vehicle may come [h]."""
        return warm_up_h(self.stay_scale)
