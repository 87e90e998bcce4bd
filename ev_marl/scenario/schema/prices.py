"""The key `prices`: what energy costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from ev_marl.scenario.base import Model, choice
from ev_marl.scenario.choices import Fill
from ev_marl.scenario.units import Fraction, Price


class PriceModel(Model):
    """Day-ahead prices drawn from a fitted model."""

    model: Literal["nl/2019", "nl/2022", "nl/2023"]
    """Country and year the model was fitted to."""
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


class PriceFile(Model):
    """Real day-ahead prices; each track starts on a day of the file."""

    csv: str
    """ENTSO-E or Ember day-ahead file, relative to the scenario file; the format is detected."""
    area: str | None = None
    """Bidding zone or country, where the file has several."""
    fill: Fill | None = None
    """What to do where the file lacks a price: take that of 24 hours before, or the straight line between its
    neighbours; left out: an error."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price| [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


Prices = Annotated[
    Annotated[PriceModel, Tag("<model>")]
    | Annotated[PriceConstant, Tag("<constant>")]
    | Annotated[PriceByHour, Tag("<by_hour>")]
    | Annotated[PriceFile, Tag("<csv>")],
    choice(
        "one of {model: nl/2023}, {constant: 0.25 EUR/kWh}, {by_hour: [24 prices]}, {csv: FILE}",
        "model",
        "constant",
        "by_hour",
        "csv",
    ),
]
