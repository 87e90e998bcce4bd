"""From recorded sessions to a file of sessions that a scenario can name, and how well the model fits the records.

`SessionRecords` come in; a `SessionFile` and a table of distances go out. What the data do not show is left out: a
month without data has the factor 1, a kind of day without data is not written.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import yaml
from scipy.stats import ks_2samp, spearmanr

from ev_marl.scenario.schema.session_file import (
    LONGEST_STAY_H,
    Counts,
    DayKind,
    Declarations,
    SessionFile,
    Stays,
    Table,
)
from ev_marl.scenario.schema.sessions import Sessions
from ev_marl.support.errors import DataError
from ev_marl.world.declared import MeasuredSayings
from ev_marl.world.hours import HOLIDAY, HourGrid
from ev_marl.world.measured_sessions import KIND_OF_WEEKDAY, KINDS
from ev_marl.world.public_holidays import public_holidays
from ev_marl.world.readers.records import SessionRecords
from ev_marl.world.sessions import SessionModel

LEAST_SESSIONS = 50  # of one file
LEAST_PER_ENTRY = 80  # clock hours are put together until so many sessions have come in them
LEAST_DAYS_OF_MONTH = 15  # with fewer, its factor is 1
LEVELS = (0.0, 0.01, 0.03, *(k / 20 for k in range(1, 20)), 0.97, 0.99, 1.0)
REPEATS = 10  # of the days of the data, drawn to compare
LEAST_FANO = 0.01
MOST_CLASSES = 10  # of true stays, by which drivers declare differently
LEAST_RATIO = 0.0001  # of the stay that is said to the true one


@dataclass(frozen=True)
class Recorded:
    """N sessions as columns, and the number on each of D days."""

    hour: np.ndarray  # float64 (N,)  local clock time of arrival [h]
    stay_h: np.ndarray  # float64 (N,)
    energy_kwh: np.ndarray  # float64 (N,)
    weekend: np.ndarray  # bool (N,)  Saturday, Sunday or holiday
    days: tuple[date, ...]  # (D,) every day from the first to the last
    number: np.ndarray  # int64 (D,)  sessions that began on each day
    kind: np.ndarray  # int64 (D,)  index into KINDS
    month: np.ndarray  # int64 (D,)  0..11
    timezone: str
    said_h: np.ndarray  # float64 (N,)  length of stay as said on arrival [h], NaN: not known

    @classmethod
    def of(cls, files: Sequence[SessionRecords], holidays: Container[date] = ()) -> Recorded:
        """Columns of all files, those with longer stays than the model knows left out.

        Raises
        ------
        DataError
            If there are too few sessions, or files of several time zones.
        """
        zones = {file.timezone for file in files}
        if len(zones) != 1:
            raise DataError(f"files of several time zones ({', '.join(sorted(zones))}); choose one with --timezone")
        zone = ZoneInfo(zones.pop())
        records = [record for file in files for record in file.records]
        stays = np.array([(record.departure - record.arrival) / timedelta(hours=1) for record in records])
        kept = [record for record, stay_h in zip(records, stays, strict=True) if stay_h <= LONGEST_STAY_H]
        if len(kept) < LEAST_SESSIONS:
            said = " and ".join(file.file for file in files)
            raise DataError(f"{said}: {len(kept)} sessions are too few; a model needs {LEAST_SESSIONS}")
        local = [record.arrival.astimezone(zone) for record in kept]
        ordinal = np.array([time.toordinal() for time in local])
        days = tuple(date.fromordinal(k) for k in range(ordinal.min(), ordinal.max() + 1))
        weekday = np.array([HOLIDAY if day in holidays else day.weekday() for day in days])
        place = ordinal - ordinal.min()
        return cls(
            hour=np.array([time.hour + time.minute / 60.0 + time.second / 3600.0 for time in local]),
            stay_h=stays[stays <= LONGEST_STAY_H],
            energy_kwh=np.array([record.delivered_kwh for record in kept]),
            weekend=(weekday >= 5)[place],
            days=days,
            number=np.bincount(place, minlength=len(days)),
            kind=KIND_OF_WEEKDAY[weekday],
            month=np.array([day.month - 1 for day in days]),
            timezone=zone.key,
            said_h=np.array(
                [
                    np.nan if record.declared is None else (record.declared - record.arrival) / timedelta(hours=1)
                    for record in kept
                ]
            ),
        )


def fit_sessions(recorded: Recorded, source: str) -> SessionFile:
    """The model of recorded sessions."""
    by_month, mean = _means(recorded)
    expected = by_month[recorded.month] * mean[recorded.kind]
    days: dict[DayKind, Counts] = {}
    for k, kind in enumerate(KINDS):
        of_kind = (recorded.kind == k) & (expected > 0.0)
        n_days = int((recorded.kind == k).sum())
        if n_days:
            # Days vary as much as in the data, of which the months' means take their part.
            fano = 1.0
            if of_kind.sum() > 1:
                varies = recorded.number[of_kind].var(ddof=1) - expected[of_kind].var(ddof=1)
                fano = max(LEAST_FANO, float(varies / expected[of_kind].mean()))
            days[kind] = Counts(per_day=round(float(mean[k]), 3), fano=round(fano, 3))
    return SessionFile(
        source=source,
        n_sessions=len(recorded.hour),
        days=days,
        by_month=[round(float(factor), 3) for factor in by_month],
        levels=list(LEVELS),
        workdays=_table(recorded, ~recorded.weekend),
        weekends=_table(recorded, recorded.weekend) if recorded.weekend.any() else None,
        declared=_declarations(recorded.stay_h, recorded.said_h),
    )


def _declarations(stay_h: np.ndarray, said_h: np.ndarray) -> list[Declarations] | None:
    """What drivers said, by classes of true stays of equal size; None where too few said something."""
    known = np.isfinite(said_h)
    n_classes = min(MOST_CLASSES, int(known.sum()) // LEAST_PER_ENTRY)
    if n_classes == 0:
        return None
    stay_h, said_h = stay_h[known], said_h[known]
    longest_h = np.unique(np.round(np.quantile(stay_h, np.arange(1, n_classes + 1) / n_classes), 3))
    entry = np.minimum(np.searchsorted(longest_h, stay_h), len(longest_h) - 1)
    return [
        Declarations(
            stay_h=float(longest_h[k]),
            said=np.maximum(LEAST_RATIO, np.round(np.quantile((said_h / stay_h)[entry == k], LEVELS), 4)).tolist(),
        )
        for k in range(len(longest_h))
        if (entry == k).any()
    ]


def _means(recorded: Recorded) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the months, and mean numbers of each kind of day, such that both totals are those of the data."""
    by_month = np.ones(12)
    n_days = np.bincount(recorded.month, minlength=12)
    for _ in range(20):
        weight = np.bincount(recorded.kind, by_month[recorded.month], minlength=len(KINDS))
        mean = np.bincount(recorded.kind, recorded.number, minlength=len(KINDS)) / np.maximum(weight, 1e-12)
        usual = np.bincount(recorded.month, mean[recorded.kind], minlength=12)
        found = np.bincount(recorded.month, recorded.number, minlength=12)
        seen = (n_days >= LEAST_DAYS_OF_MONTH) & (usual > 0.0)
        by_month = np.where(seen, found / np.maximum(usual, 1e-12), 1.0)
        if seen.any():
            by_month[seen] /= np.average(by_month[seen], weights=n_days[seen])
    return by_month, mean


