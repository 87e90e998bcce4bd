"""The coordinator that grants everything.

Setpoints come in and go out unchanged. Limits are not enforced; the objective prices the overload.
"""

from __future__ import annotations

import numpy as np

from ev_marl.simulation.coordinators.base import COORDINATORS, Request


@COORDINATORS.register("none")
class NoCoordinator:
    """Grants every setpoint, also beyond the limits."""

    name = "none"
    enforces_limits = False

    def grant(self, request: Request, out: np.ndarray) -> None:
        """Copy the setpoints to `out`, float64, shape (n_batch, n_ports) [kW]."""
        np.copyto(out, request.setpoint_kw)
