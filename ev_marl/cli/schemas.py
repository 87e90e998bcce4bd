"""`ev-marl schema`: what a scenario or training file may say, for editors and for people."""

from __future__ import annotations

from pathlib import Path

from ev_marl.cli.output import write_new
from ev_marl.rl.config_reference import training_reference, training_schema_text
from ev_marl.scenario.json_schema import scenario_schema_text
from ev_marl.scenario.reference import scenario_reference


def run(out: Path | None, reference: bool, overwrite: bool, training: bool) -> None:
    """Write the JSON Schema, or the reference in Markdown, of scenario or training files to a file or stdout."""
    if training:
        text = training_reference() if reference else training_schema_text()
    else:
        text = scenario_reference() if reference else scenario_schema_text()
    if out is None:
        print(text, end="")
    else:
        write_new(out, text, overwrite=overwrite)
