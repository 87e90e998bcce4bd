"""What happens on the network above a site: drawn with the day, the same for the same seed, kept in track files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

pytest.importorskip("pandapower")

import ev_marl
from ev_marl.cli import app
from ev_marl.scenario.schema import Group, LoadProfile, Pv, Scenario, Stations
from ev_marl.scenario.schema.grid import Grid
from ev_marl.support.errors import DataError, TrackError
from ev_marl.world import Track, World
from ev_marl.world.grid_day import GridDay
from ev_marl.world.loads import clear_sky_kw

Make = Callable[..., Scenario]
SUFFIXES = [".parquet", ".json"]
HOURS_AT_TWO = {date(2023, 3, 26): 0, date(2023, 10, 29): 2}  # where clocks are changed
AT_LOADS = [Stations(type="ac", count=5, ports=2, power=11.0, bus="loads")]


def grid(**entries: Any) -> Grid:
    """CIGRE's low-voltage network, as a scenario says it."""
    return Grid.model_validate({"network": "cigre_lv", **entries})


def on_a_bus(scenario: Scenario, network: Grid, bus: str = "Bus R18") -> Scenario:
    """The same scenario with its whole site at one bus."""
    return scenario.model_copy(update={"site": scenario.site.model_copy(update={"bus": bus}), "grid": network})


def network_of(track: Track) -> GridDay:
    assert track.grid is not None
    return track.grid


@pytest.fixture
def lively(scenario: Make) -> World:
    """Random loads, and plants under a random sky."""
    network = grid(loads={"profile": "household"}, generators={"sun": 52}, pv={"peak": "5 kW"})
    return World(on_a_bus(scenario(), network))


def test_the_same_seed_gives_the_same_network_day(lively: World) -> None:
    again, other = World(lively.scenario), lively.sample(4).grid
    day = network_of(lively.sample(3))
    assert day == again.sample(3).grid
    assert day != other
    noise = day.load_kw / day.load_kw.mean(axis=0)
    assert len(np.unique(noise[40])) == len(day.loads)  # every load has noise of its own
    assert np.ptp(day.load_kvar / day.load_kw, axis=0).max() < 1e-12  # and one for both its powers
    assert day.loads == lively.site.network.spec.loads[: len(day.loads)]  # type: ignore[union-attr]
    assert len(day.loads) == lively.site.network.n_own_loads  # type: ignore[union-attr]


def test_a_network_changes_nothing_else(scenario: Make) -> None:
    plain = scenario()
    without = World(plain).sample(5)
    for network in (
        grid(),
        grid(loads={"profile": "household"}, generators={"sun": 52}, pv={"peak": "5 kW"}),
        grid(network="cigre_mv", loads={"profile": "office", "noise": 0.3}),
    ):
        track = World(on_a_bus(plain, network, "Bus 3" if network.network == "cigre_mv" else "Bus R18")).sample(5)
        assert track.grid is not None
        assert track.replace(grid=None) == without
    assert not np.array_equal(without.base_load_kw, World(plain).sample(6).base_load_kw)


def test_the_site_changes_nothing_on_the_network(scenario: Make, lively: World) -> None:
    """Its own loads and plants draw from streams of their own; their power is not the network's."""
    bare = lively.scenario.site.model_copy(update={"base_load": None, "pv": None})
    quiet = World(lively.scenario.model_copy(update={"site": bare})).sample(3)
    assert quiet.grid == lively.sample(3).grid


@pytest.mark.parametrize("start_hour", [0.0, 12.0])
def test_one_sky_for_site_and_network(scenario: Make, start_hour: float) -> None:
    """Over three days, the site's plant, the network's own and added ones have the same share of the clear sky."""
    site = Group(name="grid", pv=Pv(peak=60.0, latitude=52.0), bus="Bus 3", stations=AT_LOADS)
    network = grid(
        network={"pandapower": "cigre_mv", "options": {"with_der": "pv_wind"}},
        generators={"sun": 40, "scale": 2.0},
        pv={"buses": ["Bus 4"], "peak": "10 kW"},
    )
    world = World(scenario(site=site, grid=network, start_hour=start_hour, horizon=72.0, step=0.5))
    spec = world.site.network.spec  # type: ignore[union-attr]
    n_own = len(spec.generators) - 1
    skies = []
    for seed in range(8):
        track = world.sample(seed)
        day = network_of(track)
        clock = track.clock
        here, south = (clear_sky_kw(Pv(peak=1.0, latitude=latitude), clock) for latitude in (52.0, 40.0))
        lit = (here > 0.01) & (south > 0.01)
        sky = -track.base_load_kw[lit, 0] / (60.0 * here[lit])
        added = day.generator_kw[lit, n_own:] / (10.0 * south[lit, None])
        np.testing.assert_allclose(added, sky[:, None], rtol=1e-12)
        own = day.generator_kw[lit, :n_own] / (2.0 * spec.generator_kw[:n_own] * south[lit, None])
        np.testing.assert_allclose(own, np.tile(sky[:, None], n_own), rtol=1e-12)
        assert not day.generator_kw[here + south == 0.0].any()
        days = np.array([time.toordinal() for time in clock.local_times])[lit]
        by_day = [np.unique(sky[days == one].round(9)) for one in np.unique(days)]
        assert [len(one) for one in by_day] == [1] * (3 if start_hour == 0.0 else 4)
        assert len(np.unique(np.concatenate(by_day))) == len(by_day)
        skies.append(by_day)
    assert len({str(sky) for sky in skies}) == 8


