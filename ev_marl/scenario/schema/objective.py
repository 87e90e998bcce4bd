"""The key `objective`: what the team pays."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from ev_marl.scenario.base import Model, fault
from ev_marl.scenario.schema.series import PowerFile, PowerSeries
from ev_marl.scenario.units import NUMBER, CarbonPrice, HourPrice, NonNegativePrice, PeakPrice

ShareRule = Literal["equal", "responsibility"]


class SetpointTracking(Model):
    """Follow a given charging power."""

    weight: Annotated[float, Field(ge=0), NUMBER]
    """Cost of one kW off the target for one hour, squared [currency/(kW²·h)]."""
    target: PowerSeries
    """Charging power that the site should draw [kW]."""

    @model_validator(mode="after")
    def _check(self) -> SetpointTracking:
        if isinstance(self.target, PowerFile) and self.target.time is not None:
            raise fault("target", "a target has no dates; give a file with one row per step, without `time`")
        return self


_LATER = Discriminator(
    lambda value: "<auto>" if value == "auto" else "<plain>",
    custom_error_type="choice",
    custom_error_message="expected a price such as 0.25 EUR/kWh, or `auto`",
)


class Objective(Model):
    """What the team pays; rewards are its negative. A term left out has its default, and one of 0 costs nothing."""

    energy_cost: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Weight of what the site pays for energy, less what it earns [-]."""
    unmet_energy: NonNegativePrice = 0.40
    """Cost of energy that was wanted, could have been delivered, and was not in the battery at departure
    [currency/kWh]."""
    service: Literal["priced", "required"] = "priced"
    """`priced`: energy may stay unmet at its price. `required`: the least possible shortfall comes first, the least
    cost second; the price of unmet energy is then 100 times the most that a kWh can cost or earn under all other terms,
    for the optimum and for policies alike, and `unmet_energy` is not read."""
    driver_tariff: NonNegativePrice = 0.0
    """What drivers pay for each kWh that their vehicle takes, less what it feeds back; a return is then the operator's
    profit [currency/kWh]."""
    battery_wear: NonNegativePrice = 0.0
    """Cost of throughput: each kWh metered in or out of a vehicle [currency/kWh]."""
    battery_ageing: Annotated[float, Field(ge=0), NUMBER] = 0.0
    """Weight of what ageing costs by the key `ageing`, of vehicles and of stationary batteries, made linear: a price of
    throughput, and one of the energy that batteries hold, by the hour [-]."""
    terminal_value: Annotated[
        Annotated[NonNegativePrice, Tag("<plain>")] | Annotated[Literal["auto"], Tag("<auto>")], _LATER
    ] = "auto"
    """Price of energy after the end of the episode [currency/kWh]. Vehicles that stay are compared with an even service
    of their wish: energy that is missing at the end is bought at this price, additional energy is credited. `auto`: the
    mean buying price of the episode; 0: energy at the end has no value. With `energy_cost: 0`, or with
    `unmet_energy: 0` unless `service: required`, it has none either."""
    overload: NonNegativePrice | None = None
    """Cost of power beyond a limit [currency/kWh of overload]; needed with coordinator `none`, useless with others."""
    setpoint_tracking: SetpointTracking | None = None
    """Quadratic cost of deviating from a charging power."""
    voltage_deviation: Annotated[float, Field(ge=0), NUMBER] = 0.0
    """Cost of one p.u. beyond the voltage band at one bus for one hour [currency/(p.u.·h)]; needs `grid`."""
    line_overload: NonNegativePrice = 0.0
    """Cost of each kVA that a line carries beyond its limit for one hour [currency/kWh]; needs `grid`."""
    transformer_overload: NonNegativePrice = 0.0
    """Cost of each kVA that a transformer of the network carries beyond its limit for one hour [currency/kWh]; needs
    `grid`."""
    transformer_ageing: HourPrice = 0.0
    """Price of the hours of normal life that the site's transformers (`transformer` of a group) use, by IEC 60076-7,
    base load included [currency/h]: what a new one costs over its life, such as 15,000 EUR over 150,000 h."""
    grid_losses: NonNegativePrice = 0.0
    """Cost of the energy that the network loses [currency/kWh]; needs `grid`."""
    carbon: CarbonPrice = 0.0
    """Price of the CO2 of what the site draws from the grid with its vehicles, less that without them [currency/t];
    what it feeds in is not credited. Needs `carbon`, and `energy_cost` above 0."""
    peak_power: PeakPrice = 0.0
    """Cost of the highest power that the site draws in the episode, base load included [currency/kW]."""
    demand_response: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Weight of the penalties of demand response in `events`; 0: they are not counted. It must be written down where
    tracks have such events and the scenario has none [-]."""
    split: ShareRule = "responsibility"
    """How shared terms (overload, tracking, peak, demand response) are split among the agents: evenly, or by who caused
    them."""
    extra: dict[str, dict[str, Any]] = {}
    """Terms of your own: module:Class and its keyword arguments."""

    @model_validator(mode="after")
    def _check(self) -> Objective:
        weights = (self.energy_cost, self.unmet_energy, self.driver_tariff, self.battery_wear, self.peak_power)
        counts = any(weights) or self.service == "required" or bool(self.extra)
        if not counts and self.overload is None and self.setpoint_tracking is None:
            raise ValueError("nothing counts; give at least one term a weight above 0")
        return self
