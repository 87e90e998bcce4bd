"""A batch of whole days as arrays: what the fast runner hands to the learner, in place of one episode object an agent.

RLlib passes it through as an opaque object and only asks how long it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class ModuleRollout:
    """What one module's agents saw and did; T steps, B rows, A agents."""

    observations: np.ndarray  # float32 (T, B, A, W)
    actions: np.ndarray  # (T, B, A, K)  as sampled, not clipped
    action_inputs: np.ndarray  # float32 (T, B, A, D)  of the distribution that they were sampled from
    log_probability: np.ndarray  # float32 (T, B, A)
    rewards: np.ndarray  # float32 (T, B, A)
    able: np.ndarray  # bool (T, B, A)  whether the agent could do anything; where not, its action meant nothing


@dataclass(eq=False)
class RolloutArrays:
    """A batch of whole days of all agents."""

    modules: dict[str, ModuleRollout]
    state: np.ndarray  # float32 (T, B, S)  only for the critic; S is 0 if it sees what the agent sees
    n_agents: int

    def __len__(self) -> int:
        return self.env_steps()

    def env_steps(self) -> int:
        """T · B."""
        return int(self.state.shape[0] * self.state.shape[1])

    def agent_steps(self) -> int:
        """T · B · A."""
        return self.env_steps() * self.n_agents
