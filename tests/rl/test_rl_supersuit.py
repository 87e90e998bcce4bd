"""The PettingZoo environment goes through SuperSuit's vector environments, and what SuperSuit leaves out is made up."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

supersuit = pytest.importorskip("supersuit")
pytest.importorskip("stable_baselines3")

from elsewhere_cases import mixed_scenario  # noqa: E402

import ev_marl  # noqa: E402

DAY = 12  # steps: from midnight to noon, vehicles come in the morning


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    return importlib.import_module("supersuit_ppo")


def test_gymnasium_vector_environment() -> None:
    """Two copies of three stations; the same observations and rewards as the environment itself."""
    env = ev_marl.parallel_env("tiny", max_cycles=DAY)
    joined = supersuit.concat_vec_envs_v1(supersuit.pettingzoo_env_to_vec_env_v1(env), 2, num_cpus=0)
    assert joined.num_envs == 6
    seen, _ = joined.reset(seed=4)
    copies = [ev_marl.parallel_env("tiny", max_cycles=DAY) for _ in range(2)]
    starts = [copy.reset(seed=4 + k)[0] for k, copy in enumerate(copies)]
    np.testing.assert_array_equal(seen, [row for start in starts for row in start.values()])
    rng = np.random.default_rng(0)
    for step in range(DAY):
        actions = rng.uniform(-1, 1, (6, 1)).astype(np.float32)
        seen, rewards, _, truncated, infos = joined.step(actions)
        own = [
            copy.step(dict(zip(copy.agents, actions[3 * k : 3 * k + 3], strict=True))) for k, copy in enumerate(copies)
        ]
        np.testing.assert_allclose(rewards, [r for result in own for r in result[1].values()], rtol=1e-6)
        last = [row for result in own for row in result[0].values()]
        if step == DAY - 1:
            assert truncated.all()
            np.testing.assert_array_equal([info["terminal_observation"] for info in infos], last)
        else:
            np.testing.assert_array_equal(seen, last)


@pytest.mark.parametrize("frames", [3, (2, 4)])
def test_frames_are_skipped(frames: int | tuple[int, int]) -> None:
    """One action stands for several steps, whose rewards add up; the same seed gives the same steps and days."""

    def played() -> list[dict[str, float]]:
        env = supersuit.frame_skip_v0(ev_marl.parallel_env("tiny", max_cycles=DAY), frames)
        rewards = []
        for seed in (4, None):
            env.reset(seed=seed)
            while env.agents:
                rewards.append(env.step({agent: np.ones(1) for agent in env.agents})[1])
        return rewards

    rewards = played()
    assert rewards == played()
    if frames == 3:
        assert len(rewards) == 2 * DAY // 3
        plain = ev_marl.parallel_env("tiny", max_cycles=DAY)
        plain.reset(seed=4)
        steps = [plain.step({agent: np.ones(1) for agent in plain.agents})[1] for _ in range(3)]
        for agent in plain.possible_agents:
            assert rewards[0][agent] == pytest.approx(sum(step[agent] for step in steps))


def test_skipping_frames_leaves_the_days_as_they_are() -> None:
    skipped, plain = supersuit.frame_skip_v0(ev_marl.parallel_env("tiny"), (1, 5)), ev_marl.parallel_env("tiny")
    for env in (skipped, plain):
        env.reset(seed=2)
    skipped.step({agent: np.ones(1) for agent in skipped.agents})
    for env in (skipped, plain):
        env.reset()
    assert skipped.unwrapped.track == plain.track


def test_for_sb3(example: ModuleType) -> None:
    """Mixed stations are padded, days are cut and not terminated, and the seed says which days are played."""

    def played(seed: int) -> np.ndarray:
        env = example.make_env(mixed_scenario(), 2, seed, max_cycles=DAY)
        assert env.num_envs == 6
        assert env.action_space.shape == (3,)
        rows = [env.reset()]
        for _ in range(2 * DAY):
            seen, _, dones, infos = env.step(np.ones((6, 3), dtype=np.float32))
            rows.append(seen)
            for done, info in zip(dones, infos, strict=True):
                assert ("terminal_observation" in info) == bool(done)
                assert info.get("TimeLimit.truncated", False) == bool(done)
                assert ("episode" in info) == bool(done)
        return np.array(rows)

    np.testing.assert_array_equal(played(0), played(0))
    assert (played(0) != played(1)).any()
