"""The models give back the figures that they were calibrated with, within stated tolerances."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from ev_marl.scenario.schema import Sessions
from ev_marl.world.calibration import figures
from ev_marl.world.hours import HourGrid
from ev_marl.world.prices import FittedPrices
from ev_marl.world.sessions import SESSION_MODELS, Arrivals

ZONE = "Europe/Amsterdam"
MODELS = [
    ("elaadnl/workplace", "sessions_elaadnl", "workplace", 0.0),
    ("elaadnl/private", "sessions_elaadnl", "private", 1.0),
    ("elaadnl/public", "sessions_elaadnl", "public", 1.0),
    ("acn/caltech", "sessions_acn", "caltech", 0.165 / 0.655),
    ("acn/jpl", "sessions_acn", "jpl", 0.095 / 1.27),
    ("highway", "sessions_highway", "highway", 1.0),
    ("bus-depot", "sessions_depot", "bus", 0.6),
]


def week(model: str, n_ports: int) -> tuple[HourGrid, Arrivals]:
    hours = HourGrid.around(datetime(2023, 5, 15, tzinfo=ZoneInfo(ZONE)), ZONE, 0.0, 168.0)
    drawn = SESSION_MODELS.get(model)(Sessions(model=model, per_port_per_day=2.0)).draw(
        hours, n_ports, np.random.default_rng(1), np.random.default_rng(2)
    )
    return hours, drawn


@pytest.mark.parametrize(("model", "data", "site", "weekend_factor"), MODELS)
def test_arrivals_by_hour(model: str, data: str, site: str, weekend_factor: float) -> None:
    n_ports = 20_000
    _, drawn = week(model, n_ports)
    counts = np.bincount(np.floor(drawn.arrival_h).astype(int), minlength=168).reshape(7, 24)
    fitted = figures(data)["sites"][site]
    weekday = np.array(fitted["arrival_share_weekday"]) * 2.0 * n_ports
    assert counts[:5].sum() == pytest.approx(5 * 2.0 * n_ports, rel=0.01)
    # within five standard deviations of a Poisson count
    assert np.all(np.abs(counts[:5] - weekday) < 5.0 * np.sqrt(weekday) + 5.0)
    assert counts[5:].sum() == pytest.approx(2 * 2.0 * n_ports * weekend_factor, rel=0.02)
    if weekend_factor:
        weekend = np.array(fitted["arrival_share_weekend"]) * 2.0 * n_ports * weekend_factor
        assert np.all(np.abs(counts[5:] - weekend) < 5.0 * np.sqrt(weekend) + 5.0)
    assert np.all(np.diff(drawn.arrival_h) >= 0.0)
    assert (drawn.arrival_h % 1.0).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("model", "data", "site", "weekend_factor"), MODELS)
def test_stay_and_energy(model: str, data: str, site: str, weekend_factor: float) -> None:
    hours, drawn = week(model, 20_000)
    fitted = figures(data)["sites"][site]
    hour = hours.local_hour[np.floor(drawn.arrival_h).astype(int)]
    for values, name in ((drawn.stay_h, "stay"), (drawn.wanted_kwh, "energy")):
        mean = np.array(fitted["stay_h_mean" if name == "stay" else "energy_kwh_mean"])
        relative = values / mean[hour]  # the same lognormal at every hour
        assert relative.mean() == pytest.approx(1.0, rel=0.02)
        assert relative.std() == pytest.approx(fitted[f"{name}_cv"], rel=0.06)
        busiest = hour == np.bincount(hour).argmax()
        assert values[busiest].mean() == pytest.approx(mean[hour[busiest][0]], rel=0.03)
    at_one_hour = hour == np.bincount(hour).argmax()
    rank = stats.spearmanr(drawn.stay_h[at_one_hour], drawn.wanted_kwh[at_one_hour]).statistic
    assert rank == pytest.approx(fitted.get("stay_energy_rank_correlation", 0.0), abs=0.02)


@pytest.mark.parametrize("year", [2019, 2022, 2023])
def test_price_moments(year: int) -> None:
    fitted = figures("prices_nl")["years"][year]
    hours = HourGrid.around(datetime(year, 1, 1, tzinfo=ZoneInfo(ZONE)), ZONE, 0.0, 8760.0)
    rng = np.random.default_rng(year)
    years = np.array([FittedPrices(f"nl/{year}").hourly(hours, rng) for _ in range(40)])
    spread = fitted["daily_level_std"] + fitted["hourly_std"]
    assert years.mean() == pytest.approx(fitted["mean_eur_per_kwh"], abs=0.03 * spread)
    by_hour = [years[:, hours.local_hour == h].mean() for h in range(24)]
    assert by_hour == pytest.approx(np.mean(fitted["hour_profile_by_quarter"], axis=0), abs=0.06 * spread)
    shift = [
        years[:, (hours.local_hour == h) & (hours.weekend == 1)].mean()
        - years[:, (hours.local_hour == h) & (hours.weekend == 0)].mean()
        for h in range(24)
    ]
    assert shift == pytest.approx(fitted["weekend_shift_by_hour"], abs=0.15 * spread)
    noise = years - years.mean(axis=0)
    total = np.hypot(fitted["daily_level_std"], fitted["hourly_std"])
    assert noise.std() == pytest.approx(total, rel=0.03)
    midnight = np.flatnonzero(hours.local_hour == 0)
    # from one day's level to the next, as hour 0 shows it (hourly noise has forgotten itself after 24 hours)
    day_to_day = np.mean(noise[:, midnight[:-1]] * noise[:, midnight[1:]]) / fitted["daily_level_std"] ** 2
    assert day_to_day == pytest.approx(fitted["daily_level_lag1"], abs=0.06)
    hour_to_hour = np.mean(noise[:, midnight + 5] * noise[:, midnight + 6]) - fitted["daily_level_std"] ** 2
    assert hour_to_hour / fitted["hourly_std"] ** 2 == pytest.approx(fitted["hourly_lag1"], abs=0.15)


def test_what_is_an_assumption_says_so() -> None:
    assert "assumption" in figures("sessions_highway")["source"]
    assert "assumption" in figures("sessions_depot")["source"]
    assert "assumption" in figures("load_profiles")["source"]
