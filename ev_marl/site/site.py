"""A site as a coupling graph: a tree from the grid connection down to the ports, with limits on its nodes.

Comes in: a scenario, or a `networkx.DiGraph` made by hand. Goes out: the checked graph, the names of agents, ports and
groups, and `SiteArrays`. The graph is the single source: everything else is derived from it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from ev_marl.scenario.clock import Clock
from ev_marl.scenario.schema import LoadProfile, Pv, PvSystem, Scenario
from ev_marl.scenario.schema.grid import Grid
from ev_marl.scenario.series import Series
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.attach import attach, check_network
from ev_marl.site.build import graph_of
from ev_marl.site.checks import check_graph
from ev_marl.site.currents import connection_currents, currents_of
from ev_marl.site.graphml import read_graph, write_graph
from ev_marl.site.part_load import METERED, N_POINTS, highest_efficiency, points_kw, read_table
from ev_marl.support.errors import SiteError

if TYPE_CHECKING:
    from ev_marl.grid.model.network import Network


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
    currents : tuple of str, length R
        Current limits: the group and the phase, such as `lot_north L1`; of a transformer, the side too.
    station_ids : dict of str to str
        Agent of each station that the operator's data call by a name of their own.
    arrays : SiteArrays
        The graph as arrays.
    ancestors : int64, shape (G, max depth + 1)
        Groups from g up to the root, padded with −1.
    network : Network or None
        The network above the site; None: the grid connection is ideal.
    port_charger : int64, shape (P,)
        Charger bus of the network that each port is connected to, −1 without a network.
    group_load : int64, shape (G,)
        Position in the network's loads of each group's own load, −1 where it has none.
    """

    def __init__(self, graph: nx.DiGraph, name: str | None = None, grid: Grid | None = None) -> None:
        check_graph(graph)
        self.graph = graph.copy()
        root = next(node for node, degree in graph.in_degree() if degree == 0)
        self.name = name or str(root)
        order = list(nx.dfs_preorder_nodes(graph, root))
        kinds = nx.get_node_attributes(graph, "kind")
        self.agents: tuple[str, ...] = tuple(node for node in order if kinds[node] == "station")
        self.ports: tuple[str, ...] = tuple(node for node in order if kinds[node] == "port")
        self.groups: tuple[str, ...] = tuple(
            node for node in order if kinds[node] not in ("station", "port") or _has_limit(graph.nodes[node])
        )
        self.station_ids = {
            graph.nodes[agent]["operator_id"]: agent for agent in self.agents if "operator_id" in graph.nodes[agent]
        }
        self.arrays, self.currents = self._compile()
        self.ancestors = self._ancestors()
        self.network: Network | None = None
        self.port_charger = np.full(len(self.ports), -1, dtype=np.int64)
        self.group_load = np.full(len(self.groups), -1, dtype=np.int64)
        if grid is not None:
            attachment = attach(self.graph, self.ports, self.groups, grid)
            self.network = attachment.network
            self.port_charger, self.group_load = attachment.port_charger, attachment.group_load

    @classmethod
    def from_graph(cls, graph: nx.DiGraph, name: str | None = None, grid: Grid | None = None) -> Site:
        """A site from a graph made by hand.

        Parameters
        ----------
        graph : networkx.DiGraph
            A tree with edges from parent to child. Groups carry `kind` and may carry `import_limit_kw`,
            `export_limit_kw` (float or Series [kW]; absent: no limit), `base_load` (float, Series or LoadProfile [kW]),
            `pv` (Pv or PvSystem), `current_limit_a` and `unbalance_limit_a` [A], `voltage_v` (phase to neutral [V]),
            `transformer` (Transformer) and `base_load_power_factor` [-];
            stations carry `kind="station"` and may carry `phases` (such as "L1" or "L1-L2"; absent: all three alike),
            `voltage_v`, `power_factor` [-], `operator_id` and `standby_kw` [kW]; ports, the leaves, `kind="port"`,
            `charge_kw` [kW] and may carry `discharge_kw`, `charge_efficiency`, `discharge_efficiency`, `supply` ("ac"
            or "dc"), `least_kw` and `step_kw`: the least power and the distance of the levels that the port can grant
            [kW]. A port with `part_load` (JSON text such as `[[0.1, 0.8], [1.0, 0.95]]`: shares of `charge_kw`, each
            with its efficiency) charges with these. A port with `storage_kwh` has a stationary battery, with
            `reserve_kwh`, `start_kwh` and `wear_per_kwh`.
        name : str, optional
            Name of the site; the root's otherwise.
        grid : Grid, optional
            The network above; groups and stations then carry `bus`, a name or index of pandapower's `net.bus`.

        Raises
        ------
        SiteError
            If the graph is not such a tree; the message names the nodes.
        """
        return cls(graph, name, grid)

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> Site:
        """The site that a scenario describes.

        Raises
        ------
        ScenarioError
            If its network cannot be opened, or lacks buses that it names; each with file and line.
        """
        check_network(scenario)
        site = cls(graph_of(scenario), scenario.site.name, scenario.grid)
        if scenario.objective.transformer_ageing > 0.0:
            thermal = np.array(list(site.transformer_kva.items()), dtype=np.float64).reshape(-1, 2).T
            thermal.flags.writeable = False
            site.arrays = replace(site.arrays, thermal=thermal)
        return site

    @classmethod
    def read_graphml(cls, path: str | Path) -> Site:
        """The site that `write_graphml` wrote, or that another program wrote with the same attributes.

        Raises
        ------
        SiteError
            If the file cannot be read or is no site.
        """
        graph, name = read_graph(Path(path))
        try:
            return cls(graph, name)
        except SiteError as error:
            raise SiteError(f"{path}: {error}") from error

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
    def dated(self) -> tuple[Series, ...]:
        """Limits and loads that are known on certain dates only."""
        found = (value for _, attributes in self.graph.nodes(data=True) for value in attributes.values())
        return tuple(value for value in found if isinstance(value, Series) and value.kind == "dated")

    @property
    def transformer_kva(self) -> dict[int, float]:
        """Rating of the transformer that feeds a group, by the number of the group, for those that have one [kVA]."""
        nodes = self.graph.nodes
        found = ((g, nodes[group].get("transformer")) for g, group in enumerate(self.groups))
        return {g: float(transformer.rating) for g, transformer in found if transformer is not None}

    @property
    def base_loads(self) -> tuple[tuple[str, Series | LoadProfile], ...]:
        """Groups with an inflexible load of their own, and its model; what stations draw in standby is one, too."""
        nodes = self.graph.nodes
        loads = [(group, nodes[group]["base_load"]) for group in self.groups if "base_load" in nodes[group]]
        standby_kw: dict[str, float] = defaultdict(float)
        for station in self.agents:
            if kw := nodes[station].get("standby_kw"):
                standby_kw[station if station in self.groups else str(self._group_above(station))] += kw
        loads += [(group, Series.constant(kw)) for group, kw in standby_kw.items()]
        return tuple((group, load if isinstance(load, LoadProfile) else _series(load)) for group, load in loads)

    @property
    def pvs(self) -> tuple[tuple[str, Pv | PvSystem], ...]:
        """Groups with a photovoltaic plant of their own, and its model."""
        nodes = self.graph.nodes
        return tuple((group, nodes[group]["pv"]) for group in self.groups if "pv" in nodes[group])

    @property
    def connection_currents(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Currents in L1, L2 and L3 of the line that feeds the site [A/kW]; None where no station says its phases.

        Over the powers of the ports, complex128, shape (3, P), and over the base load of the site, shape (3,).
        """
        if not any("phases" in self.graph.nodes[agent] for agent in self.agents):
            return None
        return connection_currents(self.graph, self.groups, self.ports, self.arrays.group_ports)

    def write_graphml(self, path: str | Path) -> None:
        """Write the graph as GraphML; series and models as JSON text.

        Raises
        ------
        SiteError
            If the file exists: nothing is overwritten.
        """
        write_graph(self.graph, self.name, Path(path))

    def _compile(self) -> tuple[SiteArrays, tuple[str, ...]]:
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

        part_load, efficiency = self._part_load(), of_ports("charge_efficiency", 1.0)
        if len(part_load):
            efficiency = np.where(part_load[:, METERED, -1] > 0.0, highest_efficiency(part_load), efficiency)
        currents = currents_of(graph, self.groups, self.ports, np.stack([first, end]))
        arrays = SiteArrays(
            port_charge_kw=of_ports("charge_kw"),
            port_discharge_kw=of_ports("discharge_kw", 0.0),
            charge_efficiency=efficiency,
            discharge_efficiency=of_ports("discharge_efficiency", 1.0),
            port_levels_kw=np.stack([of_ports("least_kw", 0.0), of_ports("step_kw", 0.0)]),
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
            storage_kwh=of_ports("storage_kwh", 0.0),
            storage_reserve_kwh=of_ports("reserve_kwh", 0.0),
            storage_start_kwh=of_ports("start_kwh", 0.0),
            storage_wear_per_kwh=of_ports("wear_per_kwh", 0.0),
            current_weight=currents.weight,
            current_limit_a=currents.limit_a,
            current_group=currents.group,
            current_base_weight=currents.base_weight,
            part_load=part_load,
        )
        for array in vars(arrays).values():
            array.flags.writeable = False
        return arrays, currents.names

    def _part_load(self) -> np.ndarray:
        """Points of the chargers with a table, shape (P, 2, N_POINTS); none where no charger has one."""
        points = np.zeros((len(self.ports), 2, N_POINTS))
        for p, port in enumerate(self.ports):
            attributes = self.graph.nodes[port]
            if "part_load" in attributes:
                points[p] = points_kw(read_table(attributes["part_load"]), float(attributes["charge_kw"]))
        return points if points.any() else points[:0]

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


def _has_limit(attributes: dict[str, object]) -> bool:
    return "import_limit_kw" in attributes or "export_limit_kw" in attributes


def _series(value: float | Series) -> Series:
    return value if isinstance(value, Series) else Series.constant(value)
