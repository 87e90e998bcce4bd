"""Every golden folder: the numbers that come out now are those of its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_case import Case, changes, folders, read_numbers
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
