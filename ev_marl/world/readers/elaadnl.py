"""ElaadNL open transactions: public charge points in the Netherlands.

A CSV file with `;` between fields, day-first dates and decimal comma or point comes in; `SessionRecords` go out. The
columns are called `UTCTransactionStart` and `-Stop`, but one codebook describes them as local time, so the zone that
they are read in is a parameter.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from ev_marl.scenario.clock import zone_of
from ev_marl.support.errors import DataError
from ev_marl.support.values import read_number
from ev_marl.world.readers.records import SessionRecord, SessionRecords, sound
from ev_marl.world.readers.text import in_utc, read_rows

LOCAL_TIMEZONE = "Europe/Amsterdam"

_COLUMNS = ("ChargePoint", "UTCTransactionStart", "UTCTransactionStop", "TotalEnergy")
_TIME = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})[ T](\d{1,2}):(\d{2})(?::(\d{2}))?")


def read_elaadnl(path: str | Path, *, timezone: str | None = None) -> SessionRecords:
    """Read a file of ElaadNL transactions.

    Parameters
    ----------
    path : str or Path
        CSV with the columns `ChargePoint`, optionally `Connector`, `UTCTransactionStart`,
        `UTCTransactionStop`, `TotalEnergy` [kWh]; `.gz` allowed.
    timezone : str, optional
        IANA name of the zone that the times are written in: `Europe/Amsterdam` (the default) or `UTC`. A local time
        that occurs twice is the earlier one, unless the transaction would then end before it begins.

    Raises
    ------
    DataError
        If columns are missing or a field cannot be read; the message names file and line.
    """
    header, rows = read_rows(path, delimiter=";")
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; found {', '.join(header)}")
    column = {name: k for k, name in enumerate(header)}
    zone = zone_of(timezone or LOCAL_TIMEZONE)
    records = []
    for line, row in rows:
        where = f"{path}:{line}"
        arrival = _time(where, row[column["UTCTransactionStart"]], zone, fold=0)
        departure = _time(where, row[column["UTCTransactionStop"]], zone, fold=0)
        if departure <= arrival:
            departure = _time(where, row[column["UTCTransactionStop"]], zone, fold=1)
        energy = row[column["TotalEnergy"]]
        try:
            delivered_kwh = read_number(energy.replace(",", "."))
        except ValueError:
            raise DataError(f"{where}: TotalEnergy is {energy!r}, not a number") from None
        connector = f"/{row[column['Connector']]}" if "Connector" in column else ""
        records.append(
            SessionRecord(
                station=row[column["ChargePoint"]] + connector,
                arrival=arrival,
                departure=departure,
                delivered_kwh=delivered_kwh,
            )
        )
    return sound(records, Path(path).name, LOCAL_TIMEZONE)


def _time(where: str, text: str, zone: ZoneInfo, fold: int) -> datetime:
    match = _TIME.fullmatch(text)
    if match is None:
        raise DataError(f"{where}: {text!r} is not a time like 31/12/2019 23:00 (day first)")
    day, month, year, hour, minute = (int(part) for part in match.groups()[:5])
    try:
        local = datetime(year, month, day, hour, minute, int(match[6] or 0), tzinfo=zone, fold=fold)
    except ValueError as error:
        raise DataError(f"{where}: {text!r}: {error} (the day comes first)") from error
    return in_utc(where, text, local)
