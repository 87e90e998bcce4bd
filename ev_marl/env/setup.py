"""Everything that a scenario sets up, made once: site, world, coordinator, objective."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ev_marl.coordinator import Coordinator, make_coordinator
from ev_marl.objective import Objective
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.site import Site
from ev_marl.world import World


@dataclass(frozen=True)
class Setting:
    """What every face of the environment starts from."""

    scenario: Scenario
    site: Site
    world: World
    coordinator: Coordinator
    objective: Objective

    @classmethod
    def of(cls, scenario: str | Path | Scenario, *, coordinator: str | Coordinator | None = None) -> Setting:
        """Set up a scenario.

        Parameters
        ----------
        scenario : str, Path or Scenario
            Name of a shipped scenario, path of a YAML file, or a loaded scenario.
        coordinator : str or Coordinator, optional
            Instead of the scenario's own.

        Raises
        ------
        ScenarioError
            If the scenario has faults; all are listed.
        """
        loaded = scenario if isinstance(scenario, Scenario) else load_scenario(scenario)
        site = Site.from_scenario(loaded)
        chosen = loaded.coordinator if coordinator is None else coordinator
        decider = make_coordinator(chosen) if not isinstance(chosen, Coordinator) else chosen
        return cls(loaded, site, World(loaded, site), decider, Objective.from_scenario(loaded, decider))
