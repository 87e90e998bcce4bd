"""The value of energy in vehicles that stay beyond the end of the episode, so that discharging them is not free.

Against an even service of their wish, energy that is missing at the end is bought later, and energy that is ahead is
credited, at one price: so putting off a kWh pays exactly where it is cheaper now than it is said to be later, and
nothing can be taken out of vehicles for free. What vehicles that came before the start bring with them beyond an even
service is debited at the same price, so the costs of two episodes sum to about those of one that is twice as long.
What a stationary battery holds at the end, less what it began with, is worth what it earns at that price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, Self

import numpy as np

from ev_marl.objective.ageing import BatteryAgeing
from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.required import Extremes
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.flow import Flow
from ev_marl.support.compiled import Number

AUTO: Literal["auto"] = "auto"


def in_battery_per_kwh(at_meter_per_kwh: Number, most_per_kwh: float, charge_efficiency: Number) -> Number:
    """What a kWh in the battery is worth, if one at the meter costs this, but not more than `most_per_kwh`."""
    worth: Number = np.minimum(most_per_kwh, at_meter_per_kwh / charge_efficiency)
    return worth


def in_stationary_per_kwh(later_per_kwh: Number, wear_per_kwh: Number, discharge_efficiency: Number) -> Number:
    """What a kWh in a stationary battery is worth: what it earns at a price at the meter, less wear."""
    worth: Number = np.maximum(0.0, later_per_kwh - wear_per_kwh) * discharge_efficiency
    return worth


@TERMS.register("terminal_value")
class TerminalValue:
    """Price of the energy that vehicles lack at the end; where they are ahead, an income.

    A kWh in the battery is worth (price + extra)/η⁺ between what is due at the end and the wish: below, it can not be
    delivered any more, and is unmet energy; above, nobody asked for it. That it could be fed back later has no worth
    here, as nobody knows the prices to come. A kWh in a stationary battery is worth (price − its wear)·η⁻.

    Parameters
    ----------
    price_per_kwh : float or "auto"
        What a kWh costs at the meter after the end [currency/kWh]; "auto": the mean buying price of the episode, which
        all may know.
    weight : float
        Factor on that price [-].
    extra_per_kwh : float
        What else a kWh at the meter costs: wear, less what drivers pay [currency/kWh].
    most_per_kwh : float
        A kWh in the battery is worth no more than this, the price of leaving it unmet [currency/kWh].
    stationary_wear_per_kwh : float
        What a kWh out of a stationary battery costs besides its own wear [currency/kWh].
    """

    name = "terminal_value"
    keys: ClassVar[tuple[str, ...]] = ("terminal_value",)

    def __init__(
        self,
        price_per_kwh: float | Literal["auto"] = AUTO,
        weight: float = 1.0,
        extra_per_kwh: float = 0.0,
        most_per_kwh: float = np.inf,
        stationary_wear_per_kwh: float = 0.0,
    ) -> None:
        self.price_per_kwh = price_per_kwh
        self.weight = weight
        self.extra_per_kwh = extra_per_kwh
        self.most_per_kwh = most_per_kwh
        self.stationary_wear_per_kwh = stationary_wear_per_kwh

    @classmethod
    def beside(cls, terms: Iterable[Term], price_per_kwh: float | Literal["auto"] = AUTO) -> Self:
        """The term that goes with the other terms of an objective.

        Parameters
        ----------
        terms : iterable of Term
            The others; the factor on money for energy, wear, ageing, the drivers' tariff and unmet energy are read.
        price_per_kwh : float or "auto"
            As for the class.
        """
        weight = extra = most = stationary = 0.0
        for term in terms:
            if isinstance(term, EnergyCost):
                weight += term.weight
            elif isinstance(term, BatteryWear):
                extra += term.price_per_kwh
            elif isinstance(term, BatteryAgeing):
                extra += term.vehicles.per_kwh
                stationary += term.stationary.per_kwh
            elif isinstance(term, DriverTariff):
                extra -= term.price_per_kwh
            elif isinstance(term, UnmetEnergy):
                most += term.price_per_kwh
        return cls(price_per_kwh, weight, extra, most, stationary)

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """Where the end, energy and unmet energy have a price; instead of the last, there may be a stationary battery.

        It is made beside the terms that the scenario has.
        """
        keys = scenario.objective
        served = keys.unmet_energy > 0 or keys.service == "required" or scenario.site.batteries
        priced = keys.terminal_value and keys.energy_cost > 0 and served
        return cls.beside(beside, keys.terminal_value) if priced else None

    def worth_per_kwh(self, later_per_kwh: np.ndarray | float, charge_efficiency: np.ndarray) -> np.ndarray:
        """What a kWh in the battery is worth at the end, between what is due then and the wish.

        Own plans have this slope of the value of energy at the end of the episode; below what is due, the price of
        unmet energy comes in its place, and above the wish it is 0.

        Parameters
        ----------
        later_per_kwh : float64, broadcastable
            Price of energy after the episode where none is given [currency/kWh].
        charge_efficiency : float64, any shape
            η⁺ [-].

        Returns
        -------
        float64, broadcast shape
            >= 0 [currency/kWh].
        """
        return in_battery_per_kwh(self.at_meter_per_kwh(later_per_kwh), self.most_per_kwh, charge_efficiency)

    def stored_per_kwh(self, later_per_kwh: np.ndarray | float) -> np.ndarray:
        """What a kWh that a stationary battery gives back later earns, without wear, broadcast shape [currency/kWh]."""
        price = later_per_kwh if self.price_per_kwh == AUTO else self.price_per_kwh
        return self.weight * np.asarray(price)

    def at_meter_per_kwh(self, later_per_kwh: np.ndarray | float) -> np.ndarray:
        """What a kWh at the meter costs after the end, >= 0, broadcast shape [currency/kWh]."""
        at_meter: np.ndarray = np.maximum(0.0, self.stored_per_kwh(later_per_kwh) + self.extra_per_kwh)
        return at_meter

    def due(self, flow: Flow) -> bool:
        """At both ends of the episode."""
        return flow.last or flow.step == 0

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """−worth·(energy beyond an even service at the end − that at the start)."""
        site, later_per_kwh = flow.site, flow.later_per_kwh[:, None]
        worth = self.worth_per_kwh(later_per_kwh, site.charge_efficiency)
        if site.has_batteries:
            battery, stored_per_kwh = site.is_battery, self.stored_per_kwh(later_per_kwh)
            wear_per_kwh = site.storage_wear_per_kwh[battery] + self.stationary_wear_per_kwh
            given_per_kwh = in_stationary_per_kwh(stored_per_kwh, wear_per_kwh, site.discharge_efficiency[battery])
            worth[..., battery] = given_per_kwh
        np.multiply(flow.stock_kwh, -worth, out=out)

    def largest_per_kwh(self, extremes: Extremes) -> float:
        """What it costs at the meter after the end."""
        return float(self.at_meter_per_kwh(extremes.price_per_kwh))

    def expression(self, day: DayModel) -> Expression:
        """Σ worth·(even − counted), counted <= energy + shortfall, counted <= wish; and what was brought along.

        A plan that ends before the episode values what it leaves in vehicles that stay in the same way, or it would
        give their energy away; what an even service would have delivered by then is a constant, and is left out.
        """
        stays = day.sessions
        worth = np.where(
            stays["is_battery"],
            in_stationary_per_kwh(
                self.stored_per_kwh(day.later_per_kwh),
                stays["wear_per_kwh"] + self.stationary_wear_per_kwh,
                stays["discharge_efficiency"],
            ),
            self.worth_per_kwh(day.later_per_kwh, stays["charge_efficiency"]),
        )
        there = (stays["arrival_step"] == 0) & (day.first_step == 0)
        total = float((worth * stays["ahead_kwh"])[there].sum())
        stay_on = (stays["departure_step"] > day.n_steps) & (day.last_pair >= 0)
        session = np.flatnonzero(stay_on & (worth > 0.0))
        place = np.full(len(stays), -1)
        place[day.owed_sessions] = np.arange(len(day.owed_sessions))
        counted = day.variables("terminal", np.zeros(len(session)), stays["wish_kwh"][session])
        held = day.energy[day.last_pair[session]]
        owed = place[session] >= 0
        day.at_least("terminal", held[~owed] - counted[~owed], 0.0)
        day.at_least("terminal", held[owed] + day.shortfall[place[session[owed]]] - counted[owed], 0.0)
        if day.ends:
            total += float((worth * stays["even_kwh"])[session].sum())
        return day.linear(counted, -worth[session], total)
