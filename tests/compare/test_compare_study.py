"""A study: its file is checked like a scenario, its cases go on where they stopped, its tables agree with the runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ev_marl.cli import app
from ev_marl.compare import report, study_report, studying, tuning
from ev_marl.compare.study import load_study
from ev_marl.compare.study_report import gains_table, scores_table, study_markdown, write_study
from ev_marl.compare.studying import StudyResult, run_study
from ev_marl.policies import BestResponse
from ev_marl.policies import make as learned_spec
from ev_marl.scenario import ScenarioError

STUDY = """name: small
about: Two coordinators.
days: 3
validation_days: 4
tuning_days: 2
policies: [edf, best-response]
tune: [price-threshold]
cases:
  - scenario: tiny
    coordinator: nearest
    policies: [llf]
    learned: {team: "rllib:results/team"}
  - scenario: tiny
    coordinator: proportional
    learned: {team: "rllib:results/team/seed_1"}
"""


class Trained(BestResponse):
    """Stands for what a training leaves: a constant in a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(trust=json.loads((folder / "policy.json").read_text())["trust"])


def _quick(patch: pytest.MonkeyPatch) -> None:
    """The stand-in for learned policies, a short search for constants, and no pictures of single cases."""
    patch.setattr(learned_spec, "load_policy", Trained)
    patch.setattr(tuning, "GRID_POINTS", 4)
    patch.setattr(tuning, "SMALLEST_STEP", 1.0 / 8.0)
    patch.setattr(report, "draw_report", lambda comparison: b"")


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    _quick(monkeypatch)


def _folder(folder: Path) -> Path:
    for seed, trust in ((0, 0.9), (1, 0.5)):
        (folder / "results" / "team" / f"seed_{seed}").mkdir(parents=True)
        (folder / "results" / "team" / f"seed_{seed}" / "policy.json").write_text(json.dumps({"trust": trust}))
    (folder / "study.yaml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    """The study, run."""
    folder = _folder(tmp_path_factory.mktemp("study"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _quick(patch)
        result = run_study(load_study("study.yaml"), folder / "out", workers=1)
    write_study(result)
    return result


def test_every_case_has_its_policies(done: StudyResult) -> None:
    first, second = done.cases
    assert (first.name, second.name) == ("tiny, nearest", "tiny, proportional")
    names = {"uncontrolled", "edf", "best-response", "price-threshold, tuned", "team"}
    assert set(first.summaries()) == {*names, "llf"}
    assert set(second.summaries()) == names
    assert first.summaries()["team"].seeds == 2
    assert second.summaries()["team"].seeds == 1
    assert second.comparison.scenario.coordinator.name == "proportional"  # type: ignore[union-attr]
    for case in done.cases:
        assert case.rows["price-threshold, tuned"] == done.tuned[case.name]["price-threshold"]
        assert case.baseline in case.rows
        assert "on 4 validation days" in case.comparison.baseline_reason


def test_tables_and_files_agree_with_the_runs(done: StudyResult) -> None:
    text = scores_table(done)
    assert len(text.splitlines()) == 2 + 6 + 1  # the policies and the optimum
    assert next(line for line in text.splitlines() if line.startswith("| llf")).endswith("|  |")
    gains = gains_table(done).splitlines()
    assert len(gains) == 2 + 2
    difference = done.cases[0].differences()["team"]
    first = done.cases[0].comparison
    expected = first.runs("rllib:results/team").mean() - first.returns(first.baseline).mean()
    assert difference.per_day == pytest.approx(expected)
    days = pq.read_table(done.folder / study_report.RESULTS).to_pylist()
    assert {row["case"] for row in days} == {"tiny, nearest", "tiny, proportional"}
    assert sum(row["trained_as"] == "rllib:results/team" for row in days) == 2 * 3
    rows = list(csv.DictReader(io.StringIO((done.folder / study_report.SUMMARY).read_text())))
    of = {(row["case"], row["policy"]): float(row["score"]) for row in rows}
    assert of["tiny, nearest", "edf"] == done.cases[0].summaries()["edf"].score
    text = study_markdown(done)
    assert "earns most on 4 validation days" in text
    assert done.tuned["tiny, nearest"]["price-threshold"] in text
    for case in done.cases:
        assert (done.folder / "runs" / case.comparison.folder.name / "report.md").is_file()
    assert (done.folder / study_report.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_what_was_run_is_only_read(done: StudyResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.folder.parent)
    monkeypatch.setattr(studying, "tune", None)  # would fail if it were called
    monkeypatch.setattr("ev_marl.compare.day.solve_day", None)
    again = run_study(load_study("study.yaml"), done.folder, workers=1)
    assert again.tuned == done.tuned
    for before, after in zip(done.cases, again.cases, strict=True):
        assert before.comparison.folder == after.comparison.folder
        np.testing.assert_array_equal(before.comparison.bound, after.comparison.bound)
    assert len(run_study(load_study("study.yaml"), done.folder, days=1, workers=1).cases[0].comparison.days) == 1


def test_faults_have_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_folder(tmp_path))
    text = STUDY.replace("policies: [edf,", "policies: [eddf,").replace("results/team/seed_1", "results/nothing")
    text = text.replace("tune: [price-threshold]", "tune: [llf]\nbaseline: edf")
    text = text.replace("coordinator: proportional", "coordinator: neerest").replace('rllib:results/team"', 'edf"')
    Path("wrong.yaml").write_text(text)
    with pytest.raises(ScenarioError) as error:
        load_study("wrong.yaml")
    told = [str(problem) for problem in error.value.problems]
    for start in (
        "wrong.yaml:6: policies[0]: no policy is called 'eddf'",
        "wrong.yaml:7: tune[0]: policy 'llf' does not say what can be tuned",
        "wrong.yaml:8: baseline: found 'edf'; expected best, or one of uncontrolled, eddf",
        "wrong.yaml:13: cases[0].learned.team: found 'edf'; expected rllib:PATH or central:PATH",
        "wrong.yaml:15: cases[1].coordinator: no coordinator is called 'neerest'",
        "wrong.yaml:16: cases[1].learned.team: policy 'rllib:results/nothing': there is no folder",
    ):
        assert any(line.startswith(start) for line in told), (start, told)
    Path("wrong.yaml").write_text(STUDY.replace("days: 3", "days: 0").replace("proportional", "nearest"))
    with pytest.raises(ScenarioError, match=r"wrong.yaml:3: days: found 0; expected 1 or more"):
        load_study("wrong.yaml")
    Path("wrong.yaml").write_text(STUDY.replace("proportional", "nearest"))
    with pytest.raises(ScenarioError, match=r"cases: two cases are called 'tiny, nearest'"):
        load_study("wrong.yaml")


def test_the_command(done: StudyResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.folder.parent)
    monkeypatch.setattr(study_report, "draw_study", lambda result: b"")
    asked = ["study", "study.yaml", "--out", str(done.folder), "--workers", "1"]
    plain = CliRunner().invoke(app, asked)
    assert plain.exit_code == 0, plain.output
    assert "price-threshold, tuned" in plain.stdout
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert [case["case"] for case in found["cases"]] == ["tiny, nearest", "tiny, proportional"]
    assert found["cases"][0]["differences"]["team"]["points"] == done.cases[0].differences()["team"].points
