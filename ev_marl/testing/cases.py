"""Sites, requests and days that the checks run on, also for tests of your own."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import networkx as nx
import numpy as np

from ev_marl.scenario.clock import Clock
from ev_marl.simulation.coordinators.base import Request
from ev_marl.simulation.days import STAY
from ev_marl.site import Site
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.session_table import session_table
from ev_marl.world.signals import Signals
from ev_marl.world.track import Track


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
        port_levels_kw=np.zeros((2, n_ports)),
        port_is_dc=np.zeros(n_ports, dtype=np.bool_),
        port_station=np.arange(n_ports),
        port_group=whole[4],
        station_first_port=np.arange(n_ports + 1),
        station_group=whole[4].copy(),
        group_parent=whole[0],
        group_first_port=whole[1],
        group_end_port=whole[2],
        group_depth=whole[3],
        storage_kwh=np.zeros(n_ports),
        storage_reserve_kwh=np.zeros(n_ports),
        storage_start_kwh=np.zeros(n_ports),
        storage_wear_per_kwh=np.zeros(n_ports),
        current_weight=np.zeros((0, 2, n_ports)),
        current_limit_a=np.zeros(0),
        current_group=np.zeros(0, dtype=np.int64),
        current_base_weight=np.zeros((0, 2)),
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
    stays = np.zeros(setpoint.size, dtype=STAY)
    stays["arrival_step"], stays["departure_step"] = (
        rng.integers(0, 9, setpoint.size),
        rng.integers(9, 20, setpoint.size),
    )
    return Request(
        setpoint_kw=setpoint,
        lo_kw=np.minimum(setpoint, 0.0) - rng.uniform(0.0, 5.0, shape),
        hi_kw=np.maximum(setpoint, 0.0) + rng.uniform(0.0, 5.0, shape),
        lower_kw=-limit(),
        upper_kw=limit(),
        laxity_h=laxity,
        currents=np.zeros((3, len(setpoint), 0)),
        session=np.where(setpoint == 0.0, -1, np.arange(setpoint.size).reshape(shape)),
        stays=stays,
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
        signals=Signals(carbon_kg_per_kwh=np.linspace(0.1, 0.5, n_steps)),
    )
