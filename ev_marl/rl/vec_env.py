"""Stable-Baselines3 on `BatchedEnv`: every station of every row is one of SB3's environments.

Comes in: a `BatchedEnv`. Goes out: a `VecEnv` with n_envs · n_agents rows, on which one policy learns for all stations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from ev_marl.env.batched import BatchedEnv
from ev_marl.rl.stations import RewardLike, StationActions, training_reward

Indices = int | Sequence[int] | np.ndarray | None


class StationRow:
    """One of SB3's environments: one station in one row of the batch.

    Attributes that it does not have are those of the batch, which all rows share.
    """

    render_mode = None  # there is no picture of a single station; `ChargingEnv` shows the site

    def __init__(self, venv: StationVecEnv, index: int) -> None:
        self._venv = venv
        self.row, station = divmod(index, len(venv.batch.agents))
        self.agent = venv.batch.agents[station]
        self.station = station

    def action_masks(self) -> np.ndarray:
        """Which levels have an effect, bool, port by port, as sb3-contrib's MaskablePPO expects."""
        mask: np.ndarray = self._venv.action_masks()[self.row, self.station].reshape(-1)
        return mask

    def observation_labels(self) -> list[str]:
        """What each number of this station's observation is."""
        return self._venv.batch.observation_labels(self.agent)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._venv.batch, name)


class StationVecEnv(VecEnv):  # type: ignore[misc]  # the same whether SB3 is there to be checked or not
    """All stations of a batch of episodes as SB3 environments, for one shared policy.

    SB3 row `b · n_agents + a` is station `agents[a]` in row b of the batch. Observations are those of `BatchedEnv`;
    actions are padded to the largest station (`StationActions`), and numbers for ports that a station does not have are
    ignored. At the end of a day all rows are done: `infos` then hold `terminal_observation`, `TimeLimit.truncated`
    (always true: the day is truncated) and, as `VecMonitor` would, `episode` with return and length.

    Parameters
    ----------
    batch : BatchedEnv
        Plays the days. It must not be stepped or reset elsewhere.
    reward : {"own", "team"} or Reward
        "own": the station's own reward. "team": the mean over the stations of the same row, for each of them, so that
        in both cases the rows of a site sum to the team's [currency]. A `Reward` can shape it by own plans.

    Attributes
    ----------
    batch : BatchedEnv
        As given.

    Examples
    --------
    >>> from stable_baselines3 import PPO
    >>> import ev_marl
    >>> from ev_marl.rl.vec_env import StationVecEnv
    >>> env = StationVecEnv(ev_marl.BatchedEnv("tiny", 4, n_days=16), reward="team")
    >>> model = PPO("MlpPolicy", env, n_steps=24, batch_size=96, seed=0).learn(288)
    """

    def __init__(self, batch: BatchedEnv, *, reward: RewardLike = "own") -> None:
        self.batch = batch
        self._reward = training_reward(reward, batch)
        self._actions = StationActions(batch)
        n_rows = batch.n_envs * len(batch.agents)
        self._width = batch.single_observation_space.shape[0]
        self._rows = [StationRow(self, index) for index in range(n_rows)]
        self._chosen: np.ndarray | None = None
        self._masks: np.ndarray | None = None
        self._returns = np.zeros(n_rows)
        self._length = 0
        super().__init__(n_rows, batch.single_observation_space, self._actions.space)

    def reset(self) -> np.ndarray:
        """Start all episodes; a seed from `seed()` is used once and draws other days.

        Returns
        -------
        float32, shape (num_envs, width)
            Observations.
        """
        observations = self.batch.reset(self._seeds[0])
        self._reward.reset(self.batch.simulator)
        self._reset_seeds()
        self._reset_options()
        self._masks = None
        self._returns[:] = 0.0
        self._length = 0
        return self._by_row(observations)

    def step_async(self, actions: np.ndarray) -> None:
        """Store the actions, shape (num_envs, ...) as the action space says."""
        self._chosen = self._actions.join(actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Run the step.

        Returns
        -------
        observations : float32, shape (num_envs, width)
            After the end of a day, the first of the next.
        rewards : float32, shape (num_envs,)
            [currency]
        dones : bool, shape (num_envs,)
            Equal for all.
        infos : list of dict, length num_envs
            Empty except at the end of a day.
        """
        if self._chosen is None:
            raise RuntimeError("there are no actions to step with; call step_async() first")
        observations, rewards, _, truncated, info = self.batch.step(self._chosen)
        self._chosen, self._masks = None, None
        rewards = self._reward.step(rewards, info.flow, bool(truncated[0]), self.batch.simulator)
        flat = rewards.reshape(-1)
        self._returns += flat
        self._length += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if info.final_observation is not None:
            infos = self._ends(info.final_observation)
        dones = np.repeat(truncated, len(self.batch.agents))
        return self._by_row(observations), flat, dones, infos

    def action_masks(self) -> np.ndarray:
        """Which levels do something in the coming step, bool, shape (n_envs, n_agents, n_ports of a station, n_levels).

        Raises
        ------
        ActionError
            If actions are not levels.
        """
        if self._masks is None:
            self._masks = self._actions.mask(self.batch.action_mask())
        return self._masks

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute of the rows, or of the batch if the rows do not have it."""
        if attr_name == "action_masks" and self._actions.n_levels is None:
            raise AttributeError("actions are not levels and have no masks")
        return [getattr(row, attr_name) for row in self._of(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of the batch, for all rows at once.

        Raises
        ------
        ValueError
            If it is asked for some rows only: they share one batch.
        """
        if len(self._of(indices)) != self.num_envs:
            raise ValueError(f"'{attr_name}' can only be set for all rows: they share one batch")
        setattr(self.batch, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the rows, or of the batch if the rows do not have it.

        Raises
        ------
        ValueError
            If the method is `reset` or `step`, which would step all rows at each call.
        """
        if method_name in ("reset", "step"):
            raise ValueError(f"'{method_name}' acts on all rows, which share one batch; call it on the VecEnv")
        return [getattr(row, method_name)(*method_args, **method_kwargs) for row in self._of(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Indices = None) -> list[bool]:
        """Rows are never wrapped."""
        return [False for _ in self._of(indices)]

    def get_images(self) -> list[None]:
        """There are no pictures of single rows; `ChargingEnv` shows the site."""
        return [None for _ in self._rows]

    def close(self) -> None:
        """Nothing is held open."""

    def _of(self, indices: Indices) -> list[StationRow]:
        return [self._rows[index] for index in self._get_indices(indices)]

    def _by_row(self, observations: np.ndarray) -> np.ndarray:
        """A copy, since the batch reuses its arrays and SB3 keeps them."""
        return observations.reshape(-1, self._width).copy()

    def _ends(self, final_observation: np.ndarray) -> list[dict[str, Any]]:
        """The info of every row at the end of a day."""
        infos = [
            {"terminal_observation": last, "TimeLimit.truncated": True, "episode": {"r": total, "l": self._length}}
            for last, total in zip(self._by_row(final_observation), self._returns.tolist(), strict=True)
        ]
        self._returns[:] = 0.0
        self._length = 0
        return infos
