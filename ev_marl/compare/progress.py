"""A progress bar on stderr, where there is a terminal to see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress_bar(title: str, done: int, total: int | None, show: bool | None = None) -> Iterator[Callable[[], None]]:
    """Show how far a run is; yields the function to call when another day is finished.

    Parameters
    ----------
    title : str
        What is run.
    done, total : int
        Days that are finished already, and all; None where nobody knows how many there will be.
    show : bool, optional
        Whether to show it; left out, if stderr is a terminal.
    """
    console = Console(stderr=True)
    shown = console.is_terminal if show is None else show
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda: bar.advance(task)
