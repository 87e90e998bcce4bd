"""The terms about the network: costs worked by hand, parts that sum to the whole, and who pays."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from builders import random_track
from hypothesis import given
from hypothesis import strategies as st
from network_cases import quiet_flow

from ev_marl.objective import TERMS, Objective
from ev_marl.objective.base import Term
from ev_marl.objective.grid import GridLosses, LineOverload, TransformerOverload, VoltageDeviation
from ev_marl.scenario import load_scenario
from ev_marl.scenario.schema.grid import Grid
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import ObjectiveError

STEP_H = 0.5
NAMES = ("voltage_deviation", "line_overload", "transformer_overload", "grid_losses")


def flow_of(*granted_kw: list[float], **network: Any) -> Flow:
    """A step of half an hour at three one-port stations, one row for each list of powers, with this on the network."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid")
    for a in range(3):
        graph.add_node(f"ac_{a}", kind="station")
        graph.add_edge("grid", f"ac_{a}")
        graph.add_node(f"ac_{a}/0", kind="port", charge_kw=50.0, discharge_kw=50.0)
        graph.add_edge(f"ac_{a}", f"ac_{a}/0")
    site = Site.from_graph(graph)
    track = random_track(np.random.default_rng(0), site, n_steps=2, step_h=STEP_H)
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset([0] * len(granted_kw))
    flow = simulator.step(np.zeros((len(granted_kw), 3)))
    flow.granted_kw[:] = granted_kw
    if network:
        flow.grid = quiet_flow(len(granted_kw), **network)
    return flow


def cost(term: Term, flow: Flow) -> list[list[float]]:
    out = np.full(flow.granted_kw.shape, np.nan)
    term.cost(flow, out)
    return out.tolist()


def test_low_voltage_is_paid_by_those_who_draw() -> None:
    flow = flow_of([6.0, 2.0, -4.0], vm_pu=[1.0, 0.95, 0.88, 0.85])
    # 0.02 + 0.05 p.u. below the band for half an hour at 100 a p.u.·h: 3.50
    assert cost(VoltageDeviation(100.0), flow)[0] == pytest.approx([0.75 * 3.5, 0.25 * 3.5, 0.0])
    assert cost(VoltageDeviation(100.0, "equal"), flow)[0] == pytest.approx([3.5 / 3] * 3)


def test_high_voltage_is_paid_by_those_who_feed() -> None:
    flow = flow_of([6.0, -3.0, -1.0], vm_pu=[1.0, 1.05, 1.12, 1.10])
    assert cost(VoltageDeviation(100.0), flow)[0] == pytest.approx([0.0, 0.75, 0.25])


def test_both_sides_of_the_band_at_once() -> None:
    flow = flow_of([6.0, 2.0, -4.0], vm_pu=[1.0, 1.0, 1.14, 0.88])
    assert cost(VoltageDeviation(100.0), flow)[0] == pytest.approx([0.75, 0.25, 2.0])


def test_nobody_pays_for_what_happens_without_charging() -> None:
    flow = flow_of(
        [6.0, 2.0, 0.0],
        vm_pu=[1.0, 0.9, 0.86, 0.9],
        lowest_pu=[0.9, 0.9, 0.87, 0.9],  # 0.87 without charging
        line_percent=[130.0, 90.0],
        line_limit_percent=[120.0, 100.0],
    )
    assert np.sum(cost(VoltageDeviation(100.0), flow)) == pytest.approx(100 * 0.01 * STEP_H)
    assert np.sum(cost(LineOverload(2.0), flow)) == pytest.approx(2.0 * 0.1 * 40.0 * STEP_H)


def test_overload_is_priced_in_kva() -> None:
    flow = flow_of(
        [6.0, 2.0, -4.0],
        [-6.0, -2.0, 4.0],
        charger_kw=[[4.0, 0.0], [-4.0, 0.0]],
        line_percent=[[110.0, 120.0], [100.0, 105.0]],  # 4 + 12 kVA, 0 + 3 kVA
        transformer_percent=[[103.0], [99.0]],  # 3 kVA, within
    )
    assert cost(LineOverload(0.5), flow) == [pytest.approx([3.0, 1.0, 0.0]), pytest.approx([0.5625, 0.1875, 0.0])]
    assert cost(TransformerOverload(2.0), flow) == [pytest.approx([2.25, 0.75, 0.0]), [0.0, 0.0, 0.0]]
    assert cost(TransformerOverload(2.0, "equal"), flow) == [pytest.approx([1.0, 1.0, 1.0]), [0.0, 0.0, 0.0]]


