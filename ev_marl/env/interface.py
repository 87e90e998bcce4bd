"""Between agents and a simulator: what they observe, and the power that their actions ask for.

Comes in: a simulator that runs, and actions. Goes out: observations, states and setpoints as arrays. The faces of the
environment differ only in how they hand these over; a learned policy uses the same interface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ev_marl.env.actions import ActionCoder, ActionLike
from ev_marl.env.observations import BlockLike, Observer
from ev_marl.objective import Objective
from ev_marl.planning.outlook import Kind, Truth, make_outlook
from ev_marl.planning.worth import Worth
from ev_marl.scenario import Scenario
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world import World


class Interface:
    """Observations and actions of a scenario, on any simulator of its site.

    Parameters
    ----------
    scenario : Scenario
        Says what agents observe and answer where the following do not.
    site : Site
        The site.
    objective : Objective
        Gives the prices that own plans weigh.
    observation : sequence of blocks, optional
        Instead of the scenario's own.
    action : kind of action, optional
        Instead of the scenario's own.
    trust : bool
        Whether blocks that `observation` names as module:Class may be imported.

    Attributes
    ----------
    observer : Observer
        Puts the observations together.
    actions : ActionCoder
        Says what actions mean.
    outlook : ComposedOutlook
        The outlook on later steps.
    running : Simulator or None
        The simulator that is observed; None before the first day.
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
        self.outlook = make_outlook(scenario.outlook, trust=scenario.trusted)
        self._n_agents = len(site.agents)
        self.running: Simulator | None = None

    @property
    def simulator(self) -> Simulator:
        """The simulator that is observed.

        Raises
        ------
        RuntimeError
            Before the first reset, since a simulator needs a day.
        """
        if self.running is None:
            raise RuntimeError("there is no simulator before the first reset; call reset() first")
        return self.running

    @property
    def looks_at(self) -> set[Kind]:
        """Kinds of later values in what agents observe, and in what their answers mean."""
        return self.observer.looks_at | self.actions.looks_at

    def attach(self, simulator: Simulator, world: World | None = None) -> None:
        """Observe this simulator from now on; call it again when the simulator has new days.

        Parameters
        ----------
        simulator : Simulator
            Loaded with days.
        world : World, optional
            The scenario's models, for what is expected of later steps.
        """
        self.running = simulator
        self.outlook.begin(Truth.of(simulator), world)
        self.observer.load(simulator.days, self.outlook, simulator.grid)
        self.actions.look(self.outlook)

    def refresh(self) -> None:
        """Bring the observations up to date with the coming step."""
        self.observer.fill(self.simulator.state)

    def observations(self) -> np.ndarray:
        """What every agent observes, as of the last `refresh`, float32, shape (n_batch, n_agents, width)."""
        observer = self.observer
        out = np.empty((observer.n_batch, self._n_agents, observer.width), dtype=np.float32)
        observer.observe(out)
        return out

    def state(self) -> np.ndarray:
        """Every number of the observations once, float32, shape (n_batch, n_features)."""
        out = np.empty((self.simulator.n_batch, self.observer.n_features), dtype=np.float32)
        self.observer.observe_state(out)
        return out

    def compact_state(self) -> np.ndarray:
        """What the observations say of the site and its groups, float32, shape (n_batch, n_compact_features)."""
        out = np.empty((self.simulator.n_batch, self.observer.n_compact_features), dtype=np.float32)
        self.observer.observe_compact_state(out)
        return out

    def read(self, actions: Mapping[str, Any]) -> np.ndarray:
        """Power that the actions of all agents ask for, float64, shape (1, n_ports) [kW]; reused by the next call.

        Raises
        ------
        ActionError
            If an action is missing, has the wrong shape or type, is not finite, or is no level.
        """
        simulator = self.simulator
        return self.actions.read(actions, simulator.state, simulator.days)

    def setpoints(self, actions: np.ndarray) -> np.ndarray:
        """Power that actions ask for, float64, shape (n_batch, n_ports) [kW]; reused by the next call.

        Raises
        ------
        ActionError
            If the shape is wrong, or a value is not finite or no level; the message names the agent.
        """
        simulator = self.simulator
        return self.actions.setpoints(actions, simulator.state, simulator.days)
