"""The key `ageing`: what batteries are made of, how old they are, and what their capacity costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ev_marl.scenario.base import Model
from ev_marl.scenario.units import NUMBER, NonNegativePrice, PositiveFraction, Temperature, Years

Chemistry = Literal["nmc", "lfp"]


class BatteryAgeing(Model):
    """How batteries of vehicles age."""

    chemistry: Chemistry = "nmc"
    """Law of ageing: `nmc` (Schmalstieg et al. 2014) or `lfp` (Naumann et al. 2018 and 2020)."""
    age: Years = 3.0
    """Age at the start of an episode [years]; young batteries age faster."""
    cycles_per_year: Annotated[float, Field(gt=0, le=5000), NUMBER] = 45.0
    """Full equivalent cycles a year before the episode; 45 are 14,000 km at 18 kWh per 100 km with 56 kWh."""
    temperature: Annotated[Temperature, Field(ge=-20, le=60)] = 25.0
    """Temperature of the cells [°C]."""
    price: NonNegativePrice = 115.0
    """What capacity costs, per kWh of the pack [currency/kWh]; 115 USD/kWh is the mean of BloombergNEF's survey of
    2024."""
    end_of_life: Annotated[PositiveFraction, Field(le=0.95)] = 0.8
    """Share of the capacity that is left when the battery is replaced [-]: losing the rest costs a whole battery."""
    depth: PositiveFraction = 0.4
    """Depth of the cycle, around half full and at a quarter of the capacity per hour, at which the linear price of
    throughput is exact [-]."""


class StationaryAgeing(BatteryAgeing):
    """How stationary batteries age."""

    chemistry: Chemistry = "lfp"
    """Law of ageing: `nmc` (Schmalstieg et al. 2014) or `lfp` (Naumann et al. 2018 and 2020)."""
    cycles_per_year: Annotated[float, Field(gt=0, le=5000), NUMBER] = 250.0
    """Full equivalent cycles a year before the episode."""
    depth: PositiveFraction = 0.8
    """Depth of the cycle, around half full and at a quarter of the capacity per hour, at which the linear price of
    throughput is exact [-]."""


class Ageing(Model):
    """What the ageing of batteries is computed from; `compare` measures it in every scenario."""

    vehicles: BatteryAgeing = BatteryAgeing()
    """All vehicles."""
    stationary: StationaryAgeing = StationaryAgeing()
    """All stationary batteries."""
