"""How a site is connected to a network: the bus of each port and of each group's own load.

A coupling graph whose groups and stations name buses comes in, with the network of a scenario; positions of buses go
out. A station without a bus of its own is at the bus of the group above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from ev_marl.scenario.problems import KeyPath, ScenarioError
from ev_marl.scenario.schema import Group, Scenario
from ev_marl.scenario.schema.grid import BusName, Grid
from ev_marl.support.errors import SiteError

if TYPE_CHECKING:
    from ev_marl.grid.model.network import Network

LOAD_BUSES = "loads"  # stands for all buses with loads, which stations take in turn


@dataclass(frozen=True)
class Attachment:
    """A network, and where the parts of a site are connected to it; P ports, G groups, E charger buses."""

    network: Network
    port_charger: np.ndarray  # int64 (P,)  charger bus of each port
    group_load: np.ndarray  # int64 (G,)  position in the network's loads of each group's own load, −1: it has none


def attach(graph: nx.DiGraph, ports: Sequence[str], groups: Sequence[str], grid: Grid) -> Attachment:
    """Connect a site to its network.

    Parameters
    ----------
    graph : networkx.DiGraph
        The coupling graph, checked.
    ports, groups : sequence of str
        In the site's order.
    grid : Grid
        Names the network.

    Raises
    ------
    SiteError
        If a station, or a group with a load, has no bus, or if a station has a standby.
    NetworkError
        If the network cannot be opened, or has no such bus.
    """
    from ev_marl.grid.model.network import Network  # noqa: PLC0415  pandapower is heavy, and optional

    stations = list(dict.fromkeys(next(graph.predecessors(port)) for port in ports))
    bus_of = {station: _bus(graph, station) for station in stations}
    turn = [station for station, bus in bus_of.items() if bus == LOAD_BUSES]
    if turn:
        load_buses = Network.load_buses(grid)
        bus_of.update({station: load_buses[i % len(load_buses)] for i, station in enumerate(turn)})
    idle = next((station for station in stations if graph.nodes[station].get("standby_kw")), None)
    if idle is not None:
        raise SiteError(
            f"station '{idle}' has a standby, which is not there on a network; remove `standby`, and give the "
            "`base_load` of a group with a bus instead"
        )
    with_load = [group for group in groups if {"base_load", "pv"} & set(graph.nodes[group])]
    load_of = {group: _bus(graph, group) for group in with_load}
    # One place may name a bus and another give its index: that is one bus.
    index = {bus: Network.bus_index(grid, bus) for bus in dict.fromkeys([*bus_of.values(), *load_of.values()])}
    bus_of = {station: index[bus] for station, bus in bus_of.items()}
    load_of = {group: index[bus] for group, bus in load_of.items()}
    charger_buses, load_buses_of_site = list(dict.fromkeys(bus_of.values())), list(dict.fromkeys(load_of.values()))
    network = Network.of(grid, charger_buses, load_buses_of_site)
    group_load = [
        network.n_own_loads + load_buses_of_site.index(load_of[group]) if group in load_of else -1 for group in groups
    ]
    port_charger = [charger_buses.index(bus_of[next(graph.predecessors(port))]) for port in ports]
    return Attachment(network, np.array(port_charger, dtype=np.int64), np.array(group_load, dtype=np.int64))


def check_network(scenario: Scenario) -> None:
    """Open the network of a scenario, and look for every bus that the scenario names.

    Raises
    ------
    ScenarioError
        If the network cannot be opened, or lacks buses; each bus with its file and line.
    """
    grid = scenario.grid
    if grid is None:
        return
    named = list(_named(scenario.site, ("site",)))
    if grid.pv is not None:
        listed = grid.pv.buses
        here: KeyPath = ("grid", "pv", "buses")
        named += [(here, listed)] if isinstance(listed, str) else [((*here, i), bus) for i, bus in enumerate(listed)]
    with scenario.places.blamed("grid"):
        from ev_marl.grid.model.network import Network  # noqa: PLC0415  pandapower is heavy, and optional
    with scenario.places.blamed("grid", "network"):
        faults = Network.faults(grid, [bus for _, bus in named])
    if faults:
        raise ScenarioError([scenario.places.problem(path, faults[bus]) for path, bus in named if bus in faults])


def _named(group: Group, path: KeyPath) -> Iterator[tuple[KeyPath, BusName]]:
    """Buses that a group and everything below it name."""
    if group.bus is not None:
        yield (*path, "bus"), group.bus
    for i, stations in enumerate(group.stations):
        here = (*path, "stations", i, "bus")
        if isinstance(stations.bus, list):
            yield from (((*here, k), bus) for k, bus in enumerate(stations.bus))
        elif stations.bus is not None:
            yield here, stations.bus
    for i, below in enumerate(group.groups):
        yield from _named(below, (*path, "groups", i))


def _bus(graph: nx.DiGraph, node: str) -> BusName:
    """The bus of a node: its own, or that of the nearest group above."""
    above: str | None = node
    while above is not None:
        bus: BusName | None = graph.nodes[above].get("bus")
        if bus is not None:
            return bus
        above = next(iter(graph.predecessors(above)), None)
    raise SiteError(f"'{node}' is connected to no bus; give it, or a group above it, `bus: NAME` (or leave out `grid`)")
