"""Serving ports in turn: one by one with as much as fits, or time round by time round with an increment each.

A request and an order of the ports come in, granted powers go out. Dischargers are served before chargers, because
their power adds to the room below a limit. Each grant stops at the first limit of a group or current that it meets.
What has been granted keeps all limits at any time, and the powers that do are convex, so nothing between zero and that
stop breaks one; a port whose power relieves a current makes room for the ports after it.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ev_marl.simulation.coordinators.base import Request
from ev_marl.simulation.coordinators.scaling import SLACK_KW, keeps_currents, share_within
from ev_marl.site.tree import add_up, add_up_clipped, room_at, sum_ports, take_room
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import OptionError
from ev_marl.support.values import listed, shown

Order = Literal["laxity", "deadline", "arrival"]
"""Which charger comes first: the one with the least time to spare, that leaves first, or that came first."""


@kernel
def sort_ports(
    key: np.ndarray,
    port: np.ndarray,
    n: int,
) -> None:
    """Order the first n ports by key, then by port number: Shell's sort, fast for the short lists of a site."""
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            k, p = key[i], port[i]
            j = i
            while j >= gap and (key[j - gap] > k or (key[j - gap] == k and port[j - gap] > p)):
                key[j] = key[j - gap]
                port[j] = port[j - gap]
                j -= gap
            key[j] = k
            port[j] = p
        gap //= 3


@kernel
def _order(
    sign: float,
    setpoint_kw: np.ndarray,
    rank: np.ndarray,
    key: np.ndarray,
    port: np.ndarray,
) -> int:
    """Put the ports that ask for power of one sign in the order in which they are served; returns how many."""
    n = 0
    for p in range(len(setpoint_kw)):
        if sign * setpoint_kw[p] > 0.0:
            key[n] = sign * rank[p]
            port[n] = p
            n += 1
    sort_ports(key, port, n)
    return n


@kernel
def _grant(
    increment_kw: float,
    setpoint_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    rank: np.ndarray,
    currents: np.ndarray,
    weight: np.ndarray,
    above: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Serve the rows of a batch that break a limit; a feasible row is only copied."""
    n_batch, n_ports = setpoint_kw.shape
    n_groups, n_rows = lower_kw.shape[1], len(weight)
    group_parent, port_group = above[:n_groups], above[n_groups:]
    room_kw = np.empty(n_groups)
    current = np.empty((n_rows, 2))
    key = np.empty(n_ports)
    port = np.empty(n_ports, dtype=np.int64)
    for b in range(n_batch):
        granted = granted_kw[b]
        for p in range(n_ports):
            granted[p] = setpoint_kw[b, p]
        sum_ports(granted, port_group, room_kw)
        kept = add_up_clipped(room_kw, lower_kw[b], upper_kw[b], group_parent, 0.0)
        if kept and keeps_currents(b, currents, weight, granted):
            continue
        for p in range(n_ports):
            granted[p] = 0.0
        for r in range(n_rows):
            current[r, 0], current[r, 1] = currents[0, b, r], currents[1, b, r]
        for sign in (-1.0, 1.0):
            sum_ports(granted, port_group, room_kw)
            add_up(room_kw, group_parent)
            for g in range(n_groups):
                room_kw[g] = upper_kw[b, g] - room_kw[g] if sign > 0.0 else room_kw[g] - lower_kw[b, g]
            n = _order(sign, setpoint_kw[b], rank[b], key, port)
            while n > 0:
                asking = 0
                for i in range(n):
                    p = port[i]
                    left = sign * (setpoint_kw[b, p] - granted[p])
                    most = min(left, increment_kw)
                    power = most
                    for r in range(n_rows):
                        by_real, by_imaginary = sign * weight[r, 0, p], sign * weight[r, 1, p]
                        limit = currents[2, b, r]
                        power = share_within(current[r, 0], current[r, 1], by_real, by_imaginary, limit, power)
                    power = min(power, room_at(port_group[p], room_kw, group_parent))
                    if increment_kw < np.inf and power < max(most - SLACK_KW, SLACK_KW):
                        continue
                    take_room(power, port_group[p], room_kw, group_parent)
                    granted[p] += sign * power
                    for r in range(n_rows):
                        current[r, 0] += sign * weight[r, 0, p] * power
                        current[r, 1] += sign * weight[r, 1, p] * power
                    if power < left and increment_kw < np.inf:
                        port[asking] = p
                        asking += 1
                n = asking


def check_order(coordinator: str, order: str) -> None:
    """Raise an OptionError that lists the orders there are, if this is none of them."""
    if order not in get_args(Order):
        allowed = listed(get_args(Order))
        raise OptionError(f"coordinator '{coordinator}': order is {shown(order)}; it must be one of {allowed}")


def rank_of(request: Request, order: Order) -> np.ndarray:
    """What the ports are ordered by, float64, shape (n_batch, n_ports): laxity [h], or a step; inf at an empty port."""
    if order == "laxity":
        return request.laxity_h
    if not len(request.stays):
        return np.full(request.session.shape, np.inf)
    field = "departure_step" if order == "deadline" else "arrival_step"
    step = request.stays[field].take(request.session, mode="clip")
    return np.where(request.session < 0, np.inf, step)


def grant_in_turn(request: Request, rank: np.ndarray, increment_kw: float, out: np.ndarray) -> None:
    """Serve ports in an order, within all limits; a request that keeps them is only copied.

    Parameters
    ----------
    request : Request
        The step's.
    rank : float64, shape (n_batch, n_ports)
        Chargers are served from the lowest to the highest, dischargers from the highest to the lowest.
    increment_kw : float
        Power that a port is granted each time round, if all of it fits; a port for which it does not fit is not served
        again. Infinite: each port is served once, with as much as fits.
    out : float64, shape (n_batch, n_ports)
        Written [kW].
    """
    site = request.site
    limits = (request.lower_kw, request.upper_kw)
    _grant(increment_kw, request.setpoint_kw, *limits, rank, request.currents, site.current_weight, site.above, out)
