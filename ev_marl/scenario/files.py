"""Series that a scenario names: constants, hours, or a CSV file with one row per step."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from ev_marl.scenario.schema import PowerByHour, PowerFile
from ev_marl.scenario.series import Series


def power_series(model: float | PowerByHour | PowerFile, n_steps: int) -> Series:
    """The series that a scenario's power describes.

    Parameters
    ----------
    model : float, PowerByHour or PowerFile
        As read from the scenario; the path of a file is absolute [kW].
    n_steps : int
        Steps of an episode; a file has one row for each.

    Raises
    ------
    ValueError
        If the file is missing, has no such column, a value that is no number, or the wrong number of rows.
    """
    if isinstance(model, PowerByHour):
        return Series(tuple(model.by_hour), "by_hour")
    if isinstance(model, PowerFile):
        return Series(tuple(read_column(Path(model.csv), model.column, n_steps)), "by_step")
    return Series.constant(model)


def read_column(path: Path, column: str | None, n_steps: int) -> list[float]:
    """One column of a CSV file with a header, `n_steps` finite numbers.

    Raises
    ------
    ValueError
        If the file is missing or no text, has no such column, a value that is no number, or the wrong number of rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            names = list(reader.fieldnames or ())
    except FileNotFoundError:
        raise ValueError(f"file {path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"file {path} cannot be read: {error}") from error
    if column is None:
        if len(names) != 1:
            raise ValueError(f"file {path} has the columns {', '.join(names) or '(none)'}; say which with `column:`")
        column = names[0]
    if column not in names:
        raise ValueError(f"file {path} has no column '{column}'; it has {', '.join(names)}")
    if len(rows) != n_steps:
        raise ValueError(f"file {path} has {len(rows)} rows; the horizon has {n_steps} steps, one row for each")
    return [_number(path, i + 2, row[column]) for i, row in enumerate(rows)]


def _number(path: Path, row: int, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"file {path}, row {row}: '{text}' is not a finite number")
    return value
