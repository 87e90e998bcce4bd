"""Runs: one folder a run, resumed and extended, never overwritten; the same in one process and in several."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ev_marl.compare import Comparison, compare, rerun_day, workers
from ev_marl.compare import folder as run_folder
from ev_marl.compare.day import DayResult, Work
from ev_marl.compare.folder import MANIFEST, Manifest, RunFolder, day_path, finish_day
from ev_marl.compare.report import command_of
from ev_marl.compare.run import DEFAULT_POLICIES, default_folder
from ev_marl.policies.rules.simple import Idle
from ev_marl.scenario import load_scenario
from ev_marl.support.errors import OptionError, RunError, UnknownNameError
from ev_marl.world.seeds import day_seeds

POLICIES = ("edf", "best-response", "random")


class Fails(Idle):
    """A policy with a bug."""

    def act(self, view):  # type: ignore[no-untyped-def]
        raise ZeroDivisionError("a bug in the policy")


class Dies(Idle):
    """A policy that takes its process with it."""

    def act(self, view):  # type: ignore[no-untyped-def]
        os._exit(1)


def _plain(comparison: Comparison) -> list[dict[str, object]]:
    """Everything but timings."""
    days = []
    for day in comparison.days:
        content = day.model_dump(exclude={"solve_seconds"})
        for entry in content["policies"]:
            del entry["policy_ms"], entry["simulator_ms"]
        days.append(content)
    return days


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Four days in one go, in this process."""
    return compare("tiny", POLICIES, 4, out=tmp_path_factory.mktemp("whole") / "run", workers=1)


def test_two_processes_give_the_same_results(
    whole: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "START_SECONDS", 0.0)
    parallel = compare("tiny", POLICIES, 4, out=tmp_path / "run", workers=2, report=False)
    assert _plain(parallel) == _plain(whole)


def test_every_policy_on_every_day_stays_below_the_bound(whole: Comparison) -> None:
    assert [day.seed for day in whole.days] == day_seeds(0, 4)
    for day in whole.days:
        assert [entry.policy for entry in day.policies] == ["optimum", "uncontrolled", *POLICIES]
        assert day.achieved == pytest.approx(day.bound, rel=1e-6)
        for entry in day.policies:
            assert entry.team_return <= day.bound + 1e-9 * max(1.0, abs(day.bound))
            assert sum(entry.costs.values()) == pytest.approx(-entry.team_return)


def test_table_is_sorted_and_consistent(whole: Comparison) -> None:
    rows = whole.table()
    assert rows[0].policy == "optimum"
    assert rows[0].information == "future"
    assert rows[0].score == pytest.approx(1.0, abs=1e-6)
    scores = np.array([row.score for row in rows[1:]])
    assert (np.diff(scores) <= 1e-12).all()  # policies that earn the same have scores that differ in the last digit
    uncontrolled = next(row for row in rows if row.policy == "uncontrolled")
    assert (uncontrolled.score, uncontrolled.score_low, uncontrolled.score_high) == (0.0, 0.0, 0.0)
    for row in rows:
        assert row.gap_per_day == pytest.approx(whole.bound.mean() + row.cost_per_day)
        assert row.net_kwh_per_day == row.charged_kwh_per_day - row.discharged_kwh_per_day
        assert 0.0 <= row.satisfaction_worst_tenth <= row.satisfaction <= 1.0
        assert row.days == 4


