"""Print the JSON Schema of scenario files or training files, for completion and checks in editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.options import Overwrite
from ev_marl.cli.output import write_new

EXAMPLES = ("ev-marl schema --out scenario.schema.json", "ev-marl schema --training --reference")


def command(
    out: Annotated[Path | None, typer.Option("--out", help="File to write instead of stdout.")] = None,
    reference: Annotated[bool, typer.Option("--reference", help="Print the reference in Markdown instead.")] = False,
    training: Annotated[bool, typer.Option("--training", help="For training files instead of scenarios.")] = False,
    overwrite: Overwrite = False,
) -> None:
    if training:
        from ev_marl.rl.config_reference import training_reference, training_schema_text

        text = training_reference() if reference else training_schema_text()
    else:
        from ev_marl.scenario.json_schema import scenario_schema_text
        from ev_marl.scenario.reference import scenario_reference

        text = scenario_reference() if reference else scenario_schema_text()
    if out is None:
        print(text, end="")
    else:
        write_new(out, text, overwrite=overwrite)
