"""Run many comparisons and put them into one table and one figure.

Stop it with Ctrl-C; the same command continues the study, and finished days are kept.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from ev_marl.cli.options import AsJson, RayAddress, RecordedFolder, Trust, Workers
from ev_marl.cli.output import console, print_json, say
from ev_marl.compare.text import percent

if TYPE_CHECKING:
    from ev_marl.compare.studying import StudyResult

EXAMPLES = ("ev-marl study training/study.yaml", "ev-marl study my_study.yaml --days 5 --out runs/mine")


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Study file: cases, policies, learned policies.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the study; default: runs/study-<name>.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Number of test days instead of the file's.")
    ] = None,
    tracks: RecordedFolder = None,
    workers: Workers = None,
    ray: RayAddress = None,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    from ev_marl.compare.report import summary_rows
    from ev_marl.compare.study import load_study
    from ev_marl.compare.study_report import write_study
    from ev_marl.compare.studying import run_study
    from ev_marl.compare.table import difference_text

    study = load_study(file, trust=trust)
    result = run_study(
        study, out or Path("runs") / f"study-{study.name}", days=days, tracks=tracks, workers=workers, ray=ray
    )
    files = write_study(result)
    if as_json:
        print_json(
            {
                "study": study.name,
                "folder": str(result.folder),
                "days": result.days,
                "cases": [
                    {
                        "case": case.name,
                        "folder": str(case.comparison.folder),
                        "baseline": case.baseline,
                        "tuned": result.tuned[case.name],
                        "differences": {name: asdict(entry) for name, entry in case.differences().items()},
                        "policies": summary_rows(case.comparison),
                    }
                    for case in result.cases
                ],
            }
        )
    else:
        out_console = console()
        out_console.print(_table(result))
        for case in result.cases:
            for name, difference in case.differences().items():
                told = f"{case.name}: {name} less {case.baseline}: {difference_text(difference)}"
                out_console.print(told, markup=False)
    say(f"Files in {result.folder}: {', '.join(path.name for path in files)}")


def _table(result: StudyResult) -> Table:
    """Scores: a line for each policy, a column for each case."""
    from ev_marl.compare.study_report import ranked

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("score")
    for case in result.cases:
        table.add_column(case.name.replace(", ", ",\n"), justify="right")
    summaries = [case.summaries() for case in result.cases]
    for name in reversed(ranked(result)):
        rows = [rows.get(name) for rows in summaries]
        table.add_row(Text(name), *("" if row is None else percent(row.score, 1) for row in rows))
    return table
