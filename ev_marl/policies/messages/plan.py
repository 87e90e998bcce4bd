"""A vehicle's whole plan at given prices: the answer of a station to announced prices, or to the room left.

Prices, limits and vehicles come in, the power of every remaining step goes out. Unlike the plan of `own_plan`, which is
exact and gives the first step only, this one gives all steps, may be kept near an earlier answer by a quadratic term,
and keeps a limit that changes from step to step.

The method. The marginal value ν of a kWh in the battery decides the power of a step: charge while ν η exceeds the
price, discharge while ν / η falls below it. Backwards from the deadline, e_k(ν) is the energy at which a kWh is worth
ν: e_k(ν) = e_{k+1}(ν) − (energy that step k moves at ν), cut to the battery. It falls in ν and is kept on a grid of
values. Forwards from the present energy, each step takes the ν at which what it reaches is what is wanted then.
Where the taper binds, what a kWh is worth before the step follows from the slope of the charge curve.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.planning.vehicles import Vehicles
from ev_marl.policies.base import StationView
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import charging_gain, energy_before_charging
from ev_marl.support.compiled import kernel


@kernel
def _onto_grid(worth: np.ndarray, energies: np.ndarray, bottom: float, width: float, out: np.ndarray) -> None:
    """Read the line through the points (worth, energy), worth rising, at the values of the grid."""
    n_values = len(out)
    for i in range(1, n_values):
        worth[i] = max(worth[i], worth[i - 1])
    j = 0
    for i in range(n_values):
        value = bottom + i * width
        while j < n_values - 1 and worth[j + 1] < value:
            j += 1
        if value <= worth[0]:
            out[i] = energies[0]
        elif j == n_values - 1:
            out[i] = energies[n_values - 1]
        else:
            share = (value - worth[j]) / (worth[j + 1] - worth[j])
            out[i] = energies[j] + share * (energies[j + 1] - energies[j])


@kernel
def _plan_vehicle(
    first: int,
    step_h: float,
    energy: float,
    stay: np.void,
    unmet: float,
    money: np.ndarray,
    bounds_kw: np.ndarray,
    curvature: float,
    plan_kw: np.ndarray,
    wanted_kwh: np.ndarray,
    moved_kwh: np.ndarray,
) -> None:
    """Plan the steps from `first` to the deadline of one vehicle; the arrays are those of all steps of the day.

    `money` (2, T) is the price of charging and of discharging, `bounds_kw` (2, T) the least and the most power.
    plan_kw holds the earlier answer, which a curvature above 0 [currency/kWh per kW] stays near, and is written.
    """
    end, capacity, tau_h, rate_kw = stay["deadline_step"], stay["capacity_kwh"], stay["tau_h"], stay["rate_kw"]
    charge_eta, discharge_eta = stay["charge_efficiency"], stay["discharge_efficiency"]
    low = min(stay["floor_kwh"], energy) if stay["discharge_kw"] > 0.0 else energy
    charge_cost, discharge_gain, least_kw, most_kw = money[0], money[1], bounds_kw[0], bounds_kw[1]
    n_values = wanted_kwh.shape[1]
    bottom, top = 0.0, unmet
    for k in range(first, end):
        bottom = min(bottom, charge_cost[k] / charge_eta)
        if least_kw[k] < 0.0:
            top = max(top, discharge_gain[k] * discharge_eta)
    # One more value at each end: below all costs, where a full battery is wanted, and above all gains.
    width = (top - bottom) / (n_values - 3)
    bottom -= width
    for i in range(n_values):
        value = bottom + i * width
        if i == 0 or value < -0.5 * width:
            wanted_kwh[end, i] = capacity
        elif value < unmet + 0.5 * width:
            wanted_kwh[end, i] = max(low, stay["due_kwh"])
        else:
            wanted_kwh[end, i] = low
    knee = capacity - rate_kw * tau_h
    fastest = math.exp(-step_h / tau_h) if tau_h > 0.0 else 0.0  # F' within the taper
    worth, energies = np.empty(n_values), np.empty(n_values)
    for k in range(end - 1, first - 1, -1):
        bend = curvature
        if bend <= 0.0:  # no plan to stay near: the power ramps over one value of the grid
            bend = width * charge_eta / max(most_kw[k] - least_kw[k], 1e-9)
        near = plan_kw[k] if curvature > 0.0 else 0.0
        tapered = False
        for i in range(n_values):
            value = bottom + i * width
            up = near + (value * charge_eta - charge_cost[k]) / bend
            moved = 0.0
            if up > 0.0:
                moved = min(up, most_kw[k]) * charge_eta * step_h
            else:
                down = near + (value / discharge_eta - discharge_gain[k]) / bend
                if down < 0.0:
                    moved = max(down, least_kw[k]) / discharge_eta * step_h
            moved_kwh[k, i] = moved
            after = wanted_kwh[k + 1, i]
            before = after - moved
            worth[i] = value
            if moved > 0.0 and after > knee:
                least = energy_before_charging(after, step_h, rate_kw, capacity, tau_h)
                if least > before:
                    # The taper binds: a kWh more before this step is F' kWh more after it, and spares 1 - F' bought.
                    before = least
                    power = (after - before) / (charge_eta * step_h)
                    paid = (charge_cost[k] + bend * (power - near)) / charge_eta
                    worth[i] = paid + (value - paid) * max(fastest, (capacity - after) / (capacity - knee))
                    tapered = True
            energies[i] = before
        if tapered:
            _onto_grid(worth, energies, bottom, width, wanted_kwh[k])
        else:
            wanted_kwh[k] = energies
        for i in range(n_values):
            wanted_kwh[k, i] = min(max(wanted_kwh[k, i], low), capacity)
    for k in range(first, end):
        below, above = 0, n_values - 1
        if energy + moved_kwh[k, below] >= wanted_kwh[k + 1, below]:
            change = moved_kwh[k, below]
        elif energy + moved_kwh[k, above] <= wanted_kwh[k + 1, above]:
            change = moved_kwh[k, above]
        else:
            while above - below > 1:
                middle = (below + above) // 2
                if energy + moved_kwh[k, middle] < wanted_kwh[k + 1, middle]:
                    below = middle
                else:
                    above = middle
            short = wanted_kwh[k + 1, below] - energy - moved_kwh[k, below]
            beyond = energy + moved_kwh[k, above] - wanted_kwh[k + 1, above]
            share = short / (short + beyond)
            change = moved_kwh[k, below] + share * (moved_kwh[k, above] - moved_kwh[k, below])
        if change > 0.0:
            change = min(change, charging_gain(energy, step_h, rate_kw, capacity, tau_h))
            power = min(most_kw[k], change / (charge_eta * step_h))
            energy += power * charge_eta * step_h
        else:
            change = max(change, min(0.0, low - energy))
            power = max(least_kw[k], change * discharge_eta / step_h)
            energy += power / discharge_eta * step_h
        plan_kw[k] = power


@kernel
def _plan_at_prices(
    step: int,
    step_h: float,
    stays: np.ndarray,
    session: np.ndarray,
    energy_kwh: np.ndarray,
    lo_kw: np.ndarray,
    hi_kw: np.ndarray,
    place: np.ndarray,
    money_per_kwh: np.ndarray,
    price_per_kwh: np.ndarray,
    unmet_per_kwh: float,
    inertia_per_kwh: float,
    n_values: int,
    plan_kw: np.ndarray,
    flexible_kw: np.ndarray,
) -> None:
    """All vehicles at the price of their place; each reads its own numbers and column place[p] of the prices."""
    n_batch, n_ports, n_steps = plan_kw.shape
    money, bounds = np.empty((2, n_steps)), np.empty((2, n_steps))
    wanted, moved = np.empty((n_steps + 1, n_values)), np.empty((n_steps, n_values))
    for b in range(n_batch):
        for p in range(n_ports):
            flexible_kw[b, p] = 0.0
            s = session[b, p]
            if s < 0:
                continue
            stay = stays[s]
            first, end = max(step, stay["arrival_step"]), stay["deadline_step"]
            energy = energy_kwh[b, p]
            idle = stay["discharge_kw"] == 0.0 and energy >= stay["due_kwh"]
            for k in range(first, end):
                price = price_per_kwh[b, place[p], k]
                money[0, k] = money_per_kwh[0, b, k - step] + price
                money[1, k] = money_per_kwh[1, b, k - step] + price
                bounds[0, k], bounds[1, k] = -stay["discharge_kw"], stay["charge_kw"]
                idle = idle and money[0, k] >= 0.0
            if first == step and end > first:
                bounds[0, step], bounds[1, step] = lo_kw[b, p], hi_kw[b, p]
            if idle or stay["charge_kw"] <= 0.0:
                for k in range(first, end):
                    plan_kw[b, p, k] = 0.0
                continue
            flexible_kw[b, p] = stay["charge_kw"]
            curvature = inertia_per_kwh / stay["charge_kw"]
            _plan_vehicle(
                first, step_h, energy, stay, unmet_per_kwh, money, bounds, curvature, plan_kw[b, p], wanted, moved
            )


@kernel
def _plan_in_turn(
    step: int,
    step_h: float,
    order: np.ndarray,
    stays: np.ndarray,
    session: np.ndarray,
    energy_kwh: np.ndarray,
    lo_kw: np.ndarray,
    hi_kw: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    money_per_kwh: np.ndarray,
    unmet_per_kwh: float,
    limits_kw: np.ndarray,
    n_values: int,
    plan_kw: np.ndarray,
) -> None:
    """One vehicle after the other plans within the room that the announced plans of the others leave."""
    n_batch, n_ports, n_steps = plan_kw.shape
    n_groups = len(group_parent)
    money, bounds = np.empty((2, n_steps)), np.empty((2, n_steps))
    wanted, moved = np.empty((n_steps + 1, n_values)), np.empty((n_steps, n_values))
    others = np.empty((2, n_groups, n_steps))  # discharging and charging that is announced
    for b in range(n_batch):
        others[:] = 0.0
        for p in range(n_ports):
            if session[b, p] >= 0:
                _announce(
                    1.0, step, stays[session[b, p]]["deadline_step"], port_group[p], group_parent, plan_kw[b, p], others
                )
        for k in range(step, n_steps):
            money[0, k], money[1, k] = money_per_kwh[0, b, k - step], money_per_kwh[1, b, k - step]
        for turn in range(n_ports):
            p = order[b, turn]
            s = session[b, p]
            if s < 0 or stays[s]["charge_kw"] <= 0.0:
                continue
            stay = stays[s]
            end = stay["deadline_step"]
            for k in range(step, end):
                bounds[0, k], bounds[1, k] = -stay["discharge_kw"], stay["charge_kw"]
            if end > step:
                bounds[0, step], bounds[1, step] = lo_kw[b, p], hi_kw[b, p]
            _announce(-1.0, step, end, port_group[p], group_parent, plan_kw[b, p], others)
            g = port_group[p]
            while g >= 0:
                for k in range(step, end):
                    lower, upper = limits_kw[0, b, g, k - step], limits_kw[1, b, g, k - step]
                    bounds[0, k] = min(0.0, max(bounds[0, k], lower - others[0, g, k]))
                    bounds[1, k] = max(0.0, min(bounds[1, k], upper - others[1, g, k]))
                g = group_parent[g]
            _plan_vehicle(
                step, step_h, energy_kwh[b, p], stay, unmet_per_kwh, money, bounds, 0.0, plan_kw[b, p], wanted, moved
            )
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
        Only its clock and prices are used.
    vehicles : Vehicles
        V vehicles, present or expected.
    place : int64, shape (n_vehicles,)
        The place whose price each vehicle pays.
    price_per_kwh : float64, shape (n_batch, n_places, n_steps)
        Price of congestion at each place, in general a group with all groups above it, in each step of the day
        [currency/kWh].
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
        vehicles.energy_kwh,
        vehicles.lo_kw,
        vehicles.hi_kw,
        place,
        view.worth.money_per_kwh(view.charging_per_kwh, view.discharging_per_kwh),
        price_per_kwh,
        view.unmet_per_kwh,
        inertia_per_kwh,
        n_values,
        plan_kw,
        flexible_kw,
    )
    return flexible_kw


def plan_in_turn(
    view: StationView,
    vehicles: Vehicles,
    order: np.ndarray,
    site: SiteArrays,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    plan_kw: np.ndarray,
    *,
    n_values: int = 160,
) -> None:
    """Each vehicle in turn takes the cheapest plan for which the plans of the others leave room.

    Room is the limit less all charging, or all discharging, of the others: the discharging of others does not count as
    room for charging, so that no limit is broken when another plan changes.

    Parameters
    ----------
    view : StationView
        Only its clock and prices are used.
    vehicles : Vehicles
        The vehicles at the ports.
    order : int64, shape (n_batch, n_ports)
        The order of the turns.
    site : SiteArrays
        The tree.
    lower_kw, upper_kw : float64, shape (n_batch, n_groups, n_steps - step)
        Limits of the steps from this one on [kW].
    plan_kw : float64, shape (n_batch, n_ports, n_steps)
        Announced plans, 0 where there are none; written [kW].
    n_values : int
        Number of marginal values in the grid: smaller differences of prices are not distinguished.
    """
    _plan_in_turn(
        view.step,
        view.step_h,
        order,
        vehicles.stays,
        vehicles.session,
        vehicles.energy_kwh,
        vehicles.lo_kw,
        vehicles.hi_kw,
        site.port_group,
        site.group_parent,
        view.worth.money_per_kwh(view.charging_per_kwh, view.discharging_per_kwh),
        view.unmet_per_kwh,
        np.stack([lower_kw, upper_kw]),
        n_values,
        plan_kw,
    )
