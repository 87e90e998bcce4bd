"""The compiled stages of a step: connect vehicles, clip setpoints, move energy, look ahead.

Comes in: arrays of a `State`, of `Days` and of the site. Goes out: the same state one step later, and what a `Flow`
shows.
"""

from __future__ import annotations

import numpy as np

from ev_marl.simulation.battery import power_box
from ev_marl.simulation.state import (
    BASE_LOAD,
    ENERGY,
    FOLLOWING,
    GRANTED,
    GROUP,
    HI,
    LAXITY,
    LO,
    PEAK,
    SESSION,
    SETTLED,
    SPARE,
)
from ev_marl.site.charge_curve import NO_CURVE, charging_gain
from ev_marl.site.part_load import METERED, STORED, interpolated
from ev_marl.site.tree import add_up
from ev_marl.support.compiled import kernel

# Rows of what a step writes, in the order of `_Frame`: by port, and one number for each row of the batch.
CHANGE, AFTER, UNMET, STOCK = 0, 1, 2, 3
IMPORT, PEAK_BEFORE = 3, 4
N_BY_PORT, N_BY_GROUP, N_BY_ROW = 4, 3, 5


@kernel
def seat(
    step: int, day: np.ndarray, first_session: np.ndarray, stays: np.ndarray, seats: np.ndarray, ports: np.ndarray
) -> None:
    """Connect all vehicles that are present at a step, with their energy on arrival."""
    for b in range(len(day)):
        for p in range(seats.shape[2]):
            first, s = first_session[day[b], p], first_session[day[b], p]
            while s < first_session[day[b], p + 1] and stays[s]["arrival_step"] <= step:
                s += 1
            seats[FOLLOWING, b, p] = s
            if s > first and stays[s - 1]["departure_step"] > step:
                seats[SESSION, b, p] = s - 1
                ports[ENERGY, b, p] = stays[s - 1]["energy_kwh"]


@kernel
def clip(setpoint_kw: np.ndarray, ports: np.ndarray, out: np.ndarray) -> int:
    """out = setpoint within what the ports can do, element by element; returns how many setpoints are not finite."""
    n_batch, n_ports = setpoint_kw.shape
    wild = 0
    for b in range(n_batch):
        lo_kw, hi_kw = ports[LO, b], ports[HI, b]
        for p in range(n_ports):
            setpoint = setpoint_kw[b, p]
            wild += not abs(setpoint) < np.inf
            out[b, p] = max(lo_kw[p], min(hi_kw[p], setpoint))
    return wild


@kernel
def look_ahead_row(
    b: int,
    step: int,
    step_h: float,
    day: np.ndarray,
    stays: np.ndarray,
    by_group: np.ndarray,
    seats: np.ndarray,
    ports: np.ndarray,
    groups: np.ndarray,
) -> None:
    """What ports and groups can do in the coming step; after the last step, the limits of the last one stay."""
    power_box(step, step_h, stays, seats[SESSION, b], ports[ENERGY, b], ports[LO, b], ports[HI, b], ports[LAXITY, b])
    k, t = day[b], min(step, by_group.shape[2] - 1)
    for i in range(by_group.shape[0]):
        for g in range(by_group.shape[3]):
            groups[i, b, g] = by_group[i, k, t, g]


@kernel
def look_ahead(
    step: int,
    step_h: float,
    day: np.ndarray,
    stays: np.ndarray,
    by_group: np.ndarray,
    seats: np.ndarray,
    ports: np.ndarray,
    groups: np.ndarray,
) -> None:
    """The same for all rows."""
    for b in range(len(day)):
        look_ahead_row(b, step, step_h, day, stays, by_group, seats, ports, groups)


def size(n_batch: int, n_ports: int, n_groups: int) -> int:
    """How many numbers a step writes; `parts` lays them out."""
    return N_BY_PORT * (n_batch + SPARE) * n_ports + N_BY_GROUP * n_batch * n_groups + N_BY_ROW * n_batch


