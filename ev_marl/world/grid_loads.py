"""The other loads and generators on the network of a site, in every step.

The key `grid` of a scenario and the times of an episode come in; a `GridDay` goes out. Load profiles and clearness vary
at random about their mean, as for the loads and plants of the site, and the sky is the same. Values from a file or from
SimBench are used as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from ev_marl.grid.model.network import Network
from ev_marl.grid.model.simbench_nets import STEPS_OF_THE_YEAR, simbench_profiles
from ev_marl.grid.model.spec import NetworkSpec
from ev_marl.scenario.clock import Clock
from ev_marl.scenario.dated import dated_columns
from ev_marl.scenario.files import Table
from ev_marl.scenario.schema import Pv, Scenario
from ev_marl.scenario.schema.grid import GridConstant, GridCsv, GridProfile, GridSimbench, GridSun
from ev_marl.scenario.series import Series
from ev_marl.support.errors import DataError
from ev_marl.support.registry import did_you_mean
from ev_marl.world.calibration import figures
from ev_marl.world.grid_day import GridDay
from ev_marl.world.hours import HourGrid, steps_of
from ev_marl.world.loads import NOISE_TIME_H, clear_sky_kw
from ev_marl.world.noise import ar1
from ev_marl.world.sky import daily_clearness

Model = GridProfile | GridSimbench | GridCsv | GridConstant | GridSun

ADDED_PV_LATITUDE = 52.0  # of plants that a scenario adds, where its generators name no latitude [degrees north]
_REACTIVE = ".kvar"  # ends the name of a column with reactive power
_PROFILE_H, _PROFILE_YEAR, _PROFILE_ZONE = 0.25, 2016, ZoneInfo("Europe/Berlin")  # of SimBench's rows


@dataclass(frozen=True)
class GridMean:
    """A network's day before noise and weather; T steps, L loads, S generators."""

    load_kw: np.ndarray  # float64 (T, L)
    load_kvar: np.ndarray  # float64 (T, L)
    generator_kw: np.ndarray  # float64 (T, S)
    generator_kvar: np.ndarray  # float64 (T, S)
    noise: float  # of the loads, relative [-]
    sunny: np.ndarray  # bool (S,)  generators under the common sky
    day: np.ndarray  # int64 (T,)  local calendar day of each step, 0 for the first


