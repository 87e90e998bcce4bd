"""All faces play the same game: same day and actions, same numbers, bit for bit; days, seeds, infos, truncation."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

import ev_marl
from ev_marl.env.aec import env as aec_env
from ev_marl.env.setup import Setting
from ev_marl.scenario import load_scenario
from ev_marl.scenario.loader import scenario_from_dict
from ev_marl.simulation.flow import Flow
from ev_marl.support.errors import ArgumentError, ObjectiveError, TrackError

SCENARIOS = ["tiny", "workplace", "residential-v2g"]


def columns(env: Any) -> list[slice]:
    """Ports of each agent."""
    first = env.site.arrays.station_first_port
    return [slice(a, b) for a, b in itertools.pairwise(first)]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_faces_agree_bit_for_bit(scenario: str) -> None:
    seeds = [11, 12, 13]
    parallel = [ev_marl.parallel_env(scenario) for _ in seeds]
    central = ev_marl.central_env(scenario)
    world = parallel[0].world
    tracks = [world.sample(seed) for seed in seeds]
    batched = ev_marl.BatchedEnv(scenario, len(seeds), tracks=tracks)
    firsts = [env.reset(seed=seed)[0] for env, seed in zip(parallel, seeds, strict=True)]
    state, _ = central.reset(seed=seeds[1])
    rows = batched.reset(day=[0, 1, 2])
    assert parallel[0].track == tracks[0]
    rng = np.random.default_rng(0)
    over = False
    for b, first in enumerate(firsts):
        np.testing.assert_array_equal(rows[b], list(first.values()))
    while not over:
        actions = rng.uniform(-1, 1, (len(seeds), len(batched.ports))).astype(np.float32)
        rows, rewards, _, truncated, info = batched.step(actions)
        over = bool(truncated[0])
        shown = info.final_observation if over else rows
        for b, env in enumerate(parallel):
            by_agent = {agent: actions[b, ports] for agent, ports in zip(env.agents, columns(env), strict=True)}
            observations, own, terminations, truncations, infos = env.step(by_agent)
            np.testing.assert_array_equal(shown[b], list(observations.values()))
            np.testing.assert_array_equal(rewards[b], list(own.values()))
            assert list(own) == list(infos) == list(env.possible_agents)
            assert set(truncations.values()) == {over}
            assert not any(terminations.values())
            for i, name in enumerate(batched.cost_names):
                np.testing.assert_array_equal(info.costs[i, b], [infos[agent][name] for agent in own])
        state, reward, _, _, costs = central.step(actions[1])
        np.testing.assert_array_equal(state, parallel[1].state())
        if not over:
            np.testing.assert_array_equal(state, batched.state()[1])
        assert reward == rewards[1].sum()
        assert sum(costs.values()) == pytest.approx(-reward, abs=1e-12)
    assert all(env.agents == [] for env in parallel)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rewards_sum_to_the_teams_and_infos_hold_every_cost(scenario: str) -> None:
    env = ev_marl.parallel_env(scenario)
    env.reset(seed=2)
    while env.agents:
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        _, rewards, _, _, infos = env.step(actions)
        for agent, reward in rewards.items():
            assert type(reward) is float
            assert tuple(infos[agent]) == env.objective.names
            assert reward == pytest.approx(-sum(infos[agent].values()), abs=1e-12)
        # The energy cost of the team from its meters alone.
        flow_kw, step_h = env.simulator.state.granted_kw[0], env.track.step_h
        t = env.simulator.state.step - 1
        buy, sell = env.track.buy_per_kwh[t], env.track.sell_per_kwh[t]

        def bill(net_kw: np.ndarray, step_h: float = step_h, buy: float = buy, sell: float = sell) -> float:
            return float(step_h * (buy * np.maximum(0.0, net_kw) + sell * np.minimum(0.0, net_kw)).sum())

        (energy,) = (term for term in env.objective.terms if term.name == "energy_cost")
        base_kw = env.track.base_load_kw[t, 0]
        at_site = bill(base_kw + flow_kw.sum()) - bill(base_kw)
        expected = bill(flow_kw) if energy.metering == "port" else at_site
        assert sum(info["energy_cost"] for info in infos.values()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "objective",
    [
        {"unmet_energy": 0},
        {},
        {"battery_wear": 0.01, "peak_power": 0.5},
        {"battery_wear": 0.01, "peak_power": 0.5, "setpoint_tracking": {"weight": 0.1, "target": 5.0}},
    ],
)
def test_infos_hold_however_many_costs(objective: dict[str, Any]) -> None:
    model = ev_marl.load_scenario("tiny").model_dump(exclude_unset=True) | {"objective": objective}
    scenario = ev_marl.Scenario.model_validate(model)
    env, batched = ev_marl.parallel_env(scenario), ev_marl.BatchedEnv(scenario, 1, n_days=1)
    batched.reset()
    env.reset(options={"track": batched.tracks[0]})
    for _ in range(12):
        *_, infos = env.step({agent: [0.7] for agent in env.agents})
        *_, step = batched.step(np.full((1, 3), np.float32(0.7)))
        for i, name in enumerate(env.objective.names):
            assert [info[name] for info in infos.values()] == pytest.approx(step.costs[i, 0].tolist(), rel=1e-6)
        assert all(len(info) == len(env.objective.names) for info in infos.values())


# A fingerprint of a seeded day and a later, unseeded one.
FINGERPRINT = (
    "import hashlib, numpy as np, ev_marl\n"
    "env = ev_marl.parallel_env('workplace', observation=['ports', 'prices', 'headroom', 'neighbours'])\n"
    "h = hashlib.sha256()\n"
    "rng = np.random.default_rng(0)\n"
    "for seed in (5, None):\n"
    "    observations, infos = env.reset(seed=seed)\n"
    "    while env.agents:\n"
    "        actions = {a: rng.uniform(-1, 1, env.action_space(a).shape) for a in env.agents}\n"
    "        observations, rewards, _, _, infos = env.step(actions)\n"
    "        for a in observations:\n"
    "            h.update(a.encode() + observations[a].tobytes() + repr((rewards[a], infos[a])).encode())\n"
    "print(h.hexdigest())\n"
)


class Riddle:
    """A term of the user's own whose cost is not always a number."""

    name = "riddle"

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        out[:, 1] = np.nan if flow.step == 3 else 1.0

    def expression(self, day: object) -> None:
        return None


