"""Many episodes at once, arrays in and arrays out: for training loops that want speed.

Comes in: actions for all ports of all rows. Goes out: observations, rewards and costs as arrays. Rows are in step: all
episodes have the same length, end together, and start anew by themselves on other days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gymnasium import spaces

from ev_marl.env.actions import ActionLike
from ev_marl.env.arguments import check_count, check_days, check_seed, check_tracks
from ev_marl.env.interface import Interface
from ev_marl.env.observations import BlockLike, ObservedFeature
from ev_marl.env.setup import Built, Setting
from ev_marl.objective import Costs
from ev_marl.planning.outlook import ComposedOutlook
from ev_marl.scenario import Scenario
from ev_marl.simulation.coordinators import Coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.world import Track

MOST_DAYS = 1_000_000
"""Days in a pool."""
MOST_OBSERVED_AT_ONCE = 2_000_000_000
"""Numbers that the agents of all rows observe together, 8 GB."""


@dataclass(slots=True)
class StepInfo:
    """Results of a step besides rewards; B rows, A agents. The next step reuses the arrays of `flow`, and `costs`."""

    costs: np.ndarray  # float64 (n_terms, B, A)  by term, in the order of `cost_names` [currency]
    flow: Flow  # powers and energies
    final_observation: np.ndarray | None  # float32 (B, A, W)  of the episode that ended with this step
    episode_return: np.ndarray | None  # float64 (B, A)  of the episode that ended with this step [currency]
    action_mask: np.ndarray | None  # int8 (B, P, n_levels)  for the coming step, where actions are levels


class BatchedEnv(Built):
    """A batch of episodes of one scenario.

    Parameters
    ----------
    scenario : str, Path or Scenario
        Name of a shipped scenario, path of a YAML file, or a loaded scenario.
    n_envs : int
        Rows B.
    n_days : int
        Days in the pool from which every row draws its next episode.
    seed : int
        Of the pool and of the rows' draws; used by the first reset without a seed.
    refresh : bool
        Draw a new pool whenever the rows have started as many episodes as it has days. Off, the pool stays the same.
    max_cycles : int, optional
        Cut episodes after so many steps [steps].
    coordinator, observation, action
        As for `ChargingEnv`.
    tracks : sequence of Track, optional
        The pool, instead of drawing it.
    trust : bool
        As for `ChargingEnv`.
    copy : bool
        Return copies of observations and costs. Off, observations lie in two buffers used in turn, so that those of one
        step are valid until the step after the next, and the next step reuses the costs. Rewards are always new arrays.

    Attributes
    ----------
    agents : tuple of str, length A
    ports : tuple of str, length P
    cost_names : tuple of str
    setting : Setting
        What the scenario sets up.
    single_observation_space, single_action_space, state_space
        Of one agent (Box, shape (W,)), of all ports of one row, and of `state`.
    n_compact_features : int
        Numbers of the compact state.
    n_levels : int or None
        Levels of each port, where actions are levels.
    """

    def __init__(
        self,
        scenario: str | Path | Scenario,
        n_envs: int,
        *,
        n_days: int = 256,
        seed: int = 0,
        refresh: bool = False,
        max_cycles: int | None = None,
        coordinator: str | Coordinator | None = None,
        observation: Sequence[BlockLike] | None = None,
        action: ActionLike | None = None,
        tracks: Sequence[Track] | None = None,
        trust: bool = False,
        copy: bool = False,
    ) -> None:
        self.n_envs, self.n_days = check_count("n_envs", n_envs), check_count("n_days", n_days, MOST_DAYS)
        setting = Setting.of(scenario, coordinator=coordinator, trust=trust)
        self.setting = setting
        self.refresh = refresh
        self.max_cycles = setting.scenario.n_steps if max_cycles is None else check_count("max_cycles", max_cycles)
        self.agents = self.site.agents
        self.ports = self.site.ports
        self.cost_names = self.objective.names
        self.tracks: list[Track] = []
        self._given = None if tracks is None else check_tracks(tracks, self.world)
        self._seed = check_seed(seed)
        self._copy = copy
        self._interface = Interface(setting.scenario, setting.site, setting.objective, observation, action)
        width = self._interface.observer.width
        check_count("n_envs", n_envs, MOST_OBSERVED_AT_ONCE // max(1, len(self.agents) * width))
        self.single_observation_space: spaces.Box = self._interface.observer.space
        self.single_action_space = self._interface.actions.joint_space
        self.state_space: spaces.Box = self._interface.observer.state_space
        self.n_compact_features = self._interface.observer.n_compact_features
        levels = self._interface.actions.levels
        self.n_levels = None if levels is None else len(levels)
        self._buffers = [np.zeros((n_envs, len(self.agents), width), dtype=np.float32) for _ in range(2)]
        self._costs = Costs(len(self.cost_names), n_envs, self.site.arrays)
        self._returns = np.zeros((n_envs, len(self.agents)))
        self._over = np.zeros(n_envs, dtype=bool)
        self._rng: np.random.Generator | None = None

    @property
    def simulator(self) -> Simulator:
        """Runs the rows; there is none before the first reset."""
        return self._interface.simulator

    @property
    def outlook(self) -> ComposedOutlook:
        """The outlook on the rest of the episodes."""
        return self._interface.outlook

    @property
    def day(self) -> np.ndarray:
        """Index into `tracks` of each row's day, int64, shape (n_envs,)."""
        return self._interface.simulator.state.day

    def reset(self, seed: int | None = None, *, day: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Start all episodes.

        Parameters
        ----------
        seed : int, optional
            Draw a new pool and new days for the rows; left out, the constructor's at first, and later the rows go on
            drawing from the same pool.
        day : int64, shape (n_envs,), optional
            Index into the pool for each row, instead of drawing.

        Returns
        -------
        float32, shape (n_envs, n_agents, width)
            Observations.
        """
        if (seed := check_seed(seed)) is not None or self._rng is None:
            self._rng = np.random.default_rng(self._seed if seed is None else seed)
            self._fill_pool()
        self._restart(day)
        return self._observe()

    def load(self, tracks: Sequence[Track]) -> None:
        """Replace the pool of days; the next reset without a seed starts from it.

        Parameters
        ----------
        tracks : sequence of Track
            At least one.
        """
        self._given = check_tracks(tracks, self.world)
        if self._rng is None:
            self._rng = np.random.default_rng(self._seed)
        self._fill_pool()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, StepInfo]:
        """Run one step of every row; rows that end start anew at once.

        Parameters
        ----------
        actions : array_like, shape (n_envs, n_ports)
            Shares or levels, as for `ChargingEnv`; for bids (n_envs, n_ports · numbers of a bid), port by port.

        Returns
        -------
        observations : float32, shape (n_envs, n_agents, width)
            After an end, the first of the next episode; the last of the old one is `info.final_observation`.
        rewards : float64, shape (n_envs, n_agents)
            [currency]
        terminated, truncated : bool, shape (n_envs,)
            All rows alike; nothing is ever terminated.
        info : StepInfo
            Costs by term, powers, and what ended.

        Raises
        ------
        ActionError
            If the shape is wrong, or a value is not finite or no level; the message names the agent.
        """
        interface = self._interface
        flow = interface.simulator.step(interface.setpoints(actions))
        rewards, costs = self.objective.evaluate(flow, self._costs)
        interface.refresh()
        self._returns += rewards
        info = StepInfo(costs.copy() if self._copy else costs, flow, None, None, None)
        over = flow.last or flow.step + 1 >= self.max_cycles
        if over:
            info.final_observation = np.zeros_like(self._buffers[0])
            interface.observer.observe(info.final_observation)
            info.episode_return = self._returns.copy()
            self._restart(None)
        if interface.actions.levels is not None:
            info.action_mask = interface.actions.level_mask(interface.simulator.state)
        truncated = np.full(self.n_envs, over)
        return self._observe(), rewards, self._over.copy(), truncated, info

    def action_mask(self) -> np.ndarray:
        """Which levels have an effect in the coming step, int8, shape (n_envs, n_ports, n_levels).

        Raises
        ------
        ActionError
            If actions are not levels.
        """
        return self._interface.actions.level_mask(self._interface.simulator.state)

    def state(self, *, compact: bool = False) -> np.ndarray:
        """Every number of the observations once, float32, shape (n_envs, n_features).

        Parameters
        ----------
        compact : bool
            Only what is about the site and its groups (blocks such as `prices`, `headroom`, `demand`), whose size does
            not grow with the number of stations.
        """
        return self._interface.compact_state() if compact else self._interface.state()

    def observation_labels(self, agent: str) -> list[str]:
        """Names of the numbers of the agent's observation, such as "ports.0.state_of_charge"."""
        return self._interface.observer.labels(agent)

    def observation_table(self) -> list[ObservedFeature]:
        """Label, bounds and meaning of each number of an observation."""
        return self._interface.observer.table()

    def state_labels(self) -> list[str]:
        """Names of the numbers of the state, such as "ports.ac_0/0.state_of_charge"."""
        return [number.label for number in self._interface.observer.state_table()]

    def _fill_pool(self) -> None:
        assert self._rng is not None
        if self._given is None:
            seeds = self._rng.integers(2**63, size=self.n_days)
            self.tracks = [self.world.episode(int(seed)) for seed in seeds]
        else:
            self.tracks = self._given
        self._interface.attach(self.setting.simulator(self.tracks, self._interface.running), self.world)
        self._played = 0

    def _restart(self, day: Sequence[int] | np.ndarray | None) -> None:
        assert self._rng is not None
        if self.refresh and self._given is None and self._played >= self.n_days:
            self._fill_pool()
        if day is None:
            day = self._rng.integers(len(self.tracks), size=self.n_envs)
        chosen = check_days(day, self.n_envs, len(self.tracks))
        self.simulator.reset(chosen)
        self._interface.refresh()
        self._played += self.n_envs
        self._returns[:] = 0.0

    def _observe(self) -> np.ndarray:
        self._buffers.reverse()
        out = self._buffers[0]
        self._interface.observer.observe(out)
        return out.copy() if self._copy else out
