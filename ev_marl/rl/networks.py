"""Actor and critic networks as RLlib modules.

Observations come in, parameters of an action distribution and values go out. The actor sees what a station sees; only
the critic, which is not needed once training is over, may see the state of the site besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

STATE = "state"  # column of a batch: what only the critic sees

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}
_LOG_STD_BOUNDS = (-5.0, 1.0)


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

    `model_config` holds `hidden`, `critic_hidden`, `activation`, `initial_std` as in `ev_marl.rl.config.Network`;
    `n_state`, how many numbers only the critic sees; and `ability`, columns of the observation, (n_ways, K) for K
    actions: an action has an effect where one of its columns is not 0. Where it has none, its distribution is the same
    whatever the weights are, so that it adds no noise to what is learned; without columns every action counts.

    The actor starts near the middle of the action space, whatever it sees; the standard deviation of continuous actions
    is learned, the same for all observations.
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