@kernel
def parts(flow: np.ndarray, n_batch: int, n_ports: int, n_groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a step writes, laid out in one array: by port (4, B + spare, P), by group (3, B, G) and by row (5, B)."""
    ports_end = N_BY_PORT * (n_batch + SPARE) * n_ports
    groups_end = ports_end + N_BY_GROUP * n_batch * n_groups
    return (
        flow[:ports_end].reshape((N_BY_PORT, n_batch + SPARE, n_ports)),
        flow[ports_end:groups_end].reshape((N_BY_GROUP, n_batch, n_groups)),
        flow[groups_end:].reshape((N_BY_ROW, n_batch)),
    )


@kernel
def advance(
    step: int,
    step_h: float,
    day: np.ndarray,
    stays: np.ndarray,
    first_session: np.ndarray,
    by_step: np.ndarray,
    by_group: np.ndarray,
    above: np.ndarray,
    seats: np.ndarray,
    ports: np.ndarray,
    groups: np.ndarray,
    flow: np.ndarray,
) -> int:
    """Move energy, settle what is due, let vehicles leave and come, sum up the groups and the site's import; then
    look ahead. The state changes in place; the flow keeps prices and limits of this step. The stock is written at both
    ends of the episode only. Returns how many wishes were due."""
    n_batch, n_ports, n_groups = len(day), seats.shape[2], groups.shape[2]
    n_steps = by_step.shape[2]
    group_parent, port_group = above[:n_groups], above[n_groups:]
    flow_ports, flow_groups, flow_rows = parts(flow, n_batch, n_ports, n_groups)
    end = step + 1
    edge = step == 0 or end == n_steps
    n_due = 0
    for b in range(n_batch):
        k = day[b]
        session, following, settled = seats[SESSION, b], seats[FOLLOWING, b], seats[SETTLED, b]
        energy_kwh, granted_kw = ports[ENERGY, b], ports[GRANTED, b]
        group_kw, base_load_kw, peak_kw = groups[GROUP, b], groups[BASE_LOAD, b], groups[PEAK, b]
        change_kwh, after_kwh, unmet_kwh = flow_ports[CHANGE, b], flow_ports[AFTER, b], flow_ports[UNMET, b]
        stock_kwh = flow_ports[STOCK, b]
        for g in range(n_groups):
            group_kw[g] = 0.0
        for p in range(n_ports):
            s = session[p]
            if s < 0:
                change = 0.0
                energy = 0.0
                settled[p] = -1
                unmet_kwh[p] = 0.0
                if edge:
                    stock_kwh[p] = 0.0
                left = True
            else:
                stay = stays[np.uint64(s)]  # an unsigned index is not checked for being negative
                power = granted_kw[p]
                before = energy_kwh[p]
                if power >= 0.0:
                    change = stay["charge_efficiency"] * power * step_h
                else:
                    change = power * step_h / stay["discharge_efficiency"]
                group_kw[port_group[p]] += power
                energy = min(before + change, stay["capacity_kwh"])
                change = energy - before
                left = stay["departure_step"] == end
                due = left or end == n_steps
                settled[p] = s if due else -1
                n_due += due
                unmet_kwh[p] = max(0.0, stay["due_kwh"] - energy) if due else 0.0
                if edge:
                    stock_kwh[p] = -stay["ahead_kwh"] if step == 0 else 0.0
                if due and not left:
                    stock_kwh[p] += min(max(energy, stay["due_kwh"]), stay["wish_kwh"]) - stay["even_kwh"]
            change_kwh[p] = change
            after_kwh[p] = energy
            if left:
                energy = 0.0
                session[p] = -1
                coming = following[p]
                if coming < first_session[k, p + 1] and stays[coming]["arrival_step"] == end:
                    session[p] = coming
                    energy = stays[coming]["energy_kwh"]
                    following[p] = coming + 1
            energy_kwh[p] = energy
        add_up(group_kw, group_parent)
        for i in range(3):
            flow_rows[i, b] = by_step[i, k, step]
            for g in range(n_groups):
                flow_groups[i, b, g] = groups[i, b, g]
        flow_rows[PEAK_BEFORE, b] = peak_kw[0]
        for g in range(n_groups):
            peak_kw[g] = max(peak_kw[g], group_kw[g] + base_load_kw[g])
        flow_rows[IMPORT, b] = max(0.0, group_kw[0] + base_load_kw[0])
        look_ahead_row(b, end, step_h, day, stays, by_group, seats, ports, groups)
    return n_due


@kernel
def lose_at_part_load(
    step: int,
    last: bool,
    step_h: float,
    stays: np.ndarray,
    points: np.ndarray,
    seats: np.ndarray,
    ports: np.ndarray,
    flow_ports: np.ndarray,
) -> None:
    """Take back what chargers with a table lost besides, after `advance`, which counts with the highest efficiency;
    then look ahead again.

    Parameters
    ----------
    step, step_h, stays, seats, ports
        As in `advance`.
    last : bool
        Whether the step ends the episode.
    points : float64, shape (n_ports, 2, N_POINTS)
        See `ev_marl.site.part_load`.
    flow_ports : float64, shape (N_BY_PORT, n_batch, n_ports)
        What `advance` wrote by port; changed in place.
    """
    for b in range(flow_ports.shape[1]):
        for p in range(flow_ports.shape[2]):
            power = ports[GRANTED, b, p]
            if power <= 0.0 or points[p, METERED, -1] <= 0.0:
                continue
            settled = seats[SETTLED, b, p]
            s = settled if settled >= 0 else seats[SESSION, b, p]
            if s < 0:
                continue
            stay = stays[s]
            before = flow_ports[AFTER, b, p] - flow_ports[CHANGE, b, p]
            gain = interpolated(power, points[p], METERED, STORED) * step_h
            energy = min(before + gain, stay["capacity_kwh"])
            if last and stay["departure_step"] > step + 1:
                counted = min(max(flow_ports[AFTER, b, p], stay["due_kwh"]), stay["wish_kwh"])
                flow_ports[STOCK, b, p] += min(max(energy, stay["due_kwh"]), stay["wish_kwh"]) - counted
            if settled >= 0:
                flow_ports[UNMET, b, p] = max(0.0, stay["due_kwh"] - energy)
            flow_ports[AFTER, b, p], flow_ports[CHANGE, b, p] = energy, energy - before
            if seats[SESSION, b, p] == s:
                ports[ENERGY, b, p] = energy
        session, energy_kwh = seats[SESSION, b], ports[ENERGY, b]
        power_box(step + 1, step_h, stays, session, energy_kwh, ports[LO, b], ports[HI, b], ports[LAXITY, b])


@kernel
def reach_at_part_load(
    step_h: float, stays: np.ndarray, curves: np.ndarray, points: np.ndarray, seats: np.ndarray, ports: np.ndarray
) -> None:
    """The highest power of ports with a table in the coming step: the one that brings the battery to F(e).

    Parameters
    ----------
    step_h, stays, seats, ports
        As in `look_ahead`.
    curves : float64, shape (n_stays, 2, CURVE_POINTS)
        See `charging_gain`; without stays where no vehicle has a measured curve.
    points : float64, shape (n_ports, 2, N_POINTS)
        See `ev_marl.site.part_load`.
    """
    for b in range(seats.shape[1] - SPARE):
        for p in range(seats.shape[2]):
            s = seats[SESSION, b, p]
            if s < 0 or points[p, METERED, -1] <= 0.0:
                continue
            stay, curve = stays[s], curves[s] if len(curves) > 0 else NO_CURVE
            rate, capacity, tau_h = stay["rate_kw"], stay["capacity_kwh"], stay["tau_h"]
            gain = charging_gain(ports[ENERGY, b, p], step_h, rate, capacity, tau_h, curve)
            ports[HI, b, p] = min(stay["charge_kw"], interpolated(gain / step_h, points[p], STORED, METERED))
