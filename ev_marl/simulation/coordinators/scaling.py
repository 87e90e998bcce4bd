"""All limits of a site kept by scaling: what is left to do after any coordinator.

Powers of a batch come in and are changed in place, row by row; see `ev_marl.site.scaling`.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.simulation.coordinators.base import Request
from ev_marl.site.scaling import current_of, scale
from ev_marl.support.compiled import kernel


@kernel
def _scale(
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    currents: np.ndarray,
    weight: np.ndarray,
    current_group: np.ndarray,
    group_ports: np.ndarray,
    power_kw: np.ndarray,
) -> None:
    for b in range(len(power_kw)):
        scale(b, lower_kw, upper_kw, currents, weight, current_group, group_ports, power_kw[b])


@kernel
def _measure(currents: np.ndarray, weight: np.ndarray, power_kw: np.ndarray, current_a: np.ndarray) -> None:
    for b in range(current_a.shape[0]):
        for r in range(current_a.shape[1]):
            real, imaginary = current_of(r, b, currents, weight, power_kw[b])
            current_a[b, r] = math.hypot(real, imaginary)


def scale_to_limits(request: Request, power_kw: np.ndarray) -> None:
    """Scale powers, float64, shape (n_batch, n_ports) [kW], in place until all limits of a request are kept."""
    site = request.site
    _scale(
        request.lower_kw,
        request.upper_kw,
        request.currents,
        site.current_weight,
        site.current_group,
        site.group_ports,
        power_kw,
    )


def measure_currents(request: Request, power_kw: np.ndarray, out: np.ndarray) -> None:
    """Write the magnitude of each current that has a limit to `out`, float64, shape (n_batch, n_currents) [A]."""
    _measure(request.currents, request.site.current_weight, power_kw, out)
