"""What power does to a battery: constant current, then the exact exponential of the constant-voltage phase.

Charging at full rate, the energy e follows de/dt = min(η·P, (C − e)/τ) with τ = (1 − z)·C/(η·P_ev): z is the state of
charge where the taper starts at the vehicle's own full power P_ev. A vehicle with a measured curve follows
de/dt = min(η·P, r(e)) up to its capacity, with r linear between the points of its curve. Everything here is the
closed-form solution, so a result does not depend on how a span of time is cut into steps. This is the only file where
the curve and its slope stand: the simulator and all plans call its scalar kernels, or its functions on arrays.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.scenario.curves import CURVE_POINTS, Points
from ev_marl.support.compiled import Number, kernel

NO_CURVE = np.zeros((2, CURVE_POINTS))  # of a vehicle with a taper
_FULL = 1.0 - 1e-12  # of the capacity: full, but for rounding
_HULL_IS_CURVE = 1e-9  # relative
_STRAIGHT = 1e-9  # a rate that changes by a smaller share counts as constant: the error is below its square


@kernel
def _ramp_hours(change_kwh: float, rate_kw: float, slope: float) -> float:
    """Time in which the energy rises by `change_kwh` from where the rate is `rate_kw` and grows by `slope` per kWh."""
    share: float = slope * change_kwh / rate_kw
    if abs(share) < _STRAIGHT:
        return change_kwh / rate_kw
    return math.log1p(share) / slope


@kernel
def _ramp_gain(hours: float, rate_kw: float, slope: float) -> float:
    """Energy gained in `hours`, which may be below 0, along such a ramp."""
    share: float = slope * hours
    if abs(share) < _STRAIGHT:
        return rate_kw * hours
    return rate_kw * math.expm1(share) / slope


@kernel
def _along(energy_kwh: float, to_kwh: float, hours: float, rate_kw: float, curve: np.ndarray) -> tuple[float, float]:
    """Charge at full power until `to_kwh` or for `hours`: the energy at the end, and the time used.

    `curve` has the energies of the points in its first row [kWh], and the rates there in its second [kW].
    """
    at, rate = curve[0], curve[1]
    used = 0.0
    for i in range(CURVE_POINTS - 1):
        if at[i + 1] <= energy_kwh:
            continue
        slope = (rate[i + 1] - rate[i]) / (at[i + 1] - at[i])
        capped_first, capped_last = rate[i] >= rate_kw, rate[i + 1] >= rate_kw
        crossing = at[i + 1]
        if capped_first != capped_last:
            crossing = min(at[i + 1], at[i] + (rate_kw - rate[i]) / slope)
        for part in range(2):
            end = min(to_kwh, crossing if part == 0 else at[i + 1])
            capped = capped_first if part == 0 else capped_last
            if end <= energy_kwh:
                continue
            here = rate_kw if capped else rate[i] + slope * (energy_kwh - at[i])
            bend = 0.0 if capped else slope
            needed = _ramp_hours(end - energy_kwh, here, bend)
            if used + needed >= hours:
                return min(end, energy_kwh + _ramp_gain(hours - used, here, bend)), hours
            used += needed
            energy_kwh = end
    return energy_kwh, used


@kernel
def _back_along(energy_kwh: float, hours: float, rate_kw: float, curve: np.ndarray) -> float:
    """The energy from which `energy_kwh` is reached in `hours` at full power; below 0 at the rate of an empty one."""
    at, rate = curve[0], curve[1]
    left = hours
    for j in range(CURVE_POINTS - 1):
        i = CURVE_POINTS - 2 - j
        if at[i] >= energy_kwh or at[i + 1] <= at[i]:
            continue
        slope = (rate[i + 1] - rate[i]) / (at[i + 1] - at[i])
        capped_first, capped_last = rate[i] >= rate_kw, rate[i + 1] >= rate_kw
        crossing = at[i]
        if capped_first != capped_last:
            crossing = min(at[i + 1], at[i] + (rate_kw - rate[i]) / slope)
        for part in range(2):
            begin = crossing if part == 0 else at[i]
            capped = capped_last if part == 0 else capped_first
            if begin >= energy_kwh:
                continue
            start = rate_kw if capped else rate[i] + slope * (begin - at[i])
            bend = 0.0 if capped else slope
            needed = _ramp_hours(energy_kwh - begin, start, bend)
            if needed >= left:
                here = rate_kw if capped else rate[i] + slope * (energy_kwh - at[i])
                before_kwh: float = max(begin, energy_kwh + _ramp_gain(-left, here, bend))
                return before_kwh
            left -= needed
            energy_kwh = begin
    empty_kwh: float = energy_kwh - min(rate_kw, rate[0]) * left
    return empty_kwh


@kernel
def curve_rate(energy_kwh: float, rate_kw: float, curve: np.ndarray) -> float:
    """min(η·P, r(e)): the rate along a measured curve [kW]."""
    at, rate = curve[0], curve[1]
    kw: float = rate[CURVE_POINTS - 1]
    for i in range(CURVE_POINTS - 1):
        if energy_kwh < at[i + 1]:
            slope = (rate[i + 1] - rate[i]) / (at[i + 1] - at[i])
            kw = rate[i] + slope * max(0.0, energy_kwh - at[i])
            break
    return min(rate_kw, kw)


@kernel
def _curve_knee(rate_kw: float, curve: np.ndarray) -> float:
    """Energy from which on charging along a measured curve is slower than at full power [kWh]."""
    at, rate = curve[0], curve[1]
    knee_at: float = at[CURVE_POINTS - 1]
    for i in range(CURVE_POINTS - 1):
        if rate[i] < rate_kw:
            knee_at = at[i]
            break
        if rate[i + 1] < rate_kw and at[i + 1] > at[i]:
            knee_at = at[i] + (at[i + 1] - at[i]) * (rate[i] - rate_kw) / (rate[i] - rate[i + 1])
            break
    return knee_at


def knee_kwh(rate_kw: Number, capacity_kwh: Number, tau_h: Number) -> Number:
    """Energy in the battery from which on charging is slower than at full power [kWh]; arguments as `energy_after`."""
    at_kwh: Number = capacity_kwh - rate_kw * tau_h
    return at_kwh


_taper_knee = kernel(knee_kwh)


@kernel
def knee(rate_kw: float, capacity_kwh: float, tau_h: float, curve: np.ndarray) -> float:
    """Energy from which on charging is slower than at full power [kWh]; arguments as `charging_gain`."""
    if curve[1, 0] > 0.0:
        return _curve_knee(rate_kw, curve)
    return _taper_knee(rate_kw, capacity_kwh, tau_h)


@kernel
def taper_gain(energy_kwh: float, hours: float, rate_kw: float, capacity_kwh: float, tau_h: float) -> float:
    """Energy gained in `hours` at full power with a taper; arguments as `charging_gain`."""
    room = capacity_kwh - energy_kwh
    if rate_kw <= 0.0 or room <= 0.0 or hours <= 0.0:
        return 0.0
    knee_room = rate_kw * tau_h
    if room <= knee_room:
        return -room * math.expm1(-hours / tau_h)
    to_knee_h = (room - knee_room) / rate_kw
    if hours <= to_knee_h:
        return rate_kw * hours
    return (room - knee_room) - knee_room * math.expm1(-(hours - to_knee_h) / tau_h)


@kernel
def charging_gain(
    energy_kwh: float, hours: float, rate_kw: float, capacity_kwh: float, tau_h: float, curve: np.ndarray
) -> float:
    """Energy gained in `hours` at full power; `rate_kw` is the power at the battery, η·P; without a taper, τ is 0.

    `curve` has the energies of the points of a measured curve in its first row [kWh], and the rates there in its second
    [kW]; with rates of 0 it is none, and the taper counts.
    """
    if curve[1, 0] > 0.0 and rate_kw > 0.0 and hours > 0.0 and energy_kwh < capacity_kwh:
        return _along(energy_kwh, capacity_kwh, hours, rate_kw, curve)[0] - energy_kwh
    return taper_gain(energy_kwh, hours, rate_kw, capacity_kwh, tau_h)


@kernel
def energy_before_charging(
    target_kwh: float, hours: float, rate_kw: float, capacity_kwh: float, tau_h: float, curve: np.ndarray
) -> float:
    """Least energy from which `target_kwh` is reached within `hours` at full power; may be negative."""
    if curve[1, 0] > 0.0:
        if rate_kw <= 0.0 or hours <= 0.0 or target_kwh > capacity_kwh:
            return target_kwh
        return _back_along(target_kwh, hours, rate_kw, curve)
    room = capacity_kwh - target_kwh
    knee_room = rate_kw * tau_h
    if rate_kw <= 0.0 or hours <= 0.0:
        return target_kwh
    if room >= knee_room:
        return target_kwh - rate_kw * hours
    if room <= 0.0:
        return target_kwh
    room_before = room * math.exp(hours / tau_h)
    if room_before <= knee_room:
        return capacity_kwh - room_before
    return capacity_kwh - knee_room - rate_kw * (hours - tau_h * math.log(knee_room / room))


@kernel
def slope_up_to(
    target_kwh: float, hours: float, rate_kw: float, capacity_kwh: float, tau_h: float, curve: np.ndarray
) -> float:
    """F'(e) at the energy e from which `target_kwh`, above the knee, is reached within `hours` at full power."""
    if curve[1, 0] > 0.0:
        before_kwh = _back_along(target_kwh, hours, rate_kw, curve)
        return curve_rate(target_kwh, rate_kw, curve) / curve_rate(before_kwh, rate_kw, curve)
    at_knee = (capacity_kwh - target_kwh) / (capacity_kwh - _taper_knee(rate_kw, capacity_kwh, tau_h))
    return max(math.exp(-hours / tau_h), at_knee)


