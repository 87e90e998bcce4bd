"""Tracks: files that give back every bit, checks that find every fault, tracks made by hand."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_marl.env.setup import Setting
from ev_marl.scenario.schema import Scenario
from ev_marl.scenario.series import Series
from ev_marl.site.site import Site
from ev_marl.support.errors import TrackError
from ev_marl.world.session_table import no_sessions, session_table
from ev_marl.world.track import Track
from ev_marl.world.world import World

Make = Callable[..., Scenario]
SUFFIXES = [".parquet", ".json"]


@pytest.fixture
def world(scenario: Make) -> World:
    return World(scenario())


@pytest.fixture
def site(world: World) -> Site:
    return world.site


@pytest.fixture
def track(world: World) -> Track:
    return world.sample(7)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_gives_back_every_bit(track: Track, tmp_path: Path, suffix: str) -> None:
    assert len(track.sessions) > 5
    assert np.isinf(track.export_limit_kw).any()
    path = track.save(tmp_path / f"day{suffix}")
    loaded = Track.load(path)
    assert loaded == track
    assert loaded.source == track.source
    assert loaded.start.isoformat() == track.start.isoformat()
    assert loaded.clock.local_hour.tobytes() == track.clock.local_hour.tobytes()


def test_the_order_of_the_two_formats_does_not_matter(track: Track, tmp_path: Path) -> None:
    there = Track.load(track.save(tmp_path / "a.json")).save(tmp_path / "b.parquet")
    assert Track.load(there) == track


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_track_without_sessions_and_one_in_the_doubled_hour(site: Site, tmp_path: Path, suffix: str) -> None:
    start = datetime(2023, 10, 29, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Amsterdam"))
    track = Track.build(site, n_steps=3, start=start)
    loaded = Track.load(track.save(tmp_path / f"day{suffix}"))
    assert loaded == track
    assert len(loaded.sessions) == 0
    assert loaded.start.utcoffset() == start.utcoffset()
    assert list(track.clock.local_hour) == [2.5, 2.75, 3.0]
    assert list(track.replace(start=start.replace(fold=0)).clock.local_hour) == [2.5, 2.75, 2.0]


@settings(max_examples=25, deadline=None)
@given(
    prices=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2),
    energy=st.floats(0.0, 1.0),
    capacity=st.floats(1e-3, 1e6),
    limit=st.floats(0.0, 1e9) | st.just(math.inf),
)
def test_any_float_survives_a_file(
    tmp_path_factory: pytest.TempPathFactory, prices: list[float], energy: float, capacity: float, limit: float
) -> None:
    sessions = session_table(
        port=[0],
        arrival_step=[0],
        departure_step=[1],
        energy_kwh=[energy * capacity],
        wanted_kwh=[0.0],
        capacity_kwh=[capacity],
        charge_kw=[1.0],
        discharge_kw=[1.0],
        taper_start=[0.5],
        reserve_kwh=[0.0],
        vehicle=["é"],
    )
    track = Track(
        start=datetime(2023, 1, 1, tzinfo=ZoneInfo("UTC")),
        timezone="UTC",
        step_h=1 / 12,
        currency="EUR",
        ports=("ac_0/0",),
        groups=("grid",),
        sessions=sessions,
        buy_per_kwh=np.array(prices),
        sell_per_kwh=-np.array(prices),
        base_load_kw=np.array([[-0.0], [5e-324]]),
        import_limit_kw=np.array([[limit], [math.inf]]),
        export_limit_kw=np.full((2, 1), math.inf),
    )
    folder = tmp_path_factory.mktemp("any")
    for suffix in SUFFIXES:
        assert Track.load(track.save(folder / f"day{suffix}")) == track


def test_json_has_no_number_that_json_does_not_know(track: Track, tmp_path: Path) -> None:
    text = track.save(tmp_path / "day.json").read_text()
    assert "Infinity" not in text
    stored = json.loads(text)
    assert list(stored)[:2] == ["format", "version"]
    assert stored["export_limit_kw"]["grid"][0] is None


def test_nothing_is_overwritten_unless_asked_for(track: Track, tmp_path: Path) -> None:
    path = track.save(tmp_path / "day.json")
    with pytest.raises(TrackError, match="exists"):
        track.with_prices(1.0).save(path)
    assert Track.load(path) == track
    track.with_prices(1.0).save(path, overwrite=True)
    assert Track.load(path) == track.with_prices(1.0)


def test_a_suffix_that_is_no_track_file(track: Track, tmp_path: Path) -> None:
    with pytest.raises(TrackError, match=r"ends in \.parquet or \.json, not in '\.pkl'"):
        track.save(tmp_path / "day.pkl")
    with pytest.raises(TrackError, match="no such file"):
        Track.load(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), r"version 2 .* written by a newer ev_marl"),
        (lambda d: d.update(format="other"), "is not a track file"),
        (lambda d: d.pop("step_h"), "the field step_h is missing"),
        (lambda d: d.pop("buy_per_kwh"), "the field buy_per_kwh is missing"),
        (lambda d: d["base_load_kw"].pop("north"), r"base_load_kw\.north is missing"),
        (lambda d: d["base_load_kw"]["north"].pop(), r"base_load_kw\.north has 95 values, the track has 96 steps"),
        (lambda d: d["sell_per_kwh"].pop(), "sell_per_kwh has the shape"),
        (lambda d: d["sessions"][2].pop("wanted_kwh"), r"sessions\[2\]\.wanted_kwh is missing"),
        (lambda d: d["sessions"][0].update(port="x"), r"sessions\[0\]\.port is 'x', not a whole number"),
        (lambda d: d["buy_per_kwh"].__setitem__(3, None), r"buy_per_kwh\[3\] is nothing, not a number"),
        (lambda d: d.update(timezone="Mars/Crater"), "timezone: found 'Mars/Crater'"),
        (lambda d: d["sessions"][0].update(energy_kwh=-1.0), "energy_kwh is -1.0"),
    ],
)
def test_a_faulty_json_file_names_file_and_field(track: Track, tmp_path: Path, change, message: str) -> None:
    path = track.save(tmp_path / "day.json")
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(TrackError, match=message) as error:
        Track.load(path)
    assert str(path) in str(error.value)


def test_a_faulty_parquet_file_names_file_and_field(track: Track, tmp_path: Path) -> None:
    path = track.save(tmp_path / "day.parquet")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["import_limit_kw/north"]), path)
    with pytest.raises(TrackError, match=f"{path}: the column import_limit_kw/north is missing"):
        Track.load(path)
    metadata = json.loads(table.schema.metadata[b"ev_marl-track"])
    pq.write_table(table.replace_schema_metadata({"ev_marl-track": json.dumps({**metadata, "version": 9})}), path)
    with pytest.raises(TrackError, match="version 9"):
        Track.load(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(TrackError, match="is not a track file"):
        Track.load(path)
    path.write_text("no parquet")
    with pytest.raises(TrackError, match="this is not a Parquet file"):
        Track.load(path)


def test_validation_finds_all_faults_at_once(site: Site, track: Track) -> None:
    sessions = track.sessions.copy()
    sessions["port"][0] = 99
    sessions["departure_step"][1] = sessions["arrival_step"][1]
    sessions["energy_kwh"][2:5] = -1.0, np.nan, 1e6
    base = track.base_load_kw.copy()
    base[5, 0] = np.nan
    faulty = track.replace(
        sessions=sessions,
        base_load_kw=base,
        sell_per_kwh=track.sell_per_kwh[:-1],
        import_limit_kw=-track.import_limit_kw,
        groups=("grid", "east", "south"),
    )
    with pytest.raises(TrackError) as error:
        faulty.validate(site)
    message = str(error.value)
    for part in [
        "session 0: port 99 is out of range; there are 16",
        "session 1: departure_step",
        "session 2: energy_kwh is -1.0",
        "session 3: energy_kwh is nan",
        "session 4: energy_kwh 1e+06 + wanted_kwh",
        "base_load_kw is not finite at step 5",
        "sell_per_kwh has the shape (95,); (96,) is needed",
        "import_limit_kw is -inf kW somewhere",
        "groups: number 1 is 'east' in the track and 'north' at the site",
    ]:
        assert part in message


@pytest.mark.parametrize("arrival", [0, 1])
@pytest.mark.parametrize("ahead_kwh", [np.nan, np.inf, -np.inf, 1e308, 1e9, 20.1, 5.0, -40.0, -40.1])
def test_an_even_service_at_the_start_is_an_energy_that_the_battery_can_hold(
    site: Site, arrival: int, ahead_kwh: float
) -> None:
    row = {"port": site.ports[0], "arrival": arrival, "departure": 9, "energy_kwh": 20.0, "wanted_kwh": 10.0}
    track = Track.build(site, sessions=[row])
    sessions = track.sessions.copy()
    sessions["ahead_kwh"] = ahead_kwh
    track = track.replace(sessions=sessions)
    if ahead_kwh in (5.0, -40.0) and arrival == 0:  # of 60 kWh
        track.validate(site)
    else:
        with pytest.raises(TrackError, match="session 0: ahead_kwh"):
            track.validate(site)


def test_a_table_of_sessions_needs_columns_of_one_length_and_of_their_kinds(track: Track) -> None:
    columns = {name: track.sessions[name] for name in track.sessions.dtype.names}
    assert np.array_equal(session_table(**columns), track.sessions)
    assert len(session_table(**dict.fromkeys(columns, ()))) == len(no_sessions()) == 0
    with pytest.raises(TrackError, match=r"sessions.wanted_kwh has the shape"):
        session_table(**{**columns, "wanted_kwh": columns["wanted_kwh"][:-1]})
    with pytest.raises(TrackError, match=r"sessions\.port is float64; int64 is needed"):
        session_table(**{**columns, "port": columns["port"] + 0.5})
    with pytest.raises(TrackError, match=r"sessions\.vehicle is <U65"):
        session_table(**{**columns, "vehicle": ["n" * 65] * len(track.sessions)})
    with pytest.raises(TrackError, match=r"missing columns \['port'\], unknown columns \['prot'\]"):
        session_table(**{{"port": "prot"}.get(name, name): values for name, values in columns.items()})
    with pytest.raises(TrackError, match="not a table of the dtype SESSION"):
        track.replace(sessions=track.sessions["port"]).validate()


def test_validation_of_the_frame(site: Site, track: Track) -> None:
    faulty = track.replace(
        start=datetime(2023, 5, 15),
        timezone="Mars/Crater",
        step_h=0.0,
        turned_away=-1,
        ports=(*track.ports[:-1], track.ports[0]),
        groups=("grid",),
        sell_per_kwh=track.sell_per_kwh.astype(np.float32),
    )
    with pytest.raises(TrackError) as error:
        faulty.validate(site)
    message = str(error.value)
    for part in [
        "has no time zone",
        "timezone: found 'Mars/Crater'; expected an IANA time zone",
        "step_h is 0.0; it must be above 0 h",
        "turned_away is -1",
        "ports: a name occurs twice",
        "the track has 1 groups, the site 3",
        "base_load_kw has the shape (96, 3); (96, 1) is needed",
        "sell_per_kwh is float32; float64 is needed",
    ]:
        assert part in message
    empty = np.empty(0)
    nothing = track.replace(sessions=no_sessions(), buy_per_kwh=empty, sell_per_kwh=empty)
    with pytest.raises(TrackError, match="a track has at least one step"):
        nothing.validate()


def test_many_faults_of_one_kind_are_counted(site: Site) -> None:
    rows = [{"port": 0, "arrival": k, "departure": 96, "wanted_kwh": 1} for k in range(20)]
    with pytest.raises(TrackError, match=r"(?s)session 5 comes to port ac_0/0.*\.\.\. and 14 more like it") as error:
        Track.build(site, sessions=rows)
    assert "session 6" not in str(error.value)


def test_unsorted_sessions(site: Site) -> None:
    rows = [{"port": k, "arrival": k, "departure": 9, "wanted_kwh": 1} for k in range(2)]
    track = Track.build(site, sessions=rows)
    with pytest.raises(TrackError, match="not sorted by arrival_step"):
        track.with_sessions(track.sessions[::-1]).validate(site)
    with pytest.raises(TrackError, match="need the site"):
        track.with_sessions(rows)


def test_overlapping_sessions_name_the_port(site: Site) -> None:
    rows = [
        {"port": "bidi_0/0", "arrival": 0, "departure": 5, "wanted_kwh": 5},
        {"port": "bidi_0/0", "arrival": 4, "departure": 8, "wanted_kwh": 5},
    ]
    with pytest.raises(TrackError, match="session 1 comes to port bidi_0/0 at step 4, while session 0 is there"):
        Track.build(site, n_steps=8, sessions=rows)
    rows[1]["arrival"] = 5
    assert len(Track.build(site, n_steps=8, sessions=rows).sessions) == 2


def test_a_track_made_by_hand(site: Site) -> None:
    track = Track.build(
        site,
        step_h=1.0,
        n_steps=4,
        sessions=[
            {"port": "bidi_0/0", "arrival": 1, "departure": 9, "wanted_kwh": 10, "capacity_kwh": 50, "vehicle": "van"},
            {"port": 0, "arrival_step": 0, "departure_step": 2, "wanted_kwh": 3.5, "energy_kwh": 7},
        ],
        buy=[0.1, 0.2, 0.3, 0.4],
        base_load_kw={"north": 5.0, "grid": [1, 2, 3, 4]},
    )
    first, second = 0, 1  # sorted by arrival
    assert list(track.sessions["port"]) == [0, site.ports.index("bidi_0/0")]
    assert track.sessions["energy_kwh"][first] == 7.0
    assert track.sessions["energy_kwh"][second] == 10.0
    assert list(track.sessions["vehicle"]) == ["vehicle", "van"]
    assert list(track.sessions["charge_kw"]) == [11.0, 11.0]
    assert list(track.sessions["discharge_kw"]) == [0.0, 11.0]
    assert list(track.sell_per_kwh) == [0.1, 0.2, 0.3, 0.4]
    assert track.base_load_kw.tolist() == [[6, 5, 0], [7, 5, 0], [8, 5, 0], [9, 5, 0]]
    assert track.import_limit_kw[0].tolist() == [150.0, 60.0, math.inf]
    assert track.start.isoformat() == "2023-05-15T00:00:00+02:00"
    edited = track.with_sessions([{"port": 0, "arrival": 0, "departure": 1, "wanted_kwh": 1}], site)
    assert len(edited.sessions) == 1
    assert edited != track
    assert edited.with_sessions(track.sessions) == track


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_track_that_was_edited_says_so(world: World, tmp_path: Path, suffix: str) -> None:
    drawn = world.sample(7).replace(turned_away=3, source={"scenario": "here", "seed": "7"})
    assert drawn.source == {"scenario": "here", "seed": "7"}
    edited = drawn.with_sessions(no_sessions()).with_prices(0.2, 0.1).with_prices(0.3)
    assert edited.source == {"scenario": "here", "seed": "7", "edited": "sessions, buy_per_kwh, sell_per_kwh"}
    assert edited.turned_away == 0  # of the sessions that were replaced
    loaded = Track.load(edited.save(tmp_path / f"day{suffix}"))
    assert loaded.source == edited.source
    assert loaded.turned_away == 0
    assert loaded.replace(step_h=0.5).source["edited"] == "step_h, sessions, buy_per_kwh, sell_per_kwh"
    assert "edited" not in drawn.source


def test_a_copy_by_the_standard_library_is_marked_too(world: World) -> None:
    drawn = world.sample(7)
    edited = dataclasses.replace(drawn, buy_per_kwh=drawn.buy_per_kwh + 1.0)
    assert edited.source == {**drawn.source, "edited": "buy_per_kwh"}
    again = dataclasses.replace(copy.deepcopy(pickle.loads(pickle.dumps(edited))), step_h=0.5)
    assert again.source["edited"] == "step_h, buy_per_kwh"
    assert dataclasses.replace(drawn, buy_per_kwh=drawn.buy_per_kwh.copy()).source == drawn.source
    assert dataclasses.replace(drawn, step_h=0.5, source={"kind": "mine"}).source == {"kind": "mine"}


def test_nothing_is_edited_in_place(world: World) -> None:
    """An edit that could not be marked is refused, in copies too; arrays that a track was made of stay as they were."""
    drawn = world.sample(7)
    mine = np.full(drawn.n_steps, 0.2)
    for track in (drawn, copy.deepcopy(drawn), pickle.loads(pickle.dumps(drawn)), drawn.with_prices(mine)):
        with pytest.raises(ValueError, match="read-only"):
            track.buy_per_kwh[:] = 0.0
        with pytest.raises(ValueError, match="read-only"):
            track.sessions["wanted_kwh"] = 0.0
    mine[0] = 0.3


def test_a_json_file_that_was_edited_by_hand_is_marked(world: World, tmp_path: Path) -> None:
    drawn = world.sample(7).replace(turned_away=3, source={"scenario": "here", "edited": "currency"})
    stored = json.loads(drawn.save(tmp_path / "drawn.json").read_text())
    path = tmp_path / "day.json"

    def loaded(**changes: object) -> Track:
        path.write_text(json.dumps(stored | changes))
        return Track.load(path)

    assert loaded().source == loaded(start="2023-05-15T00:00+02:00").source == drawn.source
    prices = [*stored["buy_per_kwh"][:-1], 0.125]
    marked = loaded(buy_per_kwh=prices, step_h=0.125)
    assert marked.source == {"scenario": "here", "edited": "step_h, currency, buy_per_kwh"}
    assert marked.turned_away == 3
    assert Track.load(marked.save(path, overwrite=True)).source == marked.source
    fewer = loaded(sessions=stored["sessions"][1:])
    assert fewer.source["edited"] == "currency, sessions"
    assert fewer.turned_away == 0  # of sessions that are not known
    assert loaded(digests={}, buy_per_kwh=prices).source == drawn.source  # as one that was written by hand
    with pytest.raises(TrackError, match="the field digests is"):
        loaded(digests={"sessions": 3})


def test_a_parquet_file_that_was_edited_by_hand_is_marked(world: World, tmp_path: Path) -> None:
    drawn = world.sample(7)
    path = drawn.save(tmp_path / "day.parquet")
    table = pq.read_table(path)
    column = table.column_names.index("sell_per_kwh")
    pq.write_table(table.set_column(column, "sell_per_kwh", pa.array(np.full(drawn.n_steps, 0.5))), path)
    assert Track.load(path).source == {**drawn.source, "edited": "sell_per_kwh"}


def test_digests_do_not_depend_on_how_numbers_are_written(world: World, tmp_path: Path) -> None:
    whole = world.sample(7).replace(step_h=1, base_load_kw=np.full((world.scenario.n_steps, 3), -0.0), source={})
    path = whole.save(tmp_path / "day.json")
    assert Track.load(path).source == {}
    path.write_text(path.read_text().replace("-0.0", "0"))
    assert Track.load(path).source == {}


def test_rows_with_faults_are_all_listed(site: Site) -> None:
    rows = [
        {"port": "ac_9/0", "arival": 0, "departure": 5, "wanted_kwh": 5},
        {"port": 0, "arrival": 0.5, "departure": 5, "wanted_kwh": "much"},
    ]
    with pytest.raises(TrackError) as error:
        Track.build(site, sessions=rows)
    message = str(error.value)
    for part in [
        "session 0: unknown key 'arival'. Did you mean 'arrival_step'?",
        "session 0: 'arrival_step' is missing",
        "session 0: there is no port 'ac_9/0'.",
        "session 1: 'wanted_kwh' is 'much', not a number",
        "session 1: 'arrival_step' is 0.5, not a whole number",
    ]:
        assert part in message


def test_wrong_values_for_a_hand_made_track(site: Site) -> None:
    with pytest.raises(TrackError, match=r"buy: one value or 96 \(one per step\) are needed"):
        Track.build(site, buy=[0.1, 0.2])
    with pytest.raises(TrackError, match=r"no group 'nort'\. Did you mean 'north'"):
        Track.build(site, base_load_kw={"nort": 3.0})
    with pytest.raises(TrackError, match="expected an IANA time zone"):
        Track.build(site, timezone="Amsterdam")
    with pytest.raises(TrackError, match="is not a time like"):
        Track.build(site, start="tomorrow")


def test_limits_by_step_must_fit_the_horizon(site: Site) -> None:
    graph = site.graph.copy()
    graph.nodes["north"]["import_limit_kw"] = Series(tuple(range(8)), "by_step")
    limited = Site.from_graph(graph)
    assert Track.build(limited, n_steps=8).import_limit_kw[:, 1].tolist() == list(range(8))
    with pytest.raises(TrackError, match="needs 9 values, one per step, and has 8"):
        Track.build(limited, n_steps=9)


def test_limits_with_base_load(site: Site) -> None:
    track = Track.build(site, n_steps=2, base_load_kw={"north": [70.0, -20.0]})
    assert track.upper_kw[:, 1].tolist() == [0.0, 80.0]
    assert track.unavoidable_overload_kw[:, 1].tolist() == [10.0, 0.0]
    assert track.lower_kw[:, 1].tolist() == [-math.inf, -math.inf]


def test_other_sessions_turn_nobody_away() -> None:
    drawn = Setting.of("tiny").world.sample(7).replace(turned_away=3)
    assert drawn.replace(buy_per_kwh=2.0 * drawn.buy_per_kwh).turned_away == 3
    assert drawn.replace(sessions=drawn.sessions[:1]).turned_away == 0
    assert drawn.replace(sessions=drawn.sessions[:1], turned_away=2).turned_away == 2
