"""The share of its plan that each vehicle would get if all charged in their cheapest steps: one round of messages.

Every station books the cheapest steps before each deadline for the energy that its vehicles still need. Groups add up
the bookings below them and broadcast the sums. If the steps of a vehicle are overbooked, it can count on a share of its
power only, its coverage, and should start earlier. So stations notice a shared limit before it binds.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.vehicles import ENERGY, Vehicles
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.tree import add_up_columns
from ev_marl.support.compiled import kernel

# Least share of its power on which a plan counts, however overbooked its steps are [-].
LEAST_TRUST = 0.2


@kernel
def _book(
    step: int,
    step_h: float,
    stays: np.ndarray,
    session: np.ndarray,
    energy_kwh: np.ndarray,
    buy_per_kwh: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    upper_kw: np.ndarray,
    booked_kw: np.ndarray,
    group_kw: np.ndarray,
    coverage: np.ndarray,
) -> None:
    n_batch, n_ports = session.shape
    n_steps = buy_per_kwh.shape[1]
    n_groups = len(group_parent)
    for b in range(n_batch):
        cheapest = np.argsort(buy_per_kwh[b], kind="mergesort")
        booked_kw[:] = 0.0
        group_kw[:] = 0.0
        for p in range(n_ports):
            coverage[b, p] = 1.0
            s = session[b, p]
            if s < 0 or stays[s]["charge_kw"] <= 0.0:
                continue
            stay = stays[s]
            left_kw = (stay["due_kwh"] - energy_kwh[b, p]) / (stay["charge_efficiency"] * step_h)
            end = max(1, stay["deadline_step"] - step)
            for t in cheapest:
                if left_kw <= 0.0:
                    break
                if t < end:
                    power = min(stay["charge_kw"], left_kw)
                    booked_kw[p, t] = power
                    group_kw[port_group[p], t] += power
                    left_kw -= power
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


def booked_coverage(
    vehicles: Vehicles,
    step: int,
    step_h: float,
    buy_per_kwh: np.ndarray,
    site: SiteArrays,
    upper_kw: np.ndarray,
) -> np.ndarray:
    """Share of each vehicle's bookings that the limits above it would allow.

    The limits of this step are used for all later steps, and vehicles that have not arrived book nothing.

    Parameters
    ----------
    vehicles : Vehicles
        At the start of step `step`.
    step, step_h : int, float
        The coming step, and its length [h].
    buy_per_kwh : float64, shape (n_batch, n_steps - step)
        Published prices from this step on [currency/kWh].
    site : SiteArrays
        Which ports are below which groups.
    upper_kw : float64, shape (n_batch, n_groups)
        Import limits of this step [kW].

    Returns
    -------
    float64, shape (n_batch, n_ports)
        From 0 to 1 [-]; 1 where nothing is booked.
    """
    n_ports, n_left = site.n_ports, buy_per_kwh.shape[1]
    coverage = np.empty(vehicles.session.shape)
    _book(
        step,
        step_h,
        vehicles.stays,
        vehicles.session,
        vehicles.ports[ENERGY],
        np.ascontiguousarray(buy_per_kwh),
        site.port_group,
        site.group_parent,
        upper_kw,
        np.empty((n_ports, n_left)),
        np.empty((site.n_groups, n_left)),
        coverage,
    )
    return coverage
