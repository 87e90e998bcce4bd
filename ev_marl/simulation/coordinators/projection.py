"""The projection on the limits of groups and of currents: the answer of `nearest` where a current limit binds.

A row of a request comes in; the x goes out that minimises Σ (x_i − r_i)² / 2w_i, where each x_i lies between 0 and the
setpoint r_i, the sum of each group between its limits, and the current b + Σ a·x of each row within its circle.

The method is Newton's on the dual problem. Charge a price λ_g for power in a group, and a force y_r, a vector in the
plane of phasors, for current in a row; then x = clip(r − w·(Σ λ_g + Σ y_r·a_r)) to its range. Prices and forces of the
limits that bind are sought such that each of these limits is met exactly: the gradient of a concave function, with a
Hessian that counts the ports strictly within their ranges. Where a full step does not improve it, the Hessian is raised
towards that of all ports, which bounds it from above, so that there is always a step that does. A limit enters when it
is broken, and leaves when its price would change its sign. These are the Karush-Kuhn-Tucker conditions of a strictly
convex problem, so the result is the only solution; what rounding leaves beyond a limit is scaled away afterwards.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.site.scaling import current_of
from ev_marl.support.compiled import kernel

_CLOSE_KW, _CLOSE = 5e-11, 5e-10
"""A group's limit is met if it is by this much [kW], a current's if it is by this share of itself and this much [A]:
half of what `ev_marl.site.scaling` lets pass."""
_STEPS = 300
_LEAST_RAISE, _MOST_RAISE = 1e-9, 1e4  # of the Hessian, as a share of that of all ports
_LEAST_FORCE = 1e-12
_ROUNDING = 1e-10


@kernel
def _respond(
    setpoint_kw: np.ndarray,
    weight: np.ndarray,
    row_weight: np.ndarray,
    group_ports: np.ndarray,
    price: np.ndarray,
    force: np.ndarray,
    power_kw: np.ndarray,
    free: np.ndarray,
) -> float:
    """Powers x at some prices, which ports are strictly within their range; returns Σ (x − r)²/2w + Σ (λ + y·a)·x."""
    n_ports = len(setpoint_kw)
    for p in range(n_ports):
        power_kw[p] = 0.0
    for g in range(len(price)):
        if price[g] != 0.0:
            for p in range(group_ports[0, g], group_ports[1, g]):
                power_kw[p] += price[g]
    for r in range(len(force)):
        if force[r, 0] != 0.0 or force[r, 1] != 0.0:
            for p in range(n_ports):
                power_kw[p] += force[r, 0] * row_weight[r, 0, p] + force[r, 1] * row_weight[r, 1, p]
    cost = 0.0
    for p in range(n_ports):
        charge = power_kw[p]
        asked = setpoint_kw[p]
        answer = asked - weight[p] * charge
        low, high = min(asked, 0.0), max(asked, 0.0)
        free[p] = low < answer < high
        power_kw[p] = min(max(answer, low), high)
        cost += (power_kw[p] - asked) ** 2 / (2.0 * weight[p]) + charge * power_kw[p]
    return cost


@kernel
def _slopes(
    b: int,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    currents: np.ndarray,
    row_weight: np.ndarray,
    group_ports: np.ndarray,
    power_kw: np.ndarray,
    price: np.ndarray,
    force: np.ndarray,
    side: np.ndarray,
    direction: np.ndarray,
    slope: np.ndarray,
) -> float:
    """Gradient of the dual function, shape (G + 2R,); returns how far the worst limit is from being met, 1: just so.

    A limit without a price that is broken gets a `side` (±1) or a `direction`, and so enters.
    """
    n_groups = len(price)
    worst = 0.0
    for g in range(n_groups):
        total = 0.0
        for p in range(group_ports[0, g], group_ports[1, g]):
            total += power_kw[p]
        side[g] = np.sign(price[g])
        if price[g] == 0.0:
            side[g] = 1.0 if total > upper_kw[g] + _CLOSE_KW else -1.0 if total < lower_kw[g] - _CLOSE_KW else 0.0
        if side[g] != 0.0:
            limit = upper_kw[g] if side[g] > 0.0 else lower_kw[g]
            slope[g] = total - limit
            worst = max(worst, abs(slope[g]) / _CLOSE_KW)
    for r in range(len(force)):
        real, imaginary = current_of(r, b, currents, row_weight, power_kw)
        limit = currents[2, b, r]
        size = math.hypot(force[r, 0], force[r, 1])
        if size > 0.0:
            direction[r, 0], direction[r, 1] = force[r, 0] / size, force[r, 1] / size
        else:
            amps = math.hypot(real, imaginary)
            if amps > limit + _CLOSE * (1.0 + limit):
                direction[r, 0], direction[r, 1] = real / amps, imaginary / amps
            else:
                direction[r, 0], direction[r, 1] = 0.0, 0.0
        if direction[r, 0] != 0.0 or direction[r, 1] != 0.0:
            k = n_groups + 2 * r
            slope[k] = real - limit * direction[r, 0]
            slope[k + 1] = imaginary - limit * direction[r, 1]
            worst = max(worst, math.hypot(slope[k], slope[k + 1]) / (_CLOSE * (1.0 + limit)))
    return worst


@kernel
def _paid(
    b: int, lower_kw: np.ndarray, upper_kw: np.ndarray, currents: np.ndarray, price: np.ndarray, force: np.ndarray
) -> float:
    """What the limits themselves take from the dual function."""
    paid = 0.0
    for g in range(len(price)):
        if price[g] != 0.0:
            paid += price[g] * (upper_kw[g] if price[g] > 0.0 else lower_kw[g])
    for r in range(len(force)):
        paid += currents[2, b, r] * math.hypot(force[r, 0], force[r, 1])
        paid -= force[r, 0] * currents[0, b, r] + force[r, 1] * currents[1, b, r]
    return paid


@kernel
def _solve_positive(matrix: np.ndarray, right: np.ndarray, n: int) -> None:
    """Solve a positive definite system of order n in place, by Cholesky's method."""
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                matrix[i, i] = math.sqrt(max(total, 1e-14 * matrix[i, i] + 1e-300))
            else:
                matrix[i, j] = total / matrix[j, j]
    for i in range(n):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]


