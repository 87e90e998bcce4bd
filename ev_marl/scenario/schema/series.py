"""A power that changes over the day: one value, one for each clock hour, or a CSV file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from ev_marl.scenario.base import Model, choice
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


class PowerFile(Model):
    """A power for each step, read from a CSV file."""

    csv: str
    """CSV file, relative to the scenario file; one row per step of the horizon."""
    column: str | None = None
    """Column to read; may be left out where the file has only one."""


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
