"""Through what each charger bus is fed: the lines and transformers on its way to the slack.

A pandapower network comes in, which elements these are goes out. The way is the one over the fewest elements, closed
switches counting as none; in a meshed network power flows on other ways as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pandapower.topology as topology

if TYPE_CHECKING:
    from ev_marl.grid.model.network import Network


@dataclass(frozen=True)
class ChargerPaths:
    """The way from each charger bus up; E charger buses, M lines."""

    lines: np.ndarray  # bool (E, M)  whether it is on the way
    transformer: np.ndarray  # int64 (E,)  the first on the way up: it feeds the bus's own street; −1: none
    substation: np.ndarray  # int64 (E,)  the last on the way up; the same where there is one


def charger_paths(network: Network) -> ChargerPaths:
    """The elements between each charger bus and the slack that is nearest; none where a bus is not connected.

    Of lines in parallel, all are on the way; of transformers in parallel, the first of the network.
    """
    net, spec = network.net, network.spec
    graph = topology.create_nxgraph(net, respect_switches=True, multi=True)
    slacks = {*net.ext_grid.bus[net.ext_grid.in_service], *net.gen.bus[net.gen.in_service & net.gen.slack]}
    ways = nx.multi_source_dijkstra_path(graph, slacks & set(graph), weight=_elements_between)
    lines = np.zeros((spec.n_charger_buses, spec.n_lines), dtype=bool)
    transformer, substation = (np.full(spec.n_charger_buses, -1, dtype=np.int64) for _ in range(2))
    for row, bus in enumerate(net.bus.index[spec.charger_bus]):
        passed = []  # transformers, from the slack down
        for above, below in nx.utils.pairwise(ways.get(bus, ())):
            elements = graph[above][below]
            lines[row, net.line.index.get_indexer([index for kind, index in elements if kind == "line"])] = True
            passed += sorted(index for kind, index in elements if kind == "trafo")[:1]
        if passed:
            substation[row], transformer[row] = net.trafo.index.get_indexer([passed[0], passed[-1]])
    return ChargerPaths(lines, transformer, substation)


def _elements_between(_: int, __: int, edges: dict[tuple[str, int], dict[str, float]]) -> float:
    """Length of a step of the way: a switch is none."""
    return 0.0 if any(kind == "switch" for kind, _ in edges) else 1.0
