"""A vehicle's stay at a site: the session of a track, with all that follows from port, vehicle and step.

Tables of stays are NumPy arrays of the dtype `STAY`. The simulator, views of policies, own plans, messages, model
predictive control and the optimum all read this record; what is derived in it is derived here and nowhere else.
"""

from __future__ import annotations

import numpy as np

from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import energy_after, energy_before, taper_time_h
from ev_marl.world.session_table import SESSION
from ev_marl.world.track import Track

_NO_POWER_KW = 1e-300  # stands for 0 where 0/0 would be no number

DERIVED = {
    "deadline_step": ("i8", "when due_kwh is due: the departure, or the end of what is looked at if that is earlier"),
    "charge_efficiency": ("f8", "η⁺, battery power over metered power [-]"),
    "discharge_efficiency": ("f8", "η⁻, metered power over battery power [-]"),
    "floor_kwh": ("f8", "e_min: V2G never goes below [kWh]"),
    "due_kwh": ("f8", "energy that should be in the battery at the deadline [kWh]"),
    "wish_kwh": ("f8", "energy that should be in the battery at the departure [kWh]"),
    "even_kwh": ("f8", "energy at the end of the episode if the wish is served evenly over the stay [kWh]"),
    "tau_h": ("f8", "τ, time constant of the taper [h]"),
    "rate_kw": ("f8", "η⁺P⁺, full power at the battery [kW]"),
    "taper_kw_per_kwh": ("f8", "power of a step within the taper per room left, (1 − exp(−Δ/τ))/(η⁺Δ) [kW/kWh]"),
    "hours_per_kwh": ("f8", "time to charge one kWh at full power, 1/(η⁺P⁺) [h/kWh]"),
}
"""Fields that a stay has besides those of a session; its charge_kw and discharge_kw are P⁺ and P⁻ [kW], the most that
port and vehicle allow together."""

STAY = np.dtype(
    [(name, SESSION[name]) for name in SESSION.names or () if SESSION[name].kind != "U"]
    + [(name, kind) for name, (kind, _) in DERIVED.items()]
)


def stays_of(site: SiteArrays, track: Track) -> np.ndarray:
    """Stays of a track, in its order.

    What is due is the wish, as far as full power from arrival to departure can fulfil it. For a session that outlasts
    the horizon, it is the least energy at the end of the horizon from which that is still reachable by its departure
    at full power. An even service rises straight from the energy on arrival (for a vehicle that came before the start,
    from what it would then hold) to the wish at departure.

    Parameters
    ----------
    site : SiteArrays
        Ratings and efficiencies of the ports.
    track : Track
        The day.

    Returns
    -------
    STAY, shape (n_sessions,)
    """
    stays = np.empty(len(track.sessions), dtype=STAY)
    for name in STAY.names or ():
        if name in (SESSION.names or ()):
            stays[name] = track.sessions[name]
    port, capacity_kwh = stays["port"], stays["capacity_kwh"]
    stays["charge_efficiency"] = efficiency = site.charge_efficiency[port]
    stays["discharge_efficiency"] = site.discharge_efficiency[port]
    stays["tau_h"] = tau_h = taper_time_h(stays["taper_start"], capacity_kwh, efficiency, stays["charge_kw"])
    stays["charge_kw"] = np.minimum(site.port_charge_kw[port], stays["charge_kw"])
    stays["discharge_kw"] = np.minimum(site.port_discharge_kw[port], stays["discharge_kw"])
    stays["floor_kwh"] = np.minimum(stays["energy_kwh"], stays["reserve_kwh"])
    stays["deadline_step"] = np.minimum(stays["departure_step"], track.n_steps)
    set_rates(stays, track.step_h)
    rate_kw = stays["rate_kw"]
    steps = stays["departure_step"] - stays["arrival_step"]
    most = energy_after(stays["energy_kwh"], steps * track.step_h, rate_kw, capacity_kwh, tau_h)
    stays["wish_kwh"] = wish = np.minimum(stays["energy_kwh"] + stays["wanted_kwh"], most)
    beyond = np.maximum(0, stays["departure_step"] - track.n_steps)
    reachable = energy_before(wish, beyond * track.step_h, rate_kw, capacity_kwh, tau_h)
    stays["due_kwh"] = np.where(beyond > 0, reachable, wish)
    from_kwh = stays["energy_kwh"] - stays["ahead_kwh"]
    stays["even_kwh"] = np.where(beyond > 0, wish - (wish - from_kwh) * beyond / steps, wish)
    return stays


def set_rates(stays: np.ndarray, step_h: float) -> None:
    """Write the fields that follow from power, efficiency and taper: `rate_kw` and the two after it."""
    efficiency = stays["charge_efficiency"]
    stays["rate_kw"] = efficiency * stays["charge_kw"]
    stays["taper_kw_per_kwh"] = -np.expm1(-step_h / stays["tau_h"]) / (efficiency * step_h)
    stays["hours_per_kwh"] = 1.0 / np.maximum(stays["rate_kw"], _NO_POWER_KW)


def vehicles_at(stays: np.ndarray, session: np.ndarray, energy_kwh: np.ndarray, step: int) -> np.ndarray:
    """The vehicle at each port, as it is now.

    Parameters
    ----------
    stays : STAY, shape (n_stays,)
        All stays.
    session : int64, shape (n_batch, n_ports)
        Who is there, as an index into the stays, −1 at an empty port.
    energy_kwh : float64, shape (n_batch, n_ports)
        Energy in the battery now [kWh].
    step : int
        The coming step.

    Returns
    -------
    STAY, shape (n_batch, n_ports)
        Copies, with what is in the battery now as `energy_kwh`. At empty ports all is 0, but capacity and efficiencies
        are 1, the taper is without end, and the steps of arrival, departure and deadline are the coming one.
    """
    nobody = np.zeros(1, dtype=STAY)
    nobody["capacity_kwh"] = nobody["charge_efficiency"] = nobody["discharge_efficiency"] = 1.0
    nobody["tau_h"] = np.inf
    nobody["arrival_step"] = nobody["departure_step"] = nobody["deadline_step"] = step
    vehicles: np.ndarray = np.concatenate([stays, nobody])[session]  # −1 is the last
    vehicles["energy_kwh"] = energy_kwh
    return vehicles
