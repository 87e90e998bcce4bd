"""`check_term` accepts the terms of the package and a sound one, and says what is wrong with a broken one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ev_marl.objective.base import Term
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.terminal import TerminalValue
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.scenario.series import Series
from ev_marl.support.errors import ConformanceError, EvMarlError
from ev_marl.testing import check_term

OF_THE_PACKAGE: list[Callable[[], Term]] = [
    EnergyCost,
    lambda: EnergyCost(0.7, metering="site"),
    lambda: UnmetEnergy(0.4),
    lambda: BatteryWear(0.03),
    lambda: DriverTariff(0.3),
    lambda: PeakPower(1.0),
    lambda: Overload(2.0),
    lambda: SetpointTracking(0.01, Series((20.0,))),
    lambda: TerminalValue.beside([EnergyCost(), UnmetEnergy(0.4), BatteryWear(0.03)]),
]


class Evening:
    """Charging from 6:00 on costs more; sound."""

    name = "evening"

    def cost(self, flow: Any, out: np.ndarray) -> None:
        late = flow.local_hour >= 6.0
        np.maximum(flow.granted_kw, 0.0, out=out)
        out *= (0.1 * flow.step_h * late)[:, None]

    def expression(self, day: Any) -> Any:
        return day.linear(day.charge, 0.1 * day.step_h * (day.local_hour[day.pair_step] >= 6.0))


class Nameless(Evening):
    name = None  # type: ignore[assignment]


class NoExpression:
    name = "no expression"

    def cost(self, flow: Any, out: np.ndarray) -> None:
        """Nothing."""


class NotFinite(Evening):
    def cost(self, flow: Any, out: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            np.divide(0.0, flow.granted_kw, out=out)


class WrongShape(Evening):
    def cost(self, flow: Any, out: np.ndarray) -> None:
        out[:] = flow.group_kw


class Returns(Evening):
    def cost(self, flow: Any, out: np.ndarray) -> Any:
        return flow.granted_kw


class WritesToFlow(Evening):
    def cost(self, flow: Any, out: np.ndarray) -> None:
        flow.granted_kw[:] = 0.0


class Remembers(Evening):
    """Keeps a value between calls."""

    def __init__(self) -> None:
        self.before = 0.0

    def cost(self, flow: Any, out: np.ndarray) -> None:
        out[:, 0] = self.before
        self.before += 1.0


class MixesRows(Evening):
    def cost(self, flow: Any, out: np.ndarray) -> None:
        out[:] = flow.granted_kw.mean(axis=0)


class Higher(Evening):
    def expression(self, day: Any) -> Any:
        return 2.0 * super().expression(day)


class Lower(Evening):
    def expression(self, day: Any) -> Any:
        return 0.5 * super().expression(day)


class ForgetsTheRest(Evening):
    """Counts steps from the start of the episode, although the day may be the rest of one."""

    def cost(self, flow: Any, out: np.ndarray) -> None:
        if flow.step >= 12:
            np.multiply(flow.granted_kw, 0.1 * flow.step_h, out=out)
            np.maximum(out, 0.0, out=out)

    def expression(self, day: Any) -> Any:
        return day.linear(day.charge, 0.1 * day.step_h * (day.pair_step >= 12))


class Forbids(Evening):
    """A constraint on the powers."""

    def expression(self, day: Any) -> Any:
        if len(day.charge):
            day.equal("nobody", day.charge, 0.0)
        return super().expression(day)


class FailsInPyomo(Evening):
    def expression(self, day: Any) -> Any:
        return (0.1 * day.step_h * (day.local_hour[day.pair_step] >= 6.0) * day.charge).merged()


class DueIsNoBool(Evening):
    def due(self, flow: Any) -> Any:
        return flow.local_hour >= 6.0


class NeverDue(Evening):
    def due(self, flow: Any) -> bool:
        return False


BROKEN = {
    Nameless: "the name of a term",
    NoExpression: "lacks name, cost or expression",
    NotFinite: r"step 0: cost at \(row, port\) = .* must be finite",
    WrongShape: "step 0, cost: it raised ValueError",
    Returns: "write the costs to out",
    WritesToFlow: "wrote to flow.granted_kw",
    Remembers: "costs something else when asked again",
    MixesRows: "alone differs from that in a batch",
    Higher: "must not be higher",
    Lower: "exact=False",
    ForgetsTheRest: "from step 7 on",
    Forbids: "constraints exclude the powers",
    FailsInPyomo: "Pyomo",
    DueIsNoBool: "due must return True or False",
    NeverDue: "must not be higher",
}


@pytest.mark.parametrize("factory", OF_THE_PACKAGE)
def test_terms_of_the_package(factory: Callable[[], Term]) -> None:
    check_term(factory)


def test_a_sound_term() -> None:
    check_term(Evening)


def test_a_term_without_expression_or_with_a_lower_one() -> None:
    class Rewarded(Evening):
        def expression(self, day: Any) -> None:
            return None

    check_term(Rewarded)
    check_term(Lower, exact=False)


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_wrong(broken: type) -> None:
    with pytest.raises(ConformanceError, match=BROKEN[broken]) as caught:
        check_term(broken)
    assert isinstance(caught.value, EvMarlError)
    assert isinstance(caught.value, AssertionError)
