"""The Stable-Baselines3 face: the contract of a VecEnv, and the batched environment's own numbers behind it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

import ev_marl

sb3 = pytest.importorskip("stable_baselines3")

from elsewhere_cases import mixed_scenario  # noqa: E402
from stable_baselines3.common.buffers import ReplayBuffer  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize  # noqa: E402

from ev_marl.rl.config import Reward  # noqa: E402
from ev_marl.rl.stations import RewardLike  # noqa: E402
from ev_marl.rl.vec_env import StationVecEnv  # noqa: E402
from ev_marl.support.errors import ActionError  # noqa: E402

N_ENVS = 2
DAY = 12  # steps: from midnight to noon, vehicles come in the morning


def batch(action: ev_marl.env.actions.ActionLike = "continuous", scenario: str = "tiny") -> ev_marl.BatchedEnv:
    return ev_marl.BatchedEnv(scenario, N_ENVS, n_days=4, seed=3, action=action, max_cycles=DAY)


def sampled(env: VecEnv) -> np.ndarray:
    return np.array([env.action_space.sample() for _ in range(env.num_envs)])


def test_rows_are_stations_and_spaces_fit() -> None:
    env = StationVecEnv(batch(scenario="workplace"))
    assert isinstance(env, VecEnv)
    assert env.num_envs == N_ENVS * 20
    observations = env.reset()
    assert observations.shape == (env.num_envs, *env.observation_space.shape)
    assert observations.dtype == np.float32
    env.action_space.seed(0)
    for step in range(2 * DAY + 1):
        observations, rewards, dones, infos = env.step(sampled(env))
        assert all(env.observation_space.contains(row) for row in observations)
        assert (rewards.shape, rewards.dtype) == ((env.num_envs,), np.dtype(np.float32))
        assert (dones.shape, dones.dtype) == ((env.num_envs,), np.dtype(bool))
        assert len(infos) == env.num_envs
        assert dones.all() == dones.any() == (step % DAY == DAY - 1)


@pytest.mark.parametrize("reward", ["own", "team"])
@pytest.mark.parametrize("action", ["continuous", "bid", 5])
def test_same_numbers_as_the_batched_environment(
    action: ev_marl.env.actions.ActionLike, reward: Literal["own", "team"]
) -> None:
    """Two days: observations, rewards, what ends and how, for the same actions."""
    plain = batch(action)
    env = StationVecEnv(batch(action), reward=reward)
    n_agents = len(plain.agents)
    env.action_space.seed(1)
    expected = plain.reset()
    np.testing.assert_array_equal(env.reset(), expected.reshape(env.num_envs, -1))
    total = np.zeros(env.num_envs)
    all_rewards = []
    for _ in range(2 * DAY):
        actions = sampled(env)
        expected, rewards, _, truncated, info = plain.step(actions.reshape(N_ENVS, -1))  # one port each: nothing padded
        observations, got, dones, infos = env.step(actions)
        np.testing.assert_array_equal(observations, expected.reshape(env.num_envs, -1))
        if reward == "team":
            rewards = np.repeat(rewards.sum(axis=1) / n_agents, n_agents).reshape(rewards.shape)
        np.testing.assert_allclose(got, rewards.reshape(-1), rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(dones, np.repeat(truncated, n_agents))
        total += got
        all_rewards.append(got)
        if dones.all():
            last = info.final_observation
            assert last is not None
            assert info.episode_return is not None
            for index, row in enumerate(infos):
                np.testing.assert_array_equal(row["terminal_observation"], last[divmod(index, n_agents)])
                assert row["TimeLimit.truncated"] is True
                assert row["episode"]["l"] == DAY
                assert row["episode"]["r"] == pytest.approx(total[index], rel=1e-5)
            np.testing.assert_allclose(
                total.reshape(N_ENVS, n_agents).sum(axis=1), info.episode_return.sum(axis=1), rtol=1e-5
            )
            total[:] = 0.0
        else:
            assert infos == [{}] * env.num_envs
    assert len(np.unique(all_rewards)) > 5  # there were vehicles to charge


def test_what_is_said_for_missing_ports_changes_nothing() -> None:
    scenario = mixed_scenario()
    first, second = (StationVecEnv(ev_marl.BatchedEnv(scenario, N_ENVS, n_days=2, seed=0)) for _ in range(2))
    assert first.action_space.shape == (3,)
    single = np.array([agent.startswith("ac") for agent in first.get_attr("agent")])
    assert single.sum() == 2 * N_ENVS
    np.testing.assert_array_equal(first.reset(), second.reset())
    first.action_space.seed(0)
    moved = 0.0
    for _ in range(12):
        actions = sampled(first)
        other = actions.copy()
        other[single, 1:] *= -1.0
        (seen, rewards, *_), (seen_too, rewards_too, *_) = first.step(actions), second.step(other)
        np.testing.assert_array_equal(seen, seen_too)
        np.testing.assert_array_equal(rewards, rewards_too)
        moved += float(np.abs(first.batch.simulator.state.energy_kwh).sum())
    assert moved > 0.0


def test_ports_of_a_station_are_its_own() -> None:
    """Station a's k-th number reaches its k-th port and no other."""
    env = StationVecEnv(ev_marl.BatchedEnv(mixed_scenario(), 1, n_days=2, seed=0))
    numbers = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(env._actions.join(numbers), [[0.0, 3.0, 6.0, 7.0, 8.0]])
    assert env.batch.ports == ("ac_0/0", "ac_1/0", "bidi_0/0", "bidi_0/1", "bidi_0/2")


