"""The flow: powers, energies, prices and limits of one step, for the objective, the environments and the metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.grid.loop.flow import GridFlow
from ev_marl.site.arrays import SiteArrays


@dataclass(slots=True)
class Flow:
    """What happened in one step; B batch rows, P ports, G groups, R current limits.

    The arrays are reused: they are valid until the next step, so copy those that you keep.
    """

    step: int  # index t of the step
    step_h: float
    last: bool  # whether the episode ended with this step
    n_due: int  # wishes that fell due with this step, in all rows
    site: SiteArrays
    setpoint_kw: np.ndarray  # (B, P)  setpoint, clipped to what the port can do
    granted_kw: np.ndarray  # (B, P)  metered, averaged over the step
    energy_change_kwh: np.ndarray  # (B, P)  of the battery
    energy_kwh: np.ndarray  # (B, P)  in the battery at the end of the step, before a departure
    settled: np.ndarray  # int64 (B, P)  session whose wish fell due with this step, −1: none
    unmet_kwh: np.ndarray  # (B, P)  due and not there, at the ports that settled [kWh]
    stock_kwh: np.ndarray  # (B, P)  with the last step, energy beyond an even service that vehicles take out of the
    # episode; with the first, less what they brought into it; else 0 [kWh]
    group_kw: np.ndarray  # (B, G)  sum of granted powers below each group
    lower_kw: np.ndarray  # (B, G)  clamped limits of this step
    upper_kw: np.ndarray  # (B, G)
    base_load_kw: np.ndarray  # (B, G)
    current_a: np.ndarray  # (B, R)  magnitude of each current that has a limit [A]
    current_limit_a: np.ndarray  # (B, R)  clamped limits of this step [A]
    buy_per_kwh: np.ndarray  # (B,)
    sell_per_kwh: np.ndarray  # (B,)
    local_hour: np.ndarray  # (B,)  local clock time at the start of the step [h]
    import_kw: np.ndarray  # (B,)  power drawn by the whole site, base load included, >= 0
    peak_before_kw: np.ndarray  # (B,)  highest import of the earlier steps, 0 at the start
    later_per_kwh: np.ndarray  # (B,)  price of energy after the episode, see `Track.later_per_kwh`
    carbon_kg_per_kwh: np.ndarray | None = None  # (B,)  CO2 of what is drawn from the grid; None: not known
    requests: np.ndarray | None = None  # (B, 2, G)  see `ev_marl.world.events.requested`; None: days have none
    aged_h: np.ndarray | None = None  # (B, K)  normal life that each transformer used [h]; None: it is not followed
    grid: GridFlow | None = None  # result of the network, if there is one
