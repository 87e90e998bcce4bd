"""What a learned policy gets of a running simulator: observations in, and a way from its actions to setpoints.

The same blocks and the same meaning of actions as in the environments, for policies that were trained there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from ev_marl.env.actions import ActionCoder, ActionLike
from ev_marl.env.observations import BlockLike, Observer
from ev_marl.objective import Objective
from ev_marl.planning.own_plan import Worth
from ev_marl.scenario import Scenario
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site


class Senses:
    """Observations and actions of a scenario, on any simulator of its site.

    Parameters
    ----------
    scenario : Scenario
        Says what agents see and answer where the following do not.
    site : Site
        The site.
    objective : Objective
        Whose prices own plans weigh.
    observation, action
        As for `ChargingEnv`.
    trust : bool
        Whether blocks that `observation` names as module:Class may be imported.
    """

    def __init__(
        self,
        scenario: Scenario,
        site: Site,
        objective: Objective,
        observation: Sequence[BlockLike] | None = None,
        action: ActionLike | None = None,
        *,
        trust: bool = True,
    ) -> None:
        worth = Worth.of(objective)
        self.observer = Observer.from_scenario(scenario, site, observation, trust=trust)
        self.observer.weigh(worth)
        self.actions = ActionCoder.from_scenario(scenario, site, action, worth)
        self._n_agents = len(site.agents)

    @property
    def observation_space(self) -> spaces.Box:
        """Of one agent."""
        return self.observer.space

    def load(self, simulator: Simulator) -> None:
        """The simulator has new days."""
        self.observer.load(simulator.days)

    def fill(self, simulator: Simulator) -> None:
        """Bring the observations up to date with the coming step."""
        self.observer.fill(simulator)
        self._n_batch = simulator.n_batch

    def observations(self) -> np.ndarray:
        """What every agent sees, float32, shape (n_batch, n_agents, width)."""
        out = np.zeros((self._n_batch, self._n_agents, self.observer.width), dtype=np.float32)
        self.observer.observe(out)
        return out

    def state(self) -> np.ndarray:
        """Every number of the observations once, float32, shape (n_batch, n_features)."""
        out = np.zeros((self._n_batch, self.observer.n_features), dtype=np.float32)
        self.observer.observe_state(out)
        return out

    def setpoints(self, actions: np.ndarray, simulator: Simulator) -> np.ndarray:
        """Power that actions ask for, float64, shape (n_batch, n_ports) [kW]; reused by the next call."""
        return self.actions.setpoints(self.actions.check(actions, simulator.n_batch), simulator)
