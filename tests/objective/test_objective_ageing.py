"""Ageing of batteries: the laws by hand, the linear term in the simulator, the optimum, mpc and own plans."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import ev_marl
from ev_marl.compare.battery_metrics import AgeingLaws
from ev_marl.compare.day import Work, run_day
from ev_marl.env.setup import Setting
from ev_marl.objective.ageing import AgeingPrices, BatteryAgeing
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import load_scenario
from ev_marl.scenario.schema import ageing as keys
from ev_marl.site.battery_ageing import AgeingLaw, cycles_of
from ev_marl.support.errors import DataError
from ev_marl.testing import check_term

SCENARIO = """
name: ageing
start: 2023-05-15
step: 1 h
horizon: 4 h
site:
  name: grid
  stations:
    - {type: ac, power: 10 kW, efficiency: 100 %, v2g: true}
    - {type: bess, power: 10 kW, efficiency: 100 %, battery: {energy: 20 kWh}}
sessions: {per_port_per_day: 0}
prices: {by_hour: [0.20, 0.20, 0.20, 0.20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}
ageing: {vehicles: {age: 4 years, cycles_per_year: 50}}
objective: {battery_ageing: 1}
metering: port
"""


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    path = tmp_path / "ageing.yaml"
    path.write_text(SCENARIO)
    return Setting.of(load_scenario(path))


def day(setting: Setting, wanted_kwh: float = 10.0) -> ev_marl.Track:
    car = {
        "port": "ac_0/0",
        "arrival": 0,
        "departure": 4,
        "wanted_kwh": wanted_kwh,
        "capacity_kwh": 50,
        "energy_kwh": 20,
        "discharge_kw": 10,
        "reserve_kwh": 0,
    }
    return setting.world.surroundings(0).with_sessions([car], setting.site)


def test_nmc_by_hand() -> None:
    """The worked case of docs/explanation/model.md: 50 kWh, four years, 200 full cycles, 25 °C, 40 to 80 % in 4 h."""
    law = AgeingLaw.of(keys.BatteryAgeing(age=4, cycles_per_year=50))
    # Mean of V at 45, 55, 65 and 75 %: 3.7878 V; α over 4 years and 4 hours, 1461 days and 1461 1/6.
    alpha = 4.8214e6 * np.exp(-23.3976)
    by_mean = alpha * ((1461 + 1 / 6) ** 0.75 - 1461**0.75)
    pytest.importorskip("rainflow")
    loss = law.loss(np.array([0.4, 0.5, 0.6, 0.7, 0.8]), 1.0)
    assert loss.calendar == pytest.approx(by_mean, rel=1e-3)
    # Voltages 3.655, 3.775, 3.965 V: quadratic mean 3.7878. β over the root of 860 and 860 + 0.4·2.15 Ah.
    beta = 7.348e-3 * (3.7878 - 3.667) ** 2 + 7.6e-4 + 4.081e-3 * 0.4
    assert loss.cyclic == pytest.approx(beta * (np.sqrt(860.86) - np.sqrt(860)), rel=1e-4)
    assert law.per_loss == pytest.approx(115 / 0.2)
    assert law.per_loss * 50 * loss.cyclic == pytest.approx(1.0534, abs=1e-4)


def test_lfp_by_hand() -> None:
    """Half full for a day, and a cycle of 60 % at half the capacity an hour, after 400 full cycles in a year."""
    pytest.importorskip("rainflow")
    law = AgeingLaw.of(keys.StationaryAgeing(age=1, cycles_per_year=400))
    age_s = 8766 * 3600
    calendar = 1.2571e-5 * 0.60225 * (np.sqrt(age_s + 86400) - np.sqrt(age_s))
    assert law.loss(np.full(25, 0.5), 1.0) == pytest.approx((calendar, 0.0))
    cycle = np.array([0.2, 0.5, 0.8, 0.5, 0.2])
    stress = 0.01 * 1.0923 * (0.0971 + 0.063 * 0.3)  # 0.3 of the capacity in an hour
    assert law.loss(cycle, 1.0).cyclic == pytest.approx(stress * (np.sqrt(400.6) - np.sqrt(400)))
    warm = AgeingLaw.of(keys.StationaryAgeing(age=1, temperature=35))
    factor = np.exp(-17126 / 8.3145 * (1 / 308.15 - 1 / 298.15))
    assert warm.calendar_stress(0.5) == pytest.approx(factor * 1.2571e-5 * 0.60225)


def test_cycles_are_counted_by_rainflow() -> None:
    """A small cycle inside a large half one; a stay of one step is a half cycle."""
    pytest.importorskip("rainflow")
    cycles = cycles_of(np.array([0.2, 0.6, 0.5, 0.5, 0.9]), 0.5)
    order = np.argsort(cycles.depth)
    np.testing.assert_allclose(cycles.depth[order], [0.1, 0.7])
    np.testing.assert_allclose(cycles.full[order], [0.1, 0.35])
    np.testing.assert_allclose(cycles.rate_per_h[order], [0.2, 0.9 / 1.5])
    np.testing.assert_allclose(cycles_of(np.array([0.5, 0.7]), 1.0).full, [0.1])
    assert len(cycles_of(np.full(5, 0.5), 1.0).depth) == 0


def test_the_linear_prices_are_the_slopes_of_the_law() -> None:
    """Throughput at the stated depth, and the hour of a full battery over that of an empty one."""
    law = AgeingLaw.of(keys.BatteryAgeing(depth=0.4))
    small = 1e-4  # of the cycles so far
    grows = np.sqrt(law.throughput(law.full_cycles * (1 + small))) - np.sqrt(law.throughput(law.full_cycles))
    stress = law.cyclic_stress(np.array([0.4]), np.array([0.5]), np.array([0.25])).item()
    moved = 2.0 * law.full_cycles * small  # capacities in and out
    assert law.per_kwh == pytest.approx(law.per_loss * stress * grows / moved, rel=1e-4)
    empty, more = law.held_per_kwh_h
    hour = law.per_loss * (law.grown(law.age_h + 1.0) - law.grown(law.age_h))
    assert empty + more == pytest.approx(hour * law.calendar_stress(1.0), rel=0.05)
    assert empty + 0.5 * more == pytest.approx(hour * law.calendar_stress(0.5), rel=0.1)


def test_the_term_is_the_same_everywhere() -> None:
    check_term(lambda: BatteryAgeing(AgeingPrices(0.05, 0.001), AgeingPrices(0.02, 0.002)))


def test_late_charging_ages_less(setting: Setting) -> None:
    """All hours cost the same, so the cheapest plan charges in the last one: optimum, mpc, messages and own plans."""
    track = day(setting)
    ageing = AgeingPrices.of(AgeingLaw.of(setting.scenario.laws.vehicles))
    cost = 10 * (0.20 + ageing.per_kwh) + ageing.held_per_kwh_h * (3 * 20 + 25)
    storage = AgeingPrices.of(AgeingLaw.of(setting.scenario.laws.stationary))
    held = (6 + 3 * 2) * storage.held_per_kwh_h
    solution = ev_marl.solve_day(setting, track)
    assert solution.certificate.exact
    # The battery earns later what it earns now, so it is emptied to its reserve of 2 kWh at once.
    assert solution.bound == pytest.approx(-(cost + held), abs=1e-6)
    for name, most in (("mpc", 1e-6), ("best-response", 1e-6), ("booked-response", 1e-6), ("dual-prices", 0.025)):
        simulator = setting.simulator([track])
        done = rollout(simulator, setting.objective, make_policy(name), [track], world=setting.world)
        assert done.team[0] == pytest.approx(solution.bound, abs=most), name
    early = rollout(setting.simulator([track]), setting.objective, make_policy("uncontrolled"), [track])
    idle = (4 * 10 - 12) * storage.held_per_kwh_h
    assert solution.bound - early.team[0] == pytest.approx(ageing.held_per_kwh_h * 10 * 3 + idle, abs=1e-6)


def test_a_comparison_measures_both(setting: Setting, tmp_path: Path) -> None:
    """By the law and by the linear prices, of the vehicle and of the battery that stands still."""
    pytest.importorskip("rainflow")
    track = day(setting)
    laws = AgeingLaws.of(setting.scenario)
    assert laws is not None
    file = tmp_path / "day.parquet"
    track.save(file)
    work = Work(setting.scenario.model_dump_json(), ("uncontrolled",), track_files=((0, str(file)),))
    played = run_day(work, 0, 0).of("uncontrolled")
    aged = played.vehicles_aged
    assert aged is not None
    loss = laws.vehicles.loss(np.array([20, 30, 30, 30, 30]) / 50, 1.0)
    assert aged.by_session == pytest.approx([laws.vehicles.per_loss * 50 * sum(loss)])
    assert aged.cost == aged.by_session[0]
    empty = 4 * 50 * laws.vehicles.held_per_kwh_h[0]
    assert played.storage_aged is not None
    empty_storage = 4 * 20 * laws.stationary.held_per_kwh_h[0]
    both = aged.linear + played.storage_aged.linear - empty - empty_storage
    assert both == pytest.approx(played.costs["battery_ageing"])
    assert played.storage_aged.cost == played.storage_aged.calendar > 0


def test_without_the_package_it_is_refused_by_name(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rainflow", None)
    with pytest.raises(DataError, match=r"pip install 'ev_marl\[ageing\]'"):
        AgeingLaws.of(setting.scenario)
    unpriced = setting.scenario.objective.model_copy(update={"battery_ageing": 0.0})
    silent = setting.scenario.model_copy(update={"objective": unpriced, "ageing": None})
    assert AgeingLaws.of(silent) is None
