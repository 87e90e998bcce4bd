"""What all checks share: failing with a message, and the outlook on a small site."""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook import ComposedOutlook, Truth, make_outlook
from ev_marl.policies.base import ForeseeingPolicy, Policy
from ev_marl.simulation.days import Days
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.track import Track

TOLERANCE_KW = 1e-9


def require_small(excess_kw: np.ndarray, message: str) -> None:
    """Raise an AssertionError where any number is above `TOLERANCE_KW`, with the largest and its place."""
    worst = np.unravel_index(np.argmax(excess_kw), excess_kw.shape)
    place = tuple(int(i) for i in worst)
    require(bool(excess_kw[worst] <= TOLERANCE_KW), f"{message} {place}, by {excess_kw[worst]:.3g} kW")


def require(condition: bool, message: str) -> None:
    """Raise an AssertionError with a message where a condition does not hold."""
    if not condition:
        raise AssertionError(message)


def outlook_on(site: SiteArrays, tracks: list[Track], policy: Policy | None = None) -> ComposedOutlook:
    """The outlook of a policy on some days, or the usual one."""
    outlook = make_outlook(policy.outlook if isinstance(policy, ForeseeingPolicy) else None)
    outlook.begin(Truth(site, tracks, Days.stack(site, tracks)), None)
    return outlook
