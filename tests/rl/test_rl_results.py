"""The trained policies that are shipped: of the shipped scenarios, as good as they say, and run by NumPy alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.policies.learned import load_policy
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.training import ValidationDays
from ev_marl.scenario import Scenario

RESULTS = Path(__file__).parents[2] / "training" / "results"
SHIPPED = sorted(path.name for path in RESULTS.iterdir())


def test_all_cases_are_there_with_three_seeds() -> None:
    cases = [f"{site}-{how}" for site in ("residential-v2g", "workplace") for how in ("nearest", "priority")]
    cases.append("village-2034")
    assert sorted(cases) == SHIPPED
    for name in cases:
        seeds = {path.parent.name for path in (RESULTS / name).glob("seed_*/policy.json")}
        assert seeds == {"seed_0", "seed_1", "seed_2"}
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 2_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_scores_what_was_written_down(name: str, tmp_path: Path) -> None:
    """The same days, and on them the same returns, as when it was trained."""
    record = json.loads((RESULTS / name / "run.json").read_text())
    if record["scenario"].get("grid") is not None:
        pytest.importorskip("pandapower")
        pytest.importorskip("simbench")
    config = TrainingConfig.model_validate(record["config"])
    scenario = Scenario.model_validate(record["scenario"])
    assert scenario == ev_marl.load_scenario(scenario.name)
    assert record["command"][:2] == ["ev-marl", "train"]
    bounds = tmp_path / "validation.json"
    shutil.copy(RESULTS / name / "validation.json", bounds)
    days = ValidationDays(Setting.of(scenario, coordinator=config.coordinator), config.validation.days, bounds)
    summary = json.loads((RESULTS / name / "seed_1" / "finished.json").read_text())
    assert days.score(load_policy(RESULTS / name / "seed_1")) == pytest.approx(summary["best_score"], abs=1e-6)
