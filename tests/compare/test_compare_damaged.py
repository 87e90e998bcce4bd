"""Folders of runs that were damaged, or whose process was killed while it wrote."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from ev_marl.compare import Comparison, compare
from ev_marl.compare.folder import read_manifest
from ev_marl.compare.studying import _kept
from ev_marl.support.errors import RunError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare("tiny", ["llf"], days=1, out=tmp_path_factory.mktemp("whole") / "run", workers=1, report=False)


def old(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{")
    os.utime(file, (time.time() - 3600, time.time() - 3600))
    return file


def test_killed_while_the_manifest_was_written(tmp_path: Path, whole: Comparison) -> None:
    part = old(tmp_path / "run" / ".manifest.json.4711.part")
    again = compare("tiny", ["llf"], days=1, out=tmp_path / "run", workers=1, report=False)
    assert again.days[0].bound == whole.days[0].bound
    assert not part.exists()


def test_killed_while_a_day_was_written(tmp_path: Path, whole: Comparison) -> None:
    shutil.copytree(whole.folder, tmp_path / "run")
    part = old(tmp_path / "run" / "days" / ".day-00000.json.4711.part")
    young = tmp_path / "run" / "days" / ".day-00001.json.4712.part"  # somebody may be writing it just now
    young.touch()
    compare("tiny", ["llf"], days=1, out=tmp_path / "run", workers=1, report=False)
    assert (part.exists(), young.exists()) == (False, True)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.part.txt").touch()
    with pytest.raises(RunError, match="holds files but is not the folder of a run"):
        compare("tiny", ["llf"], days=1, out=tmp_path, workers=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda day: day.update(bound="NaN"), "a return or bound is not finite"),
        (lambda day: day["policies"].pop(), "it is of the policies"),
        (lambda day: day["policies"][0]["group_kw"][0].pop(), "its groups and steps do not fit each other"),
        (lambda day: day.update(watched_groups=[]), "its groups and steps do not fit each other"),
        (lambda day: day.update(seed="x"), "valid integer"),
    ],
)
def test_a_damaged_day_is_named(tmp_path: Path, whole: Comparison, change: Any, said: str) -> None:
    shutil.copytree(whole.folder, tmp_path / "run")
    file = tmp_path / "run" / "days" / "day-00000.json"
    day = json.loads(file.read_text())
    change(day)
    file.write_text(json.dumps(day))
    with pytest.raises(RunError, match=r"day-00000\.json is broken: delete it and run the same command") as caught:
        compare("tiny", ["llf"], days=1, out=tmp_path / "run", workers=1, report=False)
    assert said in str(caught.value)


@pytest.mark.parametrize("change", [{"scenario": {}}, {"groups": {"x": ["nobody"]}}, {"policies": 5}])
def test_a_damaged_manifest_is_named(tmp_path: Path, whole: Comparison, change: dict[str, Any]) -> None:
    manifest = {**json.loads((whole.folder / "manifest.json").read_text()), **change}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"manifest\.json is not the manifest of a run that this program can read"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", ["{", "[1]", '{"x": 1}', '{"x": {"tuned": 1}}', "\xff"])
def test_damaged_constants_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tuned.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=r"tuned\.json is broken: .*; delete it and run the same command again"):
        _kept(tmp_path / "tuned.json")
