"""Sites with current limits for tests of what plans with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from optimum_cases import random_day

from ev_marl.site.arrays import SiteArrays
from ev_marl.site.currents import line_currents
from ev_marl.world.track import Track

CONDUCTORS = ("L1", "L2", "L3", "L1-L2", "L2-L3", "L3-L1", "L1-L2-L3")
_DELTA = np.array([[1, 0, -1], [-1, 1, 0], [0, -1, 1]])


def with_current_limits(rng: np.random.Generator, arrays: SiteArrays, *, tightness: float = 0.4) -> SiteArrays:
    """The same site, every port on random conductors, with current limits of some groups and of a delta's primary.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random numbers.
    arrays : SiteArrays
        A site; its own current limits are replaced.
    tightness : float
        Limits are about this share of what all ports together draw [-].
    """
    drawn = np.array([line_currents(str(rng.choice(CONDUCTORS)), 230.0) for _ in range(arrays.n_ports)]).T  # (3, P)
    angles = np.exp(1j * np.radians([0.0, -120.0, 120.0]))
    rows: list[tuple[int, np.ndarray, complex, float]] = []
    for group in range(arrays.n_groups):
        if group and rng.random() < 0.4:
            continue
        below = np.zeros(arrays.n_ports)
        below[arrays.group_first_port[group] : arrays.group_end_port[group]] = 1.0
        weights = [drawn * below]
        if group == 0:
            weights.append(_DELTA @ drawn / np.sqrt(3.0))
        for lines in weights:
            limit_a = tightness * rng.uniform(0.5, 1.5) * np.abs(lines @ arrays.port_charge_kw).max() + 1.0
            rows += [(group, line, 1000.0 * angle / 690.0, limit_a) for line, angle in zip(lines, angles, strict=True)]
    weight = np.array([row[1] for row in rows])
    base = np.array([row[2] for row in rows])
    return replace(
        arrays,
        current_weight=np.stack([weight.real, weight.imag], axis=1),
        current_limit_a=np.array([row[3] for row in rows]),
        current_group=np.array([row[0] for row in rows]),
        current_base_weight=np.stack([base.real, base.imag], axis=1),
    )


def mixed_phase_day(seed: int) -> tuple[SiteArrays, Track]:
    """A small random day with current limits that mostly bind, and a base load that does not break them alone."""
    site, track = random_day(seed)
    track = replace(track, base_load_kw=0.3 * track.base_load_kw)
    return with_current_limits(np.random.default_rng(seed), site.arrays), track


def currents_a(site: SiteArrays, base_load_kw: np.ndarray, power_kw: np.ndarray) -> np.ndarray:
    """Currents of powers, shape (n_steps, n_currents), written down once more [A]."""
    weight = site.current_weight[:, 0] + 1j * site.current_weight[:, 1]
    base = site.current_base_weight[:, 0] + 1j * site.current_base_weight[:, 1]
    return np.abs(base_load_kw[:, site.current_group] * base + power_kw @ weight.T)
