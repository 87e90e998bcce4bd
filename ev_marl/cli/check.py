"""Check scenario files: every error at once, with file and line; exit code 1 if there is any."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ev_marl.cli.options import AsJson
from ev_marl.cli.output import console, print_json, say
from ev_marl.env.setup import Setting
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.support.errors import EvMarlError

EXAMPLES = ("ev-marl check my_site.yaml", "ev-marl check *.yaml --json")


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Scenario files, or names of shipped ones.")],
    as_json: AsJson = False,
) -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        try:
            scenario = load_scenario(file)
            setting = Setting.of(scenario)
        except ScenarioError as error:
            found[file] = [{"file": p.file, "line": p.line, "key": p.key, "message": p.message} for p in error.problems]
            if not as_json:
                say(str(error))
        except EvMarlError as error:
            found[file] = [{"file": file, "line": 0, "key": "", "message": str(error)}]
            if not as_json:
                say(f"{file}: {error}")
        else:
            found[file] = []
            if not as_json:
                arrays = setting.site.arrays
                numbers = ((arrays.n_stations, "station"), (arrays.n_ports, "port"), (arrays.n_groups, "group"))
                warn(file, setting)
                text = f"{file}: sound. " + ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in numbers)
                console().print(text, markup=False, soft_wrap=True)
    if as_json:
        print_json(found)
    if any(found.values()):
        raise typer.Exit(1)


def warn(file: str, setting: Setting) -> None:
    """Say what is no error and yet no sense: a network that has no power flow even without charging."""
    if setting.network is None:
        return
    from ev_marl.grid.studies.describe import idle_day  # noqa: PLC0415  pandapower is heavy, and optional

    found = idle_day(setting.network, setting.world.sample(0))
    if found.n_failed:
        say(f"{file}: warning: network '{setting.network.spec.name}' has {found}")
