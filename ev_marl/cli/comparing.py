"""`ev-marl compare`: policies against the cooperative optimum."""

from __future__ import annotations

from pathlib import Path

from ev_marl.cli.output import console, print_json, say
from ev_marl.compare.report import PICTURE, REPORT, RESULTS, SUMMARY, summary_rows
from ev_marl.compare.run import compare
from ev_marl.compare.table import print_table
from ev_marl.policies import split_specs
from ev_marl.world.seeds import Split


def run(
    scenario: str,
    policies: str | None,
    days: int,
    seed: int,
    out: Path | None,
    workers: int | None,
    coordinator: str | None,
    split: Split,
    tracks: list[Path] | None,
    baseline: str | None,
    ray: str | None,
    as_json: bool,
) -> None:
    """Compare, print the table, and say where the files are."""
    comparison = compare(
        scenario,
        None if policies is None else split_specs(policies),
        days,
        seed,
        out,
        coordinator=coordinator,
        split=split,
        tracks=tracks,
        baseline=baseline,
        workers=workers,
        ray=ray,
    )
    if as_json:
        print_json(
            {
                "scenario": comparison.scenario.name,
                "folder": str(comparison.folder),
                "days": len(comparison.days),
                "currency": comparison.currency,
                "largest_relative_gap": comparison.largest_relative_gap,
                "policies": summary_rows(comparison),
            }
        )
    else:
        print_table(comparison, console())
    say(f"Files in {comparison.folder}: {REPORT}, {PICTURE}, {SUMMARY}, {RESULTS}")
