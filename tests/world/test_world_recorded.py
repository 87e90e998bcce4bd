"""Recorded days: parted folders, days by split and seed, and everything that plays them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ev_marl import parallel_env
from ev_marl.compare import compare
from ev_marl.env.setup import Setting
from ev_marl.planning.outlook.drawn import sample_of_models
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.scenario.schema import Scenario
from ev_marl.support.errors import TrackError
from ev_marl.world.recorded import part_days, shares_to_dates
from ev_marl.world.seeds import SPLITS, as_training_seed, day_seeds, episode_seed, split_of
from ev_marl.world.track_files import track_paths
from ev_marl.world.world import World

FIRST = date(2024, 3, 4)
N_DAYS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days of `tiny`, of which the last two are test days, and two before them validation days."""
    out = tmp_path_factory.mktemp("recorded")
    world = World(load_scenario("tiny"))
    for k in range(N_DAYS):
        world.sample(k, FIRST + timedelta(days=k)).save(out / "all" / f"{k}.json")
    part_days(out / "all", out / "days", FIRST + timedelta(days=6), FIRST + timedelta(days=8))
    return out / "days"


@pytest.fixture
def scenario(folder: Path) -> Scenario:
    return load_scenario("tiny").with_tracks(folder)


def _starts(tracks: list) -> list[date]:
    return [track.start.date() for track in tracks]


def test_days_go_to_their_folders_by_date(folder: Path) -> None:
    world = World(load_scenario("tiny"))
    starts = {split: _starts([world.load(file) for file in track_paths([folder], split)]) for split in SPLITS}
    assert starts == {
        "train": [FIRST + timedelta(days=k) for k in range(6)],
        "validation": [FIRST + timedelta(days=k) for k in (6, 7)],
        "test": [FIRST + timedelta(days=k) for k in (8, 9)],
    }
    assert len(track_paths([folder])) == N_DAYS


def test_seeds_know_their_split() -> None:
    for split in SPLITS:
        assert {split_of(seed) for seed in day_seeds(3, 50, split)} == {split}
        assert split_of(episode_seed(1, 2, 3, 4, split)) == split
    assert {split_of(as_training_seed(seed)) for seed in range(20)} == {"train"}
    assert split_of(3) == "train"  # bits of no split


def test_a_seed_gives_a_day_of_its_split(scenario: Scenario) -> None:
    world = World(scenario)
    for split, days in (("train", range(6)), ("validation", (6, 7)), ("test", (8, 9))):
        seen = {world.sample(seed).start.date() for seed in day_seeds(0, 60, split)}
        assert seen == {FIRST + timedelta(days=k) for k in days}
    seed = day_seeds(0, 1, "train")[0]
    assert world.sample(seed) == World(scenario).sample(seed)
    assert len(world.surroundings(seed).sessions) == 0
    assert np.array_equal(world.surroundings(seed).buy_per_kwh, world.sample(seed).buy_per_kwh)


def test_drawn_days_are_different_and_at_most_as_many_as_there_are(scenario: Scenario) -> None:
    world = World(scenario)
    assert _starts(world.draw(0, 100, "train")) == [FIRST + timedelta(days=k) for k in range(6)]
    some = [tuple(_starts(world.draw(seed, 3, "train"))) for seed in range(10)]
    assert all(len(set(days)) == 3 and sorted(days) == list(days) for days in some)
    assert len(set(some)) > 1
    assert some[0] == tuple(_starts(World(scenario).draw(0, 3, "train")))


def test_environments_play_training_days_whatever_the_seed(scenario: Scenario) -> None:
    env = parallel_env(scenario)
    starts = set()
    for seed in range(12):
        env.reset(seed=seed)
        starts.add(env.track.start.date())
    env.reset()
    starts.add(env.track.start.date())
    assert len(starts) > 3
    assert max(starts) < FIRST + timedelta(days=6)


def test_expectations_are_made_from_training_days(scenario: Scenario) -> None:
    world = World(scenario)
    stays, weight = sample_of_models(world).vehicles(60)
    assert weight == 1.0 / 6.0
    assert len(stays) == sum(len(track.sessions) for track in world.draw(0, 60, "train"))


def test_a_comparison_plays_the_test_days(folder: Path, scenario: Scenario, tmp_path: Path) -> None:
    by_option = compare("tiny", ["edf"], 1, out=tmp_path / "a", tracks=[folder], workers=1, report=False)
    by_key = compare(scenario, ["edf"], 30, out=tmp_path / "b", workers=1, report=False)
    assert [day.start[:10] for day in by_option.days] == ["2024-03-12", "2024-03-13"]
    assert by_option.days[0].bound == by_key.days[0].bound
    assert len(by_key.days) == 2
    one = compare(scenario, ["edf"], 1, out=tmp_path / "c", workers=1, report=False, split="validation")
    assert [day.start[:10] for day in one.days] in (["2024-03-10"], ["2024-03-11"])
    baseline = compare("tiny", ["edf"], 1, 0, tmp_path / "d", tracks=[folder], workers=1, report=False, baseline="best")
    assert "on 2 validation days" in baseline.baseline_reason


def test_a_scenario_names_its_folder(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: tiny\ntracks: {folder}\n")
    assert Setting.of(file).world.sample(0) in Setting.of("tiny").world.__class__(load_scenario(file)).draw(
        0, 6, "train"
    )
    file.write_text("extends: tiny\ntracks: nowhere\n")
    with pytest.raises(ScenarioError, match=r"mine.yaml:2.*tracks.*there is no folder .*nowhere"):
        load_scenario(file)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda days: None, "no folders train, validation, test"),
        (lambda days: (days / "test").mkdir(parents=True), "no folder train"),
    ],
)
def test_folders_that_are_not_parted_are_refused(
    spoil: Callable[[Path], None], message: str, tmp_path: Path, folder: Path
) -> None:
    days = tmp_path / "days"
    days.mkdir()
    spoil(days)
    if (days / "test").is_dir():
        (days / "test" / "day.json").write_bytes(next(folder.rglob("*.json")).read_bytes())
    with pytest.raises(TrackError, match=message):
        World(load_scenario("tiny").with_tracks(days))


def test_days_of_another_length_are_refused(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(f"extends: tiny\nhorizon: 48 h\ntracks: {folder}\n")
    with pytest.raises(TrackError, match=r"json: it has 24 steps of 1 h, an episode of scenario 'tiny' has 48 of 1 h"):
        World(load_scenario(file)).sample(0)


def test_borders_by_share_and_by_date() -> None:
    days = [FIRST + timedelta(days=k) for k in range(20)]
    assert shares_to_dates(days, 0.15, 0.15) == (days[14], days[17])
    with pytest.raises(TrackError, match="2 different days are too few"):
        shares_to_dates(days[:2], 0.15, 0.15)


def test_parting_loses_nothing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackError, match="has such folders already"):
        part_days(folder, folder, FIRST + timedelta(days=6), FIRST + timedelta(days=8))
    with pytest.raises(TrackError, match="no day is left for test: the tracks are from 2024-03-04 to 2024-03-13"):
        part_days(folder, tmp_path, FIRST + timedelta(days=6), FIRST + timedelta(days=20))
    with pytest.raises(TrackError, match="must begin after"):
        part_days(folder, tmp_path, FIRST, FIRST)
    assert not list(tmp_path.iterdir())
