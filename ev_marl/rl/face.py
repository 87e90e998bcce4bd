"""The batched environment for training: observations, unclipped actions, training rewards, whole days at a time.

A training configuration and a scenario come in. Agents are the stations, or one for the whole site; each belongs to a
module, the network that decides for it. Training days are drawn from seeds that depend only on the number of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from pydantic import TypeAdapter

from ev_marl.env.batched import BatchedEnv
from ev_marl.env.blocks import Plans
from ev_marl.env.observations import make_block
from ev_marl.optimum import solve_day
from ev_marl.planning.worth import Worth
from ev_marl.policies.learned import SITE, PolicyFile
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.rewards import TrainingReward
from ev_marl.rl.stations import StationActions
from ev_marl.scenario import Scenario
from ev_marl.scenario.schema import Action, Bid, Block
from ev_marl.support.errors import OptionError
from ev_marl.support.package import __version__
from ev_marl.world import Track
from ev_marl.world.seeds import training_seeds

STATION = "station"  # the module that all stations share


@dataclass(frozen=True)
class Module:
    """The agents of one network."""

    name: str
    agents: np.ndarray  # int64 (n,)  their numbers


def modules_of(config: TrainingConfig, stations: Sequence[str]) -> tuple[Module, ...]:
    """The modules and their agents; stations are named by their type and a number, such as "ac_0"."""
    if config.agents == "central":
        return (Module(SITE, np.zeros(1, dtype=np.int64)),)
    if config.agents == "shared":
        return (Module(STATION, np.arange(len(stations))),)
    types = [station.rpartition("_")[0] for station in stations]
    return tuple(
        Module(kind, np.array([a for a, other in enumerate(types) if other == kind])) for kind in dict.fromkeys(types)
    )


class TrainingFace:
    """Batches of training days; B rows, A agents, W numbers of an observation, K of an action, S of the critic's state.

    Parameters
    ----------
    config : TrainingConfig
        Observations, actions and rewards.
    scenario : Scenario
        The scenario.
    n_envs : int
        Rows B.
    seed : int
        Of the training run.
    worker : int
        Number of the process, where there are several.
    """

    def __init__(self, config: TrainingConfig, scenario: Scenario, n_envs: int, seed: int, worker: int = 0) -> None:
        self.config = config
        self.central = config.agents == "central"
        blocks = [make_block(block) for block in config.observation or scenario.observation]
        self.env = BatchedEnv(
            scenario,
            n_envs,
            coordinator=config.coordinator,
            observation=blocks,
            action=config.action,
        )
        if config.algorithm == "dqn" and self.env.n_levels is None:
            raise OptionError(
                f"algorithm dqn chooses among levels, and scenario '{scenario.name}' has none; "
                "add to the training file, for instance, action: {levels: [-1, 0, 0.5, 1]}"
            )
        if config.reward.credit == "shadow_prices" and scenario.grid is not None:
            raise OptionError(
                f"reward.credit: shadow_prices are those of groups, but scenario '{scenario.name}' also has the limits "
                "of a network (`grid:`), whose congestion they do not include; remove `credit`"
            )
        self.n_envs = n_envs
        self.agents = (SITE,) if self.central else self.env.agents
        self.modules = modules_of(config, self.env.agents)
        self._stations = StationActions(self.env)
        self.observation_space: spaces.Box = self.env.state_space if self.central else self.env.single_observation_space
        self.action_space = self.env.single_action_space if self.central else self._stations.space
        self.n_state = self.env.n_compact_features if config.critic == "state" else 0
        plans = next((block for block in blocks if isinstance(block, Plans) and block.trust == 1.0), None)
        self._reward = TrainingReward(config.reward, Worth.of(self.env.objective), self.env.outlook, plans)
        action: Any = scenario.action if config.action is None else config.action
        self._hold_steps = action.bid.hold_steps if isinstance(action, Bid) else 1
        self._seed, self._worker = seed, worker
        self._replicas = min(config.sampling.replicas, n_envs)
        self._pool: list[Track] | None = None

    @property
    def n_steps(self) -> int:
        """T."""
        return self.env.max_cycles

    def description(self) -> PolicyFile:
        """The content of `policy.json` for what is trained here."""
        config, scenario = self.config, self.env.scenario
        observation = scenario.observation if config.observation is None else config.observation
        action = scenario.action if config.action is None else config.action
        coordinator = scenario.coordinator if isinstance(scenario.coordinator, str) else scenario.coordinator.name
        space: Any = self.action_space
        return PolicyFile(
            format=1,
            ev_marl=__version__,
            name=config.name,
            scenario=scenario.name,
            coordinator=config.coordinator or coordinator,
            agents=config.agents,
            observation=TypeAdapter(list[Block]).dump_python(observation, mode="json"),
            action=TypeAdapter(Action).dump_python(action, mode="json"),
            modules={module.name: [self.agents[a] for a in module.agents] for module in self.modules},
            labels=self.env.state_labels() if self.central else [row.label for row in self.env.observation_table()],
            n_actions=int(space.shape[0]) if space.shape else 1,
            n_levels=self.env.n_levels,
            activation=config.neural_network.activation,
        )

    def days(self, batch: int) -> list[Track]:
        """The days of a batch."""
        if self.config.sampling.days is None:
            seeds = training_seeds(self._seed, self.n_envs // self._replicas, batch, self._worker)
            return [self.env.world.sample(seed) for seed in seeds]
        if self._pool is None:
            self._pool = self.env.world.draw(self._seed, self.config.sampling.days, "train")
            self._load_pool(self._pool)
        return self._pool

    def start(self, batch: int) -> np.ndarray:
        """Start the days of a batch; observations, float32, shape (B, A, W)."""
        days = self.days(batch)
        if days is not self._pool:
            self.env.load(days)
            row_days = np.repeat(np.arange(len(days)), self._replicas)
        else:
            rng = np.random.default_rng((self._seed, self._worker, batch))
            row_days = np.repeat(rng.integers(len(days), size=self.n_envs // self._replicas), self._replicas)
        return self.play(row_days)

    def play(self, days: np.ndarray) -> np.ndarray:
        """Start some of the loaded days."""
        observations = self.env.reset(day=days)
        self._reward.reset(self.env.simulator)
        return self._seen(observations)

    def state(self) -> np.ndarray:
        """Input of the critic only, float32, shape (B, S)."""
        return self.env.state(compact=True)

    def ability(self) -> list[list[int]]:
        """Two columns of an agent's observation for each of its actions: the action has an effect where one of them is
        not 0. Empty if the observation has no such columns."""
        env = self.env
        if self.central:
            labels, ports = env.state_labels(), [f"ports.{port}" for port in env.ports]
        else:
            labels = [row.label for row in env.observation_table()]
            most = int(np.diff(env.site.arrays.station_first_port).max())
            ports = [f"ports.{k}" for k in range(most)]
        if f"{ports[0]}.up" not in labels or env.n_levels is not None:
            return []
        n_actions = self.action_space.shape[0] if self.action_space.shape else 1
        each = n_actions // len(ports)
        return [[labels.index(f"{port}.{way}") for port in ports for _ in range(each)] for way in ("up", "down")]

    def able(self) -> np.ndarray:
        """Whether each agent can have an effect in the coming step, at some port; bool, shape (B, A)."""
        simulator = self.env.simulator
        able = (simulator.state.hi_kw > 0.0) | (simulator.state.lo_kw < 0.0)
        if simulator.state.step % self._hold_steps:
            able[:] = False
        whose: np.ndarray
        if self.central:
            whose = np.asarray(able.any(axis=1, keepdims=True))
            return whose
        whose = np.logical_or.reduceat(able, self.env.site.arrays.station_first_port[:-1], axis=1)
        return whose

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """Run a step.

        Parameters
        ----------
        actions : shape (B, A, K)
            As sampled; clipped to the bounds of the space.

        Returns
        -------
        observations : float32, shape (B, A, W)
            After the last step, those at the end of the day; zeros for a central agent.
        rewards : float32, shape (B, A)
            Training rewards.
        returns : float64, shape (B,)
            Team's reward of the step, by the objective of the scenario [currency].
        over : bool
            Whether that was the last step of the day.
        """
        if isinstance(self.action_space, spaces.Box):
            actions = np.clip(actions, -1.0, 1.0)
        flat = actions.reshape(self.n_envs, -1) if self.central else self._stations.join(actions)
        observations, rewards, _, truncated, info = self.env.step(flat)
        over = bool(truncated[0])
        shaped = self._reward.step(rewards, info.flow, over, self.env.simulator)
        if self.central:
            shaped = shaped.sum(axis=1, keepdims=True)
        if over:
            assert info.final_observation is not None
            last = np.zeros((self.n_envs, 1, self.observation_space.shape[0]), dtype=np.float32)
            seen = last if self.central else info.final_observation
        else:
            seen = self._seen(observations)
        return seen, shaped, rewards.sum(axis=1), over

    def _seen(self, observations: np.ndarray) -> np.ndarray:
        return self.env.state()[:, None, :] if self.central else observations

    def _load_pool(self, pool: Sequence[Track]) -> None:
        self.env.load(pool)
        if self.config.reward.credit == "shadow_prices":
            solutions = [solve_day(self.env.setting, track) for track in pool]
            self._reward.load(
                np.stack([solution.shadow_prices for solution in solutions]),
                np.stack([solution.export_shadow_prices for solution in solutions]),
            )