def test_a_run_is_extended_and_finished_days_are_not_repeated(whole: Comparison, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    compare("tiny", POLICIES, 2, out=folder, workers=1, report=False)
    before = [day_path(folder, index).stat().st_mtime_ns for index in range(2)]
    longer = compare("tiny", POLICIES, 4, out=folder, workers=1, report=False)
    assert [day_path(folder, index).stat().st_mtime_ns for index in range(2)] == before
    assert _plain(longer) == _plain(whole)
    assert len(compare("tiny", POLICIES, 3, out=folder, workers=1, report=False).days) == 3


def test_a_killed_run_goes_on_to_the_same_results(whole: Comparison, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    script = f"from ev_marl.compare import compare; compare('tiny', {POLICIES}, 400, out={str(folder)!r}, workers=1)"
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        while not day_path(folder, 1).exists():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    for left in (folder / "days").glob("*.json"):
        DayResult.model_validate_json(left.read_bytes())
    assert _plain(compare("tiny", POLICIES, 4, out=folder, workers=1)) == _plain(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for other processes")
def test_ctrl_c_keeps_finished_days_and_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "ev_marl", "compare", "tiny", "--days", "5000", "--workers", "2", "--out", folder]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not day_path(folder, 2).exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    message = process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert "days are finished and kept" in message
    assert "The same command goes on" in message
    assert "Traceback" not in message
    count = len(list((folder / "days").iterdir()))
    time.sleep(0.3)
    assert len(list((folder / "days").iterdir())) == count  # nobody works any more
    assert all(path.suffix == ".json" for path in (folder / "days").glob("day*"))


def test_a_folder_of_another_run_is_left_alone(whole: Comparison) -> None:
    files = {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"belongs to another run(?s:.*)seed: 0 there, 1 here(?s:.*)--out"):
        compare("tiny", POLICIES, 4, seed=1, out=whole.folder)
    with pytest.raises(
        RunError, match="policies: uncontrolled, edf, best-response, random there, uncontrolled, llf here"
    ):
        compare("tiny", ["llf"], 4, out=whole.folder)
    with pytest.raises(RunError, match=r"scenario\.coordinator"):
        compare("tiny", POLICIES, 4, out=whole.folder, coordinator="proportional")
    assert {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()} == files


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not overwrite")
    with pytest.raises(RunError, match=f"holds files but is not the folder of a run.*{MANIFEST}"):
        compare("tiny", POLICIES, 1, out=tmp_path)
    with pytest.raises(RunError, match="is a file"):
        compare("tiny", POLICIES, 1, out=tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_manifest_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(RunError, match="not the manifest of a run"):
        compare("tiny", POLICIES, 1, out=tmp_path)


def test_broken_and_foreign_day_files_are_errors(whole: Comparison, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", whole.manifest)
    seeds = day_seeds(0, 1)
    day_path(folder.path, 0).write_text('{"index": 0')
    with pytest.raises(RunError, match="is broken: delete it"):
        folder.read(seeds)
    day_path(folder.path, 0).write_text(whole.days[1].model_dump_json())
    with pytest.raises(RunError, match="holds day 1"):
        folder.read(seeds)
    day_path(folder.path, 0).unlink()
    with pytest.raises(RunError, match="is gone"):
        folder.read(seeds)


def test_a_day_survives_its_file_bit_for_bit(whole: Comparison) -> None:
    day = whole.days[0]
    strange = day.policies[0].model_copy(update={"fairness": float("nan"), "peak_kw": 0.1 + 0.2})
    kept = day.model_copy(update={"policies": (strange, *day.policies[1:]), "limit_kw": ((float("inf"),),)})
    read = DayResult.model_validate_json(kept.model_dump_json())
    assert np.isnan(read.policies[0].fairness)
    assert (read.policies[0].peak_kw, read.limit_kw) == (0.1 + 0.2, ((float("inf"),),))
    assert read.policies[1:] == day.policies[1:]


def test_the_default_folder_is_the_runs_own(whole: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = compare("tiny", ["edf"], 1, workers=1, report=False)
    second = compare("tiny", ["edf"], 1, seed=1, workers=1, report=False)
    assert first.folder.parts[0] == "runs"
    assert first.folder.name.startswith("tiny-")
    assert first.folder != second.folder
    assert default_folder(first.manifest) == first.folder


def test_a_changed_data_file_is_another_run(tmp_path: Path) -> None:
    table = tmp_path / "limit.csv"
    table.write_text("kw\n" + "11\n" * 24)
    tiny = load_scenario("tiny").model_dump(mode="json")
    tiny["site"]["import_limit"] = {"csv": str(table)}
    scenario = type(load_scenario("tiny")).model_validate(tiny)
    before = Manifest.of(scenario, ("uncontrolled",), 0)
    assert compare(scenario, [], 1, out=tmp_path / "first", workers=1, report=False).manifest.files == before.files
    table.write_text("kw\n" + "12\n" * 24)
    with pytest.raises(RunError, match="files"):
        RunFolder(RunFolder(tmp_path / "run", before).path, Manifest.of(scenario, ("uncontrolled",), 0))


def test_a_day_that_fails_is_named_and_can_be_repeated(tmp_path: Path) -> None:
    with pytest.raises(
        RunError,
        match=rf"day 0 \(seed {day_seeds(0, 1)[0]}\) failed: ZeroDivisionError: a bug(.*\n)+.*, 0, trust=True\)",
    ):
        compare("tiny", [f"{__name__}:Fails"], 3, out=tmp_path / "run", workers=1)
    with pytest.raises(ZeroDivisionError):
        rerun_day(tmp_path / "run", 0, trust=True)


def test_a_failing_day_in_another_process_is_named(whole: Comparison, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", whole.manifest)
    broken = Work(whole.manifest.work(trust=True, trust_policies=True).scenario, ("no-such-policy",))
    with pytest.raises(RunError, match=r"day [12] .* failed: UnknownNameError"):
        workers._run_parallel(partial(finish_day, folder.path, broken), [(1, 5), (2, 6)], 1, lambda: None)


def test_a_worker_that_dies_is_an_error(whole: Comparison, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", whole.manifest)
    deadly = Work(
        whole.manifest.work(trust=True, trust_policies=True).scenario, (f"{__name__}:Dies",), policies_trusted=True
    )
    with pytest.raises(RunError, match="ended unexpectedly"):
        workers._run_parallel(partial(finish_day, folder.path, deadly), [(1, 5)], 1, lambda: None)


def test_stopping_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_day = run_folder.run_day

    def interrupted(work: Work, index: int, seed: int) -> DayResult:
        if index == 2:
            raise KeyboardInterrupt
        return run_day(work, index, seed)

    monkeypatch.setattr(run_folder, "run_day", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"2 of 4 days are finished and kept in .* goes on from there"):
        compare("tiny", ["edf"], 4, out=tmp_path / "run", workers=1)


def test_rerun_gives_the_day(whole: Comparison) -> None:
    again = rerun_day(whole.folder, 2)
    assert again.of("random").team_return == whole.days[2].of("random").team_return
    with pytest.raises(RunError, match="not the folder of a run"):
        rerun_day(whole.folder / "days", 0)


def test_mistakes_show_before_anything_is_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UnknownNameError, match="Did you mean 'edf'"):
        compare("tiny", ["edff"], 1, out=folder)
    with pytest.raises(OptionError, match="plan"):
        compare("tiny", ["plan"], 1, out=folder)
    with pytest.raises(UnknownNameError, match="no coordinator is called 'neerest'"):
        compare("tiny", ["edf"], 1, out=folder, coordinator="neerest")
    with pytest.raises(RunError, match="at least one day"):
        compare("tiny", ["edf"], 0, out=folder)
    with pytest.raises(RunError, match="at least one worker"):
        compare("tiny", ["edf"], 1, out=folder, workers=0)
    assert not folder.exists()


def test_coordinator_and_split_can_be_chosen(tmp_path: Path) -> None:
    run = compare(
        "tiny",
        ["edf"],
        1,
        out=tmp_path / "run",
        coordinator="proportional",
        split="validation",
        workers=1,
        report=False,
    )
    assert [day.seed for day in run.days] == day_seeds(0, 1, "validation")
    assert command_of(run).endswith("--coordinator proportional --split validation")
    assert run.scenario.coordinator.name == "proportional"  # type: ignore[union-attr]


def test_policies_run_once_each_with_uncontrolled(tmp_path: Path) -> None:
    run = compare("tiny", ["edf", "optimum", "edf"], 1, out=tmp_path / "run", workers=1, report=False)
    assert run.manifest.policies == ("uncontrolled", "edf")
    assert "uncontrolled" in DEFAULT_POLICIES


def test_results_per_day_are_complete(whole: Comparison) -> None:
    table = pq.read_table(whole.folder / "results.parquet")
    assert table.num_rows == 4 * (2 + len(POLICIES))
    rows = table.to_pylist()
    for row in rows:
        assert row["gap"] == pytest.approx(row["bound"] - row["team_return"])
        assert row["seed"] == whole.days[row["day"]].seed
    summary = {row.policy: row for row in whole.table()}
    edf = [row for row in rows if row["policy"] == "edf"]
    assert np.mean([row["cost"] for row in edf]) == pytest.approx(summary["edf"].cost_per_day)
    manifest = json.loads((whole.folder / MANIFEST).read_text())
    assert manifest["versions"]["numpy"] == np.__version__
