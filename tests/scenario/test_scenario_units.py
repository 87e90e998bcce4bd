"""Quantities: every unit gives the documented one, everything else a message that says what to write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ev_marl.scenario import units
from ev_marl.support.values import LEAST, MOST

GOOD = [
    (units.Power, "22 kW", 22.0),
    (units.Power, "11000 W", 11.0),
    (units.Power, "0.4 MW", 400.0),
    (units.Power, "22kW", 22.0),
    (units.Power, " 1.5e2 kW ", 150.0),
    (units.Power, ".5", 0.5),
    (units.Power, 0, 0.0),
    (units.SignedPower, "-3 kW", -3.0),
    (units.PositivePower, 7, 7.0),
    (units.Energy, "58 kWh", 58.0),
    (units.Energy, "500 Wh", 0.5),
    (units.Energy, "0.1 MWh", 100.0),
    (units.Duration, "15 min", 0.25),
    (units.Duration, "36 s", 0.01),
    (units.Duration, "7 d", 168.0),
    (units.PositiveDuration, "20 min", 1 / 3),
    (units.Current, "16 A", 16.0),
    (units.Voltage, "0.4 kV", 400.0),
    (units.Fraction, "90 %", 0.9),
    (units.Fraction, "93%", 0.93),
    (units.Fraction, 1, 1.0),
    (units.PositiveFraction, 0.5, 0.5),
    (units.Price, "-5 EUR/MWh", -0.005),
    (units.Price, "0.25 USD/kWh", 0.25),
    (units.NonNegativePrice, 0.4, 0.4),
    (units.PeakPrice, "2 EUR/kW", 2.0),
]

BAD = [
    (units.Power, "-5 kW", "greater than or equal to 0"),
    (units.Power, "22 KW", "found '22 KW' with the unit 'KW'. Did you mean 'kW'? Allowed: kW, W, MW"),
    (units.Power, "22 kWh", "Allowed: kW, W, MW"),
    (units.Power, "much", "found 'much', which is not a quantity; expected a number [kW] or text such as '22 kW'"),
    (units.Power, "1,5 kW", "decimals have a point"),
    (units.Power, "1.5.2 kW", "not a quantity"),
    (units.Power, True, "found true; expected a number [kW]"),
    (units.Power, None, "found nothing; expected a number [kW]"),
    (units.Power, [1], "found [1]"),
    (units.Power, float("nan"), "finite"),
    (units.Power, "1e999 kW", "finite"),
    (units.PositivePower, 0, "greater than 0"),
    (units.Energy, "58 kW", "Allowed: kWh, Wh, MWh"),
    (units.Duration, "2 hours", "Allowed: h, min, s, d"),
    (units.Duration, "12:30", "unit ':30'"),
    (units.PositiveDuration, "0 min", "greater than 0"),
    (units.Current, "16 kA", "Allowed: A"),
    (units.Voltage, "400 A", "Allowed: V, kV"),
    (units.Fraction, "90", "less than or equal to 1"),
    (units.Fraction, "120 %", "less than or equal to 1"),
    (units.PositiveFraction, 0, "greater than 0"),
    (units.Price, "0.25 EUR/kW", "Allowed: EUR/kWh, EUR/MWh"),
    (units.Price, "0.25 euro/kWh", "Allowed: EUR/kWh, EUR/MWh"),
    (units.NonNegativePrice, "-1 EUR/kWh", "greater than or equal to 0"),
    (units.PeakPrice, "2 EUR/kWh", "Allowed: EUR/kW, EUR/MW"),
]


@pytest.mark.parametrize(("kind", "value", "number"), GOOD)
def test_quantity_in_the_documented_unit(kind: Any, value: object, number: float) -> None:
    assert TypeAdapter(kind).validate_python(value) == number


@pytest.mark.parametrize(("kind", "value", "message"), BAD)
def test_what_is_no_such_quantity_is_told(kind: Any, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    assert message in str(caught.value)


@given(st.integers(min_value=0, max_value=10_000))
def test_percent_and_minutes_are_exactly_the_fraction(n: int) -> None:
    assert units.fraction(f"{n} %") == n / 100
    assert units.duration(f"{n} min") == n / 60


MAGNITUDES = st.floats(min_value=LEAST, max_value=MOST)


@given(st.just(0.0) | MAGNITUDES | MAGNITUDES.map(lambda value: -value))
def test_a_number_as_text_is_the_number(value: float) -> None:
    assert units.power(repr(value)) == value == units.power(f"{value!r} kW")


@given(st.floats().filter(lambda value: not (value == 0.0 or LEAST <= abs(value) <= MOST)))
def test_numbers_beyond_all_sense_are_told(value: float) -> None:
    for written in (value, f"{value!r}", f"{value!r} kW"):
        with pytest.raises(ValueError, match=r"expected 0, or a magnitude|a finite number|not a quantity"):
            units.power(written)


@pytest.mark.parametrize(
    ("text", "currency"),
    [("0.25 EUR/kWh", "EUR"), ("85 USD/MWh", "USD"), ("2 CHF/kW", "CHF"), ("22 kW", None), ("EUR/kWh", None)],
)
def test_currency_of_a_price(text: str, currency: str | None) -> None:
    assert units.currency_of(text) == currency
