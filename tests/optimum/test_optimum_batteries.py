"""Stationary batteries: money by hand, the optimum against all plans of a tiny day, every policy below the bound."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import ev_marl
from ev_marl.compare.day import Recorder
from ev_marl.env.setup import Setting
from ev_marl.policies import make_policy, rollout
from ev_marl.world.track import Track

ONE = """
name: mine
start: 2023-05-15
step: 1 h
horizon: 4 h
site:
  name: connection
{limits}
  stations:
    - type: bess
      power: 10 kW
      efficiency: {efficiency}
      battery: {{energy: 20 kWh, reserve: 10 %, start: 50 %, wear: {wear}}}
{more}
sessions: {{model: elaadnl/workplace}}
prices: {{constant: 0.2 EUR/kWh, feed_in: 50 %}}
objective: {{{objective}}}
"""


def setting_of(
    folder: Path,
    *,
    efficiency: float = 0.9,
    wear: float = 0.0,
    limits: str = "",
    more: str = "",
    objective: str = "unmet_energy: 1",
) -> Setting:
    file = folder / "mine.yaml"
    file.write_text(ONE.format(efficiency=efficiency, wear=wear, limits=limits, more=more, objective=objective))
    return Setting.of(file)


# 10 of 20 kWh, reserve 2 kWh, efficiency 0.9 each way; the mean price is 0.25, at which a kWh left is worth 0.25·0.9.
# Charging 10 kWh at 0.10 costs 10/0.9·0.10; 18 kWh discharged at 0.40 give 16.2 kWh; 8 kWh are missing at the end.
@pytest.mark.parametrize(
    ("wear", "expected"),
    [
        (0.0, 16.2 * 0.40 - 10 / 0.9 * 0.10 - 8 * 0.25 * 0.9),
        (0.01, 16.2 * 0.39 - 10 / 0.9 * 0.11 - 8 * 0.24 * 0.9),
    ],
)
def test_two_prices_by_hand(tmp_path: Path, wear: float, expected: float) -> None:
    setting = setting_of(tmp_path, wear=wear, objective="")
    track = setting.world.sample(1).with_prices([0.1, 0.1, 0.4, 0.4])
    solution = ev_marl.solve(setting.site, track, setting.objective)
    assert solution.bound == pytest.approx(expected, abs=1e-5)
    assert solution.achieved == pytest.approx(expected, abs=1e-5)
    # One battery without limits of others: its own plan is the optimum, with and without messages.
    for name in ("best-response", "mpc", "mpc-perfect"):
        result = rollout(setting.simulator([track]), setting.objective, make_policy(name), [track], world=setting.world)
        assert float(result.team[0]) == pytest.approx(expected, abs=1e-4), name


def test_neither_the_tariff_of_drivers_nor_the_wear_of_vehicles_is_paid_for_it(tmp_path: Path) -> None:
    expected = 16.2 * 0.40 - 10 / 0.9 * 0.10 - 8 * 0.25 * 0.9
    setting = setting_of(tmp_path, objective="unmet_energy: 1, driver_tariff: 0.5, battery_wear: 0.2")
    track = setting.world.sample(1).with_prices([0.1, 0.1, 0.4, 0.4])
    solution = ev_marl.solve(setting.site, track, setting.objective)
    assert solution.bound == pytest.approx(expected, abs=1e-5)
    for name in ("best-response", "mpc"):
        result = rollout(setting.simulator([track]), setting.objective, make_policy(name), [track], world=setting.world)
        assert float(result.team[0]) == pytest.approx(expected, abs=1e-4), name
        assert float(result.costs["driver_tariff"][0]) == float(result.costs["battery_wear"][0]) == 0.0


def test_simple_policies_leave_it_idle(tmp_path: Path) -> None:
    setting = setting_of(tmp_path)
    track = setting.world.sample(1).with_prices([0.1, 0.1, 0.4, 0.4])
    for name in ("idle", "uncontrolled", "edf", "llf", "round-robin", "as-late-as-possible"):
        result = rollout(setting.simulator([track]), setting.objective, make_policy(name), [track])
        assert float(result.team[0]) == 0.0, name
    threshold = make_policy({"name": "price-threshold", "options": {"charge_share": 0.5, "discharge_share": 0.5}})
    assert float(rollout(setting.simulator([track]), setting.objective, threshold, [track]).team[0]) > 2.0


CAR = {"port": "ac_0/0", "arrival": 0, "departure": 3, "wanted_kwh": 15, "capacity_kwh": 40, "energy_kwh": 10}
AC = "    - {type: ac, power: 10 kW, efficiency: 1.0}"


def test_the_optimum_is_the_best_of_all_plans(tmp_path: Path) -> None:
    setting = setting_of(tmp_path, efficiency=1.0, limits="  import_limit: 10 kW", more=AC)
    site = setting.site
    car = CAR | {"charge_kw": 1e6, "taper_start": 0.999}
    track = Track.build(
        site,
        step_h=1.0,
        n_steps=3,
        sessions=[car],
        buy=[0.1, 0.5, 0.3],
        sell=[0.05, 0.25, 0.15],
        base_load_kw={"connection": [-5.0, 5.0, 0.0]},
    )
    solution = ev_marl.solve(site, track, setting.objective)
    worth = 0.3  # the mean price; nothing is lost
    best = -np.inf
    steps = np.arange(-10.0, 10.5, 2.5)
    for battery in itertools.product(steps, repeat=3):
        energy = 10.0 + np.cumsum(battery)
        if energy.min() < 2.0 or energy.max() > 20.0:
            continue
        for charge in itertools.product(steps[4:], repeat=3):
            if sum(charge) > 30.0:
                continue
            total = np.array(battery) + charge
            if (total + track.base_load_kw[:, 0] > 10.0).any():
                continue
            net = total + track.base_load_kw[:, 0]
            bill = track.buy_per_kwh * np.maximum(net, 0) - track.sell_per_kwh * np.maximum(-net, 0)
            alone = track.base_load_kw[:, 0]
            before = track.buy_per_kwh * np.maximum(alone, 0) - track.sell_per_kwh * np.maximum(-alone, 0)
            unmet = max(0.0, 15.0 - sum(charge))
            best = max(best, float((before - bill).sum()) + worth * (energy[-1] - 10.0) - unmet)
    # 0.5 kWh are left between the reserve of 2 kWh and the steps of the grid, at most 0.5 · 0.5 EUR.
    assert best <= solution.bound + 1e-6
    assert solution.bound <= best + 0.25 + 1e-6
    assert solution.achieved == pytest.approx(solution.bound, abs=1e-5)


def test_pv_that_is_stored_costs_the_selling_price_and_saves_the_buying_price(tmp_path: Path) -> None:
    setting = setting_of(tmp_path, objective="terminal_value: 0")
    base_load_kw = {"connection": [-10.0, 8.1]}  # PV, then a load
    track = Track.build(setting.site, step_h=1.0, n_steps=2, buy=0.2, sell=0.1, base_load_kw=base_load_kw)
    assert setting.scenario.billed_at == "site"
    # 10 kWh of PV are not sold at 0.10; 9 kWh of them are in the battery, and 8.1 kWh need not be bought at 0.20.
    simulator, costs = setting.simulator([track]), np.empty((1, 1))
    simulator.reset()
    total = 0.0
    for power in (10.0, -8.1):
        flow = simulator.step(np.array([[power]]))
        setting.objective.terms[setting.objective.names.index("energy_cost")].cost(flow, costs)
        total -= float(costs[0, 0])
    assert total == pytest.approx(8.1 * 0.20 - 10.0 * 0.10)
    # 8 kWh above the reserve give 7.2 kWh; only the 0.9 kWh that the load lacks then are worth storing PV for.
    bound = ev_marl.solve(setting.site, track, setting.objective).bound
    assert bound == pytest.approx(8.1 * 0.20 - 0.9 / 0.81 * 0.10, abs=1e-5)


HUB = """
extends: tiny
name: hub
site:
  name: hub
  import_limit: 30 kW
  export_limit: 12 kW
  pv: {peak: 25 kW}
  groups:
    - name: lot
      import_limit: 20 kW
      export_limit: 6 kW
      stations:
        - {type: bidi, count: 2, power: 11 kW, v2g: true}
        - {type: bess, power: 15 kW, efficiency: 95 %, battery: {energy: 30 kWh, wear: 0.01}}
  stations:
    - {type: ac, count: 2, power: 11 kW}
    - {type: bess, power: 8 kW, discharge_power: 5 kW, battery: {energy: 10 kWh, reserve: 20 %, start: 30 %}}