def _table(recorded: Recorded, which: np.ndarray) -> Table:
    hour = np.floor(recorded.hour[which]).astype(np.int64)
    stay_h, energy_kwh = recorded.stay_h[which], recorded.energy_kwh[which]
    count = np.bincount(hour, minlength=24)
    entries: list[list[int]] = [[]]
    for clock_hour in range(24):
        if count[entries[-1]].sum() >= LEAST_PER_ENTRY:
            entries.append([])
        entries[-1].append(clock_hour)
    if len(entries) > 1 and count[entries[-1]].sum() < LEAST_PER_ENTRY:
        last = entries.pop()
        entries[-1] += last
    return Table(
        arrival_share=np.round(count / count.sum(), 5).tolist(),
        stays=[_stays(hours, *(column[np.isin(hour, hours)] for column in (stay_h, energy_kwh))) for hours in entries],
    )


def _stays(hours: list[int], stay_h: np.ndarray, energy_kwh: np.ndarray) -> Stays:
    varied = len(stay_h) > 2 and np.ptp(stay_h) > 0.0 and np.ptp(energy_kwh) > 0.0
    return Stays(
        hours=hours,
        stay_h=np.round(np.maximum(0.001, np.quantile(stay_h, LEVELS)), 3).tolist(),
        energy_kwh=np.round(np.quantile(energy_kwh, LEVELS), 3).tolist(),
        rank_correlation=round(float(spearmanr(stay_h, energy_kwh).statistic), 3) if varied else 0.0,
    )


