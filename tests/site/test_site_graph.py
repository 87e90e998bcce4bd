"""Sites made from graphs: what is checked, how it is numbered, what the arrays say."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import networkx as nx
import numpy as np
import pytest
from builders import random_site
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_marl.scenario.clock import Clock
from ev_marl.scenario.schema import LoadProfile, Pv
from ev_marl.scenario.series import Series
from ev_marl.site import Site
from ev_marl.support.errors import SiteError

HOURS = Clock(datetime(2023, 5, 15, tzinfo=UTC), "UTC", 1.0, 24)


def yard() -> nx.DiGraph:
    """Grid with a lot of two stations, the second with two ports and a limit of its own."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid", import_limit_kw=30.0)
    graph.add_node("lot", kind="parking_lot", import_limit_kw=20.0, export_limit_kw=5.0)
    graph.add_node("ac_0", kind="station")
    graph.add_node("ac_1", kind="station", import_limit_kw=15.0)
    graph.add_node("ac_0/0", kind="port", charge_kw=11.0)
    graph.add_node("ac_1/0", kind="port", charge_kw=11.0, discharge_kw=7.0, discharge_efficiency=0.9)
    graph.add_node("ac_1/1", kind="port", charge_kw=22, charge_efficiency=0.95, supply="dc")
    graph.add_edges_from(
        [("grid", "lot"), ("lot", "ac_0"), ("lot", "ac_1"), ("ac_0", "ac_0/0"), ("ac_1", "ac_1/0"), ("ac_1", "ac_1/1")]
    )
    return graph


def faults(graph: Any) -> str:
    with pytest.raises(SiteError) as caught:
        Site.from_graph(graph)
    return str(caught.value)


def test_names_and_arrays() -> None:
    site = Site.from_graph(yard())
    arrays = site.arrays
    assert site.name == "grid"
    assert site.agents == ("ac_0", "ac_1")
    assert site.ports == ("ac_0/0", "ac_1/0", "ac_1/1")
    assert site.groups == ("grid", "lot", "ac_1")
    assert arrays.port_charge_kw.tolist() == [11, 11, 22]
    assert arrays.port_discharge_kw.tolist() == [0, 7, 0]
    assert arrays.charge_efficiency.tolist() == [1, 1, 0.95]
    assert arrays.discharge_efficiency.tolist() == [1, 0.9, 1]
    assert arrays.port_is_dc.tolist() == [False, False, True]
    assert arrays.port_station.tolist() == [0, 1, 1]
    assert arrays.port_group.tolist() == [1, 2, 2]
    assert arrays.station_first_port.tolist() == [0, 1, 3]
    assert arrays.station_group.tolist() == [1, 1]
    assert arrays.group_parent.tolist() == [-1, 0, 1]
    assert arrays.group_first_port.tolist() == [0, 0, 1]
    assert arrays.group_end_port.tolist() == [3, 3, 3]
    assert arrays.group_depth.tolist() == [0, 1, 2]
    assert site.ancestors.tolist() == [[0, -1, -1], [1, 0, -1], [2, 1, 0]]


def test_limits_are_inf_where_there_are_none() -> None:
    import_limit, export_limit = Site.from_graph(yard()).limits(HOURS)
    assert import_limit.shape == (24, 3)
    assert import_limit[0].tolist() == [30, 20, 15]
    assert export_limit[0].tolist() == [math.inf, 5, math.inf]


def test_limits_by_hour_and_by_step() -> None:
    graph = yard()
    graph.nodes["grid"]["import_limit_kw"] = Series(tuple(float(hour) for hour in range(24)), "by_hour")
    graph.nodes["lot"]["import_limit_kw"] = Series(tuple(float(hour) for hour in range(48)), "by_step")
    site = Site.from_graph(graph)
    start = datetime(2023, 5, 15, 22, tzinfo=UTC)
    import_limit, _ = site.limits(Clock(start, "UTC", 0.5, 48))
    assert import_limit[:6, 0].tolist() == [22, 22, 23, 23, 0, 0]
    assert import_limit[:, 1].tolist() == list(range(48))
    with pytest.raises(ValueError, match="needs 24 values, one per step, and has 48"):
        site.limits(HOURS)


def test_loads_and_plants() -> None:
    graph = yard()
    profile, pv = LoadProfile(profile="office", peak=20.0), Pv(peak=10.0)
    graph.nodes["grid"].update(base_load=profile, pv=pv)
    graph.nodes["lot"].update(base_load=3)
    site = Site.from_graph(graph)
    assert site.base_loads == (("grid", profile), ("lot", Series.constant(3.0)))
    assert site.pvs == (("grid", pv),)


