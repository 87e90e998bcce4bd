"""ACN-Data: charging sessions of Caltech, JPL and Office001 (Lee, Li, Low 2019), in the forms it comes in.

The JSON of the API or of the website, a CSV table with the API's fields, or a CSV table of sessions comes in;
`SessionRecords` go out. The form is detected from the contents.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from ev_marl.scenario.clock import zone_of
from ev_marl.support.errors import DataError
from ev_marl.support.files import FileError, parse_json
from ev_marl.support.values import number, read_number, shown
from ev_marl.world.readers.records import SessionRecord, SessionRecords, sound
from ev_marl.world.readers.session_csv import Columns, read_session_csv
from ev_marl.world.readers.text import in_utc, read_rows, read_text

DEFAULT_TIMEZONE = "America/Los_Angeles"  # all three sites are in California

_CSV_COLUMNS = Columns(
    station="station_id",
    arrival="arrival",
    departure="departure",
    energy="delivered_energy (kWh)",
    requested="requested_energy (kWh)",
    declared="estimated_departure",
    claimed="claimed",
)
ON_ARRIVAL = timedelta(minutes=15)
"""What drivers say so soon counts as said on arrival: of the first inputs of September 2018, 99 % came in the first 8
minutes."""


def read_acn(path: str | Path, *, timezone: str | None = None) -> SessionRecords:
    """Read a file of ACN-Data sessions.

    Parameters
    ----------
    path : str or Path
        JSON of the API (`_items`, `_links`, `_meta`) or of the website (`_meta`, `_items`); CSV with the same fields
        as columns, `userInputs` as JSON; or CSV with the columns `arrival`, `departure`, `delivered_energy (kWh)`,
        `station_id` and optionally `requested_energy (kWh)`, `estimated_departure` and `claimed`; `.gz` allowed. Of
        several `userInputs` the last counts; what the last of the first `ON_ARRIVAL` said of the departure is kept
        beside it.
    timezone : str, optional
        IANA name of the local clock at the stations. Left out: what the fields say, else America/Los_Angeles. Times of
        the second CSV without an offset are read as such local times; others without an offset are UTC.

    Raises
    ------
    DataError
        If fields are missing or cannot be read; the message names file and place.
    """
    text = read_text(path)
    if text.lstrip()[:1] in ("{", "["):
        return _records(path, _json_items(path, text), timezone)
    if "connectionTime" in text.lstrip().partition("\n")[0]:
        return _records(path, _csv_items(path), timezone)
    return read_session_csv(path, timezone=timezone or DEFAULT_TIMEZONE, columns=_CSV_COLUMNS)


def _json_items(path: str | Path, text: str) -> list[tuple[str, Any]]:
    """Every session with its place, for messages."""
    try:
        content = parse_json(text)
    except FileError as error:
        raise DataError(f"{path}: {error}") from error
    items = content if isinstance(content, list) else content.get("_items") if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise DataError(f"{path}: has no list `_items` of sessions")
    return [(f"{path}: _items[{k}]", item) for k, item in enumerate(items)]


def _csv_items(path: str | Path) -> list[tuple[str, Any]]:
    """The same of a table; empty fields are left out."""
    header, rows = read_rows(path)
    items = []
    for line, fields in rows:
        where = f"{path}:{line}"
        item: dict[str, Any] = {name: field for name, field in zip(header, fields, strict=False) if field}
        if "userInputs" in item:
            try:
                item["userInputs"] = parse_json(item["userInputs"])
            except FileError as error:
                raise DataError(f"{where}: userInputs: {error}") from error
        items.append((where, item))
    return items


def _records(path: str | Path, items: list[tuple[str, Any]], timezone: str | None) -> SessionRecords:
    records = [_item(where, item) for where, item in items]
    zones = {_zone(where, item["timezone"]) for where, item in items if item.get("timezone")}
    if timezone is None and len(zones) > 1:
        raise DataError(
            f"{path}: sessions of several time zones ({', '.join(sorted(zones))}); choose one with `timezone`"
        )
    return sound(records, Path(path).name, timezone or next(iter(zones), DEFAULT_TIMEZONE))


def _zone(where: str, name: object) -> str:
    try:
        return zone_of(name).key
    except ValueError as error:
        raise DataError(f"{where}: timezone: {error}") from error


def _item(where: str, item: Any) -> SessionRecord:
    needed = ("connectionTime", "disconnectTime", "kWhDelivered")
    if not isinstance(item, dict) or any(name not in item for name in needed):
        raise DataError(f"{where}: {', '.join(needed)} are needed")
    station = item.get("spaceID") or item.get("stationID")
    if not station:
        raise DataError(f"{where}: spaceID or stationID is needed")
    inputs = item.get("userInputs") or []
    if not isinstance(inputs, list) or not all(isinstance(entry, dict) for entry in inputs):
        raise DataError(f"{where}: userInputs is {shown(inputs)}, not a list of mappings")
    requested = inputs[-1].get("kWhRequested") if inputs else None
    arrival = _time(where, "connectionTime", item["connectionTime"])
    declared, revised_at, revised = _said(where, inputs, arrival)
    return SessionRecord(
        station=str(station),
        arrival=arrival,
        departure=_time(where, "disconnectTime", item["disconnectTime"]),
        delivered_kwh=_number(where, "kWhDelivered", item["kWhDelivered"]),
        requested_kwh=None if requested is None else _number(where, "kWhRequested", requested),
        declared=declared,
        revised_at=revised_at,
        revised=revised,
    )


def _said(
    where: str, inputs: list[dict[str, Any]], arrival: datetime
) -> tuple[datetime | None, datetime | None, datetime | None]:
    """Departure as said on arrival, when the driver said otherwise, and the last departure that was said."""
    said = []
    for entry in inputs:
        if entry.get("requestedDeparture"):
            leaves = _time(f"{where}: userInputs", "requestedDeparture", entry["requestedDeparture"])
            at = entry.get("modifiedAt")
            said.append((arrival if not at else _time(f"{where}: userInputs", "modifiedAt", at), leaves))
    said = [(at, leaves) for at, leaves in said if leaves > max(at, arrival)]
    early = [leaves for at, leaves in said if at <= arrival + ON_ARRIVAL]
    late = [(at, leaves) for at, leaves in said if at > arrival + ON_ARRIVAL]
    if not early:
        return None, None, None
    if not late or late[-1][1] == early[-1]:
        return early[-1], None, None
    return early[-1], *late[-1]


def _time(where: str, name: str, text: Any) -> datetime:
    """A time like `Wed, 01 May 2019 08:18:44 GMT` or `2019-05-01 01:18:44-07:00`."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = read(text if isinstance(text, str) else "")
        except (TypeError, ValueError, OverflowError):
            continue
        return in_utc(f"{where}: {name}", text, time)
    raise DataError(f"{where}: {name} is {shown(text)}, not a time like Wed, 01 May 2019 08:18:44 GMT")


def _number(where: str, name: str, value: Any) -> float:
    try:
        return read_number(value) if isinstance(value, str) else number(value)
    except ValueError:
        raise DataError(f"{where}: {name} is {shown(value)}, not a number of kWh") from None
