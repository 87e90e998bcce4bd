"""A comparison on track files: the days are those of the files, another content is another run."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ev_marl.cli import app
from ev_marl.compare import compare, rerun_day
from ev_marl.compare.report import command_of, report_markdown
from ev_marl.env.setup import Setting
from ev_marl.support.errors import RunError, TrackError
from ev_marl.world.track import Track


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Three drawn days as files."""
    folder = tmp_path / "days"
    folder.mkdir()
    world = Setting.of("tiny").world
    for seed, name in ((4, "b.json"), (5, "a.parquet"), (6, "c.json")):
        world.sample(seed).save(folder / name)
    return folder


def test_the_days_are_those_of_the_files(days: Path, tmp_path: Path) -> None:
    run = compare("tiny", ["edf"], out=tmp_path / "run", tracks=[days], workers=1, baseline="edf")
    assert len(run.days) == 3
    assert [Path(file).name for file in run.manifest.track_files] == ["a.parquet", "b.json", "c.json"]
    first = Track.load(days / "a.parquet")
    assert run.days[0].sessions == len(first.sessions)
    assert run.days[0].start == first.start.isoformat()
    assert rerun_day(run.folder, 1).of("edf").team_return == run.days[1].of("edf").team_return
    assert command_of(run).count("--tracks") == 3
    assert "The days are track files" in report_markdown(run)
    again = compare("tiny", ["edf"], out=tmp_path / "run", tracks=sorted(days.iterdir()), workers=1)
    assert [day.bound for day in again.days] == [day.bound for day in run.days]
    (days / "c.json").unlink()
    Setting.of("tiny").world.sample(9).save(days / "c.json")
    with pytest.raises(RunError, match=r"belongs to another run(?s:.*)tracks\[2\]"):
        compare("tiny", ["edf"], out=tmp_path / "run", tracks=[days], workers=1)


def test_days_that_do_not_go_together(days: Path, tmp_path: Path) -> None:
    def run(*tracks: Path) -> None:
        compare("tiny", ["edf"], out=tmp_path / "run", tracks=tracks, workers=1)

    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TrackError, match=r"no track files \(.json, .parquet\) in"):
        run(empty)
    Track.load(days / "a.parquet").save(tmp_path / "copy.parquet")
    with pytest.raises(RunError, match="are the same day"):
        run(days, days / "a.parquet")
    site = Setting.of("tiny").site
    Track.build(site, n_steps=5, step_h=1.0).save(tmp_path / "short.json")
    with pytest.raises(RunError, match=r"equally long: .* has 24 steps of 60 min, .*short\.json has 5 steps"):
        run(days, tmp_path / "short.json")
    Setting.of("residential-v2g").world.sample(0).save(tmp_path / "other.json")
    with pytest.raises(TrackError):
        run(tmp_path / "other.json")
    dollars = tmp_path / "dollars.json"
    Setting.of("tiny").world.sample(0).replace(currency="USD").save(dollars)
    with pytest.raises(TrackError, match=r"dollars\.json: (?s:.*)in USD, the scenario counts in EUR"):
        run(dollars)
    assert not (tmp_path / "run").exists()


def test_the_command(days: Path, tmp_path: Path) -> None:
    asked = ["compare", "tiny", "--policies", "edf", "--out", str(tmp_path / "run"), "--workers", "1"]
    found = CliRunner().invoke(app, [*asked, "--tracks", str(days / "b.json"), "--tracks", str(days / "c.json")])
    assert found.exit_code == 0, found.output
    assert "tiny: 2 days" in found.stdout
