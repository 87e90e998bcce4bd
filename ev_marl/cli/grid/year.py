"""Simulate a year of days on the network: worst voltages and loadings, hours beyond limits, checked by pandapower.

Each day is a separate episode: vehicles that are parked at its end do not appear in the next day.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.options import AsJson, CoordinatorName, GridCoordinatorName, Overwrite, PolicyName, ScenarioName, Trust
from ev_marl.cli.output import check_new, console, print_json, say
from ev_marl.support.errors import NetworkError

EXAMPLES = (
    "ev-marl grid year village-2034 --grid-coordinator none",
    "ev-marl grid year my_site.yaml --policy best-response --out runs/year",
)


def command(
    scenario: ScenarioName,
    policy: PolicyName = "uncontrolled",
    grid_coordinator: GridCoordinatorName = None,
    coordinator: CoordinatorName = None,
    start: Annotated[
        datetime | None, typer.Option("--start", formats=["%Y-%m-%d"], help="First day; default: the scenario's.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="Number of consecutive days.")] = 365,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of vehicles, noise and weather.")] = 0,
    samples: Annotated[
        int,
        typer.Option("--samples", min=0, help="Random steps that pandapower solves again, besides the worst steps."),
    ] = 20,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for pictures and the numbers of every step.")
    ] = None,
    overwrite: Overwrite = False,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    import ev_marl.grid.model.sources  # noqa: F401  first: it says how to install pandapower
    from ev_marl.cli.grid.tables import print_year
    from ev_marl.cli.grid.with_grid import with_grid
    from ev_marl.env.setup import Setting
    from ev_marl.grid.studies.year import play_year
    from ev_marl.grid.studies.year_files import FILES, summary, write_year

    if out is not None:
        for name in FILES:
            check_new(out / name, overwrite=overwrite)
    loaded, _ = with_grid(scenario, grid_coordinator, trust=trust)
    setting = Setting.of(loaded, coordinator=coordinator)
    first = None if start is None else start.date()
    played = play_year(setting, policy, first=first, n_days=days, seed=seed, samples=samples)
    if as_json:
        print_json(summary(played))
    else:
        print_year(console(), played)
    if out is not None:
        assert setting.site.network is not None  # the scenario has a grid
        write_year(played, setting.site.network, out)
        say(f"Files in {out}: {', '.join(FILES)}")
    if not played.agrees:
        raise NetworkError(
            f"pandapower gives other results in {len(played.checked)} steps solved again, see the differences above; "
            "use `backend: pandapower`, and report the network"
        )
