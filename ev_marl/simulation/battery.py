"""What each connected battery can do in the next step, and how long it can wait.

The state of the ports comes in; the powers that each port can reach go out, exact by the charge curve.
"""

from __future__ import annotations

import numpy as np

from ev_marl.site.charge_curve import charging_gain
from ev_marl.support.compiled import kernel


@kernel
def power_box(
    session: np.ndarray,
    energy_kwh: np.ndarray,
    step: int,
    step_h: float,
    deadline_step: np.ndarray,
    capacity_kwh: np.ndarray,
    charge_kw: np.ndarray,
    discharge_kw: np.ndarray,
    charge_efficiency: np.ndarray,
    discharge_efficiency: np.ndarray,
    tau_h: np.ndarray,
    taper_kw_per_kwh: np.ndarray,
    hours_per_kwh: np.ndarray,
    floor_kwh: np.ndarray,
    due_kwh: np.ndarray,
    lo_kw: np.ndarray,
    hi_kw: np.ndarray,
    laxity_h: np.ndarray,
) -> None:
    """What each port can do in the next step, and how long it can wait.

    Parameters
    ----------
    session : int64, shape (n_batch, n_ports)
        Index into the session arrays, −1 at an empty port.
    energy_kwh : float64, shape (n_batch, n_ports)
        Energy in the connected battery [kWh].
    step : int
        Current step.
    step_h : float
        Length of a step [h].
    deadline_step ... due_kwh : shape (n_sessions,)
        Session parameters, see `SessionLimits`; `taper_kw_per_kwh` and `hours_per_kwh`, see `Days`.
    lo_kw, hi_kw : float64, shape (n_batch, n_ports)
        Written: −min(P⁻, (e − e_min)·η⁻/Δ) and (F(e) − e)/(η⁺Δ) [kW]; 0 at an empty port.
    laxity_h : float64, shape (n_batch, n_ports)
        Written: time left less time needed at full power for what is due [h]; inf at an empty port.
    """
    n_batch, n_ports = session.shape
    per_step_h = 1.0 / step_h
    for b in range(n_batch):
        for p in range(n_ports):
            s = session[b, p]
            if s < 0:
                lo_kw[b, p] = 0.0
                hi_kw[b, p] = 0.0
                laxity_h[b, p] = np.inf
                continue
            i = np.uint64(s)  # an unsigned index is not checked for being negative
            energy = energy_kwh[b, p]
            rate = charge_efficiency[i] * charge_kw[i]
            room = max(0.0, capacity_kwh[i] - energy)
            knee_room = rate * tau_h[i]
            # Within the taper this is exact; before it, it is more than full power. So only a step that goes over the
            # knee needs an exponential, and there is little to branch on.
            hi = min(charge_kw[i], room * taper_kw_per_kwh[i])
            if knee_room < room < knee_room + rate * step_h:
                gain = charging_gain(energy, step_h, rate, capacity_kwh[i], tau_h[i])
                hi = min(charge_kw[i], gain / (charge_efficiency[i] * step_h))
            hi_kw[b, p] = hi
            spare = max(0.0, energy - floor_kwh[i])
            lo_kw[b, p] = -min(discharge_kw[i], spare * discharge_efficiency[i] * per_step_h)
            needed_h = max(0.0, due_kwh[i] - energy) * hours_per_kwh[i]
            laxity_h[b, p] = (deadline_step[i] - step) * step_h - needed_h
