"""`ev-marl study`: many cases, one table and one figure."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.markdown import Markdown

from ev_marl.commands.output import console, print_json, say
from ev_marl.compare.report import summary_rows
from ev_marl.compare.study import load_study
from ev_marl.compare.study_report import gains_table, scores_table, write_study
from ev_marl.compare.studying import run_study


def run(file: Path, out: Path | None, days: int | None, workers: int | None, ray: str | None, as_json: bool) -> None:
    """Run a study, print its tables, and say where the files are."""
    study = load_study(file)
    result = run_study(study, out or Path("runs") / f"study-{study.name}", days=days, workers=workers, ray=ray)
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
        out_console.print(Markdown(scores_table(result)))
        if any(case.case.learned for case in result.cases):
            out_console.print(Markdown(gains_table(result)))
    say(f"Files in {result.folder}: {', '.join(path.name for path in files)}")
