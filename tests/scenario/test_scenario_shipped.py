"""The scenarios that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import playable_scenarios

from ev_marl.scenario import ScenarioError, load_scenario, shipped_scenarios
from ev_marl.site import Site

# stations, ports, groups, steps
SIZES = {
    "acn-caltech": (54, 54, 3, 288),
    "acn-jpl": (52, 52, 7, 288),
    "acn-office": (8, 8, 1, 288),
    "bus-depot": (24, 24, 3, 96),
    "car-park-1000": (500, 1000, 511, 48),
    "contract-month": (16, 16, 1, 720),
    "depot-100": (100, 100, 5, 96),
    "fast-charging-hub": (9, 9, 1, 96),
    "highway": (10, 10, 3, 288),
    "island-microgrid": (13, 13, 3, 96),
    "office-flexible": (24, 24, 3, 96),
    "residential-v2g": (30, 30, 3, 96),
    "street-lv": (40, 40, 1, 96),
    "street-phases": (24, 24, 3, 96),
    "supermarket": (17, 29, 3, 96),
    "tiny": (3, 3, 2, 24),
    "town-mv": (300, 300, 7, 96),
    "village-2034": (100, 100, 1, 96),
    "workplace": (20, 40, 4, 96),
}


def test_names() -> None:
    assert set(shipped_scenarios()) == set(SIZES)


@pytest.mark.parametrize("name", playable_scenarios())
def test_loads_and_has_its_size(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.about
    arrays = Site.from_scenario(scenario).arrays
    assert (arrays.n_stations, arrays.n_ports, arrays.n_groups, scenario.n_steps) == SIZES[name]


@pytest.mark.parametrize("name", SIZES)
def test_file_opens_with_what_it_is(name: str) -> None:
    lines = shipped_scenarios()[name].read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=scenario.schema.json"
    assert sum(line.startswith("# ") for line in lines[:12]) >= 4


@pytest.mark.parametrize(
    "name", [name for name in SIZES if load_scenario(name).site.import_limit and load_scenario(name).grid is None]
)
def test_limits_bind(name: str) -> None:
    """The connection carries less than half of what the ports could draw."""
    site = Site.from_scenario(load_scenario(name))
    limit = site.graph.nodes[site.groups[0]]["import_limit_kw"]
    assert limit.highest < 0.5 * site.arrays.port_charge_kw.sum()


@pytest.mark.parametrize("name", ["residential-v2g", "depot-100"])
def test_vehicle_to_grid_everywhere(name: str) -> None:
    arrays = Site.from_scenario(load_scenario(name)).arrays
    assert (arrays.port_discharge_kw == 11.0).all()


def test_highway_is_dc() -> None:
    assert Site.from_scenario(load_scenario("highway")).arrays.port_is_dc.all()


def test_path_and_name_give_the_same() -> None:
    assert load_scenario(shipped_scenarios()["tiny"]) == load_scenario("tiny")


def test_misspelt_name() -> None:
    with pytest.raises(ScenarioError, match=r"no scenario is called 'workplaces'\. Did you mean 'workplace'\?"):
        load_scenario("workplaces")


def test_name_of_a_file_without_its_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("extends: tiny\nname: mine\n")
    with pytest.raises(ScenarioError, match=r"no scenario is called 'mine'\. Did you mean the file 'mine\.yaml'\?"):
        load_scenario("mine")


def test_missing_file() -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml: there is no such file"):
        load_scenario("nowhere.yaml")
