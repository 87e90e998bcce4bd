"""Training speed: the batched runner against RLlib's own, side by side; nothing is asserted but that both run."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")

import ray
import torch

import ev_marl
from ev_marl.rl.algorithm import build
from ev_marl.rl.config import TrainingConfig

SCENARIO = "workplace"
ROUNDS = 3


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Both ways with one thread, as `ev-marl train` runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    started = not ray.is_initialized()
    if started:
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    torch.set_num_threads(before)
    if started:
        ray.shutdown()


def speeds(pipeline: str, envs: int, action: Any) -> tuple[float, float]:
    """Environment steps per second of sampling alone, and of whole iterations: the best of some rounds."""
    config = TrainingConfig.model_validate(
        {
            "name": "bench",
            "action": action,
            "reward": {"team": 0, "shaping": "none"},
            "sampling": {"envs": envs, "pipeline": pipeline},
        }
    )
    algorithm = build(config, ev_marl.load_scenario(SCENARIO), 0)
    steps = 96 * envs
    algorithm.train()  # compiles, fills caches
    sampling, iteration = [], []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        sampled = algorithm.env_runner.sample(num_episodes=envs)
        sampling.append(sum(part.env_steps() for part in sampled) / (time.perf_counter() - begin))
        begin = time.perf_counter()
        algorithm.train()
        iteration.append(steps / (time.perf_counter() - begin))
    algorithm.stop()
    return max(sampling), max(iteration)


@pytest.mark.filterwarnings("ignore")
def test_batched_runner_against_rllibs_own(benchmark: Any) -> None:
    stock = speeds("stock", 1, "fraction")
    fast = {}

    def run() -> None:
        fast["arrays"] = speeds("arrays", 32, "fraction")

    benchmark.pedantic(run, rounds=1, iterations=1)
    fast["arrays, bids"] = speeds("arrays", 32, "bid")
    print(f"\nstock runner, {SCENARIO}: {stock[0]:,.0f} environment steps/s sampling, {stock[1]:,.0f} whole iteration")
    for name, (sampling, iteration) in fast.items():
        print(
            f"{name}: {sampling:,.0f} sampling ({sampling / stock[0]:.0f} × stock), "
            f"{iteration:,.0f} whole iteration ({iteration / stock[1]:.1f} × stock)"
        )
    assert min(stock) > 0.0
