"""Copies in mid-episode go on as the original does, and independently of it: deepcopy, pickle, processes, threads."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.optimum import Solution, solve
from ev_marl.optimum.solve import solve_day
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.site import Site
from ev_marl.world import Track

OBSERVATION = ["identity", "clock", "calendar", "prices", "ports", "plans", "booking", "demand", "headroom"]
COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
}
FACES = ["parallel", "aec", "central", "levels", "bids", "batched"]


def make(face: str) -> Any:
    """An environment of `workplace` that sees nearly everything and stops at step 40."""
    options: dict[str, Any] = {"observation": OBSERVATION, "max_cycles": 40}
    if face == "central":
        return ev_marl.central_env("workplace", **options)
    if face == "batched":
        return ev_marl.BatchedEnv("workplace", 3, n_days=4, **options)
    if face == "aec":
        return ev_marl.env("workplace", **options)
    action = {"levels": 5, "bids": {"bid": {"says": ["adder", "share"], "hold_steps": 3}}}.get(face, "continuous")
    return ev_marl.parallel_env("workplace", action=action, **options)


def begin(env: Any) -> None:
    """Into the middle of an episode."""
    env.reset(seed=6)
    play(env, 11, seed=0)


def play(env: Any, steps: int, seed: int) -> list[Any]:
    """What some steps of random actions give, new episodes included."""
    rng = np.random.default_rng(seed)
    seen: list[Any] = []
    if isinstance(env, ev_marl.BatchedEnv):
        for _ in range(steps):
            observations, rewards, _, truncated, info = env.step(rng.uniform(-1.0, 1.0, (3, len(env.ports))))
            seen += [observations.tobytes(), rewards.tobytes(), info.costs.tobytes(), truncated.tolist()]
    elif isinstance(env, ev_marl.CentralEnv):
        for _ in range(steps):
            state, reward, _, truncated, info = env.step(rng.uniform(-1.0, 1.0, env.action_space.shape))
            seen += [state.tobytes(), reward, truncated, info]
            if truncated:
                env.reset()
    elif isinstance(env, ev_marl.ChargingEnv):
        for _ in range(steps):
            actions = {agent: some_action(env.action_space(agent), rng) for agent in env.agents}
            observations, rewards, _, truncations, infos = env.step(actions)
            seen += [np.array(list(observations.values())).tobytes(), env.state().tobytes(), rewards, truncations]
            seen.append({agent: info[name] for agent, info in infos.items() for name in env.objective.names})
            if not env.agents:
                env.reset()
    else:
        for _ in range(steps * len(env.possible_agents)):
            observation, reward, _, truncated, info = env.last()
            seen += [observation.tobytes(), reward, truncated, info]
            env.step(None if truncated else rng.uniform(-1.0, 1.0, env.action_space(env.agent_selection).shape))
            if not env.agents:
                env.reset()
    return seen


def some_action(space: Any, rng: np.random.Generator) -> Any:
    return rng.integers(5, size=space.shape) if space.dtype == np.int64 else rng.uniform(-1.0, 1.0, space.shape)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_in_mid_episode_goes_on_as_the_original(face: str, how: str) -> None:
    env = make(face)
    begin(env)
    twin, later = COPIES[how](env), COPIES[how](env)
    expected = play(env, 60, seed=1)  # into the next episode: days are drawn alike as well
    assert play(twin, 60, seed=1) == expected
    play(env, 5, seed=2)
    assert play(later, 60, seed=1) == expected, "playing one leaves the others alone"


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_keeps_what_was_set_after_construction(how: str) -> None:
    env = ev_marl.parallel_env("tiny", render_mode="ansi")
    env.max_cycles = 7
    env.reset(seed=1)
    env.step({agent: [0.5] for agent in env.agents})
    twin = COPIES[how](env)
    assert (twin.max_cycles, twin.agents, twin.track) == (7, env.agents, env.track)
    assert twin.render() == env.render()
    for agent in env.agents:
        assert twin.action_space(agent) is twin.action_space(agent)
        assert twin.action_space(agent) == env.action_space(agent)


def test_a_deep_copy_shares_what_never_changes() -> None:
    env = ev_marl.parallel_env("workplace")
    env.reset(seed=1)
    twin = copy.deepcopy(env)
    assert twin.site is env.site
    assert twin.world is env.world
    assert twin.scenario is env.scenario
    assert twin.simulator is not env.simulator
    assert twin.coordinator is twin.simulator.coordinator


@pytest.mark.parametrize("face", ["parallel", "batched"])
def test_a_copy_before_the_first_reset(face: str) -> None:
    env = make(face)
    twin = copy.deepcopy(env)
    env.reset(seed=3)
    twin.reset(seed=3)
    assert play(env, 4, seed=0) == play(twin, 4, seed=0)


@pytest.mark.parametrize("scenario", ["street-lv"])
def test_a_copy_on_a_network(scenario: str) -> None:
    pytest.importorskip("pandapower")
    pytest.importorskip("simbench")
    env = ev_marl.parallel_env(scenario)
    begin(env)
    twins = [copies(env) for copies in COPIES.values()]
    assert twins[0].simulator.grid.backend is env.simulator.grid.backend
    expected = play(env, 30, seed=1)
    assert [play(twin, 30, seed=1) == expected for twin in twins] == [True, True]


def used_objective(scenario: str) -> tuple[Site, list[Track], Objective]:
    """An objective that an episode has been evaluated with."""
    env = ev_marl.parallel_env(scenario)
    env.reset(seed=0)
    env.step({agent: np.ones(env.action_space(agent).shape) for agent in env.agents})
    return env.site, [env.world.sample(seed) for seed in range(12)], env.objective


@pytest.mark.parametrize("how", COPIES)
def test_a_copied_objective_solves_the_same_day(how: str) -> None:
    site, tracks, objective = used_objective("workplace")
    expected = solve(site, tracks[0], objective)
    assert expected.achieved < -1.0
    assert outcome(solve(site, tracks[0], COPIES[how](objective))) == outcome(expected)


def outcome(solution: Solution) -> tuple[float, float, bool]:
    return solution.bound, solution.achieved, solution.certificate.exact


def solved(site: Site, track: Track, objective: Objective) -> tuple[float, float, bool]:
    return outcome(solve(site, track, objective))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_processes_gives_what_one_gives(method: str) -> None:
    site, tracks, objective = used_objective("tiny")
    expected = [solved(site, track, objective) for track in tracks[:4]]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        found = list(pool.map(solved, [site] * 4, tracks[:4], [objective] * 4))
    assert found == expected


def test_an_environment_goes_on_in_another_process() -> None:
    env = make("batched")
    begin(env)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        elsewhere = pool.submit(play, env, 40, 1).result()
    assert elsewhere == play(env, 40, seed=1)


@pytest.mark.parametrize(("scenario", "days"), [("workplace", 12), ("street-lv", 4)])
def test_four_threads_with_one_setting_give_what_one_gives(scenario: str, days: int) -> None:
    if scenario == "street-lv":
        pytest.importorskip("pandapower")
        pytest.importorskip("simbench")
    setting = Setting.of(scenario)
    tracks = [setting.world.sample(seed) for seed in range(days)]

    def solved_day(track: Track) -> tuple[float, float, bool]:
        return outcome(solve_day(setting, track))

    expected = [solved_day(track) for track in tracks]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(solved_day, tracks)) == expected


def test_one_coordinator_serves_sites_of_different_sizes_in_threads() -> None:
    coordinator = make_coordinator("nearest")
    envs = [ev_marl.parallel_env(name, coordinator=coordinator) for name in ("workplace", "tiny") * 2]
    for env in envs:
        env.reset(seed=4)
    expected = [play(copy.deepcopy(env), 80, seed=1) for env in envs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda env: play(env, 80, seed=1), envs)) == expected
