"""`ev-marl check`, `list`, `new`: scenario files, and what they may name."""

from __future__ import annotations

import filecmp
import importlib
import inspect
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ev_marl.cli.output import console, print_json, say, write_new
from ev_marl.env.blocks import BLOCKS
from ev_marl.env.setup import Setting
from ev_marl.grid.base import BACKENDS
from ev_marl.objective import TERMS
from ev_marl.policies import POLICIES
from ev_marl.rl.config_file import load_training, shipped_trainings
from ev_marl.scenario import ScenarioError, load_scenario, shipped_scenarios
from ev_marl.scenario.reading import named_files
from ev_marl.simulation.coordinators import COORDINATORS
from ev_marl.support.errors import EvMarlError, NetworkError
from ev_marl.support.registry import Registry, did_you_mean
from ev_marl.world.sessions import SESSION_MODELS

NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]*$")
_INFORMATION = {"own": "own station", "messages": "messages", "site": "whole site", "future": "whole future"}


def check(files: list[str], as_json: bool) -> bool:
    """Check scenarios, every error of each; whether all are sound."""
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
    return not any(found.values())


def warn(file: str, setting: Setting) -> None:
    """Say what is no error and yet no sense: a network that has no power flow even without charging."""
    if setting.network is None:
        return
    from ev_marl.grid.describe import idle_day  # noqa: PLC0415  pandapower is heavy, and optional

    found = idle_day(setting.network, setting.world.sample(0))
    if found.n_failed:
        say(f"{file}: warning: network '{setting.network.spec.name}' has {found}")


def new(name: str, start_from: str, folder: Path) -> None:
    """Copy a shipped scenario under another name, and the files that it names beside it."""
    if not NAME.match(name):
        raise EvMarlError(f"'{name}' is not a name: letters, digits, - and _, a letter first")
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
        say(f"{target} written, which {path.name} names")
    say(f"{path} written, a copy of {start_from}. Next: ev-marl check {path}; ev-marl compare {path}")
    if not (folder / "scenario.schema.json").exists():
        say(f"For completion in your editor: ev-marl schema --out {folder / 'scenario.schema.json'}")


def list_plugins(kind: str | None, as_json: bool) -> None:
    """What can be named in scenarios and on the command line."""
    sections = {name: make() for name, make in _SECTIONS.items() if kind is None or name == kind}
    if not sections:
        near = did_you_mean(str(kind), list(_SECTIONS))
        raise EvMarlError(f"nothing to list is called '{kind}'.{near} Known: {', '.join(_SECTIONS)}")
    if as_json:
        print_json({name: [{"name": entry, **about} for entry, about in rows] for name, rows in sections.items()})
        return
    out = console()
    for name, rows in sections.items():
        table = Table.grid(padding=(0, 2))
        for entry, about in rows:
            table.add_row(f"  {entry}", *(Text(value) for value in about.values()))
        out.print(Text(name, style="bold"), table, Text(""), sep="\n")


def _scenarios() -> list[tuple[str, dict[str, str]]]:
    return [(name, {"about": load_scenario(path).about}) for name, path in shipped_scenarios().items()]


def _policies() -> list[tuple[str, dict[str, str]]]:
    rows = []
    for name in POLICIES:
        policy = POLICIES.get(name)
        information = getattr(policy, "information", "")
        rows.append((name, {"knows": _INFORMATION.get(information, ""), "about": _first_line(policy)}))
    return rows


def _registered(registry: Registry[Any]) -> list[tuple[str, dict[str, str]]]:
    return [(name, {"about": _first_line(registry.get(name))}) for name in registry]


def _trainings() -> list[tuple[str, dict[str, str]]]:
    return [(name, {"about": load_training(path).description}) for name, path in shipped_trainings().items()]


def _backends() -> list[tuple[str, dict[str, str]]]:
    try:
        importlib.import_module("ev_marl.grid.model.network")  # pandapower is heavy, and optional
    except NetworkError as error:
        return [("none", {"about": str(error)})]
    importlib.import_module("ev_marl.grid.solvers.choose")  # they register themselves
    return _registered(BACKENDS)


def _first_line(entry: object) -> str:
    if isinstance(entry, partial):  # a class or function with its first choices made
        return f"{', '.join(map(str, entry.keywords.values()))}: {_first_line(entry.func)}"
    return (inspect.getdoc(entry) or "").partition("\n")[0]


_SECTIONS: dict[str, Callable[[], list[tuple[str, dict[str, str]]]]] = {
    "scenarios": _scenarios,
    "policies": _policies,
    "coordinators": partial(_registered, COORDINATORS),
    "terms": partial(_registered, TERMS),
    "blocks": partial(_registered, BLOCKS),
    "sessions": partial(_registered, SESSION_MODELS),
    "backends": _backends,
    "trainings": _trainings,
}
