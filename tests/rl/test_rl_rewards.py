"""Training rewards: shaping takes nothing from the day but what no action changes; sharing; shadow prices."""

from __future__ import annotations

import numpy as np
import pytest

import ev_marl
from ev_marl.planning.outlook import Present
from ev_marl.planning.own_plan import MERITS, own_plans
from ev_marl.planning.vehicles import Vehicles
from ev_marl.planning.worth import Worth, own_prices
from ev_marl.rl.config import Reward
from ev_marl.rl.rewards import TrainingReward

ROWS = 6


def plan_values_on_arrival(env: ev_marl.BatchedEnv) -> np.ndarray:
    """Σ of the values of all vehicles' own plans when they came; float64, shape (rows, stations)."""
    site, simulator = env.site.arrays, env.simulator
    worth, total = Worth.of(env.objective), np.zeros((ROWS, site.n_stations))
    known = np.full(simulator.state.session.shape, -1)
    while True:
        outlook = np.empty((*simulator.state.session.shape, len(MERITS)))
        days, step = simulator.days, simulator.state.step
        prices = own_prices(env.outlook, Present.of(simulator.state, days.n_steps), worth)
        end = worth.end_per_kwh(days.later_per_kwh[simulator.state.rows])
        vehicles = Vehicles.of(days.stays, simulator.state)
        own_plans(vehicles, step, days.step_h, worth.energy_per_kwh(*prices), worth, end_per_kwh=end, merits=outlook)
        new = (simulator.state.session != known) & (simulator.state.session >= 0)
        values = np.where(new, outlook[:, :, 0], 0.0)
        total += np.add.reduceat(values, site.station_first_port[:-1], axis=1)
        known = simulator.state.session.copy()
        if step == env.max_cycles - 1:
            return total
        env.step(np.zeros((ROWS, len(env.ports))))


@pytest.mark.parametrize("scenario", ["workplace", "residential-v2g", "street-lv"])
def test_shaping_by_plans_adds_up_to_the_return_less_what_vehicles_bring(scenario: str) -> None:
    if scenario == "street-lv":
        pytest.importorskip("pandapower")
    env = ev_marl.BatchedEnv(scenario, ROWS, n_days=ROWS, seed=1, action="fraction")
    env.reset(day=np.arange(ROWS))
    brought = plan_values_on_arrival(env)
    env.reset(seed=1, day=np.arange(ROWS))
    reward = TrainingReward(Reward(team=0.0, shaping="plan"), Worth.of(env.objective), env.outlook)
    reward.reset(env.simulator)
    rng = np.random.default_rng(0)
    shaped, plain = np.zeros(brought.shape), np.zeros(brought.shape)
    for _ in range(env.max_cycles):
        _, rewards, _, truncated, info = env.step(rng.uniform(-1.0, 1.0, (ROWS, len(env.ports))))
        plain += rewards
        step = reward.step(rewards, info.flow, bool(truncated[0]), env.simulator)
        # Nothing beats the own plan; inside the taper its value is interpolated, hence a cent.
        assert step.max() < 0.01
        shaped += step
    np.testing.assert_allclose(shaped, plain - brought, atol=1e-4)
    assert shaped.sum() < -10.0


def test_the_own_plan_loses_nothing_where_nobody_else_is() -> None:
    workplace = ev_marl.load_scenario("workplace")
    priced = workplace.model_copy(update={"objective": workplace.objective.model_copy(update={"overload": 0.0})})
    env = ev_marl.BatchedEnv(priced, ROWS, n_days=ROWS, action="bid", coordinator="none")
    env.reset(day=np.arange(ROWS))
    reward = TrainingReward(Reward(team=0.0, shaping="plan"), Worth.of(env.objective), env.outlook)
    reward.reset(env.simulator)
    lost = np.zeros((ROWS, len(env.agents)))
    for _ in range(env.max_cycles):
        _, rewards, _, truncated, info = env.step(np.zeros((ROWS, *env.single_action_space.shape)))
        lost += reward.step(rewards, info.flow, bool(truncated[0]), env.simulator)
    np.testing.assert_allclose(lost, 0.0, atol=0.02)


def test_sharing_and_scale() -> None:
    env = ev_marl.BatchedEnv("tiny", 2, n_days=2)
    env.reset()
    rewards = np.array([[1.0, 2.0, 6.0], [0.0, 0.0, -3.0]])
    assert len(env.agents) == 3
    _, _, _, _, info = env.step(np.zeros((2, len(env.ports))))

    def shared(team: float, scale: float) -> np.ndarray:
        reward = TrainingReward(Reward(team=team, shaping="none", scale=scale), Worth.of(env.objective), env.outlook)
        reward.reset(env.simulator)
        return reward.step(rewards, info.flow, False, env.simulator)

    np.testing.assert_allclose(shared(0.0, 1.0), rewards)
    np.testing.assert_allclose(shared(1.0, 10.0), [[30.0] * 3, [-10.0] * 3], rtol=1e-6)
    np.testing.assert_allclose(shared(0.5, 1.0)[0], [2.0, 2.5, 4.5])


def test_a_team_may_be_a_group() -> None:
    env = ev_marl.BatchedEnv("workplace", 1, n_days=1)
    env.reset()
    group = env.site.arrays.station_group
    assert len(set(group)) == 2
    rewards = np.random.default_rng(0).normal(size=(1, len(env.agents)))
    _, _, _, _, info = env.step(np.zeros((1, len(env.ports))))
    reward = TrainingReward(Reward(team=1.0, team_of="group", shaping="none"), Worth.of(env.objective), env.outlook)
    reward.reset(env.simulator)
    shared = reward.step(rewards, info.flow, False, env.simulator)
    for a, g in enumerate(group):
        assert shared[0, a] == pytest.approx(rewards[0, group == g].mean(), rel=1e-5)


def test_shadow_prices_are_paid_by_the_kilowatt_along_the_tree() -> None:
    env = ev_marl.BatchedEnv("workplace", 2, n_days=3, action="fraction")
    env.reset(day=[2, 0])
    n_steps, n_groups = env.max_cycles, env.site.arrays.n_groups
    rng = np.random.default_rng(1)
    prices = rng.uniform(0.0, 1.0, (3, n_steps, n_groups)), rng.uniform(0.0, 1.0, (3, n_steps, n_groups))
    reward = TrainingReward(
        Reward(team=0.0, shaping="none", credit="shadow_prices"), Worth.of(env.objective), env.outlook
    )
    reward.load(*prices)
    reward.reset(env.simulator)
    paid = 0.0
    for step in range(n_steps):
        _, rewards, _, truncated, info = env.step(np.ones((2, len(env.ports))))
        got = reward.step(rewards, info.flow, bool(truncated[0]), env.simulator)
        expected = rewards.copy()
        for row, day in enumerate((2, 0)):
            for port, group in enumerate(env.site.arrays.port_group):
                for g in env.site.ancestors[group]:
                    if g >= 0:
                        net = prices[0][day, step, g] - prices[1][day, step, g]
                        cost = net * info.flow.granted_kw[row, port]
                        expected[row, env.site.arrays.port_station[port]] -= cost
                        paid += abs(cost)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert paid > 1.0
