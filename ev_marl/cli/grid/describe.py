"""Show the network of a scenario: elements, limits, chargers, backend and its agreement with pandapower."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ev_marl.cli.options import AsJson, Overwrite, ScenarioName, Trust
from ev_marl.cli.output import check_new, console, print_json, say

EXAMPLES = ("ev-marl grid describe street-lv", "ev-marl grid describe my_site.yaml --plot net.png")


def command(
    scenario: ScenarioName,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the network, as PNG.")] = None,
    top: Annotated[int, typer.Option("--top", min=0, help="How many buses with chargers to list.")] = 12,
    overwrite: Overwrite = False,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    import ev_marl.grid.model.sources  # noqa: F401  first: it says how to install pandapower
    from ev_marl.cli.grid.tables import print_facts
    from ev_marl.cli.grid.with_grid import with_grid
    from ev_marl.env.setup import Setting
    from ev_marl.grid.studies.describe import grid_facts, idle_day
    from ev_marl.grid.studies.map import draw_network

    if plot is not None:
        check_new(plot, overwrite=overwrite)
    loaded, grid = with_grid(scenario, trust=trust)
    setting = Setting.of(loaded)
    network, loop = setting.site.network, setting.grid
    assert network is not None  # the scenario has a grid
    assert loop is not None
    facts = grid_facts(setting.site, loop)
    if as_json:
        print_json({"scenario": loaded.name, "grid": grid.model_dump(mode="json"), **asdict(facts)})
    else:
        print_facts(console(), grid, facts, idle_day(loop, setting.world.sample(0)), top)
    if plot is not None:
        values = np.full(loop.spec.n_buses, np.nan)
        values[loop.spec.charger_bus] = 1e3 * loop.sensitivity_pu_per_kw
        picture = draw_network(
            network,
            values,
            "Change of the bus's own voltage per kW drawn [10⁻³ p.u./kW]",
            f"{loaded.name}: {facts.name}",
            chargers_only=True,
        )
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_bytes(picture)
        say(f"Picture written to {plot}")
