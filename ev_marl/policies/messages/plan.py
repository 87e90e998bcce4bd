"""The plans of all vehicles: the answers of stations to announced prices, or to the room that others leave, in turn.

A view, vehicles and prices or limits come in, the power of every remaining step goes out; each vehicle plans by
`plan_vehicle`.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.booking import BASE_LOAD
from ev_marl.planning.vehicles import ENERGY, HI, LO, Vehicles
from ev_marl.planning.worth import worth_at_end
from ev_marl.policies.base import StationView
from ev_marl.policies.messages.one_vehicle import BUY, LEAST, MOST, N_ROWS, SELL, TURN, plan_vehicle
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.compiled import kernel


@kernel
def _plan_at_prices(
    step: int,
    step_h: float,
    stays: np.ndarray,
    session: np.ndarray,
    ports: np.ndarray,
    place: np.ndarray,
    price_per_kwh: np.ndarray,
    rates: np.ndarray,
    inertia_per_kwh: float,
    n_values: int,
    plan_kw: np.ndarray,
    flexible_kw: np.ndarray,
) -> None:
    """All vehicles at the prices of their place; each reads its own numbers and column place[p] of the prices."""
    n_batch, n_ports, n_steps = plan_kw.shape
    ahead = np.zeros((N_ROWS, n_steps))
    wanted, moved = np.empty((n_steps + 1, n_values)), np.empty((n_steps, n_values))
    for b in range(n_batch):
        for p in range(n_ports):
            flexible_kw[b, p] = 0.0
            s = session[b, p]
            if s < 0:
                continue
            stay = stays[s]
            first, end = max(step, stay["arrival_step"]), stay["deadline_step"]
            energy = ports[ENERGY, b, p]
            full = stay["wish_kwh"] if worth_at_end(rates[b], stay) > 0.0 else stay["due_kwh"]
            idle = stay["discharge_kw"] == 0.0 and energy >= full
            for k in range(first, end):
                ahead[BUY, k] = price_per_kwh[0, b, place[p], k]
                ahead[SELL, k] = price_per_kwh[1, b, place[p], k]
                ahead[LEAST, k], ahead[MOST, k] = -stay["discharge_kw"], stay["charge_kw"]
                idle = idle and ahead[BUY, k] + rates[b]["wear_per_kwh"] >= 0.0
            if first == step and end > first:
                ahead[LEAST, step], ahead[MOST, step] = ports[LO, b, p], ports[HI, b, p]
            if idle or stay["charge_kw"] <= 0.0:
                for k in range(first, end):
                    plan_kw[b, p, k] = 0.0
                continue
            flexible_kw[b, p] = stay["charge_kw"]
            curvature = inertia_per_kwh / stay["charge_kw"]
            plan_vehicle(first, step_h, energy, stay, rates[b], ahead, curvature, plan_kw[b, p], wanted, moved)


@kernel
def _plan_in_turn(
    step: int,
    step_h: float,
    order: np.ndarray,
    vehicle: np.ndarray,
    box_kw: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    bill: np.ndarray,
    rates: np.ndarray,
    limits_kw: np.ndarray,
    n_values: int,
    plan_kw: np.ndarray,
) -> None:
    """One vehicle after the other plans within the room that the announced plans of the others leave.

    At a site's meter, which `bill` has a third row for, it pays the price on the side of the meter where the base load
    and the plans of the others leave it.
    """
    n_batch, n_ports, n_steps = plan_kw.shape
    n_groups = len(group_parent)
    ahead = np.zeros((N_ROWS, n_steps))
    wanted, moved = np.empty((n_steps + 1, n_values)), np.empty((n_steps, n_values))
    others = np.empty((2, n_groups, n_steps))  # discharging and charging that is announced
    for b in range(n_batch):
        others[:] = 0.0
        for p in range(n_ports):
            end = vehicle[b, p]["deadline_step"]
            _announce(1.0, step, end, port_group[p], group_parent, plan_kw[b, p], others)
        for k in range(step, n_steps):
            ahead[BUY, k], ahead[SELL, k] = bill[0, b, k - step], bill[1, b, k - step]
        for turn in range(n_ports):
            p = order[b, turn]
            stay = vehicle[b, p]
            if stay["charge_kw"] <= 0.0:
                continue
            end = stay["deadline_step"]
            _announce(-1.0, step, end, port_group[p], group_parent, plan_kw[b, p], others)
            for k in range(step, end):
                ahead[LEAST, k], ahead[MOST, k] = -stay["discharge_kw"], stay["charge_kw"]
                if len(bill) > BASE_LOAD:
                    ahead[TURN, k] = -bill[BASE_LOAD, b, k - step] - others[0, 0, k] - others[1, 0, k]
            if end > step:
                ahead[LEAST, step], ahead[MOST, step] = box_kw[0, b, p], box_kw[1, b, p]
            g = port_group[p]
            while g >= 0:
                for k in range(step, end):
                    lower, upper = limits_kw[0, b, g, k - step], limits_kw[1, b, g, k - step]
                    ahead[LEAST, k] = min(0.0, max(ahead[LEAST, k], lower - others[0, g, k]))
                    ahead[MOST, k] = max(0.0, min(ahead[MOST, k], upper - others[1, g, k]))
                g = group_parent[g]
            energy = stay["energy_kwh"]
            plan_vehicle(step, step_h, energy, stay, rates[b], ahead, 0.0, plan_kw[b, p], wanted, moved)
            _announce(1.0, step, end, port_group[p], group_parent, plan_kw[b, p], others)


@kernel
def _announce(
    sign: float,
    first: int,
    end: int,
    group: int,
    group_parent: np.ndarray,
    plan_kw: np.ndarray,
    others: np.ndarray,
) -> None:
    """Add a plan to the announced power of its group and of all groups above, or subtract it."""
    g = group
    while g >= 0:
        for k in range(first, end):
            others[0, g, k] += sign * min(0.0, plan_kw[k])
            others[1, g, k] += sign * max(0.0, plan_kw[k])
        g = group_parent[g]


def at_each_place(energy_per_kwh: np.ndarray, congestion_per_kwh: np.ndarray, step: int) -> np.ndarray:
    """What a kWh bought costs and one sold earns at each place: the prices of energy and of congestion together.

    Parameters
    ----------
    energy_per_kwh : float64, shape (2, n_batch, n_steps - step)
        Price of a kWh bought, and of one sold [currency/kWh].
    congestion_per_kwh : float64, shape (n_batch, n_places, n_steps)
        Price of congestion at each place, in general a group with all groups above it, in each step of the day
        [currency/kWh].
    step : int
        The coming step.

    Returns
    -------
    float64, shape (2, n_batch, n_places, n_steps)
        Right from the coming step on [currency/kWh].
    """
    price: np.ndarray = np.stack([congestion_per_kwh, congestion_per_kwh])
    price[:, :, :, step:] += energy_per_kwh[:, :, None]
    return price


def plan_at_prices(
    view: StationView,
    vehicles: Vehicles,
    place: np.ndarray,
    price_per_kwh: np.ndarray,
    plan_kw: np.ndarray,
    *,
    inertia_per_kwh: float,
    n_values: int = 48,
) -> np.ndarray:
    """Answer prices: the plans from this step on replace the earlier ones.

    Parameters
    ----------
    view : StationView
        Only its clock is used, and what the objective charges besides energy.
    vehicles : Vehicles
        V vehicles, present or expected.
    place : int64, shape (n_vehicles,)
        The place whose price each vehicle pays.
    price_per_kwh : float64, shape (2, n_batch, n_places, n_steps)
        What a kWh bought costs and one sold earns at each place, from `at_each_place` [currency/kWh].
    plan_kw : float64, shape (n_batch, n_vehicles, n_steps)
        Earlier answers, 0 where there are none; written [kW].
    inertia_per_kwh : float
        Changing the power of a step by the whole charging power of the vehicle costs half of this per kWh, so that
        equal vehicles do not all move to the same step [currency/kWh].
    n_values : int
        Number of marginal values in the grid.

    Returns
    -------
    float64, shape (n_batch, n_vehicles)
        Charging power of the vehicles that can plan, 0 for the others [kW].
    """
    flexible_kw = np.empty(vehicles.session.shape)
    _plan_at_prices(
        view.step,
        view.step_h,
        vehicles.stays,
        vehicles.session,
        vehicles.ports,
        place,
        price_per_kwh,
        view.worth.rates(view.end_per_kwh),
        inertia_per_kwh,
        n_values,
        plan_kw,
        flexible_kw,
    )
    return flexible_kw


def plan_in_turn(
    view: StationView,
    order: np.ndarray,
    site: SiteArrays,
    limits_kw: np.ndarray,
    base_load_kw: np.ndarray,
    plan_kw: np.ndarray,
    *,
    n_values: int = 160,
) -> None:
    """Each vehicle in turn takes the cheapest plan for which the plans of the others leave room.

    Room is the limit less all charging, or all discharging, of the others: the discharging of others does not count as
    room for charging, so that no limit is broken when another plan changes. Behind a site's meter a vehicle pays what
    it changes in the site's bill, the base load and the plans of the others being as they are: while they export, what
    it draws takes from what would be sold, and what is more is bought.

    Parameters
    ----------
    view : StationView
        The view; its vehicles plan.
    order : int64, shape (n_batch, n_ports)
        The order of the turns.
    site : SiteArrays
        The tree.
    limits_kw : float64, shape (2, n_batch, n_groups, n_steps - step)
        Lower and upper limits of the steps from this one on [kW].
    base_load_kw : float64, shape (n_batch, n_steps - step)
        Base load of the site; used where energy is billed at its meter [kW].
    plan_kw : float64, shape (n_batch, n_ports, n_steps)
        Announced plans, 0 where there are none; written [kW].
    n_values : int
        Number of marginal values in the grid: smaller differences of prices are not distinguished.
    """
    bill = view.bill_per_kwh
    if view.worth.metering == "site":
        bill = np.concatenate([bill, base_load_kw[None]])
    _plan_in_turn(
        view.step,
        view.step_h,
        order,
        view.vehicle,
        np.stack([view.lo_kw, view.hi_kw]),
        site.port_group,
        site.group_parent,
        bill,
        view.worth.rates(view.end_per_kwh),
        limits_kw,
        n_values,
        plan_kw,
    )
