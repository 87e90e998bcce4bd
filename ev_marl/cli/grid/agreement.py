"""Compare the backends with pandapower on known networks; exit code 1 if one exceeds its tolerance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ev_marl.cli.options import Overwrite
from ev_marl.cli.output import check_new, say, write_new
from ev_marl.compare.progress import progress_bar
from ev_marl.support.errors import EvMarlError

if TYPE_CHECKING:
    from ev_marl.grid.studies.agreement import Row

EXAMPLES = ("ev-marl grid agreement --only CIGRE", "ev-marl grid agreement --also my_module:MyBackend")


def command(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="WORD", help="Only networks with this word in their title."),
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option("--also", metavar="NAME", help="Another backend, by name or as module:Class.")
    ] = None,
    states: Annotated[int, typer.Option("--states", min=4, help="How many random states of each network.")] = 64,
    times: Annotated[bool, typer.Option("--times/--no-times", help="Also measure times.")] = True,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the page to a file.")] = None,
    overwrite: Overwrite = False,
) -> None:
    import ev_marl.grid.model.sources  # noqa: F401  first: it says how to install pandapower
    from ev_marl.grid.studies.agreement import CASES, measure, page

    if out is not None:
        check_new(out, overwrite=overwrite)
    words = only or [""]
    cases = [case for case in CASES if any(word.lower() in case.title.lower() for word in words)]
    if not cases:
        raise EvMarlError(
            f"no network has {' or '.join(words)} in its title: {'; '.join(case.title for case in CASES)}"
        )
    rows: list[Row] = []
    with progress_bar("networks", 0, len(cases)) as advance:
        for case in cases:
            rows.extend(measure(case, also or [], n_states=states, timed=times))
            advance()
    for row in rows:
        for problem in row.problems:
            say(f"{row.title}, {row.backend}: {problem}")
    if out is None:
        print(page(rows))
    else:
        write_new(out, page(rows), overwrite=overwrite)
        say(f"{out} written")
    if any(row.problems for row in rows):
        raise typer.Exit(1)
