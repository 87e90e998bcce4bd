"""Deep Q-learning on levels: what is remembered and drawn, what the loss sees, and policies that survive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")

import torch
from ray.rllib.algorithms.dqn.dqn_learner import QF_LOSS_KEY, QF_PREDS
from ray.rllib.core.columns import Columns
from rl_cases import export

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.policies import rollout
from ev_marl.policies.learned import load_policy
from ev_marl.rl.algorithm import after_restoring, build
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.face import TrainingFace
from ev_marl.rl.replay import DayReplay, Drawn
from ev_marl.rl.runner import RETURN, ModuleRollout, RolloutArrays
from ev_marl.support.errors import OptionError
from ev_marl.world.seeds import day_seeds

pytestmark = [
    # RLlib's own use of what it or its dependencies deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:ray"),
]

SEEN = ["identity", "clock", "ports", "plans", {"prices": "6 h"}, "headroom", "demand"]
N_STEPS, N_ROWS, N_AGENTS = 6, 3, 2


def config(**changes: Any) -> TrainingConfig:
    given: dict[str, Any] = {
        "name": "test",
        "algorithm": "dqn",
        "observation": SEEN,
        "action": {"levels": [-1, 0, 0.5, 1]},
        "sampling": {"envs": 3},
        "dqn": {"batch": 32, "updates_per_day": 1, "start_days": 3, "epsilon": 0.1},
        "neural_network": {"hidden": [16, 16]},
        **changes,
    }
    return TrainingConfig.model_validate(given)


def days(number: int, able: np.ndarray | None = None) -> RolloutArrays:
    """Days whose every number tells where it comes from."""
    rng = np.random.default_rng(number)
    at = np.stack(np.meshgrid(range(N_STEPS + 1), range(N_ROWS), range(N_AGENTS), indexing="ij"), axis=-1)
    observations = np.concatenate([np.full((*at.shape[:3], 1), number), at], axis=-1).astype(np.float32)
    shape = (N_STEPS, N_ROWS, N_AGENTS)
    return RolloutArrays(
        {
            "station": ModuleRollout(
                observations,
                rng.integers(4, size=(*shape, 2)),
                np.zeros((*shape, 8), np.float32),
                np.zeros(shape, np.float32),
                rng.normal(size=shape).astype(np.float32),
                np.ones(shape, dtype=bool) if able is None else able,
            )
        },
        np.zeros((N_STEPS, N_ROWS, 0), np.float32),
        N_AGENTS,
    )


def drawn(replay: DayReplay, count: int = 200, n_step: int = 1, gamma: float = 0.9) -> Any:
    (found,) = replay.sample(num_items=count, n_step=n_step, gamma=gamma)
    assert isinstance(found, Drawn)
    assert len(found) == count
    return found.modules["station"]


@pytest.mark.parametrize("n_step", [1, 3, 9])
def test_rewards_are_summed_up_to_the_end_of_the_day(n_step: int) -> None:
    replay, rollouts = DayReplay(20, seed=0), [days(0), days(1)]
    replay.add(rollouts)
    found = drawn(replay, n_step=n_step)
    for number, (source, step, row, agent) in enumerate(found.observations.astype(int)):
        part = rollouts[source].modules["station"]
        rewards = part.rewards[step : step + n_step, row, agent]
        assert found.rewards[number] == pytest.approx(sum(0.9**k * reward for k, reward in enumerate(rewards)), 1e-5)
        assert found.ended[number] == (step + n_step >= N_STEPS)
        assert found.next_observations[number].tolist() == [source, min(step + n_step, N_STEPS), row, agent]
        np.testing.assert_array_equal(found.actions[number], part.actions[step, row, agent])
    assert {tuple(seen) for seen in found.observations[:, :2].astype(int)} == {
        (source, step) for source in (0, 1) for step in range(N_STEPS)
    }


def test_the_oldest_days_are_forgotten() -> None:
    replay = DayReplay(7, seed=0)
    for number in range(5):
        replay.add([days(number)])
    found = {(int(source), int(row)) for source, _, row, _ in drawn(replay).observations}
    assert found == {(2, 2), *((source, row) for source in (3, 4) for row in range(N_ROWS))}


def test_steps_without_a_vehicle_are_drawn_less_often() -> None:
    able = np.zeros((N_STEPS, N_ROWS, N_AGENTS), dtype=bool)
    able[:, :, 1] = True
    replay = DayReplay(300, seed=0, idle_share=0.2)
    replay.add([days(number, able) for number in range(100)])
    agents = drawn(replay, 20_000).observations[:, 3]
    assert (agents == 0).mean() == pytest.approx(0.2 / 1.2, abs=0.02)


def test_a_memory_that_goes_on_draws_the_same() -> None:
    replay, other = DayReplay(7, seed=3), DayReplay(7, seed=3)
    for number in range(4):
        replay.add([days(number)])
    drawn(replay)
    other.set_state(replay.get_state())
    for number in (4, 5):
        np.testing.assert_array_equal(drawn(replay).observations, drawn(other).observations)
        for memory in (replay, other):
            memory.add([days(number)])
        np.testing.assert_array_equal(drawn(replay).observations, drawn(other).observations)


@pytest.mark.parametrize("scenario", ["tiny", "workplace"])  # of one port a station, and of two
@pytest.mark.parametrize(("double_q", "dueling"), [(True, True), (False, False)])
def test_the_loss_is_that_of_the_definition(ray_running: None, scenario: str, double_q: bool, dueling: bool) -> None:
    chosen = config(dqn={**config().dqn.model_dump(), "double_q": double_q, "dueling": dueling, "n_step": 2})
    algorithm = build(chosen, ev_marl.load_scenario(scenario), seed=1)
    algorithm.train()
    replay, learner = algorithm.local_replay_buffer, algorithm.learner_group._learner
    (found,) = episodes = replay.sample(num_items=32, n_step=2, gamma=0.99)
    batch = learner._learner_connector(rl_module=learner.module, batch={}, episodes=episodes)
    module, part = learner.module["station"], found.modules["station"]
    for kept, slow in module.get_target_network_pairs():
        assert any(not torch.equal(a, b) for a, b in zip(kept.parameters(), slow.parameters(), strict=True))
    with torch.no_grad():
        forward = learner.module.forward_train(batch)
        loss = learner.compute_losses(fwd_out=forward, batch=batch)["station"]
        seen, then = torch.from_numpy(part.observations), torch.from_numpy(part.next_observations)
        n_ports = part.actions.shape[1]
        now, after = (
            module.compute_q_values({Columns.OBS: x})[QF_PREDS].reshape(32, n_ports, 4).numpy() for x in (seen, then)
        )
        followed = module.forward_target({Columns.OBS: then})[QF_PREDS].reshape(32, n_ports, 4).numpy()
    algorithm.stop()
    errors = []
    for n in range(32):
        for k in range(n_ports):
            best = np.argmax((after if double_q else followed)[n, k])
            target = part.rewards[n] + (0.0 if part.ended[n] else 0.99**2 * followed[n, k, best])
            error = abs(now[n, k, part.actions[n, k]] - target)
            errors.append(error**2 / 2 if error < 1 else error - 0.5)
    assert n_ports == {"tiny": 1, "workplace": 2}[scenario]
    assert float(loss) == pytest.approx(np.mean(errors), rel=1e-4)


def test_exploring_draws_levels_at_random_as_often_as_said(ray_running: None) -> None:
    chosen = config(dqn={"epsilon": [[0, 1.0], [10, 0.2], [20, 0.0]], "start_days": 1})
    scenario = ev_marl.load_scenario("workplace")
    algorithm = build(chosen, scenario, seed=1)
    module = algorithm.env_runner.module["station"]
    seen = torch.randn(50, module.observation_space.shape[0])
    with torch.no_grad():
        best = module.forward_inference({Columns.OBS: seen})[Columns.ACTION_DIST_INPUTS].reshape(50, 2, 4).argmax(-1)
        for day, epsilon in ((0, 1.0), (5, 0.6), (10, 0.2), (25, 0.0)):
            inputs = module.forward_exploration({Columns.OBS: seen}, t=day * scenario.n_steps)
            chances = torch.softmax(inputs[Columns.ACTION_DIST_INPUTS].reshape(50, 2, 4), dim=-1)
            of_best = chances.gather(-1, best[..., None])
            torch.testing.assert_close(of_best, torch.full((50, 2, 1), 1.0 - 0.75 * epsilon))
            torch.testing.assert_close(chances.sum(-1), torch.ones(50, 2))
    algorithm.stop()


@pytest.mark.parametrize("agents", ["shared", "by_type", "central"])
def test_an_exported_policy_chooses_as_rllibs_module(ray_running: None, agents: str, tmp_path: Path) -> None:
    chosen, scenario = config(agents=agents), ev_marl.load_scenario("tiny")
    algorithm = build(chosen, scenario, seed=3)
    learned = algorithm.train()["learners"]
    runner = algorithm.env_runner
    assert all(np.isfinite(float(learned[module.name][QF_LOSS_KEY])) for module in runner.face.modules)
    tracks = [runner.face.env.world.sample(seed) for seed in day_seeds(5, 3, "validation")]
    runner.face.env.load(tracks)
    played, returns = runner.play(runner.face.play(np.arange(3)), explore=False)
    export(algorithm, chosen, scenario, tmp_path)
    algorithm.stop()
    policy = load_policy(tmp_path)
    for name, part in played.modules.items():
        levels = policy._decide(policy.networks[name], part.observations[:-1])
        np.testing.assert_array_equal(levels.reshape(part.actions.shape), part.actions)
    assert any(np.ptp(part.actions) > 0 for part in played.modules.values())
    setting = Setting.of(scenario)
    again = rollout(setting.simulator(tracks), setting.objective, policy, tracks, world=setting.world)
    np.testing.assert_allclose(again.team, returns, rtol=1e-6)


def test_a_station_of_two_ports_decides_on_its_own_observation(ray_running: None, tmp_path: Path) -> None:
    chosen, scenario = config(), ev_marl.load_scenario("workplace")
    algorithm = build(chosen, scenario, seed=0)
    export(algorithm, chosen, scenario, tmp_path)
    algorithm.stop()
    policy = load_policy(tmp_path)
    assert policy.information == "own"
    setting = Setting.of(scenario)
    policy.reset(_Episode(setting))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(4, 20, len(policy.description.labels))).astype(np.float32)
    said = policy.answer(_View(seen))  # type: ignore[arg-type]
    assert said.shape == (4, 40)
    assert np.ptp(said) > 0
    for station in (0, 7, 19):
        others = rng.normal(size=seen.shape).astype(np.float32)
        others[:, station] = seen[:, station]
        again = policy.answer(_View(others))  # type: ignore[arg-type]
        own = slice(2 * station, 2 * station + 2)
        np.testing.assert_array_equal(again[:, own], said[:, own])
        assert not np.array_equal(again, said)


class _Episode:
    def __init__(self, setting: Setting) -> None:
        self.world, self.site = setting.world, setting.site.arrays


class _View:
    def __init__(self, observations: np.ndarray) -> None:
        self.observations, self.state = observations, None


def test_training_is_reproducible_and_goes_on_where_it_was(ray_running: None) -> None:
    scenario, chosen = ev_marl.load_scenario("tiny"), config()

    def rewards(n: int, state: Any = None) -> tuple[list[float], Any]:
        algorithm = build(chosen, scenario, seed=7)
        if state is not None:
            algorithm.set_state(state)
            after_restoring(algorithm)
        results = [algorithm.train() for _ in range(n)]
        state = algorithm.get_state()
        algorithm.stop()
        return [value for result in results for value in _told(result)], state

    whole, _ = rewards(5)
    begun, state = rewards(3)
    ended, _ = rewards(2, state)
    assert begun + ended == whole
    assert len(set(whole)) == len(whole)


def _told(result: dict[str, Any]) -> tuple[float, ...]:
    learned = result["learners"]["station"]
    return (result["env_runners"][RETURN], float(learned[QF_LOSS_KEY]), float(learned["qf_mean"]))


def test_days_that_are_played_again_are_played_better(ray_running: None) -> None:
    chosen = config(
        dqn={"batch": 64, "updates_per_day": 8, "start_days": 16, "epsilon": [[0, 1.0], [64, 0.1]]},
        sampling={"envs": 16, "days": 16},
        learning_rate=2e-3,
        discount=0.9,
        reward={"scale": 10, "team": 0},
    )
    algorithm = build(chosen, ev_marl.load_scenario("tiny"), seed=7)
    runner = algorithm.env_runner

    def earned(explore: bool) -> float:
        return float(runner.play(runner.face.play(np.arange(16)), explore)[1].mean())

    runner.face.days(0)
    at_random = earned(explore=True)
    for _ in range(5):
        algorithm.train()
    learned = earned(explore=False)
    algorithm.stop()
    assert learned > 0.7 * at_random


def test_a_scenario_without_levels_is_told_apart(ray_running: None) -> None:
    with pytest.raises(OptionError, match=r"scenario 'tiny' has none; add to the training file.*action: \{levels"):
        TrainingFace(config(action=None), ev_marl.load_scenario("tiny"), 1, 0)
