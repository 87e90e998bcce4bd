"""A file of sessions as `ev-marl fit sessions` writes it: what was measured of one operator's drivers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ev_marl.scenario.base import Model, fault
from ev_marl.scenario.units import NUMBER, WHOLE

DayKind = Literal["weekday", "friday", "saturday", "sunday", "holiday"]
Share = Annotated[float, Field(ge=0, le=1), NUMBER]
Amount = Annotated[float, Field(ge=0, le=100_000), NUMBER]
LONGEST_STAY_H = 168.0
MOST_LEVELS = 101


class Counts(Model):
    """How many vehicles come on a kind of day."""

    per_day: Amount
    """Mean number of vehicles [1/day]."""
    fano: Annotated[float, Field(gt=0, le=10_000), NUMBER] = 1.0
    """Variance of the number over its mean: 1 for independent arrivals, more where there are busy and quiet days, less
    where nearly the same vehicles come every day [-]."""


class Stays(Model):
    """Stays and energy of vehicles that come in some clock hours."""

    hours: Annotated[list[Annotated[int, Field(ge=0, le=23), WHOLE]], Field(min_length=1, max_length=24)]
    """Local clock hours of arrival."""
    stay_h: list[Annotated[float, Field(gt=0, le=LONGEST_STAY_H), NUMBER]]
    """Quantiles of the length of stay at `levels` [h]."""
    energy_kwh: list[Amount]
    """Quantiles of the energy wanted at `levels` [kWh]."""
    rank_correlation: Annotated[float, Field(ge=-1, le=1), NUMBER] = 0.0
    """Spearman's rank correlation of stay and energy [-]."""


class Table(Model):
    """Vehicles of Mondays to Fridays, or of weekends and holidays."""

    arrival_share: Annotated[list[Amount], Field(min_length=24, max_length=24)]
    """Share of the vehicles that comes in each local clock hour, 0 to 23; scaled to a sum of 1."""
    stays: Annotated[list[Stays], Field(min_length=1, max_length=24)]
    """Stays and energy; each clock hour of arrival stands in one entry."""

    @model_validator(mode="after")
    def _check(self) -> Table:
        hours = sorted(hour for entry in self.stays for hour in entry.hours)
        if hours != list(range(24)):
            raise fault("stays", "each clock hour from 0 to 23 must stand in exactly one entry")
        if sum(self.arrival_share) == 0.0:
            raise fault("arrival_share", "found only zeros; leave the whole table out if nobody comes")
        return self


class Declarations(Model):
    """What drivers said on arrival, of true stays up to some length."""

    stay_h: Annotated[float, Field(gt=0, le=LONGEST_STAY_H), NUMBER]
    """Longest true stay of these drivers; the last entry counts for all longer ones too [h]."""
    said: list[Annotated[float, Field(gt=0, le=10_000), NUMBER]]
    """Quantiles at `levels` of the length of stay that they said, over the true one [-]."""


class SessionFile(Model):
    """What was measured of the drivers of one site."""

    source: Annotated[str, Field(max_length=2000)] = ""
    """Where the figures come from."""
    n_sessions: Annotated[int, Field(ge=0), WHOLE] = 0
    """Sessions that they were fitted to."""
    days: dict[DayKind, Counts]
    """Vehicles by kind of day: `weekday` is Monday to Thursday."""
    by_month: Annotated[list[Amount], Field(min_length=12, max_length=12)] = [1.0] * 12
    """Factor of each month, January first [-]."""
    levels: Annotated[list[Share], Field(min_length=2, max_length=MOST_LEVELS)]
    """Probabilities of the quantiles, from 0 to 1."""
    workdays: Table
    """Mondays to Fridays."""
    weekends: Table | None = None
    """Saturdays, Sundays and holidays; left out: nobody comes."""
    declared: Annotated[list[Declarations], Field(min_length=1, max_length=100)] | None = None
    """What drivers said of their departure, by the length of their stays; left out: not known."""

    @model_validator(mode="after")
    def _check(self) -> SessionFile:
        if self.days.get("weekday", Counts(per_day=0.0)).per_day == 0.0:
            raise fault("days", "needs `weekday` with `per_day` above 0, of which the other days are a multiple")
        if self.levels[0] != 0.0 or self.levels[-1] != 1.0 or sorted(set(self.levels)) != self.levels:
            raise fault("levels", "must rise from 0 to 1")
        for name, table in (("workdays", self.workdays), ("weekends", self.weekends)):
            for entry in table.stays if table else ():
                for key, values in (("stay_h", entry.stay_h), ("energy_kwh", entry.energy_kwh)):
                    if len(values) != len(self.levels) or sorted(values) != values:
                        raise fault(f"{name}.stays", f"`{key}` needs {len(self.levels)} values that do not fall")
        declared = self.declared or ()
        if [entry.stay_h for entry in declared] != sorted({entry.stay_h for entry in declared}):
            raise fault("declared", "`stay_h` must rise")
        if any(len(entry.said) != len(self.levels) or sorted(entry.said) != entry.said for entry in declared):
            raise fault("declared", f"`said` needs {len(self.levels)} values that do not fall")
        return self
