"""An RLlib environment runner that plays a batch of days at once on `BatchedEnv`.

It replaces `MultiAgentEnvRunner`, which steps one dictionary after the other: same weights, same metrics, same
checkpoints, but one call of the network and one of the simulator for each step. A call of `sample` plays whole days,
one in each row, and gives them to the learner as arrays: RLlib passes these on unread and asks only for their length.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    NUM_MODULE_STEPS_SAMPLED,
    NUM_MODULE_STEPS_SAMPLED_LIFETIME,
    SAMPLE_TIMER,
)

from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.face import TrainingFace
from ev_marl.scenario import Scenario
from ev_marl.scenario.problems import Places

RETURN = "team_return_mean"  # metric: return of a day as the scenario counts it, mean over the batch [currency]


@dataclass(eq=False)
class ModuleRollout:
    """Observations, actions and rewards of one module's agents; T steps, B rows, A agents."""

    observations: np.ndarray  # float32 (T + 1, B, A, W)  the last at the end of the day
    actions: np.ndarray  # (T, B, A, K)  as sampled, not clipped
    action_inputs: np.ndarray  # float32 (T, B, A, D)  of the distribution that they were sampled from
    log_probability: np.ndarray  # float32 (T, B, A)
    rewards: np.ndarray  # float32 (T, B, A)
    able: np.ndarray  # bool (T, B, A)  whether the action could have an effect


@dataclass(eq=False)
class RolloutArrays:
    """A batch of whole days of all agents."""

    modules: dict[str, ModuleRollout]
    state: np.ndarray  # float32 (T, B, S)  for the critic; S is 0 if its input is the observation
    n_agents: int

    def __len__(self) -> int:
        return self.env_steps()

    def env_steps(self) -> int:
        """T · B."""
        return int(self.state.shape[0] * self.state.shape[1])

    def agent_steps(self) -> int:
        """T · B · A."""
        return self.env_steps() * self.n_agents


class _Spaces:
    """The attributes of an environment that RLlib reads when it builds modules and connectors."""

    def __init__(self, face: TrainingFace) -> None:
        self.face = face
        self.num_envs = face.n_envs
        self.single_observation_space = spaces.Dict(dict.fromkeys(face.agents, face.observation_space))
        self.single_action_space = spaces.Dict(dict.fromkeys(face.agents, face.action_space))
        self.observation_space = self.single_observation_space
        self.action_space = self.single_action_space

    @property
    def unwrapped(self) -> _Spaces:
        return self

    def close(self) -> None:
        """Nothing is open."""


