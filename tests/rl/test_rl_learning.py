"""The fast way through RLlib: the same returns, values and advantages as its own way, and policies that survive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from rl_cases import export

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.policies import rollout
from ev_marl.policies.learned import load_policy
from ev_marl.rl.algorithm import after_restoring, algorithm_config, build
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.learner import advantages
from ev_marl.rl.runner import RETURN
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import OptionError
from ev_marl.world.seeds import day_seeds

pytestmark = [
    pytest.mark.usefixtures("ray_running"),
    # RLlib's own use of what it or its dependencies deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:ray"),
]

SEEN = ["identity", "clock", "ports", "plans", {"prices": "6 h"}, "headroom", "demand"]


def config(**changes: Any) -> TrainingConfig:
    given: dict[str, Any] = {
        "name": "test",
        "observation": SEEN,
        "action": "bid",
        "sampling": {"envs": 3},
        "ppo": {"minibatch": 256, "epochs": 1},
        "neural_network": {"hidden": [16, 16]},
        **changes,
    }
    return TrainingConfig.model_validate(given)


def test_advantages_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    values, rewards = (rng.normal(size=(7, 2, 3)).astype(np.float32) for _ in range(2))
    discount, gae_lambda = 0.9, 0.8
    following = np.concatenate([values[1:], np.zeros((1, 2, 3), np.float32)])
    errors = rewards + discount * following - values
    expected = [sum((discount * gae_lambda) ** (k - t) * errors[k] for k in range(t, 7)) for t in range(7)]
    np.testing.assert_allclose(advantages(values, rewards, discount, gae_lambda), expected, rtol=1e-5)


@pytest.mark.parametrize("agents", ["shared", "by_type", "central"])
def test_an_exported_policy_earns_what_the_runner_earned(agents: str, tmp_path: Path) -> None:
    chosen, scenario = config(agents=agents), ev_marl.load_scenario("tiny")
    algorithm = build(chosen, scenario, seed=3)
    algorithm.train()
    runner = algorithm.env_runner
    tracks = [runner.face.env.world.sample(seed) for seed in day_seeds(5, 3, "validation")]
    runner.face.env.load(tracks)
    _, returns = runner.play(runner.face.play(np.arange(3)), explore=False)
    export(algorithm, chosen, scenario, tmp_path / "policy")
    algorithm.stop()
    policy = load_policy(tmp_path / "policy")
    assert policy.information == ("site" if agents == "central" else "own")
    setting = Setting.of(scenario)
    simulator = Simulator(setting.site.arrays, setting.coordinator, tracks)
    again = rollout(simulator, setting.objective, policy, tracks, world=setting.world).team
    np.testing.assert_allclose(again, returns, rtol=1e-6)


def test_a_station_decides_on_its_own_observation(tmp_path: Path) -> None:
    chosen, scenario = config(), ev_marl.load_scenario("workplace")
    algorithm = build(chosen, scenario, seed=0)
    export(algorithm, chosen, scenario, tmp_path)
    algorithm.stop()
    policy = load_policy(tmp_path)
    setting = Setting.of(scenario)
    track = setting.world.sample(0)
    simulator = Simulator(setting.site.arrays, setting.coordinator, [track])
    views: list[Any] = []

    class Spy:
        name, information = policy.name, policy.information
        observation, action = policy.observation, policy.action

        def reset(self, episode: Any) -> None:
            policy.reset(episode)

        def act(self, view: Any) -> np.ndarray:
            assert view.state is None
            views.append(view)
            return policy.act(view)

    rollout(simulator, setting.objective, Spy(), [track], world=setting.world)
    rng = np.random.default_rng(0)
    first = setting.site.arrays.station_first_port * 2
    for view in views[::12]:
        said = policy.answer(view)
        seen = view.observations
        for station in (0, 7, 19):
            view.observations = rng.normal(size=seen.shape).astype(np.float32)
            view.observations[:, station] = seen[:, station]
            own = slice(first[station], first[station + 1])
            np.testing.assert_array_equal(policy.answer(view)[:, own], said[:, own])
        assert np.ptp(said) > 0.0


def test_a_policy_of_another_site_is_refused(tmp_path: Path) -> None:
    chosen, scenario = config(), ev_marl.load_scenario("tiny")
    algorithm = build(chosen, scenario, seed=0)
    export(algorithm, chosen, scenario, tmp_path)
    algorithm.stop()
    setting = Setting.of("workplace")
    track = setting.world.sample(0)
    simulator = Simulator(setting.site.arrays, setting.coordinator, [track])
    with pytest.raises(OptionError, match=r"trained on 'tiny' with observations of \d+ numbers; this site gives \d+"):
        rollout(simulator, setting.objective, load_policy(tmp_path), [track], world=setting.world)
    with pytest.raises(OptionError, match=r"not a learned policy: it has no policy\.json"):
        load_policy(tmp_path / "elsewhere")
    (tmp_path / "policy.json").write_text('{"format": 2}')
    with pytest.raises(OptionError, match=r"policy\.json: format"):
        load_policy(tmp_path)


def test_the_array_connector_gives_what_rllibs_own_connectors_give() -> None:
    scenario = ev_marl.load_scenario("tiny")
    batches: dict[str, Any] = {}
    first_weights: dict[str, Any] = {}
    for pipeline in ("arrays", "episodes"):
        chosen = config(sampling={"envs": 3, "pipeline": pipeline}, discount=0.97)
        algorithm = algorithm_config(chosen, scenario, 1).build_algo()
        learner = algorithm.learner_group._learner
        if not first_weights:
            weights = learner.module["station"].state_dict()
            first_weights = {key: value.clone() for key, value in weights.items()}
        learner.module["station"].load_state_dict(first_weights)
        algorithm.env_runner.module["station"].load_state_dict(first_weights, strict=False)
        sampled = algorithm.env_runner.sample()
        if pipeline == "arrays":
            learner._learner_connector.connectors[0].idle_share = 1.0
        batch = learner._learner_connector(
            rl_module=learner.module, batch={}, episodes=sampled, shared_data={}, metrics=learner.metrics
        )["station"]
        algorithm.stop()
        if Columns.LOSS_MASK in batch:  # RLlib's own adds a step after the end of each episode
            mask = batch[Columns.LOSS_MASK]
            batch = {key: column[mask] for key, column in batch.items() if key != Columns.LOSS_MASK}
        # Rows come in another order: sort them by what they saw and did.
        key = torch.cat([batch[Columns.OBS], batch[Columns.ACTIONS]], dim=1).double().sum(dim=1)
        order = torch.argsort(key)
        batches[pipeline] = {name: column[order] for name, column in batch.items()}
    fast, own = batches["arrays"], batches["episodes"]
    for name in (Columns.OBS, Columns.ACTIONS, Columns.ACTION_LOGP, Columns.ACTION_DIST_INPUTS):
        torch.testing.assert_close(fast[name], own[name])
    torch.testing.assert_close(
        fast[Postprocessing.VALUE_TARGETS], own[Postprocessing.VALUE_TARGETS], atol=1e-4, rtol=1e-4
    )


def test_training_is_reproducible_and_goes_on_where_it_was() -> None:
    scenario, chosen = ev_marl.load_scenario("tiny"), config()

    def returns(n: int, state: Any = None) -> tuple[list[float], Any]:
        algorithm = build(chosen, scenario, seed=7)
        if state is not None:
            algorithm.set_state(state)
            assert algorithm.env_runner.batch == 0  # RLlib's fault, which after_restoring mends
            after_restoring(algorithm)
        earned = [algorithm.train()["env_runners"][RETURN] for _ in range(n)]
        state = algorithm.get_state()
        algorithm.stop()
        return earned, state

    whole, _ = returns(4)
    begun, state = returns(2)
    ended, _ = returns(2, state)
    assert begun + ended == whole
    assert len(set(whole)) == 4


def test_a_runner_that_plays_on_for_another_plays_no_day_twice() -> None:
    """Where a runner dies, RLlib asks the others again, and then counts less than they have played."""
    algorithm = build(config(), ev_marl.load_scenario("tiny"), seed=7)
    runner = algorithm.env_runner
    steps = runner.face.n_steps * runner.face.n_envs

    def seen() -> np.ndarray:
        (rollout,) = runner.sample()
        return rollout.modules["station"].observations

    played = [seen(), seen()]
    runner.set_state({NUM_ENV_STEPS_SAMPLED_LIFETIME: steps})
    played.append(seen())
    for number, one in enumerate(played):
        assert not any(np.array_equal(one, other) for other in played[:number])
    runner.count_from(steps)  # as after restoring
    np.testing.assert_array_equal(seen(), played[1])
    algorithm.stop()


def test_the_fast_runner_earns_what_rllibs_own_earns_with_the_same_weights_on_the_same_days() -> None:
    scenario = ev_marl.load_scenario("tiny")
    setting = Setting.of(scenario)
    tracks = [setting.world.sample(seed) for seed in day_seeds(2, 4, "train")]
    fast = build(config(sampling={"envs": 4}), scenario, seed=5)
    weights = fast.env_runner.module["station"].state_dict()
    fast.env_runner.face.env.load(tracks)
    _, returns = fast.env_runner.play(fast.env_runner.face.play(np.arange(4)), explore=False)
    fast.stop()
    chosen = config(sampling={"envs": 1, "pipeline": "stock"}, reward={"team": 0, "shaping": "none"})
    own_way = algorithm_config(chosen, scenario, 5)
    own_way.env_config.pop("days")
    own_way.env_config["tracks"] = tracks
    stock = own_way.build_algo()
    stock.env_runner.module["station"].load_state_dict(weights)
    episodes = stock.env_runner.sample(num_episodes=len(tracks), explore=False)
    stock.stop()
    earned = [sum(agent.get_return() for agent in episode.agent_episodes.values()) for episode in episodes]
    np.testing.assert_allclose(np.sort(earned), np.sort(returns), rtol=1e-5)
    assert np.ptp(returns) > 0.1
