"""Series that a scenario names: constants, hours, or a CSV file with one row per step or with dates."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ev_marl.scenario.dated import read_dated
from ev_marl.scenario.files import read_column
from ev_marl.scenario.schema.series import DatedFile
from ev_marl.scenario.series import Series
from ev_marl.scenario.units import Quantity, power


class ByHour(Protocol):
    """24 values."""

    @property
    def by_hour(self) -> list[float]:
        """Local clock hours 0 to 23."""
        ...


def series_of(
    model: float | ByHour | DatedFile, n_steps: int, timezone: str = "UTC", quantity: Quantity = power
) -> Series:
    """The series that a scenario's quantity describes.

    Parameters
    ----------
    model : float, mapping `by_hour` or file
        As read from the scenario; the path of a file is absolute.
    n_steps : int
        Steps of an episode; a file without dates has one row for each.
    timezone : str
        IANA zone of the scenario, in which a dated file has its times where it does not say.
    quantity : Quantity
        What it is.

    Raises
    ------
    DataError
        If the file is missing, has no such column, a value that is no number, or the wrong number of rows; a dated one
        as `read_dated` says.
    """
    if isinstance(model, float | int):
        return Series.constant(model)
    if not isinstance(model, DatedFile):
        return Series(tuple(model.by_hour), "by_hour")
    if model.time is None:
        return Series(tuple(read_column(Path(model.csv), model.column, n_steps)), "by_step")
    return read_dated(
        Path(model.csv),
        column=model.column,
        time=model.time,
        timezone=model.timezone or timezone,
        quantity=quantity,
        unit=model.unit,
        fill=model.fill,
    )