@kernel
def project_row(
    b: int,
    setpoint_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    weight: np.ndarray,
    currents: np.ndarray,
    row_weight: np.ndarray,
    group_ports: np.ndarray,
    granted_kw: np.ndarray,
) -> None:
    """Project row b of a batch; arrays without the batch axis, but for `currents` (3, B, R)."""
    n_ports, n_groups, n_rows = len(setpoint_kw), len(lower_kw), len(row_weight)
    n_all = n_groups + 2 * n_rows
    price, force = np.zeros(n_groups), np.zeros((n_rows, 2))
    new_price, new_force = np.zeros(n_groups), np.zeros((n_rows, 2))
    side, direction, slope = np.zeros(n_groups), np.zeros((n_rows, 2)), np.zeros(n_all)
    new_side, new_direction, new_slope = np.zeros(n_groups), np.zeros((n_rows, 2)), np.zeros(n_all)
    step = np.zeros(n_all)
    free = np.zeros(n_ports, dtype=np.bool_)
    place = np.zeros(n_all, dtype=np.int64)
    reach = np.zeros((n_all, n_ports))
    matrix = np.zeros((n_all, n_all))
    value = _respond(setpoint_kw, weight, row_weight, group_ports, price, force, granted_kw, free)
    worst = _slopes(
        b, lower_kw, upper_kw, currents, row_weight, group_ports, granted_kw, price, force, side, direction, slope
    )
    raised = _LEAST_RAISE
    for _ in range(_STEPS):
        if worst <= 1.0:
            return
        n = 0  # limits that are in, and their part in each port's charge
        for g in range(n_groups):
            if side[g] != 0.0:
                place[n] = g
                for p in range(n_ports):
                    reach[n, p] = 1.0 if group_ports[0, g] <= p < group_ports[1, g] else 0.0
                n += 1
        for r in range(n_rows):
            if direction[r, 0] != 0.0 or direction[r, 1] != 0.0:
                for i in range(2):
                    place[n] = n_groups + 2 * r + i
                    for p in range(n_ports):
                        reach[n, p] = row_weight[r, i, p]
                    n += 1
        while True:
            for i in range(n):
                for j in range(i + 1):
                    within = 0.0
                    for p in range(n_ports):
                        if free[p]:
                            within += weight[p] * reach[i, p] * reach[j, p]
                    matrix[i, j] = within
                for p in range(n_ports):
                    matrix[i, i] += raised * weight[p] * reach[i, p] * reach[i, p]
                step[i] = slope[place[i]]
            i = 0
            while i < n:  # the circle's curvature: a force turns more easily the smaller it is
                if place[i] >= n_groups:
                    r = (place[i] - n_groups) // 2
                    size = max(_LEAST_FORCE, math.hypot(force[r, 0], force[r, 1]))
                    bend = currents[2, b, r] / size
                    x, y = direction[r, 0], direction[r, 1]
                    matrix[i, i] += bend * y * y
                    matrix[i + 1, i] -= bend * x * y
                    matrix[i + 1, i + 1] += bend * x * x
                    i += 1
                i += 1
            _solve_positive(matrix, step, n)
            new_price[:], new_force[:] = price, force
            for i in range(n):
                k = place[i]
                if k < n_groups:
                    new_price[k] += step[i]
                    if new_price[k] * side[k] <= 0.0:
                        new_price[k] = 0.0
                else:
                    new_force[(k - n_groups) // 2, (k - n_groups) % 2] += step[i]
            for r in range(n_rows):
                if new_force[r, 0] * direction[r, 0] + new_force[r, 1] * direction[r, 1] <= 0.0:
                    new_force[r, 0], new_force[r, 1] = 0.0, 0.0
            new_value = _respond(setpoint_kw, weight, row_weight, group_ports, new_price, new_force, granted_kw, free)
            new_value -= _paid(b, lower_kw, upper_kw, currents, new_price, new_force)
            new_worst = _slopes(
                b,
                lower_kw,
                upper_kw,
                currents,
                row_weight,
                group_ports,
                granted_kw,
                new_price,
                new_force,
                new_side,
                new_direction,
                new_slope,
            )
            # Close to the solution the value is lost in rounding, and the gradient says more.
            if new_value > value or (new_value > value - _ROUNDING * (1.0 + abs(value)) and new_worst < worst):
                break
            _respond(setpoint_kw, weight, row_weight, group_ports, price, force, granted_kw, free)
            if raised > _MOST_RAISE:
                return  # no step improves it: this is as near as rounding lets it come
            raised *= 100.0
        raised = max(_LEAST_RAISE, 1e-3 * raised)
        value, worst = new_value, new_worst
        price[:], force[:], side[:], direction[:], slope[:] = new_price, new_force, new_side, new_direction, new_slope