def test_the_site_keeps_a_graph_of_its_own() -> None:
    graph = yard()
    site = Site.from_graph(graph, name="yard")
    graph.remove_node("ac_1/1")
    graph.nodes["lot"]["import_limit_kw"] = 1.0
    assert site.name == "yard"
    assert site.graph.nodes["lot"]["import_limit_kw"] == 20.0
    assert "ac_1/1" in site.graph
    with pytest.raises(ValueError, match="read-only"):
        site.arrays.port_charge_kw[0] = 5.0


def change(**attributes: Any) -> nx.DiGraph:
    """The yard with one attribute of one node set: `lot__import_limit_kw=-1`."""
    graph = yard()
    for path, value in attributes.items():
        node, key = path.split("__")
        graph.nodes[node.replace("of", "/")][key] = value
    return graph


def without(node: str, key: str) -> nx.DiGraph:
    graph = yard()
    del graph.nodes[node][key]
    return graph


def rewired(remove: list[tuple[str, str]], add: list[tuple[str, str]]) -> nx.DiGraph:
    graph = yard()
    graph.remove_edges_from(remove)
    graph.add_edges_from(add)
    return graph


def with_node(node: Any, parent: str, **attributes: Any) -> nx.DiGraph:
    graph = yard()
    graph.add_node(node, **attributes)
    graph.add_edge(parent, node)
    return graph


def renamed(**names: str) -> nx.DiGraph:
    return nx.relabel_nodes(yard(), names)


CASES: dict[str, tuple[Any, str]] = {
    "undirected": (nx.Graph(yard()), "a networkx.DiGraph is needed, with edges from parent to child; this is a Graph"),
    "multigraph": (nx.MultiDiGraph(yard()), "this is a MultiDiGraph"),
    "no graph": ([("grid", "lot")], "this is a list"),
    "empty": (nx.DiGraph(), "it has no nodes"),
    "cycle": (rewired([("grid", "lot")], [("ac_0/0", "lot")]), "there is a cycle: "),
    "two parents": (rewired([], [("grid", "ac_1")]), "'ac_1' has two parents, 'lot' and 'grid'"),
    "two roots": (rewired([("grid", "lot")], []), "there are 2 roots ('grid', 'lot')"),
    "group without station": (with_node("shed", "grid", kind="building"), "group 'shed' has no station below it"),
    "no kind": (without("lot", "kind"), "'lot' has no kind"),
    "limit below zero": (
        change(lot__import_limit_kw=-1.0),
        "'lot': import_limit_kw is -1 kW; a limit must be 0 or more",
    ),
    "limit not a number": (change(lot__export_limit_kw=math.nan), "'lot': export_limit_kw is nan kW"),
    "limit series with a hole": (
        change(lot__import_limit_kw=Series((5.0, math.nan, 7.0), "by_step")),
        "a limit must be 0 or more",
    ),
    "limit of a station below zero": (change(ac_1__import_limit_kw=-3), "'ac_1': import_limit_kw is -3 kW"),
    "limit as text": (change(lot__import_limit_kw="20 kW"), "import_limit_kw is '20 kW'; it must be a number of kW"),
    "limit missing value": (change(lot__import_limit_kw=None), "import_limit_kw is None"),
    "misspelt attribute": (
        change(lot__import_limit=20.0),
        "'lot': unknown attribute 'import_limit'. Did you mean 'import_limit_kw'?",
    ),
    "load as text": (change(lot__base_load="office"), "base_load is 'office'"),
    "pv as number": (change(lot__pv=5.0), "pv is 5.0; it must be a Pv"),
    "port without power": (without("ac_0/0", "charge_kw"), "port 'ac_0/0' has no charge_kw"),
    "port of zero power": (change(ac_0of0__charge_kw=0), "charge_kw is 0; it must be a number above 0"),
    "port of endless power": (change(ac_0of0__charge_kw=math.inf), "charge_kw is inf"),
    "port of no power": (change(ac_0of0__charge_kw=math.nan), "charge_kw is nan"),
    "discharge below zero": (change(ac_0of0__discharge_kw=-1), "discharge_kw is -1; it must be a number at least 0"),
    "efficiency zero": (
        change(ac_0of0__charge_efficiency=0.0),
        "charge_efficiency is 0.0; it must be a number above 0 and at most 1",
    ),
    "efficiency above one": (change(ac_0of0__discharge_efficiency=1.1), "discharge_efficiency is 1.1"),
    "efficiency as text": (change(ac_0of0__charge_efficiency="95 %"), "charge_efficiency is '95 %'"),
    "unknown supply": (change(ac_0of0__supply="AC"), "supply is 'AC'; it must be 'ac' or 'dc'"),
    "station under station": (
        with_node("ac_2", "ac_0", kind="station"),
        "station 'ac_0' must have ports below it, and only ports",
    ),
    "station without port": (with_node("ac_2", "lot", kind="station"), "station 'ac_2' must have ports below it"),
    "port under group": (with_node("p", "lot", kind="port", charge_kw=7), "group 'lot' has a port directly below it"),
    "port under port": (
        with_node("ac_0/0/0", "ac_0/0", kind="port", charge_kw=7),
        "port 'ac_0/0' has nodes below it; ports are the leaves",
    ),
    "name of a station": (renamed(ac_0="north_charger"), "station 'north_charger' must be named letters_number"),
    "one name of the operator for two stations": (
        change(ac_0__operator_id="CP1", ac_1__operator_id="CP1"),
        "station 'ac_1': operator_id 'CP1' is that of 'ac_0' too",
    ),
    "name in capitals": (renamed(ac_0="AC_0"), "the tools for PettingZoo group agents by the letters"),
    "name no text": (with_node(7, "lot", kind="station"), "node 7 must be named by a string"),
}


