"""What a scenario with a network needs, and what one without a network must not have.

Plain data come in, problems go out. Whether the network has the buses that are named is found out when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ev_marl.scenario.problems import KeyPath, Problem
from ev_marl.scenario.reading import Document
from ev_marl.scenario.tree import ROOT, parent_of
from ev_marl.scenario.units import price
from ev_marl.support.files import is_file

GRID_TERMS = ("voltage_deviation", "line_overload", "transformer_overload", "grid_losses")
WITHOUT_GRID = "needs `grid`, and this scenario has none; add `grid: {network: ...}`, or remove it"


def grid_problems(document: Document) -> Iterator[Problem]:
    """Every fault of the network, and of what depends on it, that the plain data show."""
    if document.data.get("grid") is None:
        yield from _needs_a_grid(document)
        return
    yield from _file_problems(document)
    yield from _bus_problems(document)


def _needs_a_grid(document: Document) -> Iterator[Problem]:
    for path, data, _ in parent_of(document):
        for key, mapping in _with_bus(path, data):
            if mapping.get("bus") is not None:
                yield document.problem((*key, "bus"), WITHOUT_GRID)
    objective = document.data.get("objective")
    for name in GRID_TERMS:
        if isinstance(objective, dict) and not _is_nothing(objective.get(name)):
            yield document.problem(("objective", name), WITHOUT_GRID)


def _is_nothing(value: object) -> bool:
    try:
        return value is None or price(value) == 0.0
    except ValueError:
        return True  # the key itself is reported


def _file_problems(document: Document) -> Iterator[Problem]:
    path = ("grid", "network", "file")
    file = document.value(path, None)
    if not isinstance(file, str):
        return
    if Path(file).suffix != ".json":
        message = f"found '{file}'; a network file is JSON, written by pandapower.to_json; pickle is never opened"
        yield document.problem(path, message)
    elif not is_file(file):
        yield document.problem(path, f"there is no file {file}; paths are relative to the scenario file")


def _bus_problems(document: Document) -> Iterator[Problem]:
    """Stations and loads that are connected to no bus."""
    groups = {path: (data, above) for path, data, above in parent_of(document)}
    for path, (data, _) in groups.items():
        above: KeyPath | None = path
        for _ in groups:  # as deep as it can be; cycles are reported elsewhere
            if above is None or above not in groups or groups[above][0].get("bus") is not None:
                break
            above = groups[above][1]
        with_load = data.get("base_load") is not None or data.get("pv") is not None
        here = (*ROOT, "name") if path == ROOT else path
        if above is not None:
            if with_load and groups[above][0].get("bus") == "loads":
                message = "its load or plant needs one bus, and `loads` is for stations; give it `bus: NAME`"
                yield document.problem(here, message)
            continue
        for key, mapping in _with_bus(path, data):
            if key != path and mapping.get("bus") is None:
                message = "these stations are connected to no bus; give them, or a group above them, `bus: NAME`"
                yield document.problem(key, message)
        if with_load:
            message = "its load or plant is connected to no bus; give it, or a group above it, `bus: NAME`"
            yield document.problem(here, message)


def _with_bus(path: KeyPath, group: dict[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """A group and its stations, as far as they are mappings."""
    yield path, group
    stations = group.get("stations")
    for i, entry in enumerate(stations if isinstance(stations, list) else []):
        if isinstance(entry, dict):
            yield (*path, "stations", i), entry
