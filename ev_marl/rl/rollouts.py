"""A batch of whole days as arrays, from the runner to the learner, instead of one episode object for each agent.

RLlib passes it on unread and asks only for its length. `episodes` converts it to RLlib's own objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer


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
