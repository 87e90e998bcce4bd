"""Convert recorded sessions or real prices to track files, one for each day; prints what was imputed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.options import Trust
from ev_marl.cli.output import say
from ev_marl.scenario.choices import Fill
from ev_marl.world.choices import Dataset, Departures, Wish

EXAMPLES = (
    "ev-marl track import acn acn-caltech.json --site workplace --out tracks/",
    "ev-marl track import elaadnl transactions.csv --site workplace --out tracks/",
    "ev-marl track import csv my_sessions.csv --site my_site.yaml --out tracks/",
    "ev-marl track import prices day-ahead.csv --site depot-100 --out tracks/ --fill interpolate",
)
MOST_VALUES = 5  # that are listed one by one


def command(
    kind: Annotated[Dataset, typer.Argument(help="Kind of the file.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Data file; can be .gz.")],
    site: Annotated[str, typer.Option("--site", metavar="SCENARIO", help="Scenario with the site, prices and loads.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for one track a day.")],
    timezone: Annotated[
        str | None,
        typer.Option(
            "--timezone", help="Time zone of the file; default: that of the data set, for csv that of the scenario."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of imputed values.")] = 0,
    energy: Annotated[Wish, typer.Option("--energy", help="Energy that is the wish of a driver.")] = "delivered",
    departures: Annotated[
        Departures, typer.Option("--departures", help="What drivers say: what they said, where known, or the truth.")
    ] = "declared",
    fill: Annotated[Fill | None, typer.Option("--fill", help="How to fill missing prices; default: error.")] = None,
    area: Annotated[str | None, typer.Option("--area", help="Bidding zone, if a price file has several.")] = None,
    trust: Trust = False,
) -> None:
    from ev_marl.world import import_tracks

    tracks = import_tracks(
        kind,
        file,
        site,
        out=out,
        timezone=timezone,
        seed=seed,
        energy=energy,
        departures=departures,
        fill=fill,
        area=area,
        trust=trust,
    )
    vehicles, turned_away = sum(len(track.vehicles) for track in tracks), sum(track.turned_away for track in tracks)
    say(
        f"Tracks in {out}: {len(tracks)}, {tracks[0].start:%Y-%m-%d} to {tracks[-1].start:%Y-%m-%d}, "
        f"{vehicles} stays; {turned_away} more found no free port"
    )
    for key in tracks[0].source:  # what differs from day to day, such as filled prices, is listed once each
        values = list(dict.fromkeys(track.source.get(key, "") for track in tracks))
        values = [value for value in values if value and (value != "none" or len(values) == 1)]
        said = "; ".join(values) if len(values) <= MOST_VALUES else f"{values[0]} to {values[-1]}, one each day"
        if said:
            say(f"  {key}: {said}")
