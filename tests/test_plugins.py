"""The plug-ins of the how-to page, named module:Class in a scenario, do what the page says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.objective import TERMS
from ev_marl.scenario import load_scenario
from ev_marl.testing import (
    check_block,
    check_coordinator,
    check_outlook,
    check_policy,
    check_session_model,
    check_term,
)

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "plug-in-your-own.md"
VARIANT = """
extends: tiny
step: 15 min
sessions: {model: "mysite:ShiftChange", per_port_per_day: 0.8}
coordinator: {name: "mysite:HalfPower"}
objective: {overload: 2 EUR/kWh, extra: {"mysite:NightBonus": {per_kwh: 0.02}}}
observation: [clock, ports, {block: "mysite:Losses"}]
policies: ["mysite:Gentle"]
outlook: {prices: {name: "mysite:RoughPrices", options: {to_per_kwh: 0.1}}}
"""


@pytest.fixture
def mysite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("mysite")
    monkeypatch.setitem(sys.modules, "mysite", module)
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), module.__dict__)
    return module


def test_they_conform(mysite: ModuleType) -> None:
    check_coordinator(mysite.HalfPower())
    check_policy(mysite.Gentle)
    check_block(mysite.Losses)
    check_term(lambda: mysite.NightBonus(0.02))
    check_outlook(mysite.RoughPrices)
    check_session_model(mysite.ShiftChange)


def test_a_scenario_uses_all_of_them(mysite: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(VARIANT)
    scenario = load_scenario(tmp_path / "mine.yaml", trust=True)
    setting = Setting.of(scenario)
    track = setting.world.sample(3)
    hours = track.clock.local_hour[track.sessions["arrival_step"]]
    assert set(np.floor(hours)) == {6.0}
    assert set(track.sessions["wanted_kwh"].round(9)) == {12.0}
    env = ev_marl.parallel_env(scenario)
    env.reset(options={"track": track})
    assert env.observation_labels("ac_0")[-1] == "losses.0.charging"
    assert isinstance(env.unwrapped.outlook.of["prices"], mysite.RoughPrices)
    buy, _ = env.unwrapped.outlook.prices(np.array([0]), 10)
    np.testing.assert_allclose(buy[0, 1:], np.round(track.buy_per_kwh[11:], 1), atol=1e-12)
    assert buy[0, 0] == track.buy_per_kwh[10]
    night = 0.0
    while env.agents:
        _, _, _, _, infos = env.step({agent: np.ones(1, dtype=np.float32) for agent in env.agents})
        night += infos["ac_0"]["night_bonus"]
    assert night == 0.0  # nobody is there before six
    solution = ev_marl.solve(setting.site, track, setting.objective)
    assert solution.certificate.exact
    assert TERMS.get("mysite:NightBonus", trust=True) is mysite.NightBonus
