"""The projection on the limits: granted powers are the nearest to the setpoints that keep every limit.

Setpoints r and limits come in; the x goes out that minimises Σ (x_i − r_i)² / 2w_i, where each x_i lies between 0 and
r_i (coordinators only curtail) and the sum of each group between its limits: a Euclidean projection, computed exactly.

The method. Let φ_g(λ) be the sum of group g when its parent charges the price λ for power. A port answers
x(λ) = clip(r − wλ) to its range; a group answers φ_g(λ) = clip(S_g(λ), lower_g, upper_g), S_g being the sum of its
ports' and subgroups' answers. All are nonincreasing and piecewise linear. Upwards, each group finds the prices at which
S_g meets its limits: λU_g (upper) <= λL_g (lower). Downwards, starting with price 0 above the root, the price inside a
group is λ_g = clip(λ_parent, λU_g, λL_g), and x_i = clip(r_i − w_i λ_g).

It is exact: μ_g = λ_g − λ_parent is positive only where S_g = upper_g and negative only where S_g = lower_g, and
x_i minimises its own cost at price λ_g = Σ μ over the groups around it. These are the Karush-Kuhn-Tucker conditions,
and the problem is strictly convex, so x is the only solution. Zero keeps all limits, so a solution always exists.

Where that breaks a current limit, the projection on all limits is found by another method: see
`ev_marl.simulation.coordinators.projection`.

It is fast: a port's range ends at r and 0, so a charger answers only to positive prices and a discharger only
to negative ones. Each port is one interval of |λ| over which it moves at the rate w; a group that meets a limit at some
price clips the intervals of its ports. S_g meeting a limit is then a water level, Σ w·(clip(|λ|, start, end) − start)
equal to a given drop, found by Newton steps over the linear pieces, with bisection where the pieces are not concave.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ev_marl.simulation.coordinators.base import COORDINATORS, Request
from ev_marl.simulation.coordinators.projection import project_row
from ev_marl.simulation.coordinators.scaling import scale_to_limits
from ev_marl.site.scaling import keeps_currents
from ev_marl.site.tree import add_up_clipped, sum_ports
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import OptionError, SiteError


@kernel
def _price_of_drop(
    drop_kw: float,
    sign: float,
    setpoint_kw: np.ndarray,
    weight: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    first: int,
    last: int,
) -> float:
    """Price magnitude at which the ports [first, last) of one sign have moved towards zero by `drop_kw` in total.

    Infinite where they have not moved further than that even at zero power.
    """
    all_kw = 0.0
    low = 0.0  # invariant: moved(low) <= drop_kw < moved(high)
    high = 0.0
    for p in range(first, last):
        if sign * setpoint_kw[p] > 0.0:
            all_kw += weight[p] * (end[p] - start[p])
            high = max(high, end[p])
    if all_kw <= drop_kw:
        return np.inf
    price = 0.0
    count = 0
    while True:
        # The linear piece [piece_start, piece_end] of `moved` that begins at or before the price.
        moved_kw = 0.0
        slope = 0.0
        piece_start = 0.0
        piece_end = np.inf
        for p in range(first, last):
            if sign * setpoint_kw[p] > 0.0:
                if price < start[p]:
                    piece_end = min(piece_end, start[p])
                elif price < end[p]:
                    moved_kw += weight[p] * (price - start[p])
                    slope += weight[p]
                    piece_start = max(piece_start, start[p])
                    piece_end = min(piece_end, end[p])
                else:
                    moved_kw += weight[p] * (end[p] - start[p])
                    piece_start = max(piece_start, end[p])
        if moved_kw <= drop_kw:
            low = price
        else:
            high = price
        count += 1
        if slope > 0.0:
            price += (drop_kw - moved_kw) / slope
            if piece_start <= price <= piece_end:
                return price
        # Newton overshoots where a piece is steeper than the ones before it; every third step bisects, so it ends.
        if not low < price < high or count % 3 == 0:
            price = 0.5 * (low + high)
            if not low < price < high:
                return high


@kernel
def _project(
    setpoint_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    weight: np.ndarray,
    above: np.ndarray,
    group_ports: np.ndarray,
    total_kw: np.ndarray,
    work: np.ndarray,
    interval: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Project one row. `total_kw` holds S_g(0), the sums at price zero with the subgroups clipped to their limits."""
    n_ports = len(setpoint_kw)
    n_groups = len(total_kw)
    group_parent, port_group = above[:n_groups], above[n_groups:]
    first, last = group_ports[0], group_ports[1]
    start, end = interval[0], interval[1]
    side, price_upper, price_lower = work[0], work[1], work[2]
    # Which sign the price inside a group can have: that of the nearest group around it, or itself, that is beyond a
    # limit at price zero. Everything below such a group that moves at prices of the other sign is held by it.
    for g in range(n_groups):
        side[g] = side[group_parent[g]] if g > 0 else 0.0
        if total_kw[g] > upper_kw[g]:
            side[g] = 1.0
        elif total_kw[g] < lower_kw[g]:
            side[g] = -1.0
        price_upper[g] = -np.inf
        price_lower[g] = np.inf
    for p in range(n_ports):
        start[p] = 0.0
        end[p] = abs(setpoint_kw[p]) / weight[p]
    for g in range(n_groups - 1, -1, -1):
        sign = side[g]
        if sign == 0.0:
            continue
        over_kw = total_kw[g] - upper_kw[g]
        under_kw = lower_kw[g] - total_kw[g]
        beyond_kw, slack_kw = (over_kw, -under_kw) if sign > 0.0 else (under_kw, -over_kw)
        price_start = 0.0
        price_end = np.inf
        if beyond_kw > 0.0:
            price_start = _price_of_drop(beyond_kw, sign, setpoint_kw, weight, start, end, first[g], last[g])
        if g > 0 and side[group_parent[g]] == sign and slack_kw < np.inf:  # else no such price comes from above
            price_end = _price_of_drop(slack_kw, sign, setpoint_kw, weight, start, end, first[g], last[g])
            price_end = max(price_start, price_end)
        if sign > 0.0:
            price_lower[g] = price_end
            if beyond_kw > 0.0:
                price_upper[g] = price_start
        else:
            price_upper[g] = -price_end
            if beyond_kw > 0.0:
                price_lower[g] = -price_start
        if g == 0 or (beyond_kw <= 0.0 and price_end == np.inf):
            continue
        for p in range(first[g], last[g]):
            if sign * setpoint_kw[p] > 0.0:
                end[p] = min(end[p], price_end)
                start[p] = min(max(start[p], price_start), end[p])
            elif beyond_kw > 0.0:
                end[p] = start[p]
    price = price_upper  # overwritten from the root down
    for g in range(n_groups):
        outside = price[group_parent[g]] if g > 0 else 0.0
        price[g] = min(max(outside, price_upper[g]), price_lower[g])
    for p in range(n_ports):
        asked = setpoint_kw[p]
        answer = asked - weight[p] * price[port_group[p]]
        granted_kw[p] = min(max(answer, min(asked, 0.0)), max(asked, 0.0))


