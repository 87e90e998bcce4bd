"""What happened on the network in one step: what objective terms, observation blocks and metrics read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.grid.model.spec import NetworkSpec


@dataclass(slots=True)
class GridFlow:
    """One step's power flow, B batch rows; never NaN.

    Where the power flow had no solution, even after charging was cut, voltages and loadings are the last valid ones and
    `failed` says so. Dead buses have 1 p.u., so that they break no limit. A limit that is broken without any charging
    is widened to what it is then: those breaches are unavoidable and not charged to the vehicles. Nor is a failed step:
    its limits are widened to what is told, and its losses without charging are those that are told.
    """

    spec: NetworkSpec
    charger_kw: np.ndarray  # float64 (B, E)  > 0: drawn by the chargers of a bus
    charger_kvar: np.ndarray  # float64 (B, E)
    vm_pu: np.ndarray  # float64 (B, N)
    line_percent: np.ndarray  # float64 (B, M)
    transformer_percent: np.ndarray  # float64 (B, K)
    slack_kw: np.ndarray  # float64 (B,)  drawn from above
    losses_kw: np.ndarray  # float64 (B,)
    lowest_pu: np.ndarray  # float64 (B, N)  lower voltage limit, or the voltage without charging where that is lower
    highest_pu: np.ndarray  # float64 (B, N)
    line_limit_percent: np.ndarray  # float64 (B, M)  limit, or the loading without charging where that is higher
    transformer_limit_percent: np.ndarray  # float64 (B, K)
    idle_losses_kw: np.ndarray  # float64 (B,)  losses of the same step without charging, taps as the network has them
    curtailed_kw: np.ndarray  # float64 (B,)  power that was taken back for the network's sake
    cut: np.ndarray  # bool (B,)  charging was cut because the power flow of what was granted had no solution
    failed: np.ndarray  # bool (B,)  there was none after cutting either
    tap: np.ndarray  # int64 (B,)  position of the controlled transformer, 0 without one
    tap_moved: np.ndarray  # bool (B,)  in this step
    hot_spot_c: np.ndarray  # float64 (B, K)  hottest winding temperature at the end of the step
