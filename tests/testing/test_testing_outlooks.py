"""`check_outlook` accepts the outlooks of the package and a sound one, and says what is wrong with a broken one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ev_marl.planning.outlook import Coming, Outlook, PresentOutlook
from ev_marl.planning.outlook.expected import ExpectedOutlook
from ev_marl.planning.outlook.forecast import ForecastOutlook
from ev_marl.planning.outlook.known import KnownOutlook
from ev_marl.support.errors import ConformanceError
from ev_marl.testing import check_outlook

OF_THE_PACKAGE: list[Callable[[], Outlook]] = [
    KnownOutlook,
    PresentOutlook,
    ExpectedOutlook,
    ForecastOutlook,
    lambda: ForecastOutlook(0.0, 0.0, 0.0),
]


class Rough:
    """Prices of later steps, rounded to ten cents; sound."""

    foresees: Any = False

    def begin(self, truth: Any, world: Any) -> None:
        self.days = truth.days

    def prices(self, day: Any, step: int) -> Any:
        told = []
        for true in (self.days.buy_per_kwh[day, step:], self.days.sell_per_kwh[day, step:]):
            rough = np.round(true, 1)
            rough[:, 0] = true[:, 0]
            told.append(rough)
        return tuple(told)


class NoBegin:
    foresees = False
    prices = Rough.prices


class CoversNothing:
    foresees = False

    def begin(self, truth: Any, world: Any) -> None:
        """Nothing."""


class ForeseesIsNoBool(Rough):
    foresees = None


class SaysItForesees(Rough):
    foresees = True


class RoundsNow(Rough):
    def prices(self, day: Any, step: int) -> Any:
        return tuple(np.round(table[day, step:], 1) for table in (self.days.buy_per_kwh, self.days.sell_per_kwh))


class OnePrice(Rough):
    def prices(self, day: Any, step: int) -> Any:
        return super().prices(day, step)[0]


class WholeDay(Rough):
    def prices(self, day: Any, step: int) -> Any:
        return self.days.buy_per_kwh[day], self.days.sell_per_kwh[day]


class SinglePrecision(Rough):
    def prices(self, day: Any, step: int) -> Any:
        return tuple(price.astype(np.float32) for price in super().prices(day, step))


class NotFinite(Rough):
    def prices(self, day: Any, step: int) -> Any:
        buy, sell = super().prices(day, step)
        buy[:, 1:] = np.nan
        return buy, sell


class WritesToTheTruth(Rough):
    def prices(self, day: Any, step: int) -> Any:
        self.days.buy_per_kwh[:, -1] = 0.0
        return super().prices(day, step)


class Random(Rough):
    def begin(self, truth: Any, world: Any) -> None:
        super().begin(truth, world)
        self.rng = np.random.default_rng(0)

    def prices(self, day: Any, step: int) -> Any:
        buy, sell = super().prices(day, step)
        buy[:, 1:] += self.rng.uniform(size=buy[:, 1:].shape)
        return buy, sell


class ArraysOnly(Rough):
    def prices(self, day: Any, step: int) -> Any:
        return super().prices(day[np.arange(len(day))], step)


class MeanOfTheBatch(Rough):
    def prices(self, day: Any, step: int) -> Any:
        buy, sell = super().prices(day, step)
        buy[:, 1:] = buy[:, 1:].mean(axis=0)
        return buy, sell


class NotClamped(PresentOutlook):
    def limits_kw(self, present: Any) -> Any:
        lower, upper = super().limits_kw(present)
        upper[:, 1:] = -1.0
        return lower, upper


class WritesToPresent(PresentOutlook):
    def base_load_kw(self, present: Any) -> Any:
        present.base_load_kw[:] = 0.0
        return super().base_load_kw(present)


class Stays(KnownOutlook):
    """Vehicles only."""

    foresees = False

    def vehicles(self, present: Any, n_days: int) -> Any:
        return self.changed(super().vehicles(present, n_days), present)

    def changed(self, coming: Coming, present: Any) -> Any:
        return coming


class AlreadyThere(Stays):
    def changed(self, coming: Coming, present: Any) -> Any:
        return replace(coming, expected=np.ones_like(coming.expected))


class LosesPlaces(Stays):
    def changed(self, coming: Coming, present: Any) -> Any:
        kept = coming.stays["arrival_step"] > present.step
        return Coming(coming.stays[kept], coming.expected[:, kept], 1.0)


class NoSuchPort(Stays):
    def changed(self, coming: Coming, present: Any) -> Any:
        stays = coming.stays.copy()
        stays["port"] = 6
        return replace(coming, stays=stays)


class NoWeight(Stays):
    def changed(self, coming: Coming, present: Any) -> Any:
        return replace(coming, weight=0.0)


class ListOfStays(Stays):
    def changed(self, coming: Coming, present: Any) -> Any:
        return [coming.stays]


BROKEN = {
    NoBegin: "no method begin",
    CoversNothing: "covers no kind of value",
    ForeseesIsNoBool: "foresees must be True or False",
    SaysItForesees: "set foresees to False",
    RoundsNow: r"step 0, prices: buying price: of the present step.*at \(row\)",
    OnePrice: "a tuple of two arrays",
    WholeDay: r"step 1, prices: buying price: expected shape \(3, 23\), got \(3, 24\)",
    SinglePrecision: "expected float64, got float32",
    NotFinite: r"\(row, steps ahead\) = \(0, 1\) is nan",
    WritesToTheTruth: "wrote to the days' by_step",
    Random: "when asked again",
    ArraysOnly: "prices: it raised TypeError",
    MeanOfTheBatch: "for day 2 alone",
    NotClamped: "clamp them",
    WritesToPresent: "wrote to present.base_load_kw",
    AlreadyThere: "after the present step",
    LosesPlaces: "stays keep their places",
    NoSuchPort: "a port of the site",
    NoWeight: "weight must be above 0",
    ListOfStays: "expected a Coming, got list",
}


@pytest.mark.parametrize("factory", OF_THE_PACKAGE)
def test_outlooks_of_the_package(factory: Callable[[], Outlook]) -> None:
    check_outlook(factory)


def test_sound_outlooks() -> None:
    check_outlook(Rough)  # type: ignore[arg-type]  # it covers prices only
    check_outlook(Stays)


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_wrong(broken: type) -> None:
    with pytest.raises(ConformanceError, match=BROKEN[broken]):
        check_outlook(broken)
