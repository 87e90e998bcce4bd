"""Columns of dated CSV files: a time in each row, and values whose unit the key or the header says.

A file comes in; values at a fixed resolution without gaps go out, in the documented unit. A missing row, a local time
that does not exist, a second value for one time and an unknown unit are errors that name file, line and column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from ev_marl.scenario.choices import Fill
from ev_marl.scenario.clock import zone_of
from ev_marl.scenario.files import Table
from ev_marl.scenario.series import TOLERANCE_H, Series
from ev_marl.scenario.units import FIRST_DAY, LAST_DAY, Quantity
from ev_marl.support.errors import DataError
from ev_marl.support.values import in_range, listed, read_number, shown

MOST_INTERVALS = 2_000_000
"""Of a file; sixty years of quarters of an hour."""
_BRACKETS = re.compile(r"[\[(]([^\[\]()]+)[\])]\s*$")


@dataclass(frozen=True)
class DatedRow:
    """One row of a file."""

    line: int
    start: datetime  # UTC
    length_h: float | None  # [h], where the file says
    value: float  # nan: missing


class Regular(NamedTuple):
    """Values at a fixed resolution, without gaps; N values."""

    start: datetime  # UTC, start of the first value
    interval_h: float  # [h]
    values: np.ndarray  # float64 (N,)
    filled: tuple[datetime, ...]  # UTC starts of the values that the file lacks


def regular(path: str | Path, rows: Sequence[DatedRow], what: str, fill: Fill | None = None) -> Regular:
    """Values of a file at the shortest distance between two of its times.

    Parameters
    ----------
    path : str or Path
        The file, for messages.
    rows : sequence of DatedRow
        In any order.
    what : str
        What a value is, such as "price", for messages.
    fill : {"previous_day", "interpolate"}, optional
        How to fill what the file lacks: with the value of 24 hours before, or on the straight line between its
        neighbours. Left out, a gap is an error.

    Raises
    ------
    DataError
        If there is no value, two for one time, one between the others, too many intervals, or a gap that is not filled.
    """
    rows = sorted((row for row in rows if not math.isnan(row.value)), key=lambda row: row.start)
    if not rows:
        raise DataError(f"{path}: has no {what}")
    gaps = [(late.start - early.start) / timedelta(hours=1) for early, late in pairwise(rows)]
    doubled = next((late for late, gap in zip(rows[1:], gaps, strict=True) if gap == 0.0), None)
    if doubled is not None:
        raise DataError(f"{path}:{doubled.line}: a second {what} for {doubled.start:%Y-%m-%d %H:%M} UTC")
    lengths = [row.length_h for row in rows if row.length_h is not None]
    interval_h = min(lengths) if lengths else min(gaps, default=1.0)
    start = rows[0].start
    last = rows[-1]
    n = round(((last.start - start) / timedelta(hours=1) + (last.length_h or interval_h)) / interval_h)
    if n > MOST_INTERVALS:
        raise DataError(
            f"{path}: {n:,} intervals of {60 * interval_h:g} min from {start:%Y-%m-%d %H:%M} (line {rows[0].line}) to "
            f"{last.start:%Y-%m-%d %H:%M} (line {last.line}); at most {MOST_INTERVALS:,} are read. Is a time mistyped?"
        )
    values = np.full(n, np.nan)
    for row in rows:
        place = (row.start - start) / timedelta(hours=1) / interval_h
        first = round(place)
        if abs(place - first) > TOLERANCE_H * max(1.0, place):
            raise DataError(
                f"{path}:{row.line}: {row.start:%Y-%m-%d %H:%M:%S} UTC is no whole number of intervals of "
                f"{60 * interval_h:g} min after the first time, {start:%Y-%m-%d %H:%M} UTC"
            )
        values[first : first + max(1, round((row.length_h or interval_h) / interval_h))] = row.value
    missing = np.flatnonzero(np.isnan(values))
    times = tuple(start + timedelta(hours=int(k) * interval_h) for k in missing)
    if times and fill is None:
        told = listed([f"{time:%Y-%m-%d %H:%M}" for time in times[:6]], 5)
        raise DataError(
            f"{path}: no {what} for {len(times)} of {n} intervals: {told} UTC; fill them by "
            "`fill: previous_day` or `fill: interpolate` (--fill on the command line)"
        )
    if fill is not None and 2 * len(times) > n:
        gap, late = max(zip(gaps, rows[1:], strict=True), key=lambda entry: entry[0])
        raise DataError(
            f"{path}:{late.line}: {gap / 24.0:,.0f} days lie between this {what} and the one before; more than half of "
            f"the {what}s would be filled. Is a time mistyped?"
        )
    if times and fill is not None:
        _FILLS[fill](values, missing, round(24.0 / interval_h), path, what)
    return Regular(start, interval_h, values, times)


def _fill_previous_day(values: np.ndarray, missing: np.ndarray, per_day: int, path: str | Path, what: str) -> None:
    for k in missing:
        if k < per_day:
            raise DataError(
                f"{path}: a {what} of the first day is missing, so there is no previous day to fill it from"
            )
        values[k] = values[k - per_day]


def _fill_interpolate(values: np.ndarray, missing: np.ndarray, per_day: int, path: str | Path, what: str) -> None:
    known = np.flatnonzero(~np.isnan(values))
    values[missing] = np.interp(missing, known, values[known])


_FILLS: dict[Fill, Callable[[np.ndarray, np.ndarray, int, str | Path, str], None]] = {
    "previous_day": _fill_previous_day,
    "interpolate": _fill_interpolate,
}


class LocalTimes:
    """Times of one file, in its order, as UTC.

    Parameters
    ----------
    timezone : str
        IANA zone of times without an offset from UTC. An hour that the clock change brings twice stands in the file
        twice: the first one is the earlier.
    """

    def __init__(self, timezone: str) -> None:
        self._zone: ZoneInfo = zone_of(timezone)
        self._seen: set[datetime] = set()

    def utc(self, where: str, text: str) -> datetime:
        """A time of the file.

        Raises
        ------
        DataError
            If it is no time, does not exist on the local clock, or lies outside the years of scenarios.
        """
        try:
            time = datetime.fromisoformat(text.strip())
        except ValueError:
            raise DataError(f"{where}: found {shown(text)}; expected a time such as 2023-05-01 08:15") from None
        if not FIRST_DAY < time.date() < LAST_DAY:
            raise DataError(f"{where}: {shown(text)} is not between {FIRST_DAY} and {LAST_DAY}")
        if time.tzinfo is not None:
            return time.astimezone(UTC)
        local = time.replace(tzinfo=self._zone)
        utc = local.astimezone(UTC)
        if utc.astimezone(self._zone).replace(tzinfo=None) != time:
            raise DataError(f"{where}: {shown(text)} does not exist in {self._zone}: the clock is put forward then")
        if utc in self._seen:
            utc = local.replace(fold=1).astimezone(UTC)
        self._seen.add(utc)
        return utc


def read_dated(
    path: Path,
    *,
    column: str | None,
    time: str,
    timezone: str,
    quantity: Quantity,
    unit: str | None = None,
    fill: Fill | None = None,
) -> Series:
    """One column of a dated CSV file.

    Parameters
    ----------
    path : Path
        CSV file with a header.
    column : str, optional
        The column; may be left out where there is one besides the time.
    time : str
        Column of the start of each interval: `2023-05-01 08:15`, with or without an offset from UTC.
    timezone : str
        IANA zone of times without an offset.
    quantity : Quantity
        What the column holds.
    unit : str, optional
        Its unit. Left out: what the header says, as in `load [MW]` or `load_mw`, else the documented unit.
    fill : {"previous_day", "interpolate"}, optional
        As for `regular`.

    Returns
    -------
    Series
        Dated, in the documented unit.

    Raises
    ------
    DataError
        If the file is missing, has no such column, or as described above.
    """
    try:
        changed = path.stat().st_mtime_ns
    except (OSError, ValueError):
        changed = 0  # the file is missing, which reading it says
    return _read(path, changed, column, time, timezone, quantity, unit, fill)


@lru_cache(maxsize=32)
def _read(
    path: Path,
    changed: int,
    column: str | None,
    time: str,
    timezone: str,
    quantity: Quantity,
    unit: str | None,
    fill: Fill | None,
) -> Series:
    table = Table.read(path)
    others = [name for name in table.names if name != time]
    _check_time(table, time)
    if column is None and len(others) != 1:
        raise DataError(f"file {path} has the columns {', '.join(others) or '(none)'}; say which with `column:`")
    name = others[0] if column is None else column
    if name not in others:
        raise DataError(f"file {path} has no column '{name}'; it has {', '.join(others)}")
    return dated_columns(table, {name: _factor(path, name, quantity, unit)}, time, timezone, fill)[name]


def dated_columns(
    table: Table, factors: Mapping[str, tuple[int, int]], time: str, timezone: str, fill: Fill | None = None
) -> dict[str, Series]:
    """Columns of a file with dates.

    Parameters
    ----------
    table : Table
        The file.
    factors : mapping of str to (int, int)
        For each column, what its values are multiplied by and divided by.
    time, timezone, fill
        As for `read_dated`.

    Raises
    ------
    DataError
        If it has no column of times, or as `read_dated` says.
    """
    _check_time(table, time)
    clock = LocalTimes(timezone)
    lines = [f"file {table.path}, line {k + 2}, column" for k in range(len(table.rows))]
    starts = [clock.utc(f"{where} '{time}'", row[time] or "") for where, row in zip(lines, table.rows, strict=True)]
    made = {}
    for name, (times, over) in factors.items():
        rows = []
        for k, (where, start, row) in enumerate(zip(lines, starts, table.rows, strict=True)):
            try:
                value = in_range(read_number(row[name] or "") * times / over, row[name])
            except ValueError as error:
                raise DataError(f"{where} '{name}': {error}") from error
            rows.append(DatedRow(k + 2, start, None, value))
        source = f"file {table.path}, column '{name}'"
        found = regular(source, rows, "value", fill)
        made[name] = Series(tuple(found.values.tolist()), "dated", found.start, found.interval_h, source)
    return made


def _check_time(table: Table, time: str) -> None:
    """Raise a DataError if a file has no column of times."""
    if time not in table.names:
        raise DataError(f"file {table.path} has no column '{time}' (key `time`); it has {', '.join(table.names)}")


def _factor(path: Path, column: str, quantity: Quantity, unit: str | None) -> tuple[int, int]:
    """From the unit of a column to the documented one, as (times, over)."""
    brackets = _BRACKETS.search(column)
    by_suffix = {name.lower().replace("/", "_per_"): name for name in quantity.units}
    named = brackets[1].strip() if brackets else None
    if named is None:
        ends = [name for suffix, name in by_suffix.items() if column.lower().endswith(f"_{suffix}")]
        named = max(ends, key=len, default=None)
    for found in (unit, named):
        if found is not None and found not in quantity.units:
            allowed = ", ".join(quantity.units)
            raise DataError(f"file {path}, line 1, column '{column}': the unit {shown(found)}; allowed: {allowed}")
    if unit is not None and named is not None and unit != named:
        raise DataError(f"file {path}, line 1, column '{column}': the header says {named}, the key `unit` {unit}")
    chosen = unit or named
    return (1, 1) if chosen is None else quantity.units[chosen]
