"""Energy prices of an episode: drawn from a fitted model, given by the scenario or a tariff, or read from a file.

A scenario's price entry comes in; day-ahead prices per step go out, and from them what a kWh costs and earns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
from scipy.special import ndtr

from ev_marl.scenario import schema
from ev_marl.scenario.clock import Clock
from ev_marl.scenario.schema.prices import hours_of
from ev_marl.support.errors import DataError
from ev_marl.world.calibration import figures
from ev_marl.world.hours import HourGrid, steps_of
from ev_marl.world.noise import ar1
from ev_marl.world.readers.prices import PriceSeries, read_prices
from ev_marl.world.sky import daily_clearness, normal_score

FAR = 10.0  # standard deviations, which no normal number exceeds in practice


class PriceSource(Protocol):
    """Where the price of each step comes from."""

    def draw(self, clock: Clock, hours: HourGrid, rng: np.random.Generator) -> np.ndarray:
        """Price of every step before markup and feed-in, float64, shape (n_steps,) [currency/kWh]."""
        ...

    @property
    def largest_per_kwh(self) -> float:
        """Absolute value that no price exceeds [currency/kWh]."""
        ...


TAILS = "-tails"


class WeeklyMean:
    """Hour profile of the quarter and weekend shift.

    The fitted profile is the mean over all days of the week, and the shift is weekend less weekday; so weekends get
    5/7 of the shift and weekdays −2/7, which leaves the mean of the week as it was.

    Parameters
    ----------
    fitted : mapping
        `hour_profile_by_quarter` and `weekend_shift_by_hour` [EUR/kWh].
    """

    def __init__(self, fitted: Mapping[str, Any]) -> None:
        self._profile = np.array(fitted["hour_profile_by_quarter"])
        self._weekend = np.array(fitted["weekend_shift_by_hour"])

    def at(self, hours: HourGrid) -> np.ndarray:
        """Mean price of every clock hour, shape (n_hours,) [EUR/kWh]."""
        share = hours.weekend - 2.0 / 7.0
        mean: np.ndarray = self._profile[hours.quarter, hours.local_hour] + share * self._weekend[hours.local_hour]
        return mean

    @property
    def largest(self) -> float:
        """Absolute value that no mean exceeds [EUR/kWh]."""
        return float(np.abs(self._profile).max() + np.abs(self._weekend).max())


class FittedPrices:
    """Hour profile of the quarter + weekend shift + AR(1) daily level + AR(1) hourly noise, both stationary.

    Parameters
    ----------
    model : str
        `nl/2019`, `nl/2022` or `nl/2023`.
    """

    def __init__(self, model: str) -> None:
        fitted = figures("prices_nl")["years"][int(model.partition("/")[2])]
        self._mean = WeeklyMean(fitted)
        self._level = (fitted["daily_level_std"], fitted["daily_level_lag1"])
        self._noise = (fitted["hourly_std"], fitted["hourly_lag1"])

    def hourly(self, hours: HourGrid, rng: np.random.Generator) -> np.ndarray:
        """Price of every clock hour, shape (n_hours,) [EUR/kWh]."""
        day = hours.day - hours.day[0]
        level = self._level[0] * ar1(int(day[-1]) + 1, self._level[1], rng)
        noise = self._noise[0] * ar1(len(hours), self._noise[1], rng)
        price: np.ndarray = self._mean.at(hours) + level[day] + noise
        return price

    def draw(self, clock: Clock, hours: HourGrid, rng: np.random.Generator) -> np.ndarray:
        """Price of every step, see `PriceSource.draw`."""
        return steps_of(self.hourly(hours, rng), hours.start_h, clock.step_h, clock.n_steps)

    @property
    def largest_per_kwh(self) -> float:
        """The largest mean of an hour, and `FAR` standard deviations of level and noise beyond it."""
        return float(self._mean.largest + FAR * (self._level[0] + self._noise[0]))


class TailedPrices:
    """A copula: deviations with the distribution of the data, and the dependence of normal scores.

    The scores are those of four factors of the day and one of the hours, see `calibration/prices_nl_tails.yaml`; the
    factor of the noon follows the sky.

    Parameters
    ----------
    model : str
        `nl/2022-tails` or `nl/2023-tails`.
    """

    def __init__(self, model: str) -> None:
        figure = figures("prices_nl_tails")
        fitted = figure["years"][int(model.partition("/")[2].removesuffix(TAILS))]
        self._mean = WeeklyMean(fitted)
        self._levels = np.array(figure["levels"])
        self._deviation = np.array(fitted["deviation_by_quarter"])  # (4, 8, levels)
        self._lag1 = np.array(fitted["factor_lag1"])
        self._loading = np.array(fitted["factor_loadings"])
        self._rest = np.sqrt(1.0 - (self._loading**2).sum(axis=0))
        self._hourly_lag1 = float(fitted["hourly_lag1"])
        self._sun = float(figure["sun_on_factor_2"])

    def hourly(self, hours: HourGrid, rng: np.random.Generator, sky: np.ndarray | None = None) -> np.ndarray:
        """Price of every clock hour, shape (n_hours,) [EUR/kWh].

        Parameters
        ----------
        hours : HourGrid
            The hours.
        rng : numpy.random.Generator
            Source of randomness.
        sky : float64, shape (n_days,), optional
            Normal score of each day's clearness; left out, the sky is not known.
        """
        day = hours.day - hours.day[0]
        n_days, share = int(day[-1]) + 1, np.zeros(len(self._lag1))
        share[1] = 0.0 if sky is None else self._sun
        # What the sky leaves has so much more memory that the factor keeps its own.
        lag1 = np.minimum(0.99, self._lag1 / (1.0 - share**2))
        factors = np.stack([ar1(n_days, float(lag), rng) for lag in lag1]) * np.sqrt(1.0 - share**2)[:, None]
        if sky is not None:
            factors += share[:, None] * sky
        score = (factors[:, day] * self._loading[:, hours.local_hour]).sum(axis=0)
        score += self._rest[hours.local_hour] * ar1(len(hours), self._hourly_lag1, rng)
        place = hours.quarter * self._deviation.shape[1] + hours.local_hour // 3
        price: np.ndarray = self._mean.at(hours)
        probability = ndtr(score)
        for k, levels in enumerate(self._deviation.reshape(-1, len(self._levels))):
            here = place == k
            price[here] += np.interp(probability[here], self._levels, levels)
        return price

    def draw(
        self, clock: Clock, hours: HourGrid, rng: np.random.Generator, sky_rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Price of every step, see `PriceSource.draw`; `sky_rng` is the generator of the sky, for its daily values."""
        n_days = int(hours.day[-1] - hours.day[0]) + 1
        sky = None if sky_rng is None else normal_score(daily_clearness(n_days, sky_rng))
        return steps_of(self.hourly(hours, rng, sky), hours.start_h, clock.step_h, clock.n_steps)

    @property
    def largest_per_kwh(self) -> float:
        """The largest mean of an hour and the largest deviation; nothing is drawn beyond."""
        return self._mean.largest + float(np.abs(self._deviation).max())


