"""What stations draw in standby: part of the base load of their group, and refused where it is not there."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from ev_marl.env.setup import Setting
from ev_marl.scenario import load_scenario
from ev_marl.site import Site
from ev_marl.site.describe import describe_site
from ev_marl.support.errors import SiteError

SITE = """
extends: workplace
name: idle
horizon: 4 h
site:
  name: car_park
  import_limit: 60 kW
  base_load: 2 kW
  groups:
    - name: lot
      import_limit: 30 kW
      stations:
        - {type: ac, count: 3, power: 22 kW, standby: 5 W}
        - {type: fast, power: 50 kW, station_power: 25 kW, ports: 2, standby: 80 W}
        - {type: none, power: 22 kW}
"""


def written(path: Path, text: str = SITE) -> Path:
    file = path / "idle.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_standby_is_base_load_of_the_group_or_of_the_station_with_a_limit(tmp_path: Path) -> None:
    setting = Setting.of(load_scenario(written(tmp_path)))
    track = setting.world.sample(1)
    base = dict(zip(setting.site.groups, track.base_load_kw.T, strict=True))
    assert base["fast_0"] == pytest.approx(0.080)
    assert base["lot"] == pytest.approx(0.095)
    assert base["car_park"] == pytest.approx(2.095)
    # A group's own limit is what is left beside it.
    assert track.upper_kw[:, setting.site.groups.index("fast_0")] == pytest.approx(25.0 - 0.080)


def test_standby_is_billed_at_the_meter_and_described(tmp_path: Path) -> None:
    alone = SITE.replace("  base_load: 2 kW\n", "")
    assert load_scenario(written(tmp_path, alone)).billed_at == "site"
    nothing = alone.replace("standby: 5 W", "standby: 0 W").replace("standby: 80 W", "standby: 0 W")
    assert load_scenario(written(tmp_path, nothing)).billed_at == "port"
    scenario = load_scenario(written(tmp_path))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(describe_site(Site.from_scenario(scenario), scenario))
    text = console.export_text()
    assert "standby 5 W" in text
    assert "standby 80 W" in text


def test_a_standby_of_a_graph_is_checked() -> None:
    graph = Site.from_scenario(load_scenario("workplace")).graph.copy()
    station = next(node for node, kind in graph.nodes(data="kind") if kind == "station")
    graph.nodes[station]["standby_kw"] = -1.0
    with pytest.raises(SiteError, match="standby_kw is -1"):
        Site.from_graph(graph)


def test_on_a_network_it_is_refused_by_name(tmp_path: Path) -> None:
    text = (
        "extends: street-lv\nname: idle\nsite:\n  name: street\n  stations:\n"
        "    - {type: ac, power: 11 kW, bus: Bus R11, standby: 5 W}\n"
    )
    with pytest.raises(SiteError, match="'ac_0' has a standby, which is not there on a network"):
        Site.from_scenario(load_scenario(written(tmp_path, text)))
