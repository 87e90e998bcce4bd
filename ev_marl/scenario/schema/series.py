"""A power that changes over the day: one value, one for each clock hour, or a CSV file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, Tag, model_validator

from ev_marl.scenario.base import Model, choice, fault
from ev_marl.scenario.choices import Fill
from ev_marl.scenario.clock import zone_of
from ev_marl.scenario.units import Power, SignedPower

Profile = Literal["office", "household", "retail", "flat"]


class PowerByHour(Model):
    """A power for each local clock hour."""

    by_hour: Annotated[list[SignedPower], Field(min_length=24, max_length=24)]
    """24 values, local clock hours 0 to 23 [kW]."""


class LimitByHour(PowerByHour):
    """A power limit for each local clock hour."""

    by_hour: Annotated[list[Power], Field(min_length=24, max_length=24)]
    """24 values, 0 or more, local clock hours 0 to 23 [kW]."""


class DatedFile(Model):
    """A CSV file, with dates or without."""

    csv: str
    """CSV file, relative to the scenario file; without `time`, one row per step of the horizon."""
    column: str | None = None
    """Column to read; may be left out where the file has only one besides that of `time`."""
    time: str | None = None
    """Column of times, the start of each row such as `2023-05-01 08:15`, with or without an offset from UTC: a file of
    a year, of which each day takes its rows. Rows are equally far apart, by any time."""
    timezone: str | None = None
    """IANA time zone of times without an offset; left out: that of the scenario. On a day of 25 hours, the hour that
    comes twice stands in the file twice."""
    unit: str | None = None
    """Unit of the column; left out: what its header says, as in `load [MW]` or `load_mw`, else the unit of the
    quantity. Only with `time`."""
    fill: Fill | None = None
    """What to do where rows are missing: take the value of 24 hours before, or the straight line between their
    neighbours; left out: an error. Only with `time`."""

    @model_validator(mode="after")
    def _check_time(self) -> Self:
        for key in ("timezone", "unit", "fill"):
            if self.time is None and getattr(self, key) is not None:
                raise fault(key, "is of a file with dates; give `time`, the name of its column of times")
        if self.timezone is not None:
            try:
                zone_of(self.timezone)
            except ValueError as error:
                raise fault("timezone", str(error)) from error
        return self


class PowerFile(DatedFile):
    """A power that is read from a CSV file [kW]."""


_SERIES = "a power such as '60 kW', {by_hour: [24 values]} or {csv: FILE}"
LimitSeries = Annotated[
    Annotated[Power, Tag("<plain>")] | Annotated[LimitByHour, Tag("<by_hour>")] | Annotated[PowerFile, Tag("<csv>")],
    choice(_SERIES, "by_hour", "csv"),
]
PowerSeries = Annotated[
    Annotated[SignedPower, Tag("<plain>")]
    | Annotated[PowerByHour, Tag("<by_hour>")]
    | Annotated[PowerFile, Tag("<csv>")],
    choice(_SERIES, "by_hour", "csv"),
]
