"""Whoever opens a stranger's file runs none of its code: every module:Class goes through one door."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ev_marl
from ev_marl.checks import checked_setting
from ev_marl.compare import compare, rerun_day
from ev_marl.compare.study import load_study
from ev_marl.env.setup import Setting
from ev_marl.planning.outlook import make_outlook
from ev_marl.policies import make_policy, rollout
from ev_marl.rl.config import load_training
from ev_marl.scenario import ScenarioError, load_scenario, scenario_from_dict
from ev_marl.scenario.problems import key_text
from ev_marl.support.errors import EvMarlError, OptionError, TrustError
from ev_marl.world import World

EVIL = "from pathlib import Path\nPath(__file__).with_name('harm').touch()\n\n\nclass Own:\n    pass\n"
# what a file says, and the key that names code
PLACES = {
    "coordinator": ("coordinator: 'evil:Own'", "coordinator"),
    "coordinator with options": ("coordinator: {name: 'evil:Own', options: {cmd: ls}}", "coordinator"),
    "term": ("objective: {extra: {'evil:Own': {}}}", "objective.extra.evil:Own"),
    "block": ("observation: [clock, 'evil:Own']", "observation[1]"),
    "block with options": ("observation: [{block: 'evil:Own', options: {x: 1}}]", "observation[0]"),
    "sessions": ("sessions: {model: 'evil:Own'}", "sessions.model"),
    "policies": ("policies: [llf, 'evil:Own(x=1)']", "policies[1]"),
}


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """A module `evil` in the current folder; whether it was imported."""
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    return (tmp_path / "harm").exists


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command's entry point, called as its console script does: without the folder on the path."""
    code = "import sys; from ev_marl.cli import main; sys.argv[0] = 'ev-marl'; main()"
    command = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", PLACES)
def test_a_scenario_runs_nothing_that_nobody_agreed_to(case: str, tmp_path: Path, evil: Callable[[], bool]) -> None:
    text, key = PLACES[case]
    file = tmp_path / "theirs.yaml"
    file.write_text(f"extends: tiny\nabout: 'evil:Own'\n{text}\n")
    scenario = load_scenario(file)
    assert [name for _, name in scenario.own_code()] == ["evil:Own"]
    calls: list[Callable[[], Any]] = [
        lambda: Setting.of(file),
        lambda: World(scenario),
        lambda: ev_marl.parallel_env(file),
        lambda: ev_marl.central_env(file),
        lambda: ev_marl.BatchedEnv(file, 2),
        lambda: ev_marl.env(scenario),
        lambda: compare(file, days=1, out=tmp_path / "run", workers=1),
        lambda: compare(scenario, ["llf"], days=1, coordinator="nearest", out=tmp_path / "run", workers=1),
    ]
    for call in calls:
        with pytest.raises(ScenarioError) as caught:
            call()
        assert [(problem.line, problem.key) for problem in caught.value.problems] == [(3, key)]
        assert "'evil:Own' is custom code" in str(caught.value)
    assert not evil()

    def agreed() -> None:
        ev_marl.parallel_env(file, trust=True)
        compare(file, days=1, out=tmp_path / "run", workers=1, trust=True)

    with pytest.raises(EvMarlError):  # it is run, and is no such thing
        agreed()
    assert evil()


def test_check_and_describe_name_code_and_run_none(tmp_path: Path, evil: Callable[[], bool]) -> None:
    text = "\n".join(PLACES[case][0] for case in ("coordinator", "term", "block", "sessions", "policies"))
    (tmp_path / "theirs.yaml").write_text(f"extends: tiny\n{text}\n")
    checked = run(tmp_path, "check", "theirs.yaml")
    assert checked.returncode == 1
    assert [line.count("'evil:Own' is custom code") for line in checked.stderr.splitlines()] == [1] * 5
    described = run(tmp_path, "describe", "theirs.yaml")
    assert described.returncode == 0, described.stderr
    assert described.stdout.count("is custom code") == 5
    for command in ("solve", "compare"):
        assert run(tmp_path, command, "theirs.yaml").returncode == 1
    assert not evil()
    assert run(tmp_path, "check", "--trust", "theirs.yaml").returncode == 1  # it is no coordinator
    assert evil()


