"""What the adapters for training libraries share: one action space for all stations, and the training reward.

Actions by station come in, padded to the station with the most ports; actions by port go out, as `BatchedEnv.step`
takes them. Numbers for ports that a station does not have are ignored.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from ev_marl.env.batched import BatchedEnv
from ev_marl.planning.worth import Worth
from ev_marl.rl.config import Reward
from ev_marl.rl.rewards import TrainingReward

RewardLike = Literal["own", "team"] | Reward
"""Each station's own reward; the mean over the stations of a site, for each of them; or shaped as a `Reward` says."""


class StationActions:
    """Padded actions of the stations of a batch; A stations, K numbers of the largest action, P ports in all.

    A station gives one number for each port; bids may have several for each, port by port.

    Parameters
    ----------
    env : BatchedEnv
        Its scenario defines the stations and the kind of action.

    Attributes
    ----------
    space : gymnasium.Space
        Of one station: Box in [−1, 1], shape (K,); with levels `MultiDiscrete`, or `Discrete` if K is 1.
    present : bool, shape (n_agents, K)
        Which of the numbers are used.
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
            Actions of every station.

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
            At ports that a station does not have, all levels are allowed.
        """
        n_batch, _, n_levels = by_port.shape
        mask = np.ones((n_batch, self.present.size, n_levels), dtype=bool)
        mask[:, self._columns] = by_port
        return mask.reshape(n_batch, *self.present.shape, n_levels)


def training_reward(reward: RewardLike, env: BatchedEnv) -> TrainingReward:
    """The conversion from rewards of a batch to training rewards.

    Parameters
    ----------
    reward : {"own", "team"} or Reward
        Which reward. A `Reward` may shape it by the vehicles' own plans, which changes no optimal policy.
    env : BatchedEnv
        Its objective gives the value of plans.

    Raises
    ------
    ValueError
        If the text is neither "own" nor "team", or if shadow prices are asked for, which need solved training days.
    """
    if isinstance(reward, str):
        if reward not in ("own", "team"):
            raise ValueError(f"reward is {reward!r}; allowed are 'own', 'team' and a Reward")
        reward = Reward(team=1.0 if reward == "team" else 0.0, shaping="none")
    if reward.credit != "none":
        raise ValueError(f"credit is '{reward.credit}'; only `ev-marl train` solves its training days for that")
    return TrainingReward(reward, Worth.of(env.objective), env.outlook)