@kernel
def _gain_array(
    energy_kwh: np.ndarray,
    hours: np.ndarray,
    rate_kw: np.ndarray,
    capacity_kwh: np.ndarray,
    tau_h: np.ndarray,
    curve: np.ndarray,
    out: np.ndarray,
) -> None:
    for i in range(energy_kwh.size):
        points = curve[i] if len(curve) > 0 else NO_CURVE
        out[i] = charging_gain(energy_kwh[i], hours[i], rate_kw[i], capacity_kwh[i], tau_h[i], points)


@kernel
def _energy_before_array(
    target_kwh: np.ndarray,
    hours: np.ndarray,
    rate_kw: np.ndarray,
    capacity_kwh: np.ndarray,
    tau_h: np.ndarray,
    curve: np.ndarray,
    out: np.ndarray,
) -> None:
    for i in range(target_kwh.size):
        points = curve[i] if len(curve) > 0 else NO_CURVE
        out[i] = energy_before_charging(target_kwh[i], hours[i], rate_kw[i], capacity_kwh[i], tau_h[i], points)


@kernel
def _slope_array(energy_kwh: np.ndarray, after_kwh: np.ndarray, rate_kw: np.ndarray, curve: np.ndarray) -> np.ndarray:
    slope = np.zeros(len(energy_kwh))
    for i in range(len(energy_kwh)):
        if after_kwh[i] < curve[i, 0, CURVE_POINTS - 1] * _FULL:  # a battery that gets full gets it from more, too
            slope[i] = curve_rate(after_kwh[i], rate_kw[i], curve[i]) / curve_rate(energy_kwh[i], rate_kw[i], curve[i])
    return slope


