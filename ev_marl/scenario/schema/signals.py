"""The keys `carbon` and `weather`: what else is known of each step, besides prices and powers."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, Tag, model_validator

from ev_marl.scenario.base import Model, choice, fault
from ev_marl.scenario.choices import Fill
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


class IrradianceFile(Model):
    """Measured irradiance, read from a CSV file with dates."""

    csv: str
    """CSV file, relative to the scenario file."""
    time: str
    """Column of times, the start of each row such as `2023-05-01 08:15`, with or without an offset from UTC."""
    timezone: str | None = None
    """IANA time zone of times without an offset; left out: that of the scenario."""
    ghi: str
    """Column of the global horizontal irradiance, in W/m² or in the unit of its header, as in `ghi [kW/m2]`."""
    dni: str | None = None
    """Column of the direct normal irradiance; left out, with `dhi`: after Erbs et al. (1982) from the global one."""
    dhi: str | None = None
    """Column of the diffuse horizontal irradiance."""
    fill: Fill | None = None
    """What to do where rows are missing, as for other files."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.dni is None) != (self.dhi is None):
            raise fault("dni" if self.dni is None else "dhi", "is missing; give both `dni` and `dhi`, or neither")
        return self


class Weather(Model):
    """The weather at the site."""

    irradiance: IrradianceFile | None = None
    """Measured irradiance, for plants with `kwp`; left out: clear sky with clouds that are drawn."""

    temperature: TemperatureSeries | None = None
    """Ambient temperature [°C]."""
