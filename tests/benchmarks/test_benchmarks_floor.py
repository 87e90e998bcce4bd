"""What any PettingZoo environment of 50 agents pays before it computes anything: the dicts, beside our whole step.

Both are timed in turn in one run, so the ratio holds on a busy machine where the rates do not.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pytest
from test_benchmarks_env import fifty_stations

import ev_marl

pytestmark = pytest.mark.benchmark(group="floor")
WIDTH = 24


def bare_dicts(agents: list[str], actions: dict[str, np.ndarray], block: np.ndarray, rewards: list[float]) -> tuple:
    """Read the actions into one array, and hand out five dicts."""
    np.concatenate([actions[agent] for agent in agents])
    return (
        dict(zip(agents, block.copy(), strict=True)),
        dict(zip(agents, rewards, strict=True)),
        dict.fromkeys(agents, False),
        dict.fromkeys(agents, False),
        {
            agent: {"energy_cost": 0.0, "unmet_energy": 0.0, "battery_wear": 0.0, "terminal_value": 0.0}
            for agent in agents
        },
    )


def test_step_against_its_dicts(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    env = ev_marl.parallel_env(fifty_stations())
    actions = {agent: env.action_space(agent).sample() for agent in env.possible_agents}
    agents, block, rewards = list(env.possible_agents), np.zeros((50, WIDTH), dtype=np.float32), [0.0] * 50
    env.reset(seed=0)
    found = [part.keys() for part in (*env.step(actions), *env.step(actions)[-1].values())]
    bare = bare_dicts(agents, actions, block, rewards)
    assert found == [part.keys() for part in (*bare, *bare[-1].values())]
    ratios, rates = [], []
    for _ in range(30):
        env.reset(seed=0)
        begin = time.thread_time()
        for _ in range(96):
            env.step(actions)
        middle = time.thread_time()
        for _ in range(96):
            bare_dicts(agents, actions, block, rewards)
        end = time.thread_time()
        ratios.append((middle - begin) / (end - middle))
        rates.append(96 / (middle - begin))
    benchmark(bare_dicts, agents, actions, block, rewards)
    with capsys.disabled():
        print(
            f"\nparallel_env().step, 50 agents, {WIDTH} numbers, nearest: "
            f"median {statistics.median(rates):,.0f} steps/s, {statistics.median(ratios):.2f} times the bare dicts"
        )
