"""Checks that see the whole scenario: the tree of groups, the files it names, names of plug-ins.

They read the plain data, so that they report beside the errors of single keys, whatever else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import networkx as nx

from ev_marl.registry import did_you_mean
from ev_marl.scenario.files import read_column
from ev_marl.scenario.problems import Problem
from ev_marl.scenario.reading import Document, KeyPath
from ev_marl.scenario.units import DURATION, quantity

COORDINATORS = ("none", "proportional", "priority", "nearest")
BLOCKS = ("identity", "clock", "calendar", "ports", "prices", "headroom", "neighbours")
SESSION_MODELS = ("elaadnl/workplace", "elaadnl/private", "elaadnl/public", "acn/caltech", "acn/jpl", "highway")


def whole_scenario_problems(document: Document) -> list[Problem]:
    """Every fault that no single key shows."""
    return [
        *_tree_problems(document),
        *_file_problems(document),
        *_name_problems(document),
        *_coordination_problems(document),
    ]


def _groups(data: Any, path: KeyPath, above: str | None) -> Iterator[tuple[KeyPath, dict[str, Any], str | None]]:
    """Path, mapping and enclosing group of every group, root first."""
    if not isinstance(data, dict):
        return
    yield path, data, above
    children = data.get("groups")
    for i, child in enumerate(children if isinstance(children, list) else []):
        yield from _groups(child, (*path, "groups", i), str(data.get("name")))


def _tree_problems(document: Document) -> Iterator[Problem]:
    groups = list(_groups(document.data.get("site"), ("site",), None))
    if not groups:
        return
    first: dict[str, KeyPath] = {}
    for path, group, _ in groups:
        name = group.get("name")
        if not isinstance(name, str):
            continue
        if name in first:
            line = document.place((*first[name], "name"))[1]
            message = f"the group '{name}' exists already, in line {line}; names must be unique"
            yield document.problem((*path, "name"), message)
        first.setdefault(name, path)
    tree = nx.DiGraph()
    root = groups[0][1].get("name")
    for path, group, above in groups:
        name, parent = group.get("name"), group.get("parent")
        tree.add_node(name)
        if parent is not None and parent not in first:
            known = did_you_mean(str(parent), list(first))
            yield document.problem((*path, "parent"), f"there is no group '{parent}'.{known}")
            parent = None
        elif parent is not None and above is None:
            yield document.problem((*path, "parent"), "the root is the grid connection and has no parent")
            continue
        elif parent is not None and above not in (root, parent):
            message = (
                f"two parents: it stands below '{above}' and names '{parent}'; write it below one, without `parent`"
            )
            yield document.problem((*path, "parent"), message)
        if above is not None:
            tree.add_edge(parent or above, name)
    for loop in nx.simple_cycles(tree):
        text = " -> ".join([*loop, loop[0]])
        path = first[loop[0]]
        yield document.problem((*path, "parent"), f"the parents form a cycle: {text}; a site is a tree")
    for path, group, _ in groups:
        name = group.get("name")
        below = [name, *nx.descendants(tree, name)]
        if not any(other.get("stations") for _, other, _ in groups if other.get("name") in below):
            yield document.problem(path, f"the group '{name}' has no station below it; add `stations:` or remove it")


def _file_problems(document: Document) -> Iterator[Problem]:
    n_steps = _n_steps(document.data)
    for path, mapping in _mappings(document.data, ()):
        file = mapping.get("csv")
        if not isinstance(file, str):
            continue
        here = (*path, "csv")
        if not Path(file).is_file():
            yield document.problem(here, f"file {file} does not exist; paths are relative to the scenario file")
        elif n_steps is not None and path != ("prices",):
            column = mapping.get("column")
            try:
                read_column(Path(file), column if isinstance(column, str) else None, n_steps)
            except ValueError as error:
                yield document.problem(here, str(error))


def _mappings(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    if isinstance(data, dict):
        yield path, data
        for key, value in data.items():
            yield from _mappings(value, (*path, key))
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from _mappings(value, (*path, i))


def _n_steps(data: dict[str, Any]) -> int | None:
    read = quantity(DURATION, "hours", "'24 h'")
    try:
        return round(read(data.get("horizon", 24.0)) / read(data.get("step", 0.25)))
    except (ValueError, ZeroDivisionError):
        return None  # the key itself is reported


def _name_problems(document: Document) -> Iterator[Problem]:
    data = document.data
    coordinator = data.get("coordinator")
    if isinstance(coordinator, dict):
        yield from _unknown(document, ("coordinator", "name"), coordinator.get("name"), COORDINATORS, "coordinators")
    else:
        yield from _unknown(document, ("coordinator",), coordinator, COORDINATORS, "coordinators")
    blocks = data.get("observation")
    for i, block in enumerate(blocks if isinstance(blocks, list) else []):
        if isinstance(block, dict):
            yield from _unknown(document, ("observation", i, "block"), block.get("block"), BLOCKS, "observation_blocks")
        else:
            yield from _unknown(document, ("observation", i), block, BLOCKS, "observation_blocks")
    sessions = data.get("sessions")
    if isinstance(sessions, dict):
        yield from _unknown(document, ("sessions", "model"), sessions.get("model"), SESSION_MODELS, "session_models")


def _unknown(
    document: Document, path: KeyPath, name: object, built_in: tuple[str, ...], group: str
) -> Iterator[Problem]:
    if not isinstance(name, str) or ":" in name:
        return
    known = [*built_in, *(point.name for point in entry_points(group=f"ev_marl.{group}"))]
    if name not in known:
        allowed = f"allowed: {', '.join(known)}, or module:Class"
        yield document.problem(path, f"found '{name}'.{did_you_mean(name, known)} {allowed}")


def _coordination_problems(document: Document) -> Iterator[Problem]:
    coordinator = document.data.get("coordinator", "nearest")
    name = coordinator.get("name") if isinstance(coordinator, dict) else coordinator
    objective = document.data.get("objective")
    priced = isinstance(objective, dict) and objective.get("overload") is not None
    if name == "none" and not priced:
        message = "`none` lets limits be broken; price that with `objective: {overload: 2 EUR/kWh}`"
        yield document.problem(("coordinator",), message)
    if name in COORDINATORS and name != "none" and priced:
        message = f"coordinator `{name}` never lets limits be broken; remove this key, or use `none`"
        yield document.problem(("objective", "overload"), message)
