"""Whether the simulator can rely on a policy, and whether it knows what it says that it knows."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any, get_args

import numpy as np

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.planning.outlook import KINDS, Kind, Outlook, PresentOutlook
from ev_marl.planning.outlook.make import METHODS
from ev_marl.policies.base import Episode, Information, Policy, StationView, site_view
from ev_marl.policies.rollout import make_view
from ev_marl.simulation.coordinators.proportional import Proportional
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.arrays import SiteArrays
from ev_marl.testing.asserting import outlook_on, require, require_small
from ev_marl.testing.cases import small_day, small_site
from ev_marl.world.track import Track


def check_policy(factory: Callable[[], Policy], *, n_batch: int = 3, seed: int = 0) -> None:
    """Check a policy on days of a small site.

    It must have a name and say what information it needs; return finite float64 setpoints of shape
    (n_batch, n_ports); not write to its view; ask its outlook for no kinds of values but prices and those of its
    attribute `looks_at`, if it has one; and decide the same again with the same random numbers. If it says "own", a
    station's setpoints must not change when everything that other stations know is exchanged; if it says "messages",
    not when that of stations is, and of their groups, with which it shares no limited group.

    Parameters
    ----------
    factory : callable
        Makes a new policy, `lambda: MyPolicy(...)`; a plan can be made from `small_site` and `small_day`.
    n_batch : int
        Batch rows; row b runs `small_day(seed + b)`.
    seed : int
        Of days and random numbers.

    Raises
    ------
    ConformanceError
        If it breaks a rule; the message says which, at which step, and where.
    """
    policy = factory()
    require(isinstance(policy, Policy), f"{policy!r} lacks name, information, reset or act")
    require(isinstance(policy.name, str), f"the name of a policy is a str, got {policy.name!r}")
    kinds = get_args(Information)
    require(policy.information in kinds, f"information is one of {kinds}, got {policy.information!r}")
    site = small_site()
    tracks = [small_day(seed + row) for row in range(n_batch)]
    views, decided = _recorded_episode(policy, site.arrays, tracks, seed)
    again = _decisions(factory(), views, site.arrays, tracks, seed)
    for step, (first, second) in enumerate(zip(decided, again, strict=True)):
        where = f"policy '{policy.name}', step {step}: decided otherwise with the same random numbers at (row, port)"
        require_small(np.abs(first - second), where)
    if policy.information == "own":
        _check_own(factory, views, decided, tracks, seed)
    elif policy.information == "messages":
        _check_messages(factory, n_batch, seed)


class _Asked:
    """An outlook that notes which kinds of values are asked of it."""

    def __init__(self, outlook: Outlook) -> None:
        self._outlook = outlook
        self.kinds: set[Kind] = set()

    def __getattr__(self, name: str) -> Any:
        self.kinds.update(kind for kind, method in METHODS.items() if method == name)
        return getattr(self._outlook, name)


def _outlook(policy: Policy, site: SiteArrays, tracks: list[Track]) -> Outlook:
    return PresentOutlook() if policy.information == "own" else outlook_on(site, tracks, policy)


def _episode(policy: Policy, site: SiteArrays, tracks: list[Track], seed: int, outlook: Outlook) -> Episode:
    future = tracks if policy.information == "future" else None
    rng = np.random.default_rng(seed)
    return Episode(site, len(tracks), tracks[0].n_steps, tracks[0].step_h, rng, future, outlook=outlook)


def _recorded_episode(
    policy: Policy, site: SiteArrays, tracks: list[Track], seed: int
) -> tuple[list[StationView], list[np.ndarray]]:
    """Run an episode; views and setpoints of every step."""
    objective = Objective([EnergyCost(), UnmetEnergy(0.4), BatteryWear(0.03)])
    simulator = Simulator(site, Proportional(), tracks)
    simulator.reset(np.arange(len(tracks)))
    asked = _Asked(_outlook(policy, site, tracks))
    policy.reset(_episode(policy, site, tracks, seed, asked))
    outlook = outlook_on(site, tracks, policy)
    views, decided = [], []
    while not simulator.done:
        where = f"policy '{policy.name}', step {simulator.state.step}"
        view = make_view(simulator, objective, policy, outlook)
        views.append(deepcopy(view))
        setpoint_kw = policy.act(view)
        require(isinstance(setpoint_kw, np.ndarray), f"{where}: setpoints are an array, got {type(setpoint_kw)}")
        shape = view.hi_kw.shape
        require(setpoint_kw.shape == shape, f"{where}: setpoints of shape {setpoint_kw.shape}, expected {shape}")
        require(setpoint_kw.dtype == np.float64, f"{where}: setpoints are float64, got {setpoint_kw.dtype}")
        require(bool(np.isfinite(setpoint_kw).all()), f"{where}: setpoints that are not finite")
        for field in fields(StationView):
            same = np.array_equal(getattr(view, field.name), getattr(views[-1], field.name))
            require(same, f"{where}: it wrote to view.{field.name}")
        decided.append(setpoint_kw.copy())
        simulator.step(setpoint_kw)
    hidden = sorted(asked.kinds - {*getattr(policy, "looks_at", KINDS), "prices"})
    require(not hidden, f"policy '{policy.name}' asks its outlook for {', '.join(hidden)}; add that to `looks_at`")
    return views, decided


def _decisions(
    policy: Policy, views: list[StationView], site: SiteArrays, tracks: list[Track], seed: int
) -> list[np.ndarray]:
    """What a new policy decides on recorded views."""
    policy.reset(_episode(policy, site, tracks, seed, _outlook(policy, site, tracks)))
    return [policy.act(deepcopy(view)).copy() for view in views]


def _check_own(
    factory: Callable[[], Policy],
    views: list[StationView],
    decided: list[np.ndarray],
    tracks: list[Track],
    seed: int,
) -> None:
    """Exchange what other stations know, and look whether a station decides otherwise."""
    rng, site = np.random.default_rng(seed), small_site().arrays
    for station in range(site.n_stations):
        own = views[0].port_station == station
        policy = factory()
        others = [_exchanged(view, ~own, rng) for view in views]
        for step, setpoint_kw in enumerate(_decisions(policy, others, site, tracks, seed)):
            where = (
                f"policy '{policy.name}', step {step}: information is 'own', but station {station} decides otherwise "
                "when only other stations change, at (row, own port)"
            )
            require_small(np.abs(setpoint_kw - decided[step])[:, own], where)


def _check_messages(factory: Callable[[], Policy], n_batch: int, seed: int) -> None:
    """Where two lots share no limit, exchange what is known in one, and look whether the other decides otherwise."""
    rng, site = np.random.default_rng(seed), small_site(shared_limit=False).arrays
    tracks = [small_day(seed + row, shared_limit=False) for row in range(n_batch)]
    views, decided = _recorded_episode(factory(), site, tracks, seed)
    for lot in np.flatnonzero(site.group_parent == 0):
        own = (np.arange(site.n_ports) >= site.group_first_port[lot]) & (
            np.arange(site.n_ports) < site.group_end_port[lot]
        )
        policy = factory()
        elsewhere: list[StationView] = []
        for view in views:
            changed = site_view(_exchanged(view, ~own, rng))
            others = (np.arange(site.n_groups) != lot) & (site.group_parent == 0)
            share = rng.uniform(0.0, 1.0, changed.upper_kw.shape)
            changed.upper_kw = np.where(others, share * changed.upper_kw, changed.upper_kw)
            elsewhere.append(changed)
        for step, setpoint_kw in enumerate(_decisions(policy, elsewhere, site, tracks, seed)):
            where = (
                f"policy '{policy.name}', step {step}: information is 'messages', but the stations below group {lot} "
                "decide otherwise when only stations and groups change with which they share no limit, "
                "at (row, own port)"
            )
            require_small(np.abs(setpoint_kw - decided[step])[:, own], where)


def _exchanged(view: StationView, ports: np.ndarray, rng: np.random.Generator) -> StationView:
    """The view with the vehicles at the given ports replaced by any others in it, or by none."""
    n_batch, n_ports = view.hi_kw.shape
    row, port = rng.integers(n_batch, size=(n_batch, n_ports)), rng.integers(n_ports, size=(n_batch, n_ports))
    changed = replace(view)
    for field in fields(StationView):
        values = getattr(view, field.name)
        if isinstance(values, np.ndarray) and values.shape == (n_batch, n_ports) and not field.name.endswith("per_kwh"):
            setattr(changed, field.name, np.where(ports, values[row, port], values))
    return changed
