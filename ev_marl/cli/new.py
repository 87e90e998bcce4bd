"""Make a scenario of your own: a commented one from a few options, or a copy of a shipped one with --from.

An existing file is never overwritten.
"""

from __future__ import annotations

import filecmp
import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ev_marl.cli.output import say, write_new
from ev_marl.scenario.compose import SiteKind, SiteWishes, compose
from ev_marl.support.errors import EvMarlError

EXAMPLES = (
    "ev-marl new my_site --stations 20 --ports 2 --power '22 kW' --limit '250 kW' --base-load '120 kW' --pv '80 kW'",
    "ev-marl new hub --kind motorway --stations 8 --limit '500 kW' --demand-charge '0.40 EUR/kW'",
    "ev-marl new street --from residential-v2g --folder sites",
)
EDITOR = "# yaml-language-server: $schema=scenario.schema.json"
NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]*$")


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of your scenario; NAME.yaml is written.")],
    kind: Annotated[SiteKind, typer.Option("--kind", help="Whose sessions and loads are usual there.")] = "work",
    stations: Annotated[int, typer.Option("--stations", min=1, help="Number of stations.")] = SiteWishes.stations,
    ports: Annotated[int, typer.Option("--ports", min=1, help="Ports of each station.")] = SiteWishes.ports,
    power: Annotated[str, typer.Option("--power", help="Of each port, such as '22 kW'; default: what is usual.")] = "",
    v2g: Annotated[bool, typer.Option("--v2g", help="Vehicles may discharge.")] = False,
    fast_stations: Annotated[int, typer.Option("--fast", min=0, help="Number of DC stations besides.")] = 0,
    fast_power: Annotated[str, typer.Option("--fast-power", help="Of each of them.")] = SiteWishes.fast_power,
    limit: Annotated[str, typer.Option("--limit", help="Import limit of the grid connection; default: none.")] = "",
    base_load: Annotated[str, typer.Option("--base-load", help="Highest load of the building; default: none.")] = "",
    pv: Annotated[str, typer.Option("--pv", help="Peak power of PV; default: none.")] = "",
    price: Annotated[str, typer.Option("--price", help="Constant, such as '0.30 EUR/kWh'; default: day-ahead.")] = "",
    demand_charge: Annotated[
        str, typer.Option("--demand-charge", help="For the highest power of an episode, such as '0.5 EUR/kW'.")
    ] = "",
    start_from: Annotated[
        str | None, typer.Option("--from", metavar="SCENARIO", help="Shipped scenario to copy; no other option counts.")
    ] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where to write it.")] = Path(),
) -> None:
    wishes = SiteWishes(
        kind, stations, ports, power, v2g, fast_stations, fast_power, limit, base_load, pv, price, demand_charge
    )
    if not NAME.match(name):
        raise EvMarlError(f"'{name}' is not a valid name: use letters, digits, - and _, and start with a letter")
    path = folder / f"{name}.yaml"
    if start_from is None:
        _compose(path, name, wishes)
        what = "with comments on every key"
    else:
        if wishes != SiteWishes():
            raise EvMarlError("--from copies a scenario as it is: omit the options that describe a site, or --from")
        _copy(path, name, start_from)
        what = f"a copy of {start_from}"
    say(f"{path} written, {what}. Next: ev-marl check {path}; ev-marl compare {path}")
    if not (folder / "scenario.schema.json").exists():
        say(f"For completion in your editor: ev-marl schema --out {folder / 'scenario.schema.json'}")


def _compose(path: Path, name: str, wishes: SiteWishes) -> None:
    """Write a scenario that is sound, or nothing."""
    from ev_marl.scenario import ScenarioError, load_scenario

    text = compose(name, wishes)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        draft.write_text(text, encoding="utf-8")
        try:
            load_scenario(draft)
        except ScenarioError as error:
            raise EvMarlError(f"nothing was written: {str(error).replace(str(draft), path.name)}") from error
    write_new(path, f"{EDITOR}\n{text}", overwrite=None)


def _copy(path: Path, name: str, start_from: str) -> None:
    """Write a copy of a shipped scenario, and of the data files that it names."""
    from ev_marl.scenario import shipped_scenarios
    from ev_marl.scenario.reading import named_files
    from ev_marl.support.registry import did_you_mean

    shipped = shipped_scenarios()
    if start_from not in shipped:
        near = did_you_mean(start_from, list(shipped))
        raise EvMarlError(f"no scenario is called '{start_from}'.{near} Shipped: {', '.join(shipped)}")
    lines = shipped[start_from].read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("# yaml-language-server:")]
    text = re.sub(r"(?m)^name:.*$", f"name: {name}", "\n".join(kept), count=1)
    source, folder = shipped[start_from].parent, path.parent
    files = {folder / file: source / file for file in named_files(shipped[start_from]) if not Path(file).is_absolute()}
    taken = [target for target, file in files.items() if target.exists() and not filecmp.cmp(target, file, False)]
    if taken:
        raise EvMarlError(f"{taken[0]} exists, and is not the file of {start_from}; choose another folder")
    write_new(path, f"{EDITOR}\n{text.lstrip()}\n", overwrite=None)
    for target, file in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        say(f"{target} written, a data file of {path.name}")
