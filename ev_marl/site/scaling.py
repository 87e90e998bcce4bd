"""All limits of a site, the groups' and those of currents, kept by scaling; kernels for one row of numbers.

From the leaves to the root, a group beyond one of its limits has all its ports scaled towards zero by one factor. What
a subtree may do is convex and contains zero, so that keeps the limits further down: the result keeps all. Powers that
keep all limits stay as they are.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.site.arrays import SiteArrays
from ev_marl.support.compiled import kernel

SLACK_KW = 1e-10
"""Beyond a limit by this much is rounding, of powers that offset each other: scaled to a limit of 0, they would all be
cut."""
SLACK = 1e-9
"""The same of currents, as a share of the limit."""
SLACK_A = 1e-9
"""And in ampere, of a limit of a base load of almost nothing."""


@kernel
def share_within(
    real: float, imaginary: float, by_real: float, by_imaginary: float, limit: float, most: float
) -> float:
    """Largest s from 0 to `most` with |c + s·a| <= limit, for a current c within the limit and a direction a."""
    square = by_real * by_real + by_imaginary * by_imaginary
    if square == 0.0:
        return most
    half = real * by_real + imaginary * by_imaginary
    room = max(0.0, limit * limit - real * real - imaginary * imaginary)
    root = math.sqrt(half * half + square * room)
    share: float = room / (half + root) if half > 0.0 else (root - half) / square  # neither loses digits
    return min(most, max(0.0, share))


@kernel
def current_of(r: int, b: int, currents: np.ndarray, weight: np.ndarray, power_kw: np.ndarray) -> tuple[float, float]:
    """Current of limit r in row b, real and imaginary part [A]; currents of shape (3, B, R) as of `base_currents`."""
    real, imaginary = currents[0, b, r], currents[1, b, r]
    for p in range(len(power_kw)):
        real += weight[r, 0, p] * power_kw[p]
        imaginary += weight[r, 1, p] * power_kw[p]
    return real, imaginary


@kernel
def breaks_current(r: int, b: int, currents: np.ndarray, weight: np.ndarray, power_kw: np.ndarray) -> bool:
    """Whether limit r in row b is beyond its limit, by more than rounding."""
    real, imaginary = current_of(r, b, currents, weight, power_kw)
    breaks: bool = math.hypot(real, imaginary) > currents[2, b, r] * (1.0 + SLACK) + SLACK_A
    return breaks


@kernel
def keeps_currents(b: int, currents: np.ndarray, weight: np.ndarray, power_kw: np.ndarray) -> bool:
    """Whether powers, shape (P,), keep all current limits in row b."""
    kept = True
    for r in range(len(weight)):
        kept = kept and not breaks_current(r, b, currents, weight, power_kw)
    return kept


@kernel
def scale(
    b: int,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    currents: np.ndarray,
    weight: np.ndarray,
    current_group: np.ndarray,
    group_ports: np.ndarray,
    power: np.ndarray,
) -> None:
    """Scale powers, shape (P,), in place until they keep all limits in row b.

    `lower_kw` and `upper_kw` are of shape (B, G), `currents` of (3, B, R); the others as in `SiteArrays`.
    """
    r = len(current_group) - 1  # current limits are sorted by group
    for g in range(group_ports.shape[1] - 1, -1, -1):
        first, end = group_ports[0, g], group_ports[1, g]
        total = 0.0
        for p in range(first, end):
            total += power[p]
        factor = 1.0
        if total > upper_kw[b, g] + SLACK_KW:
            factor = upper_kw[b, g] / total
        elif total < lower_kw[b, g] - SLACK_KW:
            factor = lower_kw[b, g] / total
        while r >= 0 and current_group[r] == g:
            if breaks_current(r, b, currents, weight, power):
                real, imaginary = current_of(r, b, currents, weight, power)
                base_real, base_imaginary = currents[0, b, r], currents[1, b, r]
                by_real, by_imaginary = real - base_real, imaginary - base_imaginary
                share = share_within(base_real, base_imaginary, by_real, by_imaginary, currents[2, b, r], 1.0)
                factor = min(factor, share)
            r -= 1
        if factor < 1.0:
            for p in range(first, end):
                power[p] *= factor


def base_currents(site: SiteArrays, base_load_kw: np.ndarray) -> np.ndarray:
    """Currents of the base load, and what limits the currents.

    Parameters
    ----------
    site : SiteArrays
        The site, with R current limits.
    base_load_kw : float64, shape (..., n_groups)
        Base load below each group [kW].

    Returns
    -------
    float64, shape (3, ..., n_currents)
        Real and imaginary part, and the clamped limit [A].
    """
    base_kw = base_load_kw[..., site.current_group]
    real_a, imaginary_a = (base_kw * weight for weight in site.current_base_weight.T)
    # A base load beyond the limit is not the vehicles' doing: they must only not add to it.
    return np.stack([real_a, imaginary_a, np.maximum(site.current_limit_a, np.hypot(real_a, imaginary_a))])
