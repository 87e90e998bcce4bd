"""Events of a day: demand response, islands and outages, each announced some time ahead.

A scenario's key `events` and a clock come in; a table of events goes out, which the track keeps. Their effect on limits
and ports is computed here, for all who ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ev_marl.scenario.clock import Clock
from ev_marl.scenario.problems import ScenarioError
from ev_marl.scenario.schema import Scenario
from ev_marl.scenario.schema.events import EventKind
from ev_marl.support.errors import TrackError
from ev_marl.support.values import MOST
from ev_marl.world.session_table import LONGEST_NAME

if TYPE_CHECKING:
    from ev_marl.site.site import Site

EVENT = np.dtype(
    [
        ("kind", "U16"),
        ("of", f"U{LONGEST_NAME}"),  # group; of an outage, station or port
        ("first_step", "i8"),
        ("end_step", "i8"),  # first step after it
        ("announced_step", "i8"),  # from this step on it is known, with its end
        ("limit_kw", "f8"),  # import limit meanwhile; 0 but for demand response [kW]
        ("penalty_per_kwh", "f8"),  # price of import above that limit; 0: the limit is kept [currency/kWh]
    ]
)
"""One event."""

LIMIT, PENALTY = 0, 1
"""Rows of requests: the requested import limit of a group [kW], and the price of import above it [currency/kWh]."""
MOST_EVENTS = 10_000  # of a day
OUTAGE = "outage"
REQUEST = "demand_response"
ISLAND = "island"


def no_events() -> np.ndarray:
    """A table without events."""
    return np.empty(0, dtype=EVENT)


def events_from_rows(rows: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """Events that are written by hand or in a file, one mapping each; sorted by first step.

    Left out, `announced_step` is `first_step`, `limit_kw` and `penalty_per_kwh` are 0.

    Raises
    ------
    TrackError
        If a field is missing, unknown or of a wrong kind.
    """
    names = EVENT.names or ()
    found = []
    for k, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TrackError(f"events[{k}] is no mapping of the fields {', '.join(names)}")
        full = {"announced_step": row.get("first_step"), "limit_kw": 0.0, "penalty_per_kwh": 0.0, **row}
        if set(full) != set(names):
            wrong = ", ".join(sorted(map(str, set(full) ^ set(names))))
            raise TrackError(f"events[{k}] must have the fields {', '.join(names)}; missing or unknown: {wrong}")
        for name in names:
            kinds = {"U": str, "i": int, "f": (int, float)}[EVENT[name].kind]
            value = full[name]
            fits = isinstance(value, kinds) and not isinstance(value, bool)  # type: ignore[arg-type]
            if not fits or (len(value) > LONGEST_NAME if isinstance(value, str) else not abs(value) <= MOST):
                raise TrackError(f"events[{k}].{name} is {str(value)[:80]!r}; see the fields of an event")
        found.append(tuple(full[name] for name in names))
    table = np.array(found, dtype=EVENT)
    return table[np.argsort(table["first_step"], kind="stable")]


def rows_of(events: np.ndarray) -> list[dict[str, Any]]:
    """The same as plain mappings, for files."""
    return [dict(zip(EVENT.names or (), row.tolist(), strict=True)) for row in events]


def event_problems(events: np.ndarray, n_steps: int, groups: Sequence[str], ports: Sequence[str]) -> list[str]:
    """Every fault of a table of events."""
    if events.ndim != 1 or events.dtype != EVENT:
        return ["events are not a table of the dtype EVENT; make them with events_from_rows(...)"]
    if len(events) > MOST_EVENTS:
        return [f"there are {len(events):,} events; a day may have {MOST_EVENTS:,}"]
    found = []
    stations = {port.rpartition("/")[0] for port in ports}
    for k, event in enumerate(events):
        kind, of = str(event["kind"]), str(event["of"])
        what = f"event {k} ({kind} of {of})"
        if kind not in get_args(EventKind):
            found.append(f"event {k}: kind '{kind}' is unknown; known are {', '.join(get_args(EventKind))}")
        elif kind == OUTAGE and of not in stations and of not in ports:
            found.append(f"{what}: there is no such station or port")
        elif kind != OUTAGE and of not in groups:
            found.append(f"{what}: there is no such group")
        first, end, announced = (int(event[name]) for name in ("first_step", "end_step", "announced_step"))
        if not 0 <= first < end <= n_steps:
            found.append(f"{what}: it lasts from step {first} to {end}; that must lie within 0 to {n_steps}")
        if not announced <= first:
            found.append(f"{what}: it is announced at step {announced}, after it has begun at {first}")
        if not 0.0 <= event["limit_kw"] <= MOST:
            found.append(f"{what}: limit_kw is {event['limit_kw']}; it must be 0 to {MOST:g}")
        if not 0.0 <= event["penalty_per_kwh"] <= MOST or (event["penalty_per_kwh"] and kind != REQUEST):
            found.append(
                f"{what}: penalty_per_kwh is {event['penalty_per_kwh']}; it must be 0 to {MOST:g}, "
                f"and 0 but for {REQUEST}"
            )
    return found


def limited(
    events: np.ndarray, groups: Sequence[str], import_kw: np.ndarray, export_kw: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Limits with the events that lower them.

    Parameters
    ----------
    events : EVENT, shape (n_events,)
        Events; outages and requests with a penalty do not matter.
    groups : sequence of str
        Names of the groups.
    import_kw, export_kw : float64, shape (n_steps, n_groups)
        Limits without events [kW].

    Returns
    -------
    tuple of float64, shape (n_steps, n_groups)
        Import and export limits: of demand response, the import limit; of an island, both are 0 [kW].
    """
    import_kw, export_kw = import_kw.copy(), export_kw.copy()
    for event in events[(events["kind"] != OUTAGE) & (events["penalty_per_kwh"] == 0.0)]:
        where = slice(event["first_step"], event["end_step"]), groups.index(event["of"])
        import_kw[where] = np.minimum(import_kw[where], event["limit_kw"])
        if event["kind"] == ISLAND:
            export_kw[where] = 0.0
    return import_kw, export_kw


