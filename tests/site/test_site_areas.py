"""Stations with sessions of their own: which ports, inherited downwards, and the days drawn for them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ev_marl.checks.names import checked_setting
from ev_marl.planning.outlook.drawn import sample_of_models
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.scenario.schema import Scenario
from ev_marl.site import Site
from ev_marl.site.areas import areas_of
from ev_marl.site.describe import describe_site
from ev_marl.world.world import World

HUB = """
name: hub
start: 2023-05-15
site:
  name: grid
  import_limit: 400 kW
  groups:
    - name: office
      sessions: {model: acn/jpl, per_port_per_day: 2}
      groups:
        - name: lot
          stations:
            - {type: ac, count: 6, power: 11 kW}
            - {type: fast, count: 2, power: 50 kW, supply: dc, sessions: {model: highway, per_port_per_day: 10}}
    - name: street
      stations: [{type: ac, count: 3, power: 11 kW}]
sessions: {model: elaadnl/public, per_port_per_day: 1.5}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hub.yaml"
    path.write_text(HUB)
    return path


@pytest.fixture
def hub(file: Path) -> Scenario:
    return load_scenario(file)


def test_an_entry_goes_before_its_group_and_a_group_before_the_scenario(hub: Scenario) -> None:
    site = Site.from_scenario(hub)
    found = {area.sessions.model: [site.ports[p] for p in area.ports] for area in areas_of(hub, site)}
    assert found["acn/jpl"] == [f"ac_{k}/0" for k in range(6)]
    assert found["highway"] == ["fast_0/0", "fast_1/0"]
    assert found["elaadnl/public"] == ["ac_6/0", "ac_7/0", "ac_8/0"]


def test_a_flat_list_inherits_by_parent(tmp_path: Path) -> None:
    text = HUB.split("site:")[0] + (
        "site:\n  name: grid\n  groups:\n"
        "    - {name: lot, parent: office, stations: [{type: ac, power: 11 kW}]}\n"
        "    - {name: office, sessions: {model: acn/jpl}}\n"
        "    - {name: street, stations: [{type: ac, power: 11 kW}]}\n"
    )
    path = tmp_path / "flat.yaml"
    path.write_text(text)
    scenario = load_scenario(path)
    site = Site.from_scenario(scenario)
    assert {area.sessions.model: area.ports.tolist() for area in areas_of(scenario, site)} == {
        "elaadnl/workplace": [1],
        "acn/jpl": [0],
    }


def test_stays_are_those_of_the_area(hub: Scenario) -> None:
    world = World(hub)
    days = [world.sample(seed) for seed in range(30)]
    sessions = np.concatenate([day.sessions for day in days])
    sessions = sessions[sessions["arrival_step"] > 0]
    hours = (sessions["departure_step"] - sessions["arrival_step"]) * hub.step
    fast = np.isin(sessions["port"], [p for p, name in enumerate(world.site.ports) if name.startswith("fast")])
    assert 0.2 < hours[fast].mean() < 1.0 < 5.0 < hours[~fast].mean()
    assert 15 < fast.sum() / 30 < 22  # 2 ports of 10 vehicles a weekday, some find none free
    assert (sessions["charge_kw"][fast] > 11.0).all()  # only vehicles with DC come there


def test_other_sessions_elsewhere_change_nothing_here(hub: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(HUB.replace("model: highway, per_port_per_day: 10", "model: highway, per_port_per_day: 3"))
    one, other = World(hub).sample(5), World(load_scenario(path)).sample(5)
    ports = np.flatnonzero([not name.startswith("fast") for name in one.ports])
    mine, theirs = (day.sessions[np.isin(day.sessions["port"], ports)] for day in (one, other))
    assert len(mine) > 5
    for name in ("port", "arrival_step", "departure_step", "capacity_kwh"):
        assert np.array_equal(mine[name], theirs[name])


def test_expectations_know_the_areas(hub: Scenario) -> None:
    world = World(hub)
    stays, weight = sample_of_models(world).vehicles(10)
    fast = np.isin(stays["port"], [p for p, name in enumerate(world.site.ports) if name.startswith("fast")])
    assert weight == 0.1
    assert 14 < fast.sum() * weight < 24


def test_described(hub: Scenario) -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(describe_site(Site.from_scenario(hub), hub))
    text = console.export_text()
    assert "sessions at fast_0, fast_1: highway, 10 vehicles per port and weekday" in text
    assert "sessions at ac_0 … ac_5: acn/jpl, 2 vehicles per port and weekday" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("model: highway", "model: highwy"), r"sessions\.model: .*highwy.*Did you mean"),
        (("per_port_per_day: 10", "per_port_per_day: -1"), "per_port_per_day"),
        (("model: highway", "model: my:Own"), "my:Own.*custom code"),
    ],
)
def test_faults_say_where(file: Path, change: tuple[str, str], said: str) -> None:
    file.write_text(HUB.replace(*change))
    with pytest.raises(ScenarioError, match=said):
        checked_setting(file)


def test_a_dc_area_needs_vehicles_with_dc(file: Path) -> None:
    file.write_text(HUB + "vehicles: {mix: [{name: c, share: 1, capacity: 40 kWh, ac_power: 7 kW}]}\n")
    with pytest.raises(ScenarioError, match=r"hub.yaml:14: .*sessions: all these ports are DC"):
        checked_setting(file)
