"""Model predictive control: against the optimum, by hand, in closed loop; what it may know; what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from optimum_cases import money, random_day
from policies_cases import day, make_episode, make_site_view, make_station_view, outlook_on, two_lots

from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.optimum import solve
from ev_marl.planning.outlook.drawn import sample_of_models
from ev_marl.planning.outlook.fleets import fleets
from ev_marl.planning.programme.receding import Program
from ev_marl.policies import Mpc, MpcPerfect, make_policy, make_view, rollout
from ev_marl.policies.mpc.ahead import look_ahead
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.scenario.series import Series
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import OptionError, PolicyError
from ev_marl.testing import check_policy
from ev_marl.world.track import Track

MONEY = [EnergyCost(), UnmetEnergy(0.6), BatteryWear(0.02)]
OBJECTIVES = {
    "money": Objective(MONEY),
    "peak": Objective([*MONEY, PeakPower(0.5)]),
    "tracking": Objective([*MONEY, SetpointTracking(0.01, Series.constant(6.0))]),
    "overload": Objective([*MONEY, Overload(0.3)], limits_are_hard=False),
    "limits do not count": Objective(MONEY, limits_are_hard=False),
}


def first_program(site, track, objective, **options) -> Program:
    """The programme of the first step, the whole day being known."""
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset()
    outlook = outlook_on(simulator)
    view = make_view(simulator, objective, MpcPerfect(), outlook)
    stays = stays_of(site.arrays, track)
    coming = stays[stays["arrival_step"] > 0]
    return Program(site.arrays, look_ahead(view, 0, outlook, coming, track.n_steps), objective, **options)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("seed", range(4))
def test_the_programme_is_that_of_the_optimum(name, seed):
    site, track = random_day(seed, negative_prices=False)
    solution = solve(site, track, OBJECTIVES[name], time_limit=600.0)
    assert solution.certificate.kind == "LP"
    cost = first_program(site, track, OBJECTIVES[name], tolerance_kwh=1e-8).decision().cost
    # Squared deviations are kept by tangents, from below on both sides.
    assert cost == pytest.approx(-solution.bound, rel=2e-4 if name == "tracking" else 1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["money", "peak", "tracking", "overload"])
def test_with_the_truth_it_earns_the_optimum_step_by_step(name):
    objective = OBJECTIVES[name]
    coordinator = make_coordinator("nearest" if objective.limits_are_hard else "none")
    for seed in (10, 11):
        site, track = random_day(seed, negative_prices=False)
        bound = solve(site, track, objective, time_limit=600.0).bound
        earned = rollout(Simulator(site.arrays, coordinator, [track]), objective, MpcPerfect(), [track]).team[0]
        assert earned <= bound + 1e-6 * max(1.0, abs(bound))
        assert earned == pytest.approx(bound, rel=1e-3, abs=2e-3)


@pytest.mark.parametrize("coordinator", ["nearest", "priority", "proportional"])
def test_coordinators_have_nothing_to_do(coordinator):
    # Negative prices: in the relaxation, batteries would charge and discharge at once.
    for seed in range(20, 24):
        site, track = random_day(seed)

        def watch(flow, rewards, costs):
            np.testing.assert_allclose(flow.granted_kw, flow.setpoint_kw, atol=1e-5)

        simulator = Simulator(site.arrays, make_coordinator(coordinator), [track])
        for policy in (Mpc(), MpcPerfect()):
            rollout(simulator, money(unmet=0.6), policy, [track], watch=watch)


def short_street() -> Scenario:
    """The residential street with three chargers on each feeder, in steps of half an hour."""
    street = load_scenario("residential-v2g").model_dump(exclude_unset=True)
    street["step"] = 0.5
    street["site"]["import_limit"] = 45.0
    for feeder in street["site"]["groups"]:
        feeder["import_limit"] = 9.0
        feeder["stations"][0]["count"] = 3
    return Scenario.model_validate(street)


def decided(setting: Setting, track: Track, policy: Mpc) -> np.ndarray:
    """Setpoints of a whole day, shape (n_steps, n_ports)."""
    asked = []
    simulator = Simulator(setting.site.arrays, setting.coordinator, [track])
    rollout(
        simulator,
        setting.objective,
        policy,
        [track],
        world=setting.world,
        watch=lambda flow, rewards, costs: asked.append(flow.setpoint_kw[0].copy()),
    )
    return np.array(asked)


def test_what_is_still_to_come_has_no_say():
    setting = Setting.of(short_street())
    track, rng = setting.world.sample(7), np.random.default_rng(0)
    arrivals = np.unique(track.sessions["arrival_step"])
    t = int(arrivals[len(arrivals) // 2])
    later = track.sessions["arrival_step"] > t
    assert later.any()
    base_kw = track.base_load_kw.copy()
    base_kw[t + 1 :] += rng.uniform(-20.0, 20.0, base_kw[t + 1 :].shape)
    other = replace(track, sessions=track.sessions[~later], base_load_kw=base_kw)
    before, after = decided(setting, track, Mpc()), decided(setting, other, Mpc())
    assert np.abs(before[: t + 1]).max() > 0.0
    np.testing.assert_array_equal(before[: t + 1], after[: t + 1])
    assert np.abs(before[t + 1 :] - after[t + 1 :]).max() > 0.0
    np.testing.assert_array_equal(before, decided(setting, track, Mpc()))


def test_rows_of_a_batch_are_days_of_their_own():
    setting = Setting.of("tiny")
    tracks = [setting.world.sample(seed) for seed in (1, 2)]

    def earned(days):
        simulator = Simulator(setting.site.arrays, setting.coordinator, days)
        return rollout(simulator, setting.objective, Mpc(), days, world=setting.world).team

    np.testing.assert_array_equal(earned(tracks), [*earned(tracks[:1]), *earned(tracks[1:])])


def test_it_shares_the_cheap_step_by_what_is_owed():
    # 10 kW for both in the cheap step: the one that leaves takes it, the other can wait for the next.
    site = two_lots((1, 1), limits=(10.0, np.inf, np.inf))
    view = make_station_view(buy=[0.1, 0.2, 0.2], energy=20.0, due=30.0, deadline=[1, 3])
    policy = Mpc()
    policy.reset(make_episode(site.arrays, n_steps=3))
    asked = policy.act(make_site_view(view, site.arrays, [10.0, np.inf, np.inf]))
    np.testing.assert_allclose(asked, [[10.0, 0.0]], atol=1e-9)


def test_a_short_horizon_leaves_what_can_be_made_up_for():
    site = two_lots((1, 1))
    view = make_station_view(buy=[0.1, 0.5, 0.1], energy=20.0, due=[30.0, 45.0], deadline=3)
    seen = make_site_view(view, site.arrays, np.full(3, np.inf))
    for horizon_h, expected in ((None, [10.0, 10.0]), (1.0, [0.0, 5.0])):
        policy = Mpc(horizon_h=horizon_h)
        policy.reset(make_episode(site.arrays, n_steps=3))
        np.testing.assert_allclose(policy.act(seen), [expected], atol=1e-9)


def test_of_a_peak_a_plan_pays_the_share_of_its_steps():
    """A kW for two hours saves 2·(1.0 − 0.1) of unmet energy: less than its price of 4, more than the quarter of it
    that two of eight steps pay."""
    site = two_lots((1, 1))
    objective = Objective([EnergyCost(), UnmetEnergy(1.0), PeakPower(4.0)])
    view = make_station_view(buy=[0.1] * 8, energy=20.0, due=[30.0, 20.0], deadline=2)
    seen = make_site_view(view, site.arrays, np.full(3, np.inf))
    for share_peak, expected in ((False, 0.0), (True, 5.0)):
        policy = Mpc(horizon_h=2.0, share_peak=share_peak)
        policy.reset(replace(make_episode(site.arrays, n_steps=8), objective=objective))
        np.testing.assert_allclose(policy.act(seen), [[expected, 0.0]], atol=1e-9)


def test_among_equal_steps_the_first_is_taken():
    site = two_lots((1, 1))
    view = make_station_view(buy=[0.2] * 4, energy=20.0, due=35.0, deadline=[4, 3])
    policy = Mpc()
    policy.reset(make_episode(site.arrays, n_steps=4))
    np.testing.assert_allclose(policy.act(make_site_view(view, site.arrays, np.full(3, np.inf))), 10.0, atol=1e-9)


def test_fleets_hold_what_drawn_days_hold():
    world = Setting.of("residential-v2g").world
    site = world.site.arrays
    stays, weight = sample_of_models(world).vehicles(10)
    assert weight == pytest.approx(0.1)
    grouped = fleets(stays, weight, site, world.scenario.n_steps, world.scenario.step)
    per_day = np.mean([(world.sample(s).sessions["arrival_step"] > 0).sum() for s in range(30)])
    assert 0.5 * per_day < len(grouped) < 2.0 * per_day
    assert (grouped["deadline_step"] > grouped["arrival_step"]).all()
    assert (grouped["due_kwh"] <= grouped["capacity_kwh"]).all()
    assert (grouped["floor_kwh"] <= grouped["energy_kwh"]).all()
    # Every charger has 11 kW, and most vehicles take it.
    assert 0.5 * 11.0 * per_day < grouped["charge_kw"].sum() <= 1.2 * 11.0 * per_day
    later = stays[stays["arrival_step"] > 0]
    assert grouped["charge_kw"].sum() == pytest.approx(weight * later["charge_kw"].sum())
    nobody, _ = sample_of_models(world).vehicles(0)
    assert len(fleets(nobody, 1.0, site, 96, 0.25)) == 0


def test_a_programme_without_optimum_names_step_and_row():
    site = two_lots((1, 1))
    fine = day(site, [(0, 1, 4, 20.0, 10.0, 60.0, 10.0)], buy=[0.1] * 4)
    broken = replace(fine, buy_per_kwh=np.array([0.1, np.nan, 0.1, 0.1]))
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [fine, broken])
    with pytest.raises(PolicyError, match="policy 'mpc', step 1, row 1: a price is not finite"):
        rollout(simulator, money(), Mpc(), [fine, broken])


def test_a_plan_for_vehicles_to_which_nothing_is_due_costs_nothing():
    site = two_lots((1, 1))
    track = day(site, [(0, 0, 3, 20.0, 0.0, 60.0, 10.0)], buy=[0.1] * 4)
    objective = Objective([UnmetEnergy(1.0)])
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    assert rollout(simulator, objective, Mpc(), [track]).team[0] == 0.0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mpc(horizon_h=0)", "horizon_h must be above 0, got 0"),
        ("mpc-perfect(horizon_h=-1)", "policy 'mpc-perfect': horizon_h must be above 0"),
        ("mpc(expected_days=-1)", "expected_days must be a whole number from 0 to 1,000, got -1"),
        ("mpc(expected_days=1000000)", "expected_days must be a whole number from 0 to 1,000, got 1000000"),
        ("mpc(waiting_per_kwh_h=-0.1)", "waiting_per_kwh_h must be 0 or more"),
        ("mpc(trust=1.2)", "trust is a share above 0, at most 1, got 1.2"),
        ("mpc(horizon=4)", r"Did you mean 'horizon_h'\?"),
    ],
)
def test_options_that_make_no_sense(spec, message):
    with pytest.raises(OptionError, match=message):
        make_policy(spec)


@pytest.mark.parametrize("name", ["mpc", "mpc-perfect"])
def test_it_is_a_policy(name):
    check_policy(lambda: make_policy(name))


def test_solvers_are_loaded_when_an_episode_starts():
    code = (
        "import sys; from ev_marl.policies import POLICIES, make_policy; make_policy('mpc'); "
        "assert 'mpc-perfect' in POLICIES; assert not {'pyomo', 'highspy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_unmet_energy_is_expensive_the_taper_is_kept_more_closely() -> None:
    """With `service: required` a ten-thousandth of a kWh that lies above the charge curve would cost a cent."""
    plain = load_scenario("workplace").model_dump(exclude_unset=True)
    setting = Setting.of(Scenario.model_validate({**plain, "objective": {"service": "required"}}))
    track = setting.world.sample(0)
    simulator = Simulator(setting.site.arrays, setting.coordinator, [track])
    earned = rollout(simulator, setting.objective, MpcPerfect(), [track], world=setting.world).team[0]
    assert solve(setting.site, track, setting.objective).bound - earned < 5e-3
