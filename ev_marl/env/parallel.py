"""The PettingZoo parallel environment: all stations act at once.

A scenario comes in; dicts of observations, rewards and infos by agent go out. Everything is computed on arrays; the
dicts are made at the very end.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from pettingzoo import ParallelEnv

from ev_marl.env.face import Face
from ev_marl.env.observations import ObservedFeature
from ev_marl.env.render import RENDER_MODES
from ev_marl.objective.objective import LAST_BIT

Infos = dict[str, dict[str, Any]]


class ChargingEnv(Face, ParallelEnv):  # type: ignore[misc]  # PettingZoo carries no types
    """Every charging station of a site is an agent.

    **Agents** are the stations, `ac_0`, `dc_3`, ...: the letters are the station's type. All of them live for the whole
    episode, whether vehicles are connected or not.

    **Action.** Continuous (default): a Box in [−1, 1] with one number for each port of the station, the share of its
    rated charging power (above 0) or discharging power (below 0; 0 without V2G). `fraction`: the same, as share of
    what the port can do in this step. Levels: `Discrete` (one port) or `MultiDiscrete` (several), with
    `infos[agent]["action_mask"]` for `action_space(agent).sample(mask)`. What is asked of an empty port is 0, and the
    coordinator may grant less than is asked.

    **Observation.** A float32 Box, the same for all agents, made of the scenario's blocks; `observation_labels(agent)`
    names every number, `observation_table()` explains them. Ports and groups that an agent does not have are 0.

    **Reward.** Minus the agent's part of every cost, in the scenario's currency. The sum over the agents is the team's
    reward. `infos[agent]` holds the agent's cost of the step by term, such as `infos["ac_0"]["energy_cost"]`.

    **Episode.** One day (`track`) of the scenario's world, drawn completely at `reset`. It is truncated after the last
    step, never terminated: the world goes on. The last step settles every wish that is due by then.

    **State.** `state()` holds every number of the observations once, in float32; `state_labels()` names them.

    Parameters
    ----------
    scenario : str, Path or Scenario
        Name of a shipped scenario, path of a YAML file, or a loaded scenario.
    render_mode : {"ansi", "rgb_array", "human"}, optional
        "ansi" and "rgb_array": `render()` returns a table or a picture; "human": it prints the table.
    max_cycles : int, optional
        Cut episodes after so many steps [steps]; left out, the scenario's horizon. What is due later is not settled.
    coordinator : str or Coordinator, optional
        Instead of the scenario's own.
    observation : sequence of blocks, optional
        Instead of the scenario's own: names, entries as in a scenario file, or `ObservationBlock`s.
    action : "continuous", "fraction", int, sequence of float or Levels, optional
        Instead of the scenario's own; a number or a sequence means levels.
    tracks : sequence of Track, optional
        Fixed days that the episodes go through in turn, instead of drawing them.
    trust : bool
        Whether custom code that a scenario file names as module:Class may be run.

    Attributes
    ----------
    scenario, site, world, objective, coordinator
        What the scenario set up.
    track : Track
        The day that is being played.
    simulator : Simulator
        Runs it; its arrays are shape (1, ...).
    max_cycles : int
        May be changed at any time.

    Raises
    ------
    ArgumentError
        If an argument is of a wrong kind; the message says what is allowed.
    ActionError
        By `step`, if an action is missing, not finite, or of the wrong shape; the message names the agent.

    Examples
    --------
    >>> import ev_marl
    >>> env = ev_marl.parallel_env("tiny")
    >>> observations, infos = env.reset(seed=7)
    >>> while env.agents:
    ...     actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    ...     observations, rewards, terminations, truncations, infos = env.step(actions)
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "charging_v0",
        "render_modes": list(RENDER_MODES),
        "render_fps": 4,
        "is_parallelizable": True,
    }

    def _define_spaces(self) -> None:
        self.possible_agents = list(self.site.agents)
        self.agents: list[str] = []
        self.state_space = self._interface.observer.state_space
        # One space for each agent: equal, but with a random generator of its own.
        self._observation_spaces = {agent: copy(self._interface.observer.space) for agent in self.site.agents}
        self._action_spaces = self._interface.actions.spaces
        self._has_masks = self._interface.actions.levels is not None
        # Copying a dict takes a fraction of the time of making one, and dicts are most of a step's time.
        self._false = dict.fromkeys(self.possible_agents, False)
        self._true = dict.fromkeys(self.possible_agents, True)
        self._free: dict[str, Any] = dict.fromkeys(self.objective.names, 0.0)
        self._np_random: np.random.Generator | None = None

    def observation_space(self, agent: str) -> spaces.Box:
        """The agent's observation space, always the same object."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The agent's action space, always the same object."""
        return self._action_spaces[agent]

    @property
    def np_random(self) -> np.random.Generator:
        """Random numbers for wrappers, started by the seed of a reset; the days are drawn by another generator."""
        if self._np_random is None:
            self._np_random, _ = seeding.np_random()
        return self._np_random

    def reset(
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], Infos]:
        """Start an episode.

        Parameters
        ----------
        seed : int, optional
            The day is `world.sample(seed)`; later resets without a seed draw theirs from a generator that it started.
        options : mapping, optional
            `{"track": track}` plays a given day. Other keys are ignored.

        Returns
        -------
        observations, infos : dict
            By agent.

        Raises
        ------
        ArgumentError
            If seed or options are of a wrong kind.
        TrackError
            If the given track does not fit the site.
        """
        self._begin(seed, options)
        if seed is not None:
            self._np_random, _ = seeding.np_random(int(seed))
        self.agents = self.possible_agents[:]
        return self._observations(), self._infos(self._costs.by_agent[:, 0], charged=0)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Run one step.

        Parameters
        ----------
        actions : mapping of str to array_like
            One action for every agent.

        Returns
        -------
        observations, rewards, terminations, truncations, infos : dict
            By agent, in the last step too.

        Raises
        ------
        ActionError
            If an action is missing, not finite, of the wrong shape, or no level.
        """
        agents = self.agents
        if not agents:
            if self._interface.running is None:
                raise RuntimeError("there is no episode before the first reset; call reset() first")
            return {}, {}, {}, {}, {}
        rewards, costs, over = self._run(self._interface.read(actions))
        result = (
            self._observations(),
            dict(zip(agents, rewards[0].tolist(), strict=False)),
            self._false.copy(),
            (self._true if over else self._false).copy(),
            self._infos(costs[:, 0], self._costs.charged),
        )
        if over:
            self.agents = []
        return result

    def state(self) -> np.ndarray:
        """Every number of the observations once, float32, shape (n_features,)."""
        state: np.ndarray = self._interface.state()[0]
        return state

    @property
    def action_levels(self) -> np.ndarray | None:
        """Share of the rated power of each level, float64, shape (n_levels,); None without levels."""
        return self._interface.actions.levels

    def observation_labels(self, agent: str) -> list[str]:
        """Names of the numbers of the agent's observation, such as "ports.0.state_of_charge"."""
        return self._interface.observer.labels(agent)

    def observation_table(self) -> list[ObservedFeature]:
        """Label, bounds and meaning of each number of an observation."""
        return self._interface.observer.table()

    def state_labels(self) -> list[str]:
        """Names of the numbers of the state, such as "ports.ac_0/0.state_of_charge"."""
        return [number.label for number in self._interface.observer.state_table()]

    def __str__(self) -> str:
        return f"charging_v0<{self.scenario.name}>"

    def _observations(self) -> dict[str, np.ndarray]:
        # As many rows as agents; asking for that again (strict) takes a tenth of the time.
        return dict(zip(self.possible_agents, self._interface.observations()[0], strict=False))

    def _infos(self, costs: np.ndarray, charged: int) -> Infos:
        """Each agent's costs and mask; costs are of shape (n_terms, n_agents), see `Costs.charged` for the other."""
        free = self._free
        infos = {agent: free.copy() for agent in self.possible_agents}
        for i, name in enumerate(free):
            if charged >> min(i, LAST_BIT) & 1:
                for info, cost in zip(infos.values(), costs[i].tolist(), strict=False):
                    info[name] = cost
        if self._has_masks:
            masks = self._interface.actions.masks(self._interface.simulator.state)
            for info, mask in zip(infos.values(), masks, strict=True):
                info["action_mask"] = mask
        return infos


parallel_env = ChargingEnv
"""PettingZoo's name for the constructor of a parallel environment."""
