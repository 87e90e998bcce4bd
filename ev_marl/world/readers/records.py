"""Charging sessions as a data set records them, whatever its format: what every reader gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SessionRecord:
    """One recorded charging session."""

    station: str  # the data set's own name of the charge point (and connector)
    arrival: datetime  # aware
    departure: datetime  # aware, after the arrival
    delivered_kwh: float  # > 0, as metered
    requested_kwh: float | None = None  # what the driver asked for, where known
    declared: datetime | None = None  # departure as the driver said it on arrival, aware; None: not known
    revised_at: datetime | None = None  # when the driver said otherwise, after the arrival; None: never
    revised: datetime | None = None  # departure as said then


@dataclass(frozen=True)
class SessionRecords:
    """The sessions of one file, in order of arrival."""

    file: str  # name without folder
    timezone: str  # IANA name of the local clock at the stations
    records: tuple[SessionRecord, ...]
    notes: tuple[str, ...] = ()  # what was left out, and why

    def __len__(self) -> int:
        return len(self.records)


def sound(records: list[SessionRecord], file: str, timezone: str) -> SessionRecords:
    """Sort records, and leave out, with a note, those without a stay or without energy."""
    kept = [record for record in records if record.departure > record.arrival and record.delivered_kwh > 0.0]
    kept.sort(key=lambda record: (record.arrival, record.station))
    n_stay = sum(record.departure <= record.arrival for record in records)
    n_energy = len(records) - len(kept) - n_stay
    notes = []
    if n_stay:
        notes.append(f"left out {n_stay} sessions that end when they begin or before")
    if n_energy:
        notes.append(f"left out {n_energy} sessions without energy")
    return SessionRecords(file, timezone, tuple(kept), tuple(notes))
