"""Differences between tracks and the days of the scenario's models, for policies that expect what the models say.

A world and the tracks to be played come in; the differences go out as texts with numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ev_marl.grid.loop.days import day_loads
from ev_marl.planning.outlook.drawn import SEED
from ev_marl.simulation.days import stays_of
from ev_marl.world.track import Track
from ev_marl.world.world import World

DAYS = 30  # drawn to compare with
LEAST_SHARE = 0.1  # smaller differences do not matter [-]
LEAST_SPREADS = 3.0  # nor do differences within so many standard errors


def mismatches(world: World, tracks: Sequence[Track]) -> list[str]:
    """Differences between the tracks and days drawn from the models.

    Compared are vehicles a day, their mean stay, the energy due to them, the mean base load of the site, its import
    limits, the mean price, and the mean load of the network. Only differences above a tenth and above three standard
    errors are reported.

    Parameters
    ----------
    world : World
        The scenario's models.
    tracks : sequence of Track
        Tracks of the world's site.

    Returns
    -------
    list of str
        Such as "61.0 vehicles a day, 43.2 expected".
    """
    measures: list[tuple[str, Callable[[Track], float]]] = [
        ("vehicles a day", lambda track: len(track.vehicles)),
        ("kWh due a day", lambda track: _due_kwh(world, track)),
        ("h of stay", _stay_h),
        ("kW of base load", lambda track: float(track.base_load_kw[:, 0].mean())),
        ("kW of import limits", _limits_kw),
        (f"{world.scenario.currency}/kWh", lambda track: float(track.buy_per_kwh.mean())),
    ]
    if world.site.network is not None:
        measures.append(("kW of load on the network", lambda track: _network_kw(world, track)))
    drawn = world.draw(SEED, DAYS, "train")
    found = []
    for unit, measure in measures:
        here, expected = (_finite([measure(track) for track in days]) for days in (tracks, drawn))
        if not len(here) or len(expected) < 2:  # one day has no spread
            continue
        difference = abs(float(here.mean() - expected.mean()))
        # The spread of a single track is that of the drawn days.
        spreads = (np.std(days, ddof=1) if len(days) > 1 else np.std(expected, ddof=1) for days in (here, expected))
        error = math.hypot(*(float(s) / math.sqrt(len(d)) for s, d in zip(spreads, (here, expected), strict=True)))
        if difference > LEAST_SPREADS * error and difference > LEAST_SHARE * abs(float(expected.mean())):
            digits = 1 if max(abs(here.mean()), abs(expected.mean())) >= 10.0 else 3
            found.append(f"{here.mean():.{digits}f} {unit}, {expected.mean():.{digits}f} expected")
    return found


def _finite(values: Sequence[float]) -> np.ndarray:
    """Those that are there: a day without vehicles has no mean stay."""
    found = np.array(values, dtype=np.float64)
    here: np.ndarray = found[np.isfinite(found)]
    return here


def _stay_h(track: Track) -> float:
    stay = track.vehicles["departure_step"] - track.vehicles["arrival_step"]
    return float(stay.mean()) * track.step_h if len(stay) else math.nan


def _limits_kw(track: Track) -> float:
    """Sum over all groups that have a limit, mean over the steps."""
    limit_kw = track.import_limit_kw
    return float(np.where(np.isfinite(limit_kw), limit_kw, 0.0).sum(axis=1).mean())


def _network_kw(world: World, track: Track) -> float:
    load_kw, _, generator_kw, _ = day_loads(world.site, track)
    return float((load_kw.sum(axis=1) - generator_kw.sum(axis=1)).mean())


def _due_kwh(world: World, track: Track) -> float:
    stays = stays_of(world.site.arrays, track)
    return float(np.maximum(0.0, stays["due_kwh"] - stays["energy_kwh"]).sum())
