"""The scenario of a command that needs a network."""

from __future__ import annotations

from ev_marl.scenario import Scenario, load_scenario
from ev_marl.scenario.choices import GridCoordinator
from ev_marl.scenario.schema.grid import Grid
from ev_marl.support.errors import NetworkError


def with_grid(scenario: str, grid_coordinator: GridCoordinator | None = None, *, trust: bool) -> tuple[Scenario, Grid]:
    """A scenario with a network, and with another grid coordinator if one is given.

    Raises
    ------
    NetworkError
        If it has no `grid`.
    """
    loaded = load_scenario(scenario, trust=trust)
    if loaded.grid is None:
        raise NetworkError(
            f"scenario '{loaded.name}' has no network; add `grid:`, or use a scenario that has it, such as street-lv"
        )
    if grid_coordinator is not None:
        grid = loaded.grid.model_copy(update={"coordinator": grid_coordinator})
        loaded = loaded.model_copy(update={"grid": grid})
    assert loaded.grid is not None
    return loaded, loaded.grid
