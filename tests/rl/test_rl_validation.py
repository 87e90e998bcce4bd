"""Validation of policies learned anywhere: the days are apart, and known policies get their known scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from elsewhere_cases import mixed_scenario

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.rl.stations import StationActions
from ev_marl.rl.training import ValidationDays
from ev_marl.rl.validation import Validation, split_tracks
from ev_marl.support.errors import RunError


def test_splits_are_apart() -> None:
    train, validation, test = (split_tracks("tiny", 5, split) for split in ("train", "validation", "test"))
    for one, other in ((train, validation), (train, test), (validation, test)):
        assert not any(a == b for a in one for b in other)
    assert split_tracks("tiny", 3, "train") == train[:3]


@pytest.mark.parametrize("scenario", ["tiny", mixed_scenario()], ids=["tiny", "mixed"])
def test_returns_and_score_are_those_of_a_rollout(scenario: str | ev_marl.Scenario) -> None:
    """Doing nothing, told by station, against the idle policy; then the formula of the score."""
    validation = Validation(scenario, 4, action="continuous")
    env, width = validation.env, StationActions(validation.env).width

    def nothing(observations: np.ndarray) -> np.ndarray:
        return np.zeros((*observations.shape[:2], width))

    def team(policy: str) -> np.ndarray:
        return ev_marl.rollout(env.simulator, env.objective, ev_marl.make_policy(policy), validation.tracks).team

    returns = validation.returns(nothing)
    idle = team("idle")
    np.testing.assert_allclose(returns, idle, rtol=1e-9)
    np.testing.assert_array_equal(validation.uncontrolled, team("uncontrolled"))
    gained, possible = (idle - validation.uncontrolled).sum(), (validation.optimum - validation.uncontrolled).sum()
    assert possible > 0.0
    assert validation.score(nothing) == pytest.approx(gained / possible)


def test_a_bid_of_zero_is_best_response() -> None:
    """Stations that bid nothing follow their own plans."""
    validation = Validation("tiny", 6, action="bid")
    width = StationActions(validation.env).width
    returns = validation.returns(lambda seen: np.zeros((*seen.shape[:2], width)))
    env = validation.env
    played = ev_marl.rollout(env.simulator, env.objective, ev_marl.make_policy("best-response"), validation.tracks)
    np.testing.assert_allclose(returns, played.team, rtol=1e-9)
    assert (returns <= validation.optimum + 1e-9).all()
    assert (returns != validation.uncontrolled).any()


def test_bounds_of_other_days_are_refused(tmp_path: Path) -> None:
    tiny = Setting.of("tiny")
    days = ValidationDays(tiny, 3, tmp_path / "bounds.json")
    again = ValidationDays(tiny, 3, tmp_path / "bounds.json")
    assert again.score(ev_marl.make_policy("llf")) == days.score(ev_marl.make_policy("llf"))
    busier = tiny.scenario.sessions.model_copy(update={"per_port_per_day": 1.3})
    other = Setting.of(tiny.scenario.model_copy(update={"sessions": busier}))
    with pytest.raises(RunError, match=r"bounds\.json: has the bounds of other days"):
        ValidationDays(other, 3, tmp_path / "bounds.json")
