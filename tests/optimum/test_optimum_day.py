"""The optimum of a scenario's day: whoever asks by setting, or by command, gets the bound that knows the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import ev_marl
from ev_marl.cli import app
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve, solve_day
from ev_marl.optimum.replay import replay
from ev_marl.policies import PlanPolicy, make_policy, rollout
from ev_marl.scenario import shipped_scenarios
from ev_marl.support.errors import OptionError

# PV alone lifts voltages above the band at noon: the limit is clamped there, and leaves no room for anything.
SUNNY = """\
name: sunny
start: 2023-05-01
until: 2023-08-30
start_hour: 12 h
step: 30 min
horizon: 24 h
grid:
  network: 1-LV-rural3--0-sw
  loads: {simbench: profiles}
  generators: {sun: 52}
  pv: {peak: 6 kW}
  limits: {voltage: [0.95, 1.05], transformer: 100}
  coordinator: curtail
  chargers: {power_factor: 0.91}
site:
  name: village
  stations: [{type: bidi, count: 10, power: 11 kW, v2g: true, bus: loads}]
sessions: {model: elaadnl/private, per_port_per_day: 0.9}
vehicles: {mix: eu}
prices: {model: nl/2023}
objective: {energy_cost: 1, unmet_energy: 0.40 EUR/kWh}
"""


def test_without_a_network_it_is_the_optimum_of_the_site() -> None:
    setting = Setting.of("tiny")
    track = setting.world.sample(3)
    assert solve_day(setting, track).bound == solve(setting.site, track, setting.objective).bound


def test_the_network_lowers_the_bound() -> None:
    pytest.importorskip("pandapower")
    setting = Setting.of("street-lv")
    track = setting.world.sample(0)
    solution = solve_day(setting, track)
    assert solution.grid is not None
    assert solution.bound < solve(setting.site, track, setting.objective, grid="ideal").bound - 1.0
    assert solution.gap < 0.01  # and the network carries the plan
    told = CliRunner().invoke(app, ["solve", "street-lv", "--seed", "0", "--json"])
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["bound"] == solution.bound
    assert found["grid"]["steps"] == solution.grid.steps
    shown = CliRunner().invoke(app, ["solve", "street-lv", "--seed", "0"], env={"COLUMNS": "160", "TERM": "dumb"})
    assert "Network" in shown.stdout
    assert "included in" in shown.stdout


def test_a_network_is_never_forgotten() -> None:
    pytest.importorskip("pandapower")
    setting = Setting.of("street-lv")
    track = setting.world.sample(0)
    with pytest.raises(OptionError, match=r"ev_marl\.solve_day\(env\)"):
        solve(setting.site, track, setting.objective)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("tiny",), "got str"), ((Setting.of("tiny"),), "give a track"), ((Setting.of("tiny"), 3), "give a track")],
)
def test_what_is_no_day_is_refused(arguments: tuple[object, ...], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        solve_day(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [4, 5])
def test_a_plan_is_never_worse_than_a_simple_policy(seed: int, tmp_path: Path) -> None:
    """The optimum's own plan was: where a clamped limit leaves no room, all power of the step was held back."""
    pytest.importorskip("simbench")
    (tmp_path / "sunny.yaml").write_text(SUNNY)
    setting = Setting.of(tmp_path / "sunny.yaml")
    track = setting.world.sample(seed)
    solution = solve_day(setting, track)
    for name in ("uncontrolled", "best-response", "price-threshold", "as-late-as-possible", "llf", "idle"):
        simulator = setting.simulator([track])
        earned = rollout(simulator, setting.objective, make_policy(name), [track]).team[0]
        assert earned <= solution.achieved + 1e-9
    assert solution.bound >= solution.achieved
    again = replay(setting.site.arrays, track, setting.objective, PlanPolicy(solution.plan), setting.grid)
    assert again.team_return == pytest.approx(solution.achieved, abs=1e-9)


@pytest.mark.parametrize("name", sorted(shipped_scenarios()))
def test_the_lines_of_the_readme_are_right_for_every_scenario(name: str) -> None:
    pytest.importorskip("simbench")
    page = (Path(__file__).parents[2] / "README.md").read_text()
    code = page.split("```python\n", 1)[1].split("```", 1)[0]
    assert '"workplace"' in code
    lines: dict[str, Any] = {}
    exec(code.replace('"workplace"', f'"{name}"').replace("print(", "_ = ("), lines)
    env, solution = lines["env"].unwrapped, lines["solution"]
    assert (solution.grid is None) == (env.setting.grid is None)
    has_levels = env.setting.site.arrays.has_levels  # the bound is that of any power
    assert -1e-9 <= solution.relative_gap < (0.06 if has_levels else 1e-3)


@pytest.mark.parametrize("face", ["parallel_env", "env", "central_env"])
def test_any_face_of_a_day_can_be_solved(face: str) -> None:
    env = getattr(ev_marl, face)("tiny")
    with pytest.raises(OptionError, match="reset the environment first"):
        solve_day(env)
    batch = ev_marl.BatchedEnv("tiny", 2, n_days=2)
    batch.reset()
    with pytest.raises(OptionError, match=r"solve_day\(env, env.tracks\[0\]\)"):
        solve_day(batch)
    env.reset(seed=3)
    ours, theirs = solve_day(env), solve_day(env.unwrapped.setting, env.unwrapped.track)
    assert ours.bound == theirs.bound
    np.testing.assert_array_equal(ours.plan.power_kw, theirs.plan.power_kw)