@pytest.mark.parametrize("face", ["parallel", "aec", "central", "batched"])
def test_a_cost_that_is_no_number_is_refused_by_every_face(face: str) -> None:
    plain = load_scenario("tiny").model_dump(exclude_unset=True)
    scenario = scenario_from_dict(plain | {"objective": {"extra": {f"{__name__}:Riddle": {}}}}, trust=True)

    def step(env: Any) -> None:
        if face == "parallel":
            env.step({agent: env.action_space(agent).sample() for agent in env.agents})
        elif face == "aec":
            for agent in env.agents:
                env.step(env.action_space(agent).sample())
        else:
            env.step(np.zeros((2, len(env.ports))) if face == "batched" else env.action_space.sample())

    make: Any = {"parallel": ev_marl.parallel_env, "aec": aec_env, "central": ev_marl.central_env}.get(face)
    env: Any = make(scenario) if make else ev_marl.BatchedEnv(scenario, 2)
    env.reset(seed=0)
    for _ in range(3):
        step(env)
    with pytest.raises(ObjectiveError, match="'riddle', step 3: its cost is nan at row 0, port 1"):
        step(env)


def test_the_same_seed_gives_the_same_numbers_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "12345")
    }
    assert len(found) == 1
    assert len(found.pop()) == 65


def test_resets_without_a_seed_follow_the_environments_own_generator() -> None:
    one, two = ev_marl.parallel_env("tiny"), ev_marl.central_env("tiny")
    one.reset(seed=3)
    two.reset(seed=3)
    days = []
    for _ in range(4):
        one.reset()
        two.reset()
        assert one.track == two.track
        days.append(one.track)
    assert any(day != days[0] for day in days)
    assert one.reset(seed=3)[0].keys() == {"ac_0", "ac_1", "bidi_0"}
    assert one.track == one.world.sample(3)


