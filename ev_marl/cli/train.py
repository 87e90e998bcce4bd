"""Train policies with RLlib, validate them during training, and keep the best.

Stop it with Ctrl-C; the same command continues from the last checkpoint.

A finished training is not repeated. To continue it, set a later stop, such as --set stop.days=20000.
"""

from __future__ import annotations

import importlib.util
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ev_marl.cli.options import AsJson, CoordinatorName, RecordedFolder, Trust
from ev_marl.cli.output import console, print_json, say
from ev_marl.compare.text import percent
from ev_marl.support.errors import EvMarlError, how_to_install

if TYPE_CHECKING:
    from ev_marl.rl.training import SeedResult
    from ev_marl.rl.training_log import Progress as Step

PACKAGES = ("torch", "ray", "tensorboardX")
LINE_SECONDS = 30.0  # between two lines where there is no terminal to draw a bar on


EXAMPLES = (
    "ev-marl train ippo --scenario workplace",
    "ev-marl train ippo --scenario residential-v2g --coordinator priority --seed 0 --seed 1",
    "ev-marl train ippo --scenario my_site.yaml --tracks days/",
    "ev-marl train my_training.yaml --scenario workplace --set stop.minutes=2 --set ppo.epochs=2",
)


def command(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Name of a shipped training file, or a YAML file."),
    ],
    scenario: Annotated[
        str, typer.Option("--scenario", metavar="SCENARIO", help="Name of a shipped scenario, or a YAML file.")
    ],
    coordinator: CoordinatorName = None,
    tracks: RecordedFolder = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", min=0, help="Seed instead of those of the file; can be repeated.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the result; default: runs/<scenario>-<name>-<hash>."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the file; repeatable."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--ray", "--address", metavar="ADDRESS", help="Simulate days on a Ray cluster; auto finds it."),
    ] = None,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    from ev_marl.rl.config import load_training
    from ev_marl.scenario import load_scenario

    changes = list(changes or [])
    if coordinator is not None:
        changes = [*changes, f"coordinator={coordinator!r}"]
    if seed:
        changes = [*changes, f"seeds={list(dict.fromkeys(seed))}"]
    config = load_training(file, changes, trust=trust)
    loaded = load_scenario(scenario, trust=trust)
    if tracks is not None:
        loaded = loaded.with_tracks(tracks)
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise EvMarlError(
            f"training needs {' and '.join(missing)}: {how_to_install('rllib')}; on a machine without a GPU, "
            "install the CPU build of torch first, or pip downloads gigabytes for GPUs"
        )
    from ev_marl.rl.training import train  # after what its absence means is said

    shown = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[word]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task(f"{config.name} on {loaded.name}", total=1.0, word="")
        watch = _on_terminal(bar, task) if shown.is_terminal else _in_lines()

        def tell(message: str) -> None:
            bar.console.print(message, markup=False, highlight=False, soft_wrap=True)

        results = train(
            config, loaded, out, address=address, trust=trust, command=["ev-marl", *sys.argv[1:]], watch=watch, say=tell
        )
    if as_json:
        print_json([{**asdict(result), "folder": str(result.folder)} for result in results])
    else:
        console().print(_table(results))
    folder = results[0].folder.parent
    kind = "central" if config.agents == "central" else "rllib"
    under = f" --coordinator {config.coordinator}" if config.coordinator else ""
    where = f"'{kind}:{folder}'" if set(str(folder)) & set(" ()'") else f"{kind}:{folder}"
    days = "" if tracks is None else f" --tracks {shlex.quote(str(tracks))}"
    say(
        f"Compare it: ev-marl compare {scenario}{under}{days} --policies best-response,{where} --baseline best-response"
    )


def _words(step: Step) -> str:
    rate = step.days / max(step.seconds, 1e-9)
    return (
        f"seed {step.seed}  iteration {step.iteration}  {step.days} days  {rate:.1f} days/s  "
        f"return {step.team_return:.2f}  score {percent(step.score, 1)}  best {percent(step.best_score, 1)}"
    )


def _on_terminal(bar: Progress, task: TaskID) -> Callable[[Step], None]:
    """Shows every iteration in the bar, which restarts with each seed."""
    seeds: list[int] = []

    def watch(step: Step) -> None:
        if seeds[-1:] != [step.seed]:
            if seeds:
                bar.reset(task, total=1.0, word="")
            seeds.append(step.seed)
        bar.update(task, completed=step.done, word=_words(step))

    return watch


def _in_lines() -> Callable[[Step], None]:
    """Prints a line every `LINE_SECONDS`, and at the end of a seed."""
    said = time.monotonic()

    def watch(step: Step) -> None:
        nonlocal said
        if time.monotonic() - said > LINE_SECONDS or step.done >= 1.0:
            said = time.monotonic()
            left = step.seconds * (1.0 - step.done) / max(step.done, 1e-9)
            say(f"{_words(step)}  {step.seconds:.0f} s, about {left:.0f} s left")

    return watch


def _table(results: Sequence[SeedResult]) -> Table:
    """A seed a line, with its scores on the validation days."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("seed", "days", "time", "score, last", "score, kept", "after days"):
        table.add_column(name, justify="right")
    table.add_column("folder", overflow="fold")
    for result in results:
        table.add_row(
            str(result.seed),
            str(result.days),
            f"{result.seconds:.0f} s" if result.seconds < 120 else f"{result.seconds / 60:.0f} min",
            percent(result.score, 1),
            percent(result.best_score, 1),
            str(result.best_days),
            f"{result.folder}{' (finished before)' if result.finished_before else ''}",
        )
    return table
