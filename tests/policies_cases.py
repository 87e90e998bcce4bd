"""Views, sites and days written by hand for the tests of policies."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import networkx as nx
import numpy as np

from ev_marl.planning.outlook import ComposedOutlook, Truth, make_outlook
from ev_marl.planning.worth import Worth
from ev_marl.policies import Episode, SiteView, StationView
from ev_marl.simulation.days import STAY, set_rates
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import energy_after
from ev_marl.world.session_table import session_table
from ev_marl.world.track import Track


def make_station_view(
    *,
    buy,
    sell=None,
    step=0,
    n_steps=None,
    step_h=1.0,
    energy=20.0,
    due=40.0,
    deadline=4,
    capacity=60.0,
    floor=0.0,
    charge_kw=10.0,
    discharge_kw=0.0,
    charge_efficiency=1.0,
    discharge_efficiency=1.0,
    tau_h=0.0,
    wear=0.0,
    unmet=1.0,
    energy_weight=1.0,
    metering="port",
    wish=None,
    even=None,
    departure=None,
    end=0.0,
) -> StationView:
    """One row; every argument about vehicles may be a list, one value per port. Prices start at `step`."""
    given = {
        "energy_kwh": energy,
        "due_kwh": due,
        "wish_kwh": due if wish is None else wish,
        "served_kwh": due if wish is None else wish,
        "even_kwh": due if even is None else even,
        "deadline_step": deadline,
        "departure_step": deadline if departure is None else departure,
        "capacity_kwh": capacity,
        "floor_kwh": floor,
        "charge_kw": charge_kw,
        "discharge_kw": discharge_kw,
        "charge_efficiency": charge_efficiency,
        "discharge_efficiency": discharge_efficiency,
        "tau_h": tau_h,
    }
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, dtype=float)) for value in given.values()))
    stays = np.zeros((1, len(columns[0])), dtype=STAY)
    for name, column in zip(given, columns, strict=True):
        stays[name] = column
    stays["port"] = np.arange(stays.shape[1])
    with np.errstate(divide="ignore"):  # without a taper
        set_rates(stays, step_h)
    energy, charge_kw, eta_in = (stays[name].copy() for name in ("energy_kwh", "charge_kw", "charge_efficiency"))
    buy = np.atleast_2d(np.asarray(buy, dtype=float))
    sell = buy.copy() if sell is None else np.atleast_2d(np.asarray(sell, dtype=float))
    full = energy_after(energy, step_h, stays["rate_kw"], stays["capacity_kwh"], stays["tau_h"])
    spare_kw = np.maximum(0.0, energy - stays["floor_kwh"]) * stays["discharge_efficiency"] / step_h
    missing_h = np.maximum(0.0, stays["due_kwh"] - energy) / stays["rate_kw"]
    return StationView(
        step=step,
        n_steps=n_steps or step + buy.shape[1],
        step_h=step_h,
        port_station=np.arange(energy.shape[1]),
        port_charge_kw=charge_kw[0],
        port_discharge_kw=stays["discharge_kw"][0],
        connected=np.ones(energy.shape, dtype=bool),
        vehicle=stays,
        energy_kwh=energy,
        lo_kw=-np.minimum(stays["discharge_kw"], spare_kw),
        hi_kw=np.minimum(charge_kw, (full - energy) / (eta_in * step_h)),
        laxity_h=(stays["deadline_step"] - step) * step_h - missing_h,
        buy_per_kwh=buy,
        sell_per_kwh=sell,
        charging_per_kwh=buy,
        discharging_per_kwh=sell,
        local_hour=(step + np.arange(buy.shape[1])) * step_h % 24.0 + np.zeros_like(buy),
        later_per_kwh=buy.mean(axis=1),
        end_per_kwh=np.full((2, len(buy)), end),
        worth=Worth(energy_weight, wear, unmet, metering=metering),
    )


def make_site_view(view: StationView, site: SiteArrays, upper_kw) -> SiteView:
    """The same view with a tree."""
    upper = np.atleast_2d(np.asarray(upper_kw, dtype=float))
    own = {field.name: getattr(view, field.name) for field in fields(StationView)}
    lower, nothing = np.full(upper.shape, -np.inf), np.zeros(upper.shape)
    return SiteView(**own, site=site, lower_kw=lower, upper_kw=upper, base_load_kw=nothing)


def outlook_on(simulator: Simulator, *choices, world=None) -> ComposedOutlook:
    """An outlook that has taken the days of a simulator; known throughout, unless said otherwise."""
    outlook = make_outlook("known", *choices)
    outlook.begin(Truth.of(simulator), world)
    return outlook


def make_episode(site: SiteArrays, *, n_batch=1, n_steps=8, step_h=1.0, seed=0) -> Episode:
    """What a policy is told before it starts."""
    return Episode(site, n_batch, n_steps, step_h, np.random.default_rng(seed), None)


def two_lots(n_ports=(2, 2), *, limits=(np.inf, np.inf, np.inf), power_kw=10.0, v2g=False, efficiency=1.0) -> Site:
    """A root with two lots of one-port stations; import limits of root, first lot, second lot."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid", **({} if np.isinf(limits[0]) else {"import_limit_kw": limits[0]}))
    number = 0
    for lot in range(2):
        limit = limits[1 + lot]
        graph.add_node(f"lot_{lot}", kind="parking", **({} if np.isinf(limit) else {"import_limit_kw": limit}))
        graph.add_edge("grid", f"lot_{lot}")
        for _ in range(n_ports[lot]):
            graph.add_node(f"ac_{number}", kind="station", type="ac", supply="ac")
            graph.add_edge(f"lot_{lot}", f"ac_{number}")
            graph.add_node(
                f"ac_{number}/0",
                kind="port",
                supply="ac",
                charge_kw=power_kw,
                discharge_kw=power_kw if v2g else 0.0,
                charge_efficiency=efficiency,
                discharge_efficiency=efficiency,
            )
            graph.add_edge(f"ac_{number}", f"ac_{number}/0")
            number += 1
    return Site.from_graph(graph)


