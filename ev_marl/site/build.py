"""From the groups and stations that a scenario lists to the coupling graph.

Comes in: a `Scenario`, its groups nested or as a flat list with `parent:`. Goes out: a `networkx.DiGraph` in which
stations are numbered depth-first by type. Both ways of writing a site give the same graph.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import networkx as nx

from ev_marl.scenario.named_series import series_of
from ev_marl.scenario.schema import Group, LoadProfile, Scenario, Stations
from ev_marl.scenario.schema.site import Battery
from ev_marl.site.currents import voltage_below_v
from ev_marl.support.errors import SiteError


def graph_of(scenario: Scenario) -> nx.DiGraph:
    """The coupling graph of a scenario; node attributes as `Site.from_graph` documents them.

    Raises
    ------
    SiteError
        If two nodes have the same name, or a group's parent is not in the site.
    """
    graph = nx.DiGraph()
    for group, parent, entries in depth_first(scenario.site):
        _add_node(graph, group.name, parent, _group_attributes(group, parent is None, scenario))
        for stations, names in entries:
            _add_stations(graph, stations, group.name, names)
    return graph


def depth_first(root: Group) -> Iterator[tuple[Group, str | None, list[tuple[Stations, list[str]]]]]:
    """Every group, parents first, with the name of its parent and its entries of stations with their agents' names.

    Raises
    ------
    SiteError
        If a group's parent is not in the site.
    """
    children: dict[str, list[Group]] = {}
    for parent, group in _listed(root):
        children.setdefault(parent, []).append(group)
    counts: Counter[str] = Counter()
    waiting: list[tuple[Group, str | None]] = [(root, None)]
    while waiting:
        group, above = waiting.pop()
        entries = []
        for stations in group.stations:
            first = counts[stations.type]
            counts[stations.type] += stations.count
            entries.append((stations, [f"{stations.type}_{first + i}" for i in range(stations.count)]))
        yield group, above, entries
        waiting += [(child, group.name) for child in reversed(children.pop(group.name, []))]
    if children:
        lost = ", ".join(f"'{group.name}' (parent '{parent}')" for parent in children for group in children[parent])
        raise SiteError(f"these groups are below nothing that the grid connection feeds: {lost}")


def _listed(group: Group) -> Iterator[tuple[str, Group]]:
    """Every group below `group` with the name of its parent, in the order of the file."""
    for child in group.groups:
        yield child.parent or group.name, child
        yield from _listed(child)


def _add_node(graph: nx.DiGraph, name: str, parent: str | None, attributes: dict[str, object]) -> None:
    if name in graph:
        raise SiteError(f"two parts of the site are called '{name}'; names must be unique")
    graph.add_node(name, **attributes)
    if parent is not None:
        graph.add_edge(parent, name)


def _group_attributes(group: Group, is_root: bool, scenario: Scenario) -> dict[str, object]:
    n_steps, timezone = scenario.n_steps, scenario.timezone
    default = "grid" if is_root else "parking_lot" if group.stations else "building"
    attributes: dict[str, object] = {"kind": group.kind or default}
    if group.import_limit is not None:
        attributes["import_limit_kw"] = series_of(group.import_limit, n_steps, timezone)
    if group.export_limit is not None:
        attributes["export_limit_kw"] = series_of(group.export_limit, n_steps, timezone)
    if isinstance(group.base_load, LoadProfile):
        attributes["base_load"] = group.base_load
    elif group.base_load is not None:
        attributes["base_load"] = series_of(group.base_load, n_steps, timezone)
    if group.pv is not None:
        attributes["pv"] = group.pv
    named: dict[str, object] = {"bus": group.bus, "current_limit_a": group.current_limit, "voltage_v": group.voltage}
    named |= {"unbalance_limit_a": group.unbalance_limit}
    named |= {"transformer": group.transformer, "base_load_power_factor": group.base_load_power_factor}
    attributes.update({key: value for key, value in named.items() if value is not None})
    return attributes


def _add_stations(graph: nx.DiGraph, stations: Stations, parent: str, names: list[str]) -> None:
    volts = voltage_below_v(graph, parent)
    powers_kw, levels_kw = stations.port_powers_kw(volts), stations.port_levels_kw(volts)
    supply, phases = stations.feeds, stations.conductors
    limit = {}
    if stations.station_power is not None:
        limit = {"import_limit_kw": stations.station_power, "export_limit_kw": stations.station_power}
    buses = stations.bus if isinstance(stations.bus, list) else [stations.bus]
    for i, station in enumerate(names):
        charge_kw, discharge_kw = powers_kw[i], 0.0
        if stations.discharges:
            discharge_kw = charge_kw if stations.discharge_power is None else stations.discharge_power
        place = {
            "bus": buses[i % len(buses)],
            "phases": phases[i % len(phases)] if phases else None,
            "voltage_v": stations.voltage,
            "power_factor": stations.power_factor,
            "operator_id": stations.ids[i] if stations.ids else None,
            "standby_kw": stations.standby or None,
        }
        own = limit | {key: value for key, value in place.items() if value is not None}
        _add_node(graph, station, parent, {"kind": "station", "type": stations.type, "supply": supply, **own})
        for k in range(stations.ports):
            port: dict[str, object] = {
                "kind": "port",
                "supply": supply,
                "charge_kw": charge_kw,
                "discharge_kw": discharge_kw,
                "charge_efficiency": stations.charge_efficiency,
                "discharge_efficiency": stations.discharge_efficiency or stations.efficiency,
            }
            if stations.part_load:
                port["part_load"] = json.dumps(stations.part_load)
            if stations.battery is not None:
                port |= _storage(stations.battery)
            port |= {key: kw for key, kw in zip(("least_kw", "step_kw"), levels_kw[i], strict=True) if kw > 0.0}
            _add_node(graph, f"{station}/{k}", station, port)


def _storage(battery: Battery) -> dict[str, object]:
    return {
        "storage_kwh": battery.energy,
        "reserve_kwh": battery.reserve * battery.energy,
        "start_kwh": battery.start * battery.energy,
        "wear_per_kwh": battery.wear,
    }