class GridLoads:
    """Loads and generators of one network.

    Parameters
    ----------
    scenario : Scenario
        With a network.
    network : Network
        The network.

    Raises
    ------
    ScenarioError
        If a file cannot be read, or if the network is not a SimBench network and its profiles are asked for.
    """

    def __init__(self, scenario: Scenario, network: Network) -> None:
        assert scenario.grid is not None  # a world is asked for these only where the scenario has a network
        grid = self._grid = scenario.grid
        spec, n_own = network.spec, network.n_own_loads
        self.loads, self.generators = spec.loads[:n_own], spec.generators
        self._load = spec.load_kw[:n_own] + 1j * spec.load_kvar[:n_own]
        self._generator = spec.generator_kw + 1j * spec.generator_kvar
        self._n_own = network.n_own_generators
        self._simbench = network.simbench
        own = self._generator[: self._n_own]
        with scenario.places.blamed("grid", "loads"):
            _check_simbench(grid.loads, network, "{profile: household}, {csv: FILE} or {scale: 1}")
            self._load_file = _from_csv(grid.loads, self.loads, self._load, scenario, spec)
        with scenario.places.blamed("grid", "generators"):
            _check_simbench(grid.generators, network, "{sun: 52}, {csv: FILE} or {scale: 1}")
            names = self.generators[: self._n_own]
            self._generator_file = _from_csv(grid.generators, names, own, scenario, spec)

    @property
    def dated(self) -> tuple[Series, ...]:
        """Powers that are known on certain dates only."""
        files = (self._load_file, self._generator_file)
        return tuple(series for file in files if isinstance(file, _DatedPower) for series in file.series)

    def on(self, clock: Clock, hours: HourGrid) -> GridMean:
        """Means over the steps of `clock`; `hours` covers them."""
        n_own = self._n_own
        load = self._load_of(clock, hours)
        generator = np.zeros((clock.n_steps, len(self.generators)), dtype=np.complex128)
        sunny = np.zeros(len(self.generators), dtype=bool)
        if n_own:
            generator[:, :n_own], sunny[:n_own] = self._generators_of(clock, n_own)
        if n_own < len(self.generators):
            latitude = self._grid.generators.sun if isinstance(self._grid.generators, GridSun) else ADDED_PV_LATITUDE
            generator[:, n_own:] = _clear(clock, latitude)[:, None] * self._generator[n_own:]
            sunny[n_own:] = True
        days = np.array([time.toordinal() for time in clock.local_times], dtype=np.int64)
        noise = self._grid.loads.noise if isinstance(self._grid.loads, GridProfile) else 0.0
        return GridMean(
            load_kw=np.ascontiguousarray(load.real),
            load_kvar=np.ascontiguousarray(load.imag),
            generator_kw=np.ascontiguousarray(generator.real),
            generator_kvar=np.ascontiguousarray(generator.imag),
            noise=noise,
            sunny=sunny,
            day=days - days[0],
        )

    def draw(
        self, mean: GridMean, step_h: float, load_rng: np.random.Generator, sky_rng: np.random.Generator
    ) -> GridDay:
        """A day: independent noise for each load, one sky for all plants.

        Parameters
        ----------
        mean : GridMean
            Of the day.
        step_h : float
            Length of a step [h].
        load_rng, sky_rng : numpy.random.Generator
            Sources of noise and clearness; `sky_rng` is the stream of the site's own plants.
        """
        load_kw, load_kvar = mean.load_kw.copy(), mean.load_kvar.copy()
        if mean.noise > 0.0:
            lag1 = math.exp(-step_h / NOISE_TIME_H)
            series = [ar1(len(load_kw), lag1, load_rng) for _ in self.loads]
            factor = np.maximum(0.0, 1.0 + mean.noise * np.array(series).T)
            load_kw *= factor
            load_kvar *= factor
        generator_kw, generator_kvar = mean.generator_kw.copy(), mean.generator_kvar.copy()
        if mean.sunny.any():
            sky = daily_clearness(int(mean.day[-1]) + 1, sky_rng)
            generator_kw[:, mean.sunny] *= sky[mean.day][:, None]
            generator_kvar[:, mean.sunny] *= sky[mean.day][:, None]
        return GridDay(self.loads, self.generators, load_kw, load_kvar, generator_kw, generator_kvar)

    def _load_of(self, clock: Clock, hours: HourGrid) -> np.ndarray:
        model = self._grid.loads
        if isinstance(model, GridProfile):
            by_hour = figures("load_profiles")["profiles"][model.profile]
            shape = np.array([by_hour["weekday"], by_hour["weekend"]])[hours.weekend, hours.local_hour]
            mean = steps_of(shape, hours.start_h, clock.step_h, clock.n_steps)
            return np.asarray(model.scale * mean[:, None] * self._load)
        if isinstance(model, GridSimbench):
            assert self._simbench is not None  # checked at the start
            profiles = simbench_profiles(self._simbench)
            active = _of_year(profiles.load_p, clock)[:, profiles.load_profile] * (profiles.load_profile >= 0)
            reactive = _of_year(profiles.load_q, clock)[:, profiles.load_profile] * (profiles.load_profile >= 0)
            kept = np.array(
                [
                    not any(fnmatch(profiles.load_names[k], pattern) for pattern in model.without) if k >= 0 else True
                    for k in profiles.load_profile.tolist()
                ]
            )
            return np.asarray(model.scale * kept * (active * self._load.real + 1j * reactive * self._load.imag))
        if self._load_file is not None:
            return _at(self._load_file, clock)
        return np.asarray(np.full((clock.n_steps, 1), model.scale) * self._load)

    def _generators_of(self, clock: Clock, n_own: int) -> tuple[np.ndarray, np.ndarray]:
        """Power of the network's own generators, and which of them follow the sky."""
        model, own = self._grid.generators, self._generator[:n_own]
        none = np.zeros(n_own, dtype=bool)
        if isinstance(model, GridSun):
            return model.scale * _clear(clock, model.sun)[:, None] * own, ~none
        if isinstance(model, GridSimbench):
            assert self._simbench is not None  # checked at the start
            profiles = simbench_profiles(self._simbench)
            share = _of_year(profiles.generator_p, clock)[:, profiles.generator_profile]
            return model.scale * share * (profiles.generator_profile >= 0) * own, none
        if self._generator_file is not None:
            return _at(self._generator_file, clock), none
        assert isinstance(model, GridConstant)
        return np.full((clock.n_steps, 1), model.scale) * own, none


def _clear(clock: Clock, latitude: float) -> np.ndarray:
    """Share of its peak that a plant gives under clear sky, float64, shape (n_steps,)."""
    return clear_sky_kw(Pv(peak=1.0, latitude=latitude), clock)


