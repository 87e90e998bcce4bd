"""Which policies a comparison runs: those named, else the scenario's, else the usual ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from ev_marl.checks.names import checked_setting
from ev_marl.compare import compare
from ev_marl.scenario import ScenarioError, load_scenario

VARIANT = "extends: tiny\npolicies: [idle, 'best-response(trust=0.7)']\n"


def test_policies_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(VARIANT)
    scenario = load_scenario(tmp_path / "mine.yaml")
    own = compare(scenario, days=1, out=tmp_path / "own", workers=1, report=False)
    names = {row.policy for row in own.table()}
    assert names == {"optimum", "uncontrolled", "idle", "best-response(trust=0.7)"}
    named = compare(scenario, ["llf"], days=1, out=tmp_path / "named", workers=1, report=False)
    assert {row.policy for row in named.table()} == {"optimum", "uncontrolled", "llf"}


def test_a_misspelt_policy_is_found_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(VARIANT.replace("idle", "idel"))
    with pytest.raises(ScenarioError, match=r"mine.yaml:2: policies\[0\]: no policy .*'idel'. Did you mean 'idle'\?"):
        checked_setting(tmp_path / "mine.yaml")
