"""Quantities as people write them: a number in the documented unit, or text with a unit such as "22 kW".

Each type below is a float that pydantic reads from either form, with a JSON Schema that editors understand. A unit is
case-sensitive (`mW` is no `MW`), and one that is unknown is an error that lists those allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from ev_marl.support.values import MOST, WRITTEN, in_range, number, shown, whole

LONGEST_H = 1e5
"""Longest duration, eleven years [h]."""
LONGEST_TEXT = 100
"""Of a quantity [characters]."""
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
"""First and last day that a scenario may name."""

_TEXT = re.compile(rf"^\s*({WRITTEN})\s*(.*?)\s*$")
_DECIMAL_COMMA = re.compile(r"^\s*[-+]?[0-9]+,[0-9]")
_CURRENCY = re.compile(r"^([A-Z]{3})/(\w+)$")

Units = Mapping[str, tuple[int, int]]  # unit -> (times, over): exact, where a factor such as 1/60 or 0.01 is not

POWER: Units = {"kW": (1, 1), "W": (1, 1000), "MW": (1000, 1)}
ENERGY: Units = {"kWh": (1, 1), "Wh": (1, 1000), "MWh": (1000, 1)}
DURATION: Units = {"h": (1, 1), "min": (1, 60), "s": (1, 3600), "d": (24, 1)}
YEARS: Units = {"years": (1, 1), "year": (1, 1), "months": (1, 12)}
APPARENT: Units = {"kVA": (1, 1), "VA": (1, 1000), "MVA": (1000, 1)}
CURRENT: Units = {"A": (1, 1)}
VOLTAGE: Units = {"V": (1, 1), "kV": (1000, 1)}
FRACTION: Units = {"%": (1, 100)}
LOADING: Units = {"%": (1, 1)}
PER_ENERGY: Units = {"kWh": (1, 1), "MWh": (1, 1000)}
PER_POWER: Units = {"kW": (1, 1), "MW": (1, 1000)}
PER_HOUR: Units = {"h": (1, 1)}
PER_MASS: Units = {"t": (1, 1), "kg": (1000, 1)}
CARBON: Units = {"g/kWh": (1, 1), "kg/MWh": (1, 1), "kg/kWh": (1000, 1), "t/MWh": (1000, 1)}
IRRADIANCE: Units = {"W/m²": (1, 1), "W/m2": (1, 1), "kW/m²": (1000, 1), "kW/m2": (1000, 1)}
TEMPERATURE: Units = {"°C": (1, 1), "C": (1, 1)}


class Quantity:
    """Reader of one kind of quantity.

    Parameters
    ----------
    documented : str
        Unit of plain numbers, for messages.
    units : mapping
        Units that text may carry, each with the factor to the documented one as (times, over).
    example : str
        A quantity as people write it.
    priced : bool
        Whether the units stand below a currency, as in `EUR/kWh`.
    most : float
        Largest magnitude, in the documented unit.
    """

    def __init__(
        self, documented: str, units: Units, example: str, *, priced: bool = False, most: float = MOST
    ) -> None:
        self.documented = documented
        self.units = units
        self.example = example
        self.priced = priced
        self.most = most

    def __call__(self, value: object) -> float:
        """The quantity in the documented unit.

        Raises
        ------
        ValueError
            If it is no finite number of a sensible magnitude, or its unit is unknown; the message lists the units.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"found {shown(value)}; expected {self._allowed()}")
        if isinstance(value, str):
            match = _TEXT.match(value) if len(value) <= LONGEST_TEXT else None
            if match is None or match[2][:1] in (",", "."):
                comma = "; decimals have a point" if _DECIMAL_COMMA.match(value) else ""
                raise ValueError(f"found {shown(value)}, which is not a quantity{comma}; expected {self._allowed()}")
            times, over = self._factor(match[2], value)
            return in_range(float(match[1]) * times / over, value, self.documented, self.most)
        return in_range(value, value, self.documented, self.most)

    def _factor(self, unit: str, text: str) -> tuple[int, int]:
        if not unit:
            return 1, 1
        found = self.units.get(unit)
        if self.priced:
            match = _CURRENCY.match(unit)
            found = self.units.get(match[2]) if match else None
        if found is None:
            near = next((f" Did you mean '{name}'?" for name in self.names() if name.lower() == unit.lower()), "")
            raise ValueError(f"found '{text}' with the unit '{unit}'.{near} Allowed: {', '.join(self.names())}")
        return found

    def names(self) -> list[str]:
        """The units that text may carry."""
        return [f"EUR/{unit}" if self.priced else unit for unit in self.units]

    def _allowed(self) -> str:
        return f"a number [{self.documented}] or text such as '{self.example}'"

    def json_schema(
        self, *, low: float | None = None, above: float | None = None, high: float | None = None
    ) -> WithJsonSchema:
        """What editors check: a number within its bounds, or text of a number and a unit."""
        number: dict[str, Any] = {"type": "number"}
        bounds = (("minimum", low), ("exclusiveMinimum", above), ("maximum", high))
        number.update({key: bound for key, bound in bounds if bound is not None})
        units = "|".join(self.units)
        unit = f"[A-Z]{{3}}/({units})" if self.priced else units
        sign = "[-+]?" if low is None and above is None else "[+]?"
        pattern = rf"^\s*{sign}([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*({unit})?\s*$"
        text = {"type": "string", "pattern": pattern}
        return WithJsonSchema({"anyOf": [number, text], "examples": [self.example], "x-unit": self.documented})


