"""What the ageing of batteries costs on a day, by the laws and by the linear prices that stand for them in plans.

The energies of an episode come in, costs of each vehicle go out; nothing of it happens in the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ev_marl.compare.records import Record
from ev_marl.objective.ageing import AgeingPrices
from ev_marl.scenario.schema import Scenario
from ev_marl.site.battery_ageing import AgeingLaw, check_rainflow, has_rainflow


def asks_for_ageing(scenario: Scenario) -> bool:
    """Whether a scenario has the key `ageing`, or prices it."""
    return scenario.objective.battery_ageing > 0 or scenario.ageing is not None


class BatteriesAged(Record):
    """What the ageing of batteries of one kind cost on a day, while they were connected."""

    cost: float
    """By the laws [currency]."""
    calendar: float
    """Part of it that comes with time [currency]; the rest comes with use."""
    linear: float
    """By the linear prices of the term `battery_ageing`, with what empty batteries cost [currency]."""
    by_session: tuple[float, ...]
    """By the laws, of each vehicle, or stationary battery [currency]."""


@dataclass(frozen=True)
class AgeingLaws:
    """The laws of a scenario's batteries."""

    vehicles: AgeingLaw
    stationary: AgeingLaw

    @classmethod
    def of(cls, scenario: Scenario) -> Self | None:
        """Those of a scenario; None if cycles cannot be counted, and the scenario says nothing of ageing.

        Raises
        ------
        DataError
            If it does, and the package `rainflow` is not installed.
        """
        if asks_for_ageing(scenario):
            check_rainflow()
        keys = scenario.laws
        return cls(AgeingLaw.of(keys.vehicles), AgeingLaw.of(keys.stationary)) if has_rainflow() else None

    def aged(
        self,
        stays: np.ndarray,
        energy_kwh: np.ndarray,
        power_kw: np.ndarray,
        step_h: float,
        *,
        stationary: bool,
    ) -> BatteriesAged:
        """Ageing of vehicles, or of stationary batteries.

        Parameters
        ----------
        stays : STAY, shape (n_stays,)
            All of the day.
        energy_kwh : float64, shape (n_steps, n_ports)
            In the batteries at the end of each step [kWh].
        power_kw : float64, shape (n_steps, n_ports)
            Granted powers [kW].
        step_h : float
            Length of a step [h].
        stationary : bool
            Which of the two.
        """
        law = self.stationary if stationary else self.vehicles
        per_kwh, held_per_kwh_h = AgeingPrices.of(law)
        empty_per_kwh_h = law.held_per_kwh_h[0]
        by_session, calendar, linear = [], 0.0, 0.0
        for stay in stays[stays["is_battery"] == stationary]:
            first, end, capacity = int(stay["arrival_step"]), int(stay["deadline_step"]), float(stay["capacity_kwh"])
            if end <= first:
                continue
            held = np.concatenate([[stay["energy_kwh"]], energy_kwh[first:end, stay["port"]]])
            loss = law.loss(held / capacity, step_h, first * step_h)
            by_session.append(law.per_loss * capacity * (loss.calendar + loss.cyclic))
            calendar += law.per_loss * capacity * loss.calendar
            mean_kwh = 0.5 * (held[1:] + held[:-1]).sum()
            moved_kwh = step_h * np.abs(power_kw[first:end, stay["port"]]).sum()
            hours_kwh = step_h * (held_per_kwh_h * mean_kwh + empty_per_kwh_h * capacity * (end - first))
            linear += float(per_kwh * moved_kwh + hours_kwh)
        return BatteriesAged(cost=sum(by_session), calendar=calendar, linear=linear, by_session=tuple(by_session))
