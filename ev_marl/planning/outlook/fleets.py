"""Fleets: similar vehicles of several days put together, so that a programme has as many as one day has vehicles."""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook.base import NOBODY
from ev_marl.simulation.days import STAY, set_rates
from ev_marl.site.arrays import SiteArrays

STAY_CLASSES = 2  # vehicles with similar arrivals: those with short stays, those with long stays
LEAST_ARRIVAL_CLASSES = 4
_NO_TAPER_H = 1e-9
_NO_POWER_KW = 1e-300  # used instead of 0 to avoid 0/0
_DIGITS = 9  # of weights of currents that count as the same


def fleets(one: np.ndarray, weight: float, site: SiteArrays, n_steps: int, step_h: float) -> np.ndarray:
    """Vehicles of several days as fleets of similar vehicles, each vehicle at `weight` of its size.

    Vehicles are similar if their ports belong to the same group and draw the same currents, all have V2G or none has
    it, and arrivals and stays are similar; there are about as many fleets as vehicles in a day. Powers and energies are
    summed; arrival, deadline and efficiencies are means. A fleet charges at full power until it is full, without taper,
    and with the efficiency of full power.

    Parameters
    ----------
    one : STAY, shape (n_stays,)
        Vehicles of all days; those that are present at the start are left out.
    weight : float
        One over the number of days.
    site : SiteArrays
        The site.
    n_steps, step_h : int, float
        Steps of a day, and their length [h].
    """
    n_days = round(1.0 / weight)
    one = one[(one["arrival_step"] > 0) & (one["deadline_step"] > one["arrival_step"])]
    if not len(one):
        return NOBODY
    kinds = np.stack([_places(site)[one["port"]], one["discharge_kw"] > 0.0])
    kind = np.unique(kinds, axis=1, return_inverse=True)[1]
    per_day = np.bincount(kind) / n_days
    arrival_classes = np.maximum(LEAST_ARRIVAL_CLASSES, np.ceil(per_day / STAY_CLASSES)).astype(np.int64)
    cell = _quantiles(kind, one["arrival_step"], arrival_classes)
    fleet = _quantiles(cell, one["deadline_step"] - one["arrival_step"], np.full(cell.max() + 1, STAY_CLASSES))
    size = np.bincount(fleet)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(fleet, values) / n_days

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(fleet, values) / size

    arrival = np.rint(mean(one["arrival_step"])).astype(np.int64)
    deadline = np.clip(np.rint(mean(one["deadline_step"])).astype(np.int64), arrival + 1, n_steps)
    first = np.full(len(size), len(one))
    np.minimum.at(first, fleet, np.arange(len(one)))
    charge_kw, energy_kwh = total(one["charge_kw"]), total(one["energy_kwh"])
    full = one["rate_kw"] / np.maximum(one["charge_kw"], _NO_POWER_KW)
    efficiency = mean(np.where(one["at_part_load"] > 0, full, one["charge_efficiency"]))
    full_kwh = energy_kwh + efficiency * charge_kw * (deadline - arrival) * step_h
    grouped = np.zeros(len(size), dtype=STAY)
    grouped["port"] = one["port"][first]
    grouped["arrival_step"] = arrival
    grouped["deadline_step"] = deadline
    departure = np.rint(mean(one["departure_step"])).astype(np.int64)
    grouped["departure_step"] = np.where(deadline == n_steps, np.maximum(departure, n_steps), deadline)
    grouped["energy_kwh"] = energy_kwh
    for name in ("wanted_kwh", "capacity_kwh", "discharge_kw", "wish_kwh", "even_kwh"):
        grouped[name] = total(one[name])
    grouped["charge_kw"] = charge_kw
    grouped["charge_efficiency"] = efficiency
    grouped["discharge_efficiency"] = mean(one["discharge_efficiency"])
    grouped["tau_h"] = _NO_TAPER_H
    grouped["floor_kwh"] = np.minimum(total(one["floor_kwh"]), energy_kwh)
    grouped["due_kwh"] = np.minimum(total(one["due_kwh"]), full_kwh)
    set_rates(grouped, step_h)
    return grouped


def _places(site: SiteArrays) -> np.ndarray:
    """Ports of one group with the same part in all currents share a number, int64, shape (P,)."""
    if not site.n_currents:
        return site.port_group
    weight = site.current_weight.reshape(-1, site.n_ports).round(_DIGITS)
    places: np.ndarray = np.unique(np.vstack([site.port_group, weight]), axis=1, return_inverse=True)[1].reshape(-1)
    return places


def _quantiles(cell: np.ndarray, values: np.ndarray, n_classes: np.ndarray) -> np.ndarray:
    """Split each cell into classes of equal size by value; numbers of the classes from 0, int64, shape (n,)."""
    order = np.lexsort((values, cell))
    count = np.bincount(cell)
    rank = np.empty(len(cell), dtype=np.int64)
    rank[order] = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
    pairs = np.stack([cell, rank * n_classes[cell] // count[cell]])
    classes: np.ndarray = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)
    return classes
