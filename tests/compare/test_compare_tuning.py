"""Tuning finds the constants that a search by hand finds, on training days only."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from ev_marl.cli import app
from ev_marl.compare.baseline import team_returns
from ev_marl.compare.tuning import Range, ranges_of, read_ranges, tune, validate
from ev_marl.env.setup import Setting
from ev_marl.policies import Uncontrolled
from ev_marl.policies.make import read_spec, write_spec
from ev_marl.support.errors import OptionError
from ev_marl.world.seeds import day_seeds


class Hill(Uncontrolled):
    """Charges with a share of the power; the score has its top somewhere inside."""

    TUNABLE: ClassVar = {"share": (0.0, 1.0), "wait": (0, 6)}

    def __init__(self, share: float = 0.2, wait: int = 0) -> None:
        self.share, self.wait = share, wait

    def act(self, view):  # type: ignore[no-untyped-def]
        return self.share * view.hi_kw * (view.step >= self.wait)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting.of("tiny")


def _days(setting: Setting, n: int = 6) -> list:  # type: ignore[type-arg]
    return [setting.world.sample(seed) for seed in day_seeds(0, n, "train")]


def test_the_best_of_a_fine_grid_is_found(setting: Setting) -> None:
    tracks, policy = _days(setting), f"{__name__}:Hill"
    trials = tune(setting, policy, tracks, ranges_of(policy, {}))
    grid = [
        team_returns(setting, f"{policy}(share={share}, wait={wait})", tracks, 0).mean()
        for share in np.linspace(0, 1, 21)
        for wait in range(7)
    ]
    assert trials[0].mean_return >= max(grid) - 1e-3 * abs(max(grid))
    assert [trial.mean_return for trial in trials] == sorted((trial.mean_return for trial in trials), reverse=True)
    again = team_returns(setting, write_spec(policy, trials[0].options), tracks, 0).mean()
    assert trials[0].mean_return == pytest.approx(again)
    assert {"share": 0.2, "wait": 0} in [trial.options for trial in trials]  # what it is without tuning
    assert all(isinstance(trial.options["wait"], int) for trial in trials)


def test_tuning_says_what_it_is_worth_elsewhere(setting: Setting) -> None:
    policy = "best-response"
    tracks = [setting.world.sample(seed) for seed in day_seeds(0, 4, "validation")]
    found = validate(setting, policy, "best-response(trust=0.6)", tracks, 0)
    assert found.low <= found.score <= found.high <= 1.0 + 1e-9
    same = validate(setting, policy, policy, tracks, 0)
    assert (same.difference.points, same.difference.per_day) == (0.0, 0.0)


def test_ranges() -> None:
    assert {one.name for one in ranges_of("best-response", {})} == {"adder_per_kwh", "trust", "margin_steps"}
    left = ranges_of("best-response(margin_steps=2)", {"trust": (0.5, 0.75)})
    assert left == [Range("adder_per_kwh", -0.1, 0.1), Range("trust", 0.5, 0.75)]
    assert read_ranges(["trust=0.2:1", " margin_steps = 0:4"]) == {"trust": (0.2, 1), "margin_steps": (0, 4)}
    assert Range("n", 0, 4, True).clean(2.7) == 3
    assert Range("x", 0.0, 1.0).clean(0.123456) == 0.123
    assert ranges_of("best-response", {"trust": (0, 1)})[1] == Range("trust", 0, 1, whole=False)
    with pytest.raises(OptionError, match="llf' does not say what can be tuned; give --range"):
        ranges_of("llf", {})
    with pytest.raises(OptionError, match="Did you mean 'trust'"):
        ranges_of("best-response", {"thrust": (0.0, 1.0)})
    with pytest.raises(OptionError, match="write OPTION=LOW:HIGH"):
        read_ranges(["trust=high"])
    with pytest.raises(OptionError, match="1 is not below 1"):
        ranges_of("best-response", {"trust": (1.0, 1.0)})


def test_specs_are_read_and_written() -> None:
    for text in ("edf", "best-response(trust=0.8, margin_steps=2)", "plan(path='a,b')"):
        assert write_spec(*read_spec(text)) == text


def test_the_command() -> None:
    asked = [
        "tune",
        "price-threshold",
        "tiny",
        "--days",
        "3",
        "--validation-days",
        "2",
        "--range",
        "charge_share=0:0.5",
    ]
    plain = CliRunner().invoke(app, asked)
    assert plain.exit_code == 0, plain.output
    assert "2 validation days: score" in plain.output
    spec = plain.stdout.splitlines()[-1]
    assert spec.startswith("price-threshold(charge_share=")
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert found["tuned"] == spec
    assert found["validation"]["days"] == 2
    assert 0.0 <= found["trials"][0]["options"]["charge_share"] <= 0.5