@pytest.mark.parametrize("day", [date(2023, 3, 26), date(2023, 5, 13), date(2023, 5, 15), date(2023, 10, 29)])
def test_profiles_follow_the_local_clock_and_the_week(scenario: Make, day: date) -> None:
    """As the site's own load of that profile does; on days of 23 and of 25 hours, too."""
    shape = LoadProfile(profile="household", peak=1.0, noise=0.0)
    site = Group(name="grid", base_load=shape, bus="Bus R18", stations=AT_LOADS)
    network = grid(loads={"profile": "household", "noise": 0, "scale": 0.5})
    world = World(scenario(site=site, grid=network, start=day, horizon=25.0))
    track = world.sample(0)
    own_kw = 0.5 * world.site.network.spec.load_kw[: len(network_of(track).loads)]  # type: ignore[union-attr]
    np.testing.assert_allclose(network_of(track).load_kw, track.base_load_kw * own_kw, rtol=1e-12)
    total_kw = network_of(track).load_kw.sum(axis=1)
    times = track.clock.local_times
    by_hour = [total_kw[[time.hour == hour and time.date() == day for time in times]] for hour in range(24)]
    assert all(np.ptp(values) == 0.0 for values in by_hour if len(values))
    assert [len(values) for values in by_hour] == [4, 4, HOURS_AT_TWO.get(day, 1) * 4, *[4] * 21]
    weekday = World(scenario(site=site, grid=network, start=date(2023, 5, 16))).sample(0)
    alike = np.allclose(total_kw[16:90], network_of(weekday).load_kw.sum(axis=1)[16:90])
    assert alike == (day.weekday() < 5)


def csv_file(folder: Path, columns: dict[str, list[float]]) -> str:
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path = folder / "powers.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_series_from_a_file_are_found_by_name(scenario: Make, tmp_path: Path) -> None:
    """Active power as it is, whatever the order of the columns; reactive power where there is a column, else in
    proportion."""
    plain = scenario(horizon=1.0)
    spec = World(on_a_bus(plain, grid(pv={"peak": "5 kW"}))).site.network.spec  # type: ignore[union-attr]
    own = [name for name in spec.loads if not name.startswith("site")]
    rng = np.random.default_rng(0)
    load_kw, load_kvar = rng.uniform(0, 50, (2, 4, len(own)))
    columns: dict[str, list[float]] = {"time": [0, 1, 2, 3], f"{own[3]}.kvar": load_kvar[:, 3].tolist()}
    columns |= {own[k]: load_kw[:, k].tolist() for k in rng.permutation(len(own))}
    network = grid(loads={"csv": csv_file(tmp_path, columns), "scale": 0.5}, pv={"peak": "5 kW"})
    world = World(on_a_bus(plain, network))
    day = network_of(world.sample(1))
    assert day.loads == tuple(own)
    np.testing.assert_allclose(day.load_kw, 0.5 * load_kw, rtol=1e-15)
    expected_kvar = load_kw * (spec.load_kvar[: len(own)] / spec.load_kw[: len(own)])
    expected_kvar[:, 3] = load_kvar[:, 3]
    np.testing.assert_allclose(day.load_kvar, 0.5 * expected_kvar, rtol=1e-12)
    assert day == world.sample(2).replace(grid=day).grid  # files have no noise
    assert np.array_equal(day.load_kw, network_of(world.sample(2)).load_kw)


