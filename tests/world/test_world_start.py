"""The start of an episode is like any other hour: who is there, and what they still draw."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ev_marl.env.setup import Setting
from ev_marl.policies import rollout
from ev_marl.policies.rules.simple import Uncontrolled
from ev_marl.scenario import load_scenario, sizes
from ev_marl.scenario.schema import Scenario, Sessions
from ev_marl.scenario.sizes import WARM_UP_H
from ev_marl.world.hours import HourGrid
from ev_marl.world.sessions import SESSION_MODELS
from ev_marl.world.track import Track
from ev_marl.world.world import World

DAYS_BEFORE = 2
LEAST_LOAD = 0.01  # of the highest hour: hours with less are compared with this


def uncontrolled_load_kw(setting: Setting, tracks: list[Track]) -> np.ndarray:
    """Load of all vehicles under uncontrolled charging, shape (n_tracks, n_steps)."""
    load_kw: list[np.ndarray] = []
    rollout(
        setting.simulator(tracks),
        setting.objective,
        Uncontrolled(),
        tracks,
        watch=lambda flow, rewards, costs: load_kw.append(flow.granted_kw.sum(axis=1)),
    )
    return np.stack(load_kw, axis=1)


def _changed(name: str, changes: dict[str, float]) -> Scenario:
    """A shipped scenario with another start hour, more vehicles, or another rating of its transformer."""
    scenario = load_scenario(name)
    updates: dict[str, object] = {}
    if "start_hour" in changes:
        updates["start_hour"] = changes["start_hour"]
    if "per_port_per_day" in changes:
        updates["sessions"] = scenario.sessions.model_copy(update={"per_port_per_day": changes["per_port_per_day"]})
    if "rating_kva" in changes:
        assert scenario.site.transformer is not None
        transformer = scenario.site.transformer.model_copy(update={"rating": changes["rating_kva"]})
        updates["site"] = scenario.site.model_copy(update={"transformer": transformer})
    return scenario.model_copy(update=updates)


@pytest.mark.parametrize(
    ("name", "n_days", "changes"),
    [
        ("residential-v2g", 100, {}),
        ("workplace", 150, {}),
        ("depot-100", 40, {}),
        # Limits bind before the start: at full power since arrival, the first two hours would be 5 and 7 % too low,
        ("workplace", 100, {"start_hour": 10.0}),
        # 14 and 23 % too low,
        ("workplace", 100, {"start_hour": 9.0, "per_port_per_day": 3.0}),
        # or the load before noon 25 % too low.
        ("depot-100", 40, {"start_hour": 20.0}),
        # Limits of currents, and stations with levels: without them, 14 % too high.
        ("acn-caltech", 20, {"start_hour": 10.0, "rating_kva": 60.0}),
    ],
)
def test_the_first_day_of_an_episode_draws_what_its_third_would(
    name: str, n_days: int, changes: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hour by hour within 5 %: one-day episodes against the third days of three-day ones with the very same vehicles.

    The long episodes begin two days earlier. The short ones are warmed up two days longer, so that both draw the same
    vehicles from the same seed, and all that differs is what the vehicles there at the start hold.
    """
    scenario = _changed(name, changes)
    setting = Setting.of(scenario)
    one_day = World(scenario, setting.site)
    three_days = World(scenario.model_copy(update={"horizon": (DAYS_BEFORE + 1) * scenario.horizon}), setting.site)
    chosen = np.random.default_rng(0).integers(len(one_day.days), size=n_days)
    days = [one_day.days[k] for k in chosen]
    long = [three_days.sample(seed, day - timedelta(days=DAYS_BEFORE)) for seed, day in enumerate(days)]
    monkeypatch.setattr(sizes, "WARM_UP_H", WARM_UP_H + 24.0 * DAYS_BEFORE)
    short = [
        one_day.sample(seed, day).replace(base_load_kw=track.base_load_kw[-scenario.n_steps :])
        for (seed, day), track in zip(enumerate(days), long, strict=True)
    ]
    first, third = (
        uncontrolled_load_kw(setting, tracks)[:, -scenario.n_steps :].reshape(n_days, 24, -1).mean(axis=(0, 2))
        for tracks in (short, long)
    )
    assert third.max() > 0.0
    assert np.all(np.abs(first - third) < 0.05 * np.maximum(third, LEAST_LOAD * third.max()))


def test_vehicles_that_cannot_get_their_wish_are_not_behind_an_even_service() -> None:
    world = World(load_scenario("residential-v2g"))
    for seed in range(20):
        world.sample(seed).validate(world.site)  # asks for an `ahead_kwh` of 0 or more


@pytest.mark.parametrize("model", list(SESSION_MODELS))
def test_the_warm_up_is_long_enough(model: str) -> None:
    """Of all vehicles that are there at a moment, fewer than 0.2 % came before the warm-up."""
    hours = HourGrid.around(datetime(2023, 5, 17, tzinfo=UTC), "Europe/Amsterdam", -4.0 * WARM_UP_H, 0.0)
    rng = np.random.default_rng(0)
    drawn = SESSION_MODELS.get(model)(Sessions(model=model)).draw(hours, 100_000, rng, rng)
    there = drawn.arrival_h + drawn.stay_h > 0.0
    assert there.sum() > 100
    assert (there & (drawn.arrival_h < -WARM_UP_H)).sum() < 0.002 * there.sum()
