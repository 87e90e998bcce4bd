"""The powers that a station can offer a vehicle: nothing, or from a least power on, in steps.

A station says by its pilot how much current a vehicle may draw at most (IEC 61851-1 and SAE J1772: 6 A is the least).
The vehicle draws the pilot, or less if its battery takes less. So a port can grant 0, a level, or all that the vehicle
takes; the pilot is then the level above. Levels are of charging only.
"""

from __future__ import annotations

import numpy as np

from ev_marl.support.compiled import kernel

SLACK_KW = 1e-10
"""Below what a vehicle can take by this much is rounding."""
_SLACK_STEPS = 1e-9


@kernel
def level_below(power_kw: float, most_kw: float, least_kw: float, step_kw: float) -> float:
    """The highest power, at most this one, that a port can grant.

    Parameters
    ----------
    power_kw : float
        What is to be granted; discharging is no matter of levels [kW].
    most_kw : float
        What the vehicle takes in this step [kW].
    least_kw, step_kw : float
        Least power of the port and distance of its levels, 0: any power from the least one on [kW].
    """
    if power_kw <= 0.0 or power_kw >= most_kw - SLACK_KW:
        return power_kw
    if power_kw < least_kw - SLACK_KW:
        return 0.0
    if step_kw == 0.0:
        return power_kw
    steps = np.floor((power_kw - least_kw) / step_kw + _SLACK_STEPS)
    level: float = min(power_kw, least_kw + max(0.0, steps) * step_kw)
    return level


@kernel
def keep_levels(power_kw: np.ndarray, most_kw: np.ndarray, levels: np.ndarray, out: np.ndarray) -> None:
    """`level_below` of every element, shape (n_batch, n_ports) [kW]; `levels` is that of the site, (2, n_ports)."""
    n_batch, n_ports = power_kw.shape
    for b in range(n_batch):
        for p in range(n_ports):
            out[b, p] = level_below(power_kw[b, p], most_kw[b, p], levels[0, p], levels[1, p])


def level_above(power_kw: np.ndarray, most_kw: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The lowest power, at least this one, that a port can grant, or all that the vehicle takes.

    Parameters
    ----------
    power_kw, most_kw : float64, shape (n_batch, n_ports)
        Power that is wanted, and what the vehicle takes in this step [kW].
    levels : float64, shape (2, n_ports)
        `SiteArrays.port_levels_kw`.

    Returns
    -------
    float64, shape (n_batch, n_ports)
        [kW]; 0 where nothing is wanted.
    """
    least_kw, step_kw = levels
    beyond = np.maximum(0.0, power_kw - least_kw)
    steps = np.ceil(np.divide(beyond, step_kw, out=np.zeros_like(beyond), where=step_kw > 0.0) - _SLACK_STEPS)
    level = np.where(step_kw > 0.0, least_kw + steps * step_kw, np.maximum(power_kw, least_kw))
    raised: np.ndarray = np.where(power_kw > 0.0, np.minimum(level, most_kw), power_kw)
    return raised
