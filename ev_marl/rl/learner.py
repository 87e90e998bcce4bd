"""What learns: networks as RLlib modules, and the train batch that PPO makes of whole days.

Rollout arrays come in; values, advantages (generalised advantage estimation) and tensors go out, all at once, where
RLlib's learner connectors handle episodes one by one. Every day ends with its last step: all wishes are settled there,
so no value after the end has to be estimated. The actor gets the observation of a station; only the critic, which is
not needed after training, may also get the state of the site.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.dqn.dqn_learner import QF_NEXT_PREDS, QF_PREDS, QF_TARGET_NEXT_PREDS
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.schedules.scheduler import Scheduler
from torch import nn

from ev_marl.rl.runner import RolloutArrays

STATE = "state"  # column of a batch: input of the critic only

_ABLE = "able"
_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}
_LOG_STD_BOUNDS = (-5.0, 1.0)
_LEAST_EPSILON = 1e-9  # so that the logarithm of a probability is finite


def multilayer_perceptron(
    n_inputs: int, hidden: Sequence[int], n_outputs: int, activation: str, last_gain: float
) -> nn.Sequential:
    """Fully connected layers, orthogonal weights (Saxe et al. 2014), biases 0."""
    layers: list[nn.Module] = []
    sizes = [n_inputs, *hidden]
    for width, following in pairwise(sizes):
        layers += [_linear(width, following, 2.0**0.5), _ACTIVATIONS[activation]()]
    layers.append(_linear(sizes[-1], n_outputs, last_gain))
    return nn.Sequential(*layers)


def _linear(n_inputs: int, n_outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(n_inputs, n_outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class ActorCritic(TorchRLModule, InferenceOnlyAPI, ValueFunctionAPI):  # type: ignore[misc]
    """Separate networks for actor and critic.

    `model_config` has `hidden`, `critic_hidden`, `activation`, `initial_std` as in `ev_marl.rl.config.NeuralNetwork`;
    `n_state`, the number of inputs of the critic only; and `ability`, columns of the observation, (n_ways, K) for K
    actions: an action has an effect where one of its columns is not 0. Without an effect, its distribution does not
    depend on the weights, so that it adds no noise to the gradient; without columns every action counts.

    The actor starts near the middle of the action space for every observation; the standard deviation of continuous
    actions is learned, the same for all observations.
    """

    def setup(self) -> None:
        """Make the networks."""
        config = self.model_config
        n_observed = self.observation_space.shape[0]
        space = self.action_space
        continuous = isinstance(space, spaces.Box)
        if isinstance(space, spaces.Box):
            n_outputs = space.shape[0]
            self.action_dist_cls = TorchDiagGaussian
        elif isinstance(space, spaces.Discrete):
            n_outputs = int(space.n)
            self.action_dist_cls = TorchCategorical
        else:
            n_outputs = int(space.nvec.sum())
            self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(input_lens=space.nvec.tolist())
        self.actor = multilayer_perceptron(n_observed, config["hidden"], n_outputs, config["activation"], 0.01)
        self._ability = torch.tensor(config["ability"], dtype=torch.int64) if config["ability"] else None
        if continuous:
            self.log_std = nn.Parameter(torch.full((n_outputs,), float(config["initial_std"])).log())
        if not self.inference_only:
            self.critic = multilayer_perceptron(
                n_observed + config["n_state"], config["critic_hidden"], 1, config["activation"], 1.0
            )

    def get_non_inference_attributes(self) -> list[str]:
        """The critic."""
        return ["critic"]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        inputs = self.actor(batch[Columns.OBS])
        if self.action_dist_cls is TorchDiagGaussian:
            log_std = self.log_std.clamp(*_LOG_STD_BOUNDS).expand_as(inputs)
            if self._ability is not None:
                able = (batch[Columns.OBS][..., self._ability] != 0.0).any(dim=-2)
                inputs, log_std = inputs * able, log_std * able
            inputs = torch.cat([inputs, log_std], dim=-1)
        return {Columns.ACTION_DIST_INPUTS: inputs}

    def compute_values(self, batch: dict[str, Any], embeddings: Any | None = None) -> Any:
        """Values, float32, shape (n,)."""
        seen = batch[Columns.OBS]
        if STATE in batch:
            seen = torch.cat([seen, batch[STATE]], dim=-1)
        return self.critic(seen).squeeze(-1)


class LevelValues(TorchRLModule, InferenceOnlyAPI, QNetAPI, TargetNetworkAPI):  # type: ignore[misc]
    """Values of the levels of each port, for RLlib's DQN, with target networks.

    `model_config` has `hidden` and `activation` as in `ev_marl.rl.config.NeuralNetwork`, `double_q` and `dueling` as in
    `ev_marl.rl.config.Dqn`, and `epsilon`, a number or RLlib's schedule over environment steps.

    Every port has its own branch on the last hidden layer; the layers below are shared. Values have shape (n, K, L) for
    K ports with L levels; (n, L) for one port, as RLlib expects.
    """

    def setup(self) -> None:
        """Make the networks."""
        config, space = self.model_config, self.action_space
        if isinstance(space, spaces.Discrete):
            self._shape: tuple[int, ...] = (int(space.n),)
            self.action_dist_cls = TorchCategorical
        else:
            self._shape = (len(space.nvec), int(space.nvec[0]))
            self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(input_lens=space.nvec.tolist())
        n_outputs = 1
        for size in self._shape:
            n_outputs *= size
        n_observed, hidden = self.observation_space.shape[0], config["hidden"]
        # Named as in `ActorCritic`, since it is the policy: the largest output is the action.
        self.actor = multilayer_perceptron(n_observed, hidden, n_outputs, config["activation"], 0.01)
        self.double_q, self.dueling = config["double_q"], config["dueling"]
        self.situation = _linear(hidden[-1], 1, 1.0) if self.dueling and not self.inference_only else None
        self._epsilon = Scheduler(fixed_value_or_schedule=config["epsilon"], framework=self.framework)

    def get_non_inference_attributes(self) -> list[str]:
        """Networks that only training needs."""
        return ["situation", "_slow_actor", "_slow_situation"]

    def make_target_networks(self) -> None:
        """Make the target networks."""
        self._slow_actor = make_target_network(self.actor)
        self._slow_situation = None if self.situation is None else make_target_network(self.situation)

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Networks and their target networks."""
        pairs = [(self.actor, self._slow_actor)]
        return pairs if self.situation is None else [*pairs, (self.situation, self._slow_situation)]

    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Values of levels by the trained networks."""
        return {QF_PREDS: self._values(batch[Columns.OBS], self.actor, self.situation)}

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Values of levels by the target networks."""
        return {QF_PREDS: self._values(batch[Columns.OBS], self._slow_actor, self._slow_situation)}

    def _values(self, seen: torch.Tensor, actor: nn.Sequential, situation: nn.Linear | None) -> torch.Tensor:
        features = actor[:-1](seen)
        values: torch.Tensor = actor[-1](features).unflatten(-1, self._shape)
        if situation is None:
            return values
        state = situation(features).reshape(-1, *(1,) * len(self._shape))
        return state + values - values.mean(dim=-1, keepdim=True)

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.actor(batch[Columns.OBS])}

    def _forward_exploration(self, batch: dict[str, Any], t: int = 0, **kwargs: Any) -> dict[str, Any]:
        """Log probabilities of levels: ε is spread over all of them, the rest goes to the best."""
        self._epsilon.update(t)
        epsilon = max(float(self._epsilon.get_current_value()), _LEAST_EPSILON)
        values = self.actor(batch[Columns.OBS]).unflatten(-1, self._shape)
        chances = torch.full_like(values, epsilon / self._shape[-1])
        chances.scatter_add_(-1, values.argmax(dim=-1, keepdim=True), torch.full_like(values[..., :1], 1.0 - epsilon))
        return {Columns.ACTION_DIST_INPUTS: chances.log().flatten(1)}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        now, then = batch[Columns.OBS], batch[Columns.NEXT_OBS]
        followed = self.forward_target({Columns.OBS: then})[QF_PREDS]
        if not self.double_q:
            return {**self.compute_q_values({Columns.OBS: now}), QF_TARGET_NEXT_PREDS: followed}
        values, next_values = self.compute_q_values({Columns.OBS: torch.cat([now, then])})[QF_PREDS].chunk(2)
        return {QF_PREDS: values, QF_NEXT_PREDS: next_values, QF_TARGET_NEXT_PREDS: followed}


