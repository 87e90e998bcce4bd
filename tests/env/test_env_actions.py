"""What actions mean, which are refused, and which levels the mask allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import ev_marl
from ev_marl.env.actions import ActionCoder
from ev_marl.scenario import ScenarioError
from ev_marl.scenario.schema import Levels
from ev_marl.support.errors import ActionError


@pytest.fixture(scope="module")
def mixed() -> ev_marl.Scenario:
    """`tiny` with two ports at each of its two AC stations, all of 11 kW; only bidi_0 has V2G; overload has a price."""
    model = ev_marl.load_scenario("tiny").model_dump(exclude_unset=True)
    model["objective"]["overload"] = 2.0
    model["site"]["groups"][0]["stations"][0]["ports"] = 2
    return ev_marl.Scenario.model_validate(model)


def parked(env: Any, seed: int = 5) -> Any:
    """The environment at a step at which bidi_0 has a vehicle and not every port of the AC stations has."""
    for offset in range(50):
        env.reset(seed=seed + offset)
        while env.agents:
            connected = env.simulator.state.session[0] >= 0
            if connected[-1] and 0 < connected[:-1].sum() < 4:
                return env
            env.step({agent: quiet(env, agent) for agent in env.agents})
    raise AssertionError("no such step in 50 days")


def quiet(env: Any, agent: str) -> Any:
    space = env.action_space(agent)
    if env.action_levels is None:
        return np.zeros(space.shape)
    zero = int(np.flatnonzero(env.action_levels == 0)[0])
    return zero if isinstance(space, spaces.Discrete) else np.full(space.shape, zero)


def test_continuous_actions_are_shares_of_the_rated_power(mixed: ev_marl.Scenario) -> None:
    env = parked(ev_marl.parallel_env(mixed, coordinator="none"))
    connected = env.simulator.state.session[0] >= 0
    lo, hi = env.simulator.state.lo_kw[0].copy(), env.simulator.state.hi_kw[0].copy()
    env.step({"ac_0": [0.5, 0.5], "ac_1": [-1.0, -1.0], "bidi_0": [-0.25]})
    granted = env.simulator.state.granted_kw[0]
    np.testing.assert_allclose(granted[:2], np.minimum(0.5 * 11.0, hi[:2]) * connected[:2])
    assert (granted[2:4] == 0).all()  # no V2G
    assert granted[4] == max(-0.25 * 11.0, lo[4])


def test_fractions_are_shares_of_what_is_possible(mixed: ev_marl.Scenario) -> None:
    env = parked(ev_marl.parallel_env(mixed, coordinator="none", action="fraction"))
    lo, hi = env.simulator.state.lo_kw[0].copy(), env.simulator.state.hi_kw[0].copy()
    env.step({"ac_0": [0.5, 3.0], "ac_1": [1.0, 0.0], "bidi_0": [-0.5]})
    np.testing.assert_allclose(env.simulator.state.granted_kw[0], [0.5 * hi[0], hi[1], hi[2], 0.0, 0.5 * lo[4]])


def test_levels(mixed: ev_marl.Scenario) -> None:
    env = parked(ev_marl.parallel_env(mixed, coordinator="none", action=5))
    assert env.action_space("bidi_0") == spaces.Discrete(5)
    assert env.action_space("ac_0") == spaces.MultiDiscrete([5, 5])
    hi, lo = env.simulator.state.hi_kw[0].copy(), env.simulator.state.lo_kw[0].copy()
    env.step({"ac_0": np.array([4, 2]), "ac_1": np.array([0, 1]), "bidi_0": np.int64(1)})
    shares = np.array([1.0, 0.0, -1.0, -0.5, -0.5])
    np.testing.assert_allclose(env.simulator.state.granted_kw[0], np.clip(shares * 11.0, lo, hi))


def test_levels_may_be_listed(mixed: ev_marl.Scenario) -> None:
    for kind in ([-1, 0, 0.3], {"levels": [-1, 0, 0.3]}, Levels(levels=[-1, 0, 0.3])):
        coder = ActionCoder(ev_marl.Site.from_scenario(mixed), kind)  # type: ignore[arg-type]
        assert coder.levels is not None
        np.testing.assert_array_equal(coder.levels, [-1, 0, 0.3])


def test_masks_allow_what_does_something(mixed: ev_marl.Scenario) -> None:
    env = parked(ev_marl.parallel_env(mixed, action=[-1.0, 0.0, 0.5, 1.0]))
    _, _, _, _, infos = env.step({agent: quiet(env, agent) for agent in env.agents})
    simulator = env.simulator
    masks = [*infos["ac_0"]["action_mask"], *infos["ac_1"]["action_mask"], infos["bidi_0"]["action_mask"]]
    for p, mask in enumerate(masks):
        up, down = simulator.state.hi_kw[0, p] > 0, simulator.state.lo_kw[0, p] < 0
        assert mask.dtype == np.int8
        assert mask.tolist() == [down, True, up, up]
    assert {tuple(mask) for mask in masks} >= {(0, 1, 0, 0), (0, 1, 1, 1)}
    env.action_space("ac_0").sample(infos["ac_0"]["action_mask"])
    env.action_space("bidi_0").sample(infos["bidi_0"]["action_mask"])


def test_only_levels_have_masks(mixed: ev_marl.Scenario) -> None:
    env = ev_marl.parallel_env(mixed)
    _, infos = env.reset(seed=0)
    assert "action_mask" not in infos["ac_0"]
    with pytest.raises(ActionError, match="only levels have"):
        ActionCoder(env.site, "continuous").level_mask(env.simulator.state)


def test_an_empty_port_stays_at_zero(mixed: ev_marl.Scenario) -> None:
    for kind in ("continuous", "fraction", 5):
        env = parked(ev_marl.parallel_env(mixed, coordinator="none", action=kind))
        empty = env.simulator.state.session[0] < 0
        env.step({agent: quiet(env, agent) + 1 for agent in env.agents})
        granted = env.simulator.state.granted_kw[0]
        assert (granted[empty] == 0).all()
        assert (granted[~empty] != 0).any()


GOOD: dict[str, Any] = {"ac_0": [0.1, 0.2], "ac_1": [0.3, 0.4], "bidi_0": [0.5]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ac_1": [np.nan, 0.0]}, r"'ac_1' is \[nan +0\.\]"),
        ({"ac_1": [0.0, np.inf]}, "'ac_1' is .*inf"),
        ({"ac_0": [0.1]}, r"'ac_0' has shape \(1,\); allowed is an array of shape \(2,\)"),
        ({"ac_0": [0.1], "bidi_0": [0.1, 0.2]}, "'ac_0' has shape"),
        ({"bidi_0": 0.5}, r"'bidi_0' has shape \(\)"),
        ({"bidi_0": [[0.5]]}, r"'bidi_0' has shape \(1, 1\)"),
        ({"bidi_0": ["a"]}, "'bidi_0' is"),
        ({"bidi_0": None}, r"'bidi_0' has shape \(\)"),
    ],
)
def test_unreadable_actions_name_the_agent(mixed: ev_marl.Scenario, changes: dict[str, Any], message: str) -> None:
    env = ev_marl.parallel_env(mixed)
    env.reset(seed=0)
    env.step(GOOD)
    with pytest.raises(ActionError, match=message):
        env.step({**GOOD, **changes})
    assert env.simulator.state.step == 1  # nothing happened


def test_a_missing_action_names_the_agent(mixed: ev_marl.Scenario) -> None:
    env = ev_marl.parallel_env(mixed)
    env.reset(seed=0)
    with pytest.raises(ActionError, match="'ac_1' has no action"):
        env.step({"ac_0": [0.1, 0.2], "bidi_0": [0.5]})
    with pytest.raises(ActionError, match="must be a dict"):
        env.step([0.0] * 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ac_0": [5, 0]}, r"'ac_0' is \[5\. 0\.\]; .* a level from 0 to 4"),
        ({"bidi_0": -1}, "'bidi_0' is -1"),
        ({"bidi_0": 1.5}, "'bidi_0' is 1.5"),
        ({"ac_0": 1}, r"'ac_0' has shape \(\)"),
    ],
)
def test_what_is_no_level_names_the_agent(mixed: ev_marl.Scenario, changes: dict[str, Any], message: str) -> None:
    env = ev_marl.parallel_env(mixed, action=5)
    env.reset(seed=0)
    good: dict[str, Any] = {"ac_0": [0, 4], "ac_1": np.array([1, 1]), "bidi_0": np.array([3])}
    env.step(good)
    with pytest.raises(ActionError, match=message):
        env.step({**good, **changes})


def test_arrays_of_actions_are_checked(mixed: ev_marl.Scenario) -> None:
    env = ev_marl.BatchedEnv(mixed, 3, n_days=2)
    env.reset()
    actions = np.zeros((3, 5))
    actions[2, 3] = np.nan
    with pytest.raises(ActionError, match="agent 'ac_1', row 2, port 1, is nan"):
        env.step(actions)
    with pytest.raises(ActionError, match=r"shape \(3, 4\), allowed is \(n_batch, n_ports\) = \(3, 5\)"):
        env.step(actions[:, :4])
    with pytest.raises(ActionError, match="array of numbers"):
        env.step("charge")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"action": "levels"}, "action: found 'levels'. Allowed: continuous, fraction, bid"),
        ({"action": [0.0, 2.0]}, "action.levels[1]: found 2.0; expected 1 or less"),
        ({"action": {"level": 3}}, "Did you mean 'levels'?"),
        ({"action": 4}, "action.levels: found 4; an even number of levels has none at 0: take 5"),
        ({"action": {"bid": {"says": ["addr"]}}}, "Did you mean 'adder'?"),
        ({"observation": "clock"}, "observation: found 'clock'; expected a list"),
        ({"observation": [{"price": "3 h"}]}, "Did you mean 'prices'?"),
        ({"observation": [{"prices": "3 h", "power": 1}]}, "observation[0].power: unknown key. Allowed: prices"),
    ],
)
def test_what_is_given_in_python_is_checked_like_a_file(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        ev_marl.parallel_env("tiny", **given)
    assert message in str(error.value)
