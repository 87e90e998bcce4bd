"""Scenario files written for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ev_marl.scenario import ScenarioError, load_scenario

GOOD = """\
name: try-out
start: 2023-05-15
step: 1 h
site:
  name: grid
  import_limit: 20 kW
  groups:
    - name: lot
      stations:
        - {type: ac, count: 2, power: 11 kW}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file below the test's folder and gives its path."""

    def make(text: str = GOOD, name: str = "scenario.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def faults(write: Callable[..., Path]) -> Callable[..., list[str]]:
    """Loads a file that is the good scenario with `old` replaced by `new`; gives the messages, without the folder."""

    def load(old: str = "", new: str = "", *, text: str = GOOD) -> list[str]:
        assert old in text, f"the scenario has no {old!r}"
        path = write(text.replace(old, new, 1) if old else text + new)
        with pytest.raises(ScenarioError) as caught:
            load_scenario(path)
        return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]

    return load
