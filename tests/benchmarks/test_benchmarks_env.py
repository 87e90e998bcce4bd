"""How fast the faces are: steps per second at 50 agents, port-steps per second in a batch of 1,024 × 50.

Run with `make bench`; each test prints its figure. Nothing is asserted about time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ev_marl
from ev_marl.simulation.coordinators import Coordinator, make_coordinator
from ev_marl.simulation.coordinators.none import NoCoordinator

pytestmark = pytest.mark.benchmark(group="env")
COORDINATORS = ["none", "proportional", "priority", "nearest"]


def fifty_stations() -> ev_marl.Scenario:
    """50 single-port stations on two lots, half of them with V2G; agents see 24 numbers."""
    lots = [
        {"name": "lot_a", "import_limit": 120, "stations": [{"type": "ac", "count": 25, "power": 11}]},
        {"name": "lot_b", "import_limit": 120, "stations": [{"type": "bidi", "count": 25, "power": 11, "v2g": True}]},
    ]
    return ev_marl.Scenario.model_validate(
        {
            "name": "fifty",
            "start": "2023-05-15",
            "site": {"name": "grid", "import_limit": 200, "groups": lots},
            "sessions": {"model": "elaadnl/workplace", "per_port_per_day": 1.1},
            "prices": {"model": "nl/2023"},
            "objective": {"battery_wear": 0.03},
            "observation": ["clock", "ports", {"prices": 6}, "headroom"],
        }
    )


class Everything(NoCoordinator):
    """Grants everything, and asks for no price of overload, so that none is timed."""

    enforces_limits = True


def coordinator_of(name: str) -> Coordinator:
    """The coordinator of a row of the table."""
    return Everything() if name == "none" else make_coordinator(name)


def best_rate(play: Callable[[], int], rounds: int = 7) -> float:
    """Highest number of steps per second over a few rounds; `play` runs some steps and tells how many."""
    rates = []
    for _ in range(rounds):
        begin = time.perf_counter()
        steps = play()
        rates.append(steps / (time.perf_counter() - begin))
    return max(rates)


@pytest.mark.parametrize("coordinator", COORDINATORS)
def test_parallel_step(benchmark: Any, coordinator: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = ev_marl.parallel_env(fifty_stations(), coordinator=coordinator_of(coordinator))
    actions = [{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(8)]

    def day() -> int:
        for step in range(env.scenario.n_steps):
            env.step(actions[step % 8])
        return env.scenario.n_steps

    def restart() -> None:
        env.reset(seed=0)

    restart()
    day()
    benchmark.pedantic(day, setup=restart, rounds=10)
    rates = []
    for _ in range(10):
        restart()
        rates.append(best_rate(day, rounds=1))
    with capsys.disabled():
        print(f"\nparallel_env().step, 50 agents, 24 numbers, {coordinator}: {max(rates):,.0f} steps/s")


@pytest.mark.parametrize("coordinator", COORDINATORS)
def test_batched_step(benchmark: Any, coordinator: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = ev_marl.BatchedEnv(fifty_stations(), 1024, n_days=64, coordinator=coordinator_of(coordinator))
    actions = np.random.default_rng(0).uniform(-1, 1, (4, 1024, 50))
    env.reset()

    def day() -> int:
        for step in range(env.scenario.n_steps):
            env.step(actions[step % 4])
        return env.scenario.n_steps

    day()
    benchmark.pedantic(day, rounds=5)
    rate = best_rate(day) * 1024 * 50
    with capsys.disabled():
        print(f"\nBatchedEnv.step, 1,024 x 50 ports, 24 numbers, {coordinator}: {rate / 1e6:,.1f} million port-steps/s")


@pytest.mark.parametrize("coordinator", ["proportional", "priority", "round-robin", "nearest"])
def test_batched_step_with_currents(benchmark: Any, coordinator: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The garage of `acn-caltech`, with its limits of currents and without them, in one run."""
    scenario = ev_marl.load_scenario("acn-caltech").with_coordinator(coordinator)
    group = scenario.site.model_copy(update={"transformer": None, "groups": []})
    pods = [pod.model_copy(update={"current_limit": None}) for pod in scenario.site.groups]
    free = scenario.model_copy(update={"site": group.model_copy(update={"groups": pods})})
    rates = {}
    for name, played in (("with", scenario), ("without", free)):
        env = ev_marl.BatchedEnv(played, 256, n_days=16)
        actions = np.random.default_rng(0).uniform(0, 1, (4, 256, 54))
        env.reset()

        def day(env: ev_marl.BatchedEnv = env, actions: np.ndarray = actions) -> int:
            for step in range(env.scenario.n_steps):
                env.step(actions[step % 4])
            return env.scenario.n_steps

        day()
        if name == "with":
            benchmark.pedantic(day, rounds=3)
        rates[name] = best_rate(day) * 256 * 54
    with capsys.disabled():
        print(
            f"\nBatchedEnv.step, acn-caltech, 256 x 54 ports, {coordinator}: {rates['with'] / 1e6:,.1f} million "
            f"port-steps/s; {rates['without'] / rates['with']:.2f} times the time without limits of currents"
        )


def test_central_step(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    env = ev_marl.central_env(fifty_stations())
    action = env.action_space.sample()

    def day() -> int:
        env.reset(seed=0)
        for _ in range(env.scenario.n_steps):
            env.step(action)
        return env.scenario.n_steps

    day()
    benchmark.pedantic(day, rounds=10)
    with capsys.disabled():
        print(f"\nCentralEnv, 50 ports, resets included: {best_rate(day):,.0f} steps/s")