def advantages(values: np.ndarray, rewards: np.ndarray, discount: float, gae_lambda: float) -> np.ndarray:
    """Generalised advantage estimation (Schulman et al. 2016) of episodes that end with their last step.

    Parameters
    ----------
    values, rewards : float32, shape (n_steps, ...)
        Estimated values before each step, and its reward.
    discount, gae_lambda : float
        γ and λ.

    Returns
    -------
    float32, shape (n_steps, ...)
    """
    out = np.empty_like(rewards)
    following = np.zeros_like(rewards[0])
    gathered = np.zeros_like(rewards[0])
    for t in range(len(rewards) - 1, -1, -1):
        gathered = rewards[t] + discount * following - values[t] + discount * gae_lambda * gathered
        out[t] = gathered
        following = values[t]
    return out


def against_replicas(gains: np.ndarray, replicas: int) -> np.ndarray:
    """Advantages less the mean advantage of the same agent and step in the other rows that play the same day.

    The other rows do not depend on this row's action, so their mean is a baseline that leaves the gradient unbiased
    (leave-one-out, as in Kool et al. 2019); and they share the day's arrivals, prices and loads, so that the baseline
    removes most of the variance between days.

    Parameters
    ----------
    gains : float32, shape (n_steps, n_rows, n_agents)
        Advantages; rows of the same day are neighbours.
    replicas : int
        Rows of each day.
    """
    if replicas < 2:
        return gains
    by_day = gains.reshape(len(gains), -1, replicas, gains.shape[2])
    others = (by_day.sum(axis=2, keepdims=True) - by_day) / (replicas - 1)
    out: np.ndarray = (by_day - others).reshape(gains.shape)
    return out


