"""Chargers whose efficiency depends on the power: energies by hand, the power box, equal steps, who came before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_marl.env.setup import Setting
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.site.charge_curve import curves_of, energy_after
from ev_marl.site.part_load import drawn_kw, into_battery_kw, pieces
from ev_marl.support.errors import SiteError
from ev_marl.world.track import Track

SITE = """
extends: tiny
name: lossy
site:
  name: connection
  import_limit: 60 kW
  export_limit: 60 kW
  groups:
    - name: yard
      stations:
        - {type: ac, power: 10 kW, part_load: [[50 %, 96 %], [100 %, 90 %]]}
        - {type: bidi, power: 10 kW, v2g: true, part_load: [[20 %, 70 %], [100 %, 90 %]], discharge_efficiency: 90 %}
        - {type: plain, power: 10 kW, efficiency: 90 %}
"""
SOLID = """
        - {type: bess, power: 10 kW, part_load: [[50 %, 96 %], [100 %, 90 %]], battery: {energy: 40 kWh, start: 50 %}}
"""


def setting(path: Path, text: str = SITE) -> Setting:
    file = path / "lossy.yaml"
    file.write_text(text, encoding="utf-8")
    return Setting.of(load_scenario(file))


def cars(yard: Setting, *, step_h: float = 1.0, hours: int = 4, **values: float) -> Track:
    """Three equal cars, one at each port."""
    usual = {"arrival": 0, "departure": round(hours / step_h), "energy_kwh": 10.0, "wanted_kwh": 50.0}
    usual |= {"capacity_kwh": 60.0, "charge_kw": 10.0, "taper_start": 0.999, **values}
    rows = [{"port": port, **usual} for port in (0, 1, 2)]
    rows[1] |= {"discharge_kw": 10.0, "reserve_kwh": 0.0}
    n_steps = round(hours / step_h)
    return Track.build(yard.site, step_h=step_h, n_steps=n_steps, sessions=rows, buy=0.3, sell=0.2)


def played(yard: Setting, track: Track, setpoint_kw: float) -> tuple[np.ndarray, np.ndarray]:
    """Granted powers and energies at the end of all steps, shape (T, P) each."""
    simulator = Simulator(yard.site.arrays, make_coordinator("none"), [track])
    simulator.reset()
    power_kw, energy_kwh = [], []
    while not simulator.done:
        flow = simulator.step(np.full((1, yard.site.arrays.n_ports), setpoint_kw))
        power_kw.append(flow.granted_kw[0].copy())
        energy_kwh.append(flow.energy_kwh[0].copy())
    return np.array(power_kw), np.array(energy_kwh)


@pytest.mark.parametrize(
    ("setpoint_kw", "gains_kwh"),
    [
        (2.5, (2.4, 1.4 + 0.5 * 7.6 / 8.0, 2.25)),
        (5.0, (4.8, 1.4 + 3.0 * 7.6 / 8.0, 4.5)),
        (7.5, (4.8 + 2.5 * 0.84, 1.4 + 5.5 * 7.6 / 8.0, 6.75)),
        (10.0, (9.0, 9.0, 9.0)),
        (1.0, (0.96, 0.7, 0.9)),  # below the first point: its efficiency
    ],
)
def test_an_hour_by_hand(tmp_path: Path, setpoint_kw: float, gains_kwh: tuple[float, ...]) -> None:
    yard = setting(tmp_path)
    _, energy_kwh = played(yard, cars(yard), setpoint_kw)
    assert energy_kwh[0] - 10.0 == pytest.approx(gains_kwh, abs=1e-12)
    assert energy_kwh[1] - energy_kwh[0] == pytest.approx(gains_kwh, abs=1e-12)


def test_discharging_has_its_own_efficiency(tmp_path: Path) -> None:
    yard = setting(tmp_path)
    _, energy_kwh = played(yard, cars(yard), -4.5)
    assert energy_kwh[0] == pytest.approx((10.0, 10.0 - 4.5 / 0.9, 10.0), abs=1e-12)


@pytest.mark.parametrize("setpoint_kw", [3.0, 100.0])
def test_steps_of_5_15_and_60_minutes_agree(tmp_path: Path, setpoint_kw: float) -> None:
    """The energies do, also in the taper: a step reaches F(e) whatever its length."""
    yard = setting(tmp_path)
    ends = [
        played(yard, cars(yard, step_h=step_h, hours=6, taper_start=0.7), setpoint_kw)[1][-1]
        for step_h in (1 / 12, 1 / 4, 1.0)
    ]
    assert ends[0] == pytest.approx(ends[2], abs=1e-9)
    assert ends[1] == pytest.approx(ends[2], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_full_power_reaches_f_and_no_more(tmp_path_factory: pytest.TempPathFactory, seed: int, curved: bool) -> None:
    rng = np.random.default_rng(seed)
    yard = setting(tmp_path_factory.mktemp("yard"), SITE + SOLID)
    track = cars(
        yard,
        step_h=0.5,
        hours=8,
        energy_kwh=float(rng.uniform(0, 55)),
        wanted_kwh=5.0,
        charge_kw=float(rng.choice([3.0, 7.0, 10.0, 22.0])),
        taper_start=float(rng.uniform(0.3, 0.95)),
    )
    if curved:
        sessions = track.sessions.copy()
        sessions["vehicle"][:2] = "curved"
        track = track.replace(sessions=sessions, curves={"curved": ((0.0, 4.0), (0.3, 9.5), (0.6, 3.0), (1.0, 0.5))})
    stays = stays_of(yard.site.arrays, track)
    power_kw, energy_kwh = played(yard, track, 100.0)
    port, hours = stays["port"], 8.0
    battery = stays["rate_kw"], stays["capacity_kwh"], stays["tau_h"], curves_of(stays)
    assert energy_kwh[-1][port] == pytest.approx(energy_after(stays["energy_kwh"], hours, *battery), abs=1e-9)
    assert (energy_kwh[:, port] <= stays["capacity_kwh"]).all()
    # What is metered gives what is stored, step by step.
    before = np.vstack([np.zeros(len(yard.site.ports)), energy_kwh[:-1]])
    before[0, port] = stays["energy_kwh"]
    for t, drawn in enumerate(power_kw):
        stored = into_battery_kw(yard.site.arrays, np.arange(len(drawn)), drawn)
        assert (energy_kwh[t] - before[t]) / 0.5 == pytest.approx(stored, abs=1e-9)


def test_laxity_counts_with_full_power(tmp_path: Path) -> None:
    yard = setting(tmp_path)
    stays = stays_of(yard.site.arrays, cars(yard))
    assert stays["rate_kw"] == pytest.approx(9.0)
    assert stays["hours_per_kwh"] == pytest.approx(1.0 / 9.0)
    assert stays["charge_efficiency"] == pytest.approx((0.96, 0.90, 0.90))


def test_rules_reach_the_wish(tmp_path: Path) -> None:
    """The last step of charging draws what is missing, with the efficiency of that power."""
    yard = setting(tmp_path)
    track = cars(yard, wanted_kwh=13.0)
    simulator = Simulator(yard.site.arrays, make_coordinator("none"), [track])
    ends: list[np.ndarray] = []
    for name in ("uncontrolled", "as-late-as-possible", "llf"):
        watch = ends.append
        rollout(
            simulator,
            yard.objective,
            make_policy(name),
            [track],
            watch=lambda flow, rewards, costs, keep=watch: keep(flow.energy_kwh[0].copy()),
        )
        assert ends[-1] == pytest.approx(23.0, abs=1e-9), name


def test_a_vehicle_that_came_before_charged_at_full_power(tmp_path: Path) -> None:
    """Vehicles of 10 kW that came before the episode hold what the table gives, not what the best efficiency would."""
    text = SITE + "start_hour: 10 h\nsessions: {model: elaadnl/workplace, per_port_per_day: 2}\n"
    text += "vehicles: {mix: [{name: car, capacity: 50 kWh, ac_power: 10 kW}]}\n"
    yard = setting(tmp_path, text)
    plain = setting(tmp_path, text.replace("part_load: [[50 %, 96 %], [100 %, 90 %]]", "efficiency: 90 %"))
    ahead_kwh = 0.0
    for seed in range(5):
        lossy, same = yard.world.sample(seed).sessions, plain.world.sample(seed).sessions
        at = lossy["port"] == 0
        assert lossy["energy_kwh"][at] == pytest.approx(same["energy_kwh"][at], abs=1e-9)
        ahead_kwh += float(lossy["ahead_kwh"][at].sum())
    assert ahead_kwh > 1.0  # some were there before


def test_a_saved_scenario_is_the_same(tmp_path: Path) -> None:
    """Comparisons save every key, also those that were left out."""
    scenario = setting(tmp_path, SITE + SOLID).scenario
    assert Scenario.model_validate(scenario.model_dump(mode="json")).site == scenario.site


def test_there_and_back() -> None:
    points = np.array([[0.0, 2.0, 10.0, 10.0], [0.0, 1.4, 9.0, 9.0]])
    found = pieces(points, 10.0, 0.9)
    assert found.slope == pytest.approx([0.9])
    assert not found.exact
    assert found.most_lost_kw == pytest.approx(0.4)
    assert pieces(points, 2.0, 0.9).exact


def test_powers_there_and_back(tmp_path: Path) -> None:
    arrays = setting(tmp_path).site.arrays
    port, drawn = np.arange(3), np.array([6.0, 1.0, 7.0])
    assert drawn_kw(arrays, port, into_battery_kw(arrays, port, drawn)) == pytest.approx(drawn, abs=1e-12)


@pytest.mark.parametrize(
    ("station", "message"),
    [
        ("part_load: [[50 %, 96 %], [90 %, 90 %]]", "up to 100 %"),
        ("part_load: [[60 %, 96 %], [100 %, 50 %]]", "gives the battery less at more power"),
        ("part_load: [[100 %, 90 %]], efficiency: 90 %", "remove one of these keys"),
        ("part_load: [[100 %, 90 %]], least_power: 2 kW", "not there together with a least"),
    ],
)
def test_faults_are_named(tmp_path: Path, station: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        setting(tmp_path, SITE.replace("part_load: [[50 %, 96 %], [100 %, 90 %]]", station))


@pytest.mark.parametrize("table", ["nonsense", "[[0.5, 2.0], [1.0, 0.9]]", "[]", "[[0.5, 0.9]]"])
def test_tables_of_graphs_are_checked(tmp_path: Path, table: str) -> None:
    site = setting(tmp_path).site
    graph = site.graph.copy()
    graph.nodes[site.ports[0]]["part_load"] = table
    with pytest.raises(SiteError, match="part_load"):
        Site.from_graph(graph)
    graph.nodes[site.ports[0]]["part_load"] = json.dumps([[1.0, 0.9]])
    assert Site.from_graph(graph).arrays.has_part_load
