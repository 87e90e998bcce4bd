"""TorchRL on `BatchedEnv`: stations as a group of agents in one tensordict.

A `BatchedEnv` comes in; an `EnvBase` goes out, with batch size [n_envs] and the nested keys of TorchRL's multi-agent
environments, ("agents", "observation") and so on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.data import Binary, Bounded, Categorical, Composite, Unbounded
from torchrl.envs import EnvBase

from ev_marl.env.batched import BatchedEnv
from ev_marl.rl.stations import RewardLike, StationActions, training_reward

GROUP = "agents"


class StationsEnv(EnvBase):  # type: ignore[misc]  # the same whether TorchRL is there to be checked or not
    """Stations as one group of agents; B rows, A agents, W numbers observed, K numbers of the largest action.

    | key | shape | what it is |
    |---|---|---|
    | ("agents", "observation") | (B, A, W) | as `BatchedEnv` |
    | ("agents", "action") | (B, A, K) | padded, see `StationActions`; shares, or levels |
    | ("agents", "present") | (B, A, K) | which numbers of the action are used |
    | ("agents", "action_mask") | (B, A, K, n_levels) | which levels have an effect; only with levels |
    | ("agents", "reward") | (B, A, 1) | [currency] |
    | "done", "terminated", "truncated" | (B, 1) | of all agents; a day is truncated, never terminated |

    All rows are reset together. A reset after the end of a day starts the day that `BatchedEnv` has drawn.

    Parameters
    ----------
    batch : BatchedEnv
        Plays the days. It must not be stepped or reset elsewhere.
    reward : {"own", "team"} or Reward
        "own": each station's own reward. "team": the mean over the stations of the row, for each of them [currency].
        A `Reward` can shape it by own plans.
    device : str or torch.device
        Device of the tensors; the days are computed in NumPy.

    Attributes
    ----------
    batch : BatchedEnv
        As given.
    group_map : dict of str to list of str
        {"agents": names of the stations}.

    Examples
    --------
    >>> import ev_marl
    >>> from ev_marl.rl.torchrl import StationsEnv
    >>> env = StationsEnv(ev_marl.BatchedEnv("tiny", 4, n_days=16))
    >>> env.rollout(24)["next", "agents", "reward"].shape
    torch.Size([4, 24, 3, 1])
    """

    def __init__(
        self,
        batch: BatchedEnv,
        *,
        reward: RewardLike = "own",
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(device=device, batch_size=[batch.n_envs])
        self.batch = batch
        self.group_map = {GROUP: list(batch.agents)}
        self._reward = training_reward(reward, batch)
        self._actions = StationActions(batch)
        self._seed: int | None = None
        self._first: np.ndarray | None = None  # first observation of the day that follows one that has just ended
        self._make_specs()

    def _make_specs(self) -> None:
        rows, agents = self.batch.n_envs, len(self.batch.agents)
        stations = (rows, agents)
        space, width, n_levels = self.batch.single_observation_space, self._actions.width, self._actions.n_levels
        low, high = (torch.tensor(bound).expand(*stations, -1) for bound in (space.low, space.high))
        seen: dict[str, Any] = {
            "observation": Bounded(low, high, device=self.device),
            "present": Binary(width, (*stations, width), device=self.device, dtype=torch.bool),
        }
        if n_levels is None:
            action = Bounded(-1.0, 1.0, (*stations, width), device=self.device)
        else:
            action = Categorical(n_levels, (*stations, width), device=self.device)
            seen["action_mask"] = Binary(n_levels, (*stations, width, n_levels), device=self.device, dtype=torch.bool)

        def group(**leaves: Any) -> Composite:
            return Composite({GROUP: Composite(leaves, shape=stations)}, shape=(rows,), device=self.device)

        self.observation_spec = group(**seen)
        self.action_spec = group(action=action)
        self.reward_spec = group(reward=Unbounded((*stations, 1), device=self.device))
        flag = Categorical(2, (rows, 1), device=self.device, dtype=torch.bool)
        self.done_spec = Composite(
            {name: flag.clone() for name in ("done", "terminated", "truncated")}, shape=(rows,), device=self.device
        )

    def _reset(self, tensordict: TensorDictBase | None = None, **_: Any) -> TensorDictBase:
        chosen = None if tensordict is None else tensordict.get("_reset", None)
        if chosen is not None and not bool(chosen.all()):
            raise ValueError("all rows must be reset together")
        if self._first is None or self._seed is not None:
            self._first = self.batch.reset(self._seed)
            self._reward.reset(self.batch.simulator)
        observations = self._first
        self._seed = self._first = None
        return TensorDict({GROUP: self._seen(observations), **self._flags(False)}, [self.batch.n_envs])

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        actions = self._actions.join(tensordict[GROUP, "action"].detach().cpu().numpy())
        observations, rewards, _, truncated, info = self.batch.step(actions)
        over = bool(truncated[0])
        if info.final_observation is not None:
            self._first, observations = observations, info.final_observation
        else:
            self._first = None
        rewards = self._reward.step(rewards, info.flow, over, self.batch.simulator)
        seen = self._seen(observations, over)
        seen["reward"] = torch.tensor(rewards[..., None], device=self.device)
        return TensorDict({GROUP: seen, **self._flags(over)}, [self.batch.n_envs])

    def _set_seed(self, seed: int | None) -> None:
        """The next reset draws new days with this seed."""
        self._seed = seed

    def _seen(self, observations: np.ndarray, over: bool = False) -> TensorDict:
        """Inputs of the agents, copied, since the batch reuses its arrays."""
        stations = observations.shape[:2]
        present = torch.tensor(self._actions.present, device=self.device)
        seen = TensorDict(
            {
                "observation": torch.tensor(observations, device=self.device),
                "present": present.expand(*stations, -1).clone(),
            },
            stations,
            device=self.device,
        )
        if self._actions.n_levels is not None:
            # After the last step there is no action, and the batch is already at the start of the next day.
            mask = torch.ones(*stations, self._actions.width, self._actions.n_levels, dtype=torch.bool)
            if not over:
                mask = torch.tensor(self._actions.mask(self.batch.action_mask()))
            seen["action_mask"] = mask.to(self.device)
        return seen

    def _flags(self, over: bool) -> dict[str, torch.Tensor]:
        shape = (self.batch.n_envs, 1)
        no = torch.zeros(shape, dtype=torch.bool, device=self.device)
        return {"done": torch.full_like(no, over), "truncated": torch.full_like(no, over), "terminated": no}
