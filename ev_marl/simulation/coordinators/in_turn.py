"""Serving ports in turn: one by one with as much as fits, or time round by time round with an increment each.

A request and an order of the ports come in, granted powers go out. Dischargers are served before chargers, because
their power adds to the room below a limit. Each grant stops at the first limit of a group or current that it meets.
What has been granted keeps all limits at any time, and the powers that do are convex, so nothing between zero and that
stop breaks one; a port whose power relieves a current makes room for the ports after it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from ev_marl.simulation.coordinators.base import Request
from ev_marl.site.levels import keep_levels, level_below
from ev_marl.site.scaling import SLACK_KW, keeps_currents, share_within
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
def _fitting(
    b: int,
    p: int,
    sign: float,
    most: float,
    currents: np.ndarray,
    weight: np.ndarray,
    current: np.ndarray,
    room_kw: np.ndarray,
    above: np.ndarray,
) -> float:
    """How much more power of one sign, up to `most`, port p may get before a limit of a group or a current binds."""
    n_groups = len(room_kw)
    power = most
    for r in range(len(weight)):
        by_real, by_imaginary = sign * weight[r, 0, p], sign * weight[r, 1, p]
        power = share_within(current[r, 0], current[r, 1], by_real, by_imaginary, currents[2, b, r], power)
    fitting: float = min(power, room_at(above[n_groups + p], room_kw, above[:n_groups]))
    return fitting


@kernel
def _take(
    p: int,
    sign: float,
    power: float,
    weight: np.ndarray,
    current: np.ndarray,
    room_kw: np.ndarray,
    above: np.ndarray,
    granted: np.ndarray,
) -> None:
    """Grant port p more power of one sign, which fits."""
    n_groups = len(room_kw)
    take_room(power, above[n_groups + p], room_kw, above[:n_groups])
    granted[p] += sign * power
    for r in range(len(weight)):
        current[r, 0] += sign * weight[r, 0, p] * power
        current[r, 1] += sign * weight[r, 1, p] * power


@kernel
def _next(granted: float, asked: float, increment_kw: float, least_kw: float, step_kw: float) -> float:
    """What a port is granted at most after one more time round: an increment or a level more; all levels are above the
    least power."""
    after = granted + (step_kw if step_kw > 0.0 else increment_kw)
    return min(asked, max(after, least_kw) if granted < least_kw else after)


_NO_RANK = np.zeros((0, 0))  # ports have no least power that is served before all else


@kernel
def _grant(
    increment_kw: float,
    setpoint_kw: np.ndarray,
    hi_kw: np.ndarray,
    levels_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    rank: np.ndarray,
    least_rank: np.ndarray,
    currents: np.ndarray,
    weight: np.ndarray,
    above: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Serve the rows of a batch that break a limit; a feasible row is only copied, lowered to levels."""
    n_batch, n_ports = setpoint_kw.shape
    n_groups, n_rows = lower_kw.shape[1], len(weight)
    group_parent, port_group = above[:n_groups], above[n_groups:]
    room_kw = np.empty(n_groups)
    current = np.empty((n_rows, 2))
    asked = np.empty(n_ports)
    key = np.empty(n_ports)
    port = np.empty(n_ports, dtype=np.int64)
    for b in range(n_batch):
        granted = granted_kw[b]
        for p in range(n_ports):
            asked[p] = level_below(setpoint_kw[b, p], hi_kw[b, p], levels_kw[0, p], levels_kw[1, p])
            granted[p] = asked[p]
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
            if len(least_rank) > 0 and sign > 0.0:
                n = _order(sign, asked, least_rank[b], key, port)
                for i in range(n):
                    p = port[i]
                    least = min(asked[p], levels_kw[0, p])
                    if _fitting(b, p, sign, least, currents, weight, current, room_kw, above) < least - SLACK_KW:
                        asked[p] = 0.0
                    else:
                        _take(p, sign, least, weight, current, room_kw, above, granted)
            n = _order(sign, asked, rank[b], key, port)
            while n > 0:
                asking = 0
                for i in range(n):
                    p = port[i]
                    left = sign * (asked[p] - granted[p])
                    most = min(left, increment_kw)
                    if increment_kw < np.inf and sign > 0.0 and levels_kw[0, p] + levels_kw[1, p] > 0.0:
                        most = _next(granted[p], asked[p], increment_kw, levels_kw[0, p], levels_kw[1, p]) - granted[p]
                    power = _fitting(b, p, sign, most, currents, weight, current, room_kw, above)
                    if increment_kw < np.inf and power < max(most - SLACK_KW, SLACK_KW):
                        continue
                    if sign > 0.0 and power < left and increment_kw == np.inf:
                        fits = granted[p] + power
                        power = max(0.0, level_below(fits, np.inf, levels_kw[0, p], levels_kw[1, p]) - granted[p])
                    _take(p, sign, power, weight, current, room_kw, above, granted)
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


def grant_in_turn(
    request: Request, rank: np.ndarray, increment_kw: float, out: np.ndarray, *, least_first: bool = False
) -> None:
    """Serve ports in an order, within all limits; a request that keeps them is only copied.

    What is granted are levels of the ports, where they have some; what one port cannot use is left to the next.

    Parameters
    ----------
    request : Request
        The step's.
    rank : float64, shape (n_batch, n_ports)
        Chargers are served from the lowest to the highest, dischargers from the highest to the lowest.
    increment_kw : float
        Power that a port is granted each time round, if all of it fits; a port for which it does not fit is not served
        again. A port with levels is granted one level more. Infinite: each port is served once, with as much as fits.
    out : float64, shape (n_batch, n_ports)
        Written [kW].
    least_first : bool
        Whether chargers are granted their least power before, the first to leave first; those for which it does not fit
        are not served.
    """
    site = request.site
    limits = (request.lower_kw, request.upper_kw)
    _grant(
        increment_kw,
        request.setpoint_kw,
        request.hi_kw,
        site.port_levels_kw,
        *limits,
        rank,
        rank_of(request, "deadline") if least_first else _NO_RANK,
        request.currents,
        site.current_weight,
        site.above,
        out,
    )


def keep_levels_within(request: Request, power_kw: np.ndarray, *, enforce: bool) -> None:
    """Lower charging powers to levels that the ports can grant, in place, and keep the limits.

    Lower charging can break a limit that charging and discharging, or the phases, kept together. Such a row of the
    batch is served anew from zero, dischargers first, then chargers, the least laxity first: zero keeps all limits, and
    each grant stops at the first limit that it meets.

    Parameters
    ----------
    request : Request
        The step's.
    power_kw : float64, shape (n_batch, n_ports)
        What is granted, within the limits [kW].
    enforce : bool
        Whether limits are kept.
    """
    site = request.site
    keep_levels(power_kw, request.hi_kw, site.port_levels_kw, power_kw)
    if enforce and (site.n_currents or (power_kw < 0.0).any()):
        grant_in_turn(replace(request, setpoint_kw=power_kw.copy()), request.laxity_h, np.inf, power_kw)
