"""The share of its plan that each vehicle would get if all charged in their cheapest steps: one round of messages.

Stations book one after the other: the cheapest steps before each deadline for the energy that their vehicles still
need. A vehicle that stays beyond the end books, up to its wish, the steps that are cheaper than energy after the end.
Groups add up the bookings below them and broadcast the sums. If the steps of a vehicle are overbooked, it can count on
a share of its power only, its coverage, and should start earlier. Behind a site's meter, a station that books later
finds less PV power left. So stations notice a shared limit before it binds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.objective.meter import mean_price
from ev_marl.planning.vehicles import ENERGY, Vehicles
from ev_marl.planning.worth import planned_efficiency, unpaid, wear_of, worth_at_end
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.tree import add_up_columns
from ev_marl.support.compiled import kernel

# Least share of its power on which a plan counts, however overbooked its steps are [-].
LEAST_TRUST = 0.2

BASE_LOAD = 2  # third row of the bill of a site: its base load


@kernel
def _book_vehicle(
    energy_kwh: float, stay: np.void, rates: np.void, step_h: float, left: int, cost: np.ndarray, booked_kw: np.ndarray
) -> None:
    """Write the power that a vehicle books in each of the steps to come, `left` of which it can use."""
    efficiency = planned_efficiency(stay)
    per_kw = efficiency * step_h
    due_kw, wish_kw = (stay["due_kwh"] - energy_kwh) / per_kw, (stay["wish_kwh"] - energy_kwh) / per_kw
    worth = worth_at_end(rates, stay) * efficiency - wear_of(rates, stay) - unpaid(rates, stay)
    booked_kw[:] = 0.0
    for t in np.argsort(cost, kind="mergesort"):
        most = max(due_kw, wish_kw if cost[t] < worth else 0.0)
        if t < left and most > 0.0:
            booked_kw[t] = min(stay["charge_kw"], most)
            due_kw -= booked_kw[t]
            wish_kw -= booked_kw[t]


@kernel
def _book(
    step: int,
    step_h: float,
    stays: np.ndarray,
    session: np.ndarray,
    ports: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    bill: np.ndarray,
    rates: np.ndarray,
    upper_kw: np.ndarray,
    coverage: np.ndarray,
    price_per_kwh: np.ndarray,
) -> None:
    """Book; the bill is as in `book`, coverage and prices are written."""
    n_batch, n_ports = session.shape
    n_groups, n_steps = len(group_parent), bill.shape[2]
    booked_kw, group_kw = np.zeros((n_ports, n_steps)), np.empty((n_groups, n_steps))
    for b in range(n_batch):
        group_kw[:] = 0.0
        net_kw = bill[BASE_LOAD, b].copy() if len(bill) > BASE_LOAD else np.zeros(n_steps)
        for p in range(n_ports):
            coverage[b, p], booked_kw[p] = 1.0, 0.0
            s = session[b, p]
            price = price_per_kwh[:, b, min(p, price_per_kwh.shape[2] - 1)]
            for t in range(n_steps):
                price[0, t], price[1, t] = bill[0, b, t], bill[1, b, t]
                if len(bill) > BASE_LOAD and s >= 0:
                    price[0, t] = mean_price(net_kw[t], stays[s]["charge_kw"], bill[0, b, t], bill[1, b, t])
                    price[1, t] = mean_price(net_kw[t], -stays[s]["discharge_kw"], bill[0, b, t], bill[1, b, t])
            if s < 0 or stays[s]["charge_kw"] <= 0.0:
                continue
            left = max(1, stays[s]["deadline_step"] - step)
            _book_vehicle(ports[ENERGY, b, p], stays[s], rates[b], step_h, left, price[0], booked_kw[p])
            for t in range(n_steps):
                group_kw[port_group[p], t] += booked_kw[p, t]
                net_kw[t] += booked_kw[p, t]
        add_up_columns(group_kw, group_parent)
        for g in range(n_groups):
            upper = max(0.0, upper_kw[b, g])
            for t in range(n_steps):
                # From here on: the share of its bookings that the group's own limit allows.
                load = group_kw[g, t]
                group_kw[g, t] = upper / load if load > upper else 1.0
                if g > 0:  # parents come before children
                    group_kw[g, t] = min(group_kw[g, t], group_kw[group_parent[g], t])
        for p in range(n_ports):
            asked, got = 0.0, 0.0
            for t in range(n_steps):
                asked += booked_kw[p, t]
                got += booked_kw[p, t] * group_kw[port_group[p], t]
            if asked > 0.0:
                coverage[b, p] = got / asked


@dataclass(frozen=True)
class Bookings:
    """The answer to bookings; B batch rows, P ports, K steps to come."""

    coverage: np.ndarray  # (B, P)  share of each vehicle's bookings that the limits above it would allow, 1 without any
    price_per_kwh: np.ndarray  # (2, B, P or 1, K)  what a kWh charged costs, and one discharged earns, as found


def book(
    vehicles: Vehicles,
    step: int,
    step_h: float,
    bill: np.ndarray,
    rates: np.ndarray,
    site: SiteArrays,
    upper_kw: np.ndarray,
) -> Bookings:
    """Book for all vehicles, in the order of their ports.

    The limits of this step are used for all later steps, and vehicles that have not arrived book nothing.

    Parameters
    ----------
    vehicles : Vehicles
        At the start of step `step`.
    step, step_h : int, float
        The coming step, and its length [h].
    bill : float64, shape (2 or 3, n_batch, n_steps - step)
        What a kWh charged costs and one discharged earns, from `Worth.energy_per_kwh` [currency/kWh]. With the base
        load of the site as a third row [kW], they are the prices of its meter, and the price that each vehicle finds
        is the mean over its power, from where the base load and the bookings before it have left the meter.
    rates : RATES, shape (n_batch,)
        From `Worth.rates`.
    site : SiteArrays
        Which ports are below which groups.
    upper_kw : float64, shape (n_batch, n_groups)
        Import limits of this step [kW].

    Returns
    -------
    Bookings
        Its prices have an axis of length 1 instead of the ports where all find the same.
    """
    shape, n_left = vehicles.session.shape, bill.shape[2]
    found = Bookings(np.empty(shape), np.empty((2, shape[0], shape[1] if len(bill) > BASE_LOAD else 1, n_left)))
    _book(
        step,
        step_h,
        vehicles.stays,
        vehicles.session,
        vehicles.ports,
        site.port_group,
        site.group_parent,
        bill,
        rates,
        upper_kw,
        found.coverage,
        found.price_per_kwh,
    )
    return found
