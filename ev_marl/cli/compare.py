"""Run policies on the same days and compare each with the cooperative optimum.

Stop it with Ctrl-C; the same command continues the run, and finished days are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.options import (
    AsJson,
    CoordinatorName,
    PortLevels,
    RayAddress,
    RunSeed,
    ScenarioName,
    TimeLimit,
    Trust,
    Workers,
)
from ev_marl.cli.output import console, print_json, say
from ev_marl.world.seeds import Split

EXAMPLES = (
    "ev-marl compare workplace",
    "ev-marl compare workplace --policies edf,llf,best-response --days 30 --seed 0 --out runs/mine",
    "ev-marl compare my_site.yaml --policies 'price-threshold,my_module:MyPolicy' --coordinator priority",
    "ev-marl compare workplace --tracks days/ --policies edf,best-response",
    "ev-marl compare workplace --policies best-response,rllib:training/results/workplace-nearest --baseline best",
)


def command(
    scenario: ScenarioName,
    policies: Annotated[
        str | None,
        typer.Option(
            "--policies", help="Names, name(option=...), module:Class, rllib:PATH or central:PATH, separated by commas."
        ),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, help="Number of days; run again with more to extend the run.")
    ] = 30,
    seed: RunSeed = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the run; default: runs/<scenario>-<hash>."),
    ] = None,
    workers: Workers = None,
    coordinator: CoordinatorName = None,
    split: Annotated[Split, typer.Option("--split", help="Which days; training and test days are disjoint.")] = "test",
    tracks: Annotated[
        list[Path] | None,
        typer.Option("--tracks", metavar="FILE", help="Track file or folder, instead of drawn days; can be repeated."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="Policy to which the differences of the others are computed; best: the one that earns most on "
            "validation days, among those that are not learned and have no more information than the learned ones.",
        ),
    ] = None,
    levels: PortLevels = "relaxed",
    time_limit: TimeLimit = 300.0,
    ray: RayAddress = None,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    from ev_marl.compare.report import PICTURE, REPORT, RESULTS, SUMMARY, summary_rows
    from ev_marl.compare.run import compare
    from ev_marl.compare.table import print_table
    from ev_marl.policies.make import split_specs

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
        trust=trust,
        exact_levels=levels == "exact",
        time_limit=time_limit,
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
