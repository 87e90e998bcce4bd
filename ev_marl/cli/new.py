"""Make a scenario of your own as a copy of a shipped one; an existing file is never overwritten."""

from __future__ import annotations

import filecmp
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.output import say, write_new
from ev_marl.support.errors import EvMarlError

EXAMPLES = ("ev-marl new my_site", "ev-marl new street --from residential-v2g --folder sites")
NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]*$")


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of your scenario; NAME.yaml is written.")],
    start_from: Annotated[
        str, typer.Option("--from", metavar="SCENARIO", help="Shipped scenario to copy.")
    ] = "workplace",
    folder: Annotated[Path, typer.Option("--folder", help="Where to write it.")] = Path(),
) -> None:
    from ev_marl.scenario import shipped_scenarios
    from ev_marl.scenario.reading import named_files
    from ev_marl.support.registry import did_you_mean

    if not NAME.match(name):
        raise EvMarlError(f"'{name}' is not a valid name: use letters, digits, - and _, and start with a letter")
    shipped = shipped_scenarios()
    if start_from not in shipped:
        near = did_you_mean(start_from, list(shipped))
        raise EvMarlError(f"no scenario is called '{start_from}'.{near} Shipped: {', '.join(shipped)}")
    lines = shipped[start_from].read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("# yaml-language-server:")]
    text = re.sub(r"(?m)^name:.*$", f"name: {name}", "\n".join(kept), count=1)
    path = folder / f"{name}.yaml"
    source = shipped[start_from].parent
    files = {folder / file: source / file for file in named_files(shipped[start_from]) if not Path(file).is_absolute()}
    taken = [target for target, file in files.items() if target.exists() and not filecmp.cmp(target, file, False)]
    if taken:
        raise EvMarlError(f"{taken[0]} exists, and is not the file of {start_from}; choose another folder")
    write_new(path, f"# yaml-language-server: $schema=scenario.schema.json\n{text.lstrip()}\n", overwrite=None)
    for target, file in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        say(f"{target} written, a data file of {path.name}")
    say(f"{path} written, a copy of {start_from}. Next: ev-marl check {path}; ev-marl compare {path}")
    if not (folder / "scenario.schema.json").exists():
        say(f"For completion in your editor: ev-marl schema --out {folder / 'scenario.schema.json'}")