def seed_everything(*numbers: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch, which RLlib uses."""
    words = np.random.SeedSequence(list(numbers)).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002  RLlib shuffles with it
    torch.manual_seed(int(words[2]))


class BatchedEnvRunner(MultiAgentEnvRunner):  # type: ignore[misc]
    """Samples whole days from a `TrainingFace`.

    `config.env_config` has `training` and `scenario`, both as JSON, `trust`, whether code that they name may run, and
    `seed`.
    """

    def make_env(self) -> None:
        """Make the face; there is no gymnasium environment."""
        given = self.config.env_config
        self._seed = int(given["seed"])
        self.face = TrainingFace(
            TrainingConfig.model_validate_json(given["training"]),
            Scenario.model_validate_json(given["scenario"]).read_from(Places(), trust=given["trust"]),
            self.config.num_envs_per_env_runner,
            self._seed,
            self.worker_index,
        )
        self.env = _Spaces(self.face)
        self.num_envs = self.face.n_envs
        self._needs_initial_reset = True
        self._next_batch = 0

    @property
    def batch(self) -> int:
        """Number of the next batch, from the steps sampled so far by all runners, so that a resumed run continues."""
        each = self.face.n_steps * self.face.n_envs * max(1, self.config.num_env_runners)
        number: int = round(self.num_env_steps_sampled_lifetime / each)
        return number

    def count_from(self, steps: int) -> None:
        """Continue where all runners together have sampled so many steps; later batches count as not yet played."""
        self.num_env_steps_sampled_lifetime = steps
        self._next_batch = 0

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool | None = None,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[Any]:
        """Play one batch of training days; the number of steps asked for is ignored."""
        if random_actions:
            raise NotImplementedError("this runner does not play random actions")
        # RLlib calls a runner twice if another one died or was late, and then counts as many steps as if all had played
        # once: by that number alone, the next batch would be one that this runner has already played.
        batch = max(self.batch, self._next_batch)
        self._next_batch = batch + 1
        seed_everything(self._seed, self.worker_index, batch)
        begin = time.perf_counter()
        with self.metrics.log_time(SAMPLE_TIMER):
            rollout, returns = self.play(self.face.start(batch), self.config.explore if explore is None else explore)
        self._log(rollout, returns, time.perf_counter() - begin)
        if self.face.config.sampling.pipeline == "arrays":
            return [rollout]
        return episodes(
            rollout, {module.name: [self.face.agents[a] for a in module.agents] for module in self.face.modules}
        )

    def play(self, observations: np.ndarray, explore: bool) -> tuple[RolloutArrays, np.ndarray]:
        """Play days that the face has started.

        Parameters
        ----------
        observations : float32, shape (B, A, W)
            The first.
        explore : bool
            Whether to sample actions, or take the most likely.

        Returns
        -------
        RolloutArrays
        returns : float64, shape (B,)
            Of the team, as the scenario counts it [currency].
        """
        face = self.face
        n_steps, n_envs = face.n_steps, face.n_envs
        continuous = isinstance(face.action_space, spaces.Box)
        width = face.action_space.shape[0] if face.action_space.shape else 1
        kind = np.float32 if continuous else np.int64
        actions = np.zeros((n_envs, len(face.agents), width), dtype=kind)
        parts: dict[str, ModuleRollout] = {}
        state = np.zeros((n_steps, n_envs, face.n_state), dtype=np.float32)
        returns = np.zeros(n_envs)
        for t in range(n_steps):
            able = face.able()
            if face.n_state:
                state[t] = face.state()
            for module in face.modules:
                seen = observations[:, module.agents]
                shape = seen.shape[:2]
                sampled, inputs, log_probability = self._act(module.name, seen.reshape(-1, seen.shape[2]), explore)
                if module.name not in parts:
                    parts[module.name] = ModuleRollout(
                        np.empty((n_steps + 1, *seen.shape), dtype=np.float32),
                        np.empty((n_steps, *shape, *sampled.shape[1:]), dtype=kind),
                        np.empty((n_steps, *shape, inputs.shape[1]), dtype=np.float32),
                        np.empty((n_steps, *shape), dtype=np.float32),
                        np.empty((n_steps, *shape), dtype=np.float32),
                        np.empty((n_steps, *shape), dtype=bool),
                    )
                part = parts[module.name]
                part.observations[t] = seen
                part.able[t] = able[:, module.agents]
                part.actions[t] = sampled.reshape(part.actions.shape[1:])
                part.action_inputs[t] = inputs.reshape(part.action_inputs.shape[1:])
                part.log_probability[t] = log_probability.reshape(shape)
                actions[:, module.agents] = sampled.reshape(*shape, width)
            observations, rewards, earned, _ = face.step(actions)
            returns += earned
            for module in face.modules:
                parts[module.name].rewards[t] = rewards[:, module.agents]
        for module in face.modules:
            parts[module.name].observations[-1] = observations[:, module.agents]
        return RolloutArrays(parts, state, len(face.agents)), returns

    def _act(self, module: str, seen: np.ndarray, explore: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions, inputs of their distribution and log probabilities for observations of shape (n, W)."""
        network = self.module[module]
        with torch.no_grad():
            batch = {Columns.OBS: torch.from_numpy(np.ascontiguousarray(seen))}
            forward = network.forward_exploration if explore else network.forward_inference
            inputs = forward(batch, t=self.num_env_steps_sampled_lifetime)[Columns.ACTION_DIST_INPUTS]
            distribution = network.get_exploration_action_dist_cls().from_logits(inputs)
            chosen = distribution if explore else distribution.to_deterministic()
            sampled = chosen.sample()
            log_probability = distribution.logp(sampled)
        return sampled.numpy(), inputs.numpy(), log_probability.numpy()

    def _log(self, rollout: RolloutArrays, returns: np.ndarray, seconds: float) -> None:
        steps, metrics = rollout.env_steps(), self.metrics
        self.num_env_steps_sampled_lifetime += steps * max(1, self.config.num_env_runners)
        metrics.log_value(NUM_ENV_STEPS_SAMPLED, steps, reduce="sum")
        metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum", with_throughput=True)
        metrics.log_value(NUM_EPISODES, len(returns), reduce="sum")
        metrics.log_value(NUM_EPISODES_LIFETIME, len(returns), reduce="lifetime_sum")
        metrics.log_value((NUM_AGENT_STEPS_SAMPLED, "all"), rollout.agent_steps(), reduce="sum")
        metrics.log_value((NUM_AGENT_STEPS_SAMPLED_LIFETIME, "all"), rollout.agent_steps(), reduce="lifetime_sum")
        by_module: dict[str, Any] = {}
        for name, part in rollout.modules.items():
            count = part.rewards.size
            metrics.log_value((NUM_MODULE_STEPS_SAMPLED, name), count, reduce="sum")
            metrics.log_value((NUM_MODULE_STEPS_SAMPLED_LIFETIME, name), count, reduce="lifetime_sum")
            by_module[name] = float(part.rewards.sum() / len(returns))
        metrics.log_value(RETURN, float(returns.mean()), window=1)
        self._log_episode_metrics(len(rollout.state), sum(by_module.values()), seconds, {}, by_module, {})


def episodes(rollout: RolloutArrays, module_agents: dict[str, Sequence[str]]) -> list[SingleAgentEpisode]:
    """One finished episode for every row and agent, for RLlib's own learner connectors.

    Parameters
    ----------
    rollout : RolloutArrays
        Its arrays are used, not copied.
    module_agents : dict of str to sequence of str
        Names of each module's agents, in the order of its rollout.
    """
    made = []
    n_steps, n_rows = rollout.state.shape[:2]
    for name, part in rollout.modules.items():
        for row in range(n_rows):
            for number, agent in enumerate(module_agents[name]):
                episode = SingleAgentEpisode(
                    observations=_buffer(part.observations[:, row, number]),
                    actions=_buffer(part.actions[:, row, number]),
                    rewards=_buffer(part.rewards[:, row, number]),
                    infos=InfiniteLookbackBuffer([{}] * (n_steps + 1), lookback=0),
                    extra_model_outputs={
                        Columns.ACTION_DIST_INPUTS: _buffer(part.action_inputs[:, row, number]),
                        Columns.ACTION_LOGP: _buffer(part.log_probability[:, row, number]),
                    },
                    terminated=True,
                    len_lookback_buffer=0,
                    agent_id=agent,
                    module_id=name,
                )
                episode.multi_agent_episode_id = f"{id(rollout)}-{row}"
                made.append(episode)
    return made


def _buffer(values: np.ndarray) -> InfiniteLookbackBuffer:
    return InfiniteLookbackBuffer(data=values, lookback=0)
