"""A site as a coupling graph: a tree from the grid connection down to the ports, with limits on its nodes.

Comes in: a scenario, or a `networkx.DiGraph` made by hand. Goes out: the checked graph, the names of agents, ports and
groups, and `SiteArrays`. The graph is the single source: everything else is derived from it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path

import networkx as nx
import numpy as np

from ev_marl.errors import SiteError
from ev_marl.registry import did_you_mean
from ev_marl.scenario.clock import Clock
from ev_marl.scenario.files import power_series
from ev_marl.scenario.schema import Group, LoadProfile, Pv, Scenario, Stations
from ev_marl.scenario.series import Series
from ev_marl.site.arrays import SiteArrays

STATION_NAME = re.compile(r"^[a-z]+_[0-9]+$")
GROUP_KEYS = {"kind", "import_limit_kw", "export_limit_kw", "base_load", "pv"}
STATION_KEYS = {"kind", "type", "supply", "import_limit_kw", "export_limit_kw"}
PORT_KEYS = {"kind", "supply", "charge_kw", "discharge_kw", "charge_efficiency", "discharge_efficiency"}


class Site:
    """Everything behind one grid connection.

    Make one with `Site.from_scenario` or `Site.from_graph`.

    Attributes
    ----------
    name : str
        Name of the root.
    graph : networkx.DiGraph
        Root = grid connection, leaves = ports; limits and kinds are node attributes.
    agents : tuple of str, length A
        Stations, depth-first.
    ports : tuple of str, length P
        Ports, depth-first, called `station/k`.
    groups : tuple of str, length G
        Nodes with a shared limit, parents first: the root, every group, every station with a limit of its own.
    arrays : SiteArrays
        The graph as arrays.
    ancestors : int64, shape (G, max depth + 1)
        Groups from g up to the root, padded with −1.
    """

    def __init__(self, graph: nx.DiGraph, name: str | None = None) -> None:
        check_graph(graph)
        self.graph = graph
        root = next(node for node, degree in graph.in_degree() if degree == 0)
        self.name = name or str(root)
        order = list(nx.dfs_preorder_nodes(graph, root))
        kinds = nx.get_node_attributes(graph, "kind")
        self.agents: tuple[str, ...] = tuple(node for node in order if kinds[node] == "station")
        self.ports: tuple[str, ...] = tuple(node for node in order if kinds[node] == "port")
        self.groups: tuple[str, ...] = tuple(
            node for node in order if kinds[node] not in ("station", "port") or _has_limit(graph.nodes[node])
        )
        self.arrays = self._compile()
        self.ancestors = self._ancestors()

    @classmethod
    def from_graph(cls, graph: nx.DiGraph, name: str | None = None) -> Site:
        """A site from a graph made by hand.

        Parameters
        ----------
        graph : networkx.DiGraph
            A tree with edges from parent to child. Groups carry `kind` and may carry `import_limit_kw`,
            `export_limit_kw` (float or Series [kW]; absent: no limit), `base_load` (Series or LoadProfile) and `pv`;
            stations `kind="station"`; ports, the leaves, `kind="port"`, `charge_kw` and may carry `discharge_kw`,
            `charge_efficiency`, `discharge_efficiency` and `supply` ("ac" or "dc").
        name : str, optional
            Name of the site; the root's otherwise.

        Raises
        ------
        SiteError
            If the graph is not such a tree; the message names the nodes.
        """
        return cls(graph.copy(), name)

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> Site:
        """The site that a scenario describes."""
        graph = nx.DiGraph()
        counts: Counter[str] = Counter()
        _add_group(graph, scenario.site, None, counts, scenario.n_steps)
        return cls(graph, scenario.site.name)

    def limits(self, clock: Clock) -> tuple[np.ndarray, np.ndarray]:
        """Limits of every step and group.

        Parameters
        ----------
        clock : Clock
            The steps.

        Returns
        -------
        import_limit_kw, export_limit_kw : float64, shape (n_steps, n_groups)
            Limits [kW], inf where there is none.
        """
        both = []
        for key in ("import_limit_kw", "export_limit_kw"):
            columns = [_series(self.graph.nodes[group].get(key, math.inf)).at(clock) for group in self.groups]
            both.append(np.stack(columns, axis=1))
        return both[0], both[1]

    @property
    def base_loads(self) -> tuple[tuple[str, Series | LoadProfile], ...]:
        """Groups with an inflexible load of their own, and its model."""
        nodes = self.graph.nodes
        return tuple((group, nodes[group]["base_load"]) for group in self.groups if "base_load" in nodes[group])

    @property
    def pvs(self) -> tuple[tuple[str, Pv], ...]:
        """Groups with a photovoltaic plant of their own, and its model."""
        nodes = self.graph.nodes
        return tuple((group, nodes[group]["pv"]) for group in self.groups if "pv" in nodes[group])

    def write_graphml(self, path: str | Path) -> None:
        """Write the graph as GraphML; series and models as JSON text.

        Raises
        ------
        SiteError
            If the file exists: nothing is overwritten.
        """
        path = Path(path)
        if path.exists():
            raise SiteError(f"{path} exists; delete it or choose another name")
        plain = nx.DiGraph()
        for node, attributes in self.graph.nodes(data=True):
            plain.add_node(node, **{key: _plain(value) for key, value in attributes.items()})
        plain.add_edges_from(self.graph.edges)
        nx.write_graphml(plain, path)

    def _compile(self) -> SiteArrays:
        graph, nodes = self.graph, self.graph.nodes
        station_index = {name: a for a, name in enumerate(self.agents)}
        group_index = {name: g for g, name in enumerate(self.groups)}
        station_of = [next(graph.predecessors(port)) for port in self.ports]
        port_station = np.array([station_index[name] for name in station_of], dtype=np.int64)
        group_parent = [self._group_above(group) for group in self.groups]
        depth = np.zeros(len(self.groups), dtype=np.int64)
        for g, parent in enumerate(group_parent):
            depth[g] = 0 if parent is None else depth[group_index[parent]] + 1
        first = np.full(len(self.groups), len(self.ports), dtype=np.int64)
        end = np.zeros(len(self.groups), dtype=np.int64)
        port_group = np.zeros(len(self.ports), dtype=np.int64)
        for p, station in enumerate(station_of):
            node: str | None = station if station in group_index else self._group_above(station)
            assert node is not None  # the root is a group
            port_group[p] = group_index[node]
            while node is not None:
                g = group_index[node]
                first[g], end[g] = min(first[g], p), max(end[g], p + 1)
                node = group_parent[g]

        def of_ports(key: str, default: float | None = None) -> np.ndarray:
            return np.array([float(nodes[port].get(key, default)) for port in self.ports])

        arrays = SiteArrays(
            port_charge_kw=of_ports("charge_kw"),
            port_discharge_kw=of_ports("discharge_kw", 0.0),
            charge_efficiency=of_ports("charge_efficiency", 1.0),
            discharge_efficiency=of_ports("discharge_efficiency", 1.0),
            port_is_dc=np.array([nodes[port].get("supply", "ac") == "dc" for port in self.ports]),
            port_station=port_station,
            port_group=port_group,
            station_first_port=np.searchsorted(port_station, np.arange(len(self.agents) + 1)).astype(np.int64),
            station_group=np.array(
                [group_index[next(graph.predecessors(agent))] for agent in self.agents], dtype=np.int64
            ),
            group_parent=np.array(
                [-1 if parent is None else group_index[parent] for parent in group_parent], dtype=np.int64
            ),
            group_first_port=first,
            group_end_port=end,
            group_depth=depth,
        )
        for array in vars(arrays).values():
            array.flags.writeable = False
        return arrays

    def _group_above(self, node: str) -> str | None:
        parents = list(self.graph.predecessors(node))
        return str(parents[0]) if parents else None

    def _ancestors(self) -> np.ndarray:
        parent = self.arrays.group_parent
        chains = np.full((len(parent), int(self.arrays.group_depth.max()) + 1), -1, dtype=np.int64)
        for g in range(len(parent)):
            above, level = g, 0
            while above >= 0:
                chains[g, level] = above
                above, level = int(parent[above]), level + 1
        return chains


def check_graph(graph: nx.DiGraph) -> None:
    """Raise a SiteError that names every fault of a coupling graph; return nothing if there is none."""
    problems = _shape_problems(graph) or _node_problems(graph)
    if problems:
        raise SiteError("this graph is not a site:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _shape_problems(graph: nx.DiGraph) -> list[str]:
    if not isinstance(graph, nx.DiGraph):
        return [f"a networkx.DiGraph is needed, with edges from parent to child; this is a {type(graph).__name__}"]
    if not graph:
        return ["it has no nodes; it needs a grid connection, stations and ports"]
    problems = []
    for node, degree in graph.in_degree():
        if degree > 1:
            parents = " and ".join(f"'{parent}'" for parent in graph.predecessors(node))
            problems.append(f"'{node}' has two parents, {parents}; a node is fed by one")
    if not nx.is_directed_acyclic_graph(graph):
        cycle = " -> ".join(str(edge[0]) for edge in nx.find_cycle(graph))
        problems.append(f"there is a cycle: {cycle} -> back; a site is a tree")
    else:
        roots = [node for node, degree in graph.in_degree() if degree == 0]
        if len(roots) > 1:
            names = ", ".join(f"'{root}'" for root in roots)
            problems.append(f"there are {len(roots)} roots ({names}); connect all to one grid connection")
    return problems


def _node_problems(graph: nx.DiGraph) -> list[str]:
    problems = []
    for node, attributes in graph.nodes(data=True):
        kind = attributes.get("kind")
        children = [graph.nodes[child].get("kind") for child in graph.successors(node)]
        if not isinstance(node, str):
            problems.append(f"node {node!r} must be named by a string")
            continue
        if kind is None:
            problems.append(f"'{node}' has no kind; give kind='port', 'station', or what the group is")
            continue
        known = PORT_KEYS if kind == "port" else STATION_KEYS if kind == "station" else GROUP_KEYS
        for key in attributes.keys() - known:
            problems.append(f"'{node}': unknown attribute '{key}'.{did_you_mean(key, sorted(known))}")
        if kind == "port":
            problems.extend(_port_problems(graph, node, attributes))
        elif kind == "station":
            if not STATION_NAME.match(node):
                problems.append(
                    f"station '{node}' must be named letters_number, such as ac_0: the tools for PettingZoo group "
                    "agents by the letters"
                )
            if graph.in_degree(node) == 0:
                problems.append(f"station '{node}' is fed by nothing; put the grid connection above it")
            if not children or set(children) != {"port"}:
                problems.append(f"station '{node}' must have ports below it, and only ports")
        elif not any(graph.nodes[below].get("kind") == "port" for below in nx.descendants(graph, node)):
            problems.append(f"group '{node}' has no station below it; remove it or add stations")
        elif "port" in children:
            problems.append(f"group '{node}' has a port directly below it; put a station between them")
        for key in ("import_limit_kw", "export_limit_kw"):
            if key in attributes:
                lowest = _series(attributes[key]).lowest
                if not lowest >= 0:
                    problems.append(f"'{node}': {key} is {lowest:g} kW; a limit must be 0 or more")
    return problems


def _port_problems(graph: nx.DiGraph, node: str, attributes: dict[str, object]) -> list[str]:
    problems = []
    if any(True for _ in graph.successors(node)):
        problems.append(f"port '{node}' has nodes below it; ports are the leaves")
    if [graph.nodes[parent].get("kind") for parent in graph.predecessors(node)] != ["station"]:
        problems.append(f"port '{node}' must stand directly below a station")
    ranges = {
        "charge_kw": (0.0, math.inf, "above 0"),
        "discharge_kw": (-math.ulp(0.0), math.inf, "0 or more"),
        "charge_efficiency": (0.0, 1.0, "above 0 and at most 1"),
        "discharge_efficiency": (0.0, 1.0, "above 0 and at most 1"),
    }
    for key, (above, most, allowed) in ranges.items():
        value = attributes.get(key, None if key == "charge_kw" else 0.5)
        if not isinstance(value, int | float) or not (above < value <= most) or math.isinf(value):
            problems.append(f"port '{node}': {key} is {value}; it must be a number {allowed}")
    if attributes.get("supply", "ac") not in ("ac", "dc"):
        problems.append(f"port '{node}': supply is '{attributes['supply']}'; it must be 'ac' or 'dc'")
    return problems


def _has_limit(attributes: dict[str, object]) -> bool:
    return "import_limit_kw" in attributes or "export_limit_kw" in attributes


def _series(value: float | Series) -> Series:
    return value if isinstance(value, Series) else Series.constant(value)


def _plain(value: object) -> str | int | float | bool:
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Series):
        return json.dumps({"kind": value.kind, "values": value.values})
    if isinstance(value, LoadProfile | Pv):
        return value.model_dump_json()
    return str(value)


def _add_group(graph: nx.DiGraph, group: Group, parent: str | None, counts: Counter[str], n_steps: int) -> None:
    default = "grid" if parent is None else "parking_lot" if group.stations else "building"
    attributes: dict[str, object] = {"kind": group.kind or default}
    if group.import_limit is not None:
        attributes["import_limit_kw"] = power_series(group.import_limit, n_steps)
    if group.export_limit is not None:
        attributes["export_limit_kw"] = power_series(group.export_limit, n_steps)
    if isinstance(group.base_load, LoadProfile):
        attributes["base_load"] = group.base_load
    elif group.base_load is not None:
        attributes["base_load"] = power_series(group.base_load, n_steps)
    if group.pv is not None:
        attributes["pv"] = group.pv
    graph.add_node(group.name, **attributes)
    if parent is not None:
        graph.add_edge(group.parent or parent, group.name)
    for stations in group.stations:
        _add_stations(graph, stations, group.name, counts)
    for child in group.groups:
        _add_group(graph, child, group.name, counts, n_steps)


def _add_stations(graph: nx.DiGraph, stations: Stations, parent: str, counts: Counter[str]) -> None:
    supply = stations.supply or ("dc" if stations.type == "dc" else "ac")
    charge_kw = stations.power
    if charge_kw is None:
        assert stations.current is not None  # the schema asks for power, or current and phases
        assert stations.phases is not None
        charge_kw = stations.voltage * stations.current * stations.phases / 1000.0
    discharge_kw = 0.0
    if stations.v2g:
        discharge_kw = charge_kw if stations.discharge_power is None else stations.discharge_power
    for _ in range(stations.count):
        station = f"{stations.type}_{counts[stations.type]}"
        counts[stations.type] += 1
        limit = {}
        if stations.station_power is not None:
            limit = {"import_limit_kw": stations.station_power, "export_limit_kw": stations.station_power}
        graph.add_node(station, kind="station", type=stations.type, supply=supply, **limit)
        graph.add_edge(parent, station)
        for k in range(stations.ports):
            port = f"{station}/{k}"
            graph.add_node(
                port,
                kind="port",
                supply=supply,
                charge_kw=charge_kw,
                discharge_kw=discharge_kw,
                charge_efficiency=stations.efficiency,
                discharge_efficiency=stations.discharge_efficiency or stations.efficiency,
            )
            graph.add_edge(station, port)
