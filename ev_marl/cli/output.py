"""Output of commands: results to stdout, everything else to stderr, JSON with `--json`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console

from ev_marl.support.errors import EvMarlError


def console() -> Console:
    """For results; plain text where stdout is not a terminal."""
    return Console(highlight=False, soft_wrap=False, emoji=False)


def say(message: str) -> None:
    """A message that is not a result, to stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False).print(message)


def print_json(value: Any) -> None:
    """A result as JSON on stdout; NaN and infinity, which JSON does not have, become null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def write_new(path: Path, content: str, *, overwrite: bool | None = False) -> None:
    """Write a text file that does not exist yet.

    Raises
    ------
    EvMarlError
        If it exists and `overwrite` is not given.
    """
    check_new(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def check_new(path: Path, *, overwrite: bool | None = False) -> None:
    """Refuse a file that exists, before any work is done.

    Parameters
    ----------
    path : Path
        To be written.
    overwrite : bool, optional
        Whether it may be replaced; None where a command has no `--overwrite`.

    Raises
    ------
    EvMarlError
        If it exists and `overwrite` is not given.
    """
    if path.exists() and not overwrite:
        ways = "choose another name or delete it" if overwrite is None else "choose another name, or add --overwrite"
        raise EvMarlError(f"{path} exists and was not changed; {ways}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
