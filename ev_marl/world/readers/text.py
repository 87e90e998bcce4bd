"""Text files as they are downloaded: plain or gzipped, with or without a byte-order mark."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

from ev_marl.support.errors import DataError


def read_text(path: str | Path) -> str:
    """Contents of a UTF-8 text file; `.gz` is unpacked.

    Raises
    ------
    DataError
        If there is no such file, or if it is not text.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); export it as CSV"
        ) from error


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
    for row in reader:
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
