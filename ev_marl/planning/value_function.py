"""The value of energy in a vehicle's battery: a concave, piecewise linear function, computed backwards in time.

The first row of the `pieces` of a value function has their starts, increasing, and the end of the last one [kWh]. The
second row has their slopes, decreasing: the value of a kWh [currency/kWh]. One step back in time: shift the pieces that
would charge to the left and those that would discharge to the right, and put the two marginal costs between them.
"""

from __future__ import annotations

import numpy as np

from ev_marl.site.charge_curve import charging_gain, energy_before_charging, knee
from ev_marl.support.compiled import kernel

# Prices that differ by less are treated as equal [currency/kWh]: rounding must not decide between equally cheap steps.
SAME_PRICE = 1e-9

# Shorter pieces of a value function are merged: their slopes would be rounding errors [kWh].
SLIVER_KWH = 1e-7

# Most chords that replace the curve inside the step in which the taper begins. With 12, the first power cost at most
# 0.008 EUR more than the best one on 4,000 random vehicles (steps of 15 minutes or an hour), 0.00003 EUR on average.
MOST_CHORDS = 12


@kernel
def split(x: np.ndarray, slope: np.ndarray, n: int, at: float) -> int:
    """Make `at` a breakpoint, if it is inside and none is near; returns the number of pieces."""
    if at <= x[0] or at >= x[n]:
        return n
    i = n - 1
    while x[i] > at:
        i -= 1
    if at - x[i] < SLIVER_KWH or x[i + 1] - at < SLIVER_KWH:
        return n
    for j in range(n, i, -1):
        x[j + 1] = x[j]
        slope[j] = slope[j - 1]
    x[i + 1] = at
    return n + 1


@kernel
def append(
    x: np.ndarray,
    slope: np.ndarray,
    n: int,
    start: float,
    end: float,
    value: float,
    low: float,
    high: float,
) -> int:
    """Add the next piece, cut to [low, high]; very short pieces and pieces of equal slope are merged."""
    start, end = max(start, low), min(end, high)
    if end <= start:
        return n
    if n > 0 and (end - start < SLIVER_KWH or slope[n - 1] == value):
        x[n] = end
        return n
    if n == 1 and x[1] - low < SLIVER_KWH:
        n = 0
    x[0] = low
    slope[n] = value
    x[n + 1] = end
    return n + 1


@kernel
def step_back(
    pieces: np.ndarray,
    n: int,
    charge_cost: float,
    discharge_gain: float,
    rate_kw: float,
    out_kwh: float,
    low: float,
    stay: np.void,
    step_h: float,
    new_pieces: np.ndarray,
) -> int:
    """Value function one step earlier: `pieces`, n of them, -> `new_pieces`; returns the new number of pieces.

    charge_cost and discharge_gain are per kWh of battery energy; rate_kw and out_kwh are the most in one step.
    """
    x, slope, new_x, new_slope = pieces[0], pieces[1], new_pieces[0], new_pieces[1]
    capacity, tau_h, curve = stay["capacity_kwh"], stay["tau_h"], stay["curve"][2:]
    in_kwh = rate_kw * step_h
    if charge_cost < discharge_gain and out_kwh > 0.0 and in_kwh > 0.0:
        # Both at once would pay (very negative prices). Value stays concave with the mixture of full charging and full
        # discharging, which is what the optimum's linear programme allows too.
        mean = (charge_cost * in_kwh + discharge_gain * out_kwh) / (in_kwh + out_kwh)
        charge_cost = discharge_gain = mean
    taper_kwh = knee(rate_kw, capacity, tau_h, curve)
    if rate_kw > 0.0:
        # The curve is straight on both sides of the step with the knee; chords replace it inside, more for long steps.
        after_knee = taper_kwh + charging_gain(taper_kwh, step_h, rate_kw, capacity, tau_h, curve)
        n_chords = min(MOST_CHORDS, 1 + int(MOST_CHORDS * step_h / tau_h))
        if stay["n_curve"] > 0:
            after_knee, n_chords = capacity, MOST_CHORDS  # a measured curve may bend everywhere
        for i in range(n_chords + 1):
            n = split(x, slope, n, taper_kwh + (after_knee - taper_kwh) * i / n_chords)
    m = 0
    i = 0
    left = energy_before_charging(x[0], step_h, rate_kw, capacity, tau_h, curve)
    while i < n and slope[i] > charge_cost:
        right = energy_before_charging(x[i + 1], step_h, rate_kw, capacity, tau_h, curve)
        value = slope[i]
        if x[i + 1] > taper_kwh and right > left:
            value = charge_cost + (value - charge_cost) * (x[i + 1] - x[i]) / (right - left)
        m = append(new_x, new_slope, m, left, right, value, low, capacity)
        left = right
        i += 1
    m = append(new_x, new_slope, m, left, x[i], charge_cost, low, capacity)
    while i < n and slope[i] >= discharge_gain:
        m = append(new_x, new_slope, m, x[i], x[i + 1], slope[i], low, capacity)
        i += 1
    if out_kwh > 0.0:
        m = append(new_x, new_slope, m, x[i], x[i] + out_kwh, discharge_gain, low, capacity)
    while i < n:
        m = append(new_x, new_slope, m, x[i] + out_kwh, x[i + 1] + out_kwh, slope[i], low, capacity)
        i += 1
    return m


@kernel
def first_step(
    pieces: np.ndarray,
    n: int,
    energy: float,
    up: float,
    down: float,
    charge_cost: float,
    discharge_gain: float,
) -> float:
    """Best energy after this step, between energy − down and energy + up; ties charge now and keep."""
    x, slope = pieces[0], pieces[1]
    target_up, gain_up = energy, 0.0
    target_down, gain_down = energy, 0.0
    for i in range(n):
        margin = slope[i] - charge_cost
        start, end = max(x[i], energy), min(x[i + 1], energy + up)
        if end > start and margin >= -SAME_PRICE:
            target_up = end
            gain_up += margin * (end - start)
    for i in range(n - 1, -1, -1):
        margin = discharge_gain - slope[i]
        start, end = max(x[i], energy - down), min(x[i + 1], energy)
        if end > start and margin > SAME_PRICE:
            target_down = start
            gain_down += margin * (end - start)
    if gain_down > gain_up:
        return target_down
    return target_up


@kernel
def slope_at(pieces: np.ndarray, n: int, energy: float) -> float:
    """Value of one more kWh at this energy."""
    x, slope = pieces[0], pieces[1]
    i = 0
    while i < n - 1 and energy >= x[i + 1]:
        i += 1
    worth: float = slope[i]
    return worth


@kernel
def gain_at_capacity(pieces: np.ndarray, n: int, out_kwh: float, discharge_gain: float) -> float:
    """Gain of discharging a full battery in this step over keeping it full."""
    x, slope = pieces[0], pieces[1]
    gain = 0.0
    bottom = x[n] - out_kwh
    for i in range(n - 1, -1, -1):
        if x[i + 1] <= bottom or slope[i] >= discharge_gain:
            break
        gain += (discharge_gain - slope[i]) * (x[i + 1] - max(x[i], bottom))
    return gain
