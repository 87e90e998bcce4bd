"""Tracks written by hand: rows and single values become the arrays of a track.

What a person wrote comes in; columns with every default filled in go out. Nothing is guessed: an unknown key is an
error that suggests the right one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ev_marl.scenario.clock import Clock, zone_of
from ev_marl.scenario.units import FIRST_DAY, LAST_DAY
from ev_marl.site.tree import add_up_columns
from ev_marl.support.errors import TrackError
from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import shown
from ev_marl.world.batteries import with_batteries
from ev_marl.world.session_table import FIELDS, no_sessions, session_table

if TYPE_CHECKING:
    from ev_marl.site.site import Site

_SYNONYMS = {"arrival": "arrival_step", "departure": "departure_step", "declared": "declared_step"}
_NEEDED = ("port", "arrival_step", "departure_step", "wanted_kwh")
_REAL = [name for name, field in FIELDS.items() if field.kind == "f8"]
_WHOLE = [name for name, field in FIELDS.items() if field.kind == "i8" and name != "port"]


def sessions_from_rows(rows: Sequence[Mapping[str, Any]], site: Site, n_steps: int) -> np.ndarray:
    """Sessions written by hand, one mapping each, and the site's stationary batteries; sorted by arrival and port.

    Parameters
    ----------
    rows : sequence of mapping
        Keys: `port` (name or index), `arrival_step`, `departure_step`, `wanted_kwh`; and, with these defaults,
        `capacity_kwh` (60), `energy_kwh` (20 % of the capacity), `charge_kw` and `discharge_kw` (what the port can
        do), `taper_start` (0.8), `reserve_kwh` (0), `vehicle` ("vehicle"), and what drivers say of their departure
        (`declared_step`, `revised_at_step`, `revised_step`: the truth) and their wish (`overstated_kwh`: 0). `arrival`,
        `departure` and `declared` may stand for the steps.
    site : Site
        Whose ports they are.
    n_steps : int
        Steps of the episode.

    Returns
    -------
    SESSION, shape (n_sessions,)

    Raises
    ------
    TrackError
        If a key is unknown or missing, or if there is no such port; every fault is listed.
    """
    known = list(FIELDS)
    problems: list[str] = []
    full: list[dict[str, Any]] = []
    for k, given in enumerate(rows):
        row = {_SYNONYMS.get(key, key): value for key, value in given.items()}
        faults = [f"unknown key '{key}'.{did_you_mean(key, known)}" for key in row.keys() - set(known)]
        faults += [f"'{key}' is missing" for key in _NEEDED if key not in row]
        port = _port(row.get("port"), site)
        if "port" in row and port is None:
            faults.append(f"there is no port {row['port']!r}.{did_you_mean(str(row['port']), list(site.ports))}")
        faults += [f"'{key}' is {row[key]!r}, not a number" for key in _REAL if not _is_number(row.get(key, 0.0))]
        faults += [
            f"'{key}' is {row[key]!r}, not a whole number"
            for key in _WHOLE
            if key in row and not isinstance(row[key], int | np.integer)
        ]
        problems += [f"session {k}: {fault}" for fault in faults]
        if faults or port is None:
            continue
        whole = {name: field.default for name, field in FIELDS.items()} | row | {"port": port}
        of_port = {
            "energy_kwh": 0.2 * whole["capacity_kwh"],
            "charge_kw": site.arrays.port_charge_kw[port],
            "discharge_kw": site.arrays.port_discharge_kw[port],
        }
        full.append(whole | {name: value for name, value in of_port.items() if name not in row})
    if problems:
        raise TrackError("these sessions cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
    full.sort(key=lambda row: (row["arrival_step"], row["port"]))
    table = session_table(**{key: [row[key] for row in full] for key in FIELDS}) if full else no_sessions()
    return with_batteries(table, site.arrays, n_steps)


def track_columns(
    site: Site,
    *,
    step_h: float,
    n_steps: int,
    buy: float | Sequence[float] | np.ndarray,
    sell: float | Sequence[float] | np.ndarray | None,
    base_load_kw: Mapping[str, float | Sequence[float] | np.ndarray],
    start: datetime | str,
    timezone: str,
) -> dict[str, Any]:
    """Start, names, prices, base load and limits of a track made by hand; see `Track.build`."""
    begin = local_start(start, timezone)
    try:
        import_limit_kw, export_limit_kw = site.limits(Clock(begin, timezone, step_h, n_steps))
    except ValueError as error:
        raise TrackError(f"the limits of site '{site.name}' do not fit the track: {error}") from error
    base = np.zeros((n_steps, len(site.groups)))
    for group, load in base_load_kw.items():
        if group not in site.groups:
            raise TrackError(f"base_load_kw: there is no group '{group}'.{did_you_mean(group, list(site.groups))}")
        base[:, site.groups.index(group)] += per_step(load, n_steps, f"base_load_kw of '{group}'")
    add_up_columns(base.T, site.arrays.group_parent)
    buy_per_kwh = per_step(buy, n_steps, "buy")
    return {
        "start": begin,
        "ports": site.ports,
        "groups": site.groups,
        "buy_per_kwh": buy_per_kwh,
        "sell_per_kwh": buy_per_kwh.copy() if sell is None else per_step(sell, n_steps, "sell"),
        "base_load_kw": base,
        "import_limit_kw": import_limit_kw,
        "export_limit_kw": export_limit_kw,
    }


def local_start(start: datetime | str, timezone: str) -> datetime:
    """The start of a track as a time of its zone.

    Raises
    ------
    TrackError
        If the text is no time or the zone is unknown.
    """
    try:
        zone = zone_of(timezone)
    except ValueError as error:
        raise TrackError(f"timezone: {error}") from None
    try:
        time = datetime.fromisoformat(start) if isinstance(start, str) else start
    except ValueError:
        raise TrackError(f"start {shown(start)} is not a time like 2023-05-15T00:00") from None
    if not FIRST_DAY < time.date() < LAST_DAY:
        raise TrackError(f"start {time} is not between {FIRST_DAY} and {LAST_DAY}")
    return time.replace(tzinfo=zone) if time.tzinfo is None else time.astimezone(zone)


def per_step(values: float | Sequence[float] | np.ndarray, n_steps: int, what: str) -> np.ndarray:
    """One value or one per step as float64, shape (n_steps,)."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (n_steps,)):
        raise TrackError(f"{what}: one value or {n_steps} (one per step) are needed, the shape is {array.shape}")
    return np.array(np.broadcast_to(array, (n_steps,)))


def _port(port: object, site: Site) -> int | None:
    if isinstance(port, str):
        return site.ports.index(port) if port in site.ports else None
    if isinstance(port, int | np.integer) and 0 <= port < len(site.ports):
        return int(port)
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
