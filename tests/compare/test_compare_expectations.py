"""Expectations on days that the models did not draw: what differs is told, and tracks can take the models' place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ev_marl.compare import compare
from ev_marl.compare.report import report_markdown
from ev_marl.compare.table import notes, prices_table
from ev_marl.env.setup import Setting
from ev_marl.planning.outlook.mismatch import DAYS, SEED, mismatches
from ev_marl.scenario import load_scenario, scenario_value
from ev_marl.world.seeds import day_seeds
from ev_marl.world.track import Track
from ev_marl.world.world import World


def sparser(track: Track) -> Track:
    """The same day with every second vehicle gone, and 5 kW of base load."""
    return track.replace(sessions=track.sessions[::2], base_load_kw=track.base_load_kw + 5.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six such days."""
    world = Setting.of("tiny").world
    for k, seed in enumerate(day_seeds(2, 6, "validation")):
        sparser(world.sample(seed)).save(tmp_path / "days" / f"{k}.parquet")
    return tmp_path / "days"


def test_days_of_the_models_are_as_expected() -> None:
    world = Setting.of("workplace").world
    for n in (1, 8):
        assert mismatches(world, [world.sample(seed) for seed in day_seeds(5, n, "test")]) == []


def test_what_differs_is_told_with_numbers(folder: Path) -> None:
    world = Setting.of("tiny").world
    tracks = [Track.load(file) for file in sorted(folder.iterdir())]
    found = mismatches(world, tracks)
    drawn = [world.sample(seed) for seed in range(200)]
    assert [line.partition(" ")[2].partition(",")[0] for line in found] == [
        "vehicles a day",
        "kWh due a day",
        "kW of base load",
    ]
    here, expected = (float(np.mean([len(t.sessions) for t in days])) for days in (tracks, drawn))
    told, unit, expectation = found[0].partition(" vehicles a day, ")
    assert float(told) == pytest.approx(here, abs=0.05)
    assert float(expectation.split()[0]) == pytest.approx(expected, rel=0.1)
    assert unit


def test_a_single_drawn_day_with_vehicles_says_nothing_of_their_stays() -> None:
    tiny = Setting.of("tiny")
    sessions = tiny.scenario.sessions.model_copy(update={"per_port_per_day": 0.005})
    world = World(tiny.scenario.model_copy(update={"sessions": sessions}))
    drawn = [world.sample(seed) for seed in day_seeds(SEED, DAYS, "train")]
    assert sum(len(track.sessions) > 0 for track in drawn) == 1
    assert not any("h of stay" in line for line in mismatches(world, [tiny.world.sample(1)]))


def halved_stays(track: Track) -> Track:
    sessions = track.sessions.copy()
    stay = sessions["departure_step"] - sessions["arrival_step"]
    sessions["departure_step"] = sessions["arrival_step"] + np.maximum(1, stay // 2)
    return track.replace(sessions=sessions)


def test_stays_prices_and_limits_that_differ_are_told() -> None:
    world = Setting.of("workplace").world
    tracks = [world.sample(seed) for seed in day_seeds(5, 8, "test")]
    edits = {
        "EUR/kWh": lambda track: track.replace(buy_per_kwh=4.0 * track.buy_per_kwh),
        "h of stay": halved_stays,
        "kW of import limits": lambda track: track.replace(import_limit_kw=0.5 * track.import_limit_kw),
    }
    for unit, edit in edits.items():
        assert any(f" {unit}, " in line for line in mismatches(world, [edit(track) for track in tracks])), unit


def test_a_comparison_warns_where_somebody_expects_what_the_models_say(folder: Path, tmp_path: Path) -> None:
    def run(name: str, scenario: object, policies: list[str]) -> str:
        return notes(compare(scenario, policies, out=tmp_path / name, tracks=[folder], workers=1))  # type: ignore[arg-type]

    assert "Warning: the tracks differ from the days" in run("mpc", "tiny", ["mpc"])
    assert "Warning" not in run("own", "tiny", ["best-response", "llf", "mpc-perfect"])
    assert "Warning" not in run("present", "tiny", ["mpc(outlook='present')"])
    of_tracks = scenario_value("outlook", {"tracks": str(folder)})
    scenario = load_scenario("tiny").model_copy(update={"outlook": of_tracks})
    assert "Warning" not in run("tracks", scenario, ["mpc"])


def test_not_knowing_is_what_the_best_without_foresight_loses(tmp_path: Path) -> None:
    run = compare("tiny", ["selfish", "llf", "mpc-perfect", "best-response"], 3, out=tmp_path / "run", workers=1)
    blind = max(("uncontrolled", "selfish", "llf", "best-response"), key=lambda name: run.returns(name).mean())
    row = next(line for line in prices_table(run).splitlines() if "not knowing" in line)
    assert f"| {blind} |" in row
    assert f"{(run.bound - run.returns(blind)).mean():,.2f}" in row
    assert row in report_markdown(run)
