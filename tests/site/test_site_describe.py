"""The site in words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from builders import playable_scenarios, random_site
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ev_marl.scenario import load_scenario, scenario_from_dict
from ev_marl.scenario.schema import Scenario
from ev_marl.scenario.schema.events import Event
from ev_marl.site import Site
from ev_marl.site.describe import describe_site, limits_line


def printed(site: Site, scenario: Scenario | None = None) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(describe_site(site, scenario))
    return out.getvalue()


def test_workplace() -> None:
    scenario = load_scenario("workplace")
    text = printed(Site.from_scenario(scenario), scenario)
    for part in (
        "workplace: Office car park.",
        "20 agents, 40 ports",
        "transformer (grid)",
        "import limit 250 kW: 38 % of the 660 kW of charging power below",
        "export limit 100 kW: 45 % of the 220 kW of discharging power below",
        "office (building)",
        "no import limit; 660 kW of charging power below",
        "base load office, peak 120 kW",
        "PV of 80 kW at 52° north",
        "import limit 75 kW: 17 % of the 440 kW of charging power below",
        "10 × ac (ac_0 … ac_9), 2 ports of 22 kW AC, efficiency 93 %",
        "10 × bidi (bidi_0 … bidi_9), 2 ports of 11 kW AC, V2G, efficiency 93 %",
    ):
        assert part in text


def test_limits_in_one_line() -> None:
    line = limits_line(Site.from_scenario(load_scenario("workplace")))
    assert line == (
        "transformer 250 kW for 660 kW of ports (38 %), lot_north 75 kW for 440 kW of ports (17 %), "
        "lot_south 48 kW for 220 kW of ports (22 %)"
    )


def test_the_network_is_said() -> None:
    pytest.importorskip("pandapower")
    scenario = load_scenario("street-lv")
    site = Site.from_scenario(scenario)
    line = "network cigre_lv, chargers at 5 of 44 buses: 0.95 to 1.05 p.u., lines 100 %, transformers 100 %, "
    assert f"{line}kept by curtailing; more: ev-marl grid describe street-lv" in printed(site, scenario)
    free = scenario.model_copy(update={"grid": scenario.grid.model_copy(update={"coordinator": "none"})})
    assert limits_line(site, free) == f"no import limits for 440 kW of ports; {line}kept by nobody"
    assert limits_line(site) == "no import limits for 440 kW of ports"


def test_series_stations_and_odd_names() -> None:
    scenario = scenario_from_dict(
        {
            "name": "odd",
            "about": "With [brackets] in it",
            "start": "2023-05-15",
            "site": {
                "name": "root",
                "import_limit": {"by_hour": [10] * 12 + [22] * 12},
                "base_load": 3.5,
                "stations": [
                    {"type": "ac", "ports": 2, "power": 11, "station_power": 15},
                    {"type": "bidi", "power": 11, "v2g": True, "discharge_power": 5, "discharge_efficiency": 0.9},
                ],
            },
        }
    )
    site = Site.from_scenario(scenario)
    text = printed(site, scenario)
    assert "With [brackets] in it" in text
    assert "import limit 10 to 22 kW: 30 to 67 % of the 33 kW" in text
    assert "base load 3.5 kW" in text
    assert "1 × ac (ac_0), 2 ports of 11 kW AC, together 15 kW a station, efficiency 93 %" in text
    assert "1 × bidi (bidi_0), 1 port of 11 kW AC, V2G 5 kW, efficiency 93 % in, 90 % out" in text
    assert limits_line(site).startswith("root 10 to 22 kW for 33 kW of ports (30 to 67 %)")


def test_no_limits() -> None:
    scenario = scenario_from_dict(
        {"name": "free", "start": "2023-05-15", "site": {"name": "root", "stations": [{"type": "ac", "power": 11}]}}
    )
    assert limits_line(Site.from_scenario(scenario)) == "no import limits for 11 kW of ports"


@pytest.mark.parametrize("name", playable_scenarios())
def test_every_shipped_scenario(name: str) -> None:
    site = Site.from_scenario(load_scenario(name))
    text = printed(site)
    for group in set(site.groups) - set(site.agents):  # limits of single stations stand with the stations
        assert group in text


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_site(seed: int) -> None:
    """The tree names every group and counts every station once."""
    site = random_site(np.random.default_rng(seed))
    text = printed(site)
    for group in set(site.groups) - set(site.agents):
        assert f"{group} (" in text
    counts = [int(line.split(" × ")[0].split()[-1]) for line in text.splitlines() if " × " in line]
    assert sum(counts) == len(site.agents)
    assert f"{len(site.ports)} port" in text


def test_limits_of_currents_with_their_stations() -> None:
    text = printed(Site.from_scenario(load_scenario("acn-caltech")))
    for part in (
        "transformer of 150 kVA Dyn11, 480 to 207.846 V",
        "garage secondary L1 at most 416.7 A: ac_0 … ac_9, ac_24 … ac_53",
        "cc_pod L1 at most 80 A: all stations below",
        "14 × ac (ac_10 … ac_23), 1 port of 6.7 kW AC on L2-L3, at least 1.25 kW, in steps of 0.208 kW, efficiency",
    ):
        assert part in text


def test_stations_on_phases_in_turn() -> None:
    stations = [{"type": "ac", "count": 30, "power": 7, "phases": ["L1", "L2", "L3"]}]
    site = {"name": "street", "current_limit": 63, "stations": stations}
    rest = {"sessions": {"model": "elaadnl/public"}, "prices": {"constant": 0.3}, "start": "2023-05-15"}
    text = printed(Site.from_scenario(scenario_from_dict({"name": "in-turn", "site": site, **rest})))
    assert "street L2 at most 63 A: ac_1, ac_4, ac_7 … ac_28" in text
    assert "10 × ac (ac_0, ac_3, ac_6 … ac_27), 1 port of 7 kW AC on L1, efficiency 93 %" in text


def test_signals_of_a_scenario() -> None:
    keys = {"carbon": {"by_hour": [100 + h for h in range(24)]}, "prices": {"model": "nl/2023", "published": 13}}
    weather = {"temperature": 12}
    entries = {"name": "s", "start": "2023-05-15", "site": {"name": "grid", "stations": [{"type": "ac", "power": 11}]}}
    scenario = scenario_from_dict({**entries, **keys, "weather": weather})
    text = printed(Site.from_scenario(scenario), scenario)
    for part in (
        "carbon 100 to 123 g/kWh by hour",
        "temperature 12 °C",
        "prices of the next day are published at 13 h",
    ):
        assert part in text


def test_events_are_named_with_hour_and_notice() -> None:
    events = [
        {"kind": "demand_response", "at": 18, "lasts": "2 h", "limit": "5 kW", "penalty": 0.5, "announced": "3 h"},
        {"kind": "outage", "of": "bidi_0", "per_day": 0.5, "lasts": "1 h"},
    ]
    scenario = load_scenario("tiny").model_copy(update={"events": [Event.model_validate(event) for event in events]})
    said = printed(Site.from_scenario(scenario), scenario)
    assert "demand response of connection to 5 kW or 0.5 EUR/kWh, at 18 h, for 2 h, announced 3 h ahead" in said
    assert "outage of bidi_0, 0.5 a day at random, for 1 h, without notice" in said