class CalendarPrices:
    """One price for each month, kind of day and local clock hour, the same every year.

    Parameters
    ----------
    table : array_like, broadcastable to (12, 2, 24)
        Prices by month, weekday (0) or weekend (1), and clock hour [currency/kWh].
    """

    def __init__(self, table: np.typing.ArrayLike) -> None:
        self._table = np.broadcast_to(np.asarray(table, dtype=np.float64), (12, 2, 24))

    def draw(self, clock: Clock, hours: HourGrid, rng: np.random.Generator) -> np.ndarray:
        """Price of every step, see `PriceSource.draw`."""
        prices = self._table[hours.month, hours.weekend, hours.local_hour]
        return steps_of(prices, hours.start_h, clock.step_h, clock.n_steps)

    @property
    def largest_per_kwh(self) -> float:
        """That of the table."""
        return float(np.abs(self._table).max())


def _tariff(prices: schema.PriceTimeOfUse, currency: str) -> CalendarPrices:
    """The table of a tariff, of the package or of the scenario."""
    periods = prices.time_of_use
    if isinstance(periods, str):
        known = figures("tariffs")[periods]
        if known["currency"] != currency:
            raise DataError(
                f"the tariff {periods} is in {known['currency']}, the scenario counts in {currency}; set `currency`"
            )
        periods = schema.PriceTimeOfUse(time_of_use=known["days"]).time_of_use
        assert not isinstance(periods, str)
    table = np.empty((12, 2, 24))
    for month, weekend in np.ndindex(12, 2):
        hours = next(period.hours for period in periods if period.fits(month + 1, bool(weekend)))
        for span, price in hours.items():
            table[month, weekend, hours_of(span)] = price
    return CalendarPrices(table)