def day(site: Site, sessions: list[tuple], buy, *, sell=None, step_h=1.0, taper_start=0.8, reserve=0.0) -> Track:
    """A track of sessions (port, arrival, departure, energy, wanted, capacity, kW)."""
    columns = list(zip(*sorted(sessions, key=lambda row: (row[1], row[0])), strict=True))
    port, arrival, departure = (np.array(column, dtype=np.int64) for column in columns[:3])
    energy, wanted, capacity, power = (np.array(column, dtype=float) for column in columns[3:])
    buy = np.asarray(buy, dtype=float)
    n_steps, n_groups = len(buy), site.arrays.n_groups
    import_limit = np.full((n_steps, n_groups), np.inf)
    for g, name in enumerate(site.groups):
        import_limit[:, g] = site.graph.nodes[name].get("import_limit_kw", np.inf)
    return Track(
        start=datetime(2023, 5, 15, tzinfo=UTC),
        timezone="UTC",
        step_h=step_h,
        currency="EUR",
        ports=site.ports,
        groups=site.groups,
        sessions=session_table(
            port=port,
            arrival_step=arrival,
            departure_step=departure,
            energy_kwh=energy,
            wanted_kwh=wanted,
            capacity_kwh=capacity,
            charge_kw=power,
            discharge_kw=power,
            taper_start=np.full(len(energy), taper_start),
            reserve_kwh=np.full(len(energy), reserve),
            vehicle=["test"] * len(energy),
        ),
        buy_per_kwh=buy,
        sell_per_kwh=buy.copy() if sell is None else np.asarray(sell, dtype=float),
        base_load_kw=np.zeros((n_steps, n_groups)),
        import_limit_kw=import_limit,
        export_limit_kw=np.full((n_steps, n_groups), np.inf),
    )
