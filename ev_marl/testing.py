"""Conformance checks: call one in the tests of your own plug-in, and it says whether the simulator can rely on it.

A plug-in comes in; an `AssertionError` that says what went wrong comes out, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import get_args

import networkx as nx
import numpy as np

from ev_marl.env.blocks import Feature, ObservationBlock, Scope
from ev_marl.env.blocks.base import LookingAhead
from ev_marl.grid.solvers.conformance import check_grid_backend
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.planning.outlook import ComposedOutlook, PresentOutlook, Truth, make_outlook
from ev_marl.policies.base import Episode, ForeseeingPolicy, Information, Policy, StationView, site_view
from ev_marl.policies.rollout import make_view
from ev_marl.scenario.clock import Clock
from ev_marl.simulation.coordinators.base import Coordinator, Request
from ev_marl.simulation.coordinators.none import NoCoordinator
from ev_marl.simulation.coordinators.proportional import Proportional
from ev_marl.simulation.days import Days
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.session_table import session_table
from ev_marl.world.track import Track

TOLERANCE_KW = 1e-9

__all__ = [
    "check_block",
    "check_coordinator",
    "check_grid_backend",
    "check_policy",
    "group_sums",
    "random_request",
    "random_site_arrays",
    "small_day",
    "small_site",
]


def random_site_arrays(rng: np.random.Generator, n_levels: int = 3) -> SiteArrays:
    """A random coupling tree of one-port stations.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    n_levels : int
        Most groups between the grid connection and a port, both included.

    Returns
    -------
    SiteArrays
        1 to 15 members in each group, ports and subgroups in any order.
    """
    group_parent: list[int] = []
    first: list[int] = []
    end: list[int] = []
    depth: list[int] = []
    port_group: list[int] = []

    def grow(parent: int, level: int) -> None:
        group = len(group_parent)
        group_parent.append(parent)
        first.append(len(port_group))
        end.append(0)
        depth.append(level)
        for _ in range(rng.integers(1, 4)):
            if level + 1 < n_levels and rng.random() < 0.6:
                grow(group, level + 1)
            else:
                port_group.extend([group] * int(rng.integers(1, 6)))
        end[group] = len(port_group)

    grow(-1, 0)
    n_ports = len(port_group)
    whole = [np.array(column, dtype=np.int64) for column in (group_parent, first, end, depth, port_group)]
    arrays = SiteArrays(
        port_charge_kw=np.full(n_ports, 22.0),
        port_discharge_kw=np.full(n_ports, 22.0),
        charge_efficiency=np.full(n_ports, 0.93),
        discharge_efficiency=np.full(n_ports, 0.93),
        port_is_dc=np.zeros(n_ports, dtype=np.bool_),
        port_station=np.arange(n_ports),
        port_group=whole[4],
        station_first_port=np.arange(n_ports + 1),
        station_group=whole[4].copy(),
        group_parent=whole[0],
        group_first_port=whole[1],
        group_end_port=whole[2],
        group_depth=whole[3],
    )
    for field in fields(arrays):
        getattr(arrays, field.name).flags.writeable = False
    return arrays


def random_request(rng: np.random.Generator, site: SiteArrays, n_batch: int = 1) -> Request:
    """A random request: charging and discharging, equal setpoints, limits that are absent, loose, tight, or zero.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    site : SiteArrays
        The site.
    n_batch : int
        Batch rows.

    Returns
    -------
    Request
        Setpoints up to ±22 kW; in some rows all charge, in some all setpoints are multiples of 3.7 kW.
    """
    shape, limits = (n_batch, site.n_ports), (n_batch, site.n_groups)
    discharging_share = rng.choice([0.0, 0.3, 0.5, 1.0], (n_batch, 1))
    setpoint = rng.uniform(0.0, 22.0, shape) * np.where(rng.random(shape) < discharging_share, -1.0, 1.0)
    setpoint[rng.random(shape) < 0.1] = 0.0
    in_steps = rng.random(n_batch) < 0.4
    setpoint[in_steps] = np.round(setpoint[in_steps] / 3.7) * 3.7
    size = (site.group_end_port - site.group_first_port) ** rng.uniform(0.5, 1.0, (n_batch, 1))

    def limit() -> np.ndarray:
        kind = rng.random(limits)
        values = np.where(kind < 0.3, np.inf, rng.uniform(0.0, 12.0, limits) * size)
        return np.where(kind > 0.93, 0.0, values)

    laxity = np.where(setpoint == 0.0, np.inf, np.round(rng.uniform(-1.0, 8.0, shape), 1))
    return Request(
        setpoint_kw=setpoint,
        lo_kw=np.minimum(setpoint, 0.0) - rng.uniform(0.0, 5.0, shape),
        hi_kw=np.maximum(setpoint, 0.0) + rng.uniform(0.0, 5.0, shape),
        lower_kw=-limit(),
        upper_kw=limit(),
        laxity_h=laxity,
        site=site,
    )


def group_sums(site: SiteArrays, power_kw: np.ndarray) -> np.ndarray:
    """Sum of port powers below each group.

    Parameters
    ----------
    site : SiteArrays
        The site.
    power_kw : float64, shape (n_batch, n_ports)
        Power of each port [kW].

    Returns
    -------
    float64, shape (n_batch, n_groups)
        Power of each group [kW].
    """
    slices = zip(site.group_first_port, site.group_end_port, strict=True)
    return np.stack([power_kw[:, first:end].sum(axis=1) for first, end in slices], axis=1)


def check_coordinator(coordinator: Coordinator, *, n_sites: int = 40, n_batch: int = 25, seed: int = 0) -> None:
    """Check a coordinator on random sites and requests.

    It must have a name and say whether it enforces limits; write every entry of `out` and nothing else; grant between
    zero and the setpoint; keep every limit, where it says that it enforces them; give the same answer to the same
    request; and treat each batch row as if it were alone.

    Parameters
    ----------
    coordinator : Coordinator
        The coordinator to check.
    n_sites : int
        How many random sites.
    n_batch : int
        Random requests on each.
    seed : int
        Seed of the random cases.

    Raises
    ------
    AssertionError
        If it breaks a rule by more than 1e-9 kW; the message says which, where, and by how much.
    """
    _require(isinstance(coordinator, Coordinator), f"{coordinator!r} lacks name, enforces_limits or grant")
    _require(isinstance(coordinator.name, str), f"the name of a coordinator is a str, got {coordinator.name!r}")
    _require(isinstance(coordinator.enforces_limits, bool), "enforces_limits is True or False")
    rng = np.random.default_rng(seed)
    for case in range(n_sites):
        request = random_request(rng, random_site_arrays(rng, n_levels=1 + case % 4), n_batch)
        _check_grant(coordinator, request, f"coordinator '{coordinator.name}', seed {seed}, site {case}")


def _check_grant(coordinator: Coordinator, request: Request, where: str) -> None:
    names = [field.name for field in fields(request) if field.name != "site"]
    before = {name: getattr(request, name).copy() for name in names}
    granted = _grant(coordinator, request)
    for name in names:
        _require(np.array_equal(getattr(request, name), before[name]), f"{where}: it wrote to request.{name}")
    _require(bool(np.isfinite(granted).all()), f"{where}: granted powers left out, or not finite")
    asked = request.setpoint_kw
    beyond = np.maximum(granted - np.maximum(asked, 0.0), np.minimum(asked, 0.0) - granted)
    _require_small(beyond, f"{where}: granted power not between 0 and the setpoint at (row, port)")
    if coordinator.enforces_limits:
        sums = group_sums(request.site, granted)
        _require_small(sums - request.upper_kw, f"{where}: import limit broken at (row, group)")
        _require_small(request.lower_kw - sums, f"{where}: export limit broken at (row, group)")
    again = _grant(coordinator, request)
    _require_small(np.abs(again - granted), f"{where}: the same request got another answer at (row, port)")
    for row in range(len(granted)):
        alone = Request(**{name: before[name][row : row + 1] for name in names}, site=request.site)
        difference = np.abs(_grant(coordinator, alone) - granted[row])
        _require_small(difference, f"{where}: row {row} of a batch differs from the same row alone at (row, port)")


def _grant(coordinator: Coordinator, request: Request) -> np.ndarray:
    out = np.full(request.setpoint_kw.shape, np.nan)
    coordinator.grant(request, out)
    return out


def small_site(*, shared_limit: bool = True) -> Site:
    """Two lots with a limit each, three two-port stations, one of them bidirectional: what `check_policy` runs on.

    Parameters
    ----------
    shared_limit : bool
        Whether the grid connection above both lots has limits of its own.
    """
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid", **({"import_limit_kw": 35.0, "export_limit_kw": 10.0} if shared_limit else {}))
    for lot, stations in (("lot_0", ("ac_0", "bidi_0")), ("lot_1", ("ac_1",))):
        graph.add_node(lot, kind="parking", import_limit_kw=18.0)
        graph.add_edge("grid", lot)
        for station in stations:
            graph.add_node(station, kind="station", type=station.partition("_")[0], supply="ac")
            graph.add_edge(lot, station)
            for number in range(2):
                graph.add_node(
                    f"{station}/{number}",
                    kind="port",
                    supply="ac",
                    charge_kw=11.0,
                    discharge_kw=11.0 if station.startswith("bidi") else 0.0,
                    charge_efficiency=0.93,
                    discharge_efficiency=0.93,
                )
                graph.add_edge(station, f"{station}/{number}")
    return Site.from_graph(graph)


def small_day(seed: int = 0, *, shared_limit: bool = True) -> Track:
    """A day of 24 steps of half an hour on `small_site`: two stays a port, the last beyond the end."""
    site, n_steps, step_h = small_site(shared_limit=shared_limit), 24, 0.5
    rng = np.random.default_rng(seed)
    n_ports, n = site.arrays.n_ports, 2 * site.arrays.n_ports
    first, change = rng.integers(0, 4, n_ports), rng.integers(10, 14, n_ports)
    arrival = np.concatenate([first, change])
    capacity = rng.uniform(30.0, 80.0, n)
    energy = rng.uniform(0.1, 0.7, n) * capacity
    columns = {
        "port": np.tile(np.arange(n_ports), 2),
        "arrival_step": arrival,
        "departure_step": np.concatenate([change - rng.integers(0, 2, n_ports), rng.integers(18, 30, n_ports)]),
        "energy_kwh": energy,
        "wanted_kwh": rng.uniform(0.2, 1.0, n) * (capacity - energy),
        "capacity_kwh": capacity,
        "charge_kw": rng.choice([7.4, 11.0, 22.0], n),
        "discharge_kw": np.full(n, 11.0),
        "taper_start": np.full(n, 0.8),
        "reserve_kwh": 0.2 * capacity,
    }
    order = np.lexsort((columns["port"], arrival))
    import_limit, export_limit = site.limits(Clock(datetime(2023, 5, 15, tzinfo=UTC), "UTC", step_h, n_steps))
    buy = rng.uniform(-0.05, 0.4, n_steps)
    return Track(
        start=datetime(2023, 5, 15, tzinfo=UTC),
        timezone="UTC",
        step_h=step_h,
        currency="EUR",
        ports=site.ports,
        groups=site.groups,
        sessions=session_table(**{name: column[order] for name, column in columns.items()}, vehicle=["any"] * n),
        buy_per_kwh=buy,
        sell_per_kwh=buy - 0.02,
        base_load_kw=np.zeros((n_steps, site.arrays.n_groups)),
        import_limit_kw=import_limit,
        export_limit_kw=export_limit,
    )


def check_policy(factory: Callable[[], Policy], *, n_batch: int = 3, seed: int = 0) -> None:
    """Check a policy on days of a small site.

    It must have a name and say what information it needs; return finite float64 setpoints of shape
    (n_batch, n_ports); not write to its view; and decide the same again with the same random numbers. If it says
    "own", a station's setpoints must not change when everything that other stations know is exchanged; if it says
    "messages", not when that of stations is, and of their groups, with which it shares no limited group.

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
    AssertionError
        If it breaks a rule; the message says which, at which step, and where.
    """
    policy = factory()
    _require(isinstance(policy, Policy), f"{policy!r} lacks name, information, reset or act")
    _require(isinstance(policy.name, str), f"the name of a policy is a str, got {policy.name!r}")
    kinds = get_args(Information)
    _require(policy.information in kinds, f"information is one of {kinds}, got {policy.information!r}")
    site = small_site()
    tracks = [small_day(seed + row) for row in range(n_batch)]
    views, decided = _recorded_episode(policy, site.arrays, tracks, seed)
    again = _decisions(factory(), views, site.arrays, tracks, seed)
    for step, (first, second) in enumerate(zip(decided, again, strict=True)):
        where = f"policy '{policy.name}', step {step}: decided otherwise with the same random numbers at (row, port)"
        _require_small(np.abs(first - second), where)
    if policy.information == "own":
        _check_own(factory, views, decided, tracks, seed)
    elif policy.information == "messages":
        _check_messages(factory, n_batch, seed)


def check_block(factory: Callable[[], ObservationBlock], *, n_batch: int = 3, seed: int = 0) -> None:
    """Check an observation block on days of a small site, with random setpoints and no coordinator.

    Its features must have finite bounds that enclose 0, and its values must be finite and within them in every step
    and at the end; it must write all of them, the same for a day alone as for the day in a batch, and leave the
    simulator as it was. A block that says it is static must not change.

    Parameters
    ----------
    factory : callable
        Makes a new block, `lambda: MyBlock(...)`.
    n_batch : int
        Batch rows; row b runs `small_day(seed + b)`.
    seed : int
        Of days and setpoints.

    Raises
    ------
    AssertionError
        If it breaks a rule; the message says which, at which step, and for which feature.
    """
    block = factory()
    _require(isinstance(block, ObservationBlock), f"{block!r} lacks name, scope, static, bind, load or fill")
    _require(block.scope in get_args(Scope), f"scope is one of {get_args(Scope)}, got {block.scope!r}")
    tracks = [small_day(seed + row) for row in range(n_batch)]
    together, features = _filled(block, tracks, seed)
    for step, table in enumerate(together):
        for i, feature in enumerate(features):
            where = f"block '{block.name}', feature '{feature.name}', step {step}"
            values = table[:, :, i]
            _require(bool(np.isfinite(values).all()), f"{where}: not finite, or not written")
            low, high = np.float32(feature.low), np.float32(feature.high)
            inside = bool(((values >= low) & (values <= high)).all())
            _require(inside, f"{where}: from {values.min()} to {values.max()}, the bounds are {low} and {high}")
        if block.static:
            _require(np.array_equal(table, together[0]), f"block '{block.name}' says it is static and changes")
    for row, track in enumerate(tracks):
        alone, _ = _filled(factory(), [track], seed, row)
        for step, (one, all_rows) in enumerate(zip(alone, together, strict=True)):
            same = np.array_equal(one[0], all_rows[row])
            _require(same, f"block '{block.name}', step {step}: day {row} looks different alone than in a batch")


def _filled(
    block: ObservationBlock, tracks: list[Track], seed: int, row: int | None = None
) -> tuple[list[np.ndarray], tuple[Feature, ...]]:
    """A block's tables at every step, the end included; `row` picks the setpoints of one row of a larger batch."""
    site = small_site()
    features = block.bind(site)
    for feature in features:
        bounded = -np.inf < feature.low <= 0.0 <= feature.high < np.inf and feature.low < feature.high
        _require(bounded, f"block '{block.name}', feature '{feature.name}': bounds must be finite and enclose 0")
    arrays = site.arrays
    n_rows = {"site": 1, "group": arrays.n_groups, "station": arrays.n_stations, "port": arrays.n_ports}[block.scope]
    simulator = Simulator(arrays, NoCoordinator(), tracks)
    simulator.reset(np.arange(len(tracks)))
    if isinstance(block, LookingAhead):
        block.look(_outlook(arrays, tracks))
    block.load(simulator.days)
    tables = []
    while True:
        table = np.full((len(tracks), n_rows, len(features)), np.nan, dtype=np.float32)
        state = simulator.state.copy()
        block.fill(simulator.state, table)
        for name in ("seats", "ports", "groups", "day"):
            same = np.array_equal(getattr(state, name), getattr(simulator.state, name))
            _require(same, f"block '{block.name}' wrote to the state's {name}")
        tables.append(table)
        if simulator.done:
            return tables, features
        rows = range(len(tracks)) if row is None else [row]
        draws = [np.random.default_rng((seed, simulator.state.step, b)) for b in rows]
        simulator.step(np.stack([rng.uniform(-11.0, 11.0, arrays.n_ports) for rng in draws]))