def test_a_day_of_ones_own() -> None:
    env = ev_marl.parallel_env("tiny")
    day = env.world.sample(77)
    env.reset(seed=1, options={"track": day, "something": "else"})
    assert env.track is day
    with pytest.raises(TrackError, match="must be a Track, got str"):
        env.reset(options={"track": "monday"})
    with pytest.raises(TrackError):
        env.reset(options={"track": ev_marl.parallel_env("workplace").world.sample(0)})


@pytest.mark.parametrize("make", [ev_marl.parallel_env, ev_marl.env, ev_marl.central_env])
def test_a_mistyped_option_and_another_currency_are_refused(make) -> None:
    env = make("tiny")
    day = env.unwrapped.world.sample(77)
    with pytest.raises(ArgumentError, match=r"options: no key 'trak'. Did you mean 'track'\?"):
        env.reset(options={"trak": day})
    env.reset(options={"trace": True, "stack": 4})  # keys of others
    dollars = day.replace(currency="USD")
    told = r"its prices are in USD, the scenario counts in EUR \(key `currency`\)"
    with pytest.raises(TrackError, match=rf"options\['track'\].*\n.*{told}"):
        env.reset(options={"track": dollars})
    with pytest.raises(TrackError, match=rf"tracks\[1\].*\n.*{told}"):
        make("tiny", tracks=[day, dollars])
    with pytest.raises(TrackError, match=told):
        ev_marl.solve_day(Setting.of("tiny"), dollars)


def test_a_day_of_another_length() -> None:
    long = ev_marl.load_scenario("tiny").model_copy(update={"horizon": 48.0})
    env = ev_marl.parallel_env("tiny")
    env.max_cycles = 1000
    env.reset(options={"track": ev_marl.World(long).sample(0)})
    steps = 0
    while env.agents:
        env.step({agent: [1.0] for agent in env.agents})
        steps += 1
    assert steps == 48


def test_fixed_days_come_in_turn() -> None:
    world = ev_marl.parallel_env("tiny").world
    days = [world.sample(seed) for seed in (1, 2, 3)]
    env = ev_marl.parallel_env("tiny", tracks=days)
    seen = []
    for _ in range(4):
        env.reset()
        seen.append(env.track)
    assert [days.index(track) for track in seen] == [0, 1, 2, 0]
    env.reset(seed=4)  # a seed says where to go on
    assert env.track is days[1]
    env.reset()
    assert env.track is days[2]
    with pytest.raises(TrackError, match="tracks is empty"):
        ev_marl.parallel_env("tiny", tracks=[])


@pytest.mark.parametrize("face", ["parallel", "central", "batched"])
def test_max_cycles_truncates_and_may_change(face: str) -> None:
    if face == "parallel":
        env: Any = ev_marl.parallel_env("tiny", max_cycles=2)
        env.reset(seed=0)
        ends = [env.step({a: [0.0] for a in env.agents})[3]["ac_0"] for _ in range(2)]
        assert env.agents == []
        assert env.step({}) == ({}, {}, {}, {}, {})
    elif face == "central":
        env = ev_marl.central_env("tiny", max_cycles=2)
        env.reset(seed=0)
        ends = [env.step(np.zeros(3))[3] for _ in range(2)]
    else:
        env = ev_marl.BatchedEnv("tiny", 1, n_days=1, max_cycles=2)
        env.reset()
        ends = [bool(env.step(np.zeros((1, 3)))[3][0]) for _ in range(2)]
    assert ends == [False, True]
    with pytest.raises(ValueError, match="max_cycles is 0"):
        type(env)("tiny", **({"n_envs": 1} if face == "batched" else {}), max_cycles=0)


def test_before_the_first_reset() -> None:
    for env in (ev_marl.parallel_env("tiny"), ev_marl.central_env("tiny"), ev_marl.BatchedEnv("tiny", 1)):
        with pytest.raises(RuntimeError, match="reset"):
            _ = env.simulator
    with pytest.raises(RuntimeError, match="reset"):
        ev_marl.parallel_env("tiny").step({})
    with pytest.raises(RuntimeError, match="reset"):
        ev_marl.parallel_env("tiny").state()
    with pytest.raises(RuntimeError, match="reset"):
        ev_marl.BatchedEnv("tiny", 1).step(np.zeros((1, 3)))


