"""What power does to a battery: constant current, then the exact exponential of the constant-voltage phase.

Charging at full rate, the energy e follows de/dt = min(η·P, (C − e)/τ) with τ = (1 − z)·C/(η·P_ev): z is the state of
charge where the taper starts at the vehicle's own full power P_ev. Everything here is the closed-form solution, so a
result does not depend on how a span of time is cut into steps. This is the only file where the curve and its slope
stand: the simulator and all plans call its scalar kernels, or its functions on arrays.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.support.compiled import Number, kernel


def knee_kwh(rate_kw: Number, capacity_kwh: Number, tau_h: Number) -> Number:
    """Energy in the battery from which on charging is slower than at full power [kWh]; arguments as `energy_after`."""
    at_kwh: Number = capacity_kwh - rate_kw * tau_h
    return at_kwh


knee = kernel(knee_kwh)


@kernel
def charging_gain(energy_kwh: float, hours: float, rate_kw: float, capacity_kwh: float, tau_h: float) -> float:
    """Energy gained in `hours` at full power; `rate_kw` is the power at the battery, η·P; without a taper, τ is 0."""
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
def energy_before_charging(target_kwh: float, hours: float, rate_kw: float, capacity_kwh: float, tau_h: float) -> float:
    """Least energy from which `target_kwh` is reached within `hours` at full power; may be negative."""
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
def slope_up_to(target_kwh: float, hours: float, rate_kw: float, capacity_kwh: float, tau_h: float) -> float:
    """F'(e) at the energy e from which `target_kwh`, above the knee, is reached within `hours` at full power."""
    at_knee = (capacity_kwh - target_kwh) / (capacity_kwh - knee(rate_kw, capacity_kwh, tau_h))
    return max(math.exp(-hours / tau_h), at_knee)


@kernel
def _gain_array(
    energy_kwh: np.ndarray,
    hours: np.ndarray,
    rate_kw: np.ndarray,
    capacity_kwh: np.ndarray,
    tau_h: np.ndarray,
    out: np.ndarray,
) -> None:
    for i in range(energy_kwh.size):
        out[i] = charging_gain(energy_kwh[i], hours[i], rate_kw[i], capacity_kwh[i], tau_h[i])


@kernel
def _energy_before_array(
    target_kwh: np.ndarray,
    hours: np.ndarray,
    rate_kw: np.ndarray,
    capacity_kwh: np.ndarray,
    tau_h: np.ndarray,
    out: np.ndarray,
) -> None:
    for i in range(target_kwh.size):
        out[i] = energy_before_charging(target_kwh[i], hours[i], rate_kw[i], capacity_kwh[i], tau_h[i])


def _flat(*values: np.ndarray | float) -> tuple[list[np.ndarray], tuple[int, ...]]:
    arrays = [np.asarray(value, dtype=np.float64) for value in values]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    whole = [array if array.shape == shape else np.broadcast_to(array, shape) for array in arrays]
    return [array.flatten() for array in whole], shape


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
) -> np.ndarray:
    """F(e): energy in the battery after charging at full power.

    F is concave and once differentiable in e, and composes: F over 5 min three times is F over 15 min.

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

    Returns
    -------
    float64, broadcast shape
        Energy at the end [kWh], never above the capacity.
    """
    (energy, span, rate, capacity, tau), shape = _flat(energy_kwh, hours, rate_kw, capacity_kwh, tau_h)
    gain = np.empty(energy.size)
    _gain_array(energy, span, rate, capacity, tau, gain)
    ends: np.ndarray = np.minimum(energy + gain, np.maximum(capacity, energy))
    return ends.reshape(shape)


def slope_of_energy_after(
    energy_kwh: np.ndarray, hours: float, rate_kw: np.ndarray, capacity_kwh: np.ndarray, tau_h: np.ndarray
) -> np.ndarray:
    """F'(e): derivative of the energy after charging at full power with respect to the energy before.

    Parameters
    ----------
    energy_kwh, rate_kw, capacity_kwh, tau_h : float64, shape (n,)
        As for `energy_after`; `rate_kw` is above 0.
    hours : float
        Length of the charge [h].

    Returns
    -------
    float64, shape (n,)
        1 below the taper, exp(−(hours in the taper)/τ) from there on [-].
    """
    to_knee_h = np.maximum(0.0, (capacity_kwh - energy_kwh) / rate_kw - tau_h)
    slope: np.ndarray = np.exp(-np.maximum(0.0, hours - to_knee_h) / tau_h)
    return slope


def energy_before(
    target_kwh: np.ndarray | float,
    hours: np.ndarray | float,
    rate_kw: np.ndarray | float,
    capacity_kwh: np.ndarray | float,
    tau_h: np.ndarray | float,
) -> np.ndarray:
    """Least energy from which a target is still reached in time at full power: the inverse of `energy_after`.

    Parameters
    ----------
    target_kwh : float64, any shape
        Energy wanted at the end [kWh]; at the capacity itself, which a taper only approaches, the answer is the
        capacity.
    hours, rate_kw, capacity_kwh, tau_h : float64, broadcastable
        As for `energy_after`.

    Returns
    -------
    float64, broadcast shape
        Energy at the beginning [kWh]; negative where even an empty battery would get there.
    """
    (target, span, rate, capacity, tau), shape = _flat(target_kwh, hours, rate_kw, capacity_kwh, tau_h)
    out = np.empty(target.size)
    _energy_before_array(target, span, rate, capacity, tau, out)
    return out.reshape(shape)
