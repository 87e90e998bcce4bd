"""Bids: what they mean, that 0 is the own plan, and how they are refused; the blocks that show plans and demand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import ev_marl
from ev_marl.env.interface import Interface
from ev_marl.env.setup import Setting
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import ScenarioError
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import ActionError

WORKPLACE_DAYS = 3


def played(action: Any, answer: Any, policy: str, scenario: str = "workplace") -> tuple[np.ndarray, np.ndarray]:
    """Returns of a constant answer by bids, and of a policy, on the same days."""
    setting = Setting.of(scenario)
    tracks = [setting.world.sample(seed) for seed in range(WORKPLACE_DAYS)]
    env = ev_marl.BatchedEnv(scenario, WORKPLACE_DAYS, tracks=tracks, action=action)
    env.reset(day=np.arange(WORKPLACE_DAYS))
    width = env.single_action_space.shape[0]
    returns = np.zeros(WORKPLACE_DAYS)
    for _ in range(env.max_cycles):
        _, rewards, _, _, _ = env.step(np.tile(answer, (WORKPLACE_DAYS, width // len(answer))))
        returns += rewards.sum(axis=1)
    simulator = Simulator(setting.site.arrays, setting.coordinator, tracks)
    return returns, rollout(simulator, setting.objective, make_policy(policy), tracks).team


@pytest.mark.parametrize("scenario", ["workplace", "residential-v2g"])
def test_a_bid_of_nothing_is_the_own_plan(scenario: str) -> None:
    bids, policy = played("bid", [0.0, 0.0], "best-response", scenario)
    np.testing.assert_allclose(bids, policy, rtol=1e-12)


def test_bids_are_the_options_of_the_own_plan() -> None:
    action = {"bid": {"says": ["trust", "adder"], "trust": 0.9, "trust_range": 0.5, "adder_range": "0.1 EUR/kWh"}}
    # Trust 0.9 − 0.4·0.5 = 0.7, adder −0.2·0.1.
    bids, policy = played(action, [-0.4, -0.2], "best-response(trust=0.7, adder_per_kwh=-0.02)")
    np.testing.assert_allclose(bids, policy, rtol=1e-12)
    beyond, most = played(action, [0.2, -7.0], "best-response(trust=1.0, adder_per_kwh=-0.1)")
    np.testing.assert_allclose(beyond, most, rtol=1e-12)


def test_the_middle_of_a_bid_is_a_tuned_plan() -> None:
    action = {"bid": {"says": ["adder"], "trust": 0.6, "adder": 0.01, "margin_steps": 2}}
    bids, policy = played(action, [0.0], "best-response(trust=0.6, adder_per_kwh=0.01, margin_steps=2)")
    np.testing.assert_allclose(bids, policy, rtol=1e-12)


def test_a_share_scales_the_plans_power() -> None:
    env = ev_marl.BatchedEnv("workplace", 2, n_days=2, action={"bid": {"says": ["share"]}})
    setting = Setting.of("workplace")
    silent = Interface(setting.scenario, setting.site, setting.objective, None, "bid")
    env.reset(seed=3, day=[0, 1])
    silent.attach(env.simulator)
    charged = 0
    for step in range(env.max_cycles):
        plan = silent.setpoints(np.zeros((2, 2 * len(env.ports)))).copy()
        share = (1.0, 0.75, 0.0)[step % 3]
        _, _, _, _, info = env.step(np.full((2, len(env.ports)), share - 1.0))
        np.testing.assert_allclose(info.flow.setpoint_kw, share * plan, atol=1e-9)
        charged += int((plan > 0.0).sum())
    assert charged > 20


def test_a_bid_stands_until_the_next_is_heard() -> None:
    def granted(hold: int, said: np.ndarray) -> np.ndarray:
        action = {"bid": {"says": ["adder"], "hold_steps": hold}}
        env = ev_marl.BatchedEnv("workplace", 1, n_days=1, action=action)
        env.reset(seed=0)
        return np.array([env.step(bid[None])[4].flow.granted_kw[0].copy() for bid in said])

    n_ports = len(ev_marl.BatchedEnv("workplace", 1).ports)
    said = np.random.default_rng(0).uniform(-1.0, 1.0, (96, n_ports))
    held = said[np.arange(96) // 4 * 4]
    np.testing.assert_array_equal(granted(4, said), granted(1, held))
    assert (granted(4, said) != granted(1, said)).any()


def test_spaces_have_every_number_of_a_bid_for_every_port() -> None:
    env = ev_marl.parallel_env("workplace", action="bid")
    assert env.action_space("ac_0") == spaces.Box(-1.0, 1.0, (4,), np.float32)
    env.reset(seed=0)
    env.step({agent: np.zeros(4) for agent in env.agents})
    with pytest.raises(ActionError, match=r"shape \(4,\).*adder and trust"):
        env.step({agent: np.zeros(2) for agent in env.agents})
    batched = ev_marl.BatchedEnv("workplace", 2, n_days=2, action="bid")
    batched.reset()
    with pytest.raises(ActionError, match=r"n_ports · 2"):
        batched.step(np.zeros((2, len(batched.ports))))
    actions = np.zeros((2, 2 * len(batched.ports)))
    actions[1, 7] = np.nan
    with pytest.raises(ActionError, match=r"'ac_1', row 1, port 1, is nan"):
        batched.step(actions)


@pytest.mark.parametrize(
    ("bid", "message"),
    [
        ({"says": []}, "expected at least 1"),
        ({"says": ["adder", "adder"]}, "at most once"),
        ({"says": ["price"]}, "Allowed: adder, trust, share"),
        ({"adder_range": 0.0}, "expected more than 0"),
        ({"trust": 1.5}, "expected 1 or less"),
    ],
)
def test_bids_that_make_no_sense_are_refused(bid: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        ev_marl.parallel_env("tiny", action={"bid": bid})


def test_the_plans_block_shows_what_best_response_does() -> None:
    setting = Setting.of("residential-v2g")
    tracks = [setting.world.sample(seed) for seed in (4, 5)]
    simulator = Simulator(setting.site.arrays, setting.coordinator, tracks)
    simulator.reset([0, 1])
    agents = Interface(setting.scenario, setting.site, setting.objective, ["plans"], "bid")
    agents.attach(simulator)
    silent = np.zeros((2, 2 * simulator.site.n_ports))
    labels = [row.label for row in agents.observer.table()]
    seen_gain = False
    while not simulator.done:
        agents.refresh()
        seen = agents.observations()
        power = agents.setpoints(silent).copy()
        np.testing.assert_allclose(
            seen[:, :, labels.index("plans.0.power")], power / simulator.site.port_charge_kw, atol=1e-6
        )
        gain = seen[:, :, labels.index("plans.0.gain_now")]
        charging = power > 1e-6
        # Who charges gains by it, and who would lose by charging does not.
        assert (gain[charging] >= -1e-6).all()
        assert not charging[gain < -1e-6].any()
        seen_gain = seen_gain or bool((gain[charging] > 1e-3).any())
        simulator.step(power)
    assert seen_gain


def test_the_demand_of_a_group_is_that_of_its_vehicles() -> None:
    setting = Setting.of("workplace")
    track = setting.world.sample(11)
    simulator = Simulator(setting.site.arrays, setting.coordinator, [track])
    simulator.reset()
    agents = Interface(setting.scenario, setting.site, setting.objective, ["demand"])
    agents.attach(simulator)
    columns = {row.label.rpartition(".")[2]: k for k, row in reversed(list(enumerate(agents.observer.table())))}
    sessions, site = simulator.days.stays, simulator.site
    lot = setting.site.groups.index("lot_south")
    agent = setting.site.agents.index("bidi_0")
    ports = np.arange(site.group_first_port[lot], site.group_end_port[lot])
    rated_kw = site.port_charge_kw[ports].sum()
    crowded = False
    while not simulator.done:
        agents.refresh()
        seen = agents.observations()[0, agent]
        here = [p for p in ports if simulator.state.session[0, p] >= 0]
        missing = wanting = 0.0
        for p in here:
            s = simulator.state.session[0, p]
            gap = max(0.0, sessions["due_kwh"][s] - simulator.state.energy_kwh[0, p]) / sessions["charge_efficiency"][s]
            missing += gap
            wanting += simulator.state.hi_kw[0, p] if gap > 0.0 else 0.0
        assert seen[columns["connected"]] == pytest.approx(len(here) / len(ports))
        assert seen[columns["missing"]] == pytest.approx(min(1.0, missing / (2.0 * rated_kw)), abs=1e-6)
        assert seen[columns["wanting"]] == pytest.approx(wanting / rated_kw, abs=1e-6)
        limit_kw = simulator.state.upper_kw[0, lot]
        assert seen[columns["coverage"]] == pytest.approx(min(1.0, limit_kw / wanting) if wanting else 1.0, abs=1e-6)
        crowded = crowded or len(here) > 5
        simulator.step(np.zeros((1, site.n_ports)))
    assert crowded
