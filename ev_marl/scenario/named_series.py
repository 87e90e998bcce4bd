"""Series that a scenario names: constants, hours, or a CSV file with one row per step or with dates."""

from __future__ import annotations

from pathlib import Path

from ev_marl.scenario.dated import read_dated
from ev_marl.scenario.files import read_column
from ev_marl.scenario.schema import PowerByHour, PowerFile
from ev_marl.scenario.series import Series
from ev_marl.scenario.units import power


def power_series(model: float | PowerByHour | PowerFile, n_steps: int, timezone: str = "UTC") -> Series:
    """The series that a scenario's power describes.

    Parameters
    ----------
    model : float, PowerByHour or PowerFile
        As read from the scenario; the path of a file is absolute [kW].
    n_steps : int
        Steps of an episode; a file without dates has one row for each.
    timezone : str
        IANA zone of the scenario, in which a dated file has its times where it does not say.

    Raises
    ------
    DataError
        If the file is missing, has no such column, a value that is no number, or the wrong number of rows; a dated one
        as `read_dated` says.
    """
    if isinstance(model, PowerByHour):
        return Series(tuple(model.by_hour), "by_hour")
    if isinstance(model, PowerFile) and model.time is not None:
        return read_dated(
            Path(model.csv),
            column=model.column,
            time=model.time,
            timezone=model.timezone or timezone,
            quantity=power,
            unit=model.unit,
            fill=model.fill,
        )
    if isinstance(model, PowerFile):
        return Series(tuple(read_column(Path(model.csv), model.column, n_steps)), "by_step")
    return Series.constant(model)
