"""The TorchRL face: its specs hold, and its numbers are the batched environment's."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

pytest.importorskip("torchrl")

import torch
from elsewhere_cases import mixed_scenario
from tensordict import TensorDict
from torchrl.envs import check_env_specs, step_mdp

import ev_marl
from ev_marl.env.actions import ActionLike
from ev_marl.rl.torchrl import StationsEnv

DAY = 12  # steps: from midnight to noon, vehicles come in the morning
KINDS: list[ActionLike] = ["continuous", "bid", 5]


def batch(action: ActionLike = "continuous", n_envs: int = 2) -> ev_marl.BatchedEnv:
    return ev_marl.BatchedEnv(mixed_scenario(), n_envs, n_days=4, seed=3, action=action, max_cycles=DAY)


@pytest.mark.parametrize("action", KINDS)
def test_specs_hold(action: ActionLike) -> None:
    env = StationsEnv(batch(action))
    check_env_specs(env, seed=0)
    check_env_specs(env, break_when_any_done="both")


@pytest.mark.parametrize("reward", ["own", "team"])
@pytest.mark.parametrize("action", KINDS)
def test_same_numbers_as_the_batched_environment(action: ActionLike, reward: Literal["own", "team"]) -> None:
    """Two days and a bit in one rollout, with the same actions in the batched environment."""
    env, plain = StationsEnv(batch(action), reward=reward), batch(action)
    torch.manual_seed(0)
    n_steps = 2 * DAY + 3
    data = env.rollout(n_steps, break_when_any_done=False)
    assert data.batch_size == (2, n_steps)
    present = data["agents", "present"]
    assert (present == present[0, 0]).all()
    mean = present[0, 0].numpy()
    assert mean.sum() == len(plain.ports) * (2 if action == "bid" else 1)
    observations = plain.reset()
    rewarded = 0
    for t in range(n_steps):
        now = data[:, t]
        np.testing.assert_array_equal(now["agents", "observation"], observations)
        if action == 5:
            by_port = plain.action_mask()
            np.testing.assert_array_equal(now["agents", "action_mask"].numpy()[:, mean], by_port)
        observations, rewards, terminated, truncated, info = plain.step(now["agents", "action"].numpy()[:, mean])
        last = observations if info.final_observation is None else info.final_observation
        np.testing.assert_array_equal(now["next", "agents", "observation"], last)
        if reward == "team":
            rewards = np.repeat(rewards.mean(axis=1, keepdims=True), 3, axis=1)
        np.testing.assert_allclose(now["next", "agents", "reward"][..., 0], rewards, rtol=1e-6)
        rewarded += int((rewards != 0.0).sum())
        np.testing.assert_array_equal(now["next", "truncated"][:, 0], truncated)
        np.testing.assert_array_equal(now["next", "done"][:, 0], truncated)
        np.testing.assert_array_equal(now["next", "terminated"][:, 0], terminated)
    assert data["next", "done"].sum() == 2 * 2
    assert rewarded > 5  # there were vehicles to charge


def test_seeds() -> None:
    def seen(seed: int) -> torch.Tensor:
        env = StationsEnv(batch())
        env.set_seed(seed)
        torch.manual_seed(seed)
        return env.rollout(DAY)["agents", "observation"]

    assert torch.equal(seen(1), seen(1))
    assert not torch.equal(seen(1), seen(2))


def test_a_seed_counts_for_the_next_reset_even_after_a_day() -> None:
    env = StationsEnv(batch())
    env.set_seed(1)
    first = env.rollout(DAY)
    pool = env.batch.tracks
    env.rollout(DAY)
    assert env.batch.tracks is pool
    env.set_seed(1)
    again = env.rollout(DAY)
    assert torch.equal(first[:, 0]["agents", "observation"], again[:, 0]["agents", "observation"])
    assert env.batch.tracks is not pool
    assert env.batch.tracks == pool


def test_a_reset_in_the_middle_starts_anew() -> None:
    env = StationsEnv(batch())
    state = env.reset()
    for _ in range(3):
        state = step_mdp(env.rand_step(state))
    assert env.batch.simulator.state.step == 3
    env.reset()
    assert env.batch.simulator.state.step == 0


def test_rows_are_reset_together() -> None:
    env = StationsEnv(batch())
    env.reset()
    some = TensorDict({"_reset": torch.tensor([[True], [False]])}, [2])
    with pytest.raises(ValueError, match="together"):
        env.reset(some)
    with pytest.raises(ValueError, match="'own', 'team' and a Reward"):
        StationsEnv(batch(), reward="mean")  # type: ignore[arg-type]


def test_group() -> None:
    env = StationsEnv(batch())
    assert env.group_map == {"agents": ["ac_0", "ac_1", "bidi_0"]}
    assert env.reward_key == ("agents", "reward")
    assert env.action_key == ("agents", "action")
