"""Random sites and days for property tests: any depth, V2G, base loads above limits, negative prices, long stays."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec

import networkx as nx
import numpy as np

from ev_marl.scenario import load_scenario, shipped_scenarios
from ev_marl.scenario.clock import Clock
from ev_marl.site import Site
from ev_marl.world.session_table import SESSION
from ev_marl.world.track import Track


def playable_scenarios() -> list[str]:
    """Shipped scenarios that can be played with what is installed: those on a network need the extra `grid`."""
    has_networks = all(find_spec(name) is not None for name in ("pandapower", "simbench"))
    return [name for name in shipped_scenarios() if has_networks or load_scenario(name).grid is None]


START = datetime(2023, 5, 15, tzinfo=UTC)


def random_site(rng: np.random.Generator, *, most_stations: int = 6, v2g_share: float = 0.5) -> Site:
    """A coupling graph of one to three levels with one- and two-port stations, some with V2G, some limits missing."""
    graph = nx.DiGraph()
    graph.add_node(
        "grid", kind="grid", import_limit_kw=float(rng.uniform(5, 60)), export_limit_kw=float(rng.uniform(0, 40))
    )
    parents = ["grid"]
    for g in range(int(rng.integers(0, 4))):
        limits = {}
        if rng.random() < 0.8:
            limits["import_limit_kw"] = float(rng.choice([0.0, rng.uniform(3, 30)], p=[0.1, 0.9]))
        if rng.random() < 0.6:
            limits["export_limit_kw"] = float(rng.uniform(0, 20))
        graph.add_node(f"group_{g}", kind="building", **limits)
        graph.add_edge(str(rng.choice(parents)), f"group_{g}")
        parents.append(f"group_{g}")
    leaves = [name for name in parents if graph.out_degree(name) == 0]
    homes = leaves + [
        str(rng.choice(parents)) for _ in range(max(0, int(rng.integers(1, most_stations + 1)) - len(leaves)))
    ]
    for a, home in enumerate(homes):
        station = f"ac_{a}"
        limits = {"import_limit_kw": float(rng.uniform(4, 20))} if rng.random() < 0.2 else {}
        graph.add_node(station, kind="station", type="ac", supply="ac", **limits)
        graph.add_edge(home, station)
        v2g = rng.random() < v2g_share
        power_kw = float(rng.choice([3.7, 7.4, 11.0, 22.0]))
        for k in range(int(rng.integers(1, 3))):
            port = f"{station}/{k}"
            graph.add_node(
                port,
                kind="port",
                supply="ac",
                charge_kw=power_kw,
                discharge_kw=power_kw if v2g else 0.0,
                charge_efficiency=float(rng.uniform(0.8, 1.0)),
                discharge_efficiency=float(rng.uniform(0.8, 1.0)),
            )
            graph.add_edge(station, port)
    return Site.from_graph(graph)


def random_sessions(rng: np.random.Generator, site: Site, n_steps: int) -> np.ndarray:
    """Stays one after the other at every port, the last one possibly beyond the horizon."""
    rows = []
    for port in range(site.arrays.n_ports):
        step = int(rng.integers(0, max(1, n_steps // 3)))
        while step < n_steps and rng.random() < 0.9:
            stay = int(rng.integers(1, max(2, n_steps)))
            capacity = float(rng.uniform(15, 90))
            energy = float(rng.uniform(0, 1)) * capacity
            rows.append(
                (
                    port,
                    step,
                    step + stay,
                    energy,
                    float(rng.uniform(0, 1)) * (capacity - energy),
                    capacity,
                    float(rng.choice([3.7, 7.4, 11.0, 22.0])),
                    float(rng.choice([0.0, 7.4, 11.0])),
                    float(rng.uniform(0.5, 0.95)),
                    float(rng.uniform(0, 0.6)) * capacity,
                    0.2 * energy if step == 0 else 0.0,
                )
            )
            step += stay + int(rng.integers(0, 4))
    rows.sort(key=lambda row: (row[1], row[0]))
    table = np.zeros(len(rows), dtype=SESSION)
    for k, row in enumerate(rows):
        table[k] = (*row, "random", *[0] * (len(SESSION) - len(row) - 1))  # all say the truth
    return table


def random_track(
    rng: np.random.Generator, site: Site, *, n_steps: int = 12, step_h: float = 0.5, negative_prices: bool = True
) -> Track:
    """A day on `site`: prices of any sign, selling never above buying, base load sometimes above the limits."""
    arrays = site.arrays
    buy = rng.uniform(-0.3 if negative_prices else 0.0, 0.6, n_steps)
    own_load = rng.uniform(-5, 10, (n_steps, arrays.n_groups)) * (rng.random(arrays.n_groups) < 0.5)
    load = own_load.copy()
    for g in range(arrays.n_groups - 1, 0, -1):
        load[:, arrays.group_parent[g]] += load[:, g]
    import_limit, export_limit = site.limits(Clock(START, "UTC", step_h, n_steps))
    return Track(
        start=START,
        timezone="UTC",
        step_h=step_h,
        currency="EUR",
        ports=site.ports,
        groups=site.groups,
        sessions=random_sessions(rng, site, n_steps),
        buy_per_kwh=buy,
        sell_per_kwh=buy - rng.uniform(0, 0.1, n_steps),
        base_load_kw=load,
        import_limit_kw=import_limit,
        export_limit_kw=export_limit,
    )