def requested(events: np.ndarray, groups: Sequence[str], n_steps: int) -> np.ndarray | None:
    """What requests with a penalty ask for, float64, shape (n_steps, 2, n_groups); None if there are none.

    Rows `LIMIT`, infinite without a request, and `PENALTY`, then 0. Where several concern a group at once, the lowest
    limit and the highest penalty count.
    """
    priced = events[events["penalty_per_kwh"] > 0.0]
    if not len(priced):
        return None
    found = np.stack([np.full((n_steps, len(groups)), np.inf), np.zeros((n_steps, len(groups)))], axis=1)
    for event in priced:
        during = found[event["first_step"] : event["end_step"], :, groups.index(event["of"])]
        during[:, LIMIT] = np.minimum(during[:, LIMIT], event["limit_kw"])
        during[:, PENALTY] = np.maximum(during[:, PENALTY], event["penalty_per_kwh"])
    return found


def out_ports(events: np.ndarray, ports: Sequence[str], n_steps: int) -> np.ndarray | None:
    """Whether each port is out of order, bool, shape (n_steps, n_ports); None if none ever is."""
    outages = events[events["kind"] == OUTAGE]
    if not len(outages):
        return None
    names = np.array(ports)
    stations = np.array([port.rpartition("/")[0] for port in ports])
    out = np.zeros((n_steps, len(ports)), dtype=bool)
    for event in outages:
        out[event["first_step"] : event["end_step"], (names == event["of"]) | (stations == event["of"])] = True
    return out


class EventModels:
    """Draws the events of a scenario.

    Parameters
    ----------
    scenario : Scenario
        Its key `events`.
    site : Site
        Where they happen.

    Raises
    ------
    ScenarioError
        If an event concerns what is not there.
    """

    def __init__(self, scenario: Scenario, site: Site) -> None:
        self._said = [(event, _concerned(scenario, site, k)) for k, event in enumerate(scenario.events)]

    def draw(self, clock: Clock, rng: np.random.Generator) -> np.ndarray:
        """The events of a day, EVENT, sorted by first step; at most `MOST_EVENTS`."""
        found: list[dict[str, Any]] = []
        for event, names in self._said:
            n_steps, step_h = clock.n_steps, clock.step_h
            length, ahead = (max(0, round(hours / step_h)) for hours in (event.lasts, event.announced))
            for name in names:
                if event.at is not None:
                    hour = clock.local_hour
                    first = np.flatnonzero((hour <= event.at + 1e-9) & (event.at < hour + step_h - 1e-9))
                else:
                    assert event.per_day is not None  # one of both is given
                    count = min(MOST_EVENTS, int(rng.poisson(event.per_day * n_steps * step_h / 24.0)))
                    first = np.unique(rng.integers(n_steps, size=count))
                found += [
                    {
                        "kind": event.kind,
                        "of": name,
                        "first_step": step,
                        "end_step": min(n_steps, step + max(1, length)),
                        "announced_step": step - ahead,
                        "limit_kw": 0.0 if event.limit is None else event.limit,
                        "penalty_per_kwh": event.penalty,
                    }
                    for step in first.tolist()
                ]
        return events_from_rows(found[:MOST_EVENTS]) if found else no_events()


def _concerned(scenario: Scenario, site: Site, k: int) -> tuple[str, ...]:
    """The groups, stations or ports that an event is about; an outage of a group is one of each of its stations."""
    event = scenario.events[k]
    of = event.of or site.groups[0]
    if event.kind == OUTAGE and of not in site.groups:
        allowed: tuple[str, ...] = (*site.agents, *site.ports)
        names: tuple[str, ...] = (of,)
    elif event.kind == OUTAGE:
        g, arrays = site.groups.index(of), site.arrays
        below = np.unique(arrays.port_station[arrays.group_first_port[g] : arrays.group_end_port[g]])
        names = allowed = tuple(site.agents[a] for a in below)
    else:
        names, allowed = (of,), site.groups
    if not set(names) <= set(allowed):
        what = "group, station or port" if event.kind == OUTAGE else "group with a limit"
        message = f"there is no {what} '{of}'; there are {', '.join(allowed[:8])}"
        raise ScenarioError([scenario.places.problem(("events", k, "of"), message)])
    return names
