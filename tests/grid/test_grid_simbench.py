"""SimBench's profiles in the days of a network: the right quarters of the right elements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandapower")
pytest.importorskip("simbench")

import simbench

from ev_marl.grid.model.simbench_nets import STEPS_OF_THE_YEAR, simbench_profiles
from ev_marl.scenario import load_scenario
from ev_marl.world import World

CODE = "1-LV-rural2--2-sw"


YEAR = "1-complete_data-mixed-all-0-sw/RESProfile.csv"  # of SimBench's own files, with the time of each row


def labels() -> list[str]:
    """What SimBench calls its rows: `05.05.2016 12:00`."""
    with (Path(simbench.__file__).parent / "networks" / YEAR).open(encoding="utf-8") as file:
        next(file)
        return [line.partition(";")[0] for line in file]


@pytest.mark.parametrize(
    ("day", "rows"),
    [
        (date(2023, 1, 10), range(9 * 96 + 48, 10 * 96 + 48)),
        (date(2023, 5, 5), range(125 * 96 + 44, 126 * 96 + 44)),  # of 2016, the day after 125 others; summer time
        (date(2023, 12, 31), [*range(365 * 96 + 48, 366 * 96), *range(48)]),
    ],
)
def test_a_day_has_the_rows_of_its_date_and_clock_time(day: date, rows: Sequence[int]) -> None:
    """Noon to noon in quarters of an hour; on the last day, on into the first of the same year of profiles."""
    world = World(load_scenario("village-2034"))
    network = world.site.network
    track = world.sample(3, day)
    drawn = track.grid
    assert network is not None
    assert drawn is not None
    named = labels()
    assert len(named) == STEPS_OF_THE_YEAR
    assert [named[row] for row in rows] == [f"{time:%d.%m.2016 %H:%M}" for time in track.clock.local_times]
    profiles = simbench_profiles(CODE)
    expected_kw = profiles.generator_p[rows][:, profiles.generator_profile] * network.spec.generator_kw
    np.testing.assert_allclose(drawn.generator_kw, expected_kw, rtol=0, atol=1e-9)
    names = np.array(profiles.load_names)[profiles.load_profile]
    kept = ~np.char.startswith(names, "HLS_") & ~np.char.startswith(names, "APLS_")
    load_kw = profiles.load_p[rows][:, profiles.load_profile] * network.spec.load_kw[: network.n_own_loads] * kept
    np.testing.assert_allclose(drawn.load_kw, load_kw, rtol=0, atol=1e-9)
    assert 0 < (~kept).sum() < len(kept)


@pytest.mark.parametrize(
    ("day", "timezone", "hours"),
    [
        (
            date(2023, 3, 26),
            "Europe/Berlin",
            [0, 1, 3, 4],
        ),  # of this year's clocks; in 2016 they were changed on other dates
        (date(2023, 10, 29), "Europe/Berlin", [0, 1, 2, 2]),
        (
            date(2023, 3, 27),
            "Europe/Berlin",
            [0, 1, 3, 3],
        ),  # this date has no such hour in 2016: the next one stands in
        (date(2023, 10, 30), "Europe/Berlin", [0, 1, 2, 3]),  # and this one has it twice: the first is taken
        (date(2023, 7, 1), "America/New_York", [0, 1, 2, 3]),  # its own clock, not Germany's
        (date(2024, 2, 29), "Europe/Berlin", [0, 1, 2, 3]),
    ],
)
def test_clock_changes_and_the_leap_day(day: date, timezone: str, hours: list[int]) -> None:
    scenario = load_scenario("village-2034").model_copy(
        update={"start": day, "until": None, "timezone": timezone, "start_hour": 0.0, "horizon": 4.0, "step": 1.0}
    )
    world = World(scenario)
    drawn, network = world.sample(0).grid, world.site.network
    assert drawn is not None
    assert network is not None
    named, profiles = labels(), simbench_profiles(CODE)
    first = [named.index(f"{day:%d.%m.2016} {hour:02}:00") for hour in hours]
    shares = np.array([profiles.load_p[row : row + 4].mean(axis=0) for row in first])
    kept = drawn.load_kw.any(axis=0)
    expected_kw = shares[:, profiles.load_profile] * network.spec.load_kw[: network.n_own_loads]
    np.testing.assert_allclose(drawn.load_kw[:, kept], expected_kw[:, kept], rtol=0, atol=1e-9)
    assert kept.sum() > 50


def test_storages_feed_in_by_their_own_profiles() -> None:
    """They are plants with batteries: much by day, little by night, and never the full power all day."""
    world = World(load_scenario("village-2034"))
    network = world.site.network
    assert network is not None
    assert len(network.net.storage) == network.spec.n_charger_buses
    storages = [k for k, name in enumerate(network.spec.generators) if "Storage" in name]
    assert len(storages) == 8
    assert network.spec.generator_kw[storages].sum() == pytest.approx(93.0)
    day = world.sample(0, date(2023, 6, 1)).grid
    assert day is not None
    fed_kw = day.generator_kw[:, storages].sum(axis=1)  # from noon on
    assert fed_kw[:4].min() > 5.0 * fed_kw[56:68].max()
    assert fed_kw.min() >= 0.0
