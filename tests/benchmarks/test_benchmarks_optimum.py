"""How long a bound and its proof take: 50 ports, 96 steps, V2G; and days of the shipped scenarios."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from ev_marl.env.setup import Setting
from ev_marl.optimum import solve
from ev_marl.scenario import Scenario, load_scenario

pytestmark = pytest.mark.benchmark(group="optimum")


def fifty_ports() -> Scenario:
    """The residential street with 50 instead of 30 bidirectional chargers, and limits in proportion."""
    street = load_scenario("residential-v2g").model_dump(exclude_unset=True)
    street["site"]["import_limit"] *= 50 / 30
    for feeder in street["site"]["groups"]:
        feeder["import_limit"] *= 50 / 30
        feeder["stations"][0]["count"] = 25
    return Scenario.model_validate(street)


@pytest.mark.parametrize(
    "name", ["50 ports x 96 steps", "workplace", "residential-v2g", "highway", "depot-100", "tiny"]
)
def test_solve(benchmark: Any, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    setting = Setting.of(fifty_ports() if name.startswith("50") else name)
    solve(setting.site, setting.world.sample(1000), setting.objective)
    solutions = [solve(setting.site, setting.world.sample(seed), setting.objective) for seed in range(10)]
    benchmark.pedantic(solve, args=(setting.site, setting.world.sample(0), setting.objective), rounds=3)
    parts = [statistics.median(getattr(s.seconds, part) for s in solutions) for part in ("build", "solve", "replay")]
    whole = statistics.median(s.seconds.total for s in solutions)
    gap = max(s.relative_gap for s in solutions)
    with capsys.disabled():
        print(
            f"\nsolve, {name}: median {whole:.3f} s "
            f"(build {parts[0]:.3f}, solve {parts[1]:.3f}, replay {parts[2]:.3f}), largest replay gap {gap:.0e}"
        )