class ArraysToTrainBatch(ConnectorV2):  # type: ignore[misc]
    """Turns one or more `RolloutArrays` into a shuffled train batch.

    Parameters
    ----------
    discount, gae_lambda : float
        γ and λ.
    replicas : int
        Number of neighbouring rows that play the same day, see `against_replicas`.
    idle_share : float
        Share of the steps without a vehicle to decide about that are kept. They teach the actor nothing and get no
        advantage; the critic needs some of them.
    """

    def __init__(
        self,
        input_observation_space: Any = None,
        input_action_space: Any = None,
        *,
        discount: float,
        gae_lambda: float,
        replicas: int = 1,
        idle_share: float = 0.2,
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self.replicas = replicas
        self.idle_share = idle_share
        self.discount = discount
        self.gae_lambda = gae_lambda

    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: list[RolloutArrays], **kwargs: Any
    ) -> dict[str, Any]:
        """Columns of each module, tensors of n = T · B · A agent steps."""
        for name in episodes[0].modules:
            parts = [self._columns(rl_module[name], rollout, name) for rollout in episodes]
            columns = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
            able = columns.pop(_ABLE)
            gains = columns[Postprocessing.ADVANTAGES]
            acted = gains[able]
            gains = (gains - acted.mean()) / acted.std().clamp(min=1e-4)
            columns[Postprocessing.ADVANTAGES] = torch.where(able, gains, 0.0)
            kept = torch.nonzero(able | (torch.rand(len(able)) < self.idle_share)).squeeze(-1)
            order = kept[torch.randperm(len(kept))]
            batch[name] = {key: column[order] for key, column in columns.items()}
        return batch

    def _columns(self, module: Any, rollout: RolloutArrays, name: str) -> dict[str, torch.Tensor]:
        part = rollout.modules[name]
        n_agents = part.rewards.shape[2]
        columns = {
            Columns.OBS: _flat(part.observations[:-1]),
            Columns.ACTIONS: _flat(part.actions),
            Columns.ACTION_DIST_INPUTS: _flat(part.action_inputs),
            Columns.ACTION_LOGP: _flat(part.log_probability),
        }
        if rollout.state.shape[2]:
            columns[STATE] = torch.from_numpy(rollout.state.copy()).repeat_interleave(n_agents, dim=1).flatten(0, 1)
        with torch.no_grad():
            values = module.compute_values(columns).numpy().reshape(part.rewards.shape)
        gains = advantages(values, part.rewards, self.discount, self.gae_lambda)
        columns[_ABLE] = _flat(part.able)
        columns[Postprocessing.ADVANTAGES] = _flat(against_replicas(gains, self.replicas))
        columns[Postprocessing.VALUE_TARGETS] = _flat(gains + values)
        return columns


def _flat(values: np.ndarray) -> torch.Tensor:
    """Steps, rows and agents as one axis; a copy, since arrays from another process cannot be written to."""
    return torch.from_numpy(values.reshape(-1, *values.shape[3:]).copy())