@kernel
def _hours_array(energy_kwh: np.ndarray, to_kwh: np.ndarray, rate_kw: np.ndarray, curve: np.ndarray) -> np.ndarray:
    hours = np.empty(len(energy_kwh))
    for i in range(len(energy_kwh)):
        hours[i] = _along(energy_kwh[i], to_kwh[i], np.inf, rate_kw[i], curve[i])[1]
    return hours


@kernel
def _knee_array(rate_kw: np.ndarray, capacity_kwh: np.ndarray, tau_h: np.ndarray, curve: np.ndarray) -> np.ndarray:
    at_kwh = np.empty(len(rate_kw))
    for i in range(len(rate_kw)):
        at_kwh[i] = knee(rate_kw[i], capacity_kwh[i], tau_h[i], curve[i])
    return at_kwh


def _flat(
    *values: np.ndarray | float, curve: np.ndarray | None = None
) -> tuple[list[np.ndarray], np.ndarray, tuple[int, ...]]:
    """The values as flat arrays of one shape, the curves along them (none: of length 0), and that shape."""
    arrays = [np.asarray(value, dtype=np.float64) for value in values]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    whole = [array if array.shape == shape else np.broadcast_to(array, shape) for array in arrays]
    points = _NO_CURVES
    if curve is not None:
        points = np.ascontiguousarray(np.broadcast_to(curve, (*shape, 2, CURVE_POINTS)).reshape(-1, 2, CURVE_POINTS))
    return [array.flatten() for array in whole], points, shape


_NO_CURVES = np.empty((0, 2, CURVE_POINTS))


