"""Everything that a run reads travels with it: on a machine without the files, days come out the same."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ev_marl.compare import bundle
from ev_marl.compare.bundle import Bundle
from ev_marl.compare.day import Work, run_day
from ev_marl.compare.folder import Manifest
from ev_marl.env.setup import Setting
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.face import TrainingFace
from ev_marl.scenario import load_scenario
from ev_marl.support.errors import RunError

OWN = """
from {package}.shares import SHARE

class Gentle:
    name = "gentle"
    information = "own"

    def reset(self, episode):
        pass

    def act(self, view):
        return view.hi_kw * SHARE
"""
THERE = """
import pickle, sys

bundle, index, seed, times = pickle.load(sys.stdin.buffer)

from ev_marl.compare.day import run_day
from ev_marl.compare.bundle import unpacked

work = unpacked(bundle)
assert unpacked(pickle.loads(pickle.dumps(bundle))) is work
print(run_day(work, index, seed).model_dump_json(exclude=times))
"""
TIMES = {"solve_seconds": True, "policies": {"__all__": {"policy_ms", "simulator_ms"}}}


def _work(folder: Path, package: str, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A run that needs a data file, a learned policy, own code and a track file, all from one folder."""
    (folder / package).mkdir(parents=True)
    (folder / package / "shares.py").write_text("SHARE = 0.3\n")
    (folder / package / "gentle.py").write_text(OWN.format(package=package))
    monkeypatch.syspath_prepend(folder)
    (folder / "limit.csv").write_text("kw\n" + "\n".join(["9", "14"] * 12) + "\n")
    (folder / "mine.yaml").write_text(
        "extends: tiny\nname: mine\nsite: {import_limit: {csv: limit.csv, column: kw}}\noutlook: {tracks: others}\n"
    )
    for seed in (5, 6):
        Setting.of("tiny").world.sample(seed).save(folder / "others" / f"{seed}.json")
    scenario = load_scenario(folder / "mine.yaml")
    learned = folder / "results" / "ippo"
    learned.mkdir(parents=True)
    description = TrainingFace(TrainingConfig(name="ippo"), scenario, 1, 0).description()
    (learned / "policy.json").write_text(description.model_dump_json())
    rng = np.random.default_rng(0)
    sizes = (len(description.labels), 8, description.n_actions)
    arrays = {}
    for layer, (n, m) in enumerate(pairwise(sizes)):
        arrays[f"station.{layer}.weight"] = rng.normal(size=(m, n)).astype(np.float32)
        arrays[f"station.{layer}.bias"] = np.zeros(m, dtype=np.float32)
    np.savez(learned / "weights.npz", **arrays)  # type: ignore[arg-type]
    Setting.of(scenario).world.sample(4).save(folder / "day.parquet")
    policies = ("edf", "selfish", "dual-prices", f"{package}.gentle:Gentle", f"rllib:{learned}")
    return Manifest.of(scenario, policies, seed=0, tracks=[folder / "day.parquet"]).work(
        trust=True, trust_policies=True
    )


def test_a_day_elsewhere_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere: another process, after the folder is gone."""
    folder = tmp_path / "here"
    work = _work(folder, "own_elsewhere", monkeypatch)
    packed = Bundle.of(work)
    ((seed, _),) = work.track_files
    expected = run_day(work, 0, seed)
    assert expected.of("own_elsewhere.gentle:Gentle").team_return != expected.of("edf").team_return
    shutil.rmtree(folder)
    done = subprocess.run(
        [sys.executable, "-c", THERE],
        cwd=tmp_path,
        input=pickle.dumps((packed, 0, seed, TIMES)),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == expected.model_dump_json(exclude=TIMES)


def test_what_is_in_the_luggage_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = _work(tmp_path, "own_edited", monkeypatch)
    before = Bundle.of(work)
    assert Bundle.of(work) == before
    (tmp_path / "own_edited" / "shares.py").write_text("SHARE = 0.6\n")
    assert Bundle.of(work) != before
    assert not any("own" in name for name in Bundle.of(Work(work.scenario, ("edf",))).files)


def test_large_packages_are_not_sent_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = _work(tmp_path, "own_large", monkeypatch)
    (tmp_path / "own_large" / "data.bin").write_bytes(bytes(2_000_000))
    monkeypatch.setattr(bundle, "LARGEST_PACKAGE_MB", 1.5)
    with pytest.raises(RunError, match=r"own_large holds more than 1\.5 MB"):
        Bundle.of(work)
