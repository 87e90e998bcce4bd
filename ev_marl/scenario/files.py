"""CSV files that a scenario names, with one row per step or as tables."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ev_marl.support.errors import DataError
from ev_marl.support.files import FileError, read_text
from ev_marl.support.values import read_number

MOST_BYTES = 200_000_000


def read_column(path: Path, column: str | None, n_steps: int) -> list[float]:
    """One column of a CSV file with a header, `n_steps` finite numbers.

    Raises
    ------
    DataError
        If the file is missing or no text, has no such column, a value that is no number, or the wrong number of rows.
    """
    table = Table.read(path)
    names = table.names
    if column is None:
        if len(names) != 1:
            raise DataError(f"file {path} has the columns {', '.join(names) or '(none)'}; say which with `column:`")
        column = names[0]
    if column not in names:
        raise DataError(f"file {path} has no column '{column}'; it has {', '.join(names)}")
    return table.column(column, n_steps)


@dataclass(frozen=True)
class Table:
    """A CSV file with a header."""

    path: Path
    names: tuple[str, ...]  # of the columns
    rows: list[dict[str, str | None]]

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a file.

        Raises
        ------
        DataError
            If it is missing or no text, has two columns of one name, or separates columns by other than commas.
        """
        try:
            reader = csv.DictReader(io.StringIO(read_text(path, MOST_BYTES), newline=""))
            rows = list(reader)
            names = tuple(reader.fieldnames or ())
        except (FileError, csv.Error) as error:
            raise DataError(f"file {path}: {error}") from error
        other = next((sign for sign in (";", "\t") if len(names) == 1 and sign in names[0]), None)
        if other is not None:
            raise DataError(f"file {path} separates columns by {other!r}; separate them by commas")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(f"file {path} has two columns called '{twice[0]}'")
        return cls(path, names, rows)

    def check_length(self, n_steps: int) -> None:
        """Whether there is one row for each step.

        Raises
        ------
        DataError
            If not.
        """
        if len(self.rows) != n_steps:
            raise DataError(
                f"file {self.path} has {len(self.rows)} rows; the horizon has {n_steps} steps, one row for each"
            )

    def column(self, name: str, n_steps: int) -> list[float]:
        """`n_steps` finite numbers.

        Raises
        ------
        DataError
            If there are more or fewer, or if one is no number.
        """
        self.check_length(n_steps)
        return [_number(self.path, i + 2, name, row[name]) for i, row in enumerate(self.rows)]


def _number(path: Path, row: int, column: str, text: str | None) -> float:
    try:
        return read_number(text or "")
    except ValueError as error:
        raise DataError(f"file {path}, column '{column}', row {row}: {error}") from error
