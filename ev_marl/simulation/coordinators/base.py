"""The protocol of coordinators, which turn setpoints into granted powers that keep every shared limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ev_marl.site.arrays import SiteArrays
from ev_marl.support.registry import Registry


@dataclass(slots=True)
class Request:
    """One step's request; B batch rows, P ports, G groups, R current limits. Float64 but where it says so.

    Coordinators must not write to these arrays.
    """

    setpoint_kw: np.ndarray  # (B, P)  setpoint, within [lo_kw, hi_kw]
    lo_kw: np.ndarray  # (B, P)  <= 0: lowest power of the port in this step
    hi_kw: np.ndarray  # (B, P)  >= 0
    lower_kw: np.ndarray  # (B, G)  <= 0: clamped export limit of each group, −inf: none
    upper_kw: np.ndarray  # (B, G)  >= 0: clamped import limit, inf: none
    laxity_h: np.ndarray  # (B, P)  time to departure less time needed at full power [h]; inf at an empty port
    currents: np.ndarray  # (3, B, R)  of the base load: real and imaginary part, then the clamped limit [A]
    session: np.ndarray  # int64 (B, P)  connected session as an index into the stays, −1 at an empty port
    stays: np.ndarray  # STAY (N,)  as they are believed to be, see `ev_marl.simulation.days`
    site: SiteArrays  # its `current_weight` is the current of each row over the powers of the ports

    def of_rows(self, rows: np.ndarray | slice) -> Request:
        """The request of some batch rows, whose numbers or slice are given."""
        ports = (self.setpoint_kw[rows], self.lo_kw[rows], self.hi_kw[rows])
        limits = (self.lower_kw[rows], self.upper_kw[rows])
        more = (self.laxity_h[rows], self.currents[:, rows], self.session[rows], self.stays)
        return Request(*ports, *limits, *more, self.site)


@runtime_checkable
class Coordinator(Protocol):
    """Grants power. It only curtails: the granted power of each port lies between 0 and its setpoint.

    A coordinator that keeps the limits of the groups only need not know of current limits: the simulator scales what it
    grants until they are kept.
    """

    name: str
    enforces_limits: bool  # False: limits may be exceeded, and the objective prices the overload

    def grant(self, request: Request, out: np.ndarray) -> None:
        """Write the granted powers to `out`, float64, shape (B, P) [kW]."""
        ...


COORDINATORS: Registry[Coordinator] = Registry("coordinator", "ev_marl.coordinators", Coordinator)
