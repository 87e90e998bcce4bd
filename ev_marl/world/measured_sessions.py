"""Drivers as they were measured: quantiles of stay and energy by hour of arrival, busy and quiet days, kinds of day.

A `SessionFile` comes in, written by `ev-marl fit sessions` or shipped; a session model goes out.
"""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from ev_marl.scenario import schema
from ev_marl.scenario.loader import validate_document
from ev_marl.scenario.reading import read_document
from ev_marl.scenario.schema.session_file import DayKind, SessionFile, Table
from ev_marl.world.declared import MeasuredSayings, Misjudged
from ev_marl.world.hours import HourGrid
from ev_marl.world.sessions import SESSION_MODELS, Arrivals

KINDS: tuple[DayKind, ...] = ("weekday", "friday", "saturday", "sunday", "holiday")
KIND_OF_WEEKDAY = np.array([0, 0, 0, 0, 1, 2, 3, 4])  # index into KINDS by `HourGrid.weekday`
LEAST_PER_STAY_H = 1.0 / 60.0  # shortest stay [h]


@cache
def _shipped(site: str) -> SessionFile:
    return read_session_file(Path(str(files("ev_marl.world.calibration").joinpath(f"sessions_{site}.yaml"))))


def read_session_file(path: str | Path) -> SessionFile:
    """Read a file of measured sessions.

    Raises
    ------
    ScenarioError
        If it is no such file; each fault with file and line.
    """
    return validate_document(read_document(Path(path), lambda _: None, "file of sessions"), SessionFile)


class MeasuredSessions:
    """Vehicles of a measured site; each day has a number of vehicles of its own.

    The number of a day has the mean of its kind and month, scaled to the scenario, and the measured Fano factor F: it
    is negative binomial where F > 1, with a level of the day that does not depend on the size of the site, Poisson
    where F = 1, and binomial where F < 1. Hours are drawn by their shares, times within an hour evenly. Stay and energy
    follow the quantiles of the hour, straight between them, and are coupled by a Gaussian copula.

    Parameters
    ----------
    sessions : schema.Sessions
        How many vehicles come.
    measured : SessionFile
        What was measured.
    """

    def __init__(self, sessions: schema.Sessions, measured: SessionFile) -> None:
        usual = measured.days["weekday"]
        counts = [measured.days.get(kind) for kind in KINDS]
        counts[1] = counts[1] or usual
        counts[4] = counts[4] or counts[3]  # holidays are Sundays where they were not measured
        per_day = np.array([count.per_day if count else 0.0 for count in counts])
        self._fano = np.array([count.fano if count else 1.0 for count in counts])
        self._level_variance = np.maximum(0.0, self._fano - 1.0) / np.maximum(per_day, 1e-12)
        share = per_day / usual.per_day
        if sessions.weekend_factor is not None:
            share[2:] = sessions.weekend_factor
        self._per_port = sessions.per_port_per_day * share
        self._by_month = np.array(measured.by_month)
        tables = (measured.workdays, measured.weekends or measured.workdays)
        self._share = np.stack([np.array(table.arrival_share) / sum(table.arrival_share) for table in tables])
        if measured.weekends is None and sessions.weekend_factor is None:
            self._share[1] = 0.0
        self._levels = np.array(measured.levels)
        parts = [_by_hour(table) for table in tables]
        self._stay_h, self._energy_kwh, self._correlation = (np.stack(columns) for columns in zip(*parts, strict=True))

    def draw(
        self, hours: HourGrid, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator
    ) -> Arrivals:
        """Every vehicle that comes within `hours`, see `SessionModel.draw`."""
        weight = self._share[hours.weekend, hours.local_hour]
        first = np.unique(hours.day, return_index=True)[1]
        day = np.searchsorted(hours.day[first], hours.day)
        kind = KIND_OF_WEEKDAY[hours.weekday[first]]
        of_day = np.bincount(day, weight, minlength=len(first))
        mean = n_ports * self._per_port[kind] * self._by_month[hours.month[first]] * of_day
        number = self._numbers(mean, kind, arrivals)
        ends = np.cumsum(weight)
        starts = ends[first] - weight[first]
        place = np.repeat(starts, number) + arrivals.random(number.sum()) * np.repeat(of_day, number)
        hour = np.minimum(np.searchsorted(ends, place, side="right"), len(hours) - 1)
        arrival_h = hours.start_h[hour] + arrivals.random(len(hour))
        order = np.argsort(arrival_h, kind="stable")
        hour = hour[order]
        table, local_hour = hours.weekend[hour], hours.local_hour[hour]
        normal = stays.standard_normal((len(hour), 2))
        rho = self._correlation[table, local_hour]
        second = rho * normal[:, 0] + np.sqrt(1.0 - rho**2) * normal[:, 1]
        return Arrivals(
            arrival_h=arrival_h[order],
            stay_h=self._quantile(self._stay_h[table, local_hour], ndtr(normal[:, 0])),
            wanted_kwh=self._quantile(self._energy_kwh[table, local_hour], ndtr(second)),
        )

    def _numbers(self, mean: np.ndarray, kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Vehicles of each day, int64."""
        fano, variance = self._fano[kind], self._level_variance[kind]
        busy, steady = variance > 0.0, fano < 1.0
        level = np.ones(len(mean))
        level[busy] = rng.gamma(1.0 / variance[busy]) * variance[busy]
        number = rng.poisson(mean * level)
        trials = np.ceil(mean[steady] / (1.0 - fano[steady])).astype(np.int64)
        number[steady] = rng.binomial(trials, mean[steady] / np.maximum(trials, 1))
        return np.asarray(number, dtype=np.int64)

    def _quantile(self, values: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Quantiles of each vehicle, shape (n, K), at its probability."""
        left = np.clip(np.searchsorted(self._levels, probability, side="right") - 1, 0, len(self._levels) - 2)
        part = (probability - self._levels[left]) / (self._levels[left + 1] - self._levels[left])
        row = np.arange(len(values))
        found: np.ndarray = values[row, left] + part * (values[row, left + 1] - values[row, left])
        return found


def _by_hour(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles of stay and of energy, shape (24, K), and the copula's correlation, shape (24,), by hour of arrival."""
    entry_of = {hour: entry for entry in table.stays for hour in entry.hours}
    entries = [entry_of[hour] for hour in range(24)]
    correlation = [2.0 * math.sin(math.pi * entry.rank_correlation / 6.0) for entry in entries]
    stay_h = np.maximum(LEAST_PER_STAY_H, [entry.stay_h for entry in entries])
    return stay_h, np.array([entry.energy_kwh for entry in entries]), np.array(correlation)


def sayings_of(said: schema.Declared) -> Misjudged | MeasuredSayings:
    """What drivers say of their departures.

    Raises
    ------
    DataError
        If the file of sessions has nothing of it.
    ScenarioError
        If there is no such file.
    """
    if said.file is not None:
        return MeasuredSayings(read_session_file(said.file))
    if said.model is not None:
        return MeasuredSayings(_shipped(said.model.replace("/", "_").replace("-", "_")))
    return Misjudged(said.early, said.late)


@SESSION_MODELS.register("acn/caltech-2019")
def _caltech(sessions: schema.Sessions) -> MeasuredSessions:
    return MeasuredSessions(sessions, _shipped("acn_caltech_2019"))


@SESSION_MODELS.register("acn/jpl-2019")
def _jpl(sessions: schema.Sessions) -> MeasuredSessions:
    return MeasuredSessions(sessions, _shipped("acn_jpl_2019"))
