"""A price of CO2: by hand, in the optimum, for every policy that plans by prices, and what is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ev_marl
from ev_marl.compare.day import Work, run_day
from ev_marl.env.setup import Setting
from ev_marl.objective.carbon import Carbon
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import load_scenario
from ev_marl.support.errors import EvMarlError, TrackError
from ev_marl.world.signals import Signals

SCENARIO = """
name: carbon
start: 2023-05-15
step: 1 h
horizon: 4 h
site:
  name: grid
  base_load: 2 kW
  groups:
    - {name: roof, base_load: {by_hour: [0, -6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, stations: [{type: ac, power: 10 kW, efficiency: 100 %}]}
sessions: {per_port_per_day: 0}
prices: {constant: 0.10 EUR/kWh}
carbon: {by_hour: [400, 400, 100, 400, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}
objective: {carbon: 500 EUR/t, terminal_value: 0}
"""  # noqa: E501


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    path = tmp_path / "carbon.yaml"
    path.write_text(SCENARIO)
    return Setting.of(load_scenario(path))


def day(setting: Setting, wanted_kwh: float = 10.0) -> ev_marl.Track:
    """One car for four hours. The site draws 2 kW, and exports 4 kW in hour 1."""
    car = {
        "port": "ac_0/0",
        "arrival": 0,
        "departure": 4,
        "wanted_kwh": wanted_kwh,
        "capacity_kwh": 100,
        "energy_kwh": 5,
    }
    return setting.world.surroundings(0).with_sessions([car], setting.site)


def test_by_hand(setting: Setting) -> None:
    """Hour 0: 10 kW at 0.4 kg/kWh. Hour 1: of 10 kW, 4 are the site's own, 6 are drawn. Hour 2: 5 kW at 0.1 kg/kWh."""
    simulator = setting.simulator([day(setting, 25.0)])
    simulator.reset()
    term, out = Carbon(500.0), np.zeros((1, 1))
    paid = []
    for power_kw in (10.0, 10.0, 5.0, 0.0):
        term.cost(simulator.step(np.array([[power_kw]])), out)
        paid.append(out.item())
    assert paid == pytest.approx([0.5 * 10 * 0.4, 0.5 * 6 * 0.4, 0.5 * 5 * 0.1, 0.0])


def test_the_optimum_and_who_plans_by_prices_charge_where_it_is_clean(setting: Setting) -> None:
    """Energy costs the same always. A car that wants 10 kWh takes 4 kWh of the site's own sun and 6 kWh in hour 2."""
    track = day(setting)
    solution = ev_marl.solve_day(setting, track)
    assert solution.bound == pytest.approx(-(10 * 0.10 + 0.5 * 6 * 0.1), abs=1e-6)
    assert solution.achieved == pytest.approx(solution.bound, abs=1e-6)
    # A station by itself takes the price of its first kW, which the sun covers in hour 1, for that of all 10.
    for name, expected, most in (
        ("mpc", solution.bound, 1e-6),
        ("dual-prices", solution.bound, 0.2),
        ("best-response", -(10 * 0.10 + 0.5 * 6 * 0.4), 1e-6),
        ("booked-response", solution.bound, 0.3),
    ):
        played = rollout(setting.simulator([track]), setting.objective, make_policy(name), [track], world=setting.world)
        assert played.team[0] == pytest.approx(expected, abs=most), name
        assert played.team[0] <= solution.bound + 1e-9
    lazy = rollout(setting.simulator([track]), setting.objective, make_policy("uncontrolled"), [track])
    assert lazy.costs["carbon"][0] == pytest.approx(0.5 * 10 * 0.4)


def test_kilograms_are_measured(setting: Setting, tmp_path: Path) -> None:
    """Uncontrolled: 10 kWh in hour 0. Without vehicles the site draws 2 kWh in hours 0, 2 and 3."""
    track = day(setting)
    track.save(tmp_path / "day.json")
    work = Work(setting.scenario.model_dump_json(), ("uncontrolled",), track_files=((5, str(tmp_path / "day.json")),))
    measured = run_day(work, 0, 5).of("uncontrolled")
    assert measured.charging_carbon_kg == pytest.approx(10 * 0.4)
    assert measured.carbon_kg == pytest.approx(10 * 0.4 + 2 * (0.4 + 0.1 + 0.4))


def test_what_it_needs(tmp_path: Path) -> None:
    for old, new, message in (
        ("carbon: {by_hour", "notes: {by_hour", "carbon"),
        ("terminal_value: 0}", "terminal_value: 0, energy_cost: 0}", "needs `energy_cost` above 0"),
    ):
        text = SCENARIO.replace(old, new)
        text = "\n".join(line for line in text.splitlines() if not line.startswith("notes:"))
        path = tmp_path / "wrong.yaml"
        path.write_text(text)
        with pytest.raises(EvMarlError, match=message):
            Setting.of(load_scenario(path))


def test_a_day_without_intensity_is_refused(setting: Setting) -> None:
    track = day(setting)
    bare = track.replace(signals=Signals())
    with pytest.raises(EvMarlError, match="the day has no carbon intensity"):
        ev_marl.solve_day(setting, bare)
    simulator = setting.simulator([bare])
    simulator.reset()
    with pytest.raises(EvMarlError, match="the day has no carbon intensity"):
        setting.objective.evaluate(simulator.step(np.zeros((1, 1))))
    with pytest.raises(TrackError, match="signals"):
        setting.simulator([track, bare])
