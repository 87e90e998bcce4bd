"""Stationary batteries in scenarios, sites and tracks: one session each, which no vehicle ever takes the place of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.simulation.days import stays_of
from ev_marl.site import Site
from ev_marl.site.describe import describe_site
from ev_marl.support.errors import SiteError, TrackError
from ev_marl.world import Track, World
from ev_marl.world.importing import import_tracks
from ev_marl.world.session_table import STATIONARY

TEXT = """
name: mine
start: 2023-05-15
step: 1 h
horizon: 24 h
site:
  name: mine
  import_limit: 20 kW
  stations:
    - {type: bess, power: 10 kW, discharge_power: 8 kW, battery: {energy: 20 kWh, reserve: 5 %, wear: 2}}
    - {type: ac, count: 2, power: 11 kW}
    - {type: bess, power: 5 kW, efficiency: 90 %, battery: {energy: 10 kWh, start: 20 %}}
sessions: {model: elaadnl/workplace, per_port_per_day: 8}
prices: {constant: 0.2 EUR/kWh}
"""

ALONE = """
name: mine
start: 2023-05-15
step: 1 h
horizon: 24 h
site: {{name: mine, stations: [{}]}}
sessions: {{model: elaadnl/workplace}}
prices: {{constant: 0.2 EUR/kWh}}
"""


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    (tmp_path / "mine.yaml").write_text(TEXT)
    return Setting.of(tmp_path / "mine.yaml")


def test_a_battery_is_there_all_day_and_no_vehicle_comes_to_its_port(setting: Setting) -> None:
    site = setting.site
    assert site.agents == ("bess_0", "ac_0", "ac_1", "bess_1")
    assert site.arrays.vehicle_ports.tolist() == [1, 2]
    assert setting.scenario.billed_at == "site"
    for seed in range(5):
        track = setting.world.sample(seed)
        batteries = track.sessions[track.sessions["vehicle"] == STATIONARY]
        assert batteries["port"].tolist() == [0, 3]
        assert batteries["energy_kwh"].tolist() == [10.0, 2.0]
        assert (batteries["departure_step"] > track.n_steps).all()
        assert len(track.vehicles) == len(track.sessions) - 2 > 2
        assert set(track.vehicles["port"]) <= {1, 2}
        track.validate(site)
    stays = stays_of(site.arrays, track)
    battery = stays[stays["is_battery"] == 1]
    assert battery["charge_kw"].tolist() == [10.0, 5.0]
    assert battery["discharge_kw"].tolist() == [8.0, 5.0]
    assert battery["floor_kwh"].tolist() == battery["due_kwh"].tolist() == [1.0, 1.0]
    assert battery["wish_kwh"].tolist() == [20.0, 10.0]
    assert battery["wear_per_kwh"].tolist() == [2.0, 0.0]
    assert setting.world.surroundings(1).sessions["port"].tolist() == [0, 3]


def test_vehicles_come_as_without_a_battery(setting: Setting, tmp_path: Path) -> None:
    """Two vehicle ports: as many vehicles, with the same energies, as at a site of two ports."""
    lines = [line for line in TEXT.splitlines() if "battery" not in line]
    (tmp_path / "plain.yaml").write_text("\n".join(lines))
    plain = Setting.of(tmp_path / "plain.yaml").world.sample(3)
    mine = setting.world.sample(3)
    for name in ("arrival_step", "departure_step", "energy_kwh", "wanted_kwh"):
        assert np.array_equal(mine.vehicles[name], plain.vehicles[name])
    assert mine.turned_away == plain.turned_away > 0


def test_a_battery_charges_at_full_power_until_it_is_full(setting: Setting) -> None:
    track = Track.build(setting.site, step_h=1.0, n_steps=3, sessions=[])
    simulator = setting.simulator([track])
    simulator.reset()
    for energy in (10.0 + 9.3, 20.0, 20.0):  # 93 % of 10 kW, then the last 0.7 kWh
        flow = simulator.step(np.array([[10.0, 0.0, 0.0, 0.0]]))
        assert flow.energy_kwh[0, 0] == pytest.approx(energy, abs=1e-6)
    assert flow.unmet_kwh.sum() == 0.0


def test_tracks_keep_it(setting: Setting, tmp_path: Path) -> None:
    track = setting.world.sample(1)
    assert Track.load(track.save(tmp_path / "day.parquet")) == track
    car = {"port": "ac_0/0", "arrival": 1, "departure": 3, "wanted_kwh": 5}
    by_hand = track.with_sessions([car], setting.site)
    assert by_hand.sessions["port"].tolist() == [0, 3, 1]
    with pytest.raises(TrackError, match="battery at port bess_0/0 is missing"):
        track.replace(sessions=track.vehicles).validate(setting.site)
    wrong = by_hand.sessions.copy()
    wrong["vehicle"][2] = STATIONARY
    with pytest.raises(TrackError, match="a stationary battery stands at port 1, which has none"):
        track.replace(sessions=wrong).validate(setting.site)


def test_recorded_sessions_get_it_too(setting: Setting, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("arrival,departure,energy_kwh,station\n2023-05-15 08:00,2023-05-15 12:00,9,A\n")
    (track,) = import_tracks("csv", tmp_path / "mine.csv", setting.scenario)
    assert track.vehicles["port"].tolist() == [1]  # the first port that vehicles come to
    track.validate(setting.site)


def test_a_graph_keeps_it(setting: Setting, tmp_path: Path) -> None:
    setting.site.write_graphml(tmp_path / "site.graphml")
    again = Site.read_graphml(tmp_path / "site.graphml")
    assert again.arrays.storage_kwh.tolist() == [20.0, 0.0, 0.0, 10.0]
    assert again.arrays.storage_wear_per_kwh.tolist() == [2.0, 0.0, 0.0, 0.0]
    graph = setting.site.graph.copy()
    graph.nodes["ac_0/0"]["reserve_kwh"] = 1.0
    graph.nodes["bess_0/0"]["start_kwh"] = 21.0
    graph.add_node("bess_1/1", kind="port", charge_kw=5.0)
    graph.add_edge("bess_1", "bess_1/1")
    with pytest.raises(SiteError) as error:
        Site.from_graph(graph)
    for text in ("'ac_0/0': reserve_kwh is for a", "more than its storage_kwh, 20", "a stationary battery and 2 ports"):
        assert text in str(error.value)


def test_it_is_described(setting: Setting) -> None:
    console = Console(width=200, record=True)
    console.print(describe_site(setting.site))
    assert "1 × bess (bess_0), stationary battery of 20 kWh and 10 kW, 8 kW out, 10 kWh at the start, at least 1" in (
        console.export_text()
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{type: bess, power: 5 kW, ports: 2, battery: {energy: 10 kWh}}", "has one port"),
        ("{type: bess, power: 5 kW, v2g: true, battery: {energy: 10 kWh}}", "has one port"),
        ("{type: bess, power: 5 kW, battery: {energy: 10 kWh, start: 120 %}}", "start"),
        ("{type: bess, power: 5 kW, battery: {reserve: 10 %}}", "energy"),
        ("{type: bess, power: 5 kW, battery: {energy: 10 kWh, wear: 1 USD/kWh}}", "USD"),
    ],
)
def test_errors_name_the_key(tmp_path: Path, entry: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(ALONE.format(entry))
    with pytest.raises(ScenarioError, match=message):
        load_scenario(tmp_path / "mine.yaml")


def test_a_site_of_batteries_alone(tmp_path: Path) -> None:
    entry = "{type: bess, count: 2, power: 5 kW, battery: {energy: 10 kWh}}"
    (tmp_path / "mine.yaml").write_text(ALONE.format(entry))
    track = World(load_scenario(tmp_path / "mine.yaml")).sample(0)
    assert len(track.vehicles) == 0
    assert len(track.sessions) == 2


def test_alone_and_in_a_batch_a_day_is_the_same(setting: Setting) -> None:
    scenario = setting.scenario
    env, batched = ev_marl.parallel_env(scenario), ev_marl.BatchedEnv(scenario, 1, n_days=1)
    batched.reset()
    env.reset(options={"track": batched.tracks[0]})
    rng = np.random.default_rng(0)
    assert env.action_space("bess_0").low.tolist() == [-1.0]
    stored = 0.0
    while env.agents:
        actions = rng.uniform(-1, 1, (1, 4)).astype(np.float32)
        _, rewards, _, _, _ = env.step({agent: actions[0, a : a + 1] for a, agent in enumerate(env.possible_agents)})
        _, many, *_ = batched.step(actions)
        np.testing.assert_array_equal(list(rewards.values()), many[0])
        stored += abs(rewards["bess_0"])
    assert stored > 0.0
