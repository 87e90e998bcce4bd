"""From a training configuration to an RLlib algorithm on the new API stack."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.face import SITE, STATION, TrainingFace, modules_of
from ev_marl.rl.learner import ArraysToTrainBatch
from ev_marl.rl.networks import ActorCritic
from ev_marl.rl.runner import BatchedEnvRunner, seed_everything
from ev_marl.scenario import Scenario


def build(config: TrainingConfig, scenario: Scenario, seed: int) -> Algorithm:
    """Build the algorithm; Ray must run already, or is started by RLlib.

    Parameters
    ----------
    config : TrainingConfig
        How to train.
    scenario : Scenario
        What to train on.
    seed : int
        Of training days, initial weights and exploration.
    """
    seed_everything(seed)
    return algorithm_config(config, scenario, seed).build_algo()


def algorithm_config(config: TrainingConfig, scenario: Scenario, seed: int) -> AlgorithmConfig:
    """The configuration that `build` builds, for those who want to change it."""
    if config.algorithm != "ppo":
        raise NotImplementedError(config.algorithm)
    sampling, ppo = config.sampling, config.ppo
    face = TrainingFace(config, scenario, 1, seed)
    names = [module.name for module in face.modules]
    network = config.network
    model = {
        "hidden": list(network.hidden),
        "critic_hidden": list(network.critic_hidden or network.hidden),
        "activation": network.activation,
        "initial_std": network.initial_std,
        "n_state": face.n_state,
        "ability": face.ability(),
    }
    batch = face.n_steps * sampling.envs * max(1, sampling.runners)
    agent_steps = batch * min(len(module.agents) for module in face.modules)
    return (
        PPOConfig()
        .environment(
            env="ev_marl",
            env_config={"training": config.model_dump_json(), "scenario": scenario.model_dump_json(), "seed": seed},
            disable_env_checking=True,
        )
        .env_runners(
            env_runner_cls=BatchedEnvRunner,
            num_env_runners=sampling.runners,
            num_envs_per_env_runner=sampling.envs,
            batch_mode="complete_episodes",
            create_env_on_local_worker=sampling.runners == 0,
        )
        .multi_agent(policies=set(names), policy_mapping_fn=_Mapping(config.agents))
        .rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={
                    name: RLModuleSpec(
                        module_class=ActorCritic,
                        observation_space=face.observation_space,
                        action_space=face.action_space,
                        model_config=model,
                    )
                    for name in names
                }
            )
        )
        .learners(
            add_default_connectors_to_learner_pipeline=False,
            learner_connector=_Connector(config.discount, ppo.gae_lambda),
        )
        .training(
            gamma=config.discount,
            lambda_=ppo.gae_lambda,
            lr=_learning_rate(config, face.n_steps),
            train_batch_size_per_learner=batch,
            minibatch_size=min(ppo.minibatch, agent_steps),
            num_epochs=ppo.epochs,
            shuffle_batch_per_epoch=True,
            clip_param=ppo.clip,
            entropy_coeff=ppo.entropy,
            vf_loss_coeff=ppo.value_loss,
            vf_clip_param=1e9,
            use_kl_loss=False,
            grad_clip=ppo.grad_clip,
            grad_clip_by="global_norm",
        )
        .debugging(seed=seed, log_level="ERROR")
        .experimental(_validate_config=False)
    )


def _learning_rate(config: TrainingConfig, n_steps: int) -> Any:
    """A number, or RLlib's schedule over environment steps."""
    if isinstance(config.learning_rate, float):
        return config.learning_rate
    return [[days * n_steps, rate] for days, rate in config.learning_rate]


class _Mapping:
    """Which module decides for an agent; a class, since RLlib pickles it."""

    def __init__(self, agents: str) -> None:
        self._agents = agents

    def __call__(self, agent: str, *args: Any, **kwargs: Any) -> str:
        if self._agents == "central":
            return SITE
        return STATION if self._agents == "shared" else agent.rpartition("_")[0]


class _Connector:
    """Makes the learner connector; a class, since RLlib pickles it."""

    def __init__(self, discount: float, gae_lambda: float) -> None:
        self._discount, self._gae_lambda = discount, gae_lambda

    def __call__(self, observation_space: Any, action_space: Any) -> ArraysToTrainBatch:
        return ArraysToTrainBatch(observation_space, action_space, discount=self._discount, gae_lambda=self._gae_lambda)


__all__ = ["algorithm_config", "build", "modules_of"]
