"""Quantities as people write them: a number in the documented unit, or text with a unit such as "22 kW"."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

_TEXT = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")

POWER = {"kW": 1.0, "W": 1e-3, "MW": 1e3}
ENERGY = {"kWh": 1.0, "Wh": 1e-3, "MWh": 1e3}
DURATION = {"h": 1.0, "min": 1 / 60, "s": 1 / 3600, "d": 24.0}
CURRENT = {"A": 1.0}
VOLTAGE = {"V": 1.0, "kV": 1e3}
FRACTION = {"%": 0.01}
_PRICE = re.compile(r"^[A-Z]{3}/(kWh|MWh|kW)$")


def _number(value: object, unit_of: Callable[[str], float | None], documented: str, examples: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected {documented} as a number or text such as {examples}, found {value!r}")
    if isinstance(value, str):
        match = _TEXT.match(value)
        if match is None:
            raise ValueError(f"'{value}' is not a quantity; write a number in {documented} or text such as {examples}")
        number, unit = float(match[1]), match[2]
        factor = 1.0 if not unit else unit_of(unit)
        if factor is None:
            raise ValueError(
                f"unknown unit '{unit}' in '{value}'; write a number in {documented} or text such as {examples}"
            )
        result = number * factor
    else:
        result = float(value)
    if not math.isfinite(result):
        raise ValueError(f"{value!r} is not a finite number")
    return result


def quantity(units: dict[str, float], documented: str, examples: str) -> Callable[[object], float]:
    """Reader of a quantity: numbers are in the documented unit, text may carry any of `units`."""
    return lambda value: _number(value, units.get, documented, examples)


def _price_unit(unit: str) -> float | None:
    match = _PRICE.match(unit)
    return None if match is None else 1e-3 if match[1] == "MWh" else 1.0


def _price(value: object) -> float:
    return _number(value, _price_unit, "currency per kWh", "'0.25 EUR/kWh' or '85 EUR/MWh'")


def _schema(documented: str, units: str, example: str, low: float | None = None, high: float | None = None) -> Any:
    number: dict[str, object] = {"type": "number"}
    if low is not None:
        number["minimum"] = low
    if high is not None:
        number["maximum"] = high
    pattern = rf"^\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*({units})?\s*$"
    return WithJsonSchema(
        {"anyOf": [number, {"type": "string", "pattern": pattern}], "examples": [example], "x-unit": documented}
    )


_power = BeforeValidator(quantity(POWER, "kW", "'22 kW', '11000 W' or '0.4 MW'"))
Power = Annotated[float, Field(ge=0), _power, _schema("kW", "kW|W|MW", "22 kW", 0)]
SignedPower = Annotated[float, _power, _schema("kW", "kW|W|MW", "-22 kW")]
Energy = Annotated[
    float,
    Field(ge=0),
    BeforeValidator(quantity(ENERGY, "kWh", "'58 kWh'")),
    _schema("kWh", "kWh|Wh|MWh", "58 kWh", 0),
]
Duration = Annotated[
    float,
    Field(ge=0),
    BeforeValidator(quantity(DURATION, "hours", "'15 min', '24 h' or '7 d'")),
    _schema("h", "h|min|s|d", "15 min", 0),
]
Current = Annotated[float, Field(gt=0), BeforeValidator(quantity(CURRENT, "A", "'16 A'")), _schema("A", "A", "16 A", 0)]
Voltage = Annotated[
    float, Field(gt=0), BeforeValidator(quantity(VOLTAGE, "V", "'230 V'")), _schema("V", "V|kV", "230 V", 0)
]
Fraction = Annotated[
    float,
    Field(ge=0, le=1),
    BeforeValidator(quantity(FRACTION, "a share between 0 and 1", "'90 %'")),
    _schema("share", "%", "90 %", 0, 1),
]
Price = Annotated[float, BeforeValidator(_price), _schema("currency/kWh", "[A-Z]{3}/(kWh|MWh|kW)", "0.25 EUR/kWh")]
NonNegativePrice = Annotated[
    float, Field(ge=0), BeforeValidator(_price), _schema("currency/kWh", "[A-Z]{3}/(kWh|MWh|kW)", "0.25 EUR/kWh", 0)
]
