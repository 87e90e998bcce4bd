"""Sites from scenarios: numbering, powers, limits of stations, flat and nested writing."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest

from ev_marl.scenario import scenario_from_dict
from ev_marl.scenario.schema import Group, Scenario, Stations
from ev_marl.site import Site
from ev_marl.support.errors import SiteError


def site_of(**root: Any) -> Site:
    return Site.from_scenario(
        scenario_from_dict({"name": "test", "start": "2023-05-15", "site": {"name": "grid", **root}})
    )


def ac(**keys: Any) -> dict[str, Any]:
    return {"type": "ac", "power": "11 kW", **keys}


def test_names_count_by_type_through_the_whole_site() -> None:
    site = site_of(
        stations=[ac(count=2)],
        groups=[
            {"name": "a", "stations": [ac(), ac(type="dc", power=50)]},
            {"name": "b", "stations": [ac(type="dc", power=50), ac()]},
        ],
    )
    assert site.agents == ("ac_0", "ac_1", "ac_2", "dc_0", "dc_1", "ac_3")
    assert site.arrays.port_is_dc.tolist() == [False, False, False, True, True, False]


def test_stations_beside_child_groups_stay_in_one_slice() -> None:
    """The root has stations of its own and groups: every group's ports are still consecutive."""
    site = site_of(
        stations=[ac(count=2, ports=2)],
        groups=[
            {"name": "a", "groups": [{"name": "c", "stations": [ac()]}], "stations": [ac(count=2)]},
            {"name": "b", "stations": [ac(ports=3)]},
        ],
    )
    slices = dict(
        zip(site.groups, zip(site.arrays.group_first_port, site.arrays.group_end_port, strict=True), strict=True)
    )
    assert slices == {"grid": (0, 10), "a": (4, 7), "c": (6, 7), "b": (7, 10)}


def test_flat_and_nested_are_the_same() -> None:
    nested = site_of(
        groups=[
            {"name": "a", "groups": [{"name": "c", "import_limit": 10, "stations": [ac()]}], "stations": [ac(count=2)]},
            {"name": "b", "stations": [ac()]},
        ]
    )
    flat = site_of(
        groups=[
            {"name": "c", "parent": "a", "import_limit": 10, "stations": [ac()]},
            {"name": "a", "stations": [ac(count=2)]},
            {"name": "b", "parent": "grid", "stations": [ac()]},
        ]
    )
    assert nx.utils.graphs_equal(nested.graph, flat.graph)
    assert (nested.agents, nested.groups) == (flat.agents, flat.groups)


def test_current_and_phases_give_the_power() -> None:
    site = site_of(
        stations=[
            {"type": "a", "current": "16 A", "phases": 3},
            {"type": "b", "current": "32 A", "phases": 1},
            {"type": "c", "current": 16, "phases": 3, "voltage": 240},
        ]
    )
    assert site.arrays.port_charge_kw == pytest.approx([11.04, 7.36, 11.52])


def test_discharging() -> None:
    site = site_of(
        stations=[
            ac(type="a", v2g=True, efficiency=0.9),
            ac(type="b", v2g=True, discharge_power=5, discharge_efficiency=0.8),
            ac(type="c"),
        ]
    )
    assert site.arrays.port_discharge_kw.tolist() == [11, 5, 0]
    assert site.arrays.charge_efficiency.tolist() == [0.9, 0.93, 0.93]
    assert site.arrays.discharge_efficiency.tolist() == [0.9, 0.8, 0.93]


def test_limit_of_a_station_makes_it_a_group() -> None:
    site = site_of(stations=[ac(ports=2, station_power="15 kW"), ac()])
    assert site.groups == ("grid", "ac_0")
    assert site.graph.nodes["ac_0"]["import_limit_kw"] == 15.0
    assert site.arrays.port_group.tolist() == [1, 1, 0]
    assert site.arrays.station_group.tolist() == [0, 0]


def test_kinds() -> None:
    site = site_of(
        groups=[
            {"name": "a", "groups": [{"name": "b", "stations": [ac()]}]},
            {"name": "c", "kind": "feeder", "stations": [ac()]},
        ]
    )
    kinds = {group: site.graph.nodes[group]["kind"] for group in site.groups}
    assert kinds == {"grid": "grid", "a": "building", "b": "parking_lot", "c": "feeder"}


def test_scenarios_that_were_not_read_from_a_file_are_checked_too() -> None:
    stations = [Stations(type="ac", power=11.0)]

    def scenario(*groups: Group) -> Scenario:
        return Scenario(name="test", start="2023-05-15", site=Group(name="grid", groups=list(groups)))  # type: ignore[arg-type]

    with pytest.raises(SiteError, match="two parts of the site are called 'a'"):
        Site.from_scenario(scenario(Group(name="a", stations=stations), Group(name="a", stations=stations)))
    with pytest.raises(SiteError, match="two parts of the site are called 'ac_0'"):
        Site.from_scenario(scenario(Group(name="a", stations=stations), Group(name="ac_0", stations=stations)))
    with pytest.raises(SiteError, match=r"are below nothing that the grid connection feeds: 'a' \(parent 'b'\)"):
        Site.from_scenario(scenario(Group(name="a", parent="b", stations=stations)))
    with pytest.raises(SiteError, match="group 'grid' has no station below it"):
        Site.from_scenario(scenario())
