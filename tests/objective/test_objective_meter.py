"""Money at the site's meter: by hand, against another optimum, and nobody above the bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum_cases import money, one_port_day, random_day, reference_bound, without_limits

from ev_marl.env.blocks import SitePrice
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.meter import marginal_prices, mean_price
from ev_marl.optimum import solve
from ev_marl.policies import Policy, make_policy, rollout
from ev_marl.policies.plan import PlanPolicy
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.track import Track

seeds = st.integers(0, 2**32 - 1)


def bill(net_kw: np.ndarray, buy: np.ndarray, sell: np.ndarray) -> np.ndarray:
    """Of an hour."""
    return buy * np.maximum(0.0, net_kw) - sell * np.maximum(0.0, -net_kw)


# Buying 0.30, selling 0.10; base load, powers of three ports, and what each of them pays in an hour.
BY_HAND = {
    "all is bought": (5.0, (10.0, 2.0, 0.0), (3.00, 0.60, 0.00)),
    "discharging saves buying": (20.0, (0.0, -4.0, -2.0), (0.00, -1.20, -0.60)),
    "PV is charged for what it would have earned": (-20.0, (10.0, 5.0, 0.0), (1.00, 0.50, 0.00)),
    # 9 kW in all: 6 of the sun at 0.10, 3 bought at 0.30, a mean of 1/6.
    "some sun, some bought": (-6.0, (10.0, 2.0, -3.0), (10 / 6, 2 / 6, -3 / 6)),
    # 8 kW fed: 2 replace what was bought, 6 are sold; a mean of 0.15.
    "the building first, the rest sold": (2.0, (0.0, -8.0, 0.0), (0.0, -1.20, 0.0)),
    "one vehicle charges another": (0.0, (4.0, -4.0, 0.0), (0.80, -0.80, 0.0)),
    "nobody there": (-6.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_each_port_pays_by_hand(name: str) -> None:
    base_kw, power_kw, expected = BY_HAND[name]
    site, track = one_port_day(
        [0.3], sell=[0.1], base_load_kw=base_kw, n_vehicles=3, energy_kwh=50.0, discharge_kw=10.0
    )
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset()
    flow = simulator.step(np.array([power_kw]))
    out = np.empty((1, 3))
    EnergyCost(metering="site").cost(flow, out)
    np.testing.assert_allclose(out[0], expected, atol=1e-12)
    whole = bill(np.array(base_kw + sum(power_kw)), 0.3, 0.1) - bill(np.array(base_kw), 0.3, 0.1)
    assert out.sum() == pytest.approx(float(whole), abs=1e-12)


@given(seeds, st.booleans())
def test_parts_sum_to_the_difference_in_the_bill(seed: int, sells_dearer: bool) -> None:
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    track = random_track(rng, site)
    if sells_dearer:
        track = replace(track, buy_per_kwh=track.sell_per_kwh, sell_per_kwh=track.buy_per_kwh)
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset([0, 0])
    term, out = EnergyCost(1.5, "site"), np.empty((2, site.arrays.n_ports))
    while not simulator.done:
        flow = simulator.step(rng.normal(0, 20, (2, site.arrays.n_ports)))
        term.cost(flow, out)
        base_kw = flow.base_load_kw[:, 0]
        prices = (flow.buy_per_kwh, flow.sell_per_kwh)
        whole = bill(base_kw + flow.group_kw[:, 0], *prices) - bill(base_kw, *prices)
        np.testing.assert_allclose(out.sum(axis=1), 1.5 * flow.step_h * whole, atol=1e-9)
        assert (out[flow.granted_kw == 0.0] == 0.0).all()


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(-1, 1), st.floats(-1, 1))
def test_the_mean_price_lies_between_the_two(base_kw: float, power_kw: float, buy: float, sell: float) -> None:
    price = mean_price(base_kw, power_kw, buy, sell)
    assert min(buy, sell) - 1e-12 <= price <= max(buy, sell) + 1e-12
    whole = bill(np.array(base_kw + power_kw), buy, sell) - bill(np.array(base_kw), buy, sell)
    assert price * power_kw == pytest.approx(float(whole), abs=1e-9)


def test_marginal_prices_by_hand() -> None:
    charging, discharging = marginal_prices(np.array([5.0, -5.0, 0.0]), np.full(3, 0.3), np.full(3, 0.1))
    assert charging.tolist() == [0.3, 0.1, 0.3]
    assert discharging.tolist() == [0.3, 0.1, 0.1]
    for base_kw, up, down in zip((5.0, -5.0, 0.0), charging, discharging, strict=True):
        assert mean_price(base_kw, 1e-9, 0.3, 0.1) == pytest.approx(up)
        assert mean_price(base_kw, -1e-9, 0.3, 0.1) == pytest.approx(down)


def test_a_vehicle_feeds_the_building() -> None:
    """Buying 0.32, selling 0.08, a load of 5 kW; 10 kWh to spare, and two hours of it are worth 10·0.32 EUR."""
    site, track = one_port_day(
        [0.32, 0.32], sell=[0.08, 0.08], base_load_kw=5.0, energy_kwh=10.0, wanted_kwh=0.0, discharge_kw=10.0
    )
    at_site, at_port = (solve(site, track, money(unmet=0.0, metering=where)) for where in ("site", "port"))
    assert at_site.bound == pytest.approx(3.20, abs=1e-6)
    np.testing.assert_allclose(at_site.plan.power_kw[:, 0], [-5.0, -5.0], atol=1e-6)
    assert at_port.bound == pytest.approx(0.80, abs=1e-6)


def test_vehicle_to_building_pays_although_feeding_in_does_not() -> None:
    """Four hours at 0.20, four at 0.32 with a load of 4 kW; 0.08 for what is sold, efficiency 0.95, wear 0.02.

    16 kWh of load take 16/0.95² = 17.73 kWh of the night: 16·(0.32 − 0.02) − 17.73·(0.20 + 0.02) = 0.90 EUR.
    """
    site, track = one_port_day(
        [0.20] * 4 + [0.32] * 4,
        sell=[0.08] * 8,
        energy_kwh=20.0,
        wanted_kwh=0.0,
        capacity_kwh=60.0,
        discharge_kw=10.0,
        efficiency=0.95,
    )
    track = replace(track, base_load_kw=np.array([[0.0]] * 4 + [[4.0]] * 4))
    at_site, at_port = (solve(site, track, money(wear=0.02, metering=where)) for where in ("site", "port"))
    assert at_site.achieved == pytest.approx(16 * 0.30 - 16 / 0.95**2 * 0.22, abs=1e-6)
    assert at_port.bound == pytest.approx(0.0, abs=1e-9)


def workplace_in_june(pv_kw: float) -> Scenario:
    """Without limits, at one price, of which 30 % are left for what is fed back."""
    scenario = load_scenario("workplace").model_dump(exclude_unset=True)
    groups = [scenario["site"]]
    for group in groups:
        group.pop("import_limit", None)
        group.pop("export_limit", None)
        if "pv" in group:
            group["pv"]["peak"] = pv_kw
        groups.extend(group.get("groups", ()))
    change = {"start": "2023-06-05", "until": "2023-06-16", "prices": {"constant": 0.30, "feed_in": 0.3}}
    return Scenario.model_validate(scenario | change)


def test_pv_behind_the_meter_changes_the_optimum() -> None:
    bounds = []
    for pv_kw in (0.0, 200.0, 1000.0):
        setting = Setting.of(workplace_in_june(pv_kw))
        assert setting.scenario.billed_at == "site"
        bounds.append(solve(setting.site, setting.world.sample(8), setting.objective).bound)
    assert bounds[0] + 1.0 < bounds[1]
    assert bounds[1] + 1.0 < bounds[2]


@pytest.mark.parametrize("seed", range(16))
def test_the_bound_agrees_with_another_optimum(seed: int) -> None:
    site, track = day_at_the_meter(seed, n_steps=6, sells_dearer=seed % 2 == 1)
    wear = 0.02 * (seed % 3)
    bound = solve(site, track, money(wear=wear, unmet=0.5, metering="site")).bound
    reference = reference_bound(site, track, wear=wear, unmet=0.5, metering="site")
    assert bound == pytest.approx(reference, rel=2e-6, abs=2e-6)


def day_at_the_meter(seed: int, *, n_steps: int = 10, sells_dearer: bool) -> tuple[Site, Track]:
    """A random day with load and PV at the root, at which selling pays more than buying in every other step."""
    site, track = random_day(seed, n_steps=n_steps)
    rng = np.random.default_rng(seed)
    base_kw = track.base_load_kw.copy()
    base_kw[:, 0] += rng.uniform(-40.0, 25.0, n_steps)
    swapped = sells_dearer & (np.arange(n_steps) % 2 == 0)
    buy = np.where(swapped, track.sell_per_kwh, track.buy_per_kwh)
    sell = np.where(swapped, track.buy_per_kwh, track.sell_per_kwh)
    return site, without_limits(replace(track, base_load_kw=base_kw, buy_per_kwh=buy, sell_per_kwh=sell))


@settings(max_examples=30)
@given(seeds, st.booleans())
def test_no_policy_beats_the_bound_and_the_plan_earns_it(seed: int, sells_dearer: bool) -> None:
    site, track = day_at_the_meter(seed, sells_dearer=sells_dearer)
    objective, rng = money(wear=0.01, unmet=0.5, metering="site"), np.random.default_rng(seed)
    solution = solve(site, track, objective)
    assert solution.certificate.exact
    assert bool(solution.certificate.not_convex) <= sells_dearer
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    policies: list[Policy] = [make_policy(name) for name in ("uncontrolled", "random", "best-response", "mpc-perfect")]
    plan = solution.plan
    noisy = plan.energy_kwh + rng.normal(0.0, 2.0, plan.energy_kwh.shape)
    policies += [PlanPolicy(plan), PlanPolicy(replace(plan, energy_kwh=noisy))]
    for policy in policies:
        earned = float(rollout(simulator, objective, policy, [track]).team[0])
        assert earned <= solution.bound + 1e-9 * max(1.0, abs(solution.bound)), policy.name


def test_what_is_not_convex_is_said() -> None:
    site, track = one_port_day([0.1] * 3, sell=[0.3] * 3, base_load_kw=-4.0, wanted_kwh=20.0, discharge_kw=10.0)
    certificate = solve(site, track, money(metering="site")).certificate
    assert certificate.not_convex == ("the site imports or exports where selling pays more than buying (3)",)
    assert certificate.exact
    assert solve(site, track.with_prices(0.3, 0.1), money(metering="site")).certificate.not_convex == ()


@pytest.mark.parametrize("name", ["mpc", "mpc-perfect"])
def test_mpc_plans_with_the_meter(name: str) -> None:
    """10 kWh wanted in four hours; the sun gives 5 kW in the last two, of which a kWh costs 0.05 instead of 0.20."""
    site, track = one_port_day([0.2] * 4, sell=[0.05] * 4, wanted_kwh=10.0)
    track = replace(track, base_load_kw=np.array([[0.0], [0.0], [-5.0], [-5.0]]))
    objective = Objective(money(metering="site").terms)
    drawn: list[float] = []
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    watch = lambda flow, rewards, costs: drawn.append(flow.granted_kw[0, 0])  # noqa: E731
    earned = rollout(simulator, objective, make_policy(name), [track], watch=watch).team[0]
    if name == "mpc-perfect":
        np.testing.assert_allclose(drawn, [0.0, 0.0, 5.0, 5.0], atol=1e-6)
        assert earned == pytest.approx(-0.5, abs=1e-6)
    else:  # it expects that the sun stays away
        assert earned == pytest.approx(-2.0, abs=1e-6)


def test_where_energy_is_billed_if_nothing_is_said() -> None:
    assert {name: load_scenario(name).billed_at for name in ("workplace", "depot-100", "highway", "tiny")} == {
        "workplace": "site",
        "depot-100": "site",
        "highway": "site",
        "tiny": "port",
    }
    assert load_scenario("residential-v2g").billed_at == "port"  # each household has a contract of its own


def test_stations_see_the_marginal_prices_and_no_vehicle() -> None:
    site, track = one_port_day([0.3] * 3, sell=[0.1] * 3, wanted_kwh=20.0, discharge_kw=10.0)
    track = replace(track, base_load_kw=np.array([[5.0], [-5.0], [0.0]]))
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset()
    block = SitePrice(scale_per_kwh=0.1)
    assert [feature.name for feature in block.bind(site)] == ["charging", "discharging"]
    block.load(simulator.days)
    out = np.empty((1, 1, 2), dtype=np.float32)
    for expected in ([3.0, 3.0], [1.0, 1.0], [3.0, 1.0]):
        block.fill(simulator.state, out)
        np.testing.assert_allclose(out[0, 0], expected, rtol=1e-6)
        simulator.step(np.full((1, 1), 10.0))
