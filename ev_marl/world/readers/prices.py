"""Day-ahead prices from files: ENTSO-E (old and new headers), Ember, or two columns of UTC time and EUR/MWh.

A CSV file comes in, plain or gzipped; a gapless `PriceSeries` in UTC goes out. The format is detected by its header. A
missing hour is an error that names it, unless a rule to fill it is asked for; then what was filled is reported.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from ev_marl.scenario.choices import Fill
from ev_marl.scenario.dated import DatedRow, regular
from ev_marl.support.errors import DataError
from ev_marl.support.values import read_number
from ev_marl.world.readers.text import in_utc, read_rows

# Names of clocks in ENTSO-E headers and times, as zones that have those clock changes.
_ZONES = {
    "UTC": "UTC",
    "CET/CEST": "Europe/Brussels",
    "EET/EEST": "Europe/Helsinki",
    "WET/WEST": "Europe/Lisbon",
    "GMT/BST": "Europe/London",
}
_SUMMER = {"CEST", "EEST", "WEST", "BST"}
_ENTSOE_TIME = re.compile(r"(\d{2})[./](\d{2})[./](\d{4}) (\d{2}):(\d{2})(?::\d{2})?(?: \((\w+)\))?")
_MISSING = {"", "-", "n/a", "n/e", "nan", "null"}


@dataclass(frozen=True)
class PriceSeries:
    """Prices at a fixed resolution, without gaps; N values."""

    start: datetime  # UTC, start of the first value
    resolution_h: float  # [h]
    per_kwh: np.ndarray  # float64 (N,)  [currency/kWh]
    currency: str = "EUR"
    source: str = ""  # file name
    filled: tuple[datetime, ...] = ()  # UTC starts of the values that the file lacks

    @property
    def end(self) -> datetime:
        """End of the last value, UTC."""
        return self.start + timedelta(hours=self.resolution_h * len(self.per_kwh))

    def save(self, path: str | Path) -> None:
        """Write the two-column form that `read_prices` reads; an existing file is an error."""
        with Path(path).open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["datetime_utc", f"price_{self.currency.lower()}_per_mwh"])
            for k, price in enumerate(self.per_kwh):
                time = self.start + timedelta(hours=k * self.resolution_h)
                writer.writerow([f"{time:%Y-%m-%dT%H:%M:%SZ}", repr(float(price) * 1000.0)])


def read_prices(
    path: str | Path, *, area: str | None = None, sequence: int = 1, fill: Fill | None = None
) -> PriceSeries:
    """Read a file of day-ahead prices.

    Parameters
    ----------
    path : str or Path
        CSV file, `.gz` allowed.
    area : str, optional
        Bidding zone (`BZN|NL` or `NL`), country, or ISO code; needed where the file has several.
    sequence : int
        Auction sequence to keep where the file has several (ENTSO-E's column `Sequence`).
    fill : {"previous_day", "interpolate"}, optional
        How to fill what the file lacks: with the price of 24 hours before, or on the straight line between its
        neighbours. Left out, a gap is an error.

    Raises
    ------
    DataError
        If the header is unknown, a value or time cannot be read, several areas are there and none is chosen, or a
        price is missing and `fill` is not given.
    """
    header, lines = read_rows(path)
    currency = "EUR"
    if header[0].startswith("MTU"):
        rows, currency = _entsoe(path, header, lines, area, sequence)
    elif "Datetime (UTC)" in header:
        rows, currency = _ember(path, header, lines, area)
    elif header[0] == "datetime_utc" and len(header) == 2 and header[1].endswith("_per_mwh"):
        currency = header[1].split("_")[1].upper()
        rows = [DatedRow(line, _utc(path, line, row[0]), None, _price(path, line, row[1])) for line, row in lines]
    else:
        raise DataError(
            f"{path}: unknown header {', '.join(header[:4])}; known are ENTSO-E (`MTU (...)`), Ember "
            "(`Datetime (UTC)`) and `datetime_utc,price_eur_per_mwh`"
        )
    return _regular(path, rows, currency, fill)


def _entsoe(
    path: str | Path, header: list[str], lines: list[tuple[int, list[str]]], area: str | None, sequence: int
) -> tuple[list[DatedRow], str]:
    clock = re.search(r"\(([\w/]+)\)", header[0])
    if clock is None or clock[1] not in _ZONES:
        raise DataError(f"{path}: unknown clock in the header {header[0]!r}; known: {', '.join(_ZONES)}")
    price_column = next((k for k, name in enumerate(header) if name.lower().startswith("day-ahead price")), None)
    if price_column is None:
        raise DataError(f"{path}: no column `Day-ahead Price`; found {', '.join(header)}")
    unit = re.search(r"([A-Z]{3})/MWh", header[price_column])
    currency = unit[1] if unit else "EUR"
    zones = [name for name in header if name.startswith("BZN|")]  # old exports name their one zone in the header
    if area is not None and zones and area.casefold().removeprefix("bzn|") != zones[0].casefold()[4:]:
        raise DataError(f"{path}: no area {area!r}; found {zones[0]}")
    if "Area" in header:
        lines = _choose_area(path, lines, [header.index("Area")], area)
    if "Sequence" in header:
        column = header.index("Sequence")
        lines = [
            (line, row)
            for line, row in lines
            if (number := re.search(r"\d+", row[column])) is None or int(number[0]) == sequence
        ]
        if not lines:
            raise DataError(f"{path}: no rows of sequence {sequence}")
    to_utc = _LocalTimes(path, _ZONES[clock[1]])
    rows = []
    for line, row in lines:
        begin, _, end = row[0].partition(" - ")
        price = _price(path, line, row[price_column])
        start = to_utc(line, begin, skip=math.isnan(price))
        if start is not None:
            rows.append(DatedRow(line, start, _minutes(path, line, begin, end) / 60.0, price))
    return rows, currency


class _LocalTimes:
    """Turns the local times of a file, in order, into UTC: of a doubled hour the first is the one in summer time."""

    def __init__(self, path: str | Path, zone: str) -> None:
        self._path = path
        self._zone = ZoneInfo(zone)
        self._seen: set[datetime] = set()

    def __call__(self, line: int, text: str, skip: bool) -> datetime | None:
        match = _ENTSOE_TIME.match(text)
        if match is None:
            raise DataError(f"{self._path}:{line}: {text!r} is not a time like 31.12.2023 23:00")
        day, month, year, hour, minute = (int(part) for part in match.groups()[:5])
        try:
            local = datetime(year, month, day, hour, minute, tzinfo=self._zone)
        except ValueError as error:
            raise DataError(f"{self._path}:{line}: {text!r}: {error}") from error
        time = in_utc(f"{self._path}:{line}", text, local)
        if time.astimezone(self._zone).replace(tzinfo=None) != local.replace(tzinfo=None):
            if skip:
                return None  # old exports list the hour that the spring clock change leaves out, without a price
            raise DataError(f"{self._path}:{line}: {text!r} does not exist: the clock is put forward then")
        second = local.replace(fold=1).astimezone(UTC)
        if second != time and ((match[6] is None and time in self._seen) or (match[6] and match[6] not in _SUMMER)):
            time = second
        self._seen.add(time)
        return time


def _minutes(path: str | Path, line: int, begin: str, end: str) -> float:
    """Length of a market time unit, at most 60 minutes, so that a clock change between its ends does not matter."""
    clocks = [_ENTSOE_TIME.match(text) for text in (begin, end)]
    if clocks[0] is None or clocks[1] is None:
        raise DataError(f"{path}:{line}: {begin!r} - {end!r} is not a span of time")
    minutes = [int(clock[4]) * 60 + int(clock[5]) for clock in clocks if clock]
    length = (minutes[1] - minutes[0]) % 60
    return float(length) if length else 60.0


def _ember(
    path: str | Path, header: list[str], lines: list[tuple[int, list[str]]], area: str | None
) -> tuple[list[DatedRow], str]:
    price_column = next((k for k, name in enumerate(header) if name.startswith("Price (")), None)
    if price_column is None:
        raise DataError(f"{path}: no column `Price (EUR/MWhe)`; found {', '.join(header)}")
    unit = re.search(r"([A-Z]{3})/MWh", header[price_column])
    columns = [header.index(name) for name in ("Country", "ISO3 Code") if name in header]
    time_column = header.index("Datetime (UTC)")
    rows = [
        DatedRow(line, _utc(path, line, row[time_column]), None, _price(path, line, row[price_column]))
        for line, row in _choose_area(path, lines, columns, area)
    ]
    return rows, unit[1] if unit else "EUR"


def _choose_area(
    path: str | Path, lines: list[tuple[int, list[str]]], columns: list[int], area: str | None
) -> list[tuple[int, list[str]]]:
    if not columns:
        return lines
    found = sorted({row[columns[0]] for _, row in lines})
    if area is None:
        if len(found) > 1:
            raise DataError(f"{path}: has {len(found)} areas, choose one with `area`: {', '.join(found[:20])}")
        return lines
    wanted = area.casefold()
    chosen = [
        (line, row)
        for line, row in lines
        if any(wanted in (row[k].casefold(), row[k].casefold().removeprefix("bzn|")) for k in columns)
    ]
    if not chosen:
        raise DataError(f"{path}: no area {area!r}; found {', '.join(found[:20])}")
    return chosen


def _utc(path: str | Path, line: int, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{path}:{line}: {text!r} is not a time like 2023-12-31T23:00:00Z") from None
    return in_utc(f"{path}:{line}", text, time)


def _price(path: str | Path, line: int, text: str) -> float:
    if text.casefold() in _MISSING:
        return math.nan
    try:
        return read_number(text)
    except ValueError as error:
        raise DataError(f"{path}:{line}: price: {error}") from error


def _regular(path: str | Path, rows: list[DatedRow], currency: str, fill: Fill | None) -> PriceSeries:
    found = regular(path, rows, "price", fill)
    return PriceSeries(found.start, found.interval_h, found.values / 1000.0, currency, Path(path).name, found.filled)
