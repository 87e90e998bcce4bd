"""How large a scenario may be: one check of its numbers and their products, before anything is built.

Comes in: the plain data, whatever else is wrong with it. Goes out: a problem for each count that is too large, at the
key that makes it so, with the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ev_marl.scenario.problems import KeyPath, Problem
from ev_marl.scenario.reading import Document
from ev_marl.scenario.units import duration
from ev_marl.support.values import number, whole

WARM_UP_H = 168.0
"""Arrivals are drawn from a week before an episode on, for the vehicles that are there when it starts [h]. In every
model of the package, fewer than 0.2 % of those who would be there came earlier."""
MOST_STEPS = 600_000
"""Steps of an episode; a year of minutes has 527,040."""
MOST_PORTS = 200_000
"""Ports of a site, and stations."""
MOST_GROUPS = 20_000
"""Groups of a site."""
DEEPEST_SITE = 50
"""Levels of groups, one below the other."""
MOST_CELLS = 50_000_000
"""Steps times groups or loads of a network, ports times limits of currents: each is a number in several arrays."""
MOST_SESSIONS = 5_000_000
"""Vehicles that come in an episode."""
MOST_LEVELS = 1001
"""Levels of a discrete action."""
MOST_AHEAD_H = 8784.0
"""How far ahead an observation may look, one year [h]."""
MOST_OBSERVED = 50_000_000
"""Numbers that all agents observe together."""


def size_problems(document: Document) -> Iterator[Problem]:
    """Every count that is too large."""
    n_groups = n_ports = n_stations = n_currents = 0
    for path, group in groups_of(document.data.get("site")):
        n_groups += 1
        n_currents += 3 * sum(group.get(key) is not None for key in ("current_limit", "unbalance_limit"))
        n_currents += 6 * (group.get("transformer") is not None)
        if n_groups > MOST_GROUPS:
            yield document.problem(path, f"there are more than {MOST_GROUPS:,} groups; that is the most")
            return
        stations = group.get("stations")
        for i, entry in enumerate(stations if isinstance(stations, list) else []):
            count, ports = (count_of(entry, key) for key in ("count", "ports"))
            n_stations += count
            n_ports += count * ports
            if n_ports > MOST_PORTS:
                here = (*path, "stations", i)
                message = (
                    f"with these, the site has {n_stations:,} stations with {n_ports:,} ports; it may have "
                    f"{MOST_PORTS:,} ports"
                )
                yield document.problem(here, message)
                return
    if n_currents * n_ports > MOST_CELLS:
        message = (
            f"there are {n_currents:,} limits of currents for {n_ports:,} ports; the product may be {MOST_CELLS:,}"
        )
        yield document.problem(("site",), message)
    yield from _step_problems(document, n_groups)
    yield from _session_problems(document, n_ports)


def groups_of(data: Any, path: KeyPath = ("site",)) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Every group that is written as a mapping, the root first, and its key."""
    if not isinstance(data, dict):
        return
    yield path, data
    children = data.get("groups")
    for i, child in enumerate(children if isinstance(children, list) else []):
        yield from groups_of(child, (*path, "groups", i))


def _step_problems(document: Document, n_groups: int) -> Iterator[Problem]:
    n_steps = steps_of(document.data)
    if n_steps is None:
        return
    key = ("step",) if "step" in document.data else ("horizon",)
    if n_steps > MOST_STEPS:
        yield document.problem(key, f"this makes {n_steps:,} steps; an episode may have {MOST_STEPS:,}")
    elif n_steps * n_groups > MOST_CELLS:
        message = f"this makes {n_steps:,} steps of {n_groups:,} groups; the product may be {MOST_CELLS:,}"
        yield document.problem(key, message)


def _session_problems(document: Document, n_ports: int) -> Iterator[Problem]:
    ports_at = {("sessions",): n_ports} | sessions_below(document)
    for path, ports in ports_at.items():
        sessions = document.value(path, None)
        said = sessions if isinstance(sessions, dict) else {}
        horizon_h = _read(duration, document.data, "horizon", 24.0)
        keys = ("per_port_per_day", "weekend_factor", "stay_scale")
        rate, weekend, stay_scale = (_read(number, said, key, 1.0) for key in keys)
        if horizon_h is None or rate is None or weekend is None or stay_scale is None:
            continue
        message = too_many_vehicles(ports, horizon_h, rate, weekend, stay_scale)
        if message is not None:
            yield document.problem((*path, "per_port_per_day"), message)


def sessions_below(document: Document) -> dict[KeyPath, int]:
    """Keys of the sessions that a group or an entry of stations has of its own, and ports that the file lists below."""
    found: dict[KeyPath, int] = {}
    for path, group in groups_of(document.data.get("site")):
        stations = group.get("stations")
        for i, entry in enumerate(stations if isinstance(stations, list) else []):
            if isinstance(entry, dict) and "sessions" in entry:
                found[(*path, "stations", i, "sessions")] = count_of(entry, "count") * count_of(entry, "ports")
        if "sessions" in group:
            found[(*path, "sessions")] = sum(
                count_of(entry, "count") * count_of(entry, "ports")
                for _, below in groups_of(group)
                for entry in (below["stations"] if isinstance(below.get("stations"), list) else [])
            )
    return found


def too_many_vehicles(
    n_ports: int, horizon_h: float, per_port_per_day: float, weekend_factor: float | None, stay_scale: float
) -> str | None:
    """Why nobody should draw the vehicles of an episode and of the time before it; None where they are not too many.

    Parameters
    ----------
    n_ports : int
        Ports of the site.
    horizon_h : float
        Length of the episode [h].
    per_port_per_day, weekend_factor, stay_scale : float
        The keys of `sessions`.
    """
    days = (horizon_h + warm_up_h(stay_scale)) / 24.0
    n_vehicles = n_ports * per_port_per_day * max(1.0, weekend_factor or 0.0) * days
    if n_vehicles <= MOST_SESSIONS:
        return None
    many = f"about {n_vehicles:,.0f} vehicles in an episode at {n_ports:,} ports"
    return f"this makes {many}; there may be {MOST_SESSIONS:,}"


def warm_up_h(stay_scale: float) -> float:
    """How long before an episode the first vehicle may come, longer where all stays are longer [h]."""
    return WARM_UP_H * max(1.0, stay_scale)


def steps_of(data: dict[str, Any]) -> int | None:
    """Steps of an episode; None where the keys do not say."""
    step_h, horizon_h = _read(duration, data, "step", 0.25), _read(duration, data, "horizon", 24.0)
    return round(horizon_h / step_h) if step_h and horizon_h is not None else None


def _read(read: Callable[[Any], float], data: dict[str, Any], key: str, default: float) -> float | None:
    """A number of a mapping; None where it is none, since the key itself is reported."""
    value = data.get(key)
    try:
        return default if value is None else read(value)
    except (TypeError, ValueError):
        return None


def count_of(entry: Any, key: str) -> int:
    """How many of something an entry asks for, read as the schema reads it; 1 where it is no count, which the schema
    reports."""
    try:
        return max(1, whole(entry.get(key, 1))) if isinstance(entry, dict) else 1
    except ValueError:
        return 1
