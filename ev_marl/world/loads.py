"""Inflexible load and PV of a site: the base load of every group and step.

The site's loads and plants and the times of an episode come in; base load, summed up the tree, goes out. Profiles
and clearness vary at random about their mean; values that a scenario gives as numbers are used as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from ev_marl.scenario import schema
from ev_marl.scenario.clock import Clock
from ev_marl.scenario.series import Series
from ev_marl.site.tree import add_up_columns
from ev_marl.support.errors import DataError, how_to_install
from ev_marl.world.calibration import figures
from ev_marl.world.hours import HourGrid, steps_of
from ev_marl.world.noise import ar1
from ev_marl.world.sky import MEAN_CLEARNESS, clear_sky_index, daily_clearness

if TYPE_CHECKING:
    from ev_marl.world.pv import PvDay

NOISE_TIME_H = 2.0  # after this time, deviations from a profile have decayed to 1/e; assumption
_SAMPLE_H = 1.0 / 12.0  # PV of a step is the mean of samples at most this far apart


@dataclass(frozen=True)
class LoadDay:
    """Loads of one start time before noise and weather; T steps, G groups."""

    fixed_kw: np.ndarray  # float64 (T, G)  loads given as numbers, at their own group
    profiles: list[tuple[int, np.ndarray, float]]  # group, mean load (T,) [kW], relative noise [-]
    clear_sky: list[tuple[int, np.ndarray]]  # group, PV under clear sky (T,) [kW]
    day: np.ndarray  # int64 (T,)  local calendar day of each step, 0 for the first
    systems: list[tuple[int, PvDay]] = field(default_factory=list)  # group, sun over a plant with place and modules


class SiteLoads:
    """Loads and PV of one site.

    Parameters
    ----------
    groups : sequence of str
        Names of the groups, parents before children.
    group_parent : int64, shape (n_groups,)
        Parent of each group, −1 at the root.
    base_loads : sequence of (str, Series or LoadProfile)
        Group and load.
    pvs : sequence of (str, Pv or PvSystem)
        Group and plant.
    irradiance : mapping of str to Series, optional
        Measured irradiance, `ghi` and maybe `dni` and `dhi`, for plants with place and modules [W/m²].
    """

    def __init__(
        self,
        groups: Sequence[str],
        group_parent: np.ndarray,
        base_loads: Sequence[tuple[str, Series | schema.LoadProfile]],
        pvs: Sequence[tuple[str, schema.Pv | schema.PvSystem]],
        irradiance: Mapping[str, Series] | None = None,
    ) -> None:
        index = {name: g for g, name in enumerate(groups)}
        self._parent = group_parent
        self._loads = [(index[name], load) for name, load in base_loads]
        self._pvs = [(index[name], pv) for name, pv in pvs if isinstance(pv, schema.Pv)]
        self._systems = [(index[name], pv) for name, pv in pvs if isinstance(pv, schema.PvSystem)]
        self._irradiance = irradiance or {}
        if self._systems:
            try:
                from ev_marl.world.pv import PvDay  # noqa: PLC0415  pvlib is optional, and slow to load
            except ImportError as error:
                lacking = f"plants with `kwp` need pvlib ({error})"
                raise DataError(f"{lacking}; install it by {how_to_install('pv')}") from error
            self._sun = PvDay.of

    def on(self, clock: Clock, hours: HourGrid) -> LoadDay:
        """Mean loads over the steps of `clock`; `hours` covers them."""
        fixed = np.zeros((clock.n_steps, len(self._parent)))
        profiles = []
        for g, load in self._loads:
            if isinstance(load, Series):
                fixed[:, g] += load.at(clock)
            else:
                by_hour = figures("load_profiles")["profiles"][load.profile]
                shape = np.array([by_hour["weekday"], by_hour["weekend"]])[hours.weekend, hours.local_hour]
                mean = load.peak * steps_of(shape, hours.start_h, clock.step_h, clock.n_steps)
                profiles.append((g, mean, load.noise))
        days = np.array([time.toordinal() for time in clock.local_times], dtype=np.int64)
        clear = [(g, clear_sky_kw(pv, clock)) for g, pv in self._pvs]
        systems = [(g, self._sun(system, clock, self._irradiance)) for g, system in self._systems]
        return LoadDay(fixed, profiles, clear, days - days[0], systems)

    def mean(self, day: LoadDay) -> np.ndarray:
        """Base load of everything below each group without noise and at mean clearness, shape (T, G) [kW]."""
        base = day.fixed_kw.copy()
        for g, mean, _ in day.profiles:
            base[:, g] += mean
        for g, clear in day.clear_sky:
            base[:, g] -= MEAN_CLEARNESS * clear
        for g, sun in day.systems:
            base[:, g] -= sun.power_kw(np.full(len(sun.zenith), MEAN_CLEARNESS), None)
        add_up_columns(base.T, self._parent)
        return base

    def draw(
        self,
        day: LoadDay,
        step_h: float,
        load_rng: np.random.Generator,
        pv_rng: np.random.Generator,
        temperature_c: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Base load of everything below each group, inflexible load − PV, shape (T, G), and the power of all plants
        with place and modules, shape (T,), None where there is none [kW].

        A profile is multiplied by 1 + noise·x, with x an Ornstein-Uhlenbeck process of unit variance sampled at the
        steps, so that neither its spread nor its memory depends on the step. All plants of the site have the same sky.
        """
        base, pv_kw = day.fixed_kw.copy(), None
        lag1 = math.exp(-step_h / NOISE_TIME_H)
        for g, mean, noise in day.profiles:
            base[:, g] += mean * np.maximum(0.0, 1.0 + noise * ar1(len(base), lag1, load_rng))
        if day.clear_sky or day.systems:
            sky = daily_clearness(int(day.day[-1]) + 1, pv_rng)
            for g, clear in day.clear_sky:
                base[:, g] -= sky[day.day] * clear
            if day.systems:
                sun = day.systems[0][1]
                index = clear_sky_index(np.repeat(sky[day.day], sun.n_per_step), sun.sample_h, pv_rng)
                powers = [sun.power_kw(index, temperature_c) for _, sun in day.systems]
                for (g, _), power_kw in zip(day.systems, powers, strict=True):
                    base[:, g] -= power_kw
                pv_kw = np.sum(powers, axis=0)
        add_up_columns(base.T, self._parent)
        return base, pv_kw


