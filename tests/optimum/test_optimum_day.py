"""The optimum of a scenario's day: whoever asks by setting, or by command, gets the bound that knows the network."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ev_marl.cli import app
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve, solve_day


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
    assert solution.bound < solve(setting.site, track, setting.objective).bound - 1.0
    assert solution.gap < 0.01  # and the network carries the plan
    told = CliRunner().invoke(app, ["solve", "street-lv", "--seed", "0", "--json"])
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["bound"] == solution.bound
    assert found["network"]["steps"] == solution.grid.steps
    shown = CliRunner().invoke(app, ["solve", "street-lv", "--seed", "0"], env={"COLUMNS": "160", "TERM": "dumb"})
    assert "Network" in shown.stdout
    assert "looked at in" in shown.stdout
