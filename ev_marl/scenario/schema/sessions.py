"""The key `sessions`: when vehicles come, how long they stay, what they need."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ev_marl.scenario.base import Model, fault
from ev_marl.scenario.sizes import warm_up_h
from ev_marl.scenario.units import NUMBER, Duration


class Sessions(Model):
    """When vehicles come, how long they stay, what they need."""

    model: str = "elaadnl/workplace"
    """`elaadnl/workplace`, `elaadnl/private`, `elaadnl/public`, `acn/caltech`, `acn/jpl`, `acn/caltech-2019`,
    `acn/jpl-2019`, `highway`, `bus-depot`, or module:Class."""
    file: str | None = None
    """YAML file that `ev-marl fit sessions` wrote, instead of `model`."""
    holidays: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] | None = None
    """Public holidays of a country or its part, such as `NL` or `US-CA` (extra `holidays`): as many vehicles come as on
    measured holidays, or as on Sundays. Left out: holidays are days like others."""
    per_port_per_day: Annotated[float, Field(ge=0, le=1000), NUMBER] = 1.0
    """Mean number of vehicles that come per port and weekday [1/day]."""
    weekend_factor: Annotated[float, Field(ge=0, le=1000), NUMBER] | None = None
    """Arrivals on a weekend day over those on a weekday [-]; left out: as the model says."""
    energy_scale: Annotated[float, Field(gt=0, le=1000), NUMBER] = 1.0
    """Factor on the energy wanted [-]."""
    stay_scale: Annotated[float, Field(gt=0, le=1000), NUMBER] = 1.0
    """Factor on the length of stay [-]."""

    patience: Annotated[Duration, Field(le=24)] = 0.0
    """How long a vehicle that finds no free port waits for one [h]; then it leaves without charging."""

    @model_validator(mode="after")
    def _check(self) -> Sessions:
        if self.file is not None and "model" in self.model_fields_set:
            raise fault("file", "give either `model` or `file`, not both")
        return self

    @property
    def called(self) -> str:
        """The model or the file."""
        return self.file or self.model

    @property
    def warm_up_h(self) -> float:
        """How long before an episode the first vehicle may come [h]."""
        return warm_up_h(self.stay_scale)