def _episode(policy: Policy, site: SiteArrays, tracks: list[Track], seed: int) -> Episode:
    future = tracks if policy.information == "future" else None
    rng = np.random.default_rng(seed)
    outlook = PresentOutlook() if policy.information == "own" else _outlook(site, tracks, policy)
    return Episode(site, len(tracks), tracks[0].n_steps, tracks[0].step_h, rng, future, outlook=outlook)


def _outlook(site: SiteArrays, tracks: list[Track], policy: Policy | None = None) -> ComposedOutlook:
    outlook = make_outlook(policy.outlook if isinstance(policy, ForeseeingPolicy) else None)
    outlook.begin(Truth(site, tracks, Days.stack(site, tracks)), None)
    return outlook


def _recorded_episode(
    policy: Policy, site: SiteArrays, tracks: list[Track], seed: int
) -> tuple[list[StationView], list[np.ndarray]]:
    """Run an episode; views and setpoints of every step."""
    objective = Objective([EnergyCost(), UnmetEnergy(0.4), BatteryWear(0.03)])
    simulator = Simulator(site, Proportional(), tracks)
    simulator.reset(np.arange(len(tracks)))
    policy.reset(_episode(policy, site, tracks, seed))
    outlook = _outlook(site, tracks, policy)
    views, decided = [], []
    while not simulator.done:
        where = f"policy '{policy.name}', step {simulator.state.step}"
        view = make_view(simulator, objective, policy, outlook)
        views.append(deepcopy(view))
        setpoint_kw = policy.act(view)
        _require(isinstance(setpoint_kw, np.ndarray), f"{where}: setpoints are an array, got {type(setpoint_kw)}")
        shape = view.hi_kw.shape
        _require(setpoint_kw.shape == shape, f"{where}: setpoints of shape {setpoint_kw.shape}, expected {shape}")
        _require(setpoint_kw.dtype == np.float64, f"{where}: setpoints are float64, got {setpoint_kw.dtype}")
        _require(bool(np.isfinite(setpoint_kw).all()), f"{where}: setpoints that are not finite")
        for field in fields(StationView):
            same = np.array_equal(getattr(view, field.name), getattr(views[-1], field.name))
            _require(same, f"{where}: it wrote to view.{field.name}")
        decided.append(setpoint_kw.copy())
        simulator.step(setpoint_kw)
    return views, decided


def _decisions(
    policy: Policy, views: list[StationView], site: SiteArrays, tracks: list[Track], seed: int
) -> list[np.ndarray]:
    """What a new policy decides on recorded views."""
    policy.reset(_episode(policy, site, tracks, seed))
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
            _require_small(np.abs(setpoint_kw - decided[step])[:, own], where)


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
            _require_small(np.abs(setpoint_kw - decided[step])[:, own], where)


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


def _require_small(excess_kw: np.ndarray, message: str) -> None:
    worst = np.unravel_index(np.argmax(excess_kw), excess_kw.shape)
    place = tuple(int(i) for i in worst)
    _require(bool(excess_kw[worst] <= TOLERANCE_KW), f"{message} {place}, by {excess_kw[worst]:.3g} kW")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
