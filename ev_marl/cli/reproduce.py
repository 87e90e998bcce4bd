"""Compute a published month in a garage again, and print each number beside the published one.

The sessions are read from a file that you have; they are not part of this package. A run can be stopped and continued.
"""

from __future__ import annotations

import os
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ev_marl.cli.options import AsJson, Workers
from ev_marl.cli.output import console, print_json, say
from ev_marl.support.errors import RunError
from ev_marl.world.choices import Garage

if TYPE_CHECKING:
    from ev_marl.compare.garage import Goal

EXAMPLES = (
    "ev-marl reproduce acn-caltech --sessions caltech_2018-09.csv.gz",
    "ev-marl reproduce acn-caltech --sessions caltech_2018-09.csv.gz --quick --policies llf,edf --capacity 40",
    "ev-marl reproduce acn-caltech --sessions jpl.csv.gz --network jpl --start 2019-05-01 --until 2019-06-01",
)


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y-%m-%d").date()


def command(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="What was published: acn-caltech.")],
    sessions: Annotated[Path, typer.Option("--sessions", metavar="FILE", help="Sessions of ACN-Data, JSON or CSV.")],
    network: Annotated[Garage, typer.Option("--network", help="The garage.")] = "caltech",
    capacity: Annotated[
        list[float] | None,
        typer.Option("--capacity", metavar="KVA", help="Rating of the transformers together; can be repeated."),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="Of the publication, separated by commas: I, II, III, IV, V.")
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option("--policies", help="Separated by commas: optimum, mpc, llf, edf, round-robin, uncontrolled."),
    ] = None,
    goal: Annotated[
        str | None, typer.Option("--goal", help="Tables, separated by commas: energy, profit; default: both.")
    ] = None,
    start: Annotated[date | None, typer.Option(parser=_day, help="First day; default: as published.")] = None,
    until: Annotated[date | None, typer.Option(parser=_day, help="The day after the last.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: a week, and fewer cases unless they are named.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run; default: runs/acn-GARAGE-HASH.")
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    from ev_marl.compare.garage import GOALS, STUDY, cases_of, month_of, reproduce
    from ev_marl.compare.garage_report import PICTURE, REPORT, as_rows, print_month, write_month
    from ev_marl.compare.progress import progress_bar

    if study != STUDY:
        raise RunError(f"no publication is called '{study}'; there is {STUDY}")
    goals = tuple(cast("Goal", word) for word in _listed(goal) or GOALS)
    cases = cases_of(_listed(scenario), capacity, _listed(policies), goals, quick=quick)
    month = month_of(sessions, network, start=start, until=until, quick=quick, cases=cases, out=out)
    with progress_bar("cases", len(month.results()), len(cases)) as advance:
        found = reproduce(month, workers=workers or os.cpu_count() or 1, advance=advance)
    write_month(month, found)
    if as_json:
        print_json({"folder": str(month.folder), "cases": as_rows(month, found)})
    else:
        print_month(month, found, console())
    say(f"Files in {month.folder}: {REPORT}, {PICTURE} of the energy, and a file for each case")


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]