vehicles: {mix: eu, v2g_share: 60 %, reserve: 30 %}
objective: {unmet_energy: 0.5, battery_wear: 0.02, driver_tariff: 0.3, peak_power: 0.1}
"""


def test_no_policy_earns_more_than_the_bound_and_all_keep_the_limits(tmp_path: Path) -> None:
    file = tmp_path / "hub.yaml"
    file.write_text(HUB)
    setting = Setting.of(file)
    assert {"bess_0", "bess_1"} < set(setting.site.agents)
    for seed in (0, 1):
        track = setting.world.sample(seed)
        solution = ev_marl.solve(setting.site, track, setting.objective)
        assert solution.achieved == pytest.approx(solution.bound, rel=1e-5)
        policies = ("uncontrolled", "random", "edf", "price-threshold", "best-response", "mpc", "mpc-perfect")
        for name in (*policies, "dual-prices", "selfish", "booked-response"):
            simulator = setting.simulator([track])
            recorder = Recorder(simulator)
            result = rollout(
                simulator,
                setting.objective,
                make_policy(name),
                [track],
                seed=3,
                watch=recorder.watch,
                world=setting.world,
            )
            assert float(result.team[0]) <= solution.bound + 1e-6, name
            measured = recorder.measured()
            assert measured.violations == 0, name
            assert len(measured.satisfaction) == sum(track.vehicles["wanted_kwh"] > 0)
            assert measured.storage_kwh is not None
