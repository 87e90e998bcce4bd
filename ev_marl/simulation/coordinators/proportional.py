"""Equal shares: if a limit is exceeded, all ports below it are scaled by the same factor.

Setpoints and limits come in, granted powers go out. Groups are visited from the leaves to the root, and a group beyond
a limit has all its ports scaled towards zero, charging and discharging alike.

The result keeps every limit: the feasible powers of a subtree are convex and contain zero, so scaling by a factor
between 0 and 1 keeps the limits further down. Scaling from the root to the leaves, or scaling only one sign, has no
such guarantee: where charging and discharging offset each other, it exceeds limits. A current limit counts as one more
limit of its group.
"""

from __future__ import annotations

import numpy as np

from ev_marl.simulation.coordinators.base import COORDINATORS, Request
from ev_marl.simulation.coordinators.scaling import scale_to_limits
from ev_marl.site.scaling import SLACK_KW
from ev_marl.site.tree import add_up_clipped, sum_ports
from ev_marl.support.compiled import kernel


@kernel
def _grant(
    setpoint_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Scale each group to its limits, bottom up; a feasible row is only copied."""
    n_batch, n_ports = setpoint_kw.shape
    n_groups = len(group_parent)
    total_kw = np.empty(n_groups)
    factor = np.empty(n_groups)
    for b in range(n_batch):
        for p in range(n_ports):
            granted_kw[b, p] = setpoint_kw[b, p]
        sum_ports(setpoint_kw[b], port_group, total_kw)
        if add_up_clipped(total_kw, lower_kw[b], upper_kw[b], group_parent, SLACK_KW):
            continue
        for g in range(n_groups):
            factor[g] = 1.0
            if total_kw[g] > upper_kw[b, g] + SLACK_KW:
                factor[g] = upper_kw[b, g] / total_kw[g]
            elif total_kw[g] < lower_kw[b, g] - SLACK_KW:
                factor[g] = lower_kw[b, g] / total_kw[g]
            if g > 0:
                factor[g] *= factor[group_parent[g]]
        for p in range(n_ports):
            granted_kw[b, p] *= factor[port_group[p]]


@COORDINATORS.register("proportional")
class Proportional:
    """Scales all ports of a group by one factor until the group keeps its limits, from the leaves to the root."""

    name = "proportional"
    enforces_limits = True

    def grant(self, request: Request, out: np.ndarray) -> None:
        """Write the granted powers to `out`, float64, shape (n_batch, n_ports) [kW]."""
        site = request.site
        if site.n_currents:
            np.copyto(out, request.setpoint_kw)
            scale_to_limits(request, out)
            return
        _grant(request.setpoint_kw, request.lower_kw, request.upper_kw, site.port_group, site.group_parent, out)
