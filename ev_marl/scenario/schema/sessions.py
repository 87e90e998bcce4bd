"""The key `sessions`: when vehicles come, how long they stay, what they need."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ev_marl.scenario.base import Model, fault
from ev_marl.scenario.sizes import warm_up_h
from ev_marl.scenario.units import NUMBER, Duration, Energy, Fraction


class Misjudged(Model):
    """Drivers who leave before the time that they said, or after it."""

    share: Fraction
    """Share of the vehicles [-]."""
    by: Annotated[Duration, Field(gt=0, le=48)]
    """How far off they are on average; exponentially distributed [h]."""


class Revised(Model):
    """Drivers who say the truth later."""

    share: Fraction
    """Share of the vehicles [-]."""
    ahead: Annotated[Duration, Field(ge=0, le=48)] = 0.5
    """How long before they leave, or before the time that they said, if that is earlier [h]."""


class MisjudgedEnergy(Model):
    """Drivers who say that they want more than they do, or less."""

    share: Fraction
    """Share of the vehicles [-]."""
    by: Energy
    """How far off they are on average; exponentially distributed [kWh]."""


class DeclaredEnergy(Model):
    """What drivers say of the energy that they want."""

    more: MisjudgedEnergy | None = None
    """Drivers who say more, up to what the battery takes."""
    less: MisjudgedEnergy | None = None
    """Drivers who say less, down to nothing."""

    @model_validator(mode="after")
    def _check(self) -> DeclaredEnergy:
        parts = [part.share for part in (self.more, self.less) if part is not None]
        if not parts:
            raise fault("", "give `more`, `less` or both")
        if sum(parts) > 1.0:
            raise fault("less", "the shares of drivers who say more and less are more than 1 together")
        return self


class Declared(Model):
    """What drivers say of departure and wish on arrival. The simulator and the optimum know the truth; whoever decides
    knows what they say. The days are those that the scenario has without this key."""

    model: Literal["acn/caltech-2019", "acn/jpl-2019"] | None = None
    """As drivers there said it, by the length of their stays."""
    file: str | None = None
    """YAML file that `ev-marl fit sessions` wrote from data with declared departures."""
    early: Misjudged | None = None
    """Drivers who leave before the time that they said; instead of a model."""
    late: Misjudged | None = None
    """Drivers who leave after it; nobody says to leave before having come."""
    revised: Revised | None = None
    """Drivers who change their mind about the departure."""
    energy: DeclaredEnergy | None = None
    """What they say of the energy that they want; left out: the truth."""

    @model_validator(mode="after")
    def _check(self) -> Declared:
        own = self.early is not None or self.late is not None
        n_ways = (self.model is not None) + (self.file is not None) + own
        if n_ways > 1 or (n_ways == 0 and (self.energy is None or self.revised is not None)):
            raise fault("", "give one of `model`, `file`, and `early` with or without `late`; or `energy` alone")
        if sum(part.share for part in (self.early, self.late) if part is not None) > 1.0:
            raise fault("late", "the shares of early and late drivers are more than 1 together")
        return self

    @property
    def called(self) -> str | None:
        """The model or the file; none where the keys say it."""
        return self.file or self.model


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

    declared: Declared | None = None
    """What drivers say of their departure; left out: when they leave."""

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
