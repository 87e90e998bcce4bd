"""Policies at ports with levels: what they get are levels, and nobody exceeds the bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies import make_policy, rollout
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.levels import level_below

LEVELS = """
extends: tiny
site:
  groups:
    - name: yard
      import_limit: 12 kW
      stations:
        - {type: ac, count: 2, power: 11 kW, least_power: 4 kW, power_step: 1 kW}
        - {type: bidi, count: 1, power: 11 kW, least_power: 2 kW, v2g: true}
"""
LEAST_KW, STEP_KW = (4.0, 4.0, 2.0), (1.0, 1.0, 0.0)
POLICIES = ["uncontrolled", "edf", "llf", "round-robin", "mpc", "best-response", "selfish", "dual-prices"]


class Watched(Simulator):
    """Checks each step."""

    def step(self, setpoint_kw: np.ndarray) -> Flow:
        most_kw = self.state.hi_kw[0].copy()
        flow = super().step(setpoint_kw)
        for power, *levels in zip(flow.granted_kw[0], most_kw, LEAST_KW, STEP_KW, strict=True):
            assert level_below(power, *levels) == pytest.approx(power, abs=1e-9)
        assert (flow.group_kw <= flow.upper_kw + 1e-9).all()
        assert (flow.group_kw >= flow.lower_kw - 1e-9).all()
        return flow


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    file = tmp_path_factory.mktemp("levels") / "levels.yaml"
    file.write_text(LEVELS)
    return Setting.of(file)


@pytest.mark.parametrize("policy", POLICIES)
def test_granted_are_levels_and_nobody_exceeds_the_bound(setting: Setting, policy: str) -> None:
    tracks = [setting.world.sample(seed) for seed in (3, 4)]
    for track in tracks:
        simulator = Watched(setting.site.arrays, setting.coordinator, [track])
        result = rollout(simulator, setting.objective, make_policy(policy), [track], world=setting.world)
        assert float(result.team[0]) <= solve_day(setting, track).bound + 1e-6


def test_rules_reach_the_wish_with_the_level_that_is_enough(setting: Setting) -> None:
    """Where no limit binds, as little is unmet as if the ports could grant any power."""
    track = setting.world.sample(3)
    free = track.replace(import_limit_kw=np.full(track.import_limit_kw.shape, np.inf))
    any_power = replace(setting.site.arrays, port_levels_kw=np.zeros((2, 3)))
    unmet = []
    for site in (setting.site.arrays, any_power):
        simulator = Simulator(site, setting.coordinator, [free])
        result = rollout(simulator, setting.objective, make_policy("uncontrolled"), [free], world=setting.world)
        unmet.append(float(result.costs["unmet_energy"][0]))
    assert unmet[0] == pytest.approx(unmet[1], abs=1e-9)


def test_the_certificate_names_levels(setting: Setting) -> None:
    solution = solve_day(setting, setting.world.sample(3))
    assert solution.achieved < solution.bound
    assert any("levels" in reason.reason for reason in solution.certificate.reasons) == (not solution.certificate.exact)
