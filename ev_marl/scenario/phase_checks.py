"""What current limits need of stations and transformers, and names of stations that are used twice.

Plain data come in, problems go out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ev_marl.scenario.problems import KeyPath, Problem
from ev_marl.scenario.reading import Document
from ev_marl.scenario.tree import parent_of


def phase_problems(document: Document) -> Iterator[Problem]:
    """Every station below a current limit whose phases are not known, and every limit that cannot be computed."""
    groups = {path: (data, above) for path, data, above in parent_of(document)}
    seen: dict[str, KeyPath] = {}
    for path, (data, _) in groups.items():
        limited = any(_has_currents(groups[above][0]) for above in (path, *_above(groups, path)))
        stations = data.get("stations")
        for i, entry in enumerate(stations if isinstance(stations, list) else []):
            if not isinstance(entry, dict):
                continue
            here = (*path, "stations", i)
            if limited and entry.get("phases") in (1, 2):
                message = (
                    f"found {entry['phases']}, below a group with a limit of currents; say which phases: L1, L2, L3, "
                    "L1-L2, L2-L3 or L3-L1, or a list of them that the stations take in turn"
                )
                yield document.problem((*here, "phases"), message)
            names = entry.get("ids")
            for k, name in enumerate(names if isinstance(names, list) else []):
                if not isinstance(name, str):
                    continue
                if name in seen:
                    line = document.place(seen[name])[1]
                    where = f" in line {line}" if line else ""
                    yield document.problem((*here, "ids", k), f"'{name}' names another station{where} already")
                seen.setdefault(name, (*here, "ids", k))
        transformer = data.get("transformer")
        if isinstance(transformer, dict) and transformer.get("primary") is None:
            over = [above for above in _above(groups, path) if _has_currents(groups[above][0])]
            if _in_its_line(data):
                over.insert(0, path)
            if over:
                called = groups[over[0]][0].get("name")
                message = (
                    f"'{called}' above it has a limit of currents; give the transformer `primary` and `vector_group`"
                )
                yield document.problem((*path, "transformer"), message)


def _has_currents(group: dict[str, Any]) -> bool:
    return _in_its_line(group) or group.get("transformer") is not None


def _in_its_line(group: dict[str, Any]) -> bool:
    """Whether there is a limit of currents in the line that feeds the group."""
    return group.get("current_limit") is not None or group.get("unbalance_limit") is not None


def _above(groups: dict[KeyPath, tuple[dict[str, Any], KeyPath | None]], path: KeyPath) -> Iterator[KeyPath]:
    """The groups above a group, nearest first."""
    above = groups[path][1]
    for _ in groups:  # as many as there can be; cycles are reported elsewhere
        if above is None or above not in groups:
            return
        yield above
        above = groups[above][1]
