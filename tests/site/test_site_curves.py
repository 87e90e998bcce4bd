"""Measured charge curves: closed form against an integrator, composition, inverse, slope, concave hull."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from ev_marl.scenario.curves import MOST_POINTS, Points, curve_faults
from ev_marl.site.charge_curve import (
    curve_table,
    energy_after,
    energy_before,
    hours_along,
    knees_kwh,
    slope_of_energy_after,
)

NO_TAPER_H = np.array([1e-9])


@st.composite
def points(draw: st.DrawFn) -> list[tuple[float, float]]:
    inner = draw(st.lists(st.integers(1, 999), min_size=0, max_size=MOST_POINTS - 2, unique=True))
    soc = [0.0, *(value / 1000.0 for value in sorted(inner)), 1.0]
    return [(value, draw(st.floats(1.0, 200.0))) for value in soc]


curves = st.fixed_dictionaries(
    {
        "points": points(),
        "capacity": st.floats(10.0, 100.0),
        "soc": st.floats(0.0, 1.0),
        "rate": st.floats(1.0, 250.0),
        "hours": st.floats(0.01, 1.0),
    }
)


def of(curve: dict, *, hull: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    table = curve_table(curve["points"], curve["capacity"], curve["rate"])[None]
    rate, capacity = np.array([curve["rate"]]), np.array([curve["capacity"]])
    return rate, capacity, NO_TAPER_H, table[:, 2:] if hull else table[:, :2]


def test_by_hand() -> None:
    # 50 kWh, 50 kW up to 40 kWh, then down to 10 kW when full: slope −4 per h. A station gives 40 kW at the battery.
    # From 30 kWh: 12.5 kWh at 40 kW take 0.3125 h up to 42.5 kWh; then the rate falls as exp(−4 t).
    table = curve_table([(0.0, 50.0), (0.8, 50.0), (1.0, 10.0)], 50.0)[None, :2]
    battery = np.array([40.0]), np.array([50.0]), NO_TAPER_H, table
    assert energy_after(np.array([30.0]), 0.3125, *battery)[0] == pytest.approx(42.5, abs=1e-12)
    expected = 42.5 + 40.0 / 4.0 * (1.0 - math.exp(-4.0 * 0.25))
    assert energy_after(np.array([30.0]), 0.5625, *battery)[0] == pytest.approx(expected, abs=1e-12)
    # Full after ln(40/10)/4 h more, in finite time.
    to_full_h = 0.3125 + math.log(4.0) / 4.0
    assert hours_along(np.array([30.0]), np.array([50.0]), battery[0], table)[0] == pytest.approx(to_full_h, abs=1e-12)
    assert energy_after(np.array([30.0]), to_full_h + 1.0, *battery)[0] == 50.0
    assert energy_before(np.array([50.0]), to_full_h, *battery)[0] == pytest.approx(30.0, abs=1e-12)
    assert knees_kwh(*battery)[0] == pytest.approx(42.5, abs=1e-12)
    assert energy_before(np.array([5.0]), 1.0, *battery)[0] == pytest.approx(-35.0, abs=1e-12)  # as if it went on


@settings(max_examples=60, deadline=None)
@given(curves)
def test_closed_form_against_an_integrator(curve: dict) -> None:
    rate, capacity, _, _ = of(curve, hull=False)
    soc, power_kw = np.array(curve["points"]).T
    start = curve["soc"] * capacity[0]

    def slope(_: float, energy: np.ndarray) -> list[float]:
        return [min(rate[0], np.interp(energy[0], soc * capacity[0], power_kw))]

    steps = curve["hours"] / 200.0
    there = solve_ivp(slope, (0.0, curve["hours"]), [start], rtol=1e-8, atol=1e-9, max_step=steps).y[0, -1]
    found = energy_after(np.array([start]), curve["hours"], *of(curve, hull=False))[0]
    assert found == pytest.approx(min(there, capacity[0]), abs=2e-3)


@given(curves)
def test_composes_and_has_an_inverse(curve: dict) -> None:
    battery, hours = of(curve, hull=False), curve["hours"]
    start = np.array([curve["soc"] * curve["capacity"]])
    whole = energy_after(start, hours, *battery)
    parts = start
    for _ in range(3):
        parts = energy_after(parts, hours / 3.0, *battery)
    assert parts[0] == pytest.approx(whole[0], abs=1e-9)
    assume(whole[0] < curve["capacity"] - 1e-6)
    assert energy_before(whole, hours, *battery)[0] == pytest.approx(start[0], abs=1e-8)


@given(curves)
def test_the_hull_is_concave_above_and_its_tangents_cut_nothing_off(curve: dict) -> None:
    hull, hours = of(curve, hull=True), curve["hours"]
    energies = np.linspace(0.0, curve["capacity"], 41)
    rate, capacity, tau, points = (np.repeat(values, 41, axis=0) for values in hull)
    above = energy_after(energies, hours, rate, capacity, tau, points)
    true = energy_after(energies, hours, rate, capacity, tau, np.repeat(of(curve, hull=False)[3], 41, axis=0))
    assert (above >= true - 1e-9).all()
    slope = slope_of_energy_after(energies, hours, rate, capacity, tau, points)
    tangents = above[:, None] + slope[:, None] * (energies[None, :] - energies[:, None])
    assert (tangents >= above[None, :] - 1e-8).all()


def test_a_concave_curve_is_its_own_hull() -> None:
    concave = curve_table([(0.0, 30.0), (0.3, 45.0), (0.6, 50.0), (0.9, 20.0), (1.0, 3.0)], 40.0)
    assert (concave[:2] == concave[2:]).all()
    dented = curve_table([(0.0, 100.0), (0.5, 40.0), (1.0, 20.0)], 40.0)
    assert dented[2, :2].tolist() == [0.0, 40.0]
    assert dented[3, :2].tolist() == [100.0, 20.0]
    # A station of 40 kW cuts the first half flat: what is left is concave.
    capped = curve_table([(0.0, 100.0), (0.5, 40.0), (1.0, 20.0)], 40.0, 40.0)
    assert capped[2, :3].tolist() == [0.0, 20.0, 40.0]
    assert capped[3, :3].tolist() == [40.0, 40.0, 20.0]


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        ([(0.0, 10.0)], "1 points"),
        ([(0.1, 10.0), (1.0, 5.0)], "does not rise"),
        ([(0.0, 10.0), (0.5, 9.0), (0.5, 8.0), (1.0, 5.0)], "does not rise"),
        ([(0.0, 10.0), (1.0, 0.0)], "a power"),
        ([(0.0, 10.0), (1.0, math.nan)], "a power"),
    ],
)
def test_faulty_curves(points: Points, fault: str) -> None:
    assert fault in (curve_faults(points) or "")
