"""How long one decision of model predictive control takes: shipped scenarios, and 50 ports over 96 steps."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pytest

from ev_marl.env.setup import Setting
from ev_marl.planning.outlook import Truth, make_outlook
from ev_marl.policies import make_policy, make_view, rollout
from ev_marl.policies.base import StationView
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.simulation.simulator import Simulator

pytestmark = pytest.mark.benchmark(group="mpc")


def fifty_ports() -> Scenario:
    """The residential street with 50 instead of 30 bidirectional chargers, and limits in proportion."""
    street = load_scenario("residential-v2g").model_dump(exclude_unset=True)
    street["site"]["import_limit"] *= 50 / 30
    for feeder in street["site"]["groups"]:
        feeder["import_limit"] *= 50 / 30
        feeder["stations"][0]["count"] = 25
    return Scenario.model_validate(street)


@pytest.mark.parametrize("policy", ["mpc", "mpc-perfect"])
@pytest.mark.parametrize("name", ["50 ports x 96 steps", "workplace", "residential-v2g"])
def test_act(benchmark: Any, name: str, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    setting = Setting.of(fifty_ports() if name.startswith("50") else name)
    tracks = [setting.world.sample(0)]
    simulator = Simulator(setting.site.arrays, setting.coordinator, tracks)
    control, cpu_ms = make_policy(policy), []
    decide = control.act

    def timed(view: StationView) -> np.ndarray:
        begin = time.process_time()
        setpoint_kw = decide(view)
        cpu_ms.append(1000.0 * (time.process_time() - begin))
        return setpoint_kw

    control.act = timed  # type: ignore[method-assign]
    rollout(simulator, setting.objective, control, tracks, world=setting.world)
    simulator.reset()
    outlook = make_outlook()
    outlook.begin(Truth.of(simulator), setting.world)
    benchmark.pedantic(decide, args=(make_view(simulator, setting.objective, control, outlook),), rounds=5)
    with capsys.disabled():
        print(
            f"\n{policy}, {name}: {statistics.mean(cpu_ms):.1f} ms of processor time a step on average, "
            f"median {statistics.median(cpu_ms):.1f}, largest {max(cpu_ms):.1f}"
        )
