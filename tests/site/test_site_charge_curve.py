"""The charge curve: closed form against an integrator, composition, inverse, concavity, hand-worked numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from ev_marl.site.charge_curve import NO_CURVE, energy_after, energy_before, knee, slope_of_energy_after, slope_up_to

curves = st.fixed_dictionaries(
    {
        "capacity_kwh": st.floats(5.0, 120.0),
        "soc": st.floats(0.0, 1.0),
        "own_kw": st.floats(1.0, 150.0),
        "share": st.floats(0.05, 1.0),
        "taper_start": st.floats(0.3, 0.97),
        "efficiency": st.floats(0.7, 1.0),
        "hours": st.floats(0.01, 3.0),
    }
)


def parameters(curve: dict[str, float]) -> tuple[float, float, float, float]:
    """Energy, rate at the battery, capacity and time constant of a drawn curve."""
    capacity = curve["capacity_kwh"]
    tau = (1 - curve["taper_start"]) * capacity / (curve["efficiency"] * curve["own_kw"])
    rate = curve["efficiency"] * curve["own_kw"] * curve["share"]
    return curve["soc"] * capacity, rate, capacity, tau


def test_below_the_taper_charging_is_a_straight_line() -> None:
    # 50 kWh, 11 kW at the battery, taper from 80 % at 11 kW: tau = 10/11 h, knee at 40 kWh.
    assert energy_after(10.0, 0.5, 11.0, 50.0, 10 / 11) == pytest.approx(15.5, abs=1e-12)


def test_in_the_taper_the_missing_energy_decays_exponentially() -> None:
    assert energy_after(45.0, 0.5, 11.0, 50.0, 10 / 11) == pytest.approx(50 - 5 * math.exp(-0.55), abs=1e-12)


def test_a_step_across_the_knee_is_line_then_exponential() -> None:
    # From 38 kWh the knee at 40 is reached after 2/11 h.
    expected = 50 - 10 * math.exp(-(0.5 - 2 / 11) * 1.1)
    assert energy_after(38.0, 0.5, 11.0, 50.0, 10 / 11) == pytest.approx(expected, abs=1e-12)


@given(curves)
def test_three_short_steps_equal_one_long_step(curve: dict[str, float]) -> None:
    energy, rate, capacity, tau = parameters(curve)
    hours = curve["hours"]
    stepped = energy
    for _ in range(3):
        stepped = float(energy_after(stepped, hours / 3, rate, capacity, tau))
    assert stepped == pytest.approx(float(energy_after(energy, hours, rate, capacity, tau)), abs=1e-12 * capacity)


@given(curves)
def test_the_inverse_undoes_the_flow(curve: dict[str, float]) -> None:
    energy, rate, capacity, tau = parameters(curve)
    end = float(energy_after(energy, curve["hours"], rate, capacity, tau))
    if capacity - end < 1e-6 * capacity:  # at the capacity itself the inverse is not unique
        return
    back = float(energy_before(end, curve["hours"], rate, capacity, tau))
    assert back == pytest.approx(energy, abs=1e-6 * capacity)


@given(curves, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_flow_is_concave_increasing_and_bounded(curve: dict[str, float], other: float, mix: float) -> None:
    energy, rate, capacity, tau = parameters(curve)
    second = other * capacity
    ends = energy_after(
        np.array([energy, second, mix * energy + (1 - mix) * second]), curve["hours"], rate, capacity, tau
    )
    assert ends[2] >= mix * ends[0] + (1 - mix) * ends[1] - 1e-10 * capacity
    assert np.all(ends <= capacity * (1 + 1e-15))
    assert (ends[0] - ends[1]) * (energy - second) >= -1e-10


@given(curves)
def test_the_slope_is_the_same_from_either_end_of_the_step(curve: dict[str, float]) -> None:
    energy, rate, capacity, tau = parameters(curve)
    after = float(energy_after(energy, curve["hours"], rate, capacity, tau))
    room = capacity - after
    if after > knee(rate, capacity, tau, NO_CURVE) and room > 1e-6 * capacity:  # beyond, the room has lost its digits
        (slope,) = slope_of_energy_after(np.array([energy]), curve["hours"], *np.array([[rate], [capacity], [tau]]))
        assert slope_up_to(after, curve["hours"], rate, capacity, tau, NO_CURVE) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("soc", [0.1, 0.75, 0.79, 0.9])
def test_closed_form_agrees_with_an_integrator(soc: float) -> None:
    capacity, rate, tau = 60.0, 20.0, 0.3 * 60 / 25

    def derivative(_time: float, energy: np.ndarray) -> np.ndarray:
        return np.minimum(rate, (capacity - energy) / tau)

    numeric = solve_ivp(derivative, (0, 0.7), [soc * capacity], rtol=1e-10, atol=1e-10, max_step=1e-3).y[0, -1]
    assert float(energy_after(soc * capacity, 0.7, rate, capacity, tau)) == pytest.approx(numeric, abs=1e-6)


def test_an_unreachable_or_idle_charge_changes_nothing() -> None:
    assert float(energy_after(20.0, 1.0, 0.0, 50.0, 1.0)) == 20.0
    assert float(energy_after(50.0, 1.0, 10.0, 50.0, 1.0)) == 50.0
    assert float(energy_before(50.0, 1.0, 10.0, 50.0, 1.0)) == 50.0
