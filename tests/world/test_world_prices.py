"""Prices of an episode: what buying costs and selling earns, by hour, from files, over clock changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from ev_marl.scenario import ScenarioError
from ev_marl.scenario.schema import PriceByHour, PriceConstant, PriceFile, PriceModel, PriceTimeOfUse, Scenario
from ev_marl.world.calibration import figures
from ev_marl.world.hours import HourGrid
from ev_marl.world.prices import TailedPrices
from ev_marl.world.readers.prices import read_prices
from ev_marl.world.world import World

Make = Callable[..., Scenario]
HOURS = [0.01 * h for h in range(24)]


def test_selling_earns_what_feed_in_leaves_and_buying_costs_the_markup(scenario: Make) -> None:
    prices = PriceByHour(by_hour=[-0.10] * 12 + [0.30] * 12, feed_in=0.8, markup=0.05)
    track = World(scenario(prices=prices)).sample(0)
    assert track.buy_per_kwh[0] == pytest.approx(-0.05)
    assert track.sell_per_kwh[0] == pytest.approx(-0.12)  # feeding in at a negative price costs more, too
    assert track.buy_per_kwh[48] == pytest.approx(0.35)
    assert track.sell_per_kwh[48] == pytest.approx(0.24)


@pytest.mark.parametrize("model", ["nl/2019", "nl/2022", "nl/2023"])
def test_nobody_earns_by_buying_and_selling_at_once(scenario: Make, model: str) -> None:
    world = World(scenario(prices=PriceModel(model=model, feed_in=0.9)))
    for seed in range(20):
        track = world.sample(seed)
        assert np.all(track.sell_per_kwh <= track.buy_per_kwh)
        assert np.all(track.buy_per_kwh.reshape(24, 4) == track.buy_per_kwh[::4, None])


def test_constant(scenario: Make) -> None:
    track = World(scenario(prices=PriceConstant(constant=0.21))).sample(0)
    assert set(track.buy_per_kwh) == set(track.sell_per_kwh) == {0.21}


def hourly(make: Make, day: date, prices: PriceTimeOfUse) -> list[float]:
    entries = {"start": day, "timezone": "America/Los_Angeles", "currency": "USD", "step": 1.0}
    return World(make(prices=prices, **entries)).sample(0).buy_per_kwh.tolist()


def test_the_tariff_of_the_adaptive_charging_networks(scenario: Make) -> None:
    """Prices as acnportal 0.3.3 has them for SCE TOU-EV-4: from 0, 8, 12, 18, 23 h on weekdays."""
    prices = PriceTimeOfUse(time_of_use="sce_tou_ev_4_march_2019")
    summer = [0.05623] * 8 + [0.0925] * 4 + [0.26668] * 6 + [0.0925] * 5 + [0.05623]
    winter = [0.06087] * 8 + [0.07492] * 4 + [0.0869] * 6 + [0.07492] * 5 + [0.06087]
    assert hourly(scenario, date(2018, 9, 28), prices) == summer  # a Friday
    assert hourly(scenario, date(2018, 9, 29), prices) == [0.05623] * 24
    assert hourly(scenario, date(2018, 10, 1), prices) == winter
    assert hourly(scenario, date(2019, 5, 31), prices) == winter
    assert hourly(scenario, date(2019, 6, 1), prices) == [0.05623] * 24  # a Saturday
    assert hourly(scenario, date(2019, 3, 2), prices) == [0.06087] * 24
    month = World(
        scenario(
            prices=prices,
            start=date(2018, 9, 1),
            horizon=720.0,
            step=1 / 12,
            currency="USD",
            timezone="America/Los_Angeles",
        )
    ).surroundings(0)
    day = np.array([*[[0.05623] * 24] * 2, *[summer] * 5])[np.arange(30) % 7]
    assert month.buy_per_kwh.tolist() == np.repeat(day.ravel(), 12).tolist()
    with pytest.raises(
        ScenarioError, match=r"prices: the tariff sce_tou_ev_4_march_2019 is in USD, the scenario counts in EUR"
    ):
        World(scenario(prices=prices))


def test_the_first_entry_of_a_tariff_that_fits_a_day_counts(scenario: Make) -> None:
    entries = [
        {"months": [12, 1, 2], "days": "weekdays", "hours": {"22-6": 0.1, "6-22": 0.4}},
        {"days": "weekends", "hours": {"0-24": 0.2}},
        {"hours": {"0-12": 0.3, "12-24": 0.35}},
    ]
    prices = PriceTimeOfUse(time_of_use=entries)
    assert hourly(scenario, date(2023, 12, 1), prices) == [0.1] * 6 + [0.4] * 16 + [0.1] * 2
    assert hourly(scenario, date(2023, 12, 2), prices) == [0.2] * 24
    assert hourly(scenario, date(2023, 3, 1), prices) == [0.3] * 12 + [0.35] * 12


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2023, 3, 26), [0, 1, 3, 4, 5]), (date(2023, 10, 29), [0, 1, 2, 2, 3])],
)
def test_hours_of_the_local_clock_over_a_clock_change(scenario: Make, day: date, hours: list[int]) -> None:
    track = World(scenario(prices=PriceByHour(by_hour=HOURS), start=day)).sample(0)
    assert track.buy_per_kwh[:20:4].tolist() == [HOURS[hour] for hour in hours]


def test_a_step_of_several_hours_pays_their_mean(scenario: Make) -> None:
    track = World(scenario(prices=PriceByHour(by_hour=HOURS), step=1.5)).sample(0)
    assert track.buy_per_kwh[:3] == pytest.approx(
        [(0 * 1 + 0.01 * 0.5) / 1.5, (0.01 * 0.5 + 0.02) / 1.5, 0.01 * 10 / 3]
    )


def test_prices_of_a_file_are_those_of_the_very_day(scenario: Make, data: Path) -> None:
    file = data / "entsoe_old_autumn.csv"
    entries = {"prices": PriceFile(csv=str(file)), "start": date(2023, 10, 28), "until": date(2023, 10, 30)}
    world = World(scenario(**entries))
    series = read_prices(file)
    seen = set()
    for seed in range(12):
        track = world.sample(seed)
        first = round((track.start - series.start).total_seconds() / 3600)
        assert track.buy_per_kwh.tolist() == np.repeat(series.per_kwh[first : first + 24], 4).tolist()
        seen.add(track.start.date())
    assert len(seen) == 3
    assert track.buy_per_kwh.max() < 0.1  # EUR/kWh, not EUR/MWh


def test_a_file_with_another_resolution_than_the_step(scenario: Make, data: Path) -> None:
    prices = PriceFile(csv=str(data / "entsoe_new_utc.csv"))
    entries = {"prices": prices, "start": date(2025, 9, 30), "start_hour": 22.0, "horizon": 4.0}
    hourly = World(scenario(**entries, step=1.0)).sample(0).buy_per_kwh
    assert hourly == pytest.approx([0.040, 0.041, 0.0615, 0.0655])
    fine = World(scenario(**entries, step=0.25)).sample(0).buy_per_kwh
    assert fine[8:].tolist() == pytest.approx([0.060, 0.061, 0.062, 0.063, 0.064, 0.065, 0.066, 0.067])


def test_a_file_that_does_not_cover_the_days(scenario: Make, data: Path) -> None:
    prices = PriceFile(csv=str(data / "entsoe_old_autumn.csv"))
    with pytest.raises(
        ScenarioError,
        match=r"prices: .*2023-10-31T00:00:00\+01:00; the file covers 2023-10-27 22:00 to 2023-10-30 23:00",
    ):
        World(scenario(prices=prices, start=date(2023, 10, 28), until=date(2023, 11, 2)))


def test_a_gap_in_the_file_is_an_error_or_filled(scenario: Make, data: Path) -> None:
    entries = {"start": date(2023, 10, 28), "until": date(2023, 10, 30)}
    file = str(data / "prices_with_gap.csv")
    with pytest.raises(
        ScenarioError, match=r"prices: .*no price for 2 of 73 intervals: 2023-10-29 04:00, 2023-10-29 05:00 UTC"
    ):
        World(scenario(prices=PriceFile(csv=file), **entries))
    World(scenario(prices=PriceFile(csv=file, fill="interpolate"), **entries)).sample(0)


def test_prices_in_another_currency(scenario: Make, data: Path) -> None:
    with pytest.raises(ScenarioError, match=r"prices: .*the prices are in EUR, the scenario counts in GBP"):
        World(
            scenario(
                prices=PriceFile(csv=str(data / "entsoe_old_autumn.csv")), start=date(2023, 10, 28), currency="GBP"
            )
        )


@pytest.mark.parametrize("year", [2022, 2023])
def test_prices_with_tails_have_the_statistics_of_the_data(year: int) -> None:
    """Twenty years of hours against the statistics of the data that stand beside the fit."""
    model, data = TailedPrices(f"nl/{year}-tails"), figures("prices_nl_tails")["years"][year]["statistics"]
    hours = HourGrid.around(datetime(year, 1, 1, tzinfo=UTC), "UTC", 0.0, 24.0 * 365)
    years = np.stack([model.hourly(hours, np.random.default_rng(seed)).reshape(365, 24) for seed in range(20)])
    spread = years.max(axis=2) - years.min(axis=2)
    off = years - years.mean()
    assert years.mean() == pytest.approx(data["mean"], rel=0.03)
    assert years.std() == pytest.approx(data["std"], rel=0.05)
    assert spread.mean() == pytest.approx(data["mean_spread"], rel=0.2)
    assert np.quantile(spread, 0.95) == pytest.approx(data["spread_95"], rel=0.08)
    assert (years < 0).mean() == pytest.approx(data["share_negative_hours"], abs=0.006)
    assert np.quantile(years, 0.99) == pytest.approx(data["quantile_99"], rel=0.05)
    kurtosis = (off**4).mean() / (off**2).mean() ** 2 - 3.0
    assert kurtosis > 0.45 * data["excess_kurtosis"]
    assert np.abs(years).max() <= model.largest_per_kwh


def test_noon_is_cheap_on_clear_days(scenario: Make) -> None:
    """PV of the day and the price at noon less that at night, over 300 days of June."""
    world = World(scenario(prices=PriceModel(model="nl/2023-tails"), start=date(2023, 6, 14)))
    days = [world.sample(seed) for seed in range(300)]
    sun = [-track.base_load_kw[48:56, 0].mean() for track in days]
    noon = [track.buy_per_kwh[48:60].mean() - track.buy_per_kwh[84:].mean() for track in days]
    assert -0.75 < np.corrcoef(sun, noon)[0, 1] < -0.35
