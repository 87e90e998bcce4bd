"""Carbon intensity and temperature: by hour, from dated files, drawn; kept by tracks and their files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ev_marl.scenario.schema import Scenario
from ev_marl.scenario.schema.signals import CarbonByHour, CarbonFile, Climate, TemperatureFile, Weather
from ev_marl.support.errors import DataError, TrackError
from ev_marl.world.signals import Signals
from ev_marl.world.track import Track
from ev_marl.world.world import World

Make = Callable[..., Scenario]
DE_BILT = [3.6, 3.9, 6.5, 9.8, 13.4, 16.2, 18.3, 17.9, 14.7, 10.9, 7.0, 4.2]  # means of months, KNMI 1991-2020 [°C]


def test_a_scenario_without_the_keys_has_none(scenario: Make) -> None:
    assert World(scenario()).sample(0).signals.present == {}


def test_carbon_by_hour_and_the_mean_of_a_step(scenario: Make) -> None:
    world = World(scenario(carbon=CarbonByHour(by_hour=[10.0 * h for h in range(24)])))
    carbon = world.sample(0).signals.carbon_kg_per_kwh
    assert carbon is not None
    assert carbon[:6].tolist() == [0.0] * 4 + [0.01] * 2


def test_dated_files_of_carbon_and_temperature(scenario: Make, tmp_path: Path) -> None:
    rows = "\n".join(f"2023-05-{day:02}T{h:02}:00+02:00,{h},{0.1 * h}" for day in (15, 16) for h in range(24))
    (tmp_path / "w.csv").write_text("when,air [°C],co2 [kg/kWh]\n" + rows)
    keys = {
        "carbon": CarbonFile(csv=str(tmp_path / "w.csv"), time="when", column="co2 [kg/kWh]"),
        "weather": Weather(temperature=TemperatureFile(csv=str(tmp_path / "w.csv"), time="when", column="air [°C]")),
    }
    made = scenario(**keys)
    signals = World(made).sample(0, date(2023, 5, 15)).signals
    assert signals.temperature_c is not None
    assert signals.temperature_c[::4].tolist() == list(range(24))
    assert signals.carbon_kg_per_kwh == pytest.approx(0.1 * signals.temperature_c)
    with pytest.raises(DataError, match=r"w.csv, column 'co2 \[kg/kWh\]': no values for the whole episode"):
        World(scenario(**keys, start=date(2023, 5, 17)))


def test_a_climate_has_its_means_its_swing_and_its_noise(scenario: Make) -> None:
    """The middle of July and of January, at 15 h and at 3 h, over 500 days each."""
    weather = Weather(temperature=Climate(by_month=DE_BILT, swing=10.0, noise=2.0))
    for day, mean in ((date(2023, 7, 16), 18.3), (date(2023, 1, 16), 3.6)):
        world = World(scenario(weather=weather, start=day))
        drawn = np.stack([world.sample(seed).signals.temperature_c for seed in range(500)])  # type: ignore[misc]
        assert drawn.mean() == pytest.approx(mean, abs=0.3)
        assert drawn[:, 60].mean() - drawn[:, 12].mean() == pytest.approx(10.0, abs=0.3)
        assert drawn.std(axis=0) == pytest.approx(2.0, rel=0.12)
        off = drawn - drawn.mean(axis=0)
        assert np.mean(off[:, 0] * off[:, 95]) / 4.0 == pytest.approx(np.exp(-95 / 4 / 48), abs=0.08)


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_files_keep_them(scenario: Make, tmp_path: Path, suffix: str) -> None:
    weather = Weather(temperature=Climate(by_month=DE_BILT))
    track = World(scenario(carbon=250.0, weather=weather)).sample(1)
    loaded = Track.load(track.save(tmp_path / f"day{suffix}"))
    assert loaded == track
    assert loaded.source == track.source
    warmer = track.replace(signals=Signals(track.signals.carbon_kg_per_kwh, track.signals.temperature_c + 1.0))
    assert warmer != track
    assert warmer.source["edited"] == "signals"


def test_values_out_of_range_are_faults(scenario: Make) -> None:
    track = World(scenario()).sample(0)
    for signals, message in (
        (Signals(temperature_c=np.full(track.n_steps, 300.0)), r"signals.temperature_c is 300 to 300; it must be -100"),
        (Signals(carbon_kg_per_kwh=np.full(3, 0.1)), r"signals.carbon_kg_per_kwh has the shape \(3,\)"),
    ):
        with pytest.raises(TrackError, match=message):
            track.replace(signals=signals).validate()
