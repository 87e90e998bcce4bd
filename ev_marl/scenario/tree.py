"""Whether the groups of a scenario form a tree with stations at its ends.

Comes in: the plain data, whatever else is wrong with it. Goes out: a problem for each name used twice, group with two
parents, parent that does not exist, cycle, and group with no station.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from ev_marl.scenario.problems import KeyPath, Problem
from ev_marl.scenario.reading import Document
from ev_marl.scenario.sizes import DEEPEST_SITE, count_of, groups_of
from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import listed, shown

ROOT: KeyPath = ("site",)
_STATION = re.compile(r"([a-z]+)_(0|[1-9][0-9]{0,8})\Z")


@dataclass(frozen=True)
class _Listed:
    """A group as the file lists it."""

    path: KeyPath
    data: Mapping[str, Any]
    above: KeyPath | None  # the group that it is written below

    @property
    def name(self) -> str | None:
        name = self.data.get("name")
        return name if isinstance(name, str) else None


def tree_problems(document: Document) -> Iterator[Problem]:
    """Every fault of the tree of groups."""
    groups = list(_listed(document.data.get("site"), ROOT, None))
    if not groups:
        return
    named: dict[str, _Listed] = {}
    for group in groups:
        if group.name is not None:
            named.setdefault(group.name, group)
    yield from _name_problems(document, groups, named)
    tree = nx.DiGraph()
    tree.add_nodes_from(group.path for group in groups)
    for group in groups:
        problem, parent = _parent(document, group, named)
        if problem is not None:
            yield problem
        if parent is not None:
            tree.add_edge(parent, group.path)
    by_path = {group.path: group for group in groups}
    cycles = list(nx.simple_cycles(tree))
    for cycle in cycles:
        start = cycle.index(min(cycle))  # the group that the file names first
        loop = [*cycle[start:], *cycle[:start]]
        names = [str(by_path[path].name) for path in loop]
        message = f"the parents form a cycle: {' -> '.join([*names, names[0]])}; a site is a tree"
        yield document.problem((*loop[0], "parent"), message)
    if cycles:
        return  # groups in a cycle are not below the root, so any further problem would mislead
    above: dict[KeyPath, KeyPath | None] = {path: next(iter(tree.predecessors(path)), None) for path in tree}
    depth: dict[KeyPath | None, int] = {None: 0}
    for path in nx.topological_sort(tree):
        depth[path] = depth[above[path]] + 1
        if depth[path] > DEEPEST_SITE:
            yield document.problem(path, f"more than {DEEPEST_SITE} groups hang below each other; that is the most")
            return
    fed: set[KeyPath] = set()
    for group in groups:
        here: KeyPath | None = group.path if group.data.get("stations") else None
        while here is not None and here not in fed:
            fed.add(here)
            here = above[here]
    for group in groups:
        if group.path not in fed:
            called = f"'{group.name}' " if group.name else ""
            message = f"the group {called}has no station below it; give it `stations:`, or remove it"
            yield document.problem(group.path, message)


def parent_of(document: Document) -> Iterator[tuple[KeyPath, dict[str, Any], KeyPath | None]]:
    """Every group: its key, its data, and the key of the group that feeds it."""
    groups = list(_listed(document.data.get("site"), ROOT, None))
    named: dict[str, _Listed] = {}
    for group in groups:
        if group.name is not None:
            named.setdefault(group.name, group)
    for group in groups:
        yield group.path, dict(group.data), _parent(document, group, named)[1]


def _listed(data: Any, path: KeyPath, above: KeyPath | None) -> Iterator[_Listed]:
    """Every group, the root first."""
    for here, group in groups_of(data, path):
        yield _Listed(here, group, above if here == path else here[:-2])


def _name_problems(document: Document, groups: list[_Listed], named: Mapping[str, _Listed]) -> Iterator[Problem]:
    counts = _stations(groups)
    for group in groups:
        if group.name is None:
            continue
        here = (*group.path, "name")
        first = named[group.name]
        if first is not group:
            line = document.place((*first.path, "name"))[1]
            where = f", in line {line}" if line else ""
            yield document.problem(here, f"a group called '{group.name}' exists already{where}; names must be unique")
        station = _STATION.match(group.name)
        if station is not None and int(station[2]) < counts[station[1]]:
            yield document.problem(here, f"'{group.name}' is the name of a station; call the group something else")


def _stations(groups: list[_Listed]) -> Counter[str]:
    """How many stations there will be of each type; they are called `type_0`, `type_1`, ..."""
    counts: Counter[str] = Counter()
    for group in groups:
        stations = group.data.get("stations")
        for entry in stations if isinstance(stations, list) else []:
            kind = entry.get("type") if isinstance(entry, dict) else None
            if isinstance(kind, str):
                counts[kind] += count_of(entry, "count")
    return counts


def _parent(document: Document, group: _Listed, named: Mapping[str, _Listed]) -> tuple[Problem | None, KeyPath | None]:
    """What is wrong with a group's parent, and which group feeds it."""
    parent, here = group.data.get("parent"), (*group.path, "parent")
    if parent is None or not isinstance(parent, str):
        return None, group.above
    if group.above is None:
        return document.problem(here, "the root is the grid connection and has no parent; remove this key"), None
    if parent not in named:
        near = did_you_mean(parent, list(named))
        message = f"there is no group {shown(parent)}.{near} Groups: {listed(named)}"
        return document.problem(here, message), group.above
    fed_by = named[parent].path
    if group.above not in (ROOT, fed_by):
        above = document.value((*group.above, "name"), "")
        message = f"two parents: it stands below '{above}' and names '{parent}'; keep one of them"
        return document.problem(here, message), group.above
    return None, fed_by
