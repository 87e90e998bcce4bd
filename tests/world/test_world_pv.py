"""Plants with place, tilt and azimuth: by hand under measured irradiance, and under a sky with clouds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ev_marl.scenario import load_scenario
from ev_marl.scenario.problems import ScenarioError
from ev_marl.scenario.schema import Group, IrradianceFile, PvSystem, Scenario, Stations
from ev_marl.scenario.schema.signals import Weather
from ev_marl.site.describe import describe_site
from ev_marl.site.site import Site
from ev_marl.support.errors import DataError
from ev_marl.world.sky import clear_sky_index
from ev_marl.world.track import Track
from ev_marl.world.world import World

Make = Callable[..., Scenario]
STATIONS = [Stations(type="ac", power=11)]
PLACE = {"latitude": 52.1, "longitude": 5.2}  # De Bilt, Netherlands


def site(**keys: float) -> Group:
    return Group(name="grid", pv=PvSystem(kwp=100.0, **{**PLACE, **keys}), stations=STATIONS)


def powers(scenario: Make, day: date, seeds: range, group: Group, **keys: object) -> np.ndarray:
    world = World(scenario(site=group, start=day, **keys))
    return np.stack([-world.sample(seed).base_load_kw[:, 0] for seed in seeds])


def test_without_the_library_the_message_says_how_to_get_it(scenario: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ev_marl.world.pv", None)
    with pytest.raises(DataError, match=r"plants with `kwp` need pvlib .*pip install \"ev-marl\[pv\]\""):
        World(scenario(site=site()))


def test_clouds_make_days_between_clear_and_dark_unsteady() -> None:
    """k = c + c(1 − c)x: a spread of c(1 − c), and a memory of a quarter of an hour."""
    for clearness in (0.3, 0.6):
        index = clear_sky_index(np.full(200_000, clearness), 1 / 12, np.random.default_rng(0))
        assert index.mean() == pytest.approx(clearness, abs=0.02)
        assert index.std() == pytest.approx(clearness * (1 - clearness), rel=0.15)
        off = index - index.mean()
        assert np.mean(off[3:] * off[:-3]) / np.mean(off**2) == pytest.approx(np.exp(-1.0), abs=0.05)
    assert (clear_sky_index(np.ones(100), 1 / 12, np.random.default_rng(0)) == 1.0).all()


def test_irradiance_needs_a_plant_that_uses_it(tmp_path: Path) -> None:
    (tmp_path / "sun.csv").write_text("when,ghi\n2023-05-15,1\n")
    path = tmp_path / "s.yaml"
    path.write_text("extends: tiny\nname: s\nweather: {irradiance: {csv: sun.csv, time: when, ghi: ghi}}\n")
    with pytest.raises(ScenarioError, match=r"found `irradiance`, and no plant that uses it"):
        load_scenario(path)


@pytest.mark.parametrize("dates", [("2023-05-15", 24)])
def test_by_hand_under_measured_irradiance(scenario: Make, tmp_path: Path, dates: tuple[str, int]) -> None:
    """1000 W/m² of diffuse light on flat modules at 15 °C. Their cells are at 15 + 1000/(25 + 6.84) = 46.4 °C.

    So 100 kWp give 100·(1 − 0.14)·(1 − 0.004·21.4) = 78.6 kW.
    """
    pytest.importorskip("pvlib")
    rows = "".join(f"{dates[0]}T{h:02}:00+02:00,{0 if h < 6 else 1},0,{0 if h < 6 else 1}\n" for h in range(dates[1]))
    (tmp_path / "sun.csv").write_text("when,global [kW/m2],beam [kW/m2],diffuse [kW/m2]\n" + rows)
    names = {"ghi": "global [kW/m2]", "dni": "beam [kW/m2]", "dhi": "diffuse [kW/m2]"}
    file = IrradianceFile(csv=str(tmp_path / "sun.csv"), time="when", **names)
    made = scenario(site=site(tilt=0.0), weather=Weather(irradiance=file))
    track = World(made).sample(0)
    assert track.base_load_kw[30:80, 0] == pytest.approx(-78.63, abs=0.01)
    assert (track.base_load_kw[:24, 0] == 0.0).all()
    assert track.signals.pv_kw == pytest.approx(-track.base_load_kw[:, 0])
    loaded = Track.load(track.save(tmp_path / "day.parquet"))
    assert loaded == track
    hot = World(scenario(site=site(tilt=0.0), weather=Weather(irradiance=file, temperature=35.0))).sample(0)
    assert hot.base_load_kw[40, 0] == pytest.approx(-78.63 + 100 * 0.86 * 0.004 * 20.0, abs=0.01)
    with pytest.raises(DataError, match=r"no values for the whole episode"):
        World(scenario(site=site(), weather=Weather(irradiance=file), start=date(2023, 5, 16)))


def test_a_year_south_east_and_west(scenario: Make) -> None:
    """The 15th of each month, 6 skies each: the yield of the Netherlands is 850 to 1050 kWh/kWp a year."""
    pytest.importorskip("pvlib")
    months, skies = [date(2023, month, 15) for month in range(1, 13)], range(6)
    yields = {}
    for azimuth in (90.0, 180.0, 270.0):
        group = site(tilt=35.0, azimuth=azimuth)
        yields[azimuth] = np.concatenate([powers(scenario, day, skies, group, step=0.5) for day in months])
    a_year = 0.5 * yields[180.0].sum(axis=1).mean() * 365 / 100
    assert 800 < a_year < 1150
    assert yields[90.0].sum() < 0.9 * yields[180.0].sum()
    morning, evening = slice(12, 24), slice(28, 40)
    assert yields[90.0][:, morning].sum() > 1.5 * yields[270.0][:, morning].sum()
    assert yields[270.0][:, evening].sum() > 1.5 * yields[90.0][:, evening].sum()
    assert (yields[180.0] >= 0.0).all()


def test_energy_and_sky_do_not_depend_on_the_step(scenario: Make) -> None:
    pytest.importorskip("pvlib")
    fine, coarse = (powers(scenario, date(2023, 6, 21), range(2), site(), step=step) for step in (1 / 12, 1.0))
    assert fine.reshape(2, 24, 12).mean(axis=2) == pytest.approx(coarse, abs=1e-9)


def test_what_describes_it_and_keeps_it(scenario: Make, tmp_path: Path) -> None:
    made = Site.from_scenario(scenario(site=site(azimuth=200.0)))
    assert any(
        "PV of 100 kWp at 52.1° north, 5.2° east, tilt 30°, azimuth 200°" in str(node.label)
        for node in describe_site(made).children[1].children
    )
    made.write_graphml(tmp_path / "site.graphml")
    assert Site.read_graphml(tmp_path / "site.graphml").pvs == made.pvs
