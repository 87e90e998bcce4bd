"""Scenarios composed from a few wishes: sound, quiet and playable, whatever is wished."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from ev_marl.checks import findings
from ev_marl.env.setup import Setting
from ev_marl.scenario import load_scenario
from ev_marl.scenario.compose import KINDS, SiteKind, SiteWishes, compose

LONGEST_LINE = 120


@pytest.mark.parametrize(("kind", "much", "v2g"), list(product(KINDS, (False, True), (False, True))))
def test_it_is_a_scenario_that_can_be_played(kind: SiteKind, much: bool, v2g: bool, tmp_path: Path) -> None:
    wishes = SiteWishes(kind, v2g=v2g)
    if much:
        wishes = SiteWishes(
            kind, 6, 2, "50 kW", v2g, 2, "100 kW", "400 kW", "60 kW", "30 kW", "0.30 EUR/kWh", "1 EUR/kW"
        )
    text = compose("mine", wishes)
    assert max(map(len, text.splitlines())) <= LONGEST_LINE
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    scenario = load_scenario(file)
    assert scenario.name == "mine"
    setting = Setting.of(scenario)
    assert len(setting.site.agents) == (8 if much else 10)
    assert len(setting.world.sample(0).sessions) > 0


def test_it_says_what_was_wished(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        compose("mine", SiteWishes(stations=3, limit="90 kW", pv="20 kW", v2g=True, demand_charge="2 EUR/kW"))
    )
    scenario = load_scenario(file)
    site = Setting.of(scenario).site.arrays
    assert site.n_stations == 3
    assert (site.port_discharge_kw > 0.0).all()
    assert scenario.site.import_limit == 90.0
    assert scenario.site.pv is not None
    assert scenario.site.pv.peak == 20.0
    assert scenario.objective.peak_power == 2.0


def test_a_usual_site_gives_no_warning(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(compose("mine", SiteWishes(stations=20, limit="100 kW", base_load="30 kW")))
    assert findings(file) == []
