"""Sums up the coupling graph, for kernels: what flows in a group is what flows at its ports and in its subgroups.

Arrays with one number for each group of one row come in and are changed in place. Groups are numbered with parents
before children, so a pass from the last to the first adds everything up.
"""

from __future__ import annotations

import numpy as np

from ev_marl.support.compiled import kernel


@kernel
def sum_ports(port_kw: np.ndarray, port_group: np.ndarray, totals: np.ndarray) -> None:
    """totals (G,) = what flows at the ports (P,) that each group feeds directly."""
    for g in range(len(totals)):
        totals[g] = 0.0
    for p in range(len(port_kw)):
        totals[port_group[p]] += port_kw[p]


@kernel
def add_up(totals: np.ndarray, group_parent: np.ndarray) -> None:
    """Add each group's total to that of its parent; shape (G,)."""
    for g in range(len(totals) - 1, 0, -1):
        totals[group_parent[g]] += totals[g]


@kernel
def add_up_columns(totals: np.ndarray, group_parent: np.ndarray) -> None:
    """Add each group's totals to those of its parent, column by column; shape (G, N)."""
    for g in range(len(totals) - 1, 0, -1):
        for k in range(totals.shape[1]):
            totals[group_parent[g], k] += totals[g, k]


@kernel
def add_up_clipped(
    totals: np.ndarray, lower_kw: np.ndarray, upper_kw: np.ndarray, group_parent: np.ndarray, slack_kw: float
) -> bool:
    """Add each group's total, clipped to the group's limits, to that of its parent; all of shape (G,).

    A total that is beyond a limit by at most `slack_kw` keeps it, and is not clipped.

    Returns
    -------
    bool
        Whether all limits are kept; then the totals are the plain sums.
    """
    kept = True
    for g in range(len(totals) - 1, -1, -1):
        total = totals[g]
        if total > upper_kw[g] + slack_kw:
            total = upper_kw[g]
            kept = False
        elif total < lower_kw[g] - slack_kw:
            total = lower_kw[g]
            kept = False
        if g > 0:
            totals[group_parent[g]] += total
    return kept


@kernel
def room_at(group: int, room_kw: np.ndarray, group_parent: np.ndarray) -> float:
    """Power that a group and all groups above it have room for; room_kw of shape (G,)."""
    room = np.inf
    g = group
    while g >= 0:
        room = min(room, room_kw[g])
        g = group_parent[g]
    return max(room, 0.0)


@kernel
def take_room(wanted_kw: float, group: int, room_kw: np.ndarray, group_parent: np.ndarray) -> float:
    """Take power from the room (G,) of a group and of all groups above it: what is wanted, or what all of them have."""
    power = max(min(wanted_kw, room_at(group, room_kw, group_parent)), 0.0)
    g = group
    while g >= 0:
        room_kw[g] -= power
        g = group_parent[g]
    return power
