"""The possible powers of each connected battery in the next step, and the laxity of its vehicle.

The state of the ports comes in; the lowest and highest power of each port goes out, exact by the charge curve.
"""

from __future__ import annotations

import numpy as np

from ev_marl.site.charge_curve import charging_gain, taper_gain
from ev_marl.support.compiled import kernel


@kernel
def laxity(step: int, step_h: float, stay: np.void, energy_kwh: float) -> float:
    """Time left less time needed at full power for what is due [h]; of a vehicle with this energy [kWh]."""
    needed_h: float = max(0.0, stay["due_kwh"] - energy_kwh) * stay["hours_per_kwh"]
    left_h: float = (stay["deadline_step"] - step) * step_h
    return left_h - needed_h


@kernel
def laxity_of_stays(
    step: int, step_h: float, stays: np.ndarray, session: np.ndarray, energy_kwh: np.ndarray, laxity_h: np.ndarray
) -> None:
    """Laxity of all rows by stays that may be what drivers declared.

    Parameters
    ----------
    stays : STAY, shape (n_stays,)
        What is believed of them.
    step, step_h, session, energy_kwh, laxity_h
        As in `power_box`, of all rows: shape (n_batch, n_ports).
    """
    for b in range(session.shape[0]):
        for p in range(session.shape[1]):
            s = session[b, p]
            laxity_h[b, p] = laxity(step, step_h, stays[s], energy_kwh[b, p]) if s >= 0 else np.inf


@kernel
def power_box(
    step: int,
    step_h: float,
    stays: np.ndarray,
    session: np.ndarray,
    energy_kwh: np.ndarray,
    lo_kw: np.ndarray,
    hi_kw: np.ndarray,
    laxity_h: np.ndarray,
) -> None:
    """The possible powers of each port of one row in the next step, and the laxity of its vehicle.

    Parameters
    ----------
    step : int
        The next step.
    step_h : float
        Length of a step [h].
    stays : MOVING, shape (n_stays,)
        See `ev_marl.simulation.days`.
    session : int64, shape (n_ports,)
        Index into the stays, −1 at an empty port.
    energy_kwh : float64, shape (n_ports,)
        Energy in the connected battery [kWh].
    lo_kw, hi_kw : float64, shape (n_ports,)
        Written: −min(P⁻, (e − e_min)·η⁻/Δ) and (F(e) − e)/(η⁺Δ) [kW]; 0 at an empty port.
    laxity_h : float64, shape (n_ports,)
        Written: time left less time needed at full power for what is due [h]; inf at an empty port.
    """
    per_step_h = 1.0 / step_h
    for p in range(len(session)):
        s = session[p]
        if s < 0:
            lo_kw[p] = 0.0
            hi_kw[p] = 0.0
            laxity_h[p] = np.inf
            continue
        stay = stays[np.uint64(s)]  # an unsigned index is not checked for being negative
        energy = energy_kwh[p]
        room = max(0.0, stay["capacity_kwh"] - energy)
        rate = stay["rate_kw"]
        knee_room = rate * stay["tau_h"]
        # Within the taper this is exact; before it, it is more than full power. So only a step that crosses the
        # knee needs an exponential, and there are few branches.
        hi = min(stay["charge_kw"], room * stay["taper_kw_per_kwh"])
        if knee_room < room < knee_room + rate * step_h:
            gain = taper_gain(energy, step_h, rate, stay["capacity_kwh"], stay["tau_h"])
            hi = min(stay["charge_kw"], gain / (stay["charge_efficiency"] * step_h))
        hi_kw[p] = hi
        spare = max(0.0, energy - stay["floor_kwh"])
        lo_kw[p] = -min(stay["discharge_kw"], spare * stay["discharge_efficiency"] * per_step_h)
        laxity_h[p] = laxity(step, step_h, stay, energy)


@kernel
def follow_curves(
    step_h: float,
    stays: np.ndarray,
    curves: np.ndarray,
    session: np.ndarray,
    energy_kwh: np.ndarray,
    hi_kw: np.ndarray,
) -> None:
    """The highest powers of vehicles with a measured charge curve, in place of those that `power_box` found.

    Parameters
    ----------
    step_h, stays
        As in `power_box`.
    curves : float64, shape (n_stays, 2, CURVE_POINTS)
        See `charging_gain`.
    session, energy_kwh, hi_kw
        As in `power_box`, of all rows: shape (n_batch, n_ports).
    """
    for b in range(session.shape[0]):
        for p in range(session.shape[1]):
            s = session[b, p]
            if s < 0 or stays[s]["n_curve"] == 0:
                continue
            stay, energy = stays[s], energy_kwh[b, p]
            gain = charging_gain(energy, step_h, stay["rate_kw"], stay["capacity_kwh"], stay["tau_h"], curves[s])
            hi_kw[b, p] = min(stay["charge_kw"], gain / (stay["charge_efficiency"] * step_h))
