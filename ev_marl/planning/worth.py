"""The prices of the objective for a single vehicle, and the energy prices at which it plans.

An objective comes in, prices of energy, wear and unmet energy go out, for own plans, messages and bids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.objective import Objective
from ev_marl.objective.ageing import AgeingPrices, BatteryAgeing
from ev_marl.objective.carbon import Carbon
from ev_marl.objective.demand_response import DemandResponse
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.meter import marginal_prices
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.terminal import TerminalValue, in_battery_per_kwh, in_stationary_per_kwh
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.planning.outlook import ComposedOutlook, Kind, Present
from ev_marl.scenario.schema import Metering
from ev_marl.support.compiled import kernel

_RATES: tuple[str, ...] = ("wear_per_kwh", "unmet_per_kwh", "end_per_kwh", "tariff_per_kwh", "stored_per_kwh")
_RATES += ("held_per_kwh_h", "battery_wear_per_kwh", "battery_held_per_kwh_h")
RATES = np.dtype([(name, "f8") for name in _RATES])
"""What plans of one batch row count besides energy: the price of throughput, that of unmet energy, what a kWh at the
meter is worth at the end of the episode, what drivers pay, and, for stationary batteries, what a kWh given back after
the end earns [currency/kWh]; what an hour costs for each kWh in the battery [currency/(kWh·h)]; and, for stationary
batteries, the price of throughput besides their own wear, and that of an hour."""

_in_battery_per_kwh, _in_stationary_per_kwh = kernel(in_battery_per_kwh), kernel(in_stationary_per_kwh)


@kernel
def planned_efficiency(stay: np.void) -> float:
    """Efficiency of charging that the plan of one vehicle counts with: that of full power, if it depends on it [-]."""
    efficiency: float = stay["charge_efficiency"]
    if stay["at_part_load"] and stay["charge_kw"] > 0.0:
        efficiency = stay["rate_kw"] / stay["charge_kw"]
    return efficiency


@kernel
def wear_of(rates: np.void, stay: np.void) -> float:
    """Price of throughput of a vehicle, or of a stationary battery."""
    if stay["is_battery"]:
        own: float = stay["wear_per_kwh"] + rates["battery_wear_per_kwh"]
        return own
    wear: float = rates["wear_per_kwh"]
    return wear


@kernel
def held_of(rates: np.void, stay: np.void, step_h: float, step: float) -> float:
    """What it costs to hold a kWh from the middle of a step to the deadline [currency per kWh in the battery]."""
    per_kwh_h: float = rates["battery_held_per_kwh_h"] if stay["is_battery"] else rates["held_per_kwh_h"]
    hours: float = step_h * max(0.0, stay["deadline_step"] - step - 0.5)
    return per_kwh_h * hours


@kernel
def unpaid(rates: np.void, stay: np.void) -> float:
    """What is added to the prices of energy, which are less the drivers' tariff, where no driver pays."""
    tariff: float = rates["tariff_per_kwh"] if stay["is_battery"] else 0.0
    return tariff


@kernel
def worth_at_end(rates: np.void, stay: np.void) -> float:
    """Value of a kWh in the battery at the end for a vehicle that stays, between due and wish; else 0."""
    if stay["is_battery"]:
        stored: float = _in_stationary_per_kwh(
            rates["stored_per_kwh"], wear_of(rates, stay), stay["discharge_efficiency"]
        )
        return stored
    if stay["departure_step"] <= stay["deadline_step"]:
        return 0.0
    worth: float = _in_battery_per_kwh(rates["end_per_kwh"], rates["unmet_per_kwh"], stay["charge_efficiency"])
    return worth


