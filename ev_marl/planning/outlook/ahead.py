"""What lies ahead of a step, as model predictive control sees it: sessions, prices and limits from now on.

Views, tracks or a scenario's models come in; an `Ahead` for one batch row goes out, its steps counted from now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ev_marl.planning.outlook.expected import ExpectedRoom
from ev_marl.policies.base import SiteView
from ev_marl.simulation.stays import STAY, set_rates, stays_of
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import energy_before
from ev_marl.world.seeds import day_seeds
from ev_marl.world.track import Track
from ev_marl.world.world import World

SEED = 20_240_331  # of all that is drawn here: training days, never one of those that comparisons run
LOAD_DAYS = 60
STAY_CLASSES = 2  # expected vehicles that arrive about the same time: those that stay short, those that stay long
LEAST_ARRIVAL_CLASSES = 4
_NO_TAPER_H = 1e-9
_NOBODY = np.empty(0, dtype=STAY)


@dataclass(frozen=True)
class Ahead:
    """The rest of an episode, or as much of it as is looked at; K steps from now, G groups, S sessions."""

    step: int  # of the episode, now
    step_h: float
    n_here: int  # the first so many sessions are connected now
    limits: np.ndarray  # STAY (S,)  arrivals and deadlines counted from now
    buy_per_kwh: np.ndarray  # float64 (K,)
    sell_per_kwh: np.ndarray  # float64 (K,)
    lower_kw: np.ndarray  # float64 (K, G)
    upper_kw: np.ndarray  # float64 (K, G)
    base_load_kw: np.ndarray  # float64 (K, G)  inflexible load − PV below each group
    local_hour: np.ndarray  # float64 (K,)  local clock time of each step [h]
    peak_kw: float  # highest import so far

    @property
    def n_steps(self) -> int:
        """K."""
        return len(self.buy_per_kwh)

    @classmethod
    def of_day(cls, site: SiteArrays, track: Track) -> Ahead:
        """A whole day, known before it starts.

        Parameters
        ----------
        site : SiteArrays
            The site.
        track : Track
            The day.
        """
        stays = stays_of(site, track)
        return cls(
            step=0,
            step_h=track.step_h,
            n_here=int((stays["arrival_step"] == 0).sum()),
            limits=stays,
            buy_per_kwh=track.buy_per_kwh,
            sell_per_kwh=track.sell_per_kwh,
            lower_kw=track.lower_kw,
            upper_kw=track.upper_kw,
            base_load_kw=track.base_load_kw,
            local_hour=track.clock.local_hour,
            peak_kw=0.0,
        )

    @classmethod
    def empty(cls, site: SiteArrays, n_steps: int, step_h: float) -> Ahead:
        """Steps in which nobody comes and nothing costs anything.

        Parameters
        ----------
        site : SiteArrays
            The site.
        n_steps : int
            How many.
        step_h : float
            Length of a step [h].
        """
        nothing, groups = np.zeros(n_steps), np.zeros((n_steps, site.n_groups))
        return cls(0, step_h, 0, _NOBODY, nothing, nothing, groups, groups, groups, nothing, 0.0)


class Outlook(Protocol):
    """Where sessions, limits and base load of later steps come from."""

    def coming(self, row: int, step: int) -> np.ndarray:
        """Sessions that arrive after a step, steps counted from the start of the episode."""
        ...

    def room_kw(self, row: int, view: SiteView) -> tuple[np.ndarray, np.ndarray]:
        """Limits of vehicles' power from this step on, float64, shape (n_steps − step, n_groups) each [kW]."""
        ...

    def base_load_kw(self, row: int, view: SiteView) -> np.ndarray:
        """Base load below each group from this step on, float64, shape (n_steps − step, n_groups) [kW]."""
        ...


def look_ahead(
    view: SiteView,
    row: int,
    outlook: Outlook,
    n_steps: int,
    *,
    trust: float = 1.0,
) -> Ahead:
    """What lies ahead of one row.

    Parameters
    ----------
    view : SiteView
        What is known now.
    row : int
        Row of the batch.
    outlook : Outlook
        What is known or expected of later steps.
    n_steps : int
        Most steps to look at, this one included. What is due later is owed as far as full power could not make up
        for it afterwards.
    trust : float
        Share of the import limits of later steps that is planned with [-].
    """
    step, n = view.step, min(n_steps, view.n_steps - view.step)
    here = _connected(view, row)
    limits = _within(np.concatenate([here, _shifted(outlook.coming(row, step), step)]), n, view.step_h)
    lower_kw, upper_kw = outlook.room_kw(row, view)
    return Ahead(
        step=step,
        step_h=view.step_h,
        n_here=len(here),
        limits=limits,
        buy_per_kwh=view.buy_per_kwh[row, :n],
        sell_per_kwh=view.sell_per_kwh[row, :n],
        lower_kw=lower_kw[:n],
        upper_kw=np.concatenate([upper_kw[:1], trust * upper_kw[1:n]]) if trust < 1.0 else upper_kw[:n],
        base_load_kw=outlook.base_load_kw(row, view)[:n],
        local_hour=view.local_hour[row, :n],
        peak_kw=0.0 if view.peak_kw is None else float(view.peak_kw[row]),
    )


