"""A vehicle's stay as a track holds it: one record for each session, every field with its unit.

A table of sessions is a NumPy array of the dtype `SESSION`, shape (S,), so that `track.sessions["wanted_kwh"]` is a
column and `track.sessions[3]` a vehicle. Files, rows written by hand and checks follow `FIELDS`: a new field is one
line there. What port and vehicle allow together is derived once, see `ev_marl.simulation.days`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ev_marl.scenario.choices import LATEST_TAPER
from ev_marl.support.errors import TrackError

LONGEST_NAME = 64
STATIONARY = "stationary battery"
"""Name in the field `vehicle` of a stationary battery; vehicles of scenarios cannot have it, as it has a space."""


@dataclass(frozen=True)
class Field:
    """One field of a session."""

    kind: str  # of the NumPy dtype
    meaning: str
    allowed: Literal["", "0 or more", "above 0"] = ""  # finite numbers of this range; left out: checked by itself
    default: float | str | None = None  # in rows written by hand, and in tables without this column
    rare: bool = False  # files and digests have it only where some session differs from the default


FIELDS = {
    "port": Field("i8", "index of the port"),
    "arrival_step": Field("i8", "first step in which it is connected, 0 for a vehicle that is there at the start"),
    "departure_step": Field("i8", "first step in which it is gone; may lie beyond the horizon"),
    "energy_kwh": Field("f8", "in the battery on arrival, or at the start [kWh]", "0 or more"),
    "wanted_kwh": Field("f8", "wish, on top of energy_kwh [kWh]", "0 or more"),
    "capacity_kwh": Field("f8", "usable capacity [kWh]", "above 0", 60.0),
    "charge_kw": Field("f8", "vehicle's own maximum on the port's side, AC or DC [kW]", "above 0"),
    "discharge_kw": Field("f8", "vehicle's own maximum, 0 without V2G [kW]", "0 or more"),
    "taper_start": Field(
        "f8", f"state of charge where charging slows down, above 0 and at most {LATEST_TAPER} [-]", default=0.8
    ),
    "reserve_kwh": Field("f8", "V2G never takes the battery below this [kWh]", "0 or more", 0.0),
    "ahead_kwh": Field(
        "f8",
        "energy_kwh less what an even service since the vehicle came would have given, where that was before the start "
        "[kWh]",
        default=0.0,
    ),
    "vehicle": Field(f"U{LONGEST_NAME}", "name of the vehicle model", default="vehicle"),
    "declared_step": Field("i8", "departure as the driver said it on arrival; 0: the true one", default=0, rare=True),
    "revised_at_step": Field("i8", "step from which the driver says otherwise; 0: never", default=0, rare=True),
    "revised_step": Field("i8", "departure as the driver says it from then on; 0: the true one", default=0, rare=True),
    "overstated_kwh": Field(
        "f8", "wish as the driver said it on arrival, less wanted_kwh; below 0: said less [kWh]", default=0.0, rare=True
    ),
}

SESSION = np.dtype([(name, field.kind) for name, field in FIELDS.items()])


def session_table(**columns: object) -> np.ndarray:
    """Sessions by columns, which must be sorted by arrival step; see `FIELDS`.

    Parameters
    ----------
    **columns : array_like, shape (n_sessions,)
        One for each field; those with a default may be left out.

    Returns
    -------
    SESSION, shape (n_sessions,)

    Raises
    ------
    TrackError
        If a column is missing, unknown, of another kind or of another length, or if a name is too long.
    """
    missing = {name for name, field in FIELDS.items() if field.default is None} - columns.keys()
    unknown = columns.keys() - FIELDS.keys()
    if missing or unknown:
        raise TrackError(f"sessions: missing columns {sorted(missing)}, unknown columns {sorted(unknown)}")
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    n_sessions = len(arrays["port"])
    for name in FIELDS.keys() - columns.keys():
        arrays[name] = np.full(n_sessions, FIELDS[name].default)
    table = np.empty(n_sessions, dtype=SESSION)
    for name, array in arrays.items():
        if array.shape != (n_sessions,):
            raise TrackError(f"sessions.{name} has the shape {array.shape}; ({n_sessions},) is needed")
        if n_sessions and not _fits(array.dtype, SESSION[name]):
            raise TrackError(f"sessions.{name} is {array.dtype}; {SESSION[name]} is needed")
        table[name] = array
    return table


def fields_of(sessions: np.ndarray) -> tuple[str, ...]:
    """Fields that a file of these sessions has: those that are not rare, and those that some session has."""
    return tuple(name for name, field in FIELDS.items() if not field.rare or (sessions[name] != field.default).any())


def last_said(sessions: np.ndarray) -> np.ndarray:
    """Departure as drivers said it last before they left, int64, shape (n_sessions,); the true one of all others."""
    said = np.where(sessions["declared_step"] > 0, sessions["declared_step"], sessions["departure_step"])
    revised = (sessions["revised_at_step"] > 0) & (sessions["revised_at_step"] < sessions["departure_step"])
    return np.where(revised & (sessions["revised_step"] > 0), sessions["revised_step"], said)


def no_sessions() -> np.ndarray:
    """An empty table."""
    return np.empty(0, dtype=SESSION)


def _fits(given: np.dtype, needed: np.dtype) -> bool:
    if needed.kind == "U":
        return given.kind == "U" and given.itemsize <= needed.itemsize
    return given.kind in "iu" if needed.kind == "i" else given.kind in "iuf"