def test_losses_count_above_those_without_charging_and_may_be_an_income() -> None:
    flow = flow_of(
        [6.0, 2.0, 0.0],
        [-1.0, 0.0, 0.0],
        [0.0, 0.0, 0.0],
        charger_kw=[[8.0, 0.0], [0.0, -1.0], [0.0, 0.0]],
        losses_kw=[1.5, 0.4, 0.5],
        idle_losses_kw=0.5,
    )
    assert cost(GridLosses(0.4), flow) == [pytest.approx([0.15, 0.05, 0.0]), pytest.approx([-0.02, 0, 0]), [0, 0, 0]]


@pytest.mark.parametrize("name", NAMES)
def test_without_a_network_nothing_is_paid(name: str) -> None:
    assert cost(TERMS.get(name)(1.0), flow_of([6.0, 2.0, -4.0])) == [[0.0, 0.0, 0.0]]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["equal", "responsibility"]))
def test_parts_sum_to_the_whole(seed: int, split: str) -> None:
    rng = np.random.default_rng(seed)
    powers = rng.normal(0, 10, (4, 3)) * (rng.random((4, 3)) < 0.7)
    network = {
        "charger_kw": np.stack([powers[:, 0], powers[:, 1] + powers[:, 2]], axis=1),
        "vm_pu": rng.normal(1.0, 0.1, (4, 4)),
        "line_percent": rng.uniform(0, 200, (4, 2)),
        "transformer_percent": rng.uniform(0, 200, (4, 1)),
        "losses_kw": rng.uniform(0, 5, 4),
        "idle_losses_kw": rng.uniform(0, 5, 4),
    }
    flow = flow_of(*powers.tolist(), **network)
    grid = flow.grid
    assert grid is not None
    wholes = {
        "voltage_deviation": np.maximum(0, np.maximum(0.9 - grid.vm_pu, grid.vm_pu - 1.1)).sum(axis=1),
        "line_overload": (np.maximum(0, grid.line_percent - 100) / 100 * [40, 60]).sum(axis=1),
        "transformer_overload": np.maximum(0, grid.transformer_percent[:, 0] - 100),
        "grid_losses": grid.losses_kw - grid.idle_losses_kw,
    }
    for name, whole in wholes.items():
        parts = np.array(cost(TERMS.get(name)(3.0, split), flow))
        np.testing.assert_allclose(parts.sum(axis=1), 3.0 * STEP_H * whole, atol=1e-9)
        assert split == "equal" or np.all(parts * np.sign(whole)[:, None] >= 0)


class FakeGridModel:
    """A network whose quantities are their own names."""

    def beyond_band_pu(self) -> list[str]:
        return ["band 0", "band 1"]

    def line_overload_kva(self) -> list[str]:
        return ["lines 0", "lines 1"]

    def transformer_overload_kva(self) -> list[str]:
        return ["transformers 0", "transformers 1"]

    def added_losses_kw(self) -> list[str]:
        return ["losses 0", "losses 1"]


class FakeDay:
    """Two steps of a quarter of an hour; expressions are dictionaries."""

    n_steps, step_h = 2, 0.25

    def __init__(self, grid: FakeGridModel | None) -> None:
        self.grid = grid

    def linear(self, variables: list[str], coefficients: np.ndarray) -> dict[str, float]:
        return dict(zip(variables, coefficients.tolist(), strict=True))


@pytest.mark.parametrize(("name", "word"), [*zip(NAMES, ("band", "lines", "transformers", "losses"), strict=True)])
def test_in_the_optimum_a_price_times_its_own_quantity(name: str, word: str) -> None:
    term = TERMS.get(name)(8.0)
    assert term.expression(FakeDay(FakeGridModel())) == {f"{word} 0": 2.0, f"{word} 1": 2.0}  # type: ignore[arg-type]
    with pytest.raises(ObjectiveError, match=f"'{name}' prices what happens on the network"):
        term.expression(FakeDay(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_without_a_network_cannot_price_it(name: str) -> None:
    scenario = load_scenario("tiny")
    priced = scenario.model_copy(update={"objective": scenario.objective.model_copy(update={name: 2.0})})
    with pytest.raises(ObjectiveError, match=f"'{name}' is about a network.*it needs `grid:`"):
        Objective.from_scenario(priced, make_coordinator("nearest"))


def test_a_scenario_with_a_network_has_the_terms_that_it_prices() -> None:
    scenario = load_scenario("tiny")
    prices = {"voltage_deviation": 50.0, "grid_losses": 0.2, "split": "equal"}
    priced = scenario.model_copy(
        update={
            "grid": Grid(network="cigre_lv"),
            "objective": scenario.objective.model_copy(update=prices),
        }
    )
    objective = Objective.from_scenario(priced, make_coordinator("nearest"))
    voltage, losses = objective.terms[-2:]
    assert isinstance(voltage, VoltageDeviation)
    assert isinstance(losses, GridLosses)
    assert (voltage.price_per_pu_h, voltage.split, losses.price_per_kwh, losses.split) == (50.0, "equal", 0.2, "equal")
