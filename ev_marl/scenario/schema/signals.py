"""The keys `carbon` and `weather`: what else is known of each step, besides prices and powers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Tag

from ev_marl.scenario.base import Model, choice
from ev_marl.scenario.schema.series import DatedFile
from ev_marl.scenario.units import CarbonIntensity, Temperature, TemperatureSpan


class CarbonByHour(Model):
    """A carbon intensity for each local clock hour."""

    by_hour: Annotated[list[CarbonIntensity], Field(min_length=24, max_length=24)]
    """24 values, local clock hours 0 to 23 [g/kWh]."""


class CarbonFile(DatedFile):
    """A carbon intensity that is read from a CSV file [g/kWh]."""


CarbonSeries = Annotated[
    Annotated[CarbonIntensity, Tag("<plain>")]
    | Annotated[CarbonByHour, Tag("<by_hour>")]
    | Annotated[CarbonFile, Tag("<csv>")],
    choice("a carbon intensity such as '300 g/kWh', {by_hour: [24 values]} or {csv: FILE}", "by_hour", "csv"),
]


class TemperatureByHour(Model):
    """A temperature for each local clock hour."""

    by_hour: Annotated[list[Temperature], Field(min_length=24, max_length=24)]
    """24 values, local clock hours 0 to 23 [°C]."""


class TemperatureFile(DatedFile):
    """A temperature that is read from a CSV file [°C]."""


class Climate(Model):
    """A temperature that follows the seasons and the hours, and varies at random."""

    by_month: Annotated[list[Temperature], Field(min_length=12, max_length=12)]
    """Mean of each month, January first; it holds in the middle of the month, with straight lines between [°C]."""
    swing: TemperatureSpan = 8.0
    """Highest less lowest temperature of a day, a cosine with its summit at 15 h [°C]."""
    noise: TemperatureSpan = 3.0
    """Standard deviation about that, which decays to 1/e within two days [°C]."""


TemperatureSeries = Annotated[
    Annotated[Temperature, Tag("<plain>")]
    | Annotated[TemperatureByHour, Tag("<by_hour>")]
    | Annotated[TemperatureFile, Tag("<csv>")]
    | Annotated[Climate, Tag("<by_month>")],
    choice(
        "a temperature such as '15 °C', {by_hour: [24 values]}, {by_month: [12 values]} or {csv: FILE}",
        "by_hour",
        "csv",
        "by_month",
    ),
]


class Weather(Model):
    """The weather at the site."""

    temperature: TemperatureSeries | None = None
    """Ambient temperature [°C]."""