class FilePrices:
    """Real prices of the days on which the tracks start.

    Parameters
    ----------
    series : PriceSeries
        Prices read from a file.
    currency : str
        What the scenario counts in.

    Raises
    ------
    DataError
        If the prices are in another currency.
    """

    def __init__(self, series: PriceSeries, currency: str) -> None:
        if series.currency != currency:
            raise DataError(f"{series.source}: the prices are in {series.currency}, the scenario counts in {currency}")
        self.series = series

    def covers(self, start: datetime, horizon_h: float) -> bool:
        """Whether the file covers a whole episode."""
        end = start.astimezone(UTC) + timedelta(hours=horizon_h)
        return self.series.start <= start and end <= self.series.end

    def check(self, start: datetime, horizon_h: float) -> None:
        """Raise a DataError that says what the file covers, unless it covers a whole episode."""
        if not self.covers(start, horizon_h):
            raise DataError(
                f"{self.series.source}: no prices for the whole episode that starts at {start.isoformat()}; the file "
                f"covers {self.series.start:%Y-%m-%d %H:%M} to {self.series.end:%Y-%m-%d %H:%M} UTC. Choose `start` "
                "and `until` within it."
            )

    def draw(self, clock: Clock, hours: HourGrid, rng: np.random.Generator) -> np.ndarray:
        """Price of every step, see `PriceSource.draw`."""
        self.check(clock.start, clock.horizon_h)
        step = self.series.resolution_h
        offset_h = (self.series.start - clock.start.astimezone(UTC)) / timedelta(hours=1)
        first = int(np.floor(-offset_h / step + 1e-9))
        n = int(np.ceil(clock.horizon_h / step)) + 1
        prices = self.series.per_kwh[first : first + n]
        start_h = offset_h + step * np.arange(first, first + len(prices))
        return steps_of(prices, start_h, clock.step_h, clock.n_steps)

    @property
    def largest_per_kwh(self) -> float:
        """That of the file."""
        return float(np.abs(self.series.per_kwh).max())


def price_source(prices: schema.Prices, currency: str) -> PriceSource:
    """The source that a scenario's `prices` names.

    Raises
    ------
    DataError
        If a price file cannot be read, lacks an hour, or is in another currency, as a named tariff may be.
    """
    if isinstance(prices, schema.PriceModel):
        return (TailedPrices if prices.model.endswith(TAILS) else FittedPrices)(prices.model)
    if isinstance(prices, schema.PriceConstant):
        return CalendarPrices(prices.constant)
    if isinstance(prices, schema.PriceByHour):
        return CalendarPrices(prices.by_hour)
    if isinstance(prices, schema.PriceTimeOfUse):
        return _tariff(prices, currency)
    return FilePrices(read_prices(prices.csv, area=prices.area, fill=prices.fill), currency)


def buy_and_sell(price: np.ndarray, feed_in: float, markup: float) -> tuple[np.ndarray, np.ndarray]:
    """What a kWh costs (price + markup) and earns (price − (1 − feed_in)·|price|), each shape (n_steps,)."""
    return price + markup, price - (1.0 - feed_in) * np.abs(price)


def largest_price(prices: schema.Prices, currency: str) -> float:
    """Absolute value that neither buying nor selling prices exceed on any day [currency/kWh].

    Raises
    ------
    DataError
        As `price_source`.
    """
    largest = price_source(prices, currency).largest_per_kwh
    return max(largest + abs(prices.markup), (2.0 - prices.feed_in) * largest)
