"""From a training configuration to an RLlib algorithm on the new API stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from ev_marl.policies.learned import SITE, Layers
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.face import STATION, TrainingFace
from ev_marl.rl.learner import ActorCritic, ArraysToTrainBatch, LevelValues
from ev_marl.rl.multi_agent_env import register
from ev_marl.rl.replay import ReplayDQN, ReplayLearner
from ev_marl.rl.runner import BatchedEnvRunner, seed_everything
from ev_marl.scenario import Scenario

_SAMPLE_TIMEOUT_S = 600.0  # for whole days, the first of them while kernels are compiled, on a machine that may be busy


def build(config: TrainingConfig, scenario: Scenario, seed: int) -> Algorithm:
    """Build the algorithm; RLlib starts Ray if it is not running.

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


def after_restoring(algorithm: Algorithm) -> None:
    """Correct what RLlib 2.60 does wrong when it restores a state or a checkpoint; call it right afterwards.

    RLlib sends the number of sampled steps to the runners before it has restored that number, so they would start from
    the first day again; and remote runners keep their initial weights for one iteration.
    """
    steps = algorithm.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
    algorithm.env_runner_group.foreach_env_runner(_Counted(int(steps)), local_env_runner=True)
    algorithm.env_runner_group.sync_weights(from_worker_or_learner_group=algorithm.learner_group, inference_only=True)


def actors(algorithm: Algorithm, modules: Iterable[str]) -> dict[str, Layers]:
    """The networks that decide, by module, as `save_policy` writes them."""
    return {name: _layers(algorithm.get_module(name).actor.state_dict()) for name in modules}


def _layers(state: Mapping[str, Any]) -> Layers:
    """Weights and biases of a fully connected network, from its input on."""
    numbers = sorted({int(key.partition(".")[0]) for key in state})
    return [(state[f"{number}.weight"].numpy(), state[f"{number}.bias"].numpy()) for number in numbers]


