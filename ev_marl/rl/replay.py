"""The replay buffer of RLlib's DQN, as arrays over days.

Whole days come in from the runners; agent steps drawn at random go out, each with the sum of its next rewards and the
observation after them. RLlib's own buffers hold one Python object for each agent and day, and visit them one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.dqn.dqn import DQN
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TD_ERROR_KEY,
    TIMERS,
)

from ev_marl.rl.runner import RolloutArrays

_STATE = "replay"  # key of an algorithm's state


@dataclass(eq=False)
class Transitions:
    """Agent steps of one module; n of them."""

    observations: np.ndarray  # float32 (n, W)
    actions: np.ndarray  # int64 (n, K)
    rewards: np.ndarray  # float32 (n,)  discounted sum over the next steps
    next_observations: np.ndarray  # float32 (n, W)  after them
    ended: np.ndarray  # bool (n,)  whether the day was over by then


@dataclass(eq=False)
class Drawn:
    """The agent steps drawn for one update; RLlib passes it on and asks only for its length."""

    modules: dict[str, Transitions]

    def __len__(self) -> int:
        return self.env_steps()

    def env_steps(self) -> int:
        """Agent steps of all modules."""
        return sum(len(part.rewards) for part in self.modules.values())

    agent_steps = env_steps


class _Memory:
    """The last days of one module; D days, T steps, A agents."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.arrays: dict[str, np.ndarray] = {}
        self.candidates = np.zeros(0, dtype=np.int64)

    def add(self, new: dict[str, np.ndarray], first: int) -> None:
        """Store days from place `first` on, in place of those that were there."""
        count = len(new["rewards"])
        if not self.arrays:
            self.arrays = {
                name: np.zeros((self.capacity, *values.shape[1:]), values.dtype) for name, values in new.items()
            }
        places = (first + np.arange(count)) % self.capacity
        for name, values in new.items():
            self.arrays[name][places] = values
        self.find()

    def find(self) -> None:
        """Find the agent steps that may be drawn."""
        self.candidates = np.flatnonzero(self.arrays["kept"])

    def draw(self, rng: np.random.Generator, count: int, n_step: int, discount: float) -> Transitions:
        arrays = self.arrays
        picked = self.candidates[rng.integers(len(self.candidates), size=count)]
        day, step, agent = np.unravel_index(picked, arrays["kept"].shape)
        n_steps = arrays["kept"].shape[1]
        rewards = np.zeros(count, dtype=np.float32)
        for ahead in range(n_step):
            within = step + ahead < n_steps
            found = arrays["rewards"][day, np.minimum(step + ahead, n_steps - 1), agent]
            rewards += np.float32(discount**ahead) * found * within
        after = np.minimum(step + n_step, n_steps)
        seen = arrays["observations"]
        return Transitions(
            seen[day, step, agent],
            arrays["actions"][day, step, agent],
            rewards,
            seen[day, after, agent],
            step + n_step >= n_steps,
        )


