"""Tracks from data files: one a calendar day, imputations reported, ports mapped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ev_marl.scenario.schema import Group, PriceByHour, Scenario, Stations
from ev_marl.site.site import Site
from ev_marl.support.errors import DataError, TrackError
from ev_marl.world.importing import import_tracks, sessions_to_tracks
from ev_marl.world.readers.acn import read_acn
from ev_marl.world.track import Track

Make = Callable[..., Scenario]


def small(n_ports: int) -> Group:
    return Group(name="grid", stations=[Stations(type="ac", count=n_ports, power=7.4)])


@pytest.mark.parametrize("name", ["acn_api.json", "acn_website.json", "acn.csv"])
def test_acn_days(scenario: Make, data: Path, name: str) -> None:
    prices = PriceByHour(by_hour=[float(h) for h in range(24)])
    first, second = import_tracks("acn", data / name, scenario(prices=prices), seed=1)
    assert first.timezone == "America/Los_Angeles"
    assert first.start.isoformat() == "2019-05-01T00:00:00-07:00"
    assert second.start.isoformat() == "2019-05-02T00:00:00-07:00"
    assert first.buy_per_kwh[::4].tolist() == list(range(24))  # the scenario's prices on the data's clock
    # the stations CA-301 and CA-302 become ports 0 and 1
    assert first.sessions["port"].tolist() == [0, 1, 0]
    assert first.sessions["arrival_step"].tolist() == [32, 37, 84]
    assert first.sessions["departure_step"].tolist() == [66, 72, 96 + 33]
    assert first.sessions["wanted_kwh"].tolist() == [12.5, 8.25, 30.0]
    # the overnight session came at 21:00 and leaves at 08:20; until midnight it charged at full power
    assert second.sessions["port"].tolist() == [0, 1]
    assert second.sessions["arrival_step"].tolist() == [0, 42]
    assert second.sessions["departure_step"].tolist() == [33, 48]
    assert second.sessions["charge_kw"][0] == 7.4
    assert second.sessions["wanted_kwh"] == pytest.approx([30.0 - 3 * 7.4 * 0.93, 5.0])
    assert second.sessions["vehicle"][0] == first.sessions["vehicle"][2]
    total = first.sessions["energy_kwh"] + first.sessions["wanted_kwh"]
    assert np.all(total <= 0.95 * first.sessions["capacity_kwh"] + 1e-9)
    for key, part in {
        "file": name,
        "energy": "delivered",
        "imputed": "energy on arrival",
        "ports": "2 stations on 16 ports: in order of first use",
    }.items():
        assert part in first.source[key]


def test_own_sessions_are_on_the_clock_of_the_scenario(scenario: Make, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("station,arrival,departure,energy_kwh\nCP1,2023-05-01 08:00,2023-05-01 16:00,12.5\n")
    (track,) = import_tracks("csv", file, scenario(timezone="Europe/Berlin"))
    assert track.start.isoformat() == "2023-05-01T00:00:00+02:00"
    assert track.sessions["arrival_step"].tolist() == [32]
    (track,) = import_tracks("csv", file, scenario(timezone="Europe/Berlin"), timezone="America/New_York")
    assert track.start.isoformat() == "2023-05-01T00:00:00-04:00"
    with pytest.raises(DataError, match=r"timezone: found 'Europe/Berln'.* Did you mean 'Europe/Berlin'"):
        import_tracks("csv", file, scenario(), timezone="Europe/Berln")


def test_imputation_is_seeded(scenario: Make, data: Path) -> None:
    one, again, other = (import_tracks("acn", data / "acn.csv", scenario(), seed=seed)[0] for seed in (1, 1, 2))
    assert one == again
    assert not np.array_equal(one.sessions["energy_kwh"], other.sessions["energy_kwh"])


def test_requested_energy(scenario: Make, data: Path) -> None:
    track = import_tracks("acn", data / "acn.csv", scenario(), energy="requested")[0]
    assert track.sessions["wanted_kwh"].tolist() == [20.0, 8.25, 32.0]  # delivered where nothing was asked for


def test_a_site_with_too_few_ports_turns_vehicles_away(scenario: Make, data: Path) -> None:
    tracks = sessions_to_tracks(read_acn(data / "acn.csv"), scenario(), Site.from_scenario(scenario(site=small(1))))
    assert tracks[0].turned_away == 1
    assert tracks[0].sessions["arrival_step"].tolist() == [32, 84]
    assert "2 stations on 1 ports: any free port" in tracks[0].source["ports"]


def test_elaadnl_days(scenario: Make, data: Path) -> None:
    tracks = import_tracks("elaadnl", data / "elaadnl.csv", scenario(site=small(4)))
    days = {track.start.date(): track for track in tracks}
    assert len(days) == len(tracks) == (date(2019, 10, 27) - date(2019, 2, 3)).days + 1
    assert days[date(2019, 2, 3)].sessions["arrival_step"].tolist() == [33, 72]
    spring = days[date(2019, 3, 31)].sessions
    assert (spring["departure_step"] - spring["arrival_step"]).tolist() == [4]
    assert len(days[date(2019, 7, 1)].sessions) == 0
    assert "left out 1 sessions" in tracks[0].source["notes"]


def test_price_days(scenario: Make, data: Path) -> None:
    tracks = import_tracks("prices", data / "prices_with_gap.csv", scenario(), fill="previous_day", seed=3)
    assert [track.start.date().day for track in tracks] == [28, 29, 30]
    assert tracks[1].source["filled_prices"] == "2023-10-29T04:00Z, 2023-10-29T05:00Z"
    assert tracks[0].source["filled_prices"] == "none"
    assert len(tracks[2].sessions) > 0
    with pytest.raises(DataError, match="no price for 2 of 73"):
        import_tracks("prices", data / "prices_with_gap.csv", scenario())
    with pytest.raises(DataError, match="covers no whole episode of 96 h"):
        import_tracks("prices", data / "prices_with_gap.csv", scenario(horizon=96.0), fill="previous_day")


def test_tracks_are_written_one_file_a_day(scenario: Make, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "tracks"
    tracks = import_tracks("acn", data / "acn.csv", scenario(), out=out)
    assert sorted(path.name for path in out.iterdir()) == ["2019-05-01.parquet", "2019-05-02.parquet"]
    loaded = Track.load(out / "2019-05-01.parquet")
    assert loaded == tracks[0]
    assert loaded.source == tracks[0].source
    with pytest.raises(TrackError, match="2 such files"):
        import_tracks("acn", data / "acn.csv", scenario(), out=out)
    import_tracks("acn", data / "acn.csv", scenario(), out=out, overwrite=True, seed=9)
    assert Track.load(out / "2019-05-01.parquet") != tracks[0]


def test_unknown_kind_and_empty_data(scenario: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'elaadnl'"):
        import_tracks("elaad", tmp_path, scenario())
    path = tmp_path / "none.json"
    path.write_text('{"_items": []}')
    with pytest.raises(DataError, match="holds no session"):
        import_tracks("acn", path, scenario())