def clear_sky_kw(pv: schema.Pv, clock: Clock) -> np.ndarray:
    """Power of a horizontal plant under a clear sky, averaged over each step.

    Declination after Cooper (1969), 23.45°·sin(360°·(284 + n)/365); irradiance after Haurwitz (1945),
    1098·cos z·exp(−0.057/cos z), over its value at noon on midsummer's day at the same latitude. The plant's longitude
    is taken as the meridian of the time zone's standard time, so the sun is highest at 12:00 standard time.

    Parameters
    ----------
    pv : schema.Pv
        Peak power [kW] and latitude [degrees north].
    clock : Clock
        Steps of the episode.

    Returns
    -------
    float64, shape (n_steps,)
        Power, >= 0 [kW].
    """
    standard_h = []
    for time in clock.local_times:
        standard = time.replace(tzinfo=None) - (time.dst() or timedelta(0))
        standard_h.append(standard.hour + standard.minute / 60 + standard.second / 3600)
    n_samples = max(1, math.ceil(clock.step_h / _SAMPLE_H))
    middle_h = (np.arange(n_samples) + 0.5) * clock.step_h / n_samples
    hour_angle = np.radians(15.0 * (np.array(standard_h)[:, None] + middle_h - 12.0))
    latitude = math.radians(pv.latitude)
    declination = np.radians(23.45 * np.sin(2.0 * np.pi * (284.0 + clock.day_of_year[:, None]) / 365.0))
    cos_zenith = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    summit = math.cos(latitude - math.copysign(math.radians(23.45), latitude))
    mean: np.ndarray = pv.peak * (_haurwitz(cos_zenith) / _haurwitz(np.array(summit))).mean(axis=1)
    return mean


def _haurwitz(cos_zenith: np.ndarray) -> np.ndarray:
    up = np.maximum(cos_zenith, 1e-6)
    return np.where(cos_zenith > 0.0, 1098.0 * up * np.exp(-0.057 / up), 0.0)