def test_generators_from_a_file_are_the_networks_own(scenario: Make, tmp_path: Path) -> None:
    """Added plants follow the sky beside them."""
    choice = {"pandapower": "cigre_mv", "options": {"with_der": "pv_wind"}}
    plain = scenario(horizon=1.0, start_hour=12.0)
    spec = World(on_a_bus(plain, grid(network=choice), "Bus 3")).site.network.spec  # type: ignore[union-attr]
    columns = {name: [float(k), k + 0.25, k + 0.5, -1.0] for k, name in enumerate(spec.generators)}
    network = grid(
        network=choice,
        generators={"csv": csv_file(tmp_path, columns)},
        pv={"buses": ["Bus 4", "Bus 6"], "peak": "9 kW"},
    )
    day = network_of(World(on_a_bus(plain, network, "Bus 3")).sample(0))
    n_own = len(spec.generators)
    assert day.generators[:n_own] == spec.generators
    assert day.generator_kw[:, :n_own].T.tolist() == list(columns.values())
    assert day.generator_kw[:, n_own:].min() > 0.5
    assert np.array_equal(day.generator_kw[:, n_own], day.generator_kw[:, n_own + 1])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_gives_back_every_bit(lively: World, tmp_path: Path, suffix: str) -> None:
    drawn = lively.sample(7)
    day = network_of(drawn)
    kvar, load_kw, load_kvar = day.generator_kvar.copy(), day.load_kw.copy(), day.load_kvar.copy()
    kvar[3, 0], load_kw[2, 1], load_kvar[5, 0] = -0.0, 1e-300, -1.0 / 3.0
    day = replace(day, generator_kvar=kvar, load_kw=load_kw, load_kvar=load_kvar)
    track = drawn.replace(grid=day)
    loaded = Track.load(track.save(tmp_path / f"day{suffix}"))
    assert loaded == track
    assert network_of(loaded).load_kw.flags["C_CONTIGUOUS"]
    nudged = load_kvar.copy()
    nudged[-1, -1] = np.nextafter(nudged[-1, -1], np.inf)
    assert loaded != drawn.replace(grid=replace(day, load_kvar=nudged))
    assert loaded != track.replace(grid=None)
    there = Track.load(loaded.save(tmp_path / f"there{'.json' if suffix == '.parquet' else '.parquet'}"))
    assert there == track


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_network_without_generators_and_a_track_made_by_hand(scenario: Make, tmp_path: Path, suffix: str) -> None:
    site = World(on_a_bus(scenario(), grid())).site
    loads = site.network.spec.loads[: site.network.n_own_loads]  # type: ignore[union-attr]
    power_kw, none = np.full((3, len(loads)), 2.5), np.zeros((3, 0))
    day = GridDay(loads, (), power_kw, 0.1 * power_kw, none, none)
    track = Track.build(site, n_steps=3, grid=day)
    loaded = Track.load(track.save(tmp_path / f"day{suffix}"))
    assert loaded == track
    assert network_of(loaded).generator_kw.shape == (3, 0)
    plain = Track.build(site, n_steps=3)
    assert Track.load(plain.save(tmp_path / f"plain{suffix}")).grid is None


def test_a_faulty_file_names_file_and_field(lively: World, tmp_path: Path) -> None:
    track = lively.sample(0)
    path = track.save(tmp_path / "day.json")
    first = network_of(track).loads[0]
    for change, message in (
        (lambda n: n.pop("loads"), "grid.loads is missing"),
        (lambda n: n.update(loads=["a", 3]), "grid.loads must be a list of names"),
        (lambda n: n["load_kw"].pop(first), f"grid.load_kw.{first} is missing"),
        (lambda n: n["load_kvar"][first].pop(), f"grid.load_kvar.{first} has 95 values, the track has 96 steps"),
        (lambda n: n["load_kw"][first].__setitem__(4, None), rf"grid.load_kw.{first}\[4\] is nothing, not a number"),
        (lambda n: n.update(loads=[first, first]), "grid.loads: a name occurs twice"),
    ):
        stored = json.loads(path.read_text())
        change(stored["grid"])
        faulty = tmp_path / "faulty.json"
        faulty.write_text(json.dumps(stored))
        with pytest.raises(TrackError, match=message) as error:
            Track.load(faulty)
        assert str(faulty) in str(error.value)
    columns = track.save(tmp_path / "day.parquet")
    pq.write_table(pq.read_table(columns).drop_columns([f"grid_load_kvar/{first}"]), columns)
    with pytest.raises(TrackError, match=f"{columns}: the column grid_load_kvar/{first} is missing"):
        Track.load(columns)


