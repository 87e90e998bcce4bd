"""Find the best constants of a policy on training days, by search, without learning; test days are not used."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from ev_marl.cli.options import AsJson, CoordinatorName, RecordedFolder, RunSeed, ScenarioName, Trust
from ev_marl.cli.output import console, print_json, say
from ev_marl.compare.progress import progress_bar
from ev_marl.compare.text import number, percent

if TYPE_CHECKING:
    from ev_marl.compare.tuning import Trial, Validation
    from ev_marl.env.setup import Setting

SHOWN = 5


EXAMPLES = (
    "ev-marl tune best-response workplace",
    "ev-marl tune best-response residential-v2g --coordinator priority --days 100",
    "ev-marl tune my_module:MyPolicy workplace --range patience=0:4 --range share=0.1:0.9",
)


def command(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Name of the policy; options in brackets are kept.")],
    scenario: ScenarioName,
    days: Annotated[int, typer.Option("--days", min=1, help="Number of training days.")] = 60,
    validation_days: Annotated[
        int, typer.Option("--validation-days", min=0, help="Number of other days on which the result is scored.")
    ] = 60,
    seed: RunSeed = 0,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="OPTION=LOW:HIGH", help="Range to search; default: the policy's own."),
    ] = None,
    coordinator: CoordinatorName = None,
    tracks: RecordedFolder = None,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    from ev_marl.compare.table import difference_text
    from ev_marl.compare.tuning import ranges_of, read_ranges, tune, validate
    from ev_marl.env.setup import Setting
    from ev_marl.policies.make import read_spec, write_spec
    from ev_marl.scenario import load_scenario

    loaded = load_scenario(scenario, trust=trust)
    if tracks is not None:
        loaded = loaded.with_tracks(tracks)
    setting = Setting.of(loaded, coordinator=coordinator, trust=trust)
    searched = ranges_of(policy, read_ranges(ranges or []))
    played = setting.world.draw(seed, days, "train")
    with progress_bar(f"{policy}: trials", 0, None) as advance:
        trials = tune(setting, policy, played, searched, seed=seed, advance=advance)
    name, _ = read_spec(policy)
    tuned = write_spec(name, trials[0].options)
    result = None
    if validation_days:
        held_out = setting.world.draw(seed, validation_days, "validation")
        with progress_bar(f"{tuned}: validation days", 0, len(held_out)) as advance:
            result = validate(setting, policy, tuned, held_out, seed, advance)
    if as_json:
        print_json(
            {
                "scenario": setting.scenario.name,
                "coordinator": setting.coordinator.name,
                "policy": policy,
                "tuned": tuned,
                "training_days": len(played),
                "trials": [asdict(trial) for trial in trials],
                "validation": None if result is None else {"days": len(held_out), **_flat(result)},
            }
        )
        return
    out = console()
    out.print(_table(setting, trials))
    if trials[0].at_end:
        say(f"At the end of its range: {', '.join(trials[0].at_end)}; search a wider range with --range.")
    if result is not None:
        interval = "" if not result.difference.known else f" ({percent(result.low, 1)} … {percent(result.high, 1)})"
        out.print(
            f"{len(held_out)} validation days: score {percent(result.score, 1)}{interval}; "
            f"less {policy}: {difference_text(result.difference)}",
            markup=False,
        )
    out.print(tuned, markup=False, soft_wrap=True)


def _flat(result: Validation) -> dict[str, object]:
    difference = {
        f"difference_{entry.name}": getattr(result.difference, entry.name) for entry in fields(result.difference)
    }
    return {"score": result.score, "score_low": result.low, "score_high": result.high, **difference}


def _table(setting: Setting, trials: list[Trial]) -> Table:
    """The best trials, one a line."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for option in trials[0].options:
        table.add_column(option, justify="right")
    table.add_column(f"return {setting.scenario.currency}/day", justify="right")
    for trial in trials[:SHOWN]:
        table.add_row(*(str(value) for value in trial.options.values()), number(trial.mean_return, 3))
    return table
