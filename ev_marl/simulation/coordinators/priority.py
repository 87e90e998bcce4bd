"""One after the other: ports get power one by one, each as much as its limits leave.

Setpoints, limits and an order, such as laxity (time left less time needed), come in, granted powers go out. Dischargers
are served before chargers, because their power adds to the room below a limit. Among chargers the least laxity is
first, among dischargers the most, so that vehicles with time to spare discharge first. Equals are served by number.

The result keeps every limit: while dischargers are served, sums only fall and each grant stops at the nearest
export limit above it; while chargers are served, sums only rise and each grant stops at the nearest import limit. Where
currents have limits, each grant stops at the first of those too, see `ev_marl.simulation.coordinators.in_turn`.
"""

from __future__ import annotations

import numpy as np

from ev_marl.simulation.coordinators.base import COORDINATORS, Request
from ev_marl.simulation.coordinators.in_turn import Order, check_order, grant_in_turn, rank_of, sort_ports
from ev_marl.site.tree import add_up, add_up_clipped, sum_ports, take_room
from ev_marl.support.compiled import kernel


@kernel
def _serve(
    sign: float,
    setpoint_kw: np.ndarray,
    limit_kw: np.ndarray,
    rank: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    room_kw: np.ndarray,
    wanted_kw: np.ndarray,
    crowded: np.ndarray,
    key: np.ndarray,
    port: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Curtail the ports of one sign, which have been granted their setpoints, to the room that is left."""
    n_ports = len(setpoint_kw)
    n_groups = len(group_parent)
    for g in range(n_groups):
        room_kw[g] = 0.0
        wanted_kw[g] = 0.0
    for p in range(n_ports):
        if sign * setpoint_kw[p] > 0.0:
            wanted_kw[port_group[p]] += sign * setpoint_kw[p]
        elif sign > 0.0:
            room_kw[port_group[p]] -= granted_kw[p]  # dischargers make room for chargers, not the other way round
    add_up(wanted_kw, group_parent)
    add_up(room_kw, group_parent)
    # The order matters only below a group that cannot serve all; other ports keep their setpoints and need no sorting.
    for g in range(n_groups):
        room_kw[g] += sign * limit_kw[g]
        crowded[g] = wanted_kw[g] > room_kw[g] or (g > 0 and crowded[group_parent[g]])
    n = 0
    for p in range(n_ports):
        if sign * setpoint_kw[p] > 0.0 and crowded[port_group[p]]:
            key[n] = sign * rank[p]
            port[n] = p
            n += 1
    sort_ports(key, port, n)
    for i in range(n):
        p = port[i]
        granted_kw[p] = sign * take_room(sign * setpoint_kw[p], port_group[p], room_kw, group_parent)


@kernel
def _grant(
    setpoint_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    rank: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Process the rows that exceed a limit; a feasible row is only copied."""
    n_batch, n_ports = setpoint_kw.shape
    n_groups = len(group_parent)
    group_kw = np.empty((2, n_groups))
    crowded = np.empty(n_groups, dtype=np.bool_)
    key = np.empty(n_ports)
    port = np.empty(n_ports, dtype=np.int64)
    for b in range(n_batch):
        for p in range(n_ports):
            granted_kw[b, p] = setpoint_kw[b, p]
        sum_ports(setpoint_kw[b], port_group, group_kw[0])
        if add_up_clipped(group_kw[0], lower_kw[b], upper_kw[b], group_parent, 0.0):
            continue
        for sign, limit_kw in ((-1.0, lower_kw[b]), (1.0, upper_kw[b])):
            _serve(
                sign,
                setpoint_kw[b],
                limit_kw,
                rank[b],
                port_group,
                group_parent,
                group_kw[0],
                group_kw[1],
                crowded,
                key,
                port,
                granted_kw[b],
            )


@COORDINATORS.register("priority")
class Priority:
    """Serves the ports one by one, dischargers first, then chargers, each with as much as its limits leave.

    Parameters
    ----------
    order : str
        Which charger is served first: `laxity`, the one with the least time to spare (LLF); `deadline`, the one that
        leaves first (EDF); `arrival`, the one that came first (FCFS). Dischargers are served the other way round.
    least_first : bool
        Whether every charger is granted the least power of its port before, the first to leave first, so that few are
        interrupted; a charger for which that does not fit gets nothing.
    """

    name = "priority"
    enforces_limits = True

    def __init__(self, order: Order = "laxity", least_first: bool = False) -> None:
        check_order(self.name, order)
        self.order, self.least_first = order, least_first

    def grant(self, request: Request, out: np.ndarray) -> None:
        """Write the granted powers to `out`, float64, shape (n_batch, n_ports) [kW]."""
        site = request.site
        rank = rank_of(request, self.order)
        if site.n_currents or site.has_levels:
            grant_in_turn(request, rank, np.inf, out, least_first=self.least_first)
            return
        _grant(
            request.setpoint_kw,
            request.lower_kw,
            request.upper_kw,
            rank,
            site.port_group,
            site.group_parent,
            out,
        )
