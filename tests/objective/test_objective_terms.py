"""The terms: hand-worked costs, parts that sum to the whole, rewards that sum to the team's."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given
from hypothesis import strategies as st

from ev_marl.objective import TERMS, Costs, Objective, expression_of
from ev_marl.objective.base import BuiltIn
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.objective import BUILT_IN, LAST_BIT
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.terminal import TerminalValue
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.scenario import load_scenario
from ev_marl.scenario.schema import Objective as ObjectiveKeys
from ev_marl.scenario.series import Series
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import ObjectiveError, UnknownNameError
from ev_marl.world.track import Track

TARGET = Series(tuple(float(hour) for hour in range(24)), "by_hour")


def every_term(split: str) -> list:
    return [
        EnergyCost(1.5),
        UnmetEnergy(0.4),
        DriverTariff(0.45),
        BatteryWear(0.03),
        Overload(2.0, split),
        SetpointTracking(0.01, TARGET, split),
        PeakPower(0.1, split),
    ]


def two_rows(seed: int) -> tuple[np.random.Generator, Site, Track, Simulator]:
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    track = random_track(rng, site)
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset([0, 0])
    return rng, site, track, simulator


def expected_costs(flow: Flow, hour: np.ndarray) -> dict[str, np.ndarray]:
    """Every term of the team, straight from its definition in the documentation."""
    p, step_h = flow.granted_kw, flow.step_h
    over = np.maximum(0, np.maximum(flow.group_kw - flow.upper_kw, flow.lower_kw - flow.group_kw))
    price = np.where(p > 0, flow.buy_per_kwh[:, None], flow.sell_per_kwh[:, None])
    imported = np.maximum(0, p.sum(axis=1) + flow.base_load_kw[:, 0])
    return {
        "energy_cost": 1.5 * step_h * (price * p).sum(axis=1),
        "unmet_energy": 0.4 * flow.unmet_kwh.sum(axis=1),
        "driver_tariff": -0.45 * step_h * p.sum(axis=1),
        "battery_wear": 0.03 * step_h * np.abs(p).sum(axis=1),
        "overload": 2.0 * step_h * over.sum(axis=1),
        "setpoint_tracking": 0.01 * step_h * (p.sum(axis=1) - np.floor(hour)) ** 2,
        "peak_power": 0.1 * np.maximum(0, imported - flow.peak_before_kw),
    }


@given(st.integers(0, 2**32 - 1), st.sampled_from(["equal", "responsibility"]))
def test_parts_sum_to_the_whole_and_agents_to_the_team(seed: int, split: str) -> None:
    rng, site, _, simulator = two_rows(seed)
    objective = Objective(every_term(split), limits_are_hard=False)
    while not simulator.done:
        flow = simulator.step(rng.normal(0, 20, (2, site.arrays.n_ports)))
        costs = objective.costs(flow).copy()
        rewards, agent_costs = objective.evaluate(flow)
        for name, whole in expected_costs(flow, flow.local_hour).items():
            i = objective.names.index(name)
            np.testing.assert_allclose(costs[i].sum(axis=1), whole, atol=1e-9)
            np.testing.assert_allclose(agent_costs[i].sum(axis=1), whole, atol=1e-9)
        np.testing.assert_allclose(rewards, -agent_costs.sum(axis=0), atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_costs_are_the_same_in_arrays_that_are_used_again(seed: int) -> None:
    """Whatever was due in earlier steps, terms that are not due cost 0; calling them all gives the same."""
    rng, site, _, simulator = two_rows(seed)
    objective = Objective([TerminalValue(0.3), *every_term("responsibility")], limits_are_hard=False)
    into = Costs(len(objective.terms), 2, site.arrays)
    out = np.empty((2, site.arrays.n_ports))
    while not simulator.done:
        flow = simulator.step(rng.normal(0, 20, (2, site.arrays.n_ports)))
        rewards, costs = objective.evaluate(flow, into)
        for expected, found in zip(objective.evaluate(flow), (rewards, costs), strict=True):
            np.testing.assert_array_equal(expected, found)
        for i, term in enumerate(objective.terms):
            term.cost(flow, out)
            np.testing.assert_array_equal(into.by_port[i], out)


@given(st.integers(0, 2**32 - 1))
def test_responsibility_charges_only_those_who_push_the_offending_way(seed: int) -> None:
    rng, site, _, simulator = two_rows(seed)
    term = Overload(1.0, "responsibility")
    out = np.empty((2, site.arrays.n_ports))
    while not simulator.done:
        flow = simulator.step(np.abs(rng.normal(0, 20, (2, site.arrays.n_ports))))
        term.cost(flow, out)
        assert np.all(out[flow.granted_kw == 0] == 0)
        assert np.all(out >= 0)


@given(st.integers(0, 2**32 - 1))
def test_the_peak_is_paid_once(seed: int) -> None:
    rng, site, _, simulator = two_rows(seed)
    term = PeakPower(0.5)
    out = np.empty((2, site.arrays.n_ports))
    paid = np.zeros(2)
    highest = np.zeros(2)
    while not simulator.done:
        flow = simulator.step(rng.normal(0, 20, (2, site.arrays.n_ports)))
        term.cost(flow, out)
        paid += out.sum(axis=1)
        highest = np.maximum(highest, flow.import_kw)
    np.testing.assert_allclose(paid, 0.5 * highest, atol=1e-9)


def test_targets_by_hour_by_step_and_constant() -> None:
    hours = np.array([0.0, 0.5, 1.0, 23.75])
    steps = np.arange(4)
    assert SetpointTracking(1, TARGET).target_kw(steps, hours).tolist() == [0, 0, 1, 23]
    assert SetpointTracking(1, Series.constant(7)).target_kw(steps, hours).tolist() == [7, 7, 7, 7]
    by_step = Series((4.0, 3.0, 2.0, 1.0), "by_step")
    assert SetpointTracking(1, by_step).target_kw(steps, hours).tolist() == [4, 3, 2, 1]
    assert SetpointTracking(1, by_step).target_kw(2, np.zeros(3)).tolist() == [2, 2, 2]


class Unbounded:
    """A term that only has a value."""

    name = "mood"

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        out[:] = 1.0

    def expression(self, day: object) -> None:
        return None


def test_a_term_without_expression_gives_rewards_but_no_bound() -> None:
    *_, simulator = two_rows(0)
    objective = Objective([Unbounded()])
    flow = simulator.step(np.zeros((2, simulator.site.n_ports)))
    assert objective.evaluate(flow)[0].sum() == pytest.approx(-2 * simulator.site.n_ports)
    with pytest.raises(ObjectiveError, match="'mood' has no expression"):
        expression_of(Unbounded(), None)  # type: ignore[arg-type]


def test_one_objective_serves_sites_of_any_size() -> None:
    """Also one after the other with as many ports and another number of stations."""
    cases = sorted((two_rows(seed) for seed in range(30)), key=lambda case: case[1].arrays.n_ports)
    shapes = [(site.arrays.n_ports, site.arrays.n_stations) for _, site, *_ in cases]
    assert any(one[0] == two[0] and one[1] != two[1] for one, two in pairwise(shapes))
    shared = Objective(every_term("responsibility"), limits_are_hard=False)
    for rng, site, _, simulator in cases:
        flow = simulator.step(rng.normal(0, 20, (2, site.arrays.n_ports)))
        rewards, costs = shared.evaluate(flow)
        expected = Objective(shared.terms, limits_are_hard=False).evaluate(flow)
        np.testing.assert_array_equal(rewards, expected[0])
        np.testing.assert_array_equal(costs, expected[1])


def test_objectives_need_terms_with_different_names() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Objective([])
    with pytest.raises(ValueError, match="different names"):
        Objective([EnergyCost(), EnergyCost()])


def test_an_unknown_term_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'battery_wear'"):
        TERMS.get("battery_waer")


def test_every_key_below_objective_is_read_by_one_term() -> None:
    declared = [key for term in BUILT_IN for key in term.keys]
    shared = ["split", "extra"]  # how costs are split, and terms of one's own
    assert sorted([*declared, *shared]) == sorted(ObjectiveKeys.model_fields)
    assert {term.name for term in BUILT_IN} <= set(TERMS)


class Noting:
    """Notes which attributes of an object are read."""

    def __init__(self, noted: object) -> None:
        self.noted, self.read = noted, set[str]()

    def __getattr__(self, name: str) -> object:
        self.read.add(name)
        return getattr(self.noted, name)


@pytest.mark.parametrize("term", BUILT_IN, ids=lambda term: term.name)
def test_a_term_reads_the_keys_that_it_declares(term: type[BuiltIn]) -> None:
    scenario, keys = load_scenario("tiny"), Noting(ObjectiveKeys())
    rest = {"billed_at": scenario.billed_at, "grid": None, "n_steps": scenario.n_steps, "site": scenario.site}
    rest["events"] = []
    seen = SimpleNamespace(objective=keys, **rest)
    term.of(seen, [EnergyCost(), UnmetEnergy(0.4)])
    assert keys.read >= set(term.keys)


@pytest.mark.parametrize("n_terms", [3, 70])
def test_which_terms_cost_anything_is_told_also_where_there_are_more_than_bits(n_terms: int) -> None:
    class Fee:
        def __init__(self, number: int) -> None:
            self.name, self.fee = f"fee_{number}", float(number % 2)

        def cost(self, flow: Flow, out: np.ndarray) -> None:
            out[:] = self.fee

        def expression(self, day: object) -> None:
            return None

    _, site, _, simulator = two_rows(0)
    costs = Costs(n_terms, 2, site.arrays)
    objective = Objective([Fee(number) for number in range(n_terms)])
    objective.evaluate(simulator.step(simulator.state.hi_kw.copy()), costs)
    told = [bool(costs.charged >> min(i, LAST_BIT) & 1) for i in range(n_terms)]
    assert told == [i % 2 == 1 or i >= LAST_BIT for i in range(n_terms)]
