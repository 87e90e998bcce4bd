"""Plays a golden case through the public interface: a case comes in, named numbers go out.

Every face, rollouts of policies, and the optimum. What moves inside the package is not seen from here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from golden_case import Case, Numbers, read_actions

import ev_marl
from ev_marl.env import Setting
from ev_marl.world.session_table import fields_of

FLOW = (
    "setpoint_kw", "granted_kw", "energy_change_kwh", "energy_kwh", "settled", "unmet_kwh", "group_kw", "import_kw",
)  # fmt: skip
GRID_FLOW = (
    "charger_kw", "charger_kvar", "vm_pu", "line_percent", "transformer_percent", "slack_kw", "losses_kw",
    "idle_losses_kw", "curtailed_kw", "cut", "failed", "tap", "hot_spot_c",
)  # fmt: skip

TRACK = ("buy_per_kwh", "sell_per_kwh", "base_load_kw", "turned_away")


class Record:
    """Collects values step by step."""

    def __init__(self) -> None:
        self._steps: dict[str, list[Any]] = defaultdict(list)

    def add(self, **values: Any) -> None:
        for name, value in values.items():
            self._steps[name].append(np.array(value))

    def add_costs(self, costs: Mapping[str, Any]) -> None:
        self.add(**{f"costs.{name}": value for name, value in costs.items()})

    def add_flow(self, flow: Any) -> None:
        self.add(**{name: getattr(flow, name) for name in FLOW})
        if flow.grid is not None:
            self.add(**{f"grid.{name}": getattr(flow.grid, name) for name in GRID_FLOW})

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.stack(steps) for name, steps in self._steps.items()}


def play(case: Case) -> Numbers:
    """All numbers that the case records."""
    numbers = PLAYERS[case.play](case)
    if not case.record:
        return numbers
    kept = [name for name in numbers if name.partition(".")[0] in case.record]
    return {name: numbers[name] for name in kept}


def _tracks(case: Case) -> list[ev_marl.Track]:
    return [ev_marl.Track.load(path) for path in case.track_paths]


def _parallel(case: Case) -> Numbers:
    env = ev_marl.parallel_env(case.scenario_path, tracks=_tracks(case), **case.options)
    record = Record()
    observations, infos = env.reset()
    _see(record, observations, infos, env)
    for row in read_actions(case.actions_path):
        observations, rewards, _terminations, truncations, infos = env.step(_by_agent(env, row))
        _see(record, observations, infos, env)
        record.add(rewards=list(rewards.values()), truncated=list(truncations.values()))
        record.add_costs(_costs(infos))
    return _spaces(env) | record.arrays()


def _aec(case: Case) -> Numbers:
    """A row for each agent's turn; in the last round all agents leave."""
    env = ev_marl.env(case.scenario_path, tracks=_tracks(case), **case.options)
    record = Record()
    env.reset()
    actions = [_by_agent(env, row) for row in read_actions(case.actions_path)]
    for turn, agent in enumerate(env.agent_iter()):
        observation, reward, _terminated, truncated, info = env.last()
        record.add(observations=observation, rewards=reward, truncated=truncated, **_mask(info))
        record.add_costs(_costs({agent: info}))
        env.step(None if truncated else actions[turn // env.max_num_agents][agent])
    return record.arrays()


def _central(case: Case) -> Numbers:
    env = ev_marl.CentralEnv(case.scenario_path, tracks=_tracks(case), **case.options)
    record = Record()
    observation, info = env.reset()
    record.add(observations=observation, **_mask(info))
    for row in read_actions(case.actions_path):
        observation, reward, _terminated, truncated, info = env.step(row)
        record.add(observations=observation, rewards=reward, truncated=truncated, **_mask(info))
        record.add_costs({name: value for name, value in info.items() if name != "action_mask"})
    return {"labels": env.observation_labels()} | record.arrays()


def _batched(case: Case) -> Numbers:
    """One row a track, starting with the first; when an episode ends, rows go on with days drawn from the tracks."""
    tracks = _tracks(case)
    env = ev_marl.BatchedEnv(case.scenario_path, len(tracks), tracks=tracks, copy=True, **case.options)
    record = Record()
    record.add(observations=env.reset(seed=0, day=range(len(tracks))), state=env.state())
    for rows in read_actions(case.actions_path).reshape(-1, len(tracks), sum(_numbers(env))):
        if env.n_levels is not None:
            record.add(action_mask=env.action_mask())
        observations, rewards, _terminated, truncated, info = env.step(rows)
        record.add(observations=observations, state=env.state(), rewards=rewards, truncated=truncated, day=env.day)
        record.add_costs(dict(zip(env.cost_names, info.costs, strict=True)))
        record.add_flow(info.flow)
        if info.final_observation is not None:
            record.add(final_observation=info.final_observation, episode_return=info.episode_return)
    return record.arrays()


def _policy(case: Case) -> Numbers:
    """All tracks at once, one row each."""
    setting, tracks, record = Setting.of(case.scenario_path), _tracks(case), Record()
    options = dict(case.options)
    policy = ev_marl.make_policy(str(options.pop("policy")).replace("FOLDER", str(case.folder)))

    def watch(flow: Any, rewards: np.ndarray, _costs: np.ndarray) -> None:
        record.add(rewards=rewards)
        record.add_flow(flow)

    result = ev_marl.rollout(
        setting.simulator(tracks), setting.objective, policy, tracks, watch=watch, world=setting.world, **options
    )
    costs = {f"costs.{name}": value for name, value in result.costs.items()}
    return {"information": policy.information, "returns": result.returns} | costs | record.arrays()


def _optimum(case: Case) -> Numbers:
    """Each track by itself."""
    setting, record = Setting.of(case.scenario_path), Record()
    for track in _tracks(case):
        solution = ev_marl.solve_day(setting, track, **case.options)
        certificate = solution.certificate
        record.add(
            bound=solution.bound,
            achieved=solution.achieved,
            exact=certificate.exact,
            kind=certificate.kind,
            hard=certificate.limits_are_hard,
            looseness=sum(reason.amount for reason in certificate.reasons),
        )
        if solution.grid is not None:
            record.add(curtailed_kwh=solution.grid.curtailed_kwh)
    return record.arrays()


def _world(case: Case) -> Numbers:
    """Tracks drawn with some seeds."""
    world = Setting.of(case.scenario_path).world
    numbers: dict[str, Any] = {}
    for seed in case.options["seeds"]:
        track = world.sample(seed)
        content = {name: getattr(track, name) for name in TRACK}
        content |= {f"sessions.{name}": track.sessions[name] for name in fields_of(track.sessions)}
        content |= {} if track.grid is None else {f"grid.{name}": x for name, x in vars(track.grid).items()}
        numbers |= {f"{seed}.{name}": value for name, value in content.items()} | {f"{seed}.start": str(track.start)}
    return numbers


PLAYERS: dict[str, Callable[[Case], Numbers]] = {
    "parallel": _parallel,
    "aec": _aec,
    "central": _central,
    "batched": _batched,
    "policy": _policy,
    "optimum": _optimum,
    "world": _world,
}


def drawn_actions(case: Case, seed: int) -> tuple[list[str], np.ndarray]:
    """Names of the columns, and random actions for a case: so many as its days have steps, two more in batches."""
    tracks = _tracks(case)
    batched = case.play == "batched"
    env = ev_marl.BatchedEnv(case.scenario_path, 1, tracks=tracks, **case.options)
    env.single_action_space.seed(seed)
    n_rows = (tracks[0].n_steps + 2) * len(tracks) if batched else tracks[0].n_steps
    rows = [env.single_action_space.sample() for _ in range(n_rows)]
    actions = np.array(rows)
    columns = [f"{agent}/{k}" for agent, n in zip(env.agents, _numbers(env), strict=True) for k in range(n)]
    return columns, actions if actions.dtype.kind == "i" else np.round(actions.astype(np.float64), 3)


def _numbers(env: ev_marl.BatchedEnv) -> list[int]:
    """How many numbers each agent's action has."""
    ports = [sum(port.startswith(f"{agent}/") for port in env.ports) for agent in env.agents]
    each = env.single_action_space.shape[0] // sum(ports)
    return [each * n for n in ports]


def _by_agent(env: Any, row: np.ndarray) -> dict[str, Any]:
    actions, first = {}, 0
    for agent in env.possible_agents:
        shape = env.action_space(agent).shape
        last = first + (shape[0] if shape else 1)
        actions[agent] = row[first:last] if shape else int(row[first])
        first = last
    assert first == len(row)
    return actions


def _see(record: Record, observations: Mapping[str, Any], infos: Mapping[str, Any], env: Any) -> None:
    record.add(observations=list(observations.values()), state=env.state())
    masks = [_mask(info) for info in infos.values()]
    if masks[0]:
        record.add(action_mask=np.concatenate([np.atleast_2d(mask["action_mask"]) for mask in masks]))


def _mask(info: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {"action_mask": np.array(info["action_mask"])} if "action_mask" in info else {}


def _costs(infos: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    names = [name for name in next(iter(infos.values())) if name != "action_mask"]
    return {name: [info[name] for info in infos.values()] for name in names}


def _spaces(env: Any) -> dict[str, Any]:
    table = env.observation_table()
    return {
        "agents": list(env.possible_agents),
        "labels": [feature.label for feature in table],
        "low": np.array([feature.low for feature in table]),
        "high": np.array([feature.high for feature in table]),
        "action_spaces": [str(env.action_space(agent)) for agent in env.possible_agents],
    }
