"""A vehicle's whole plan: the powers of all steps to its deadline, at given prices and within given bounds.

Prices, bounds and one vehicle come in, the power of every remaining step goes out. Unlike the plan of `own_plan`, which
is exact and gives the first step only, this one gives all steps, may be kept near an earlier answer by a quadratic
term, and keeps bounds and prices that change from step to step, prices also with the power.

The method. The marginal value ν of a kWh in the battery decides the power of a step: charge while ν η exceeds the
price, discharge while ν / η falls below it. Backwards from the deadline, e_k(ν) is the energy at which a kWh is worth
ν: e_k(ν) = e_{k+1}(ν) − (energy that step k moves at ν), cut to the battery. It falls in ν and is kept on a grid of
values. Forwards from the present energy, each step takes the ν at which what it reaches is what is wanted then.
Where the taper binds, what a kWh is worth before the step follows from the slope of the charge curve.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.worth import held_of, planned_efficiency, unpaid, wear_of, worth_at_end
from ev_marl.site.charge_curve import charging_gain, energy_before_charging, knee, slope_up_to
from ev_marl.support.compiled import kernel

# Rows of what lies ahead of one vehicle, by step: a kWh costs or earns BUY above the power TURN, SELL below it
# [currency/kWh], [kW]; least and most power [kW].
BUY, SELL, TURN, LEAST, MOST = 0, 1, 2, 3, 4
N_ROWS = 5


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
def _power_at(charged: float, discharged: float, price: float, wear: float, near: float, bend: float) -> float:
    """The power at which one kW more is worth what it costs, bend · (power − near) counted; no bounds.

    A kWh at the meter is worth `charged` to a vehicle that charges, and `discharged` to one that discharges.
    """
    up: float = near + (charged - price - wear) / bend
    if up > 0.0:
        return up
    down: float = near + (discharged - price + wear) / bend
    return min(0.0, down)


@kernel
def plan_vehicle(
    first: int,
    step_h: float,
    energy: float,
    stay: np.void,
    rates: np.void,
    ahead: np.ndarray,
    curvature: float,
    plan_kw: np.ndarray,
    wanted_kwh: np.ndarray,
    moved_kwh: np.ndarray,
) -> None:
    """Plan the steps from `first` to the deadline of one vehicle; the arrays are those of all steps of the day.

    Parameters
    ----------
    first, step_h : int, float
        The first step of the plan, and the length of a step [h].
    energy : float
        In the battery then [kWh].
    stay : STAY
        The vehicle.
    rates : RATES
        What it counts besides energy.
    ahead : float64, shape (N_ROWS, n_steps)
        Prices and bounds.
    curvature : float
        Where above 0, plan_kw holds an earlier answer, and the plan stays near it: each kW of change adds this to the
        price [currency/kWh per kW].
    plan_kw : float64, shape (n_steps,)
        Written from `first` to the deadline [kW].
    wanted_kwh, moved_kwh : float64, shape (n_steps + 1, n_values), (n_steps, n_values)
        Memory to work in; n_values is the number of marginal values in the grid.
    """
    end, capacity, tau_h, rate_kw = stay["deadline_step"], stay["capacity_kwh"], stay["tau_h"], stay["rate_kw"]
    charge_eta, discharge_eta = planned_efficiency(stay), stay["discharge_efficiency"]
    low = min(stay["floor_kwh"], energy) if stay["discharge_kw"] > 0.0 else energy
    wear, unmet, at_end = wear_of(rates, stay), rates["unmet_per_kwh"], worth_at_end(rates, stay)
    no_tariff = unpaid(rates, stay)
    least_kw, most_kw = ahead[LEAST], ahead[MOST]
    n_values = wanted_kwh.shape[1]
    bottom, top = 0.0, max(unmet, at_end)
    for k in range(first, end):
        held = held_of(rates, stay, step_h, k)
        bottom = min(bottom, (ahead[SELL if ahead[TURN, k] > 0.0 else BUY, k] + no_tariff + wear) / charge_eta + held)
        if least_kw[k] < 0.0:
            gain = (ahead[BUY if ahead[TURN, k] < 0.0 else SELL, k] + no_tariff - wear) * discharge_eta
            top = max(top, gain + held)
    # One more value at each end: below all costs, where a full battery is wanted, and above all gains.
    width = (top - bottom) / (n_values - 3)
    bottom -= width
    for i in range(n_values):
        value = bottom + i * width
        if i == 0 or value < -0.5 * width:
            wanted_kwh[end, i] = capacity
        elif value < at_end:
            wanted_kwh[end, i] = max(low, stay["wish_kwh"])
        elif value < unmet + 0.5 * width:
            wanted_kwh[end, i] = max(low, stay["due_kwh"])
        else:
            wanted_kwh[end, i] = low
    hull = stay["curve"][2:]
    taper_kwh = knee(rate_kw, capacity, tau_h, hull)
    worth, energies = np.empty(n_values), np.empty(n_values)
    for k in range(end - 1, first - 1, -1):
        bend = curvature
        if bend <= 0.0:  # no plan to stay near: the power ramps over one value of the grid
            bend = width * charge_eta / max(most_kw[k] - least_kw[k], 1e-9)
        near = plan_kw[k] if curvature > 0.0 else 0.0
        buy, sell, turn_kw = ahead[BUY, k] + no_tariff, ahead[SELL, k] + no_tariff, ahead[TURN, k]
        tapered, held = False, held_of(rates, stay, step_h, k)
        for i in range(n_values):
            value = bottom + i * width
            charged, discharged = (value - held) * charge_eta, (value - held) / discharge_eta
            power = _power_at(charged, discharged, buy, wear, near, bend)
            if power <= turn_kw:
                power = min(turn_kw, _power_at(charged, discharged, sell, wear, near, bend))
            power = min(max(power, least_kw[k]), most_kw[k])
            moved = power * charge_eta * step_h if power > 0.0 else power / discharge_eta * step_h
            moved_kwh[k, i] = moved
            after = wanted_kwh[k + 1, i]
            before = after - moved
            worth[i] = value
            if moved > 0.0 and after > taper_kwh:
                least = energy_before_charging(after, step_h, rate_kw, capacity, tau_h, hull)
                if least > before:
                    # The taper binds: a kWh more before this step is F' kWh more after it, and spares 1 - F' bought.
                    before = least
                    power = (after - before) / (charge_eta * step_h)
                    price = buy if power > turn_kw else sell
                    paid = (price + wear + bend * (power - near)) / charge_eta + held
                    slope = slope_up_to(after, step_h, rate_kw, capacity, tau_h, hull)
                    worth[i] = paid + (value - paid) * slope
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
            change = min(change, charging_gain(energy, step_h, rate_kw, capacity, tau_h, stay["curve"][:2]))
            power = min(most_kw[k], change / (charge_eta * step_h))
            energy += power * charge_eta * step_h
        else:
            change = max(change, min(0.0, low - energy))
            power = max(least_kw[k], change * discharge_eta / step_h)
            energy += power / discharge_eta * step_h
        plan_kw[k] = power
