"""Parquet files: read with checks of size and content, written with checksums."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ev_marl.support.files import FileError, is_file, write_atomically

MOST_BYTES = 4 * 10**9  # of a table, unpacked


def read_table(path: Path, most_rows: int) -> tuple[pa.Table, dict[str, str]]:
    """A table, and the metadata of the file.

    Parameters
    ----------
    path : Path
        The file.
    most_rows : int
        Most rows.

    Raises
    ------
    FileError
        If there is no such file, it is no Parquet file or damaged, or it is larger.
    """
    if not is_file(path):
        raise FileError("there is no such file")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            found = file.metadata
            size = sum(found.row_group(k).total_byte_size for k in range(found.num_row_groups))
            if found.num_rows > most_rows or size > MOST_BYTES:
                raise FileError(f"it has {found.num_rows:,} rows in {size / 1e6:,.0f} MB; {most_rows:,} rows may be")
            table = file.read()
        table.validate(full=True)
        told = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    except FileError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise FileError(f"this is not a Parquet file, or it is damaged: {error}") from error
    return table, told


def write_table(path: Path, table: pa.Table, told: Mapping[str, str]) -> None:
    """Write a table and its metadata: complete or not at all, with checksums, so that damage is noticed."""
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(dict(told)), buffer, write_page_checksum=True)
    write_atomically(path, buffer.getvalue())
