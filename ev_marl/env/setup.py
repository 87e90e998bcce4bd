"""Everything that a scenario sets up, made once: site, world, coordinator, objective, network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.loop.setup import grid_loop
from ev_marl.objective import Objective
from ev_marl.planning.outlook import outlook_problems
from ev_marl.scenario import Scenario, ScenarioError, as_scenario
from ev_marl.scenario.problems import Places
from ev_marl.simulation.coordinators import Coordinator, make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import ArgumentError
from ev_marl.world import Track, World


@dataclass(frozen=True)
class Setting:
    """What every face of the environment starts from."""

    scenario: Scenario
    site: Site
    world: World
    coordinator: Coordinator
    objective: Objective
    grid: GridLoop | None = None  # what the network above does, where the scenario has one

    @classmethod
    def of(
        cls, scenario: str | Path | Scenario, *, coordinator: str | Coordinator | None = None, trust: bool = False
    ) -> Setting:
        """Set up a scenario.

        Parameters
        ----------
        scenario : str, Path or Scenario
            Name of a shipped scenario, path of a YAML file, or a loaded scenario.
        coordinator : str or Coordinator, optional
            Instead of the scenario's own.
        trust : bool
            Whether custom code that a scenario file names as module:Class may be run.

        Raises
        ------
        ScenarioError
            If the scenario has faults, all are listed; if the network that it names cannot be opened or solved; if it
            names custom code and is not trusted; if an outlook does not take its options; or if the coordinator lets
            limits be broken at no cost.
        ArgumentError
            If scenario or coordinator are of a wrong kind.
        """
        if not isinstance(scenario, str | Path | Scenario):
            raise ArgumentError(f"scenario is {scenario!r}; it must be the name of a scenario, a path or a Scenario")
        loaded = as_scenario(scenario, trust=trust)
        loaded.check_trust()
        problems = list(outlook_problems(loaded))
        if problems:
            raise ScenarioError(problems)
        site = Site.from_scenario(loaded)
        if coordinator is None:
            with loaded.places.blamed("coordinator"):
                decider = make_coordinator(loaded.coordinator, trust=loaded.trusted)
        elif isinstance(coordinator, Coordinator) and not isinstance(coordinator, type):
            decider = coordinator
        elif isinstance(coordinator, str):
            decider = make_coordinator(coordinator)
        else:
            raise ArgumentError(
                f"coordinator is {coordinator!r}; it must be a name, or an object with `name`, `enforces_limits` and "
                "`grant`"
            )
        if not decider.enforces_limits and loaded.objective.overload is None and not loaded.objective.extra:
            places = loaded.places if coordinator is None else Places()
            message = f"`{decider.name}` lets limits be broken; price that with `objective: {{overload: 2 EUR/kWh}}`"
            raise ScenarioError([places.problem(("coordinator",), message)])
        objective = Objective.from_scenario(loaded, decider)
        return cls(loaded, site, World(loaded, site), decider, objective, grid_loop(loaded, site))

    def simulator(self, tracks: Sequence[Track], running: Simulator | None = None) -> Simulator:
        """A simulator of these days, under the setting's coordinator and on its network.

        Parameters
        ----------
        tracks : sequence of Track
            The days.
        running : Simulator, optional
            One that was made here before: it is loaded with the days instead of making another.
        """
        if running is None:
            return Simulator(self.site.arrays, self.coordinator, tracks, self.grid)
        running.load(tracks)
        return running


class Built:
    """Base of the faces: what the scenario set up, by name, and copies that share what never changes."""

    setting: Setting

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        return self.setting.scenario

    @property
    def site(self) -> Site:
        """The site."""
        return self.setting.site

    @property
    def world(self) -> World:
        """Draws the days."""
        return self.setting.world

    @property
    def objective(self) -> Objective:
        """What counts."""
        return self.setting.objective

    @property
    def coordinator(self) -> Coordinator:
        """Who gets power when there is not enough."""
        return self.setting.coordinator

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy in the middle of the episode; scenario, site, world and the network's solvers are shared with it."""
        setting = self.setting
        shared: list[Any] = [setting.scenario, setting.site, setting.site.arrays, setting.world]
        if setting.grid is not None:
            shared += [setting.grid.backend, setting.grid.reference, setting.grid.taps]
        memo.update((id(part), part) for part in shared)
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin
