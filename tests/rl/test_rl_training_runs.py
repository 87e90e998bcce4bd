"""`ev-marl train` in processes of its own: same numbers every time, also after a kill; what it says and refuses."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ev_marl.cli import app, train
from ev_marl.policies.make import read_learned
from ev_marl.rl import restart
from ev_marl.rl.training_folder import SeedFolder

OPTIONS = ["ippo", "--scenario", "tiny", "--seed", "0", "--set", "validation={days: 2, every: 2}"]
PATIENCE_S = 300.0
SMALL = ["--set", "sampling.envs=2", "--set", "neural_network.hidden=[8]", "--set", "checkpoint_minutes=0"]


def command(out: Path, iterations: int, *more: str) -> list[str]:
    stop = f"stop={{iterations: {iterations}, days: null}}"
    return [sys.executable, "-m", "ev_marl", "train", *OPTIONS, *SMALL, "--set", stop, "--out", str(out), *more]


def environment() -> dict[str, str]:
    """As from a shell that has set nothing."""
    mine = ("PYTHONHASHSEED", *restart.THREADS)
    return {name: value for name, value in os.environ.items() if name not in mine}


def process(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, env=environment(), capture_output=True, text=True)


def without_time(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_killed_training_ends_as_one_that_was_not(ray_running: None, tmp_path: Path) -> None:
    """One process is killed and goes on in another, on a cluster; a third does everything on a Ray of its own."""
    ray = pytest.importorskip("ray")
    cluster = ["--ray", ray.get_runtime_context().gcs_address]
    out, whole = tmp_path / "killed", tmp_path / "whole"
    begun = subprocess.Popen(
        command(out, 1_000_000, *cluster), env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not list(out.glob("seed_0/checkpoint-*/training.json")):
            assert begun.poll() is None, begun.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
    finally:
        begun.send_signal(signal.SIGKILL)
        begun.communicate()

    checkpoint = SeedFolder(out / "seed_0").checkpoint
    assert checkpoint is not None
    iteration = int(json.loads((checkpoint / "training.json").read_text())["iteration"])
    ended = process(command(out, iteration + 3, *cluster))
    assert ended.returncode == 0, ended.stderr
    assert f"continues after iteration {iteration} " in ended.stderr
    straight = process(command(whole, iteration + 3, "--json"))
    assert straight.returncode == 0, straight.stderr

    rows = without_time(out / "seed_0")
    assert rows == without_time(whole / "seed_0")
    assert [int(row["iteration"]) for row in rows] == list(range(iteration + 4))
    assert len({row["return"] for row in rows}) == len(rows)  # every day is another
    for name in (".", "last"):
        mine, other = (np.load(folder / "seed_0" / name / "weights.npz") for folder in (out, whole))
        assert mine.files == other.files
        assert all(np.array_equal(mine[key], other[key]) for key in mine.files)

    assert "WARNING" not in straight.stderr
    assert "Warning" not in straight.stderr
    assert f"--policies best-response,rllib:{whole} " in straight.stderr
    assert re.search(rf"0 +{2 * iteration + 6} .*%", ended.stdout)
    (result,) = json.loads(straight.stdout)
    assert (result["seed"], result["days"], result["finished_before"]) == (0, 2 * iteration + 6, False)
    spec = read_learned(f"rllib:{out}")
    assert spec is not None
    assert [str(seed) for seed in spec.seeds()] == [f"rllib:{out}/seed_0"]


def test_progress_tells_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "LINE_SECONDS", -1.0)
    step = SimpleNamespace(
        seed=3, iteration=5, days=160, seconds=60.0, team_return=-71.5, score=0.5, best_score=0.625, done=0.25
    )
    train._in_lines()(step)  # type: ignore[arg-type]
    said = " ".join(capsys.readouterr().err.splitlines())
    assert "seed 3  iteration 5  160 days  2.7 days/s  return -71.50  score 50.0 %  best 62.5 %" in said
    assert "60 s, about 180 s left" in said


def test_the_environment_is_made_reproducible_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONHASHSEED", *restart.THREADS):
        monkeypatch.delenv(name, raising=False)
    started: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *arguments: started.append(arguments))
    restart.restart_reproducibly()
    ((program, arguments, given),) = started
    assert program == sys.executable
    assert arguments[1:] == sys.orig_argv[1:]
    assert (given["PYTHONHASHSEED"], given["OMP_NUM_THREADS"]) == ("0", "1")
    for name, value in restart.missing_environment().items():
        monkeypatch.setenv(name, value)
    restart.restart_reproducibly()
    assert len(started) == 1


def test_chosen_threads_and_hash_seeds_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert not {"OMP_NUM_THREADS", "PYTHONHASHSEED"} & set(restart.missing_environment())
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    assert restart.missing_environment()["PYTHONHASHSEED"] == "0"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "160", "TERM": "dumb"})


def test_faults_are_told_without_a_traceback(tmp_path: Path) -> None:
    wrong = run("ippo", "--scenario", "tiny", "--set", "ppo.epoch=3", "--set", "agents=shard", "--out", tmp_path / "x")
    assert wrong.exit_code == 1
    assert "ppo.epoch: unknown key. Did you mean 'epochs'?" in wrong.stderr
    assert "agents: found 'shard'. Did you mean 'shared'?" in wrong.stderr
    assert "Did you mean 'tiny'" in run("ippo", "--scenario", "tinny").stderr
    assert not (tmp_path / "x").exists()


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else find("json"))
    result = run("ippo", "--scenario", "tiny")
    assert result.exit_code == 1
    assert 'training needs ray: pip install "ev-marl[rllib]"' in result.stderr
    assert "install the CPU build of torch first" in result.stderr
