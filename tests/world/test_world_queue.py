"""Vehicles that find no free port wait for one as long as their patience lasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.scenario.schema import Vehicle, Vehicles
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.parking import Choice, Fleet, Visitors, park
from ev_marl.world.world import World

SITE = """
name: queue
start: 2023-05-15
step: 15 min
site:
  name: grid
  import_limit: 30 kW
  stations:
    - {type: ac, count: 2, power: 11 kW}
    - {type: dc, count: 1, power: 50 kW}
sessions: {model: highway, per_port_per_day: 30, PATIENCE}
"""


def world(folder: Path, patience: str) -> World:
    path = folder / f"{patience.split()[0]}.yaml"
    path.write_text(SITE.replace("PATIENCE", f"patience: {patience}"))
    return World(load_scenario(path))


def parked(site: SiteArrays, arrival_h: list[float], patience_h: float, dc_kw: float = 50.0) -> tuple[np.ndarray, int]:
    """Vehicles that stay 2 h each, in steps of half an hour; all ports of the site."""
    options = Vehicles(mix=[Vehicle(name="car", share=1, capacity=60, ac_power=11, dc_power=dc_kw)])
    n = len(arrival_h)
    visitors = Visitors(np.zeros(n, dtype=np.int64), np.full(n, 20.0), np.full(n, 5.0), np.zeros(n, dtype=np.bool_))
    choice = Choice(np.arange(n), np.arange(site.n_ports), np.random.default_rng(0), patience_h)
    fleet = Fleet.of(list(options.mix), options, site)
    stay_h = np.full(n, 2.0)
    rng = np.random.default_rng(0)
    return park(fleet, visitors, np.array(arrival_h), stay_h, site, 0.5, 48, rng, choices=[choice])


@pytest.fixture
def one_port(tmp_path: Path) -> SiteArrays:
    path = tmp_path / "one.yaml"
    text = SITE.replace("count: 2", "count: 1").replace("    - {type: dc, count: 1, power: 50 kW}\n", "")
    path.write_text(text.replace(", PATIENCE", ""))
    return World(load_scenario(path)).site.arrays


def test_by_hand(one_port: SiteArrays) -> None:
    """The first has the port from 0 to 2 h, the second comes at 1 h and has it from 2 to 4 h. The third comes at 1.5 h
    and would wait for 2.5 h; the fourth comes when the port is free."""
    sessions, turned_away = parked(one_port, [0.0, 1.0, 1.5, 4.0], patience_h=2.0)
    assert list(zip(sessions["arrival_step"], sessions["departure_step"], strict=True)) == [(0, 4), (4, 8), (8, 12)]
    assert turned_away == 1
    sessions, turned_away = parked(one_port, [0.0, 1.0, 1.5, 4.0], patience_h=2.5)
    assert sessions["arrival_step"].tolist() == [0, 4, 8, 12]
    assert turned_away == 0
    assert parked(one_port, [0.0, 1.0, 1.5, 4.0], patience_h=0.0)[1] == 2


def test_one_that_came_before_the_start_waits_into_the_day(one_port: SiteArrays) -> None:
    sessions, _ = parked(one_port, [-1.5, -1.0], patience_h=3.0)
    assert list(zip(sessions["arrival_step"], sessions["departure_step"], strict=True)) == [(0, 1), (1, 5)]


def test_days_are_sound_and_fewer_are_turned_away(tmp_path: Path) -> None:
    away = []
    for patience in ("0 min", "30 min", "2 h"):
        drawn = world(tmp_path, patience)
        tracks = [drawn.sample(seed) for seed in range(10)]
        for track in tracks:
            drawn.check(track)
        away.append(sum(track.turned_away for track in tracks))
    assert away[0] > away[1] > away[2]


def test_without_dc_nobody_waits_for_a_dc_port(tmp_path: Path) -> None:
    site = world(tmp_path, "2 h").site.arrays
    sessions, turned_away = parked(site, [0.0, 0.0, 0.5, 1.0, 1.0], patience_h=1.5, dc_kw=0.0)
    assert not site.port_is_dc[sessions["port"]].any()
    assert sessions["arrival_step"].tolist() == [0, 0, 4, 4]
    assert turned_away == 1


def test_too_long_a_patience_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"sessions.patience: .*24"):
        world(tmp_path, "30 h")
