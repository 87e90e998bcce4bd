"""Part recorded days into training, validation and test days, by date: the latest are for tests. Files are copied.

The folder is for `--tracks` of train, tune, study and compare, and for the key `tracks` of a scenario.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.output import say
from ev_marl.support.errors import TrackError

EXAMPLES = (
    "ev-marl track split tracks/ --out days/",
    "ev-marl track split tracks/ --out days/ --validation-from 2019-09-01 --test-from 2019-10-01",
)
DATES = ["%Y-%m-%d"]


def command(
    tracks: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of track files.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for train, validation and test.")],
    validation_from: Annotated[
        datetime | None, typer.Option("--validation-from", formats=DATES, help="First validation day.")
    ] = None,
    test_from: Annotated[datetime | None, typer.Option("--test-from", formats=DATES, help="First test day.")] = None,
    validation: Annotated[
        float, typer.Option("--validation", min=0.0, max=100.0, help="Percent of validation days, without dates.")
    ] = 15.0,
    test: Annotated[
        float, typer.Option("--test", min=0.0, max=100.0, help="Percent of test days, without dates.")
    ] = 15.0,
) -> None:
    from ev_marl.world.recorded import part_days, shares_to_dates
    from ev_marl.world.track import Track
    from ev_marl.world.track_files import track_paths

    borders: tuple[date, date]
    if validation_from is not None and test_from is not None:
        borders = validation_from.date(), test_from.date()
    elif validation_from is None and test_from is None:
        starts = [Track.load(file).start.date() for file in track_paths([tracks])]
        borders = shares_to_dates(starts, validation / 100.0, test / 100.0)
    else:
        raise TrackError("give both --validation-from and --test-from, or neither")
    for split, made in part_days(tracks, out, *borders).items():
        days = [Track.load(file).start.date() for file in made]
        say(f"{out / split}: {len(made)} days, {min(days)} to {max(days)}")
