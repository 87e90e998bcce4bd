"""`ev-marl schema`: what a scenario file may say, for editors."""

from __future__ import annotations

from pathlib import Path

from ev_marl.commands.output import write_new
from ev_marl.scenario.json_schema import scenario_schema_text


def run(out: Path | None, overwrite: bool) -> None:
    """Write the JSON Schema to a file or stdout."""
    text = scenario_schema_text()
    if out is None:
        print(text, end="")
    else:
        write_new(out, text, overwrite=overwrite)
