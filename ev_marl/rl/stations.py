"""What the bridges to training libraries share: one action space for all stations, and the reward they learn from.

Comes in: actions by station, padded to the ports of the widest. Goes out: actions by port, as `BatchedEnv.step` takes
them. What is said for a port that a station does not have is ignored.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from ev_marl.env.batched import BatchedEnv
from ev_marl.planning.own_plan import Worth
from ev_marl.rl.config import Reward
from ev_marl.rl.rewards import TrainingReward

RewardLike = Literal["own", "team"] | Reward
"""Each station's own reward; the mean over the stations of a site, for each of them; or shaped as a `Reward` says."""


class StationActions:
    """Padded actions of the stations of a batch; A stations, K numbers of the widest one, P ports in all.

    A station says one number for each port; bids may have several for each, port by port.

    Parameters
    ----------
    env : BatchedEnv
        Its scenario says which stations and which kind of action there are.

    Attributes
    ----------
    space : gymnasium.Space
        Of one station: Box in [−1, 1], shape (K,); with levels `MultiDiscrete`, or `Discrete` if K is 1.
    present : bool, shape (n_agents, K)
        Which of the numbers mean anything.
    n_levels : int or None
        Levels of each port; None where actions are continuous.
    """

    def __init__(self, env: BatchedEnv) -> None:
        joint = env.single_action_space
        assert joint.shape is not None
        n_numbers = joint.shape[0] // len(env.ports)  # of each port
        counts = np.diff(env.site.arrays.station_first_port) * n_numbers
        self.width = int(counts.max())
        self.present = np.arange(self.width) < counts[:, None]
        self._columns = np.flatnonzero(self.present)  # of each number in a row of padded actions
        self.n_levels: int | None = None
        self.space: spaces.Space[Any]
        if isinstance(joint, spaces.MultiDiscrete):
            self.n_levels = n_levels = int(joint.nvec[0])
            self.space = spaces.MultiDiscrete([n_levels] * self.width) if self.width > 1 else spaces.Discrete(n_levels)
        else:
            self.space = spaces.Box(-1.0, 1.0, (self.width,), np.float32)

    def join(self, actions: np.ndarray) -> np.ndarray:
        """Actions by port.

        Parameters
        ----------
        actions : array_like, shape (n_batch, n_agents, K) or with the same numbers in another shape, such as
            (n_batch · n_agents, K)
            What every station says of its ports.

        Returns
        -------
        shape (n_batch, n_ports · numbers of a port)
            As `BatchedEnv.step` takes them.
        """
        joined: np.ndarray = np.asarray(actions).reshape(-1, self.present.size)[:, self._columns]
        return joined

    def mask(self, by_port: np.ndarray) -> np.ndarray:
        """Masks by station.

        Parameters
        ----------
        by_port : int8, shape (n_batch, n_ports, n_levels)
            `StepInfo.action_mask`, or `BatchedEnv.action_mask()`.

        Returns
        -------
        bool, shape (n_batch, n_agents, K, n_levels)
            All levels are allowed at ports that a station does not have, where they mean nothing.
        """
        n_batch, _, n_levels = by_port.shape
        mask = np.ones((n_batch, self.present.size, n_levels), dtype=bool)
        mask[:, self._columns] = by_port
        return mask.reshape(n_batch, *self.present.shape, n_levels)


def training_reward(reward: RewardLike, env: BatchedEnv) -> TrainingReward:
    """What turns the rewards of a batch into those that stations learn from.

    Parameters
    ----------
    reward : {"own", "team"} or Reward
        What counts. A `Reward` may shape it by the vehicles' own plans, which changes no optimal policy.
    env : BatchedEnv
        Its objective says what plans are worth.

    Raises
    ------
    ValueError
        If the word is neither "own" nor "team", or if shadow prices are asked for, which need solved training days.
    """
    if isinstance(reward, str):
        if reward not in ("own", "team"):
            raise ValueError(f"reward is {reward!r}; allowed are 'own', 'team' and a Reward")
        reward = Reward(team=1.0 if reward == "team" else 0.0, shaping="none")
    if reward.credit != "none":
        raise ValueError(f"credit is '{reward.credit}'; only `ev-marl train` solves its training days for that")
    return TrainingReward(reward, Worth.of(env.objective))