def test_rows_start_anew_by_themselves() -> None:
    env = ev_marl.BatchedEnv("tiny", 8, n_days=3, seed=4)
    env.reset()
    rng = np.random.default_rng(1)
    total = np.zeros((8, 3))
    for _ in range(2):
        days = env.day.copy()
        for step in range(24):
            assert env.simulator.state.step == step
            observations, rewards, terminated, truncated, info = env.step(rng.uniform(-1, 1, (8, 3)))
            total += rewards
            assert not terminated.any()
            assert truncated.all() == truncated.any() == (step == 23)
        np.testing.assert_allclose(info.episode_return, total)
        total[:] = 0.0
        progress = env.observation_labels("ac_0").index("clock.progress")
        assert (observations[:, :, progress] == 0).all()
        assert (info.final_observation[:, :, progress] == 1).all()
        assert (env.day != days).any()
        assert info.flow.granted_kw.shape == (8, 3)


def test_the_last_flow_survives_the_restart() -> None:
    env = ev_marl.BatchedEnv("tiny", 2, n_days=1, max_cycles=12)
    env.reset()
    for _ in range(12):
        *_, info = env.step(np.ones((2, 3)))
    np.testing.assert_allclose(info.flow.group_kw[:, 0], info.flow.granted_kw.sum(axis=1))
    assert info.flow.granted_kw.any()
    assert not env.simulator.state.granted_kw.any()


def test_a_pool_is_drawn_anew_only_if_asked() -> None:
    for refresh in (False, True):
        env = ev_marl.BatchedEnv("tiny", 2, n_days=2, seed=0, max_cycles=1, refresh=refresh)
        env.reset()
        pool = env.tracks
        env.step(np.zeros((2, 3)))
        assert (env.tracks is pool) is not refresh
        env.reset(seed=9)
        assert env.tracks is not pool


def test_the_same_seed_gives_the_same_batch() -> None:
    one, two = (ev_marl.BatchedEnv("tiny", 4, n_days=5, seed=s) for s in (0, 8))
    np.testing.assert_array_equal(one.reset(seed=8), two.reset())
    np.testing.assert_array_equal(one.day, two.day)


@pytest.mark.parametrize("copy", [False, True])
def test_observations_outlive_the_next_step(copy: bool) -> None:
    env = ev_marl.BatchedEnv("tiny", 2, n_days=2, max_cycles=3, copy=copy)
    before = env.reset()
    for _ in range(5):
        kept = before.copy()
        after, rewards, *_, info = env.step(np.ones((2, 3)))
        np.testing.assert_array_equal(before, kept)
        before = after
    kept_rewards, kept_costs = rewards.copy(), info.costs.copy()
    env.step(-np.ones((2, 3)))
    np.testing.assert_array_equal(rewards, kept_rewards)
    if copy:
        np.testing.assert_array_equal(info.costs, kept_costs)


def test_levels_in_a_batch_come_with_a_mask() -> None:
    env = ev_marl.BatchedEnv("tiny", 2, n_days=2, action=3)
    env.reset()
    *_, info = env.step(np.ones((2, 3), dtype=np.int64))
    assert info.action_mask.shape == (2, 3, 3)


def test_pictures_and_tables() -> None:
    env = ev_marl.parallel_env("workplace", render_mode="ansi")
    with pytest.raises(RuntimeError, match="reset"):
        env.render()
    env.reset(seed=0)
    for _ in range(50):
        env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    table = env.render()
    assert isinstance(table, str)
    assert "step 50 of 96" in table
    assert all(group in table for group in env.site.groups)
    env.render_mode = "rgb_array"
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    with pytest.raises(ValueError, match="render_mode is 'svg'"):
        ev_marl.parallel_env("tiny", render_mode="svg")
    with pytest.raises(RuntimeError, match="render_mode"):
        ev_marl.parallel_env("tiny").render()


def test_the_central_environment_is_registered_in_gymnasium() -> None:
    env = gymnasium.make("ev_marl/central-v0", scenario="tiny", action=3)
    _, info = env.reset(seed=1)
    assert env.action_space.contains(env.action_space.sample(info["action_mask"]))
    assert len(env.unwrapped.observation_labels()) == env.observation_space.shape[0]  # type: ignore[attr-defined]
