"""The heuristics by hand, and what each of them promises."""

from __future__ import annotations

import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_cases import day, make_episode, make_site_view, make_station_view, two_lots

from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.policies import (
    AsLateAsPossible,
    EarliestDeadlineFirst,
    Idle,
    LeastLaxityFirst,
    PriceThreshold,
    Random,
    RoundRobin,
    Uncontrolled,
    make_policy,
    rollout,
)
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import OptionError
from ev_marl.testing import group_sums


def test_idle_asks_for_nothing():
    assert (Idle().act(make_station_view(buy=[0.1] * 4, energy=[1.0, 2.0])) == 0.0).all()


def test_uncontrolled_charges_at_full_power_until_the_wish_is_met():
    # Ports: far from the wish; 4 kWh short of it at an efficiency of 0.8; there; beyond it.
    view = make_station_view(buy=[9.0] * 4, energy=[20, 36, 40, 45], due=40, charge_efficiency=0.8)
    assert Uncontrolled().act(view) == pytest.approx(np.array([[10.0, 5.0, 0.0, 0.0]]))


def test_random_covers_the_box_and_repeats_with_its_seed():
    view = make_station_view(buy=[0.1] * 4, energy=np.full(2000, 20.0), discharge_kw=5.0)
    policy = Random()
    site = two_lots().arrays
    policy.reset(make_episode(site, seed=3))
    powers = policy.act(view)
    assert powers.min() >= -5.0
    assert powers.max() <= 10.0
    assert powers.min() < -4.9
    assert powers.max() > 9.9
    assert powers.mean() == pytest.approx(2.5, abs=0.4)
    assert not np.array_equal(policy.act(view), powers)
    policy.reset(make_episode(site, seed=3))
    assert np.array_equal(policy.act(view), powers)


def test_as_late_as_possible_by_hand():
    # 20 kWh at 10 kW: two of four hours are needed, so it idles now, and charges 5 kW if only 2.5 hours were left.
    assert AsLateAsPossible().act(make_station_view(buy=[0.1] * 4, energy=20, due=40)) == 0.0
    assert AsLateAsPossible().act(make_station_view(buy=[0.1] * 2, energy=20, due=40, deadline=2)) == 10.0
    assert AsLateAsPossible().act(make_station_view(buy=[0.1] * 3, energy=15, due=40, deadline=3)) == 5.0
    # With a taper the last kWh take longer: 10 kW to the knee at 50, then 60 - 10 exp(-t) for one hour.
    taper = {"capacity": 60, "tau_h": 1.0, "due": 60 - 10 * np.exp(-1.0), "deadline": 2}
    assert AsLateAsPossible().act(make_station_view(buy=[0.1] * 2, energy=45, **taper)) == pytest.approx(5.0)
    assert AsLateAsPossible().act(make_station_view(buy=[0.1] * 2, energy=50, **taper)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "name", ["as-late-as-possible", "uncontrolled", "edf", "llf", "round-robin", "price-threshold"]
)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_reachable_wish_is_met_where_no_limit_binds(name, seed):
    rng = np.random.default_rng(seed)
    site = two_lots((2, 2), power_kw=11.0, v2g=True, efficiency=0.9)
    sessions = []
    for port in range(4):
        capacity = float(rng.uniform(20, 80))
        energy = float(rng.uniform(0, 1)) * capacity
        arrival = int(rng.integers(0, 10))
        stay = int(rng.integers(1, 40))
        wanted = capacity - energy if rng.random() < 0.3 else float(rng.uniform(0, 1)) * (capacity - energy)
        sessions.append((port, arrival, arrival + stay, energy, wanted, capacity, float(rng.choice([3.7, 11.0, 22.0]))))
    track = day(site, sessions, rng.uniform(-0.1, 0.5, 32), step_h=0.5, taper_start=float(rng.uniform(0.5, 0.95)))
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    result = rollout(simulator, Objective([UnmetEnergy(1.0)]), make_policy(name), [track])
    # Deep in the taper, the latest energy that still reaches a wish is known to 1e-7 kWh only.
    assert result.costs["unmet_energy"][0] == pytest.approx(0.0, abs=1e-6)


def test_as_late_as_possible_is_later_than_any_other():
    # Energies never above those of a policy that also meets every wish.
    site = two_lots((1, 1), power_kw=11.0)
    track = day(site, [(0, 0, 8, 20.0, 38.0, 60.0, 11.0), (1, 2, 12, 5.0, 30.0, 50.0, 22.0)], np.full(10, 0.2))
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    energies = {}
    for name in ("as-late-as-possible", "uncontrolled", "price-threshold"):
        energies[name] = np.zeros((10, 2))

        def watch(flow, rewards, costs, seen=energies[name]):
            seen[flow.step] = flow.energy_kwh

        rollout(simulator, Objective([UnmetEnergy(1.0)]), make_policy(name), [track], watch=watch)
    assert (energies["as-late-as-possible"] <= energies["uncontrolled"] + 1e-9).all()
    assert (energies["as-late-as-possible"] <= energies["price-threshold"] + 1e-9).all()
    assert energies["as-late-as-possible"].sum() < energies["uncontrolled"].sum() - 1.0


def test_price_threshold_charges_in_cheap_steps_only():
    policy = PriceThreshold(charge_share=0.25)
    # Four steps are left: the cheapest one counts as cheap.
    assert policy.act(make_station_view(buy=[0.1, 0.2, 0.3, 0.4], due=30)) == 10.0
    assert policy.act(make_station_view(buy=[0.2, 0.1, 0.3, 0.4], due=30)) == 0.0
    # Prices beyond the deadline do not count.
    assert policy.act(make_station_view(buy=[0.2, 0.3, 0.4, 0.4, 0.1], due=30)) == 10.0
    # It can wait no longer: 35 of the 40 kWh that four steps can give are missing.
    assert policy.act(make_station_view(buy=[0.2, 0.1, 0.3, 0.4], energy=5, due=40)) == 5.0