def curve_table(points: Points, capacity_kwh: float, rate_kw: float = math.inf) -> np.ndarray:
    """A measured curve as it stands in a stay.

    Parameters
    ----------
    points : Points
        Free of `curve_faults`.
    capacity_kwh : float
        Usable capacity [kWh].
    rate_kw : float
        Full power at the battery that the station allows: the hull is that of min(rate, r) [kW].

    Returns
    -------
    float64, shape (4, CURVE_POINTS)
        Energies of the points [kWh] and rates there [kW]; the same of the concave hull. Last points are repeated.
    """
    soc, power_kw = np.asarray(points, dtype=np.float64).T
    low, high = power_kw[:-1], power_kw[1:]
    crosses = (low > rate_kw) != (high > rate_kw)
    at = soc[:-1][crosses] + np.diff(soc)[crosses] * (rate_kw - low[crosses]) / (high - low)[crosses]
    every = np.unique(np.concatenate([soc, at]))
    capped = np.minimum(rate_kw, np.interp(every, soc, power_kw))
    capped[np.isin(every, at)] = rate_kw
    hull: list[int] = []
    for i in range(len(every)):
        while len(hull) > 1 and (capped[hull[-1]] - capped[hull[-2]]) * (every[i] - every[hull[-1]]) <= (
            capped[i] - capped[hull[-1]]
        ) * (every[hull[-1]] - every[hull[-2]]):
            hull.pop()
        hull.append(i)
    table = np.empty((4, CURVE_POINTS))
    rows = soc * capacity_kwh, power_kw, every[hull] * capacity_kwh, capped[hull]
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
        row[len(values) :] = values[-1]
    return table


def curves_of(stays: np.ndarray, *, hull: bool = False) -> np.ndarray | None:
    """The measured curves of stays, or their concave hulls, float64, shape (..., 2, CURVE_POINTS); None: none has one.

    The hull is what plans count with: it is concave, and at least as high as the curve.
    """
    if not stays["n_curve"].any():
        return None
    curve: np.ndarray = stays["curve"][..., 2:, :] if hull else stays["curve"][..., :2, :]
    return curve


def not_concave(stays: np.ndarray) -> np.ndarray:
    """Whether plans count with more than a stay's curve gives: its hull is above it, below full power, bool."""
    bent = np.zeros(len(stays), dtype=np.bool_)
    for k in np.flatnonzero(stays["n_curve"]):
        at, rate, hull_at, hull = stays["curve"][k]
        most_kw = min(stays["rate_kw"][k], hull.max())
        bent[k] = (np.interp(at, hull_at, hull) > np.minimum(rate, most_kw) * (1.0 + _HULL_IS_CURVE)).any()
    return bent