@dataclass(frozen=True)
class Worth:
    """The prices of the objective for a single vehicle."""

    energy_weight: float  # factor on the price of energy, 0 if energy has no price
    wear_per_kwh: float  # price of throughput [currency/kWh]
    unmet_per_kwh: float  # price of unmet energy [currency/kWh]
    tariff_per_kwh: float = 0.0  # tariff that the driver pays for energy, refunded for energy fed back [currency/kWh]
    metering: Metering = "port"  # where energy is billed
    carbon_per_kg: float = 0.0  # price of CO2 [currency/kg]
    terminal: TerminalValue | None = None  # value of energy in vehicles at the end of the episode
    ageing: BatteryAgeing | None = None  # what the ageing of batteries costs
    request_weight: float = 0.0  # factor on the penalties of demand response

    @classmethod
    def of(cls, objective: Objective) -> Worth:
        """Read the terms of an objective."""
        prices = {
            term.name: term.price_per_kwh
            for term in objective.terms
            if isinstance(term, BatteryWear | UnmetEnergy | DriverTariff)
        }
        energy = [term for term in objective.terms if isinstance(term, EnergyCost)]
        return cls(
            energy_weight=float(sum(term.weight for term in energy)),
            wear_per_kwh=float(prices.get("battery_wear", 0.0)),
            unmet_per_kwh=float(prices.get("unmet_energy", 0.0)),
            tariff_per_kwh=float(prices.get("driver_tariff", 0.0)),
            metering="site" if any(term.metering == "site" for term in energy) else "port",
            carbon_per_kg=float(sum(term.price_per_kg for term in objective.terms if isinstance(term, Carbon))),
            terminal=next((term for term in objective.terms if isinstance(term, TerminalValue)), None),
            ageing=next((term for term in objective.terms if isinstance(term, BatteryAgeing)), None),
            request_weight=float(sum(term.weight for term in objective.terms if isinstance(term, DemandResponse))),
        )

    @property
    def throughput_per_kwh(self) -> float:
        """Price of a kWh metered in or out of a vehicle: wear and ageing [currency/kWh]."""
        return self.wear_per_kwh + (0.0 if self.ageing is None else self.ageing.vehicles.per_kwh)

    def end_per_kwh(self, later_per_kwh: np.ndarray) -> np.ndarray:
        """Values of a kWh at the end of the episode, as in `own_plans`.

        Parameters
        ----------
        later_per_kwh : float64, shape (n_batch,)
            Price of energy after the episode if the objective has none [currency/kWh].

        Returns
        -------
        float64, shape (2, n_batch)
            Of one at the meter, for vehicles; of one that a stationary battery gives back later [currency/kWh].
        """
        values = np.zeros((2, len(later_per_kwh)))
        if self.terminal is not None:
            values[0] = self.terminal.at_meter_per_kwh(later_per_kwh)
            values[1] = self.terminal.stored_per_kwh(later_per_kwh)
        return values

    def rates(self, end_per_kwh: np.ndarray) -> np.ndarray:
        """Prices besides energy, RATES, shape (n_batch,); `end_per_kwh` from the method of this name."""
        rates = np.empty(end_per_kwh.shape[1], dtype=RATES)
        rates["wear_per_kwh"], rates["unmet_per_kwh"] = self.throughput_per_kwh, self.unmet_per_kwh
        nothing = AgeingPrices()
        ageing = self.ageing
        vehicles, stationary = (nothing, nothing) if ageing is None else (ageing.vehicles, ageing.stationary)
        rates["held_per_kwh_h"] = vehicles.held_per_kwh_h
        rates["battery_wear_per_kwh"], rates["battery_held_per_kwh_h"] = stationary
        rates["tariff_per_kwh"] = self.tariff_per_kwh
        rates["end_per_kwh"], rates["stored_per_kwh"] = end_per_kwh
        return rates

    def with_carbon(self, buy_per_kwh: np.ndarray, carbon_kg_per_kwh: np.ndarray | None) -> np.ndarray:
        """Buying prices with the price of CO2, which is paid where the site draws, shape (n_batch, n_steps)."""
        if not self.carbon_per_kg or carbon_kg_per_kwh is None:
            return buy_per_kwh
        return buy_per_kwh + self.carbon_per_kg / self.energy_weight * carbon_kg_per_kwh

    def energy_per_kwh(self, buy_per_kwh: np.ndarray, sell_per_kwh: np.ndarray) -> np.ndarray:
        """Cost of a kWh charged and earning of a kWh discharged: with weight and tariff, without wear.

        Parameters
        ----------
        buy_per_kwh, sell_per_kwh : float64, shape (n_batch, n_steps)
            Prices at the meter [currency/kWh].

        Returns
        -------
        float64, shape (2, n_batch, n_steps)
            Costs, then earnings [currency/kWh].
        """
        energy: np.ndarray = np.empty((2, *buy_per_kwh.shape))
        np.multiply(buy_per_kwh, self.energy_weight, out=energy[0])
        np.multiply(sell_per_kwh, self.energy_weight, out=energy[1])
        energy -= self.tariff_per_kwh
        return energy


OWN_PRICES: tuple[Kind, ...] = ("prices", "base_load")
"""What `own_prices` asks of the outlook."""


def own_prices(outlook: ComposedOutlook, present: Present, worth: Worth) -> tuple[np.ndarray, np.ndarray]:
    """The prices at which a vehicle plans by itself: those of the site's meter, or those of a meter of its own.

    Behind a site's meter they are the site's marginal prices without vehicles: exact in this step, from the outlook on
    the base load later. The price of CO2 is part of what a kWh drawn costs. They contain no information on other
    vehicles.

    Parameters
    ----------
    outlook : ComposedOutlook
        The outlook on prices and base load.
    present : Present
        Measured values.
    worth : Worth
        Prices of the objective, with the meter.

    Returns
    -------
    charging, discharging : float64, shape (n_batch, n_steps - step)
        Cost of a kWh drawn, and earning of a kWh fed back [currency/kWh]; not to be written.
    """
    buy_per_kwh, sell_per_kwh = outlook.prices(present.day, present.step)
    if worth.carbon_per_kg:
        buy_per_kwh = worth.with_carbon(buy_per_kwh, outlook.carbon_kg_per_kwh(present.day, present.step))
    if worth.metering == "port":
        return buy_per_kwh, sell_per_kwh
    return marginal_prices(outlook.base_load_kw(present)[:, :, 0], buy_per_kwh, sell_per_kwh)
