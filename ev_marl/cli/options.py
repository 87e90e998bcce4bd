"""Options that several commands share; an option of a single command is in the file of that command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ev_marl.scenario.choices import SITE_COORDINATORS, GridCoordinator

ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="Name of a shipped scenario, or a YAML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout instead.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
CoordinatorName = Annotated[
    str | None, typer.Option("--coordinator", metavar="NAME", help=f"{', '.join(SITE_COORDINATORS)}, or module:Class.")
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Allow custom code: module:Class named in a file, or pickle in a checkpoint.")
]
DaySeed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the day.")]
RunSeed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the set of days.")]
TrackFile = Annotated[
    Path | None, typer.Option("--track", metavar="FILE", help="Track file to use instead of a drawn day.")
]
RecordedFolder = Annotated[
    Path | None,
    typer.Option(
        "--tracks", metavar="DIR", help="Recorded days instead of drawn ones: a folder made by `ev-marl track split`."
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Largest number of processes; default: one for each core.")
]
RayAddress = Annotated[
    str | None, typer.Option("--ray", metavar="ADDRESS", help="Run the days on a Ray cluster; auto finds it.")
]
GridCoordinatorName = Annotated[
    GridCoordinator | None,
    typer.Option("--grid-coordinator", help="Instead of that of the scenario; none: limits are not enforced."),
]
PolicyName = Annotated[str, typer.Option("--policy", help="Policy to play.")]
PortLevels = Annotated[
    Literal["relaxed", "exact"],
    typer.Option(
        "--levels",
        help="Levels of stations in the optimum: relaxed to any power, with the plan rounded; or exact, as integers, "
        "which mostly takes all of the time limit.",
    ),
]
TimeLimit = Annotated[
    float,
    typer.Option("--time-limit", min=0.0, help="Most time to solve a day [s]; bound and plan hold whenever it ends."),
]
