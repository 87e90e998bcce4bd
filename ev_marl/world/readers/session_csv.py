"""Charging sessions as a CSV file with one row per session and named columns.

A file with the columns of `COLUMNS` comes in, or with the names that another data set has for them; `SessionRecords` go
out. An operator's own export is read like this once its columns have these names.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ev_marl.scenario.clock import zone_of
from ev_marl.support.errors import DataError
from ev_marl.support.values import read_number
from ev_marl.world.readers.records import SessionRecord, SessionRecords, sound
from ev_marl.world.readers.text import in_utc, read_rows, read_text


class Columns(NamedTuple):
    """Names of the columns of a file."""

    station: str
    arrival: str
    departure: str
    energy: str  # delivered, as metered [kWh]
    requested: str  # what the driver asked for [kWh]; the column, or a field of it, may be missing
    declared: str  # departure as the driver said it; the column, or a field of it, may be missing
    claimed: str = ""  # whether the driver said anything, "False" where the declared departure is made up

    @property
    def needed(self) -> tuple[str, ...]:
        """Those that a file must have."""
        return self[:4]


COLUMNS = Columns("station", "arrival", "departure", "energy_kwh", "requested_kwh", "declared_departure")


def read_session_csv(path: str | Path, *, timezone: str, columns: Columns = COLUMNS) -> SessionRecords:
    """Read a CSV file of charging sessions.

    Parameters
    ----------
    path : str or Path
        CSV with a header; `.gz` allowed. Fields are separated by `,`, or by `;` if the header has no `,`; then numbers
        may have a decimal comma. Times are like `2023-05-01 08:12`, with or without an offset from UTC.
    timezone : str
        IANA name of the local clock at the stations. Times without an offset are read as such local times.
    columns : Columns
        Names of the columns; others are ignored.

    Raises
    ------
    DataError
        If a column is missing or a field cannot be read; the message names file and line.
    """
    first_line = read_text(path).lstrip().partition("\n")[0]
    delimiter = ";" if ";" in first_line and "," not in first_line else ","
    header, rows = read_rows(path, delimiter)
    missing = [name for name in columns.needed if name not in header]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(header)}. Rename the columns of the file to "
            f"{', '.join(columns.needed)}"
        )
    zone = zone_of(timezone)
    records = []
    for line, fields in rows:
        where = f"{path}:{line}"
        row = dict(zip(header, fields, strict=False))
        arrival, departure = (_time(where, name, row[name], zone) for name in (columns.arrival, columns.departure))
        declared = None
        if row.get(columns.declared) and row.get(columns.claimed) != "False":
            declared = _time(where, columns.declared, row[columns.declared], zone)
        requested = row.get(columns.requested, "")
        records.append(
            SessionRecord(
                station=row[columns.station],
                arrival=arrival,
                departure=departure,
                delivered_kwh=_kwh(where, columns.energy, row[columns.energy], delimiter),
                requested_kwh=_kwh(where, columns.requested, requested, delimiter) if requested else None,
                declared=None if declared is None or declared <= arrival else declared,
            )
        )
    return sound(records, Path(path).name, timezone)


def _time(where: str, name: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{where}: {name} is {text!r}, not a time like 2023-05-01 08:12") from None
    return in_utc(f"{where}: {name}", text, time if time.tzinfo else time.replace(tzinfo=zone))


def _kwh(where: str, name: str, text: str, delimiter: str) -> float:
    try:
        return read_number(text.replace(",", ".") if delimiter == ";" else text)
    except ValueError:
        raise DataError(f"{where}: {name} is {text!r}, not a number of kWh") from None