def _connected(view: SiteView, row: int) -> np.ndarray:
    """The vehicles that are there, as stays that begin now."""
    here: np.ndarray = view.vehicle[row, view.connected[row]]
    here["arrival_step"] = 0
    here["departure_step"] = here["deadline_step"] = here["deadline_step"] - view.step
    here["floor_kwh"] = np.minimum(here["floor_kwh"], here["energy_kwh"])
    return here


def _shifted(limits: np.ndarray, step: int) -> np.ndarray:
    shifted = limits.copy()
    for name in ("arrival_step", "departure_step", "deadline_step"):
        shifted[name] -= step
    return shifted


def _within(limits: np.ndarray, n_steps: int, step_h: float) -> np.ndarray:
    """Sessions up to the horizon; of what is due later, only what could not be made up for after it."""
    inside = limits["arrival_step"] < n_steps
    if not inside.all():
        limits = limits[inside]
    beyond_h = np.maximum(0, limits["deadline_step"] - n_steps) * step_h
    if not beyond_h.any():
        return limits
    due = energy_before(limits["due_kwh"], beyond_h, limits["rate_kw"], limits["capacity_kwh"], limits["tau_h"])
    within: np.ndarray = limits.copy()
    within["deadline_step"] = np.minimum(limits["deadline_step"], n_steps)
    within["due_kwh"] = np.where(beyond_h > 0.0, due, limits["due_kwh"])
    return within


class KnownOutlook:
    """The truth: what the tracks hold."""

    def __init__(self, site: SiteArrays, tracks: Sequence[Track]) -> None:
        self._tracks = tracks
        self._limits = [stays_of(site, track) for track in tracks]

    def coming(self, row: int, step: int) -> np.ndarray:
        """Sessions that arrive after a step."""
        limits = self._limits[row]
        return limits[limits["arrival_step"] > step]

    def room_kw(self, row: int, view: SiteView) -> tuple[np.ndarray, np.ndarray]:
        """Limits of vehicles' power from this step on."""
        return self._tracks[row].lower_kw[view.step :], self._tracks[row].upper_kw[view.step :]

    def base_load_kw(self, row: int, view: SiteView) -> np.ndarray:
        """Base load below each group from this step on."""
        return self._tracks[row].base_load_kw[view.step :]


class ExpectedOutlook:
    """What the scenario's models let expect, from days drawn with seeds of their own.

    Parameters
    ----------
    world : World
        The scenario's models.
    n_days : int
        Days from which the vehicles to come are drawn; 0: nobody is expected.
    """

    def __init__(self, world: World, n_days: int) -> None:
        self._room = ExpectedRoom.of(world, LOAD_DAYS)
        self._fleets = expected_fleets(world, n_days)
        rng = np.random.default_rng(SEED)
        days = [world.days[int(rng.integers(len(world.days)))] for _ in range(LOAD_DAYS)]
        seeds = day_seeds(SEED, LOAD_DAYS, "train")
        drawn_kw = np.stack([world.surroundings(day, seed).base_load_kw for day, seed in zip(days, seeds, strict=True)])
        self._load_kw = drawn_kw.mean(axis=0)
        self._off_kw = drawn_kw - self._load_kw

    def coming(self, row: int, step: int) -> np.ndarray:
        """Expected vehicles that arrive after a step."""
        coming: np.ndarray = self._fleets[self._fleets["arrival_step"] > step]
        return coming

    def room_kw(self, row: int, view: SiteView) -> tuple[np.ndarray, np.ndarray]:
        """Expected limits of vehicles' power, given those of this step."""
        one = slice(row, row + 1)
        lower_kw, upper_kw = self._room.given(view.step, view.lower_kw[one], view.upper_kw[one])
        return lower_kw[0].T, upper_kw[0].T

    def base_load_kw(self, row: int, view: SiteView) -> np.ndarray:
        """Expected base load below each group, given that of this step."""
        expected: np.ndarray = self._load_kw[view.step :].copy()
        if view.base_load_kw is not None:
            seen = self._off_kw[:, view.step]
            own, shared = (seen**2).sum(axis=0), np.einsum("dg,dkg->kg", seen, self._off_kw[:, view.step :])
            per_kw = np.divide(shared, own, out=np.zeros_like(expected), where=own > 1e-9)
            expected += (view.base_load_kw[row] - expected[0]) * per_kw
            expected[0] = view.base_load_kw[row]
        return expected