def test_levels_and_their_masks() -> None:
    env = StationVecEnv(ev_marl.BatchedEnv(mixed_scenario(), N_ENVS, n_days=2, seed=0, action=5))
    assert env.action_space.nvec.tolist() == [5, 5, 5]
    env.reset()
    env.action_space.seed(0)
    for _ in range(12):
        masks = np.stack(env.env_method("action_masks"))
        assert masks.shape == (env.num_envs, 15)
        by_port = env.batch.action_mask()
        for index, mask in enumerate(masks.reshape(-1, 3, 5)):
            row, station = divmod(index, 3)
            if station < 2:
                np.testing.assert_array_equal(mask[0], by_port[row, station])
                assert mask[1:].all()
            else:
                np.testing.assert_array_equal(mask, by_port[row, 2:])
        env.step(sampled(env))
    assert env.has_attr("action_masks")
    assert StationVecEnv(batch(5)).action_space.n == 5
    assert not StationVecEnv(batch()).has_attr("action_masks")


def test_seeds() -> None:
    """The same seed gives the same days, another one others; a seed counts for one reset."""
    env = StationVecEnv(batch())

    days = []
    for seed in (1, 1, 2):
        assert env.seed(seed) == list(range(seed, seed + env.num_envs))
        env.reset()
        days.append(env.batch.tracks)
    assert days[0] == days[1]
    assert days[1] != days[2]
    pool = env.batch.tracks
    env.reset()
    assert env.batch.tracks is pool


def test_attributes_and_methods() -> None:
    env = StationVecEnv(batch())
    assert env.get_attr("agent") == ["ac_0", "ac_1", "bidi_0"] * N_ENVS
    assert env.get_attr("row", [0, 5]) == [0, 1]
    assert env.get_attr("max_cycles", 4) == [DAY]
    env.set_attr("max_cycles", 3)
    assert env.batch.max_cycles == 3
    assert env.env_method("observation_labels", indices=2) == [env.batch.observation_labels("bidi_0")]
    assert env.env_is_wrapped(VecMonitor, indices=[0]) == [False]
    assert env.render_mode is None
    with pytest.raises(ValueError, match="only be set for all rows"):
        env.set_attr("max_cycles", 4, indices=[0])
    with pytest.raises(ValueError, match="call it on the VecEnv"):
        env.env_method("reset")
    with pytest.raises(AttributeError):
        env.get_attr("no_such_thing")
    with pytest.raises(RuntimeError, match="step_async"):
        env.step_wait()
    with pytest.raises(ValueError, match="'own', 'team' and a Reward"):
        StationVecEnv(batch(), reward="mean")  # type: ignore[arg-type]


def test_actions_that_are_no_numbers() -> None:
    env = StationVecEnv(batch())
    env.reset()
    actions = np.zeros((env.num_envs, 1))
    actions[4] = np.nan
    with pytest.raises(ActionError, match="'ac_1', row 1"):
        env.step(actions)


def test_wrappers_of_sb3() -> None:
    """Monitor counts what the environment counts; normalised last observations are kept apart."""
    env = VecNormalize(VecMonitor(StationVecEnv(batch())))
    env.reset()
    env.action_space.seed(0)
    for _ in range(DAY):
        _, _, dones, infos = env.step(sampled(env))
    assert dones.all()
    assert {info["episode"]["l"] for info in infos} == {DAY}
    assert sum(info["episode"]["r"] for info in infos) < 0.0


def test_ppo_learns_and_repeats() -> None:
    def trained() -> tuple[np.ndarray, float]:
        env = StationVecEnv(batch())
        model = sb3.PPO("MlpPolicy", env, n_steps=DAY, batch_size=36, n_epochs=1, seed=0, device="cpu").learn(144)
        assert model.num_timesteps == 144
        assert len(model.ep_info_buffer) == 144 / DAY
        weights = np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()])
        mean, _ = evaluate_policy(model, VecMonitor(env), n_eval_episodes=env.num_envs)
        return weights, mean

    one, other = trained(), trained()
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1] == other[1]


def test_off_policy_buffers_get_the_last_observation() -> None:
    """SAC stores what was seen at the end of the day, not the next day's start, and no end of the world."""
    env = StationVecEnv(batch())
    model = sb3.SAC(
        "MlpPolicy", env, buffer_size=20 * env.num_envs, learning_starts=10_000, seed=0, device="cpu"
    ).learn(DAY * env.num_envs)
    buffer = model.replay_buffer
    assert isinstance(buffer, ReplayBuffer)
    assert buffer.pos == DAY
    assert buffer.timeouts[DAY - 1].all()
    assert not buffer.timeouts[: DAY - 1].any()
    progress = env.batch.observation_labels("ac_0").index("clock.progress")
    np.testing.assert_allclose(buffer.next_observations[:DAY, 0, progress], np.arange(1, DAY + 1) / 24)


def test_shaped_rewards_differ_by_what_no_action_changes() -> None:
    """Over a day, shaping takes off the value of the plans on arrival: the same number whatever is done."""

    def day_return(reward: RewardLike, action: float) -> np.ndarray:
        env = StationVecEnv(ev_marl.BatchedEnv("tiny", N_ENVS, n_days=2, seed=3, action="continuous"), reward=reward)
        env.reset()
        while True:
            _, _, _, infos = env.step(np.full((env.num_envs, 1), action))
            if "episode" in infos[0]:
                return np.array([info["episode"]["r"] for info in infos])

    shaped = Reward(team=0.0, shaping="plan")
    taken = [day_return("own", action) - day_return(shaped, action) for action in (0.0, 1.0)]
    np.testing.assert_allclose(taken[0], taken[1], atol=1e-5)
    assert np.abs(taken[0]).max() > 0.1
    with pytest.raises(ValueError, match="shadow_prices"):
        StationVecEnv(batch(), reward=Reward(credit="shadow_prices"))
