"""Solve a finished day on three phases, with vehicles of up to 7.4 kW on one phase, beside the balanced result.

The powers are those of the day on the balanced network.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.options import AsJson, DaySeed, GridCoordinatorName, PolicyName, ScenarioName, TrackFile, Trust
from ev_marl.cli.output import console, print_json
from ev_marl.grid.studies.choices import Connection, LoadSplit, Steps

EXAMPLES = (
    "ev-marl grid unbalanced street-lv --seed 3",
    "ev-marl grid unbalanced street-lv --connection same --loads one-phase --steps all",
    "ev-marl grid unbalanced my_site.yaml --phases phases.csv",
)


def command(
    scenario: ScenarioName,
    policy: PolicyName = "uncontrolled",
    grid_coordinator: GridCoordinatorName = None,
    seed: DaySeed = 0,
    day: Annotated[
        datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="Date of the day; default: drawn at random.")
    ] = None,
    track: TrackFile = None,
    steps: Annotated[
        Steps, typer.Option("--steps", help="All steps, or the worst by voltage, transformer and unequal charging.")
    ] = "worst",
    loads: Annotated[
        LoadSplit, typer.Option("--loads", help="Loads are balanced, or each is on one phase, in turn.")
    ] = "balanced",
    connection: Annotated[
        Connection, typer.Option("--connection", help="Ports are on the phases in turn, or all on the same one.")
    ] = "in-turn",
    phases: Annotated[
        Path | None,
        typer.Option("--phases", metavar="FILE", help="CSV with columns station, phase: a, b, c or abc."),
    ] = None,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    import ev_marl.grid.model.sources  # noqa: F401  first: it says how to install pandapower
    from ev_marl.cli.grid.tables import print_unbalanced
    from ev_marl.cli.grid.with_grid import with_grid
    from ev_marl.env.setup import Setting
    from ev_marl.grid.studies.unbalanced_day import read_phases, unbalanced_day

    given = None if phases is None else read_phases(phases)
    loaded, grid = with_grid(scenario, grid_coordinator, trust=trust)
    setting = Setting.of(loaded)
    chosen = None if track is None else setting.world.load(track)
    result = unbalanced_day(
        setting,
        policy,
        seed=seed,
        day=None if day is None else day.date(),
        track=chosen,
        steps=steps,
        loads=loads,
        connection=connection,
        phases=given,
    )
    if as_json:
        times = result.track.clock.local_times
        print_json(
            {
                "scenario": loaded.name,
                "policy": policy,
                "grid_coordinator": grid.coordinator,
                "loads": loads,
                "connection": connection,
                "sessions": len(result.track.sessions),
                "one_phase_sessions": result.one_phase_sessions,
                "assumptions": list(result.assumptions),
                "steps": [
                    {"time": times[one.step].isoformat(timespec="minutes"), **asdict(one)} for one in result.steps
                ],
            }
        )
    else:
        print_unbalanced(console(), loaded.name, grid, result)
