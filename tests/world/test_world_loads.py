"""Base load and PV: profiles, noise that does not depend on the step, the sun, sums up the tree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ev_marl.scenario.clock import Clock
from ev_marl.scenario.schema import Group, LoadProfile, PowerByHour, Pv, Scenario, Stations
from ev_marl.world.calibration import figures
from ev_marl.world.hours import HourGrid, steps_of
from ev_marl.world.loads import NOISE_TIME_H, clear_sky_kw
from ev_marl.world.world import World

Make = Callable[..., Scenario]
ZONE = "Europe/Amsterdam"
STATIONS = [Stations(type="ac", power=11)]


def clock(day: str, step_h: float = 0.25, n_steps: int = 96) -> Clock:
    return Clock(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(ZONE)), ZONE, step_h, n_steps)


@pytest.mark.parametrize("profile", ["office", "household", "retail", "flat"])
def test_profile_reaches_its_peak_on_a_weekday(scenario: Make, profile: str) -> None:
    load = LoadProfile(profile=profile, peak=40.0, noise=0.0)
    world = World(scenario(site=Group(name="grid", base_load=load, stations=STATIONS)))
    weekday = world.sample(0).base_load_kw[:, 0]
    assert weekday.max() == 40.0
    assert weekday[::4] == pytest.approx(40.0 * np.array(figures("load_profiles")["profiles"][profile]["weekday"]))
    weekend = world.sample(0, date(2023, 5, 20)).base_load_kw[:, 0]
    assert weekend[::4] == pytest.approx(40.0 * np.array(figures("load_profiles")["profiles"][profile]["weekend"]))


@pytest.mark.parametrize("step", [0.5, 0.25, 0.125])
def test_noise_has_the_same_spread_and_memory_at_every_step(scenario: Make, step: float) -> None:
    load = LoadProfile(profile="flat", peak=100.0, noise=0.1)
    world = World(scenario(step=step, site=Group(name="grid", base_load=load, stations=STATIONS)))
    relative = np.stack([world.sample(seed).base_load_kw[:, 0] for seed in range(600)]) / 100.0 - 1.0
    assert relative.mean() == pytest.approx(0.0, abs=0.003)
    assert relative.std() == pytest.approx(0.1, rel=0.03)
    per_hour = round(1 / step)
    after_an_hour = np.mean(relative[:, :-per_hour] * relative[:, per_hour:]) / 0.01
    assert after_an_hour == pytest.approx(np.exp(-1.0 / NOISE_TIME_H), abs=0.04)


def test_loads_are_summed_up_the_tree(scenario: Make) -> None:
    inner = Group(name="inner", base_load=PowerByHour(by_hour=[float(h) for h in range(24)]), stations=STATIONS)
    middle = Group(name="middle", base_load=10.0, groups=[inner])
    site = Group(name="grid", base_load=-3.0, groups=[middle, Group(name="side", base_load=1.0, stations=STATIONS)])
    world = World(scenario(site=site))
    base = world.sample(0).base_load_kw
    assert world.site.groups == ("grid", "middle", "inner", "side")
    assert base[4 * 7].tolist() == [15.0, 17.0, 7.0, 1.0]


def test_the_sun(scenario: Make) -> None:
    midsummer = clear_sky_kw(Pv(peak=50.0), clock("2023-06-21"))
    # summer time is an hour ahead of the standard time whose noon is the sun's
    assert midsummer.argmax() in (51, 52)
    assert midsummer.max() == pytest.approx(50.0, rel=0.002)
    assert midsummer[:12].max() == 0.0
    assert midsummer[-4:].max() == 0.0
    winter = clear_sky_kw(Pv(peak=50.0), clock("2023-12-21"))
    assert winter.argmax() in (47, 48)
    assert 0.1 < winter.max() / 50.0 < 0.3  # the noon sun stands 14.5 degrees high at 52 degrees north
    assert (winter > 0).sum() < 0.5 * (midsummer > 0).sum()
    south = clear_sky_kw(Pv(peak=50.0, latitude=-52.0), clock("2023-12-21"))
    assert south.max() == pytest.approx(50.0, rel=0.002)


def test_energy_of_the_sun_does_not_depend_on_the_step() -> None:
    day = [
        clear_sky_kw(Pv(peak=50.0), clock("2023-04-02", step, round(24 / step))).sum() * step for step in (1.0, 0.25)
    ]
    assert day[0] == pytest.approx(day[1], rel=1e-4)


def test_one_sky_for_the_whole_site(scenario: Make) -> None:
    site = Group(
        name="grid",
        pv=Pv(peak=10.0),
        groups=[Group(name="lot", pv=Pv(peak=20.0), stations=STATIONS)],
        stations=STATIONS,
    )
    world = World(scenario(site=site))
    base = np.stack([world.sample(seed).base_load_kw for seed in range(200)])
    assert base.max() == 0.0
    assert base[:, :, 0] == pytest.approx(1.5 * base[:, :, 1])
    clearness = base[:, 52, 1] / -clear_sky_kw(Pv(peak=20.0), clock("2023-05-15"))[52]
    assert clearness.min() >= 0.1
    assert clearness.max() <= 1.0
    assert clearness.mean() == pytest.approx(0.59, abs=0.06)


def test_steps_of_pieces() -> None:
    values, start = np.array([1.0, 3.0, 5.0]), np.array([-0.5, 0.5, 1.5])
    assert steps_of(values, start, 0.25, 4).tolist() == [1.0, 1.0, 3.0, 3.0]
    assert steps_of(values, start, 1.0, 2) == pytest.approx([2.0, 4.0])
    assert steps_of(values, start, 2.5, 1) == pytest.approx([(0.5 * 1 + 3 + 5) / 2.5])
    assert steps_of(np.array([0.1, 0.2]), np.array([0.0, 1.0]), 1 / 3, 6).tolist() == [0.1] * 3 + [0.2] * 3


@pytest.mark.parametrize(("day", "hours"), [("2023-03-26", 23), ("2023-10-29", 25)])
def test_hour_grid_over_a_clock_change(day: str, hours: int) -> None:
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(ZONE))
    grid = HourGrid.around(start, ZONE, -5.0, float(hours))
    assert grid.start_h.tolist() == list(range(-5, hours))
    assert grid.local_hour[:6].tolist() == [19, 20, 21, 22, 23, 0]
    assert grid.local_hour[-1] == 23
    assert (grid.local_hour == 2).sum() == hours - 24 + 1
    assert set(grid.day) == {0, 1}


def test_hour_grid_starts_at_whole_hours() -> None:
    start = datetime(2023, 5, 15, 7, 40, tzinfo=ZoneInfo("Asia/Kolkata"))
    grid = HourGrid.around(start, "Asia/Kolkata", 0.0, 2.0)
    assert grid.start_h == pytest.approx([-2 / 3, 1 / 3, 4 / 3])
    assert grid.local_hour.tolist() == [7, 8, 9]
