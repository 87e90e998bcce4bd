"""The test suites of PettingZoo and Gymnasium, and what the registries know."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)

import ev_marl

KINDS: list[Any] = ["continuous", "fraction", 5]


@pytest.fixture(params=KINDS, ids=str)
def make(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Constructors of both PettingZoo faces of the scenario `tiny`."""
    return SimpleNamespace(
        parallel_env=partial(ev_marl.parallel_env, "tiny", action=request.param),
        env=partial(ev_marl.env, "tiny", action=request.param),
    )


def test_parallel_api(make: SimpleNamespace) -> None:
    parallel_api_test(make.parallel_env(), num_cycles=60)


def test_aec_api(make: SimpleNamespace) -> None:
    api_test(make.env(), num_cycles=100)


def test_aec_api_of_stations_that_differ() -> None:
    with warnings.catch_warnings():
        # Inherent: stations with one port and with two have action spaces of different sizes.
        warnings.filterwarnings("ignore", message="Agents have different action space sizes")
        api_test(ev_marl.env(mixed_ports()), num_cycles=60)


def mixed_ports() -> ev_marl.Scenario:
    """`tiny` with a second port at one station."""
    model = ev_marl.load_scenario("tiny").model_dump(exclude_unset=True)
    yard = model["site"]["groups"][0]["stations"]
    yard[1]["ports"] = 2
    return ev_marl.Scenario.model_validate(model)


def test_seeds(make: SimpleNamespace) -> None:
    parallel_seed_test(make.parallel_env, num_cycles=30)
    seed_test(make.env, num_cycles=30)


def test_max_cycles(make: SimpleNamespace) -> None:
    max_cycles_test(make)


def test_state(make: SimpleNamespace) -> None:
    state_test(make.env(), make.parallel_env())


def test_render(make: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    render_test(make.env)
    assert "step" in capsys.readouterr().out  # the mode "human" prints


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gymnasium_checks_the_central_environment(kind: Any) -> None:
    check_env(gymnasium.make("ev_marl/central-v0", scenario="tiny", action=kind).unwrapped)


@pytest.mark.parametrize("kind", ["parallel", "aec"])
def test_registered_in_pettingzoo(kind: str) -> None:
    env = pettingzoo.make(kind, "ev_marl/charging-v0", scenario="tiny", max_cycles=3)
    assert env.possible_agents == ["ac_0", "ac_1", "bidi_0"]
    assert env.unwrapped.max_cycles == 3


def test_a_mask_samples(make: SimpleNamespace) -> None:
    env = make.parallel_env()
    _, infos = env.reset(seed=3)
    for agent in env.agents:
        sample: Callable[..., Any] = env.action_space(agent).sample
        assert env.action_space(agent).contains(sample(infos[agent].get("action_mask")))


def test_spaces_are_the_same_objects(make: SimpleNamespace) -> None:
    env = make.parallel_env()
    assert all(env.observation_space(agent) is env.observation_space(agent) for agent in env.possible_agents)
    first, second = (env.observation_space(agent) for agent in env.possible_agents[:2])
    first.seed(0)
    second.seed(1)
    assert not np.array_equal(first.sample(), second.sample())
