"""`ev-marl train`: policies that learn, by RLlib."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ev_marl.commands.output import console, print_json, say
from ev_marl.errors import EvMarlError
from ev_marl.rl.config_file import load_training
from ev_marl.scenario import load_scenario

if TYPE_CHECKING:
    from ev_marl.rl.training import Progress as Step
    from ev_marl.rl.training import SeedResult

# What makes RLlib give the same numbers every time; read by Python and by numerical libraries when they start.
REPRODUCIBLE = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
PACKAGES = ("torch", "ray", "tensorboardX")
LINE_SECONDS = 30.0  # between two lines where there is no terminal to draw a bar on


def restart_reproducibly() -> None:
    """Start this command again with the environment that makes training reproducible, unless it is there."""
    wanted = {**QUIET, **REPRODUCIBLE}
    if any(os.environ.get(name) != value for name, value in REPRODUCIBLE.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, [sys.executable, "-m", "ev_marl", *sys.argv[1:]])
    os.environ.update(QUIET)


def run(
    file: Path,
    scenario: str,
    coordinator: str | None,
    seeds: Sequence[int],
    out: Path | None,
    changes: Sequence[str],
    address: str | None,
    as_json: bool,
) -> None:
    """Train, print a table, and say how to go on."""
    if coordinator is not None:
        changes = [*changes, f"coordinator={coordinator}"]
    if seeds:
        changes = [*changes, f"seeds={list(seeds)}"]
    config = load_training(file, changes)
    loaded = load_scenario(scenario)
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise EvMarlError(
            f"training needs {' and '.join(missing)}: pip install 'ev-marl[rllib]' (on a machine without a GPU, "
            "install the CPU build of torch first, or pip fetches gigabytes of CUDA)"
        )
    restart_reproducibly()
    _quieten()
    from ev_marl.rl.training import train  # noqa: PLC0415  RLlib takes seconds to load

    title = f"{config.name} on {loaded.name}"
    shown = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[word]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task(title, total=1.0, word="starting")
        watch = _watcher(bar, task, shown.is_terminal)
        results = train(config, loaded, out, address=address, command=["ev-marl", *sys.argv[1:]], watch=watch)
    if as_json:
        print_json([_row(result) for result in results])
    else:
        _print(results, title)
    folder = results[0].folder.parent
    kind = "central" if config.agents == "central" else "rllib"
    where = f" --coordinator {config.coordinator}" if config.coordinator else ""
    say(f"Compare it: ev-marl compare {scenario}{where} --policies uncontrolled,best-response,{kind}:{folder}")


def _watcher(bar: Progress, task: object, terminal: bool) -> Callable[[Step], None]:
    said = time.monotonic()

    def watch(step: Step) -> None:
        nonlocal said
        rate = step.days / max(step.seconds, 1e-9)
        word = (
            f"seed {step.seed}  {step.days} days  {rate:.0f} days/s  return {step.team_return:.1f}  "
            f"score {100 * step.score:.1f} %  best {100 * step.best_score:.1f} %"
        )
        if terminal:
            bar.update(task, completed=step.done, word=word)  # type: ignore[arg-type]
        elif time.monotonic() - said > LINE_SECONDS or step.done >= 1.0:
            said = time.monotonic()
            left = step.seconds * (1.0 - step.done) / max(step.done, 1e-9)
            say(f"iteration {step.iteration}  {word}  {step.seconds:.0f} s, about {left:.0f} s left")

    return watch


def _row(result: SeedResult) -> dict[str, object]:
    return {
        "seed": result.seed,
        "folder": str(result.folder),
        "days": result.days,
        "seconds": result.seconds,
        "score": result.score,
        "best_score": result.best_score,
        "finished_before": result.resumed,
    }


def _print(results: Sequence[SeedResult], title: str) -> None:
    table = Table(title=f"{title}: scores on validation days", title_justify="left")
    for name in ("seed", "days", "minutes", "last", "best, kept", "folder"):
        table.add_column(name, justify="left" if name == "folder" else "right", overflow="fold")
    for result in results:
        table.add_row(
            str(result.seed),
            str(result.days),
            f"{result.seconds / 60:.1f}",
            f"{100 * result.score:.1f} %",
            f"{100 * result.best_score:.1f} %",
            f"{result.folder}{' (finished before)' if result.resumed else ''}",
        )
    console().print(table)


def _quieten() -> None:
    """RLlib and its dependencies warn of what only their authors can change."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(ray|torch|gymnasium)(\..*)?")