class DayReplay:
    """Replay buffer of the last days.

    Parameters
    ----------
    days : int
        Number of days.
    seed : int
        Of the random draws.
    idle_share : float
        Share of the steps without a vehicle to decide about that may be drawn. Such steps teach the value of the
        situation, but nothing about actions.
    """

    def __init__(self, days: int, seed: int, idle_share: float = 0.2) -> None:
        self._days, self._seed, self._idle_share = days, seed, idle_share
        self._added = 0
        self._memories: dict[str, _Memory] = {}
        self._rng = np.random.default_rng((seed, 0))

    def add(self, rollouts: Sequence[RolloutArrays]) -> None:
        """Store the days of rollouts."""
        for rollout in rollouts:
            self._rng = np.random.default_rng((self._seed, self._added))  # so that only `sample` needs a saved state
            for name, part in rollout.modules.items():
                kept = part.able | (self._rng.random(part.able.shape) < self._idle_share)
                new = {
                    "observations": part.observations,
                    "actions": part.actions.reshape(*part.rewards.shape, -1),
                    "rewards": part.rewards,
                    "kept": kept,
                }
                by_day = {key: np.swapaxes(values, 0, 1)[-self._days :] for key, values in new.items()}
                self._memories.setdefault(name, _Memory(self._days)).add(by_day, self._added)
            self._added += rollout.state.shape[1]

    def sample(self, *, num_items: int, n_step: int, gamma: float) -> list[Drawn]:
        """Draw agent steps of every module.

        Parameters
        ----------
        num_items : int
            Number of agent steps for each module.
        n_step : int
            Number of rewards that are summed.
        gamma : float
            Discount of each step.
        """
        drawn = {name: part.draw(self._rng, num_items, n_step, gamma) for name, part in self._memories.items()}
        return [Drawn(drawn)]

    def get_state(self) -> dict[str, Any]:
        """The stored days."""
        filled = min(self._added, self._days)
        arrays = {
            name: {key: values[:filled] for key, values in memory.arrays.items()}
            for name, memory in self._memories.items()
        }
        return {"added": self._added, "arrays": arrays, "drawn": self._rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over the days of another buffer."""
        self._added = state["added"]
        self._memories = {}
        for name, arrays in state["arrays"].items():
            self._memories[name] = memory = _Memory(self._days)
            memory.add(arrays, 0)
        self._rng.bit_generator.state = state["drawn"]


class ToTrainBatch(ConnectorV2):  # type: ignore[misc]
    """Turns the agent steps that were drawn into tensors, in the form that the loss of RLlib's DQN expects.

    A station with one port has columns of shape (n,); a station with K ports has a column for each port, all with the
    reward of the station.
    """

    def __init__(self, n_step: int) -> None:
        super().__init__()
        self._n_step = n_step

    def __call__(
        self, *, rl_module: Any, batch: dict[str, Any], episodes: list[Drawn], **kwargs: Any
    ) -> dict[str, Any]:
        """Columns of each module."""
        for name, part in episodes[0].modules.items():
            n_ports = part.actions.shape[1]
            shape = (-1,) if n_ports == 1 else (-1, 1)
            rewards = torch.from_numpy(part.rewards).reshape(shape)
            batch[name] = {
                Columns.OBS: torch.from_numpy(part.observations),
                Columns.NEXT_OBS: torch.from_numpy(part.next_observations),
                Columns.ACTIONS: torch.from_numpy(part.actions).reshape(-1, *(n_ports,) * (n_ports > 1)),
                Columns.REWARDS: rewards,
                Columns.TERMINATEDS: torch.from_numpy(part.ended).reshape(shape),
                "n_step": torch.full_like(rewards, self._n_step),
                "weights": torch.ones_like(rewards),
            }
        return batch


class ReplayLearner(DQNTorchLearner):  # type: ignore[misc]
    """RLlib's learner of DQN, reading arrays."""

    def build(self) -> None:
        """Build the learner; arrays replace RLlib's connectors, which DQN always adds."""
        super().build()
        self._learner_connector = ToTrainBatch(self.config.n_step)


class ReplayDQN(DQN):  # type: ignore[misc]
    """RLlib's DQN with a `DayReplay`. The buffer is part of the state, so that a resumed run gives the same numbers.

    `config.replay_buffer_config` holds `days` and `seed` of the buffer and `updates`, the number of updates after each
    batch of days, besides the entries of RLlib.
    """

    def _create_local_replay_buffer_if_necessary(self, config: Any) -> DayReplay:
        given = self.config.replay_buffer_config
        return DayReplay(given["days"], given["seed"])

    def training_step(self) -> None:
        """Play a batch of days, then make as many updates as are due.

        Like RLlib's own step, but without splitting the errors by agent step, which only prioritised buffers need and
        which makes an update three times as long.
        """
        config, metrics = self.config, self.metrics
        with metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            rollouts, sampled = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                concat=True,
                sample_timeout_s=config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
        metrics.aggregate(sampled, key=ENV_RUNNER_RESULTS)
        self.local_replay_buffer.add(rollouts)
        steps = metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        if not rollouts or steps < config.num_steps_sampled_before_learning_starts:
            return
        with metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            for _ in range(config.replay_buffer_config["updates"]):
                learned = self.learner_group.update(
                    episodes=self.local_replay_buffer.sample(
                        num_items=config.train_batch_size_per_learner, n_step=config.n_step, gamma=config.gamma
                    ),
                    timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: steps},
                )
                for result in learned:
                    for module in result.values():
                        module.pop(TD_ERROR_KEY, None)
                metrics.aggregate(learned, key=LEARNER_RESULTS)
        with metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(from_worker_or_learner_group=self.learner_group, inference_only=True)

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state and the buffer."""
        return {**super().get_state(*args, **kwargs), _STATE: self.local_replay_buffer.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        super().set_state(state)
        if _STATE in state:
            self.local_replay_buffer.set_state(state[_STATE])
