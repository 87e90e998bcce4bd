"""A state is all that an episode remembers: kept, copied, pickled, put back, or made from what chargers tell."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given
from hypothesis import strategies as st

from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.simulation.state import State

FLOW = ("setpoint_kw", "granted_kw", "energy_kwh", "settled", "unmet_kwh", "group_kw", "upper_kw", "import_kw")
COPIES: dict[str, Callable[[State], State]] = {
    "copy": State.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda state: pickle.loads(pickle.dumps(state)),
}


def a_day(seed: int) -> tuple[Simulator, np.ndarray]:
    """A simulator in the middle of two random days, and setpoints for all steps."""
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    tracks = [random_track(rng, site, n_steps=12) for _ in range(2)]
    simulator = Simulator(site.arrays, make_coordinator("nearest"), tracks)
    simulator.reset([0, 1])
    setpoint_kw = rng.normal(0, 15, (12, 2, site.arrays.n_ports))
    for step in range(5):
        simulator.step(setpoint_kw[step])
    return simulator, setpoint_kw


def kept(flow: Flow) -> dict[str, np.ndarray]:
    return {name: getattr(flow, name).copy() for name in FLOW}


def assert_same(one: State, other: State) -> None:
    assert one.step == other.step
    for name in ("day", "session", "following", "settled", "ports", "groups", "peak_kw"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.mark.parametrize("how", COPIES)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_episode_goes_on_from_a_copy_of_its_state(how: str, seed: int) -> None:
    simulator, setpoint_kw = a_day(seed)
    middle = COPIES[how](simulator.state)
    first = [kept(simulator.step(setpoint_kw[step])) for step in range(5, 12)]
    simulator.state = middle
    for step, flow in zip(range(5, 12), first, strict=True):
        np.testing.assert_equal(kept(simulator.step(setpoint_kw[step])), flow)
    assert simulator.done


@given(seed=st.integers(0, 2**32 - 1))
def test_a_step_from_a_state_changes_neither_it_nor_the_simulator(seed: int) -> None:
    simulator, setpoint_kw = a_day(seed)
    before = simulator.state.copy()
    flow, after = simulator.step_from(before, setpoint_kw[5])
    assert_same(before, simulator.state)
    np.testing.assert_equal(kept(flow), kept(simulator.step(setpoint_kw[5])))
    assert_same(after, simulator.state)
    # A tree of what might happen: two ways from the same state.
    idle, _ = simulator.step_from(before, np.zeros_like(setpoint_kw[5]))
    np.testing.assert_array_equal(idle.granted_kw, 0.0)
    np.testing.assert_array_equal(flow.granted_kw, after.granted_kw)


@given(seed=st.integers(0, 2**32 - 1))
def test_who_is_there_and_what_is_in_the_batteries_make_a_state(seed: int) -> None:
    simulator, setpoint_kw = a_day(seed)
    state = simulator.state.copy()
    told = simulator.state_at(5, state.session, state.energy_kwh, state.day)
    for name in ("following", "lo_kw", "hi_kw", "laxity_h", "lower_kw", "upper_kw", "base_load_kw"):
        np.testing.assert_array_equal(getattr(told, name), getattr(state, name), name)
    flow, after = simulator.step_from(told, setpoint_kw[5])
    known, then = simulator.step_from(state, setpoint_kw[5])
    np.testing.assert_array_equal(flow.granted_kw, known.granted_kw)
    np.testing.assert_array_equal(after.energy_kwh, then.energy_kwh)


def test_named_arrays_of_a_copy_belong_to_it() -> None:
    simulator, _ = a_day(0)
    for how in COPIES.values():
        state = how(simulator.state)
        state.energy_kwh += 1.0
        state.upper_kw += 1.0
        np.testing.assert_array_equal(state.ports[0, :2], simulator.state.energy_kwh + 1.0)
        np.testing.assert_array_equal(state.groups[1], simulator.state.upper_kw + 1.0)


def test_a_step_after_the_end_is_refused() -> None:
    simulator, setpoint_kw = a_day(0)
    for step in range(5, 12):
        simulator.step(setpoint_kw[step])
    with pytest.raises(RuntimeError, match="over"):
        simulator.step_from(simulator.state, setpoint_kw[0])
