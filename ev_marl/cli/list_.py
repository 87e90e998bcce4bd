"""List all names for scenarios, training files and the command line: policies, coordinators, terms and others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ev_marl.cli.options import AsJson
from ev_marl.cli.output import console, print_json
from ev_marl.support.errors import EvMarlError, NetworkError

if TYPE_CHECKING:
    from ev_marl.support.registry import Registry

EXAMPLES = ("ev-marl list", "ev-marl list policies")


def _scenarios() -> list[tuple[str, dict[str, str]]]:
    from ev_marl.scenario import load_scenario, shipped_scenarios

    return [(name, {"about": load_scenario(path).about}) for name, path in shipped_scenarios().items()]


def _policies() -> list[tuple[str, dict[str, str]]]:
    from ev_marl.policies import POLICIES
    from ev_marl.policies.base import INFORMATION

    rows = []
    for name in POLICIES:
        policy = POLICIES.get(name)
        information = getattr(policy, "information", "")
        rows.append((name, {"knows": INFORMATION.get(information, ""), "about": _first_line(policy)}))
    return rows


def _outlooks() -> list[tuple[str, dict[str, str]]]:
    from ev_marl.planning.outlook import OUTLOOKS

    return _registered(OUTLOOKS)


def _coordinators() -> list[tuple[str, dict[str, str]]]:
    from ev_marl.simulation.coordinators import COORDINATORS

    return _registered(COORDINATORS)


def _terms() -> list[tuple[str, dict[str, str]]]:
    from ev_marl.objective import TERMS

    return _registered(TERMS)


def _blocks() -> list[tuple[str, dict[str, str]]]:
    from ev_marl.env.blocks import BLOCKS

    return _registered(BLOCKS)


def _sessions() -> list[tuple[str, dict[str, str]]]:
    from ev_marl.world.sessions import SESSION_MODELS

    return _registered(SESSION_MODELS)


def _registered(registry: Registry[Any]) -> list[tuple[str, dict[str, str]]]:
    return [(name, {"about": _first_line(registry.get(name))}) for name in registry]


def _trainings() -> list[tuple[str, dict[str, str]]]:
    from ev_marl.rl.config import load_training, shipped_trainings

    return [(name, {"about": load_training(path).description}) for name, path in shipped_trainings().items()]


def _backends() -> list[tuple[str, dict[str, str]]]:
    try:
        import ev_marl.grid.model.network
    except NetworkError as error:
        return [("none", {"about": str(error)})]
    import ev_marl.grid.solvers.choose  # noqa: F401  they register themselves
    from ev_marl.grid.solvers.base import BACKENDS

    return _registered(BACKENDS)


def _first_line(entry: object) -> str:
    if isinstance(entry, partial):  # a class or function with some arguments set
        return f"{', '.join(map(str, entry.keywords.values()))}: {_first_line(entry.func)}"
    return (inspect.getdoc(entry) or "").partition("\n")[0]


_SECTIONS: dict[str, Callable[[], list[tuple[str, dict[str, str]]]]] = {
    "scenarios": _scenarios,
    "policies": _policies,
    "outlooks": _outlooks,
    "coordinators": _coordinators,
    "terms": _terms,
    "blocks": _blocks,
    "sessions": _sessions,
    "backends": _backends,
    "trainings": _trainings,
}


def command(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help=f"{', '.join(_SECTIONS)}.")] = None,
    as_json: AsJson = False,
) -> None:
    sections = {name: make() for name, make in _SECTIONS.items() if kind is None or name == kind}
    if not sections:
        from ev_marl.support.registry import did_you_mean

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