def test_what_a_track_holds_is_shown(lively: World, tmp_path: Path) -> None:
    track = lively.sample(2)
    path = track.save(tmp_path / "day.parquet")
    day = network_of(track)
    text = CliRunner().invoke(app, ["track", "show", str(path)], env={"COLUMNS": "160", "TERM": "dumb"})
    assert text.exit_code == 0, text.output
    lowest, highest = day.load_kw.sum(axis=1).min(), day.load_kw.sum(axis=1).max()
    assert f"{len(day.loads)} loads" in text.output
    assert f"{lowest:.1f} to {highest:.1f} kW together" in text.output
    assert f"{len(day.generators)} generators" in text.output
    facts = json.loads(CliRunner().invoke(app, ["track", "show", str(path), "--json"]).stdout)
    assert facts["grid"]["load_kw"]["highest"] == highest
    assert facts["grid"]["generators"] == len(day.generators)
    plain = track.replace(grid=None).save(tmp_path / "plain.json")
    assert json.loads(CliRunner().invoke(app, ["track", "show", str(plain), "--json"]).stdout)["grid"] is None


def test_a_saved_day_is_played_as_it_was_drawn(lively: World, tmp_path: Path) -> None:
    env = ev_marl.parallel_env(lively.scenario)
    env.reset(seed=3)
    drawn = env.unwrapped.track
    voltages = {}
    for name, options in (("drawn", {}), ("saved", {"track": Track.load(drawn.save(tmp_path / "day.parquet"))})):
        env.reset(seed=3, options=options)
        env.step({agent: env.action_space(agent).high for agent in env.agents})
        voltages[name] = env.unwrapped.simulator.state.grid.flow.vm_pu
    np.testing.assert_array_equal(voltages["drawn"], voltages["saved"])
    assert voltages["drawn"].min() < 1.0


def test_a_day_of_another_network_is_refused(scenario: Make, lively: World) -> None:
    """In one message that says what differs, never by numpy."""
    track = lively.sample(0)
    day = network_of(track)
    names = day.loads
    other = World(on_a_bus(scenario(), grid(network="cigre_mv"), "Bus 3")).sample(0)
    faults = {
        rf"the track has {len(network_of(other).loads)} loads, the network 'cigre_lv' {len(names)}": other.grid,
        rf"loads: number 1 is 'house' in the track and '{names[1]}' in the network 'cigre_lv'": replace(
            day, loads=(names[0], "house", *names[2:])
        ),
        r"grid.load_kw has the shape \(95, 15\); \(96, 15\) is needed": replace(day, load_kw=day.load_kw[1:]),
        r"grid.generator_kvar has the shape": replace(day, generator_kvar=day.generator_kvar[:, 1:]),
        r"grid.load_kvar is float32; float64 is needed": replace(day, load_kvar=day.load_kvar.astype(np.float32)),
        r"grid.load_kw is not finite at step 7": replace(
            day, load_kw=np.where(np.arange(96)[:, None] == 7, np.nan, day.load_kw)
        ),
        r"track 0 says nothing of the network": None,
    }
    env = ev_marl.parallel_env(lively.scenario)
    for message, network in faults.items():
        faulty = track.replace(grid=network)
        with pytest.raises(TrackError, match=message):
            env.reset(options={"track": faulty})
        if network is not None:
            with pytest.raises(TrackError, match=message):
                faulty.validate(lively.site)


def test_a_file_of_a_year_for_the_elements(scenario: Make, tmp_path: Path) -> None:
    """Row h is h kW from 14 May 2023 on, in local hours; the second day starts at row 24."""
    plain = scenario(horizon=2.0, step=0.5)
    spec = World(on_a_bus(plain, grid())).site.network.spec  # type: ignore[union-attr]
    own = [name for name in spec.loads if not name.startswith("site")]
    times = [f"2023-05-{14 + h // 24} {h % 24:02}:00" for h in range(48)]
    columns: dict[str, list[float]] = {"when": times, f"{own[1]}.kvar": [0.5 * h for h in range(48)]}  # type: ignore[dict-item]
    columns |= {name: [float(h) for h in range(48)] for name in own}
    network = grid(loads={"csv": csv_file(tmp_path, columns), "time": "when", "scale": 2})
    day = network_of(World(on_a_bus(plain, network)).sample(0))
    ratio = spec.load_kvar[0] / spec.load_kw[0]
    assert day.load_kw[:, 0].tolist() == [48.0, 48.0, 50.0, 50.0]
    assert day.load_kvar[:, 0] == pytest.approx(day.load_kw[:, 0] * ratio)
    assert day.load_kvar[:, 1].tolist() == [24.0, 24.0, 25.0, 25.0]
    with pytest.raises(DataError, match=r"no values for the whole episode that starts at 2023-05-16"):
        World(on_a_bus(scenario(horizon=2.0, step=0.5, start=date(2023, 5, 16)), network))