@pytest.mark.parametrize("case", CASES)
def test_faults(case: str) -> None:
    graph, message = CASES[case]
    text = faults(graph)
    assert text.startswith("this graph is not a site:\n  - ")
    assert message in text


def test_lonely_station() -> None:
    graph = nx.DiGraph()
    graph.add_node("ac_0", kind="station")
    graph.add_node("ac_0/0", kind="port", charge_kw=11.0)
    graph.add_edge("ac_0", "ac_0/0")
    assert "station 'ac_0' is fed by nothing" in faults(graph)


def test_all_faults_at_once() -> None:
    graph = change(lot__import_limit_kw=-1.0, ac_0of0__charge_kw=0, ac_1__colour="red")
    assert len(re.findall(r"^  - ", faults(graph), flags=re.MULTILINE)) == 3


def test_every_cycle_names_its_nodes() -> None:
    text = faults(rewired([("grid", "lot")], [("ac_0/0", "lot")]))
    for node in ("lot", "ac_0", "ac_0/0"):
        assert node in text


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_arrays_are_the_graph(seed: int) -> None:
    """Each array says what a walk through the graph says."""
    site = random_site(np.random.default_rng(seed))
    graph, arrays = site.graph, site.arrays
    place = {port: p for p, port in enumerate(site.ports)}
    for g, group in enumerate(site.groups):
        below = sorted(place[node] for node in nx.descendants(graph, group) if node in place)
        assert below == list(range(arrays.group_first_port[g], arrays.group_end_port[g]))
        chain = [name for name in reversed(nx.shortest_path(graph, site.groups[0], group)) if name in site.groups]
        assert [site.groups[i] for i in site.ancestors[g] if i >= 0] == chain
        assert arrays.group_depth[g] == len(chain) - 1
        assert arrays.group_parent[g] == (site.groups.index(chain[1]) if g else -1)
        assert arrays.group_parent[g] < g
    for a, agent in enumerate(site.agents):
        ports = [place[port] for port in graph.successors(agent)]
        assert ports == list(range(arrays.station_first_port[a], arrays.station_first_port[a + 1]))
        assert (arrays.port_station[ports] == a).all()
        (feeder,) = graph.predecessors(agent)
        assert site.groups[arrays.station_group[a]] == feeder
        deepest = agent if agent in site.groups else feeder
        assert {site.groups[g] for g in arrays.port_group[ports]} == {deepest}
    for p, port in enumerate(site.ports):
        assert arrays.port_charge_kw[p] == graph.nodes[port]["charge_kw"]
        assert arrays.port_discharge_kw[p] == graph.nodes[port]["discharge_kw"]
    import_limit, export_limit = site.limits(HOURS)
    for g, group in enumerate(site.groups):
        assert import_limit[0, g] == graph.nodes[group].get("import_limit_kw", math.inf)
        assert export_limit[0, g] == graph.nodes[group].get("export_limit_kw", math.inf)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_order_of_the_edges_does_not_break_the_slices(seed: int, shuffler: Any) -> None:
    """Stations between child groups, ports added late: the numbering is depth-first all the same."""
    graph = random_site(np.random.default_rng(seed)).graph
    edges = list(graph.edges)
    shuffler.shuffle(edges)
    mixed = nx.DiGraph()
    mixed.add_nodes_from(graph.nodes(data=True))
    mixed.add_edges_from(edges)
    arrays = Site.from_graph(mixed).arrays
    assert (np.diff(arrays.port_station) >= 0).all()
    for g in range(arrays.n_groups):
        inside = (arrays.group_first_port <= arrays.group_first_port[g]) & (
            arrays.group_end_port >= arrays.group_end_port[g]
        )
        assert inside[arrays.group_parent[g]] or g == 0
    assert sorted(Site.from_graph(mixed).ports) == sorted(Site.from_graph(graph).ports)