def test_price_threshold_sells_in_dear_steps_what_can_be_put_back():
    policy = PriceThreshold(charge_share=0.25, discharge_share=0.25)
    v2g = {"energy": 40, "due": 40, "discharge_kw": 5.0, "capacity": 60}
    assert policy.act(make_station_view(buy=[0.5, 0.1, 0.3, 0.4], **v2g)) == -5.0
    assert policy.act(make_station_view(buy=[0.3, 0.1, 0.5, 0.4], **v2g)) == 0.0
    # The reserve, the wish, the wear.
    assert policy.act(make_station_view(buy=[0.5, 0.1, 0.3, 0.4], **v2g, floor=38)) == -2.0
    assert policy.act(make_station_view(buy=[0.5, 0.1], **{**v2g, "due": 48}, deadline=2)) == pytest.approx(-2.0)
    assert policy.act(make_station_view(buy=[0.5, 0.1, 0.3, 0.4], **v2g, wear=0.21)) == 0.0
    # Without V2G, or with a share of nothing, it never sells.
    assert policy.act(make_station_view(buy=[0.5, 0.1, 0.3, 0.4], **{**v2g, "discharge_kw": 0.0})) == 0.0
    never = PriceThreshold(discharge_share=0.0)
    assert never.act(make_station_view(buy=[0.5, 0.1, 0.3, 0.4], **v2g)) == 0.0


def test_price_threshold_checks_its_shares():
    with pytest.raises(OptionError, match="charge_share is a share between 0 and 1, got 20"):
        PriceThreshold(charge_share=20)


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        # Wishes of 10, 5, 10 and 10 kW in this step; limits of 12 and 25 kW in the lots, 30 kW at the root.
        # By deadline 3, 1, 0, 2: port 0 gets what its lot has left, port 2 what the root has left.
        (EarliestDeadlineFirst(), [7.0, 5.0, 8.0, 10.0]),
        # By laxity 3 (0.9 h), 0 (1.0 h), 2 (1.5 h), 1 (2.5 h): nothing is left for port 1.
        (LeastLaxityFirst(), [10.0, 0.0, 10.0, 10.0]),
    ],
)
def test_the_urgent_first_within_the_tree(policy, served):
    limits = (30.0, 12.0, 25.0)
    site = two_lots(limits=limits).arrays
    vehicles = make_station_view(buy=[0.1] * 9, energy=20, due=[50, 25, 55, 31], deadline=[4, 3, 5, 2])
    policy.reset(make_episode(site))
    assert policy.act(make_site_view(vehicles, site, [limits])) == pytest.approx(np.array([served]))


def test_round_robin_takes_turns():
    site = two_lots(limits=(20.0, np.inf, np.inf)).arrays
    policy = RoundRobin()
    policy.reset(make_episode(site))
    view = make_site_view(make_station_view(buy=[0.1] * 9, energy=[20] * 4, due=55), site, [[20.0, np.inf, np.inf]])
    turns = [(policy.act(view) > 0.0)[0].tolist() for _ in range(3)]
    assert turns == [[True, True, False, False], [False, False, True, True], [True, True, False, False]]
    # A port that wants nothing queues behind the others: the turn after next begins with ports 2 and 3 again.
    idle = make_site_view(make_station_view(buy=[0.1] * 9, energy=[20, 55, 20, 20], due=55), site, view.upper_kw)
    turns = [(policy.act(idle) > 0.0)[0].tolist() for _ in range(2)]
    assert turns == [[False, False, True, True], [True, False, True, False]]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["edf", "llf", "round-robin"]))
def test_central_heuristics_keep_the_limits_by_themselves(seed, name):
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    tracks = [random_track(rng, site) for _ in range(2)]
    simulator = Simulator(site.arrays, make_coordinator("none"), tracks)
    worst = []

    def watch(flow, rewards, costs):
        sums = group_sums(site.arrays, flow.granted_kw)
        worst.append(max((sums - flow.upper_kw).max(), (flow.lower_kw - sums).max()))

    rollout(simulator, Objective([UnmetEnergy(1.0)]), make_policy(name), tracks, watch=watch)
    assert max(worst) <= 1e-9


@pytest.mark.parametrize("name", ["random", "selfish"])
def test_a_day_is_the_same_alone_and_in_a_batch(name):
    """Random numbers do not depend on how many days are run at once."""
    setting = Setting.of("tiny")
    tracks = [setting.world.sample(seed) for seed in range(3)]

    def returns(days):
        simulator = Simulator(setting.site.arrays, setting.coordinator, days)
        return rollout(simulator, setting.objective, make_policy(name), days, world=setting.world).team

    assert returns(tracks) == pytest.approx([float(returns([track])[0]) for track in tracks], abs=1e-12)


@pytest.mark.parametrize("name", ["edf", "llf", "round-robin"])
def test_policies_that_serve_in_turn_keep_current_limits(name: str) -> None:
    setting = Setting.of("acn-caltech")
    tracks = [setting.world.sample(seed) for seed in range(2)]
    most, curtailed = [], []

    def watch(flow: Flow, _rewards: np.ndarray, _costs: np.ndarray) -> None:
        most.append((flow.current_a / flow.current_limit_a).max())
        curtailed.append(np.abs(flow.setpoint_kw - flow.granted_kw).max())

    rollout(setting.simulator(tracks), setting.objective, make_policy(name), tracks, world=setting.world, watch=watch)
    assert 0.999 < max(most) <= 1.0 + 1e-6  # a pod of 80 A is filled by three vehicles
    assert max(curtailed) < 1e-6
