"""Fit a model of drivers to recorded sessions: a YAML file for the key `sessions: {file: ...}` of a scenario.

Prints how far drawn sessions are from the recorded ones. An existing file is never overwritten.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.output import check_new, console, print_json, say, write_new
from ev_marl.world.choices import SessionData

EXAMPLES = (
    "ev-marl fit sessions my_sessions.csv --timezone Europe/Amsterdam --ports 20 --out drivers.yaml",
    "ev-marl fit sessions acn-2019-1.json acn-2019-2.json --kind acn --holidays US-CA --ports 53 --out caltech.yaml",
)


def command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recorded sessions; can be .gz.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="YAML file to write.")],
    kind: Annotated[SessionData, typer.Option("--kind", help="Kind of the files.")] = "csv",
    timezone: Annotated[str | None, typer.Option("--timezone", help="Time zone of the files; needed for csv.")] = None,
    ports: Annotated[int, typer.Option("--ports", min=1, help="Ports of the recorded site.")] = 1,
    holidays: Annotated[
        str | None,
        typer.Option("--holidays", help="Country or part, such as NL or US-CA: its holidays are days apart."),
    ] = None,
    source: Annotated[str, typer.Option("--source", help="Where the data come from; default: names of files.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the distances as JSON.")] = False,
) -> None:
    from dataclasses import asdict, replace

    from rich.table import Table

    from ev_marl.scenario.clock import zone_of
    from ev_marl.support.errors import DataError
    from ev_marl.world.fitting import (
        Recorded,
        fit_sessions,
        holidays_of,
        how_well,
        how_well_declared,
        per_day_of,
        session_file_text,
    )
    from ev_marl.world.importing import SESSION_READERS
    from ev_marl.world.measured_sessions import MeasuredSessions

    check_new(out, overwrite=None)
    if kind == "csv" and timezone is None:
        raise DataError("give the time zone of the files: --timezone Europe/Amsterdam")
    if timezone is not None:
        try:
            zone_of(timezone)
        except ValueError as error:
            raise DataError(f"--timezone: {error}") from error
    read = [SESSION_READERS[kind](file, timezone=timezone) for file in files]
    free = holidays_of(read, holidays)
    recorded = Recorded.of(read, free)
    measured = fit_sessions(recorded, source or ", ".join(one.file for one in read))
    fit = how_well(recorded, MeasuredSessions(per_day_of(measured), measured), free)
    fit = replace(fit, declared=how_well_declared(recorded, measured))
    rate = measured.days["weekday"].per_day / ports
    use = f"sessions: {{file: {out.name}, per_port_per_day: {rate:.4g}{f', holidays: {holidays}' if holidays else ''}}}"
    head = f"# Drivers by `ev-marl fit sessions`. In a scenario: {use}\n"
    write_new(out, head + session_file_text(measured), overwrite=None)
    for one in read:
        for note in one.notes:
            say(f"{one.file}: {note}")
    if as_json:
        print_json({"file": str(out), "sessions": measured.n_sessions, "per_port_per_day": rate, **asdict(fit)})
    else:
        table = Table(
            title=f"{measured.n_sessions} sessions, {len(recorded.days)} days: distance of drawn from recorded"
        )
        names = ["arrival", "stay", "departure", "energy"]
        distances = [fit.arrival, fit.stay, fit.departure, fit.energy]
        if fit.declared is not None:
            names, distances = [*names, "true less declared departure"], [*distances, fit.declared]
        for name in (*names, "Fano factor of the data", "of the model"):
            table.add_column(name, justify="right")
        table.add_row(*(f"{far:.3f}" for far in distances), f"{fit.fano_data:.2f}", f"{fit.fano_model:.2f}")
        console().print(table)
    say(f"Model in {out}. In a scenario: {use}")
