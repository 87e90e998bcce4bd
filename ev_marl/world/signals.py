"""What else is known of each step of a day besides prices and powers: carbon intensity, ambient temperature.

A scenario's keys and a clock come in, arrays over the steps go out; what varies at random is drawn from one generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ev_marl.scenario import schema
from ev_marl.scenario.clock import Clock
from ev_marl.scenario.dated import read_dated
from ev_marl.scenario.named_series import series_of
from ev_marl.scenario.schema.signals import Climate
from ev_marl.scenario.series import Series
from ev_marl.scenario.units import carbon, irradiance, temperature
from ev_marl.world.noise import ar1
from ev_marl.world.track_edits import read_only_arrays

WARMEST_H = 15.0  # local clock hour of the highest temperature; assumption
WEATHER_H = 48.0  # after this time, deviations of the temperature have decayed to 1/e; assumption
_MIDDLES = np.array([15.5, 45.0, 74.5, 105.0, 135.5, 166.0, 196.5, 227.5, 258.0, 288.5, 319.0, 349.5])  # days
RANGES = {
    "carbon_kg_per_kwh": (0.0, 10.0),
    "temperature_c": (-100.0, 100.0),
    "pv_kw": (0.0, 1e9),
    "published_steps": (0.0, 1e9),
}
"""Lowest and highest value of each signal."""


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals of one day, T steps; None where the scenario has none."""

    carbon_kg_per_kwh: np.ndarray | None = None  # float64 (T,)  CO2 of what the site draws from the grid [kg/kWh]
    temperature_c: np.ndarray | None = None  # float64 (T,)  ambient [°C]
    pv_kw: np.ndarray | None = None  # float64 (T,)  of all plants with place and modules, part of the base load
    # float64 (T,)  steps, from the first of the episode on, whose prices are published when each step starts
    published_steps: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Arrays of a track cannot be written to."""
        read_only_arrays(self)

    @property
    def present(self) -> dict[str, np.ndarray]:
        """Those that are there, by name."""
        every = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: values for name, values in every.items() if values is not None}

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same data, bit for bit."""
        if not isinstance(other, Signals):
            return NotImplemented
        mine, theirs = self.present, other.present
        return mine.keys() == theirs.keys() and all(
            values.dtype == theirs[name].dtype and values.tobytes() == theirs[name].tobytes()
            for name, values in mine.items()
        )

    __hash__ = None  # type: ignore[assignment]


class SignalModels:
    """The signals of a scenario.

    Parameters
    ----------
    scenario : Scenario
        Its keys `carbon` and `weather`.

    Raises
    ------
    DataError
        If a file cannot be read.
    """

    def __init__(self, scenario: schema.Scenario) -> None:
        n_steps, timezone = scenario.n_steps, scenario.timezone
        self._carbon = None if scenario.carbon is None else series_of(scenario.carbon, n_steps, timezone, carbon)
        said = scenario.weather.temperature
        self._published_h: float | None = getattr(scenario.prices, "published", None)
        self._temperature: Series | Climate | None = None
        if said is not None:
            self._temperature = said if isinstance(said, Climate) else series_of(said, n_steps, timezone, temperature)

    @property
    def dated(self) -> tuple[Series, ...]:
        """Those that are known on certain dates only."""
        found = (self._carbon, self._temperature)
        return tuple(value for value in found if isinstance(value, Series) and value.kind == "dated")

    def draw(self, clock: Clock, rng: np.random.Generator) -> Signals:
        """The signals of a day."""
        temperature_c = None
        if isinstance(self._temperature, Climate):
            temperature_c = climate_c(self._temperature, clock, rng)
        elif self._temperature is not None:
            temperature_c = self._temperature.at(clock)
        carbon_kg_per_kwh = None if self._carbon is None else self._carbon.at(clock) / 1000.0
        published = None if self._published_h is None else published_steps(clock, self._published_h)
        return Signals(carbon_kg_per_kwh, temperature_c, published_steps=published)


def published_steps(clock: Clock, hour: float) -> np.ndarray:
    """Steps whose prices are published when each step starts, counted from the first one.

    Parameters
    ----------
    clock : Clock
        The steps.
    hour : float
        Local clock hour at which the prices of the next calendar day are published; those of the present day are known.

    Returns
    -------
    float64, shape (n_steps,)
    """
    day = np.array([time.toordinal() for time in clock.local_times])
    last_day = day + (clock.local_hour >= hour - 1e-9)
    return np.searchsorted(day, last_day, side="right").astype(np.float64)


def climate_c(climate: Climate, clock: Clock, rng: np.random.Generator) -> np.ndarray:
    """A temperature at the middle of each step, float64, shape (n_steps,) [°C]."""
    middle_h = clock.local_hour + 0.5 * clock.step_h
    mean = np.interp(clock.day_of_year + (middle_h - 12.0) / 24.0, _MIDDLES, climate.by_month, period=365.25)
    cycle = 0.5 * climate.swing * np.cos(2.0 * np.pi / 24.0 * (middle_h - WARMEST_H))
    return np.asarray(mean + cycle + climate.noise * ar1(clock.n_steps, math.exp(-clock.step_h / WEATHER_H), rng))


def irradiance_series(file: schema.IrradianceFile, timezone: str) -> dict[str, Series]:
    """The columns `ghi`, and where they are given `dni` and `dhi`, of a dated file [W/m²]."""
    columns = {name: getattr(file, name) for name in ("ghi", "dni", "dhi")}
    return {
        name: read_dated(
            Path(file.csv),
            column=column,
            time=file.time,
            timezone=file.timezone or timezone,
            quantity=irradiance,
            fill=file.fill,
        )
        for name, column in columns.items()
        if column is not None
    }
