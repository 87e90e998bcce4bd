"""The environment for RLlib's own runners: its days, its end, its numbers, and what RLlib's own wrapper gets wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")

import torch
from elsewhere_cases import mixed_scenario
from gymnasium import spaces
from pettingzoo import ParallelEnv
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.rllib.utils.pre_checks.env import check_multiagent_environments

import ev_marl
from ev_marl.rl.multi_agent_env import RllibEnv, policy_by_type, register, shared_policy, sharing
from ev_marl.support.errors import OptionError, TrackError
from ev_marl.world.seeds import day_seeds

pytestmark = [
    # RLlib's own use of what it or its dependencies deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:gymnasium"),
]

DAY = 24  # steps: 6 hours
KINDS: list[Any] = ["continuous", "bid", 5]
Step = tuple[dict[str, Any], Any, Any, Any, Any, Any]  # actions, observations, rewards, terminateds, truncateds, infos


def env(**config: Any) -> RllibEnv:
    return RllibEnv({"scenario": mixed_scenario(), "max_cycles": DAY, **config})


def play(environment: MultiAgentEnv) -> Iterator[Step]:
    """Random actions until the end of the day, which has begun."""
    over = False
    while not over:
        actions = {agent: environment.get_action_space(agent).sample() for agent in environment.possible_agents}
        observations, rewards, terminateds, truncateds, infos = environment.step(actions)
        over = terminateds["__all__"] or truncateds["__all__"]
        yield actions, observations, rewards, terminateds, truncateds, infos


def as_rllib_sees_it(environment: MultiAgentEnv) -> MultiAgentEpisode:
    """A day, recorded by RLlib."""
    agents = environment.possible_agents
    episode = MultiAgentEpisode(
        observation_space={agent: environment.get_observation_space(agent) for agent in agents},
        action_space={agent: environment.get_action_space(agent) for agent in agents},
    )
    observations, infos = environment.reset(seed=1)
    episode.add_env_reset(observations=observations, infos=infos)
    for actions, observations, rewards, terminateds, truncateds, infos in play(environment):
        episode.add_env_step(observations, actions, rewards, infos, terminateds=terminateds, truncateds=truncateds)
    return episode


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("action", KINDS)
def test_rllib_accepts_it(action: Any, pad: bool) -> None:
    environment = env(action=action, pad=pad)
    check_multiagent_environments(environment)
    assert environment.possible_agents == list(environment.env.site.agents)
    equal = len(set(map(str, environment.action_spaces.values()))) == 1
    assert equal == pad


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("action", KINDS)
def test_numbers_are_those_of_the_pettingzoo_environment(action: Any, pad: bool) -> None:
    environment, team = env(action=action, pad=pad), env(action=action, pad=pad, reward="team")
    plain = ev_marl.parallel_env(mixed_scenario(), action=action, max_cycles=DAY)
    day = {"track": plain.world.sample(7)}
    first, _ = environment.reset(options=day)
    expected, _ = plain.reset(options=day)
    team.reset(options=day)
    earned = 0.0
    for actions, *numbers in play(environment):
        for agent in expected:
            np.testing.assert_array_equal(first[agent], expected[agent])
        own = {}
        for agent, answer in actions.items():
            space = plain.action_space(agent)
            own[agent] = answer[: space.shape[0]] if space.shape else int(np.ravel(answer)[0])
        expected, rewards, _, _, infos = plain.step(own)
        first, received, _, _, told = numbers
        assert received == rewards
        for agent, info in infos.items():
            np.testing.assert_equal(told[agent], info)
        _, shared, *_ = team.step(actions)
        assert shared == dict.fromkeys(rewards, pytest.approx(sum(rewards.values()) / len(rewards)))
        earned += sum(rewards.values())
    assert earned < 0.0
    assert not plain.agents


@pytest.mark.parametrize("terminate", [True, False])
def test_the_end_of_the_day(terminate: bool) -> None:
    episode = as_rllib_sees_it(env(terminate=terminate))
    assert len(episode) == DAY
    for part in (episode, *episode.agent_episodes.values()):
        assert (part.is_terminated, part.is_truncated) == (terminate, not terminate)


def test_rllib_still_takes_the_truncation_of_all_agents_for_termination() -> None:
    """If this fails, RLlib has mended it: the agents may then be told that the day is truncated."""
    plain = ev_marl.parallel_env("tiny", max_cycles=DAY)
    episode = as_rllib_sees_it(ParallelPettingZooEnv(plain))
    assert episode.is_terminated
    assert all(part.is_terminated for part in episode.agent_episodes.values())


class _Leaving(ParallelEnv):  # type: ignore[misc]
    """One agent terminates in the step in which the other is truncated."""

    metadata = {}  # noqa: RUF012
    possible_agents = ["a_0", "a_1"]  # noqa: RUF012

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Box(0.0, 1.0, (1,))

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        self.agents = self.possible_agents[:]
        return dict.fromkeys(self.agents, np.zeros(1, np.float32)), {}

    def step(self, actions: dict[str, Any]) -> tuple[Any, ...]:
        agents, self.agents = self.agents, []
        seen = dict.fromkeys(agents, np.zeros(1, np.float32))
        return seen, dict.fromkeys(agents, 0.0), {"a_0": True, "a_1": False}, {"a_0": False, "a_1": True}, {}


def test_rllibs_own_wrapper_still_misses_the_end_and_forgets_the_order() -> None:
    """If this fails, RLlib has mended its wrapper, and ours may have become superfluous."""
    stock = ParallelPettingZooEnv(_Leaving())
    stock.reset()
    _, _, terminateds, truncateds, _ = stock.step({"a_0": 0, "a_1": 0})
    assert not stock.par_env.agents
    assert not terminateds["__all__"]
    assert not truncateds["__all__"]
    assert isinstance(stock._agent_ids, set)


def days_played(environment: RllibEnv, n: int, seed: int | None) -> list[int]:
    """Seeds of the days of `n` episodes; only the first reset is given a seed, as RLlib does it."""
    seeds = []
    for number in range(n):
        environment.reset(seed=seed if number == 0 else None)
        track = environment.env.track
        assert track is not None
        seeds.append(int(track.source["seed"]))
    return seeds


def test_fresh_days_follow_from_the_first_seed_and_are_training_days() -> None:
    environment = env()
    first = days_played(environment, 4, 5)
    assert days_played(environment, 4, 5) == first == days_played(env(), 4, 5)
    others = [
        days_played(env(), 4, 6),
        days_played(RllibEnv(EnvContext({"scenario": "tiny"}, worker_index=2, num_workers=2)), 4, 5),
        days_played(env(days={"seed": 1}), 4, 5),
        days_played(env(), 4, None),
        days_played(env(), 4, None),
    ]
    played = [seed for seeds in (first, *others) for seed in seeds]
    assert len(set(played)) == len(played)
    assert {seed % 4 for seed in played} == {0}  # the split's bits, see `day_seeds`
    assert {seed % 4 for seed in days_played(env(days={"split": "validation"}), 3, 5)} == {1}


def test_fixed_days_in_turn_and_dealt_out_to_runners() -> None:
    expected = day_seeds(3, 5, "validation")
    days = {"split": "validation", "seed": 3, "n": 5}
    assert days_played(env(days=days), 7, None) == [*expected, *expected[:2]]
    assert days_played(env(days=days), 2, 5_000_003) == expected[3:]
    shares = []
    for worker in (1, 2):
        context = EnvContext({"scenario": "tiny", "days": days}, worker_index=worker, num_workers=2)
        shares.append(days_played(RllibEnv(context), 3, None))
    assert shares == [expected[0::2], [*expected[1::2], expected[1]]]
    tracks = [env().env.world.sample(seed) for seed in (8, 9)]
    assert days_played(env(tracks=tracks), 3, None) == [8, 9, 8]


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"coordinatr": "edf"}, OptionError, "Did you mean 'coordinator'"),
        ({"days": {"splt": "train"}}, OptionError, "Did you mean 'split'"),
        ({"days": {"split": "exam"}}, OptionError, "train, validation, test"),
        ({"reward": "mine"}, OptionError, "'own' and 'team'"),
        ({"tracks": []}, TrackError, "no day to play"),
        ({"tracks": [1], "days": {"n": 3}}, OptionError, "not both"),
    ],
)
def test_what_is_wrong_is_said(config: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RllibEnv({"scenario": "tiny", **config})


def test_policies_of_agents() -> None:
    assert sharing("shared", "tiny") == {"policies": {"station"}, "policy_mapping_fn": shared_policy}
    assert sharing("by_type", "tiny") == {"policies": {"ac", "bidi"}, "policy_mapping_fn": policy_by_type}
    assert policy_by_type("fast_hub_12", None) == "fast_hub"
    with pytest.raises(OptionError, match="by_type"):
        sharing("each", "tiny")  # type: ignore[arg-type]


@pytest.mark.usefixtures("ray_running")
@pytest.mark.parametrize("how", ["shared", "by_type"])
def test_ppo_trains_and_its_evaluation_is_what_its_policy_earns(how: Any) -> None:
    """One iteration by RLlib's own runners; then, on fixed days, their evaluation against the environment itself."""
    fixed = {"split": "validation", "n": 2}
    given = {"scenario": mixed_scenario(), "max_cycles": DAY, "reward": "team"}
    config = (
        PPOConfig()
        .environment(register(), env_config=given)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=2, batch_mode="complete_episodes")
        .multi_agent(**sharing(how, given["scenario"]))
        .training(train_batch_size_per_learner=2 * DAY, minibatch_size=DAY, num_epochs=1)
        .evaluation(
            evaluation_interval=1_000_000,
            evaluation_duration=2,
            evaluation_config={
                "env_config": {**given, "days": fixed},
                "explore": False,
                "num_envs_per_env_runner": 1,
            },
        )
        .debugging(seed=3, log_level="ERROR")
    )
    algorithm = config.build_algo()
    try:
        trained = algorithm.train()
        assert trained["env_runners"]["num_env_steps_sampled"] == 2 * DAY
        assert all(np.isfinite(part["total_loss"]) for part in trained["learners"].values() if "total_loss" in part)
        evaluated = [algorithm.evaluate()["env_runners"]["episode_return_mean"] for _ in range(2)]
        mapping = sharing(how, given["scenario"])["policy_mapping_fn"]
        environment = RllibEnv({**given, "days": fixed})
        returns = []
        for _ in range(2):
            observations, _ = environment.reset()
            earned, over = 0.0, False
            while not over:
                actions = {}
                for agent, seen in observations.items():
                    module = algorithm.get_module(mapping(agent))
                    batch = {Columns.OBS: torch.from_numpy(seen[None])}
                    inputs = module.forward_inference(batch)[Columns.ACTION_DIST_INPUTS]
                    chosen = module.get_inference_action_dist_cls().from_logits(inputs).to_deterministic().sample()
                    actions[agent] = np.clip(chosen[0].numpy(), -1.0, 1.0)
                observations, rewards, _, truncateds, _ = environment.step(actions)
                earned += sum(rewards.values())
                over = truncateds["__all__"]
            returns.append(earned)
        assert evaluated == pytest.approx([np.mean(returns)] * 2, rel=1e-5)
    finally:
        algorithm.stop()
