"""The files of a study: tables (Markdown), figure (PNG), every day (Parquet), every policy (CSV).

A `StudyResult` comes in. They are made anew each time from the runs below the folder.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ev_marl.compare.baseline import BEST
from ev_marl.compare.day import OPTIMUM
from ev_marl.compare.report import results_table, summary_rows
from ev_marl.compare.study_figure import draw_study
from ev_marl.compare.studying import CaseResult, StudyResult
from ev_marl.compare.text import number, percent, signed
from ev_marl.policies.base import INFORMATION
from ev_marl.support.files import write_atomically

RESULTS, SUMMARY, REPORT, PICTURE = "results.parquet", "summary.csv", "study.md", "study.png"


def write_study(result: StudyResult) -> tuple[Path, ...]:
    """Write all files into the folder of the study; returns their paths."""
    buffer = io.BytesIO()
    pq.write_table(study_results(result), buffer)
    write_atomically(result.folder / RESULTS, buffer.getvalue())
    write_atomically(result.folder / SUMMARY, study_csv(result))
    write_atomically(result.folder / REPORT, study_markdown(result))
    write_atomically(result.folder / PICTURE, draw_study(result))
    return tuple(result.folder / name for name in (REPORT, PICTURE, SUMMARY, RESULTS))


def study_results(result: StudyResult) -> pa.Table:
    """One row a case, day and policy; training seeds stay apart."""
    tables = []
    for case in result.cases:
        table = results_table(case.comparison)
        tables.append(table.add_column(0, "case", pa.array([case.name] * table.num_rows)))
    return pa.concat_tables(tables, promote_options="permissive")


def study_csv(result: StudyResult) -> str:
    """One line a case and policy, then one for each training seed."""
    rows = [{"case": case.name, **row} for case in result.cases for row in summary_rows(case.comparison)]
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def study_markdown(result: StudyResult) -> str:
    """The report: scores, what the learned policies gain over the baseline, what was tuned and where it all is."""
    study = result.study
    text = f"""# {study.name}

{study.about}

{result.days} test days in each case, the same for all policies; score: 0 % is uncontrolled charging, 100 % the
cooperative optimum, below it the 95 % interval over days and, of learned policies, training seeds.

![Scores of all policies in each case]({PICTURE})

{scores_table(result)}

"""
    if any(case.case.learned for case in result.cases):
        chosen = (
            "the policy, not learned and\nwith no more information, that earns most on "
            f"{study.validation_days} validation days"
            if study.baseline == BEST
            else f"`{study.baseline}`"
        )
        text += f"""Learned policies less the baseline on the same days; the baseline is {chosen}.

{gains_table(result)}

"""
    if study.tune:
        lines = [
            f"- {name}: {', '.join(f'`{spec}`' for spec in specs.values())}" for name, specs in result.tuned.items()
        ]
        text += f"Tuned on {study.tuning_days} training days:\n\n" + "\n".join(lines) + "\n\n"
    runs = [
        f"- {case.name}: {case.comparison.limits}; [report](runs/{case.comparison.folder.name}/report.md)"
        for case in result.cases
    ]
    return text + "Cases:\n\n" + "\n".join(runs) + "\n"


def scores_table(result: StudyResult) -> str:
    """Scores as a Markdown table: a row for each policy, a column for each case."""
    summaries = [case.summaries() for case in result.cases]
    lines = ["| policy | knows | " + " | ".join(case.name for case in result.cases) + " |"]
    lines.append("| --- | --- |" + " ---: |" * len(result.cases))
    for name in ranked(result):
        known = next(rows[name].information for rows in summaries if name in rows)
        cells = [_score(case, name) for case in result.cases]
        lines.append(f"| {name.replace('|', chr(92) + '|')} | {INFORMATION[known]} | " + " | ".join(cells) + " |")
    plans = [next(row for row in case.comparison.table() if row.policy == OPTIMUM) for case in result.cases]
    cells = [percent(plan.score, 1) for plan in plans]
    lines.append(f"| optimum | {INFORMATION['future']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ranked(result: StudyResult) -> list[str]:
    """Names of all policies of a study, the worst first: by their mean place in the cases that have them."""
    places: dict[str, list[float]] = {}
    for case in result.cases:
        names = list(case.summaries())
        for k, name in enumerate(names):
            places.setdefault(name, []).append(k / max(1, len(names) - 1))
    return sorted(places, key=lambda name: sum(places[name]) / len(places[name]), reverse=True)


def gains_table(result: StudyResult) -> str:
    """Differences between learned policies and baselines, as a Markdown table."""
    heading = ("case", "policy", "training seeds", "score", "IQM", "baseline", "difference", "95 % interval", "per day")
    lines = ["| " + " | ".join(heading) + " |", "| --- | --- |" + " ---: |" * 3 + " --- |" + " ---: |" * 3]
    for case in result.cases:
        rows = case.summaries()
        for name, difference in case.differences().items():
            row = rows[name]
            ends = f"{number(difference.points_low, 1)} … {number(difference.points_high, 1)}"
            cells = (
                case.name,
                name,
                str(row.seeds),
                percent(row.score, 1),
                percent(row.score_iqm, 1),
                f"{case.baseline} ({percent(rows[case.baseline].score, 1)})",
                f"{signed(difference.points, 1)} points",
                ends if difference.known else "",
                f"{signed(difference.per_day, 2)} {case.comparison.currency}",
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _score(case: CaseResult, name: str) -> str:
    row = case.summaries().get(name)
    if row is None:
        return ""
    interval = (
        "" if math.isnan(row.score_low) else f" [{number(100 * row.score_low, 0)}, {number(100 * row.score_high, 0)}]"
    )
    bold = "**" if name in case.case.learned else ""
    return f"{bold}{percent(row.score, 1 if row.score > -1.0 else 0)}{bold}{interval}"
