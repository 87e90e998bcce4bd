"""Policies and coordinators of the user's own: found, checked, and never mistaken for what they were before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ev_marl.compare import compare
from ev_marl.compare.table import notes
from ev_marl.env.setup import Setting
from ev_marl.policies import StationView, rollout
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.simulation.coordinators.proportional import Proportional
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import PolicyError

GENTLE = """
class Gentle:
    name = "gentle"
    information = "own"

    def reset(self, episode):
        pass

    def act(self, view):
        return view.hi_kw / {parts}
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command's entry point, called as its console script does: without the folder on the path."""
    code = "import sys; from ev_marl.cli import main; sys.argv[0] = 'ev-marl'; main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_an_edited_policy_in_the_current_folder_is_another_run(tmp_path: Path) -> None:
    asked = ("compare", "tiny", "--policies", "gentle:Gentle", "--days", "1", "--workers", "1")
    (tmp_path / "gentle.py").write_text(GENTLE.format(parts=3))
    first = run(tmp_path, *asked, "--out", "run")
    assert first.returncode == 0, first.stderr
    assert "gentle:Gentle" in first.stdout
    (tmp_path / "gentle.py").write_text(GENTLE.format(parts=5))
    second = run(tmp_path, *asked, "--out", "run")
    assert second.returncode == 1
    assert "gentle:Gentle" in second.stderr
    assert run(tmp_path, *asked).returncode == 0


class Broken:
    """Answers as it is told to."""

    name = "broken"
    information = "own"

    def __init__(self, answer: np.ndarray) -> None:
        self.answer = answer

    def reset(self, episode: object) -> None:
        pass

    def act(self, view: StationView) -> np.ndarray:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.full((1, 3), np.nan), "policy 'broken', step 0: the setpoint of row 0, port 0 is nan"),
        (np.zeros(3), r"setpoints have shape \(3,\); \(n_batch, n_ports\) = \(1, 3\)"),
    ],
)
def test_a_policy_must_answer_with_finite_powers(answer: np.ndarray, message: str) -> None:
    setting = Setting.of("tiny")
    track = setting.world.sample(0)
    simulator = Simulator(setting.site.arrays, setting.coordinator, [track])
    with pytest.raises(PolicyError, match=message):
        rollout(simulator, setting.objective, Broken(answer), [track])


class Half:
    """Grants half of what is asked for: the optimum's plan does not get through."""

    name = "half"
    enforces_limits = True

    def grant(self, request: object, out: np.ndarray) -> None:
        Proportional().grant(request, out)
        out *= 0.5


def test_a_coordinator_that_spoils_the_plan_is_named(tmp_path: Path) -> None:
    spoilt = compare(
        "tiny", ["llf"], days=2, out=tmp_path / "half", coordinator=f"{__name__}:Half", workers=1, report=False
    )
    assert "curtails the plan" in notes(spoilt)
    sound = compare("tiny", ["llf"], days=2, out=tmp_path / "own", workers=1, report=False)
    assert "curtails the plan" not in notes(sound)


def test_no_coordinator_without_a_price_on_overload(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="lets limits be broken"):
        compare("tiny", ["llf"], days=1, out=tmp_path / "none", coordinator="none", workers=1)


def test_null_takes_an_inherited_key_back(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: tiny\nobjective: {unmet_energy: null}\nsite: {export_limit: null}\n")
    scenario = load_scenario(tmp_path / "mine.yaml")
    assert scenario.objective.unmet_energy == 0.40
    assert scenario.site.export_limit is None
