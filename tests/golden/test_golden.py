"""Every golden folder: the numbers that come out now are those of its file. Whatever can be named has a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden_case import Case, changes, folders, read_numbers, write_numbers
from golden_play import play

from ev_marl import load_scenario


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_numbers_are_those_of_the_file(folder: Path) -> None:
    case = Case.read(folder)
    if load_scenario(case.scenario_path).grid is not None:
        pytest.importorskip("pandapower")
        pytest.importorskip("lightsim2grid")
    found = changes(read_numbers(case.expected_path), play(case), case.tolerance)
    off = [f"{change.name}: {change.about}" for change in found if change.beyond]
    assert not off, "\n".join([case.about, *off, f"If this was meant: python tests/golden/remake.py {folder.name}"])


def test_whatever_can_be_named_has_a_folder() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "ev_marl", "list", "--json"], check=True, capture_output=True, text=True
    )
    names = {kind: [entry["name"] for entry in entries] for kind, entries in json.loads(listed.stdout).items()}
    there = {folder.name for folder in folders()}
    by_folder = {"coordinators": "coordinator", "blocks": "block", "policies": "policy", "backends": "grid"}
    wanted = [f"{prefix}-{name}" for kind, prefix in by_folder.items() for name in names[kind]]
    lacking = [name for name in wanted if name not in there and name != "grid-none"]  # without pandapower
    scenarios = [load_scenario(case.scenario_path) for case in map(Case.read, folders()) if case.play == "world"]
    models = {scenario.sessions.model for scenario in scenarios}
    lacking += [f"a day of {name}" for name in names["sessions"] if name not in models]
    paid = {key for folder in folders() for key in read_numbers(folder / "expected.json") if key.startswith("costs.")}
    lacking += [f"a cost {name}" for name in names["terms"] if f"costs.{name}" not in paid]
    assert not lacking, f"add {', '.join(lacking)}; README.md says how"


def test_files_lose_nothing_and_changes_are_found(tmp_path: Path) -> None:
    third = np.array([1.0, 10.0]) / 3.0
    numbers = {"real": third, "seen": third.astype(np.float32), "whole": np.array([1, 2]), "text": ("a", "b")}
    write_numbers(tmp_path / "numbers.json", numbers)
    stored = read_numbers(tmp_path / "numbers.json")
    assert not changes(stored, numbers, 0.0)
    moved = {
        "real": third + np.array([0.0, 1e-9]),
        "seen": np.nextafter(numbers["seen"], np.float32(9.0)),
        "whole": np.array([1, 3]),
        "text": ("a", "c"),
        "more": 1.0,
    }
    found = {change.name: change.beyond for change in changes(stored, moved, 1e-8)}
    assert found == {"real": False, "seen": False, "whole": True, "text": True, "more": True}
    assert [change.beyond for change in changes(stored, {**numbers, "real": third + 1e-7}, 1e-8)] == [True]
    assert [change.about for change in changes(stored, {**numbers, "real": third[:1]}, 1e-8)] == [
        "had shape (2,), has (1,)"
    ]