@dataclass(frozen=True)
class Fit:
    """How far drawn sessions are from the recorded ones; distances are those of Kolmogorov and Smirnov, 0 to 1."""

    arrival: float  # of the clock time
    stay: float
    departure: float  # of the clock time
    energy: float
    fano_data: float  # of the numbers on Mondays to Thursdays that are no holidays
    fano_model: float
    declared: float | None = None  # of the true departure less the declared one, where drivers said it


def how_well(recorded: Recorded, model: SessionModel, holidays: Container[date] = (), seed: int = 0) -> Fit:
    """Draw the days of the data several times, and compare.

    Parameters
    ----------
    recorded : Recorded
        The data.
    model : SessionModel
        One that draws as many vehicles for one port as the data have.
    holidays : container of date
        Those of the data.
    seed : int
        Seed of the draws.
    """
    zone = ZoneInfo(recorded.timezone)
    begin, end = (
        datetime(day.year, day.month, day.day, tzinfo=zone)
        for day in (recorded.days[0], recorded.days[-1] + timedelta(days=1))
    )
    length_h = (end.timestamp() - begin.timestamp()) / 3600.0
    hours = HourGrid.around(begin, recorded.timezone, 0.0, length_h, holidays)
    usual = np.isin(hours.day, np.flatnonzero(recorded.kind == 0))
    columns: list[tuple[np.ndarray, ...]] = []
    numbers = []
    for k in range(REPEATS):
        drawn = model.draw(hours, 1, np.random.default_rng([seed, k, 0]), np.random.default_rng([seed, k, 1]))
        hour = np.clip(np.searchsorted(hours.start_h, drawn.arrival_h, side="right") - 1, 0, len(hours) - 1)
        clock_h = hours.local_hour[hour] + drawn.arrival_h - hours.start_h[hour]
        columns.append((clock_h, drawn.stay_h, (clock_h + drawn.stay_h) % 24.0, drawn.wanted_kwh))
        per_day = np.bincount(hours.day[hour], minlength=len(recorded.days))
        numbers.append(per_day[np.unique(hours.day[usual])])
    drawn_columns = [np.concatenate(column) for column in zip(*columns, strict=True)]
    data = (recorded.hour, recorded.stay_h, (recorded.hour + recorded.stay_h) % 24.0, recorded.energy_kwh)
    arrival, stay, departure, energy = (
        float(ks_2samp(one, other).statistic) for one, other in zip(data, drawn_columns, strict=True)
    )
    fano = float(np.mean([_fano(number) for number in numbers]))
    return Fit(arrival, stay, departure, energy, _fano(recorded.number[recorded.kind == 0]), fano)


def how_well_declared(recorded: Recorded, measured: SessionFile, seed: int = 0) -> float | None:
    """Distance of drawn from recorded differences of true and declared departure; None where no driver declared."""
    known = np.isfinite(recorded.said_h)
    if not measured.declared or not known.any():
        return None
    stay_h = recorded.stay_h[known]
    drawn_h = MeasuredSayings(measured).draw(np.tile(stay_h, REPEATS), np.random.default_rng(seed))
    drawn = np.tile(stay_h, REPEATS) - drawn_h
    return float(ks_2samp(stay_h - recorded.said_h[known], drawn).statistic)


def _fano(number: np.ndarray) -> float:
    return float(number.var(ddof=1) / number.mean()) if len(number) > 1 and number.any() else float("nan")


def holidays_of(files: Sequence[SessionRecords], code: str | None) -> Container[date]:
    """Public holidays in the time of the files; none without a country, see `public_holidays`."""
    years = [record.arrival.year for file in files for record in file.records]
    return public_holidays(code, min(years) - 1, max(years) + 1) if code and years else ()


def session_file_text(measured: SessionFile) -> str:
    """A file of sessions as YAML."""
    plain = measured.model_dump(exclude_none=True)
    text: str = yaml.safe_dump(plain, default_flow_style=None, sort_keys=False, width=120, allow_unicode=True)
    return text


def per_day_of(measured: SessionFile) -> Sessions:
    """Sessions that bring as many vehicles to one port as the whole site has."""
    return Sessions(per_port_per_day=measured.days["weekday"].per_day)