@kernel
def _grant(
    setpoint_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    weight: np.ndarray,
    above: np.ndarray,
    group_ports: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Project the rows that break a limit; a feasible row is only copied. `weight` has one row, or one for each row."""
    n_batch, n_ports = setpoint_kw.shape
    n_groups = lower_kw.shape[1]
    group_parent, port_group = above[:n_groups], above[n_groups:]
    memory = np.empty(4 * n_groups + 2 * n_ports)  # allocated once: that takes as long as ten ports
    total_kw = memory[:n_groups]
    work = memory[n_groups : 4 * n_groups].reshape((3, n_groups))
    interval = memory[4 * n_groups :].reshape((2, n_ports))
    for b in range(n_batch):
        for p in range(n_ports):
            granted_kw[b, p] = setpoint_kw[b, p]
        sum_ports(setpoint_kw[b], port_group, total_kw)
        if not add_up_clipped(total_kw, lower_kw[b], upper_kw[b], group_parent, 0.0):
            _project(
                setpoint_kw[b],
                lower_kw[b],
                upper_kw[b],
                weight[min(b, len(weight) - 1)],
                above,
                group_ports,
                total_kw,
                work,
                interval,
                granted_kw[b],
            )


@kernel
def _project_on_currents(
    setpoint_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    weight: np.ndarray,
    currents: np.ndarray,
    row_weight: np.ndarray,
    group_ports: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Project the rows of a batch anew whose projection on the groups' limits breaks a current limit."""
    for b in range(len(setpoint_kw)):
        if not keeps_currents(b, currents, row_weight, granted_kw[b]):
            project_row(
                b,
                setpoint_kw[b],
                lower_kw[b],
                upper_kw[b],
                weight[min(b, len(weight) - 1)],
                currents,
                row_weight,
                group_ports,
                granted_kw[b],
            )


@lru_cache(maxsize=64)
def _alike(n_ports: int) -> np.ndarray:
    """Equal weights of all ports, float64, shape (1, n_ports)."""
    return np.ones((1, n_ports))  # not made read-only: numba takes longer to recognise such an array


@COORDINATORS.register("nearest")
class Nearest:
    """Grants the powers nearest to the setpoints, in the sense of least squares, among those that keep all limits.

    Parameters
    ----------
    weights : sequence of float, shape (n_ports,), optional
        How much each port is curtailed, > 0 [-]: of two ports below the same limit, one with weight 2 is curtailed by
        twice the power of one with weight 1. Default: all are 1.
    """

    name = "nearest"
    enforces_limits = True

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        self.weights = weights
        self._weight = None if weights is None else np.array(weights, dtype=np.float64, ndmin=2)
        if self._weight is not None and not (np.isfinite(self._weight).all() and (self._weight > 0).all()):
            raise OptionError(f"coordinator 'nearest': weights must be finite and > 0, got {weights}")

    def grant(self, request: Request, out: np.ndarray) -> None:
        """Write the granted powers to `out`, float64, shape (n_batch, n_ports) [kW]."""
        site, weight = request.site, self._weight
        if weight is None:
            weight = _alike(site.n_ports)
        elif weight.shape[1] != site.n_ports:
            raise SiteError(
                f"coordinator 'nearest' has {weight.shape[1]} weights, but the site has {site.n_ports} ports"
            )
        _grant(
            request.setpoint_kw,
            request.lower_kw,
            request.upper_kw,
            weight,
            site.above,
            site.group_ports,
            out,
        )
        if site.n_currents:
            _project_on_currents(
                request.setpoint_kw,
                request.lower_kw,
                request.upper_kw,
                weight,
                request.currents,
                site.current_weight,
                site.group_ports,
                out,
            )
            scale_to_limits(request, out)
