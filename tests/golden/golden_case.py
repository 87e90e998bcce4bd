"""A golden case as files: what is played, the days, the actions, and the numbers that came out.

Numbers are written as JSON with one step a line, each with the fewest digits that give the same number again, so that
nothing is lost and a change can be read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parent
FLOAT32_STEP = 2.0**-23  # relative distance of neighbouring float32

Numbers = Mapping[str, Any]
"""By name: an array, a number, a text, or a list of texts."""


@dataclass(frozen=True)
class Case:
    """What `case.yaml` says; the README of this folder explains each key."""

    folder: Path
    about: str
    play: str
    scenario: str = "scenario.yaml"
    tracks: tuple[str, ...] = ("track.json",)
    actions: str = "actions.csv"
    options: dict[str, Any] = field(default_factory=dict)
    record: tuple[str, ...] = ()
    tolerance: float = 1e-12

    @classmethod
    def read(cls, folder: Path) -> Case:
        content = yaml.safe_load((folder / "case.yaml").read_text(encoding="utf-8"))
        for name in ("tracks", "record"):
            if name in content:
                content[name] = tuple(content[name])
        return cls(folder, **content | {"tolerance": float(content.get("tolerance", 1e-12))})

    @property
    def scenario_path(self) -> Path:
        return self.folder / self.scenario

    @property
    def track_paths(self) -> list[Path]:
        return [self.folder / name for name in self.tracks]

    @property
    def actions_path(self) -> Path:
        return self.folder / self.actions

    @property
    def expected_path(self) -> Path:
        return self.folder / "expected.json"


def folders() -> list[Path]:
    """All cases, by name."""
    return sorted(path.parent for path in ROOT.glob("*/case.yaml"))


def read_actions(path: Path) -> np.ndarray:
    """One row a step and batch row, one column for each number of each port."""
    with path.open(encoding="utf-8", newline="") as file:
        _header, *rows = csv.reader(file)
    return np.array(rows, dtype=np.float64)


def write_actions(path: Path, columns: list[str], actions: np.ndarray) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *actions.tolist()])


def read_numbers(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_numbers(path: Path, numbers: Numbers) -> None:
    entries = []
    for name, value in numbers.items():
        plain = _plain(value)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
        if isinstance(plain, list) and len(text) > 100:
            rows = ",\n".join(f"  {json.dumps(row, ensure_ascii=False, allow_nan=False)}" for row in plain)
            text = f"[\n{rows}\n ]"
        entries.append(f" {json.dumps(name)}: {text}")
    path.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype == np.float32:  # its own shortest digits, not those of the float64 of the same value
        array = np.vectorize(lambda x: float(str(x)), otypes=[np.float64])(array)
    return array.tolist()


@dataclass(frozen=True)
class Change:
    """One quantity that is not what it was, bit for bit."""

    name: str
    about: str
    beyond: bool  # the tolerance, or not a matter of size


def changes(expected: Numbers, got: Numbers, tolerance: float) -> list[Change]:
    """What differs between the numbers of a file and those that came out now."""
    found = [Change(name, "is new", True) for name in got if name not in expected]
    for name, old in expected.items():
        if name not in got:
            found.append(Change(name, "is gone", True))
        elif (change := _change(name, old, got[name], tolerance)) is not None:
            found.append(change)
    return found


def _change(name: str, old: Any, new: Any, tolerance: float) -> Change | None:
    now = np.asarray(new)
    if np.shape(old) != now.shape:
        return Change(name, f"had shape {np.shape(old)}, has {now.shape}", True)
    if now.dtype.kind == "U":
        where = np.argwhere(np.asarray(old) != now)
        if not len(where):
            return None
        first = tuple(where[0])
        about = f"{len(where)} of {now.size} differ, first: {np.asarray(old)[first]} -> {now[first]}"
        return Change(name, about, True)
    was = np.asarray(old, dtype=now.dtype)
    if np.array_equal(was, now):
        return None
    allowed = tolerance if now.dtype.kind == "f" else 0.0  # steps, sessions, masks are what they are
    if now.dtype == np.float32:
        allowed = max(tolerance, FLOAT32_STEP)
    was, now = was.astype(np.float64), now.astype(np.float64)
    off = np.abs(now - was)
    relative = np.where(np.isfinite(off), off / np.maximum(1.0, np.abs(was)), np.inf)
    worst = np.unravel_index(int(relative.argmax()), relative.shape)
    place = f" at {list(map(int, worst))}" if worst else ""
    step = f"{was[worst]} -> {now[worst]} ({now[worst] - was[worst]:+.3g})"
    about = f"{int((was != now).sum())} of {now.size} differ, most{place}: {step}"
    return Change(name, about, bool(relative.max() > allowed))