class _Counted:
    """Sets the number of sampled steps of a runner; a class, so that it can be sent to other processes."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __call__(self, runner: Any) -> None:
        if isinstance(runner, BatchedEnvRunner):
            runner.count_from(self._steps)
        else:
            runner.set_state({NUM_ENV_STEPS_SAMPLED_LIFETIME: self._steps})


def algorithm_config(config: TrainingConfig, scenario: Scenario, seed: int) -> AlgorithmConfig:
    """The configuration behind `build`, for changes before building."""
    config.check_trust()
    sampling = config.sampling
    face = TrainingFace(config, scenario, 1, seed)
    names = [module.name for module in face.modules]
    stock = sampling.pipeline == "stock"
    given = {"training": config.model_dump_json(), "scenario": scenario.model_dump_json(), "seed": seed}
    given["trust"] = scenario.trusted
    chosen = _dqn(config, face, seed) if config.algorithm == "dqn" else _ppo(config, face)
    module_class, model = _model(config, face)
    return (
        chosen.environment(
            env=register() if stock else "ev_marl",
            env_config=_stock_environment(config, scenario, seed) if stock else given,
            disable_env_checking=True,
        )
        .env_runners(
            env_runner_cls=MultiAgentEnvRunner if stock else BatchedEnvRunner,
            num_env_runners=sampling.runners,
            num_envs_per_env_runner=sampling.envs,
            batch_mode="complete_episodes",
            create_env_on_local_worker=sampling.runners == 0,
            sample_timeout_s=_SAMPLE_TIMEOUT_S,
        )
        .multi_agent(policies=set(names), policy_mapping_fn=_Mapping(config.agents), count_steps_by="agent_steps")
        .rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={
                    name: RLModuleSpec(
                        module_class=module_class,
                        observation_space=face.observation_space,
                        action_space=face.action_space,
                        model_config=model,
                    )
                    for name in names
                }
            )
        )
        .training(gamma=config.discount, lr=_schedule(config.learning_rate, face.n_steps), grad_clip_by="global_norm")
        .debugging(seed=seed, log_level="ERROR")
        .experimental(_validate_config=False)
    )


def _ppo(config: TrainingConfig, face: TrainingFace) -> AlgorithmConfig:
    """The settings of PPO."""
    ppo = config.ppo
    days_steps = face.n_steps * config.days_per_batch
    arrays = config.sampling.pipeline == "arrays"
    least = days_steps * min(len(module.agents) for module in face.modules)
    return (
        PPOConfig()
        .learners(
            add_default_connectors_to_learner_pipeline=not arrays,
            learner_connector=_Connector(config.discount, ppo.gae_lambda, config.sampling.replicas) if arrays else None,
        )
        .training(
            lambda_=ppo.gae_lambda,
            train_batch_size_per_learner=days_steps * len(face.agents),
            minibatch_size=min(ppo.minibatch, least),
            num_epochs=ppo.epochs,
            shuffle_batch_per_epoch=True,
            clip_param=ppo.clip,
            entropy_coeff=ppo.entropy,
            vf_loss_coeff=ppo.value_loss,
            vf_clip_param=1e9,
            use_kl_loss=False,
            grad_clip=ppo.grad_clip,
        )
    )


def _dqn(config: TrainingConfig, face: TrainingFace, seed: int) -> AlgorithmConfig:
    """The settings of DQN."""
    dqn = config.dqn
    updates = max(1, round(dqn.updates_per_day * config.days_per_batch))
    return (
        DQNConfig(algo_class=ReplayDQN)
        .learners(learner_class=ReplayLearner)
        .reporting(min_sample_timesteps_per_iteration=0)
        .training(
            train_batch_size_per_learner=dqn.batch,
            num_steps_sampled_before_learning_starts=dqn.start_days * face.n_steps,
            replay_buffer_config={"days": dqn.replay_days, "seed": seed, "updates": updates},
            target_network_update_freq=0,  # after every update
            tau=dqn.target_rate,
            double_q=dqn.double_q,
            dueling=dqn.dueling,
            n_step=dqn.n_step,
            td_error_loss_fn=dqn.loss,
            grad_clip=dqn.grad_clip,
        )
    )


def _model(config: TrainingConfig, face: TrainingFace) -> tuple[type, dict[str, Any]]:
    """The class of the modules, and their configuration."""
    neural = config.neural_network
    model: dict[str, Any] = {"hidden": list(neural.hidden), "activation": neural.activation}
    if config.algorithm == "dqn":
        dqn = config.dqn
        epsilon = _schedule(dqn.epsilon, face.n_steps)
        return LevelValues, {**model, "double_q": dqn.double_q, "dueling": dqn.dueling, "epsilon": epsilon}
    return ActorCritic, {
        **model,
        "critic_hidden": list(neural.critic_hidden or neural.hidden),
        "initial_std": neural.initial_std,
        "n_state": face.n_state,
        "ability": face.ability(),
    }


def _stock_environment(config: TrainingConfig, scenario: Scenario, seed: int) -> dict[str, Any]:
    """`env_config` of `RllibEnv` for a configuration."""
    return {
        "scenario": scenario,
        "coordinator": config.coordinator,
        "observation": config.observation,
        "action": config.action,
        "reward": "team" if config.reward.team == 1.0 else "own",
        "terminate": True,
        "days": {"split": "train", "seed": seed},
    }


def _schedule(given: Any, n_steps: int) -> Any:
    """A number, or RLlib's schedule over environment steps."""
    return given if isinstance(given, float) else [[days * n_steps, value] for days, value in given]


class _Mapping:
    """The module of an agent; a class, since RLlib pickles it."""

    def __init__(self, agents: str) -> None:
        self._agents = agents

    def __call__(self, agent: str, *args: Any, **kwargs: Any) -> str:
        if self._agents == "central":
            return SITE
        return STATION if self._agents == "shared" else agent.rpartition("_")[0]


class _Connector:
    """Makes the learner connector; a class, since RLlib pickles it."""

    def __init__(self, discount: float, gae_lambda: float, replicas: int) -> None:
        self._options: dict[str, Any] = {"discount": discount, "gae_lambda": gae_lambda, "replicas": replicas}

    def __call__(self, observation_space: Any, action_space: Any) -> ArraysToTrainBatch:
        return ArraysToTrainBatch(observation_space, action_space, **self._options)
