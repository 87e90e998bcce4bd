"""`check_session_model` accepts the models of the package and a sound one, and says what is wrong with a broken one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ev_marl.scenario.schema import Sessions
from ev_marl.support.errors import ConformanceError
from ev_marl.testing import check_session_model
from ev_marl.world.sessions import SESSION_MODELS, Arrivals


class Morning:
    """Everybody comes between 7:00 and 8:00; sound."""

    def __init__(self, sessions: Sessions) -> None:
        self.share = min(1.0, sessions.per_port_per_day)

    def draw(self, hours: Any, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator) -> Any:
        sevens = hours.start_h[(hours.local_hour == 7) & (hours.weekend == 0)]
        comes = np.repeat(sevens, arrivals.binomial(n_ports, 0.7 * self.share, len(sevens)))
        arrival_h = np.sort(comes + arrivals.random(len(comes)))
        return self.changed(Arrivals(arrival_h, 8.0 + stays.random(len(comes)), np.full(len(comes), 12.0)))

    def changed(self, arrivals: Arrivals) -> Any:
        return arrivals


class NoDraw:
    def __init__(self, sessions: Sessions) -> None:
        """Nothing."""


class NoArgument:
    draw = Morning.draw


class Tuple(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return arrivals.arrival_h, arrivals.stay_h, arrivals.wanted_kwh


class NotSorted(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return replace(arrivals, arrival_h=arrivals.arrival_h[::-1].copy())


class NoStay(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return replace(arrivals, stay_h=np.zeros_like(arrivals.stay_h))


class NegativeWish(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return replace(arrivals, wanted_kwh=-arrivals.wanted_kwh)


class Percent(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return replace(arrivals, target_soc=(70.0, 95.0))


class OneStay(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return replace(arrivals, stay_h=np.array([8.0]))


class Steps(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return replace(arrivals, arrival_h=np.floor(arrivals.arrival_h).astype(np.int64))


class Tomorrow(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return replace(arrivals, arrival_h=arrivals.arrival_h + 48.0)


class OwnRandomness(Morning):
    def changed(self, arrivals: Arrivals) -> Any:
        return replace(arrivals, wanted_kwh=np.random.default_rng().uniform(5.0, 20.0, len(arrivals.arrival_h)))


class WritesToHours(Morning):
    def draw(self, hours: Any, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator) -> Any:
        hours.start_h[:] += 1.0
        return super().draw(hours, n_ports, arrivals, stays)


class OneGenerator(Morning):
    def draw(self, hours: Any, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator) -> Any:
        return super().draw(hours, n_ports, stays, stays)


BROKEN = {
    NoDraw: "no method draw",
    NoArgument: "constructor: it raised TypeError",
    Tuple: "must return Arrivals",
    NotSorted: "not in order of time",
    NoStay: "a stay that is not above 0 h",
    NegativeWish: "a wish below 0 kWh",
    Percent: "a target state of charge from 70.0 to 95.0",
    OneStay: "stay_h: expected shape",
    Steps: "arrival_h: expected float64, got int64",
    Tomorrow: "must lie within `hours`",
    OwnRandomness: "the same seed again gives another wanted_kwh",
    WritesToHours: "wrote to hours.start_h",
    OneGenerator: "draw arrivals from `arrivals`",
}


@pytest.mark.parametrize("name", sorted(SESSION_MODELS))
def test_models_of_the_package(name: str) -> None:
    check_session_model(SESSION_MODELS.get(name), n_days=1)


def test_a_sound_model() -> None:
    check_session_model(Morning)
    check_session_model(Morning, Sessions(per_port_per_day=0.2, stay_scale=2.0, energy_scale=0.5))


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_wrong(broken: type) -> None:
    with pytest.raises(ConformanceError, match=BROKEN[broken]):
        check_session_model(broken)
