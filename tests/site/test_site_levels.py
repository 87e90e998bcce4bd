"""Levels of ports: the next ones below and above a power, how they are written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.site import Site
from ev_marl.site.levels import level_above, level_below
from ev_marl.support.errors import SiteError


@pytest.mark.parametrize(
    ("power", "most", "expected"),
    [
        (0.0, 22.0, 0.0),
        (1.9, 22.0, 0.0),  # below the least power
        (2.0, 22.0, 2.0),
        (4.9, 22.0, 4.0),
        (4.9, 4.9, 4.9),  # all that the vehicle takes: the pilot is 6
        (0.5, 0.5, 0.5),  # also below the least power, at the end of charging
        (-3.0, 22.0, -3.0),  # discharging has no levels
    ],
)
def test_the_level_below(power: float, most: float, expected: float) -> None:
    assert level_below(power, most, 2.0, 2.0) == expected


def test_no_levels_above_the_least_power_and_none_at_all() -> None:
    assert level_below(4.9, 22.0, 2.0, 0.0) == 4.9
    assert level_below(1.9, 22.0, 2.0, 0.0) == 0.0
    assert level_below(1.9, 22.0, 0.0, 0.0) == 1.9
    assert level_below(1.9, 22.0, 0.0, 0.5) == 1.5


def test_levels_of_every_ampere_are_their_own_level_below() -> None:
    """Rounding never loses a level."""
    for volts in (208.0, 230.0, 3 * 230.0, 399.99):
        least, step = 6 * volts / 1000, volts / 1000
        for ampere in range(6, 33):
            power = volts * ampere / 1000
            assert level_below(power, np.inf, least, step) == pytest.approx(power, rel=1e-12)


def test_the_level_above() -> None:
    power = np.array([[0.0, 0.1, 2.1, 4.0, 5.0, -1.0]])
    most = np.array([[9.0, 9.0, 9.0, 9.0, 5.5, 9.0]])
    levels = np.stack([np.full(6, 2.0), np.full(6, 2.0)])
    assert level_above(power, most, levels).tolist() == [[0.0, 2.0, 4.0, 4.0, 5.5, -1.0]]
    levels[1] = 0.0
    assert level_above(power, most, levels).tolist() == [[0.0, 2.0, 2.1, 4.0, 5.0, -1.0]]


def written(path: Path, station: str) -> Path:
    file = path / "levels.yaml"
    file.write_text(
        "extends: workplace\nsite:\n  name: campus\n  stations:\n"
        f"    - {{type: ac, count: 2, {station}}}\n    - {{type: dc, power: 50 kW}}\n"
    )
    return file


def test_currents_and_powers_of_stations(tmp_path: Path) -> None:
    """6 A on three phases of 230 V are 4.14 kW, in steps of 1 A of 0.69 kW; powers are as they are."""
    file = written(tmp_path, "current: 32 A, phases: 3, least_current: 6 A, current_step: 1 A")
    arrays = Site.from_scenario(load_scenario(file)).arrays
    assert arrays.has_levels
    assert arrays.port_levels_kw[:, :3] == pytest.approx(np.array([[4.14, 4.14, 0.0], [0.69, 0.69, 0.0]]))
    file = written(tmp_path, "power: 11 kW, least_power: 1.4 kW, power_step: 4.8 kW")
    arrays = Site.from_scenario(load_scenario(file)).arrays
    assert arrays.port_levels_kw[:, :3] == pytest.approx(np.array([[1.4, 1.4, 0.0], [4.8, 4.8, 0.0]]))
    assert not Site.from_scenario(load_scenario(written(tmp_path, "power: 11 kW"))).arrays.has_levels


@pytest.mark.parametrize(
    ("station", "message"),
    [
        ("power: 11 kW, least_current: 6 A", "least_current.*needs `phases`"),
        (
            "power: 11 kW, least_power: 2 kW, current_step: 1 A, power_step: 1 kW",
            "either `current_step` or `power_step`",
        ),
        ("power: 11 kW, least_power: 0 kW", "least_power"),
    ],
)
def test_keys_that_do_not_go_together(tmp_path: Path, station: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load_scenario(written(tmp_path, station))


@pytest.mark.parametrize(
    ("station", "message"),
    [
        ("power: 11 kW, least_power: 12 kW", "the least power, 12 kW, is more than the port's, 11 kW"),
        ("power: 11 kW, least_power: 2 kW, power_step: 2 kW", "steps of 2 kW do not lead to the port's power, 11 kW"),
    ],
)
def test_levels_that_do_not_lead_to_the_power(tmp_path: Path, station: str, message: str) -> None:
    with pytest.raises(SiteError, match=message):
        Site.from_scenario(load_scenario(written(tmp_path, station)))


def test_graphml_keeps_levels(tmp_path: Path) -> None:
    graph = nx.DiGraph()
    graph.add_node("lot", kind="parking_lot")
    graph.add_node("ac_0", kind="station")
    graph.add_node("ac_0/0", kind="port", charge_kw=7.0, least_kw=1.0, step_kw=2.0)
    graph.add_edges_from([("lot", "ac_0"), ("ac_0", "ac_0/0")])
    Site.from_graph(graph).write_graphml(tmp_path / "site.graphml")
    again = Site.read_graphml(tmp_path / "site.graphml")
    assert again.arrays.port_levels_kw.tolist() == [[1.0], [2.0]]
