"""The key `vehicles`: which vehicles come."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field, Tag, model_validator

from ev_marl.scenario.base import Model, choice, fault
from ev_marl.scenario.choices import LATEST_TAPER, Mix
from ev_marl.scenario.curves import MOST_POINTS, curve_faults
from ev_marl.scenario.schema.patterns import Name
from ev_marl.scenario.units import NUMBER, Energy, Fraction, PositiveFraction, PositivePower, Power


class Vehicle(Model):
    """A vehicle model."""

    name: Name
    """Name of the vehicle."""
    share: Annotated[float, Field(gt=0), NUMBER] = 1.0
    """Weight of this model among the arriving vehicles."""
    capacity: Energy
    """Usable battery capacity [kWh]."""
    ac_power: PositivePower
    """Highest power of the on-board charger [kW]."""
    dc_power: Power = 0.0
    """Highest DC charging power [kW]; 0: cannot charge at DC stations. With a curve: the highest power of the curve."""
    taper_start: Annotated[PositiveFraction, Field(le=LATEST_TAPER)] = 0.8
    """State of charge from which charging slows down [-]."""
    curve: Annotated[list[tuple[Fraction, PositivePower]], Field(max_length=MOST_POINTS)] = []
    """Charge curve instead of a taper: states of charge from 0 to 100 %, each with the highest power into the battery
    [kW], straight lines in between. Left out: full power up to `taper_start`."""
    v2g: bool = True
    """Whether it can discharge at a station with V2G."""

    @model_validator(mode="after")
    def _check(self) -> Vehicle:
        if self.curve and (found := curve_faults(self.curve)):
            raise fault("curve", f"the curve {found}")
        if self.curve and self.dc_power:
            raise fault(
                "dc_power", "give either `curve` or `dc_power`, not both: the highest power of the curve counts"
            )
        return self

    @property
    def most_dc_kw(self) -> float:
        """Highest DC charging power, into the battery where there is a curve [kW]; 0: cannot charge at DC stations."""
        return max(power_kw for _, power_kw in self.curve) if self.curve else self.dc_power


class CatalogueVehicle(Model):
    """A vehicle model of the catalogue."""

    model: Name
    """Name of the model in the catalogue, such as hyundai-ioniq-5."""
    share: Annotated[float, Field(gt=0), NUMBER] = 1.0
    """Weight of this model among the arriving vehicles."""


AnyVehicle = Annotated[
    Annotated[Vehicle, Tag("<name>")] | Annotated[CatalogueVehicle, Tag("<model>")],
    choice("`model`, a name of the catalogue, or `name`, `capacity` and `ac_power` of your own", "model", "name"),
]


class Vehicles(Model):
    """Which vehicles come."""

    mix: Annotated[
        Annotated[Mix, Tag("<plain>")] | Annotated[list[AnyVehicle], Field(min_length=1), Tag("<list>")],
        choice(f"one of {', '.join(get_args(Mix))}, or a list of vehicles", "list"),
    ] = "eu"
    """A named mix of the catalogue, or a list of vehicles with their shares. `nl-2023` are the registered electric cars
    of the Netherlands, `no-2023` the new ones of Norway, by the weights of the registration; `eu` is illustrative."""
    v2g_share: Fraction = 1.0
    """Share of the vehicles that can discharge at a station with V2G, among those of models that can [-]."""
    reserve: Fraction = 0.3
    """State of charge below which a vehicle is never discharged [-]."""