def test_free_text_is_no_code(tmp_path: Path, evil: Callable[[], bool]) -> None:
    said = load_scenario("tiny").model_dump(mode="json", exclude_unset=True)
    scenario = scenario_from_dict({**said, "about": "evil:Own", "vehicles": {"mix": "eu"}})
    assert scenario.own_code() == []
    compare(scenario, ["llf"], days=1, out=tmp_path / "run", workers=1, report=False)
    assert not evil()


def test_a_local_file_takes_no_modules_place(tmp_path: Path) -> None:
    for name in ("queue", "random", "highspy", "pyomo", "gurobipy", "numba"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('harm')\n")
    solved = run(tmp_path, "solve", "tiny", "--json")
    assert solved.returncode == 0, solved.stderr
    assert json.loads(solved.stdout)["exact"]


def test_training_files(tmp_path: Path, evil: Callable[[], bool]) -> None:
    (tmp_path / "theirs.yaml").write_text(
        "extends: ippo\nname: theirs\ncoordinator: 'evil:Own'\nobservation: [clock, {block: 'evil:Own'}]\n"
    )
    config = load_training(tmp_path / "theirs.yaml")
    with pytest.raises(ScenarioError) as caught:
        config.check_trust()
    assert [problem.line for problem in caught.value.problems] == [3, 4]
    load_training(tmp_path / "theirs.yaml", trust=True).check_trust()
    assert not evil()


def test_study_files(tmp_path: Path, evil: Callable[[], bool]) -> None:
    (tmp_path / "scenario.yaml").write_text("extends: tiny\ncoordinator: 'evil:Own'\n")
    (tmp_path / "study.yaml").write_text(
        "name: theirs\npolicies: [llf, 'evil:Own']\ntune: ['evil:Own']\n"
        "cases:\n  - {scenario: tiny, coordinator: 'evil:Own', policies: ['evil:Own']}\n"
    )
    with pytest.raises(ScenarioError) as caught:
        load_study(tmp_path / "study.yaml")
    assert sorted(problem.key for problem in caught.value.problems) == [
        "cases[0].coordinator",
        "cases[0].policies[0]",
        "policies[1]",
        "tune[0]",
    ]
    (tmp_path / "study.yaml").write_text("name: theirs\npolicies: [llf]\ncases:\n  - {scenario: scenario.yaml}\n")
    with pytest.raises(ScenarioError, match="is custom code"):
        load_study(tmp_path / "study.yaml")
    assert not evil()


def test_the_folder_of_a_run(tmp_path: Path, evil: Callable[[], bool]) -> None:
    done = compare("tiny", ["llf"], days=1, out=tmp_path / "run", workers=1, report=False)
    manifest = json.loads((done.folder / "manifest.json").read_text())
    manifest["policies"].append("evil:Own")
    (done.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TrustError, match="'evil:Own' is custom code"):
        rerun_day(done.folder, 0)
    manifest["policies"] = ["uncontrolled"]
    manifest["scenario"]["observation"] = ["evil:Own"]
    (done.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ScenarioError, match="'evil:Own' is custom code"):
        rerun_day(done.folder, 0)
    assert not evil()


def test_the_folder_of_a_learned_policy(tmp_path: Path, evil: Callable[[], bool]) -> None:
    results = Path(ev_marl.__path__[0]).parent / "training" / "results"
    source = min(results.glob("**/policy.json")).parent
    description = json.loads((source / "policy.json").read_text())
    description["observation"].append({"block": "evil:Own", "options": {}})
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.json").write_text(json.dumps(description))
    (tmp_path / "policy" / "weights.npz").write_bytes((source / "weights.npz").read_bytes())
    kind = "central" if description["agents"] == "central" else "rllib"
    setting = Setting.of(description["scenario"])
    track = setting.world.sample(0)
    policy = make_policy(f"{kind}:{tmp_path / 'policy'}")
    with pytest.raises(TrustError, match="'evil:Own' is custom code"):
        rollout(setting.simulator([track]), setting.objective, policy, [track], world=setting.world)
    assert not evil()


NESTED = {
    "in text": ("policies: [\"best-response(outlook='evil:Own')\"]", "policies[0]"),
    "by kind": ("policies: [llf, \"mpc(outlook={'prices': 'evil:Own'})\"]", "policies[1]"),
    "with options": ("policies: [\"dual-prices(outlook={'base_load': {'name': 'evil:Own'}})\"]", "policies[0]"),
    "as bytes": ("policies: [\"mpc(outlook={'name': b'evil:Own'})\"]", "policies[0]"),
    "of a coordinator": ("coordinator: {name: nearest, options: {inner: ['evil:Own']}}", "coordinator"),
    "of a block": ("observation: [{block: clock, options: {'evil:Own': 1}}]", "observation[0]"),
    "of an outlook": ("outlook: {prices: {name: forecast, options: {of: {name: 'evil:Own'}}}}", "outlook.prices"),
}


@pytest.mark.parametrize("case", NESTED)
def test_code_named_in_options_is_named_and_not_run(case: str, tmp_path: Path, evil: Callable[[], bool]) -> None:
    text, key = NESTED[case]
    file = tmp_path / "theirs.yaml"
    file.write_text(f"extends: tiny\n{text}\n")
    assert [(key_text(path), name) for path, name in load_scenario(file).own_code()] == [(key, "evil:Own")]
    for call in (checked_setting, Setting.of, partial(compare, days=1, out=tmp_path / "run", workers=1)):
        with pytest.raises(ScenarioError, match=r"'evil:Own' is custom code"):
            call(file)
    assert not evil()


def test_trust_goes_with_a_policy_into_its_options(evil: Callable[[], bool]) -> None:
    spec = "best-response(outlook='evil:Own')"
    with pytest.raises(TrustError, match="'evil:Own' in its options is custom code"):
        make_policy(spec, trust=False)
    with pytest.raises(TrustError, match="is custom code"):
        make_outlook({"prices": "evil:Own"}, trust=False)
    assert not evil()
    with pytest.raises(OptionError, match="outlook 'evil:Own' is not a valid outlook"):
        make_policy(spec)
    assert evil()


def test_options_in_a_study_and_in_a_run(tmp_path: Path, evil: Callable[[], bool]) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("name: theirs\npolicies: [\"best-response(outlook='evil:Own')\"]\ncases: [{scenario: tiny}]\n")
    with pytest.raises(ScenarioError, match=r"policies\[0\]: 'evil:Own' is custom code"):
        load_study(study)
    done = compare("tiny", ["llf"], days=1, out=tmp_path / "run", workers=1, report=False)
    manifest = json.loads((done.folder / "manifest.json").read_text())
    for change in ({"policies": ["mpc(outlook='evil:Own')"]}, {"places": {"llf": "evil:Own"}}):
        (done.folder / "manifest.json").write_text(json.dumps(manifest | change))
        with pytest.raises(TrustError, match="'evil:Own'"):
            rerun_day(done.folder, 0)
    assert not evil()


def test_python_m_does_not_look_into_the_current_folder(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    info = theirs / "evil-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: evil\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ev_marl.coordinators]\nnearest2 = evil:Own\n")
    for name in ("queue", "evil", "gymnasium", "typer"):
        (theirs / f"{name}.py").write_text(EVIL)
    (theirs / "s.yaml").write_text("extends: tiny\ncoordinator: nearest2\n")
    command = [sys.executable, "-m", "ev_marl", "check", "s.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(Path(ev_marl.__path__[0]).parent)}
    done = subprocess.run(command, cwd=theirs, env=environment, capture_output=True, text=True, check=False)
    assert "no coordinator is called 'nearest2'" in done.stderr
    assert not (theirs / "harm").exists()
