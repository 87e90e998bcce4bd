"""A vehicle's whole plan at given prices: what a station answers when prices, or the room left, are announced.

Prices, limits and vehicles come in, the power of every remaining step goes out. Unlike the own plan of `own_plan`,
which is exact and tells the first step only, this one tells all steps, may be held near an earlier answer (a quadratic
term), and keeps a limit that changes from step to step.

The method. The marginal value ν of a kWh in the battery decides the power of a step: charge while ν η exceeds the
price, discharge while ν / η falls below it. Backwards from the deadline, e_k(ν) is the energy at which a kWh is worth
ν: e_k(ν) = e_{k+1}(ν) − (energy that step k moves at ν), cut to the battery. It falls in ν and is kept on a grid of
values. Forwards from the present energy, each step takes the ν at which what it reaches is what is wanted then.
Where the taper binds, what a kWh is worth before the step follows from the slope of the charge curve.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.site.charge_curve import charging_gain, energy_before_charging
from ev_marl.support.compiled import kernel


@kernel
def _onto_grid(worth: np.ndarray, energies: np.ndarray, bottom: float, width: float, out: np.ndarray) -> None:
    """Read the line through the points (worth, energy), worth rising, at the values of the grid."""
    n_values = len(out)
    for i in range(1, n_values):
        worth[i] = max(worth[i], worth[i - 1])
    j = 0
    for i in range(n_values):
        value = bottom + i * width
        while j < n_values - 1 and worth[j + 1] < value:
            j += 1
        if value <= worth[0]:
            out[i] = energies[0]
        elif j == n_values - 1:
            out[i] = energies[n_values - 1]
        else:
            share = (value - worth[j]) / (worth[j + 1] - worth[j])
            out[i] = energies[j] + share * (energies[j + 1] - energies[j])


@kernel
def _plan_vehicle(
    first: int,
    end: int,
    step_h: float,
    energy: float,
    capacity: float,
    low: float,
    due: float,
    charge_eta: float,
    discharge_eta: float,
    rate_kw: float,
    tau_h: float,
    unmet: float,
    charge_cost: np.ndarray,
    discharge_gain: np.ndarray,
    least_kw: np.ndarray,
    most_kw: np.ndarray,
    curvature: float,
    plan_kw: np.ndarray,
    wanted_kwh: np.ndarray,
    moved_kwh: np.ndarray,
) -> None:
    """Plan the steps first..end − 1 of one vehicle; the arrays are those of all steps of the day.

    plan_kw holds the earlier answer, which a curvature above 0 [currency/kWh per kW] stays near, and is written.
    """
    n_values = wanted_kwh.shape[1]
    bottom, top = 0.0, unmet
    for k in range(first, end):
        bottom = min(bottom, charge_cost[k] / charge_eta)
        if least_kw[k] < 0.0:
            top = max(top, discharge_gain[k] * discharge_eta)
    # One more value at each end: below all costs, where a full battery is wanted, and above all gains.
    width = (top - bottom) / (n_values - 3)
    bottom -= width
    for i in range(n_values):
        value = bottom + i * width
        if i == 0 or value < -0.5 * width:
            wanted_kwh[end, i] = capacity
        elif value < unmet + 0.5 * width:
            wanted_kwh[end, i] = max(low, due)
        else:
            wanted_kwh[end, i] = low
    knee = capacity - rate_kw * tau_h
    fastest = math.exp(-step_h / tau_h) if tau_h > 0.0 else 0.0  # F' within the taper
    worth, energies = np.empty(n_values), np.empty(n_values)
    for k in range(end - 1, first - 1, -1):
        bend = curvature
        if bend <= 0.0:  # no plan to stay near: the power ramps over one value of the grid
            bend = width * charge_eta / max(most_kw[k] - least_kw[k], 1e-9)
        near = plan_kw[k] if curvature > 0.0 else 0.0
        tapered = False
        for i in range(n_values):
            value = bottom + i * width
            up = near + (value * charge_eta - charge_cost[k]) / bend
            moved = 0.0
            if up > 0.0:
                moved = min(up, most_kw[k]) * charge_eta * step_h
            else:
                down = near + (value / discharge_eta - discharge_gain[k]) / bend
                if down < 0.0:
                    moved = max(down, least_kw[k]) / discharge_eta * step_h
            moved_kwh[k, i] = moved
            after = wanted_kwh[k + 1, i]
            before = after - moved
            worth[i] = value
            if moved > 0.0 and after > knee:
                least = energy_before_charging(after, step_h, rate_kw, capacity, tau_h)
                if least > before:
                    # The taper binds: a kWh more before this step is F' kWh more after it, and spares 1 - F' bought.
                    before = least
                    power = (after - before) / (charge_eta * step_h)
                    paid = (charge_cost[k] + bend * (power - near)) / charge_eta
                    worth[i] = paid + (value - paid) * max(fastest, (capacity - after) / (capacity - knee))
                    tapered = True
            energies[i] = before
        if tapered:
            _onto_grid(worth, energies, bottom, width, wanted_kwh[k])
        else:
            wanted_kwh[k] = energies
        for i in range(n_values):
            wanted_kwh[k, i] = min(max(wanted_kwh[k, i], low), capacity)
    for k in range(first, end):
        below, above = 0, n_values - 1
        if energy + moved_kwh[k, below] >= wanted_kwh[k + 1, below]:
            change = moved_kwh[k, below]
        elif energy + moved_kwh[k, above] <= wanted_kwh[k + 1, above]:
            change = moved_kwh[k, above]
        else:
            while above - below > 1:
                middle = (below + above) // 2
                if energy + moved_kwh[k, middle] < wanted_kwh[k + 1, middle]:
                    below = middle
                else:
                    above = middle
            short = wanted_kwh[k + 1, below] - energy - moved_kwh[k, below]
            beyond = energy + moved_kwh[k, above] - wanted_kwh[k + 1, above]
            share = short / (short + beyond)
            change = moved_kwh[k, below] + share * (moved_kwh[k, above] - moved_kwh[k, below])
        if change > 0.0:
            change = min(change, charging_gain(energy, step_h, rate_kw, capacity, tau_h))
            power = min(most_kw[k], change / (charge_eta * step_h))
            energy += power * charge_eta * step_h
        else:
            change = max(change, min(0.0, low - energy))
            power = max(least_kw[k], change * discharge_eta / step_h)
            energy += power / discharge_eta * step_h
        plan_kw[k] = power


@kernel
def plan_at_prices(
    step: int,
    step_h: float,
    session: np.ndarray,
    energy_kwh: np.ndarray,
    lo_kw: np.ndarray,
    hi_kw: np.ndarray,
    start_step: np.ndarray,
    deadline_step: np.ndarray,
    capacity_kwh: np.ndarray,
    floor_kwh: np.ndarray,
    due_kwh: np.ndarray,
    charge_kw: np.ndarray,
    discharge_kw: np.ndarray,
    charge_efficiency: np.ndarray,
    discharge_efficiency: np.ndarray,
    tau_h: np.ndarray,
    port_group: np.ndarray,
    buy_per_kwh: np.ndarray,
    sell_per_kwh: np.ndarray,
    price_per_kwh: np.ndarray,
    energy_weight: float,
    wear_per_kwh: float,
    unmet_per_kwh: float,
    inertia_per_kwh: float,
    n_values: int,
    plan_kw: np.ndarray,
    flexible_kw: np.ndarray,
) -> None:
    """All vehicles at the price of their group; each reads its own numbers and column port_group[p] of the prices."""
    n_batch, n_ports, n_steps = plan_kw.shape
    cost, gain = np.empty(n_steps), np.empty(n_steps)
    least, most = np.empty(n_steps), np.empty(n_steps)
    wanted, moved = np.empty((n_steps + 1, n_values)), np.empty((n_steps, n_values))
    for b in range(n_batch):
        for p in range(n_ports):
            flexible_kw[b, p] = 0.0
            s = session[b, p]
            if s < 0:
                continue
            first, end = max(step, start_step[s]), deadline_step[s]
            energy = energy_kwh[b, p]
            idle = discharge_kw[s] == 0.0 and energy >= due_kwh[s]
            for k in range(first, end):
                price = price_per_kwh[b, port_group[p], k]
                cost[k] = energy_weight * buy_per_kwh[b, k - step] + wear_per_kwh + price
                gain[k] = energy_weight * sell_per_kwh[b, k - step] - wear_per_kwh + price
                most[k], least[k] = charge_kw[s], -discharge_kw[s]
                idle = idle and cost[k] >= 0.0
            if first == step and end > first:
                most[step], least[step] = hi_kw[b, p], lo_kw[b, p]
            if idle or charge_kw[s] <= 0.0:
                for k in range(first, end):
                    plan_kw[b, p, k] = 0.0
                continue
            flexible_kw[b, p] = charge_kw[s]
            _plan_vehicle(
                first,
                end,
                step_h,
                energy,
                capacity_kwh[s],
                min(floor_kwh[s], energy) if discharge_kw[s] > 0.0 else energy,
                due_kwh[s],
                charge_efficiency[s],
                discharge_efficiency[s],
                charge_efficiency[s] * charge_kw[s],
                tau_h[s],
                unmet_per_kwh,
                cost,
                gain,
                least,
                most,
                inertia_per_kwh / charge_kw[s],
                plan_kw[b, p],
                wanted,
                moved,
            )


@kernel
def plan_in_turn(
    step: int,
    step_h: float,
    order: np.ndarray,
    session: np.ndarray,
    energy_kwh: np.ndarray,
    lo_kw: np.ndarray,
    hi_kw: np.ndarray,
    deadline_step: np.ndarray,
    capacity_kwh: np.ndarray,
    floor_kwh: np.ndarray,
    due_kwh: np.ndarray,
    charge_kw: np.ndarray,
    discharge_kw: np.ndarray,
    charge_efficiency: np.ndarray,
    discharge_efficiency: np.ndarray,
    tau_h: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    buy_per_kwh: np.ndarray,
    sell_per_kwh: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    energy_weight: float,
    wear_per_kwh: float,
    unmet_per_kwh: float,
    n_values: int,
    plan_kw: np.ndarray,
) -> None:
    """One vehicle after the other plans within what the announced plans of the others leave of its groups' limits."""
    n_batch, n_ports, n_steps = plan_kw.shape
    n_groups = len(group_parent)
    cost, gain = np.empty(n_steps), np.empty(n_steps)
    least, most = np.empty(n_steps), np.empty(n_steps)
    wanted, moved = np.empty((n_steps + 1, n_values)), np.empty((n_steps, n_values))
    charging, discharging = np.empty((n_groups, n_steps)), np.empty((n_groups, n_steps))
    for b in range(n_batch):
        charging[:] = 0.0
        discharging[:] = 0.0
        for p in range(n_ports):
            g = port_group[p] if session[b, p] >= 0 else -1
            while g >= 0:
                for k in range(step, deadline_step[session[b, p]]):
                    charging[g, k] += max(0.0, plan_kw[b, p, k])
                    discharging[g, k] += min(0.0, plan_kw[b, p, k])
                g = group_parent[g]
        for k in range(step, n_steps):
            cost[k] = energy_weight * buy_per_kwh[b, k - step] + wear_per_kwh
            gain[k] = energy_weight * sell_per_kwh[b, k - step] - wear_per_kwh
        for turn in range(n_ports):
            p = order[b, turn]
            s = session[b, p]
            if s < 0 or charge_kw[s] <= 0.0:
                continue
            end = deadline_step[s]
            for k in range(step, end):
                most[k], least[k] = charge_kw[s], -discharge_kw[s]
            if end > step:
                most[step], least[step] = hi_kw[b, p], lo_kw[b, p]
            g = port_group[p]
            while g >= 0:
                for k in range(step, end):
                    charging[g, k] -= max(0.0, plan_kw[b, p, k])
                    discharging[g, k] -= min(0.0, plan_kw[b, p, k])
                    most[k] = max(0.0, min(most[k], upper_kw[b, g, k - step] - charging[g, k]))
                    least[k] = min(0.0, max(least[k], lower_kw[b, g, k - step] - discharging[g, k]))
                g = group_parent[g]
            energy = energy_kwh[b, p]
            _plan_vehicle(
                step,
                end,
                step_h,
                energy,
                capacity_kwh[s],
                min(floor_kwh[s], energy) if discharge_kw[s] > 0.0 else energy,
                due_kwh[s],
                charge_efficiency[s],
                discharge_efficiency[s],
                charge_efficiency[s] * charge_kw[s],
                tau_h[s],
                unmet_per_kwh,
                cost,
                gain,
                least,
                most,
                0.0,
                plan_kw[b, p],
                wanted,
                moved,
            )
            g = port_group[p]
            while g >= 0:
                for k in range(step, end):
                    charging[g, k] += max(0.0, plan_kw[b, p, k])
                    discharging[g, k] += min(0.0, plan_kw[b, p, k])
                g = group_parent[g]