def _of_year(profile: np.ndarray, clock: Clock) -> np.ndarray:
    """Mean of a year's profile over each step, by date and clock time; shape (n_steps, n).

    The rows are the quarters of an hour of 2016 in German local time: an hour is missing in March, and one comes twice
    in October.
    """
    times = clock.local_times
    begin = datetime(_PROFILE_YEAR, 1, 1, tzinfo=_PROFILE_ZONE).timestamp()
    start = np.array(
        [
            (time.replace(year=_PROFILE_YEAR, tzinfo=_PROFILE_ZONE).timestamp() - begin) / (3600.0 * _PROFILE_H)
            + (time.year - times[0].year) * STEPS_OF_THE_YEAR
            for time in times
        ]
    )
    length = clock.step_h / _PROFILE_H
    first = int(start.min())
    # A running sum over the year gives the same, and takes ten times as long.
    part = profile[np.arange(first, int(start.max() + length) + 2) % STEPS_OF_THE_YEAR]
    total = np.concatenate([np.zeros((1, profile.shape[1])), np.cumsum(part, axis=0)])

    def until(edge: np.ndarray) -> np.ndarray:
        whole = np.floor(edge + 1e-9).astype(np.int64)
        return np.asarray(total[whole] + (edge - whole)[:, None] * part[whole])

    return np.asarray((until(start - first + length) - until(start - first)) / length)


def _check_simbench(model: Model, network: Network, instead: str) -> None:
    """Raise a DataError where profiles are asked for and the network has none."""
    if isinstance(model, GridSimbench) and network.simbench is None:
        name = network.spec.name
        raise DataError(f"network '{name}' is not a SimBench network, so it has no profiles; use {instead}")


@dataclass(frozen=True)
class _DatedPower:
    """Power of the elements of a file with dates."""

    active: tuple[Series, ...]  # of each element [kW]
    reactive: tuple[Series | float, ...]  # of each element [kvar], or over its active power [-]
    scale: float

    @property
    def series(self) -> tuple[Series, ...]:
        """All of them."""
        return (*self.active, *(series for series in self.reactive if isinstance(series, Series)))

    def at(self, clock: Clock) -> np.ndarray:
        """Complex power, shape (n_steps, n_elements) [kVA]."""
        power = np.empty((clock.n_steps, len(self.active)), dtype=np.complex128)
        for k, (active, reactive) in enumerate(zip(self.active, self.reactive, strict=True)):
            power[:, k] = active.at(clock)
            power[:, k] += 1j * (reactive.at(clock) if isinstance(reactive, Series) else reactive * power[:, k].real)
        return self.scale * power


def _at(file: np.ndarray | _DatedPower, clock: Clock) -> np.ndarray:
    return file.at(clock) if isinstance(file, _DatedPower) else file


def _from_csv(
    model: Model, names: tuple[str, ...], own: np.ndarray, scenario: Scenario, spec: NetworkSpec
) -> np.ndarray | _DatedPower | None:
    """Complex power of elements from a file, shape (n_steps, n_elements) [kVA], or with dates; None without a file.

    Raises
    ------
    DataError
        If the file cannot be read, lacks an element, or has another number of rows.
    """
    if not isinstance(model, GridCsv):
        return None
    try:
        table = Table.read(Path(model.csv))
        missing = [name for name in names if name not in table.names]
        elements = (*spec.loads, *spec.generators)
        reactive = [f"{name}{_REACTIVE}" for name in elements]
        others = [column for column in table.names if column not in {*elements, *reactive}]
        if missing:
            near = did_you_mean(missing[0], others)
            ours = f"; columns that belong to no element: {', '.join(others[:6])}" if others else ""
            raise ValueError(
                f"file {table.path} has no column '{missing[0]}'.{near} Each of the {len(names)} elements needs one, "
                f"by name; {len(missing)} are missing{ours}"
            )
        absent = [name for name in (*elements, *reactive) if name not in table.names]
        for column in others:  # a column of times is allowed, a misspelt name is not
            near = did_you_mean(column, absent)
            if near or column.endswith(_REACTIVE):
                raise ValueError(f"file {table.path} has the column '{column}', and there is no such element.{near}")
        ratios = [value.imag / value.real if value.real else 0.0 for value in own.tolist()]
        if model.time is not None:
            kvars = [f"{name}{_REACTIVE}" for name in names]
            there = [*names, *(name for name in kvars if name in table.names)]
            factors = dict.fromkeys(there, (1, 1))
            found = dated_columns(table, factors, model.time, model.timezone or scenario.timezone)
            reactives = [found.get(name, ratio) for name, ratio in zip(kvars, ratios, strict=True)]
            return _DatedPower(tuple(found[name] for name in names), tuple(reactives), model.scale)
        n_steps = scenario.n_steps
        power = np.zeros((n_steps, len(names)), dtype=np.complex128)
        for k, (name, ratio) in enumerate(zip(names, ratios, strict=True)):
            active = np.array(table.column(name, n_steps))
            given = f"{name}{_REACTIVE}" in table.names
            kvar = np.array(table.column(f"{name}{_REACTIVE}", n_steps)) if given else active * ratio
            power[:, k] = active + 1j * kvar
    except ValueError as error:
        raise DataError(str(error)) from error
    return model.scale * power
