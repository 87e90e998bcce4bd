"""The protocol of coordinators, which turn setpoints into granted powers that keep every shared limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ev_marl.site.arrays import SiteArrays
from ev_marl.support.registry import Registry


@dataclass(slots=True)
class Request:
    """One step's request; B batch rows, P ports, G groups. All float64; coordinators must not write to these arrays."""

    setpoint_kw: np.ndarray  # (B, P)  setpoint, within [lo_kw, hi_kw]
    lo_kw: np.ndarray  # (B, P)  <= 0: lowest power of the port in this step
    hi_kw: np.ndarray  # (B, P)  >= 0
    lower_kw: np.ndarray  # (B, G)  <= 0: clamped export limit of each group, −inf: none
    upper_kw: np.ndarray  # (B, G)  >= 0: clamped import limit, inf: none
    laxity_h: np.ndarray  # (B, P)  time to departure less time needed at full power [h]; inf at an empty port
    site: SiteArrays


@runtime_checkable
class Coordinator(Protocol):
    """Grants power. It only curtails: the granted power of each port lies between 0 and its setpoint."""

    name: str
    enforces_limits: bool  # False: limits may be exceeded, and the objective prices the overload

    def grant(self, request: Request, out: np.ndarray) -> None:
        """Write the granted powers to `out`, float64, shape (B, P) [kW]."""
        ...


COORDINATORS: Registry[Coordinator] = Registry("coordinator", "ev_marl.coordinators", Coordinator)
