"""Clock: elapsed time moves evenly, local hours jump where the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ev_marl.scenario.clock import Clock
from ev_marl.scenario.series import Series

ZONE = "Europe/Amsterdam"


def local_midnight(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=ZoneInfo(ZONE))


def test_local_hours_of_a_day_of_23_hours() -> None:
    clock = Clock(local_midnight(2023, 3, 26), ZONE, 1.0, 24)
    assert clock.local_hour.tolist() == [0, 1, *range(3, 24), 0]
    assert clock.weekday.tolist() == [6] * 23 + [0]


def test_local_hours_of_a_day_of_25_hours() -> None:
    clock = Clock(local_midnight(2023, 10, 29), ZONE, 1.0, 25)
    assert clock.local_hour.tolist() == [0, 1, 2, 2, *range(3, 24)]
    assert set(clock.weekday.tolist()) == {6}


def test_quarter_hours_weekdays_and_days_of_the_year() -> None:
    clock = Clock(datetime(2024, 12, 31, 22, tzinfo=UTC), ZONE, 0.25, 8)
    assert clock.local_hour.tolist() == [23.0, 23.25, 23.5, 23.75, 0.0, 0.25, 0.5, 0.75]
    assert clock.weekday.tolist() == [1] * 4 + [2] * 4
    assert clock.day_of_year.tolist() == [366] * 4 + [1] * 4
    assert clock.horizon_h == 2.0


def test_a_start_in_another_zone_is_the_same_moment() -> None:
    clock = Clock(datetime(2023, 7, 1, 12, tzinfo=ZoneInfo("America/New_York")), ZONE, 1.0, 1)
    assert clock.local_hour.tolist() == [18.0]


def test_series_by_hour_follows_the_local_clock_on_a_short_day() -> None:
    series = Series(tuple(float(hour) for hour in range(24)), "by_hour")
    clock = Clock(local_midnight(2023, 3, 26), ZONE, 0.5, 8)
    assert series.at(clock).tolist() == [0, 0, 1, 1, 3, 3, 4, 4]
    assert (series.lowest, series.highest) == (0.0, 23.0)


def test_constant_and_stepwise_series() -> None:
    clock = Clock(local_midnight(2023, 5, 15), ZONE, 1.0, 3)
    assert Series.constant(5).at(clock).tolist() == [5.0, 5.0, 5.0]
    steps = Series((1.0, 2.0, 3.0), "by_step")
    values = steps.at(clock)
    assert values.tolist() == [1.0, 2.0, 3.0]
    values[0] = 9.0  # a copy
    assert np.array_equal(steps.at(clock), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="needs 3 values, one per step, and has 2"):
        Series((1.0, 2.0), "by_step").at(clock)


def test_the_steps_before_an_episode() -> None:
    """Four hours before midnight: by the clock, and by repeating values that are given by step."""
    clock = Clock(local_midnight(2023, 5, 15), ZONE, 1.0, 3).before(4)
    assert [time.hour for time in clock.local_times] == [20, 21, 22, 23]
    assert Series(tuple(range(24)), "by_hour").at(clock).tolist() == [20.0, 21.0, 22.0, 23.0]
    assert Series((1.0, 2.0, 3.0), "by_step").at(clock).tolist() == [3.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(("values", "kind"), [((1.0, 2.0), "constant"), ((1.0,) * 23, "by_hour")])
def test_series_of_the_wrong_length(values: tuple[float, ...], kind: str) -> None:
    with pytest.raises(ValueError, match="value"):
        Series(values, kind)  # type: ignore[arg-type]
