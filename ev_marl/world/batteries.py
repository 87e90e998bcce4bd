"""Stationary batteries in a track: each is a session that is there before the episode, and stays beyond its end.

The sessions of vehicles come in; those of the site's batteries go out with them. What a battery does is then the
physics, the limits and the plans of a session; what is different is derived in `ev_marl.simulation.days`.
"""

from __future__ import annotations

import numpy as np

from ev_marl.scenario.choices import LATEST_TAPER
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.session_table import STATIONARY, session_table

NO_TAPER_KW = 1e6  # own power of a battery that charges at the port's full power until it is full


def with_batteries(sessions: np.ndarray, site: SiteArrays, n_steps: int) -> np.ndarray:
    """Sessions with those of the stationary batteries of the site.

    Parameters
    ----------
    sessions : SESSION, shape (n_sessions,)
        Sorted by arrival step.
    site : SiteArrays
        The site.
    n_steps : int
        Steps of the episode.

    Returns
    -------
    SESSION, shape (n,)
        With a session for each battery port that has none; sorted by arrival step and, at the start, by port.
    """
    if not site.has_batteries:
        return sessions
    port = np.setdiff1d(np.flatnonzero(site.is_battery), sessions["port"])
    batteries = session_table(
        port=port,
        arrival_step=np.zeros(len(port), dtype=np.int64),
        departure_step=np.full(len(port), 2 * n_steps),
        energy_kwh=site.storage_start_kwh[port],
        wanted_kwh=np.zeros(len(port)),
        capacity_kwh=site.storage_kwh[port],
        charge_kw=np.full(len(port), NO_TAPER_KW),
        discharge_kw=site.port_discharge_kw[port],
        taper_start=np.full(len(port), LATEST_TAPER),
        reserve_kwh=site.storage_reserve_kwh[port],
        vehicle=np.full(len(port), STATIONARY),
    )
    whole = np.concatenate([sessions, batteries])
    ordered: np.ndarray = whole[np.lexsort((whole["port"], whole["arrival_step"]))]
    return ordered
