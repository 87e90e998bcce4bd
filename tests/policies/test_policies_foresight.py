"""What a policy knows follows from its own information and from the outlook that it uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ev_marl.compare import compare
from ev_marl.compare.baseline import choose_baseline
from ev_marl.compare.table import prices_table
from ev_marl.env.setup import Setting
from ev_marl.planning.outlook import KINDS
from ev_marl.policies import POLICIES, make_policy, rollout
from ev_marl.scenario import Scenario, load_scenario


def setting_with(name: str, **keys: Any) -> Setting:
    """A shipped scenario with other keys; six hours of it are enough."""
    content = load_scenario(name).model_dump(exclude_unset=True) | {"horizon": 6.0} | keys
    return Setting.of(Scenario.model_validate(content))


def known_by(setting: Setting, spec: str) -> str:
    track = setting.world.sample(1)
    simulator = setting.simulator([track])
    return rollout(simulator, setting.objective, make_policy(spec), [track], world=setting.world).information


@pytest.mark.parametrize("name", ["mpc", "dual-prices", "selfish", "booked-response", "best-response"])
def test_a_known_outlook_is_foresight_whoever_sets_it(name: str) -> None:
    usual, known = setting_with("workplace"), setting_with("workplace", outlook="known")
    blind = make_policy(name).information
    assert known_by(usual, name) == blind
    assert known_by(usual, f"{name}(outlook={{'prices': 'known'}})") == blind  # as published
    assert known_by(usual, f"{name}(outlook='forecast')") == blind
    assert known_by(usual, f"{name}(outlook='known')") == "future"
    assert known_by(known, name) == "future"
    assert known_by(known, f"{name}(outlook='present')") == blind


@pytest.mark.parametrize("name", ["uncontrolled", "llf", "edf", "as-late-as-possible"])
def test_who_uses_no_outlook_has_no_foresight(name: str) -> None:
    assert known_by(setting_with("workplace", outlook="known"), name) == make_policy(name).information


def test_a_base_load_means_nothing_to_a_station_with_a_meter_of_its_own() -> None:
    known = setting_with("workplace", outlook="known", metering="port")
    assert known_by(known, "best-response") == "own"
    assert known_by(known, "mpc") == "future"


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_what_a_policy_does_not_look_at_does_not_change_what_it_decides(name: str) -> None:
    policy = make_policy(name) if name != "plan" else None
    unused = [kind for kind in KINDS if policy is not None and kind not in getattr(policy, "looks_at", KINDS)]
    if not unused:
        return
    returns = []
    for outlook in ("known", "present"):
        setting = setting_with("workplace", outlook=dict.fromkeys(unused, outlook))
        tracks = [setting.world.sample(seed) for seed in range(2)]
        played = rollout(setting.simulator(tracks), setting.objective, make_policy(name), tracks, world=setting.world)
        returns.append(played.returns)
    assert np.array_equal(*returns)


def test_a_comparison_calls_the_clairvoyant_what_it_is(tmp_path: Path) -> None:
    scenario = setting_with("tiny", outlook="known").scenario
    run = compare(scenario, ["mpc", "llf", "selfish"], 2, out=tmp_path / "run", workers=1, report=False)
    known = {row.policy: row.information for row in run.table()}
    assert known["mpc"] == known["selfish"] == "future"
    assert known["llf"] == "site"
    not_knowing = next(line for line in prices_table(run).splitlines() if "not knowing" in line)
    assert "| llf |" in not_knowing or "| uncontrolled |" in not_knowing


def test_a_baseline_has_no_foresight() -> None:
    usual, known = setting_with("workplace"), setting_with("workplace", outlook="known")
    names = ["uncontrolled", "best-response"]
    assert choose_baseline(usual, names, "best", 0, days=4)[0] == "best-response"
    assert choose_baseline(known, names, "best", 0, days=4)[0] == "uncontrolled"
