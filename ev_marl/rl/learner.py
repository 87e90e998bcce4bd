"""From rollout arrays to a train batch: values, generalised advantage estimation, tensors, all at once.

Replaces RLlib's learner connectors for PPO, which handle episodes one by one. Every day ends with its last step: all
wishes are settled there, so no value after the end has to be estimated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing

from ev_marl.rl.networks import STATE
from ev_marl.rl.rollouts import RolloutArrays

_ABLE = "able"


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
