"""What all checks share: errors with a message, the outlook on a small site, and days with base load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ev_marl.planning.outlook import ComposedOutlook, Truth, make_outlook
from ev_marl.policies.base import ForeseeingPolicy, Policy
from ev_marl.simulation.days import Days
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import ConformanceError
from ev_marl.testing.cases import group_sums, small_day, small_site
from ev_marl.world.track import Track

TOLERANCE_KW = 1e-9


def require_small(excess_kw: np.ndarray, message: str) -> None:
    """Raise a ConformanceError where any number is above `TOLERANCE_KW`, with the largest and its place."""
    worst = np.unravel_index(np.argmax(excess_kw), excess_kw.shape)
    place = tuple(int(i) for i in worst)
    require(bool(excess_kw[worst] <= TOLERANCE_KW), f"{message} {place}, by {excess_kw[worst]:.3g} kW")


def require(condition: bool, message: str) -> None:
    """Raise a ConformanceError with a message where a condition does not hold."""
    if not condition:
        raise ConformanceError(message)


@contextmanager
def calling(where: str) -> Iterator[None]:
    """Turn any exception of a plug-in into a ConformanceError that says where it was raised."""
    try:
        yield
    except ConformanceError:
        raise
    except Exception as error:
        raise ConformanceError(f"{where}: it raised {type(error).__name__}: {error}") from error


def require_array(values: object, shape: tuple[int, ...], where: str, kind: str = "float64") -> None:
    """Raise a ConformanceError where something is not an array of this shape and dtype."""
    require(isinstance(values, np.ndarray), f"{where}: expected an array, got {type(values).__name__}")
    assert isinstance(values, np.ndarray)
    require(values.shape == shape, f"{where}: expected shape {shape}, got {values.shape}")
    require(values.dtype == np.dtype(kind), f"{where}: expected {kind}, got {values.dtype}; convert it")


def require_same(values: np.ndarray, expected: np.ndarray, where: str, axes: str) -> None:
    """Raise a ConformanceError at the first place where two arrays of the same shape differ."""
    differs = (values != expected) & ~(np.isnan(values) & np.isnan(expected))
    if differs.any():
        place = tuple(int(i) for i in np.argwhere(differs)[0])
        raise ConformanceError(f"{where} at {axes} = {place}: got {values[place]}, expected {expected[place]}")


def loaded_days(n_days: int, seed: int) -> list[Track]:
    """`small_day` with base load and PV below each group; the days are `small_day(seed + k)`."""
    site = small_site().arrays
    days = []
    for k in range(n_days):
        day = small_day(seed + k)
        own_kw = np.random.default_rng((seed, k)).uniform(-4.0, 8.0, (day.n_steps, site.n_ports))
        days.append(replace(day, base_load_kw=group_sums(site, own_kw)))
    return days


def require_unchanged(
    before: Sequence[np.ndarray], after: Sequence[np.ndarray], names: Sequence[str], who: str
) -> None:
    """Raise a ConformanceError where an array is not what it was."""
    for name, old, new in zip(names, before, after, strict=True):
        require(old.tobytes() == new.tobytes(), f"{who} wrote to {name}; copy an array before you change it")


def outlook_on(site: SiteArrays, tracks: list[Track], policy: Policy | None = None) -> ComposedOutlook:
    """The outlook of a policy on some days, or the usual one."""
    outlook = make_outlook(policy.outlook if isinstance(policy, ForeseeingPolicy) else None)
    outlook.begin(Truth(site, tracks, Days.stack(site, tracks)), None)
    return outlook
