"""Selfish stations: by hand, room is never overdrawn, and nobody wants to change where turns end."""

from __future__ import annotations

import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_cases import day, make_station_view, two_lots

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.optimum import solve
from ev_marl.policies import Selfish, make_policy, rollout
from ev_marl.policies.messages.plan import plan_in_turn
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import OptionError
from ev_marl.testing import check_policy


def objective():
    """A new one: an objective keeps arrays of the site it has seen last."""
    return Objective([EnergyCost(), UnmetEnergy(0.4), BatteryWear(0.03)])


def play(site, track, policy, coordinator="nearest", watch=None):
    simulator = Simulator(site.arrays, make_coordinator(coordinator), [track])
    return rollout(simulator, objective(), policy, [track], watch=watch)


def test_it_is_a_policy():
    check_policy(Selfish)
    with pytest.raises(OptionError, match="sweeps"):
        make_policy("selfish(sweeps=0)")
    with pytest.raises(OptionError, match="sweeps must be a whole number from 1 to 1,000, got 1000000"):
        make_policy("selfish(sweeps=1000000)")
    with pytest.raises(OptionError, match=r"sweeps must be a whole number from 1 to 1,000, got 1\.5"):
        Selfish(sweeps=1.5)
    assert Selfish(sweeps=np.int64(3)).sweeps == 3


def test_who_came_first_keeps_the_cheap_step():
    # One at a time. The first plans the cheap third step; the second is there in that step only, and gets nothing,
    # though the first could have charged in the fourth step for 0.02 EUR/kWh more.
    site = two_lots((2, 1), limits=(np.inf, 10.0, np.inf))
    track = day(
        site, [(0, 0, 4, 20.0, 10.0, 100.0, 10.0), (1, 2, 3, 20.0, 10.0, 100.0, 10.0)], [0.30, 0.30, 0.10, 0.12]
    )
    played = play(site, track, Selfish())
    # 10 kWh at 0.10, wear of 0.03 each, and 10 kWh unmet at 0.40.
    assert played.team[0] == pytest.approx(-(1.0 + 0.3 + 4.0), abs=0.02)
    assert solve(site, track, objective()).bound == pytest.approx(-(1.0 + 1.2 + 0.6))
    assert played.costs["unmet_energy"][0] == pytest.approx(4.0, abs=0.02)


def test_alone_it_is_best_response():
    site = two_lots((1, 1), v2g=True, efficiency=0.9)
    track = day(site, [(0, 1, 9, 20.0, 30.0, 60.0, 10.0)], np.random.default_rng(0).uniform(0.05, 0.4, 10))
    assert play(site, track, Selfish()).team[0] == pytest.approx(
        play(site, track, make_policy("best-response")).team[0], abs=0.03
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_asked_for_is_granted_and_never_above_the_bound(seed):
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    track = random_track(rng, site, n_steps=12, step_h=0.5)
    worst = []

    def watch(flow, rewards, costs):
        worst.append(np.abs(flow.granted_kw - flow.setpoint_kw).max())

    bound = solve(site, track, objective()).bound
    assert play(site, track, Selfish(), watch=watch).team[0] <= bound + 1e-6 * max(1.0, abs(bound))
    assert max(worst) < 1e-6


def own_costs(view, plan_kw):
    """What each vehicle pays for its plan, wishes missed included; no taper."""
    charging, selling = np.maximum(plan_kw[0], 0.0), np.maximum(-plan_kw[0], 0.0)
    energy = view.energy_kwh[0] + (charging * 0.9 - selling / 0.9).sum(axis=1)
    money = (charging * (view.buy_per_kwh[0] + 0.03) - selling * (view.sell_per_kwh[0] - 0.03)).sum(axis=1)
    return money + 0.4 * np.maximum(0.0, view.vehicle["due_kwh"][0] - energy)


@pytest.mark.parametrize("seed", range(8))
def test_turns_lower_the_sum_of_all_costs_and_end_where_nobody_wants_to_change(seed):
    rng = np.random.default_rng(seed)
    site = two_lots((3, 4), limits=(25.0, 10.0, 20.0)).arrays
    n_ports, n_steps = 7, 10
    view = make_station_view(
        buy=rng.uniform(0.05, 0.35, n_steps),
        energy=rng.uniform(10, 30, n_ports),
        due=rng.uniform(30, 45, n_ports),
        deadline=rng.integers(3, n_steps + 1, n_ports),
        charge_efficiency=0.9,
        discharge_efficiency=0.9,
        discharge_kw=rng.choice([0.0, 10.0], n_ports),
        floor=5.0,
        wear=0.03,
        unmet=0.4,
    )
    upper = np.repeat(np.array([25.0, 10.0, 20.0])[None, :, None], n_steps, axis=2)
    plan_kw, base = np.zeros((1, n_ports, n_steps)), np.zeros((1, n_steps))

    def turn(order):
        limits = np.stack([np.full_like(upper, -np.inf), upper])
        plan_in_turn(view, np.array([order]), site, limits, base, plan_kw, n_values=400)

    before = own_costs(view, plan_kw).sum()
    for _ in range(15):
        turn(rng.permutation(n_ports))
        now = own_costs(view, plan_kw).sum()
        assert now <= before + 0.01 * n_ports
        before = now
    charging = np.maximum(plan_kw[0], 0.0)
    assert np.all(charging[:3].sum(axis=0) <= 10.0 + 1e-9)
    assert np.all(charging[3:].sum(axis=0) <= 20.0 + 1e-9)
    assert np.all(charging.sum(axis=0) <= 25.0 + 1e-9)
    settled = own_costs(view, plan_kw)
    kept = plan_kw.copy()
    for p in range(n_ports):
        # One vehicle chooses anew, the others being as they are; a turn of one is p first, then all back to before.
        plan_kw[:] = kept
        turn([p] + [q for q in range(n_ports) if q != p])
        assert own_costs(view, plan_kw)[p] >= settled[p] - 0.02
