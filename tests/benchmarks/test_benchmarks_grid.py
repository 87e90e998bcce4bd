"""How long a power flow takes beside pandapower's, and what a network costs an environment.

Run with `make bench`; each test prints its figure. Nothing is asserted about time.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pandapower")
pytest.importorskip("lightsim2grid")

import ev_marl
from ev_marl.grid.studies.agreement import CASES, measure
from ev_marl.scenario.schema.grid import Grid

ROUNDS = 7


@pytest.mark.benchmark(group="power flow")
def test_power_flow(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[0]
    rows = benchmark.pedantic(lambda: list(measure(case)), rounds=1)
    with capsys.disabled():
        for row in rows:
            ratios = f"{row.runpp_us / row.alone_us:,.0f} and {row.runpp_us / row.batch_us:,.0f} times"
            times = f"{row.alone_us:.1f} µs alone, {row.batch_us:.1f} µs in a batch; runpp {row.runpp_us:,.0f} µs"
            print(f"\n{row.title}, {row.backend}: {times}, {ratios}")


def workplaces() -> dict[str, ev_marl.Scenario]:
    """`workplace` without a network, on one that is only looked at, and on one whose limits are kept."""
    plain = ev_marl.load_scenario("workplace")
    buses = ["Bus R11", "Bus R15", "Bus R16", "Bus R17", "Bus R18"]
    site = plain.site.model_copy(update={"bus": "Bus R11"})
    lots = [group.model_copy(update={"bus": bus}) for group, bus in zip(plain.site.groups, buses, strict=False)]
    site = site.model_copy(update={"groups": lots})
    found = {"without a network": plain}
    for name, coordinator in (("with a network", "none"), ("with its limits kept", "curtail")):
        grid = Grid.model_validate(
            {
                "network": "cigre_lv",
                "loads": {"profile": "household", "scale": 0.4},
                "limits": {"voltage": [0.94, 1.06]},
                "coordinator": coordinator,
            }
        )
        found[name] = plain.model_copy(update={"grid": grid, "site": site})
    return found


def fastest(rates: dict[str, list[float]]) -> dict[str, float]:
    """Highest rate of each."""
    return {name: max(values) for name, values in rates.items()}


@pytest.mark.benchmark(group="environment on a network")
def test_parallel_step(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    envs = {name: ev_marl.parallel_env(scenario) for name, scenario in workplaces().items()}
    rates: dict[str, list[float]] = {name: [] for name in envs}

    def all_in_turn() -> None:
        for name, env in envs.items():
            env.reset(seed=0)
            actions = [{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(8)]
            begin = time.perf_counter()
            for step in range(env.scenario.n_steps):
                env.step(actions[step % 8])
            rates[name].append(env.scenario.n_steps / (time.perf_counter() - begin))

    all_in_turn()
    benchmark.pedantic(all_in_turn, rounds=ROUNDS)
    with capsys.disabled():
        for name, rate in fastest(rates).items():
            print(f"\nparallel_env().step, workplace {name}: {rate:,.0f} steps/s")


@pytest.mark.benchmark(group="environment on a network")
@pytest.mark.parametrize("n_envs", [64])
def test_batched_step(benchmark: Any, n_envs: int, capsys: pytest.CaptureFixture[str]) -> None:
    envs = {name: ev_marl.BatchedEnv(scenario, n_envs, n_days=64) for name, scenario in workplaces().items()}
    rates: dict[str, list[float]] = {name: [] for name in envs}
    rng = np.random.default_rng(0)

    def all_in_turn() -> None:
        for name, env in envs.items():
            env.reset(seed=0)
            n_steps = env.scenario.n_steps
            actions = rng.uniform(-1, 1, (4, n_envs, 40))
            begin = time.perf_counter()
            for step in range(n_steps - 1):
                env.step(actions[step % 4])
            rates[name].append(n_envs * (n_steps - 1) / (time.perf_counter() - begin))

    all_in_turn()
    benchmark.pedantic(all_in_turn, rounds=ROUNDS)
    with capsys.disabled():
        for name, rate in fastest(rates).items():
            print(f"\nBatchedEnv.step, {n_envs} rows, workplace {name}: {rate:,.0f} environment steps/s")