def currency_of(text: str) -> str | None:
    """The currency of a price written as text, such as `EUR` of "0.25 EUR/kWh"; None where it is no such text."""
    match = _TEXT.match(text)
    unit = _CURRENCY.match(match[2]) if match else None
    return unit[1] if unit and unit[2] in {*PER_ENERGY, *PER_POWER, *PER_MASS, *PER_HOUR} else None


def _day(value: object) -> date:
    try:
        day = value if type(value) is date else date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(f"found {shown(value)}; expected a date such as 2023-05-15")
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"found {day}; expected a day from {FIRST_DAY} to {LAST_DAY}")
    return day


power = Quantity("kW", POWER, "22 kW")
energy = Quantity("kWh", ENERGY, "58 kWh")
duration = Quantity("h", DURATION, "15 min", most=LONGEST_H)
years = Quantity("years", YEARS, "3 years", most=100.0)
apparent = Quantity("kVA", APPARENT, "400 kVA")
current = Quantity("A", CURRENT, "16 A")
voltage = Quantity("V", VOLTAGE, "230 V")
fraction = Quantity("share from 0 to 1", FRACTION, "90 %")
loading = Quantity("%", LOADING, "90 %")
price = Quantity("currency/kWh", PER_ENERGY, "0.25 EUR/kWh", priced=True)
peak_price = Quantity("currency/kW", PER_POWER, "2 EUR/kW", priced=True)
hour_price = Quantity("currency/h", PER_HOUR, "0.10 EUR/h", priced=True)
carbon_price = Quantity("currency/t", PER_MASS, "80 EUR/t", priced=True)
carbon = Quantity("g/kWh", CARBON, "300 g/kWh")
irradiance = Quantity("W/m²", IRRADIANCE, "800 W/m²", most=2000.0)
temperature = Quantity("°C", TEMPERATURE, "15 °C", most=100.0)

NUMBER = BeforeValidator(number)
"""Takes a number without a unit: no text, no Boolean."""
WHOLE = BeforeValidator(whole)
"""Takes a whole number: no text, no Boolean."""
Count = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
Day = Annotated[date, BeforeValidator(_day)]
"""A day, such as 2023-05-15."""

Power = Annotated[float, Field(ge=0), BeforeValidator(power), power.json_schema(low=0)]
PositivePower = Annotated[float, Field(gt=0), BeforeValidator(power), power.json_schema(above=0)]
SignedPower = Annotated[float, BeforeValidator(power), power.json_schema()]
Energy = Annotated[float, Field(gt=0), BeforeValidator(energy), energy.json_schema(above=0)]
Duration = Annotated[float, Field(ge=0), BeforeValidator(duration), duration.json_schema(low=0)]
PositiveDuration = Annotated[float, Field(gt=0), BeforeValidator(duration), duration.json_schema(above=0)]
Years = Annotated[float, Field(gt=0), BeforeValidator(years), years.json_schema(above=0)]
ApparentPower = Annotated[float, Field(gt=0), BeforeValidator(apparent), apparent.json_schema(above=0)]
Current = Annotated[float, Field(gt=0), BeforeValidator(current), current.json_schema(above=0)]
Voltage = Annotated[float, Field(gt=0), BeforeValidator(voltage), voltage.json_schema(above=0)]
Fraction = Annotated[float, Field(ge=0, le=1), BeforeValidator(fraction), fraction.json_schema(low=0, high=1)]
LEAST_POWER_FACTOR = 0.1
PowerFactor = Annotated[
    float,
    Field(ge=LEAST_POWER_FACTOR, le=1),
    BeforeValidator(fraction),
    fraction.json_schema(low=LEAST_POWER_FACTOR, high=1),
]
Efficiency = Annotated[float, Field(ge=0.01, le=1), BeforeValidator(fraction), fraction.json_schema(low=0.01, high=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1), BeforeValidator(fraction), fraction.json_schema(above=0, high=1)]
Loading = Annotated[float, Field(gt=0), BeforeValidator(loading), loading.json_schema(above=0)]
Price = Annotated[float, BeforeValidator(price), price.json_schema()]
NonNegativePrice = Annotated[float, Field(ge=0), BeforeValidator(price), price.json_schema(low=0)]
PeakPrice = Annotated[float, Field(ge=0), BeforeValidator(peak_price), peak_price.json_schema(low=0)]
HourPrice = Annotated[float, Field(ge=0), BeforeValidator(hour_price), hour_price.json_schema(low=0)]
CarbonPrice = Annotated[float, Field(ge=0), BeforeValidator(carbon_price), carbon_price.json_schema(low=0)]
CarbonIntensity = Annotated[float, Field(ge=0), BeforeValidator(carbon), carbon.json_schema(low=0)]
Temperature = Annotated[float, BeforeValidator(temperature), temperature.json_schema()]
TemperatureSpan = Annotated[float, Field(ge=0), BeforeValidator(temperature), temperature.json_schema(low=0)]
