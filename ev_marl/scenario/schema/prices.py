"""The key `prices`: what energy costs."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Tag

from ev_marl.scenario.base import Model, choice
from ev_marl.scenario.choices import Fill
from ev_marl.scenario.schema.patterns import HOURS_PATTERN
from ev_marl.scenario.units import WHOLE, Duration, Fraction, Price


class PriceModel(Model):
    """Day-ahead prices drawn from a fitted model."""

    model: Literal["nl/2019", "nl/2022", "nl/2023", "nl/2022-tails", "nl/2023-tails"]
    """Country and year the model was fitted to. With `tails`, the spread of the day, negative and very high prices are
    those of the data, and prices at noon are low on clear days."""
    published: Annotated[Duration, Field(lt=24)] | None = None
    """Local clock hour at which the prices of the next day are published, such as 13 h; until then, only those of the
    present day are known. Left out: all prices of an episode are known from its start [h]."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price|: what is left for energy fed back [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


class PriceConstant(Model):
    """One price for the whole day."""

    constant: Price
    """Price [currency/kWh]."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price| [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


class PriceByHour(Model):
    """A price for each local clock hour, the same every day."""

    by_hour: Annotated[list[Price], Field(min_length=24, max_length=24)]
    """24 prices, local clock hours 0 to 23 [currency/kWh]."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price| [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


def hours_of(span: str) -> list[int]:
    """Clock hours of text such as `8-12` (8 to 11) or `22-6`, which goes over midnight."""
    first, end = (int(part) for part in span.split("-"))
    return [hour % 24 for hour in range(first, end if end > first else end + 24)]


def _whole_day(hours: dict[str, float]) -> dict[str, float]:
    priced = Counter(hour for span in hours for hour in hours_of(span))
    wrong = {hour: priced[hour] for hour in range(24) if priced[hour] != 1}
    if wrong:
        found = ", ".join(f"{count or 'none'} for hour {hour}" for hour, count in wrong.items())
        raise ValueError(f"found prices: {found}; expected one for each clock hour from 0 to 23, such as 8-12: 0.25")
    return hours


class TariffDays(Model):
    """What a kWh costs on some days of the year."""

    months: Annotated[list[Annotated[int, Field(ge=1, le=12), WHOLE]], Field(min_length=1)] = list(range(1, 13))
    """Months, 1 to 12."""
    days: Literal["all", "weekdays", "weekends"] = "all"
    """Which days of these months."""
    hours: Annotated[dict[Annotated[str, Field(pattern=HOURS_PATTERN)], Price], AfterValidator(_whole_day)]
    """Price of every local clock hour, by spans such as `8-12: 0.25 EUR/kWh`; `22-6` goes over midnight
    [currency/kWh]."""

    def fits(self, month: int, weekend: bool) -> bool:
        """Whether a day of this month (1 to 12) and kind is one of its days."""
        return month in self.months and self.days in ("all", "weekends" if weekend else "weekdays")


def _every_day(periods: list[TariffDays]) -> list[TariffDays]:
    free = {(month, weekend) for month in range(1, 13) for weekend in (False, True)}
    for k, period in enumerate(periods):
        here = {day for day in free if period.fits(*day)}
        if not here:
            raise ValueError(
                f"entry {k + 1} never counts, since those above it have all of its days; put it above them"
            )
        free -= here
    if free:
        month, weekend = min(free)
        kind = "weekends" if weekend else "weekdays"
        raise ValueError(f"no entry fits {kind} of month {month}; an entry without `months` and `days` fits all others")
    return periods


class PriceTimeOfUse(Model):
    """A tariff by season, weekday or weekend, and local clock hour."""

    time_of_use: Annotated[
        Annotated[Literal["sce_tou_ev_4_march_2019"], Tag("<plain>")]
        | Annotated[list[TariffDays], Field(min_length=1), AfterValidator(_every_day), Tag("<list>")],
        choice(
            "the name of a tariff, or a list of {months: [6, 7], days: weekdays, hours: {0-24: 0.25 EUR/kWh}}", "list"
        ),
    ]
    """A tariff of the package by name, or its entries; the first that fits a day counts."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price| [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


class PriceFile(Model):
    """Real day-ahead prices; each track starts on a day of the file."""

    csv: str
    """ENTSO-E or Ember day-ahead file, relative to the scenario file; the format is detected."""
    area: str | None = None
    """Bidding zone or country, where the file has several."""
    fill: Fill | None = None
    """What to do where the file lacks a price: take that of 24 hours before, or the straight line between its
    neighbours; left out: an error."""
    published: Annotated[Duration, Field(lt=24)] | None = None
    """Local clock hour at which the prices of the next day are published, such as 13 h; until then, only those of the
    present day are known. Left out: all prices of an episode are known from its start [h]."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price| [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


Prices = Annotated[
    Annotated[PriceModel, Tag("<model>")]
    | Annotated[PriceConstant, Tag("<constant>")]
    | Annotated[PriceByHour, Tag("<by_hour>")]
    | Annotated[PriceTimeOfUse, Tag("<time_of_use>")]
    | Annotated[PriceFile, Tag("<csv>")],
    choice(
        "one of {model: nl/2023}, {constant: 0.25 EUR/kWh}, {by_hour: [24 prices]}, {time_of_use: TARIFF}, {csv: FILE}",
        "model",
        "constant",
        "by_hour",
        "time_of_use",
        "csv",
    ),
]
