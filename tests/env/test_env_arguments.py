"""What people give by mistake is refused with a message that says what is allowed."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import ev_marl
from ev_marl.scenario import ScenarioError
from ev_marl.simulation.coordinators.none import NoCoordinator
from ev_marl.support.errors import ArgumentError, EvMarlError, TrackError

MAKERS: dict[str, Any] = {
    "parallel": partial(ev_marl.parallel_env, "tiny"),
    "aec": partial(ev_marl.env, "tiny"),
    "central": partial(ev_marl.central_env, "tiny"),
    "batched": partial(ev_marl.BatchedEnv, "tiny", 2, n_days=2),
}


@pytest.mark.parametrize("face", MAKERS)
@pytest.mark.parametrize("seed", [-1, "7", 1.5, True, [3], np.float64(2.0)])
def test_seeds_are_whole_numbers_from_zero(face: str, seed: Any) -> None:
    env = MAKERS[face]()
    with pytest.raises(ArgumentError, match=r"seed is .*whole number, 0 or more"):
        env.reset(seed=seed)
    env.reset(seed=np.int64(7))


def test_a_refused_seed_changes_nothing() -> None:
    one, two = MAKERS["parallel"](), MAKERS["parallel"]()
    for env in (one, two):
        env.reset(seed=3)
    with pytest.raises(ArgumentError):
        one.reset(seed=-3)
    for env in (one, two):
        env.reset()
    assert one.track == two.track


@pytest.mark.parametrize("face", MAKERS)
@pytest.mark.parametrize("value", ["3", 0, -2, 2.5, True, [3]])
def test_max_cycles_is_a_whole_number_from_one(face: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"max_cycles is .*whole number, 1 or more"):
        MAKERS[face](max_cycles=value)


@pytest.mark.parametrize("name", ["n_envs", "n_days", "seed"])
def test_numbers_of_a_batch(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is '2'"):
        ev_marl.BatchedEnv("tiny", **({"n_envs": 2} | {name: "2"}))


@pytest.mark.parametrize("name", ["n_envs", "n_days"])
def test_a_batch_has_a_size_that_can_be_held(name: str) -> None:
    with pytest.raises(ArgumentError, match=rf"{name} is 1000000000; it may be at most [\d,]+ here"):
        ev_marl.BatchedEnv("tiny", **({"n_envs": 2} | {name: 10**9}))


@pytest.mark.parametrize("face", ["parallel", "aec", "central"])
@pytest.mark.parametrize("options", [5, "track", [1]])
def test_options_are_a_mapping(face: str, options: Any) -> None:
    with pytest.raises(ArgumentError, match=r"options must be a mapping"):
        MAKERS[face]().reset(options=options)


@pytest.mark.parametrize("face", MAKERS)
def test_tracks_are_a_sequence_of_tracks(face: str) -> None:
    for tracks in (3, "day.parquet", ev_marl.parallel_env("tiny").world.sample(0)):
        with pytest.raises(ArgumentError, match=r"tracks must be a sequence of Track"):
            MAKERS[face](tracks=tracks)
    with pytest.raises(TrackError, match=r"tracks\[0\] must be a Track, got int"):
        MAKERS[face](tracks=[3])
    with pytest.raises(TrackError, match="tracks is empty"):
        MAKERS[face](tracks=[])


def test_a_pool_of_days_of_another_site_is_refused() -> None:
    env = MAKERS["batched"]()
    with pytest.raises(TrackError):
        env.load([ev_marl.parallel_env("workplace").world.sample(0)])


@pytest.mark.parametrize("day", [[0, 5], [0, -1], [0.5, 1.0], ["a", "b"], [0], 1])
def test_days_of_a_batch_are_indices_into_its_pool(day: Any) -> None:
    with pytest.raises(ArgumentError, match=r"day .*\(2,\).*from 0 to 1"):
        MAKERS["batched"]().reset(day=day)


@pytest.mark.parametrize("face", MAKERS)
def test_a_coordinator_is_a_name_or_has_the_protocol(face: str) -> None:
    for coordinator in (object(), 3, NoCoordinator):
        with pytest.raises(ArgumentError, match=r"coordinator is .*enforces_limits"):
            MAKERS[face](coordinator=coordinator)


@pytest.mark.parametrize("face", MAKERS)
def test_limits_that_may_be_broken_need_a_price(face: str) -> None:
    with pytest.raises(ScenarioError, match=r"`none` lets limits be broken.*overload: 2 EUR/kWh"):
        MAKERS[face](coordinator="none")


@pytest.mark.parametrize("face", MAKERS)
@pytest.mark.parametrize(
    "wrong", [{"observation": 5}, {"observation": "clocks"}, {"action": object()}, {"action": "fast"}, {"action": 1.5}]
)
def test_blocks_and_kinds_of_action(face: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(EvMarlError, match=r"observation|action"):
        MAKERS[face](**wrong)


@pytest.mark.parametrize("face", ["parallel", "central"])
def test_a_scenario_is_a_name_a_path_or_a_scenario(face: str) -> None:
    make = {"parallel": ev_marl.parallel_env, "central": ev_marl.central_env}[face]
    for scenario in (5, None, object()):
        with pytest.raises(ArgumentError, match=r"scenario is .*name of a scenario, a path or a Scenario"):
            make(scenario)


@pytest.mark.parametrize("end", [{"max_cycles": 3}, {}])
def test_the_central_environment_does_not_go_on_after_its_end(end: dict[str, int]) -> None:
    env = ev_marl.central_env("tiny", **end)
    env.reset(seed=0)
    truncated = False
    while not truncated:
        *_, truncated, _ = env.step(np.zeros(3))
    with pytest.raises(RuntimeError, match=r"the episode is over; call reset\(\)"):
        env.step(np.zeros(3))
    env.reset()
    env.step(np.zeros(3))
