"""Draw days of a scenario and write them as track files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.options import Overwrite, ScenarioName, Trust
from ev_marl.cli.output import say
from ev_marl.support.errors import TrackError

EXAMPLES = (
    "ev-marl track sample workplace --seed 7 --out day.parquet",
    "ev-marl track sample workplace --seed 7 --days 10 --out days/",
)


def command(
    scenario: ScenarioName,
    out: Annotated[Path, typer.Option("--out", help="File (.parquet, .json), or a folder with --days.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed; the same seed gives the same day.")] = 0,
    days: Annotated[int, typer.Option("--days", min=1, help="Number of days, with seeds from --seed upwards.")] = 1,
    overwrite: Overwrite = False,
    trust: Trust = False,
) -> None:
    from ev_marl.scenario import load_scenario
    from ev_marl.world import World

    world = World(load_scenario(scenario, trust=trust))
    if days == 1:
        files = [out]
    else:
        files = [out / f"{world.scenario.name}-{seed + k}.parquet" for k in range(days)]
        existing = [file for file in files if file.exists()]
        if existing and not overwrite:
            raise TrackError(f"{existing[0]} exists ({len(existing)} such files); choose another folder")
    for k, file in enumerate(files):
        track = world.sample(seed + k)
        track.save(file, overwrite=overwrite)
        say(f"{file}: {track.start:%Y-%m-%d}, {len(track.vehicles)} vehicles")