class PresentOutlook:
    """Nothing is known of later steps: nobody comes, limits and base load stay as they are."""

    def coming(self, row: int, step: int) -> np.ndarray:
        """Nobody."""
        return _NOBODY

    def room_kw(self, row: int, view: SiteView) -> tuple[np.ndarray, np.ndarray]:
        """The present limits."""
        shape = (view.n_steps - view.step, view.site.n_groups)
        return np.broadcast_to(view.lower_kw[row], shape), np.broadcast_to(view.upper_kw[row], shape)

    def base_load_kw(self, row: int, view: SiteView) -> np.ndarray:
        """The present base load."""
        shape = (view.n_steps - view.step, view.site.n_groups)
        return np.zeros(shape) if view.base_load_kw is None else np.broadcast_to(view.base_load_kw[row], shape)


def expected_fleets(world: World, n_days: int) -> np.ndarray:
    """Vehicles that a day lets expect: those of several drawn days, alike ones together, each at 1/n_days of its size.

    Vehicles are alike if they hang on the same group, can or cannot feed back, arrive about the same time, and stay
    about as long; there are about as many fleets as vehicles on a day. Powers and energies are summed; arrival,
    deadline and efficiencies are means. A fleet charges at full power until it is full, without taper.

    Parameters
    ----------
    world : World
        The scenario's models.
    n_days : int
        Days to draw.
    """
    if n_days == 0:
        return _NOBODY
    site = world.site.arrays
    tracks = [world.sample(seed) for seed in day_seeds(SEED, n_days, "train")]
    one = np.concatenate([stays_of(site, track) for track in tracks])
    n_steps, step_h = tracks[0].n_steps, tracks[0].step_h
    one = one[(one["arrival_step"] > 0) & (one["deadline_step"] > one["arrival_step"])]
    if not len(one):
        return _NOBODY
    kinds = np.stack([site.port_group[one["port"]], one["discharge_kw"] > 0.0])
    kind = np.unique(kinds, axis=1, return_inverse=True)[1]
    per_day = np.bincount(kind) / n_days
    arrival_classes = np.maximum(LEAST_ARRIVAL_CLASSES, np.ceil(per_day / STAY_CLASSES)).astype(np.int64)
    cell = _quantiles(kind, one["arrival_step"], arrival_classes)
    fleet = _quantiles(cell, one["deadline_step"] - one["arrival_step"], np.full(cell.max() + 1, STAY_CLASSES))
    size = np.bincount(fleet)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(fleet, values) / n_days

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(fleet, values) / size

    arrival = np.rint(mean(one["arrival_step"])).astype(np.int64)
    deadline = np.clip(np.rint(mean(one["deadline_step"])).astype(np.int64), arrival + 1, n_steps)
    first = np.full(len(size), len(one))
    np.minimum.at(first, fleet, np.arange(len(one)))
    charge_kw, energy_kwh = total(one["charge_kw"]), total(one["energy_kwh"])
    efficiency = mean(one["charge_efficiency"])
    full_kwh = energy_kwh + efficiency * charge_kw * (deadline - arrival) * step_h
    fleets = np.zeros(len(size), dtype=STAY)
    fleets["port"] = one["port"][first]
    fleets["arrival_step"] = arrival
    fleets["departure_step"] = fleets["deadline_step"] = deadline
    fleets["energy_kwh"] = energy_kwh
    for name in ("wanted_kwh", "capacity_kwh", "discharge_kw"):
        fleets[name] = total(one[name])
    fleets["charge_kw"] = charge_kw
    fleets["charge_efficiency"] = efficiency
    fleets["discharge_efficiency"] = mean(one["discharge_efficiency"])
    fleets["tau_h"] = _NO_TAPER_H
    fleets["floor_kwh"] = np.minimum(total(one["floor_kwh"]), energy_kwh)
    fleets["due_kwh"] = np.minimum(total(one["due_kwh"]), full_kwh)
    set_rates(fleets, step_h)
    return fleets


def _quantiles(cell: np.ndarray, values: np.ndarray, n_classes: np.ndarray) -> np.ndarray:
    """Split each cell into classes of equal size by value; numbers of the classes from 0, int64, shape (n,)."""
    order = np.lexsort((values, cell))
    count = np.bincount(cell)
    rank = np.empty(len(cell), dtype=np.int64)
    rank[order] = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
    pairs = np.stack([cell, rank * n_classes[cell] // count[cell]])
    classes: np.ndarray = np.unique(pairs, axis=1, return_inverse=True)[1].reshape(-1)
    return classes
