"""The key `vehicles`: which vehicles come."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from ev_marl.scenario.base import Model, choice
from ev_marl.scenario.choices import LATEST_TAPER
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
    """Highest DC charging power [kW]; 0: cannot charge at DC stations."""
    taper_start: Annotated[PositiveFraction, Field(le=LATEST_TAPER)] = 0.8
    """State of charge from which charging slows down [-]."""


class Vehicles(Model):
    """Which vehicles come."""

    mix: Annotated[
        Annotated[Literal["eu"], Tag("<plain>")] | Annotated[list[Vehicle], Field(min_length=1), Tag("<list>")],
        choice("`eu`, or a list of vehicles", "list"),
    ] = "eu"
    """A named mix of the catalogue, or a list of vehicles with their shares."""
    v2g_share: Fraction = 1.0
    """Share of the vehicles that can discharge at a station with V2G [-]."""
    reserve: Fraction = 0.3
    """State of charge below which a vehicle is never discharged [-]."""
