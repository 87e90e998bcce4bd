"""Whether a graph is a site: one tree from the grid connection to the ports, with attributes that make sense.

Comes in: a `networkx.DiGraph`. Goes out: nothing, or one `SiteError` that names every fault and its nodes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any, get_args

import networkx as nx

from ev_marl.scenario.schema import LoadProfile, Pv, PvSystem, Transformer
from ev_marl.scenario.schema.site import Conductors
from ev_marl.scenario.series import Series
from ev_marl.scenario.sizes import DEEPEST_SITE
from ev_marl.scenario.units import LEAST_POWER_FACTOR
from ev_marl.site.part_load import read_table
from ev_marl.support.errors import SiteError
from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import LEAST, MOST, listed, shown

STATION_NAME = re.compile(r"^[a-z]+_[0-9]+$")
LIMIT_KEYS = ("import_limit_kw", "export_limit_kw")
GROUP_KEYS = (
    "kind",
    *LIMIT_KEYS,
    "base_load",
    "pv",
    "bus",
    "current_limit_a",
    "unbalance_limit_a",
    "voltage_v",
    "transformer",
    "base_load_power_factor",
)
_PLACE_KEYS = ("bus", "phases", "voltage_v", "power_factor", "operator_id", "standby_kw")
STATION_KEYS = ("kind", "type", "supply", *LIMIT_KEYS, *_PLACE_KEYS)
STORAGE_KEYS = ("storage_kwh", "reserve_kwh", "start_kwh", "wear_per_kwh")
PORT_POWERS = ("charge_kw", "discharge_kw", "least_kw", "step_kw")
_PORT_NUMBERS = (*PORT_POWERS, "charge_efficiency", "discharge_efficiency", *STORAGE_KEYS)
PORT_KEYS = ("kind", "supply", *_PORT_NUMBERS, "part_load")
WHOLE_STEPS = 1e-3  # of a step: levels that are given in ampere and rounded voltages


def check_graph(graph: nx.DiGraph) -> None:
    """Raise a SiteError that names every fault of a coupling graph; return nothing if there is none."""
    problems = list(_shape_problems(graph)) or list(_node_problems(graph))
    if problems:
        raise SiteError("this graph is not a site:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _shape_problems(graph: nx.DiGraph) -> Iterator[str]:
    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        yield f"a networkx.DiGraph is needed, with edges from parent to child; this is a {type(graph).__name__}"
        return
    if not graph:
        yield "it has no nodes; it needs a grid connection, stations and ports"
        return
    for node, degree in graph.in_degree():
        if degree > 1:
            parents = " and ".join(f"'{parent}'" for parent in graph.predecessors(node))
            yield f"'{node}' has two parents, {parents}; a node is fed by one"
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [str(edge[0]) for edge in nx.find_cycle(graph)]
        yield f"there is a cycle: {' -> '.join([*cycle, cycle[0]])}; a site is a tree"
        return
    roots = [node for node, degree in graph.in_degree() if degree == 0]
    if len(roots) > 1:
        names = listed(f"'{root}'" for root in roots)
        yield f"there are {len(roots)} roots ({names}); connect all to one grid connection"
        return
    deepest, levels = max(nx.single_source_shortest_path_length(graph, roots[0]).items(), key=lambda entry: entry[1])
    if levels > DEEPEST_SITE + 1:  # stations and ports stand below the groups
        yield f"'{deepest}' hangs {levels} levels below '{roots[0]}'; at most {DEEPEST_SITE} groups may"


def _node_problems(graph: nx.DiGraph) -> Iterator[str]:
    called: dict[str, str] = {}
    for node, attributes in graph.nodes(data=True):
        kind = attributes.get("kind")
        if not isinstance(node, str):
            yield f"node {node!r} must be named by a string"
            continue
        if not isinstance(kind, str):
            yield f"'{node}' has no kind; give kind='port', 'station', or what the group is, such as 'building'"
            continue
        known = PORT_KEYS if kind == "port" else STATION_KEYS if kind == "station" else GROUP_KEYS
        for key in attributes:
            if key not in known:
                yield f"'{node}': unknown attribute '{key}'.{did_you_mean(key, list(known))}"
        if kind == "port":
            yield from _port_problems(graph, node, attributes)
        elif kind == "station":
            yield from _station_problems(graph, node, attributes)
            name = attributes.get("operator_id")
            if isinstance(name, str) and called.setdefault(name, node) != node:
                yield f"station '{node}': operator_id '{name}' is that of '{called[name]}' too"
        else:
            yield from _group_problems(graph, node, attributes)
        bus = attributes.get("bus", 0)
        if kind != "port" and not isinstance(bus, str) and not (isinstance(bus, int) and not isinstance(bus, bool)):
            yield f"'{node}': bus is {bus!r}; it must be the name or the index of a bus of the network"
        for key in LIMIT_KEYS:
            if key in attributes and kind != "port":
                yield from _limit_problems(node, key, attributes[key])


def _port_problems(graph: nx.DiGraph, node: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    if graph.out_degree(node):
        yield f"port '{node}' has nodes below it; ports are the leaves"
    if _kinds(graph, graph.predecessors(node)) != ["station"]:
        yield f"port '{node}' must stand directly below a station"
    if "charge_kw" not in attributes:
        yield f"port '{node}' has no charge_kw; give its rated charging power [kW]"
    for key in _PORT_NUMBERS:
        if key not in attributes:
            continue
        value, most = attributes[key], 1.0 if "efficiency" in key else MOST
        may_be_0 = key in (*PORT_POWERS[1:], "reserve_kwh", "start_kwh", "wear_per_kwh")
        allowed = "at least 0" if may_be_0 else "above 0"
        if most == 1.0:
            allowed += " and at most 1"
        least = 0.0 if may_be_0 else 0.01 if most == 1.0 else LEAST
        if not _is_number(value) or not (least <= value <= most):
            yield f"port '{node}': {key} is {shown(value)}; it must be a number {allowed}"
        elif key in STORAGE_KEYS[1:]:
            storage_kwh = attributes.get("storage_kwh")
            if storage_kwh is None:
                yield f"port '{node}': {key} is for a stationary battery; give storage_kwh, its capacity [kWh]"
            elif key != "wear_per_kwh" and _is_number(storage_kwh) and value > storage_kwh:
                yield f"port '{node}': {key} is {shown(value)}, more than its storage_kwh, {shown(storage_kwh)}"
    if "part_load" in attributes:
        try:
            read_table(attributes["part_load"])
        except ValueError as error:
            yield f"port '{node}': part_load is {shown(attributes['part_load'])}, which {error}"
        if attributes.get("least_kw", 0.0) or attributes.get("step_kw", 0.0):
            yield f"port '{node}': part_load is not there together with a least power; remove one of them"
    charge, first, step = (attributes.get(key, 0.0) for key in ("charge_kw", "least_kw", "step_kw"))
    if all(_is_number(value) and 0.0 <= value <= MOST for value in (charge, first, step)):
        steps = (charge - first) / step if step > 0 else 0.0
        if first > charge:
            yield f"port '{node}': the least power, {first:g} kW, is more than the port's, {charge:g} kW"
        elif abs(steps - round(steps)) > WHOLE_STEPS:
            yield (
                f"port '{node}': from the least power, {first:g} kW, steps of {step:g} kW do not lead to the port's "
                f"power, {charge:g} kW, which must be its highest level"
            )
    if attributes.get("supply", "ac") not in ("ac", "dc"):
        yield f"port '{node}': supply is {attributes['supply']!r}; it must be 'ac' or 'dc'"


def _station_problems(graph: nx.DiGraph, node: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    if not STATION_NAME.match(node):
        yield (
            f"station '{node}' must be named letters_number, such as ac_0: the tools for PettingZoo group "
            "agents by the letters"
        )
    if graph.in_degree(node) == 0:
        yield f"station '{node}' is fed by nothing; put the grid connection above it"
    ports = list(graph.successors(node))
    if set(_kinds(graph, ports)) != {"port"}:
        yield f"station '{node}' must have ports below it, and only ports"
    elif len(ports) > 1 and any("storage_kwh" in graph.nodes[port] for port in ports):
        yield f"station '{node}' has a stationary battery and {len(ports)} ports; it must have that port only"
    phases, allowed = attributes.get("phases", "L1"), get_args(Conductors)
    if phases not in allowed:
        yield f"station '{node}': phases is {phases!r}; it must be one of {listed(allowed)}"
    if not isinstance(attributes.get("operator_id", ""), str):
        yield f"station '{node}': operator_id is {attributes['operator_id']!r}; it must be text"
    standby_kw = attributes.get("standby_kw", 0.0)
    if not _is_number(standby_kw) or not 0.0 <= standby_kw <= MOST:
        yield f"station '{node}': standby_kw is {shown(standby_kw)}; it must be a number from 0 to {MOST:g} [kW]"
    yield from _positive_problems(node, attributes, ("voltage_v",))
    yield from _power_factor_problems(node, attributes, "power_factor")


def _group_problems(graph: nx.DiGraph, node: str, attributes: Mapping[str, Any]) -> Iterator[str]:
    if "station" not in _kinds(graph, nx.descendants(graph, node)):
        yield f"group '{node}' has no station below it; remove it or add stations"
    if "port" in _kinds(graph, graph.successors(node)):
        yield f"group '{node}' has a port directly below it; put a station between them"
    if "base_load" in attributes:
        load = attributes["base_load"]
        if not isinstance(load, Series | LoadProfile) and not _is_finite(load):
            yield f"'{node}': base_load is {load!r}; it must be a number of kW, a Series or a LoadProfile"
    if "pv" in attributes and not isinstance(attributes["pv"], Pv | PvSystem):
        yield f"'{node}': pv is {attributes['pv']!r}; it must be a Pv or a PvSystem"
    if "transformer" in attributes and not isinstance(attributes["transformer"], Transformer):
        yield f"'{node}': transformer is {attributes['transformer']!r}; it must be a Transformer"
    yield from _positive_problems(node, attributes, ("current_limit_a", "unbalance_limit_a", "voltage_v"))
    yield from _power_factor_problems(node, attributes, "base_load_power_factor")


def _power_factor_problems(node: str, attributes: Mapping[str, Any], key: str) -> Iterator[str]:
    value = attributes.get(key, 1.0)
    if not _is_number(value) or not LEAST_POWER_FACTOR <= value <= 1.0:
        yield f"'{node}': {key} is {shown(value)}; it must be a number from {LEAST_POWER_FACTOR} to 1"


def _positive_problems(node: str, attributes: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        value = attributes.get(key, 1.0)
        if not _is_number(value) or not LEAST <= value <= MOST:
            yield f"'{node}': {key} is {shown(value)}; it must be a number above 0"


def _limit_problems(node: str, key: str, limit: Any) -> Iterator[str]:
    if isinstance(limit, Series):
        values = limit.values
    elif _is_number(limit):
        values = (float(limit),)
    else:
        yield f"'{node}': {key} is {limit!r}; it must be a number of kW or a Series"
        return
    lowest = min(values)
    if any(math.isnan(value) or MOST < value < math.inf for value in values) or lowest < 0:
        yield f"'{node}': {key} is {lowest:g} kW; a limit must be 0 or more, and at most {MOST:g}"


def _kinds(graph: nx.DiGraph, nodes: Any) -> list[object]:
    return [graph.nodes[node].get("kind") for node in nodes]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and abs(value) <= MOST
