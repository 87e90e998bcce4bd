"""Day-ahead prices from files: ENTSO-E (old and new headers), Ember, or two columns of UTC time and EUR/MWh.

A CSV file comes in, plain or gzipped; a gapless `PriceSeries` in UTC goes out. The format is detected by its header. A
missing hour is an error that names it, unless a rule to fill it is asked for; then what was filled is reported.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from ev_marl.scenario.choices import Fill
from ev_marl.support.errors import DataError
from ev_marl.support.values import listed, read_number
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


MOST_INTERVALS = 2_000_000
"""Of a price file; sixty years of quarters of an hour."""


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


@dataclass(frozen=True)
class _Row:
    line: int
    start: datetime  # UTC
    length_h: float | None  # [h], where the file says
    per_mwh: float  # nan: missing


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
        rows = [_Row(line, _utc(path, line, row[0]), None, _price(path, line, row[1])) for line, row in lines]
    else:
        raise DataError(
            f"{path}: unknown header {', '.join(header[:4])}; known are ENTSO-E (`MTU (...)`), Ember "
            "(`Datetime (UTC)`) and `datetime_utc,price_eur_per_mwh`"
        )
    return _regular(path, rows, currency, fill)


def _entsoe(
    path: str | Path, header: list[str], lines: list[tuple[int, list[str]]], area: str | None, sequence: int
) -> tuple[list[_Row], str]:
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
            rows.append(_Row(line, start, _minutes(path, line, begin, end) / 60.0, price))
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
) -> tuple[list[_Row], str]:
    price_column = next((k for k, name in enumerate(header) if name.startswith("Price (")), None)
    if price_column is None:
        raise DataError(f"{path}: no column `Price (EUR/MWhe)`; found {', '.join(header)}")
    unit = re.search(r"([A-Z]{3})/MWh", header[price_column])
    columns = [header.index(name) for name in ("Country", "ISO3 Code") if name in header]
    time_column = header.index("Datetime (UTC)")
    rows = [
        _Row(line, _utc(path, line, row[time_column]), None, _price(path, line, row[price_column]))
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


def _regular(path: str | Path, rows: list[_Row], currency: str, fill: Fill | None) -> PriceSeries:
    rows = sorted((row for row in rows if not math.isnan(row.per_mwh)), key=lambda row: row.start)
    if not rows:
        raise DataError(f"{path}: has no price")
    gaps = [(late.start - early.start) / timedelta(hours=1) for early, late in pairwise(rows)]
    doubled = next((late for late, gap in zip(rows[1:], gaps, strict=True) if gap == 0.0), None)
    if doubled is not None:
        raise DataError(f"{path}:{doubled.line}: a second price for {doubled.start:%Y-%m-%d %H:%M} UTC")
    lengths = [row.length_h for row in rows if row.length_h is not None]
    resolution = min(lengths) if lengths else min(gaps, default=1.0)
    start = rows[0].start
    last = rows[-1]
    n = round(((last.start - start) / timedelta(hours=1) + (last.length_h or resolution)) / resolution)
    if n > MOST_INTERVALS:
        raise DataError(
            f"{path}: {n:,} intervals of {60 * resolution:g} min from {start:%Y-%m-%d %H:%M} (line {rows[0].line}) to "
            f"{last.start:%Y-%m-%d %H:%M} (line {last.line}); at most {MOST_INTERVALS:,} are read. Is a time mistyped?"
        )
    values = np.full(n, np.nan)
    for row in rows:
        first = round((row.start - start) / timedelta(hours=1) / resolution)
        values[first : first + max(1, round((row.length_h or resolution) / resolution))] = row.per_mwh / 1000.0
    missing = np.flatnonzero(np.isnan(values))
    times = tuple(start + timedelta(hours=int(k) * resolution) for k in missing)
    if times and fill is None:
        told = listed([f"{time:%Y-%m-%d %H:%M}" for time in times[:6]], 5)
        raise DataError(
            f"{path}: no price for {len(times)} of {n} intervals: {told} UTC; fill them by "
            "`fill: previous_day` or `fill: interpolate` (--fill on the command line)"
        )
    if fill is not None and 2 * len(times) > n:
        gap, late = max(zip(gaps, rows[1:], strict=True), key=lambda entry: entry[0])
        raise DataError(
            f"{path}:{late.line}: {gap / 24.0:,.0f} days lie between this price and the one before; more than half of "
            "the prices would be filled. Is a time mistyped?"
        )
    if times and fill is not None:
        _FILLS[fill](values, missing, round(24.0 / resolution), path)
    return PriceSeries(start, resolution, values, currency, Path(path).name, times)


def _fill_previous_day(values: np.ndarray, missing: np.ndarray, per_day: int, path: str | Path) -> None:
    for k in missing:
        if k < per_day:
            raise DataError(f"{path}: a price of the first day is missing, so there is no previous day to fill it from")
        values[k] = values[k - per_day]


def _fill_interpolate(values: np.ndarray, missing: np.ndarray, per_day: int, path: str | Path) -> None:
    known = np.flatnonzero(~np.isnan(values))
    values[missing] = np.interp(missing, known, values[known])


_FILLS: dict[Fill, Callable[[np.ndarray, np.ndarray, int, str | Path], None]] = {
    "previous_day": _fill_previous_day,
    "interpolate": _fill_interpolate,
}
