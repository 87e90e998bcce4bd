"""Text files as they are downloaded: plain or gzipped, with or without a byte-order mark."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ev_marl.support.errors import DataError
from ev_marl.support.files import FileError, decoded, read_bytes
from ev_marl.support.values import shown

MOST_BYTES = 500_000_000
FIRST_YEAR, LAST_YEAR = 1980, 2100


def read_text(path: str | Path) -> str:
    """Contents of a UTF-8 text file; `.gz` is unpacked.

    Raises
    ------
    DataError
        If there is no such file, if it is too large, or if it is not text.
    """
    path = Path(path)
    try:
        raw = read_bytes(path, MOST_BYTES)
        if path.suffix == ".gz":
            raw = _unpacked(raw)
        return decoded(raw)
    except FileError as error:
        raise DataError(f"{path}: {error}") from error


def _unpacked(raw: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"cannot be unpacked: {error}") from error
    if len(content) > MOST_BYTES:
        raise FileError(f"this is larger than {MOST_BYTES / 1e6:g} MB, unpacked; that is the most that is read")
    return content


def in_utc(where: str, text: object, time: datetime) -> datetime:
    """A time of a file as UTC.

    Parameters
    ----------
    where : str
        File and place, for messages.
    text : object
        What was written.
    time : datetime
        What it means; UTC where it has no offset.

    Raises
    ------
    DataError
        If it lies in no year that data are from: then it is mistyped.
    """
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise DataError(f"{where}: {shown(text)} is of the year {time.year}; data are from {FIRST_YEAR} to {LAST_YEAR}")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def read_rows(path: str | Path, delimiter: str = ",") -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and rows of a CSV file, each row with its line number; empty lines are skipped.

    Raises
    ------
    DataError
        If the file is empty, or if a row has fewer fields than the header.
    """
    reader = csv.reader(io.StringIO(read_text(path)), delimiter=delimiter)
    header: list[str] = []
    rows: list[tuple[int, list[str]]] = []
    for row in _rows(path, reader):
        fields = [field.strip() for field in row]
        if not any(fields):
            continue
        if not header:
            header = fields
        elif len(fields) < len(header):
            raise DataError(f"{path}:{reader.line_num}: {len(fields)} fields, the header has {len(header)}")
        else:
            rows.append((reader.line_num, fields))
    if not header:
        raise DataError(f"{path}: is empty")
    return header, rows


def _rows(path: str | Path, reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}") from error
