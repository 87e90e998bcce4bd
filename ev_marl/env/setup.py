"""Everything that a scenario sets up, made once: site, world, coordinator, objective, network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.loop.setup import grid_loop
from ev_marl.objective import Objective
from ev_marl.scenario import Scenario, ScenarioError, as_scenario
from ev_marl.scenario.problems import Places
from ev_marl.simulation.coordinators import Coordinator, make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world import Track, World


@dataclass(frozen=True)
class Setting:
    """What every face of the environment starts from."""

    scenario: Scenario
    site: Site
    world: World
    coordinator: Coordinator
    objective: Objective
    network: GridLoop | None = None  # what the network above does, where the scenario has one

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
            Whether code of its own that a scenario file names as module:Class may be run.

        Raises
        ------
        ScenarioError
            If the scenario has faults, all are listed; if the network that it names cannot be opened or solved; if it
            names code of its own and is not trusted; or if the coordinator lets limits be broken at no cost.
        """
        loaded = as_scenario(scenario, trust=trust)
        loaded.check_trust()
        site = Site.from_scenario(loaded)
        if coordinator is None:
            with loaded.places.blamed("coordinator"):
                decider = make_coordinator(loaded.coordinator, trust=loaded.trusted)
        else:
            decider = coordinator if isinstance(coordinator, Coordinator) else make_coordinator(coordinator)
        if not decider.enforces_limits and loaded.objective.overload is None and not loaded.objective.extra:
            places = loaded.places if coordinator is None else Places()
            message = f"`{decider.name}` lets limits be broken; price that with `objective: {{overload: 2 EUR/kWh}}`"
            raise ScenarioError([places.problem(("coordinator",), message)])
        objective = Objective.from_scenario(loaded, decider)
        return cls(loaded, site, World(loaded, site), decider, objective, grid_loop(loaded, site))

    def simulator(self, tracks: Sequence[Track]) -> Simulator:
        """A simulator of these days, under the setting's coordinator and on its network."""
        return Simulator(self.site.arrays, self.coordinator, tracks, self.network)