def hours_along(energy_kwh: np.ndarray, to_kwh: np.ndarray, rate_kw: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Time to charge from one energy to another at full power, float64, shape (n,) [h]; `curve` as `energy_after`."""
    hours: np.ndarray = _hours_array(energy_kwh, to_kwh, rate_kw, np.ascontiguousarray(curve))
    return hours


def knees_kwh(
    rate_kw: np.ndarray, capacity_kwh: np.ndarray, tau_h: np.ndarray, curve: np.ndarray | None = None
) -> np.ndarray:
    """Energies from which on charging is slower than at full power, float64, shape (n,) [kWh]."""
    if curve is None:
        at: np.ndarray = knee_kwh(rate_kw, capacity_kwh, tau_h)
    else:
        at = _knee_array(rate_kw, capacity_kwh, tau_h, np.ascontiguousarray(curve))
    return at


def taper_time_h(
    taper_start: np.ndarray | float,
    capacity_kwh: np.ndarray | float,
    efficiency: np.ndarray | float,
    vehicle_kw: np.ndarray | float,
) -> np.ndarray:
    """Time constant of the taper, τ = (1 − z)·C/(η·P_ev) [h].

    Parameters
    ----------
    taper_start : float64, any shape
        State of charge z where charging at the vehicle's own full power slows down [-].
    capacity_kwh, efficiency, vehicle_kw : float64, broadcastable
        Usable capacity C [kWh], charging efficiency η [-], the vehicle's own highest power P_ev [kW].
    """
    time_h: np.ndarray = (1.0 - np.asarray(taper_start)) * capacity_kwh / (np.asarray(efficiency) * vehicle_kw)
    return time_h


def share_in_taper(hours: np.ndarray | float, tau_h: np.ndarray) -> np.ndarray:
    """Share of the room in the battery that charging within the taper fills, float64, broadcast shape [-].

    Parameters
    ----------
    hours, tau_h : float64, broadcastable
        As for `energy_after`.
    """
    share: np.ndarray = -np.expm1(-hours / tau_h)
    return share


def energy_after(
    energy_kwh: np.ndarray | float,
    hours: np.ndarray | float,
    rate_kw: np.ndarray | float,
    capacity_kwh: np.ndarray | float,
    tau_h: np.ndarray | float,
    curve: np.ndarray | None = None,
) -> np.ndarray:
    """F(e): energy in the battery after charging at full power.

    F composes: F over 5 min three times is F over 15 min. It is concave in e where the curve is, as the taper and the
    hulls of measured curves are.

    Parameters
    ----------
    energy_kwh : float64, any shape
        Energy at the beginning [kWh].
    hours : float64, broadcastable
        Length of the charge [h].
    rate_kw : float64, broadcastable
        Full power at the battery, efficiency times metered power [kW].
    capacity_kwh : float64, broadcastable
        Usable capacity [kWh].
    tau_h : float64, broadcastable
        Time constant of the taper [h].
    curve : float64, broadcastable + (2, CURVE_POINTS), optional
        Measured curves from `curves_of`; left out, no vehicle has one.

    Returns
    -------
    float64, broadcast shape
        Energy at the end [kWh], never above the capacity.
    """
    (energy, span, rate, capacity, tau), points, shape = _flat(
        energy_kwh, hours, rate_kw, capacity_kwh, tau_h, curve=curve
    )
    gain = np.empty(energy.size)
    _gain_array(energy, span, rate, capacity, tau, points, gain)
    ends: np.ndarray = np.minimum(energy + gain, np.maximum(capacity, energy))
    return ends.reshape(shape)


def slope_of_energy_after(
    energy_kwh: np.ndarray,
    hours: float,
    rate_kw: np.ndarray,
    capacity_kwh: np.ndarray,
    tau_h: np.ndarray,
    curve: np.ndarray | None = None,
) -> np.ndarray:
    """F'(e): derivative of the energy after charging at full power with respect to the energy before.

    Parameters
    ----------
    energy_kwh, rate_kw, capacity_kwh, tau_h, curve : float64, shape (n,)
        As for `energy_after`; `rate_kw` is above 0.
    hours : float
        Length of the charge [h].

    Returns
    -------
    float64, shape (n,)
        1 below the taper, exp(−(hours in the taper)/τ) from there on; along a measured curve r(F(e))/r(e), 0 for a
        battery that gets full [-].
    """
    to_knee_h = np.maximum(0.0, (capacity_kwh - energy_kwh) / rate_kw - tau_h)
    slope: np.ndarray = np.exp(-np.maximum(0.0, hours - to_knee_h) / tau_h)
    if curve is not None:
        after_kwh = energy_after(energy_kwh, hours, rate_kw, capacity_kwh, tau_h, curve)
        along = _slope_array(energy_kwh, after_kwh, rate_kw, np.ascontiguousarray(curve))
        slope = np.where(curve[:, 1, 0] > 0.0, along, slope)
    return slope


def energy_before(
    target_kwh: np.ndarray | float,
    hours: np.ndarray | float,
    rate_kw: np.ndarray | float,
    capacity_kwh: np.ndarray | float,
    tau_h: np.ndarray | float,
    curve: np.ndarray | None = None,
) -> np.ndarray:
    """Least energy from which a target is still reached in time at full power: the inverse of `energy_after`.

    Parameters
    ----------
    target_kwh : float64, any shape
        Energy wanted at the end [kWh]; at the capacity itself, which a taper only approaches, the answer is the
        capacity.
    hours, rate_kw, capacity_kwh, tau_h, curve : float64, broadcastable
        As for `energy_after`.

    Returns
    -------
    float64, broadcast shape
        Energy at the beginning [kWh]; negative where even an empty battery would get there.
    """
    (target, span, rate, capacity, tau), points, shape = _flat(
        target_kwh, hours, rate_kw, capacity_kwh, tau_h, curve=curve
    )
    out = np.empty(target.size)
    _energy_before_array(target, span, rate, capacity, tau, points, out)
    return out.reshape(shape)
