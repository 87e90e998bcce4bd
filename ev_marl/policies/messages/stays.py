"""Vehicles as the exchange of messages sees them: those at the ports, or those that a group expects.

A station view or drawn sessions come in; plans for the rest of the day go out, at announced prices or in given room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.policies.base import StationView
from ev_marl.policies.messages.plan import plan_at_prices, plan_in_turn


@dataclass(frozen=True)
class Stays:
    """Vehicles at ports, now or expected: `session` points into arrays with one number a stay; S stays."""

    session: np.ndarray  # int64 (B, N)  −1: nobody
    energy_kwh: np.ndarray  # (B, N)
    lo_kw: np.ndarray  # (B, N)  what can be done in this step, by those who are there
    hi_kw: np.ndarray  # (B, N)
    group: np.ndarray  # int64 (N,)  deepest group
    start_step: np.ndarray  # int64 (S,)
    deadline_step: np.ndarray  # int64 (S,)
    capacity_kwh: np.ndarray  # (S,)
    floor_kwh: np.ndarray  # (S,)
    due_kwh: np.ndarray  # (S,)
    charge_kw: np.ndarray  # (S,)
    discharge_kw: np.ndarray  # (S,)
    charge_efficiency: np.ndarray  # (S,)
    discharge_efficiency: np.ndarray  # (S,)
    tau_h: np.ndarray  # (S,)

    @classmethod
    def of(cls, view: StationView, group: np.ndarray) -> Stays:
        """The vehicles that are there; group, int64, shape (n_ports,): the deepest group above each port."""
        numbers = np.arange(view.connected.size, dtype=np.int64).reshape(view.connected.shape)
        return cls(
            np.where(view.connected, numbers, -1),
            view.energy_kwh,
            view.lo_kw,
            view.hi_kw,
            group,
            np.full(view.connected.size, view.step, dtype=np.int64),
            *(getattr(view, name).reshape(-1) for name in _LIMITS),
        )

    def plan(
        self,
        view: StationView,
        price_per_kwh: np.ndarray,
        plan_kw: np.ndarray,
        *,
        inertia_per_kwh: float,
        n_values: int = 48,
    ) -> np.ndarray:
        """Answer prices: the plans from this step on are written over the earlier ones.

        Parameters
        ----------
        view : StationView
            For the clock, the published prices and the objective's; a vehicle's answer reads nothing else of it.
        price_per_kwh : float64, shape (n_batch, n_groups, n_steps)
            Price of congestion within each group, those above it included, at each step of the day [currency/kWh].
        plan_kw : float64, shape (n_batch, n_stays, n_steps)
            Earlier answers, 0 where there are none; written [kW].
        inertia_per_kwh : float
            Moving the power of a step by the whole charging power of the vehicle costs half of this per kWh, so that
            vehicles that are alike do not all jump to the same step [currency/kWh].
        n_values : int
            Fineness of the grid of marginal values.

        Returns
        -------
        float64, shape (n_batch, n_stays)
            Charging power of the vehicles that have something to plan, 0 of the others [kW].
        """
        flexible_kw = np.empty(self.session.shape)
        plan_at_prices(
            view.step,
            view.step_h,
            self.session,
            self.energy_kwh,
            self.lo_kw,
            self.hi_kw,
            self.start_step,
            self.deadline_step,
            self.capacity_kwh,
            self.floor_kwh,
            self.due_kwh,
            self.charge_kw,
            self.discharge_kw,
            self.charge_efficiency,
            self.discharge_efficiency,
            self.tau_h,
            self.group,
            view.buy_per_kwh,
            view.sell_per_kwh,
            price_per_kwh,
            view.energy_weight,
            view.wear_per_kwh,
            view.unmet_per_kwh,
            inertia_per_kwh,
            n_values,
            plan_kw,
            flexible_kw,
        )
        return flexible_kw

    def plan_in_turn(
        self,
        view: StationView,
        order: np.ndarray,
        group_parent: np.ndarray,
        lower_kw: np.ndarray,
        upper_kw: np.ndarray,
        plan_kw: np.ndarray,
        *,
        n_values: int = 160,
    ) -> None:
        """Each vehicle in turn takes the cheapest plan that the plans of the others leave room for.

        Room is what a limit leaves beside all charging, or all discharging, of the others: nobody counts on another's
        discharging to make room, so no plan breaks a limit if somebody changes his.

        Parameters
        ----------
        view : StationView
            For the clock, the published prices and the objective's; a vehicle's plan reads nothing else of it.
        order : int64, shape (n_batch, n_stays)
            Whose turn it is, one after the other.
        group_parent : int64, shape (n_groups,)
            The tree.
        lower_kw, upper_kw : float64, shape (n_batch, n_groups, n_steps - step)
            Limits of the steps from this one on [kW].
        plan_kw : float64, shape (n_batch, n_stays, n_steps)
            Announced plans, 0 where there are none; written [kW].
        n_values : int
            Fineness of the grid of marginal values: prices nearer to each other than that are not told apart.
        """
        plan_in_turn(
            view.step,
            view.step_h,
            order,
            self.session,
            self.energy_kwh,
            self.lo_kw,
            self.hi_kw,
            self.deadline_step,
            self.capacity_kwh,
            self.floor_kwh,
            self.due_kwh,
            self.charge_kw,
            self.discharge_kw,
            self.charge_efficiency,
            self.discharge_efficiency,
            self.tau_h,
            self.group,
            group_parent,
            view.buy_per_kwh,
            view.sell_per_kwh,
            lower_kw,
            upper_kw,
            view.energy_weight,
            view.wear_per_kwh,
            view.unmet_per_kwh,
            n_values,
            plan_kw,
        )


_LIMITS = (
    "deadline_step",
    "capacity_kwh",
    "floor_kwh",
    "due_kwh",
    "charge_kw",
    "discharge_kw",
    "charge_efficiency",
    "discharge_efficiency",
    "tau_h",
)
