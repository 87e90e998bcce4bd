"""Sites as GraphML files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from builders import playable_scenarios, random_site
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_marl.scenario import load_scenario, scenario_from_dict
from ev_marl.scenario.clock import Clock
from ev_marl.site import Site
from ev_marl.support.errors import SiteError


def same(site: Site, other: Site) -> None:
    assert other.name == site.name
    assert (other.agents, other.ports, other.groups) == (site.agents, site.ports, site.groups)
    assert (other.base_loads, other.pvs) == (site.base_loads, site.pvs)
    for name, array in vars(site.arrays).items():
        np.testing.assert_array_equal(getattr(other.arrays, name), array, err_msg=name)


@pytest.mark.parametrize("name", playable_scenarios())
def test_there_and_back(name: str, tmp_path: Path) -> None:
    scenario = load_scenario(name)
    site = Site.from_scenario(scenario)
    site.write_graphml(tmp_path / "site.graphml")
    back = Site.read_graphml(tmp_path / "site.graphml")
    same(site, back)
    clock = Clock(datetime(2023, 5, 15, tzinfo=UTC), scenario.timezone, scenario.step, scenario.n_steps)
    np.testing.assert_array_equal(back.limits(clock), site.limits(clock))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_site_there_and_back(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    site = random_site(np.random.default_rng(seed))
    path = tmp_path_factory.mktemp("graphml") / "site.graphml"
    site.write_graphml(path)
    same(site, Site.read_graphml(path))


def test_series_there_and_back(tmp_path: Path) -> None:
    hours = [float(hour) for hour in range(24)]
    site = Site.from_scenario(
        scenario_from_dict(
            {
                "name": "a",
                "start": "2023-05-15",
                "site": {
                    "name": "root",
                    "import_limit": {"by_hour": hours},
                    "base_load": {"by_hour": hours},
                    "stations": [{"type": "ac", "power": 11}],
                },
            }
        )
    )
    site.write_graphml(tmp_path / "site.graphml")
    back = Site.read_graphml(tmp_path / "site.graphml")
    assert back.graph.nodes["root"] == site.graph.nodes["root"]


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    site = Site.from_scenario(load_scenario("workplace"))
    site.write_graphml(tmp_path / "site.graphml")
    graph = nx.read_graphml(tmp_path / "site.graphml")
    assert nx.utils.graphs_equal(nx.DiGraph(graph.edges), nx.DiGraph(site.graph.edges))
    assert graph.nodes["ac_0/0"]["charge_kw"] == 22.0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "site.graphml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(SiteError, match="exists; delete it"):
        Site.from_scenario(load_scenario("tiny")).write_graphml(path)
    assert path.read_text(encoding="utf-8") == "mine"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="there is no such file"):
        Site.read_graphml(tmp_path / "nowhere.graphml")
    (tmp_path / "text.graphml").write_text("hello", encoding="utf-8")
    with pytest.raises(SiteError, match="this is not GraphML"):
        Site.read_graphml(tmp_path / "text.graphml")
    graph = nx.DiGraph()
    graph.add_node("root", kind="grid", pv="a big one")
    nx.write_graphml(graph, tmp_path / "pv.graphml")
    with pytest.raises(SiteError, match="'root': pv is 'a big one', which cannot be read"):
        Site.read_graphml(tmp_path / "pv.graphml")
