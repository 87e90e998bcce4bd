"""Coordinators within limits of currents: every limit kept, each by its own rule, `nearest` against another solver."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from coordinator_cases import grant
from scipy.optimize import minimize

from ev_marl.scenario.schema import Transformer
from ev_marl.simulation.coordinators import COORDINATORS, Request
from ev_marl.simulation.days import STAY
from ev_marl.site import Site
from ev_marl.testing.cases import group_sums

PHASES = ("L1", "L2", "L3", "L1-L2", "L2-L3", "L3-L1", "L1-L2-L3")
KEEPERS = ("proportional", "priority", "round-robin", "nearest")


def random_site(rng: np.random.Generator, most_ports: int = 14) -> Site:
    """One to four groups, some with limits of currents, at least the first; ports on any phases."""
    graph = nx.DiGraph()
    names: list[str] = []
    for g in range(int(rng.integers(1, 5))):
        group: dict[str, object] = {"kind": "building"}
        if g == 0 or rng.random() < 0.6:
            group["current_limit_a"] = float(rng.uniform(5, 120))
        if rng.random() < 0.4:
            windings = str(rng.choice(["Dyn11", "Dyn1", "YNyn0", "Yyn0"]))
            rating = float(rng.uniform(5, 80))
            group["transformer"] = Transformer(rating=rating, primary=690, secondary=400, vector_group=windings)
        graph.add_node(f"g{g}", **group)
        if names:
            graph.add_edge(str(rng.choice(names)), f"g{g}")
        names.append(f"g{g}")
    leaves = [name for name in names if graph.out_degree(name) == 0]
    homes = leaves + [str(rng.choice(names)) for _ in range(int(rng.integers(1, most_ports)))]
    for a, home in enumerate(homes):
        graph.add_node(f"ac_{a}", kind="station", phases=str(rng.choice(PHASES)))
        graph.add_node(f"ac_{a}/0", kind="port", charge_kw=22.0, discharge_kw=22.0)
        graph.add_edges_from([(home, f"ac_{a}"), (f"ac_{a}", f"ac_{a}/0")])
    return Site.from_graph(graph)


def random_request(rng: np.random.Generator, site: Site, n_batch: int) -> Request:
    """Setpoints of both signs, limits absent, loose, tight or zero, base loads from feeding in to beyond the limit."""
    arrays = site.arrays
    shape, limits = (n_batch, arrays.n_ports), (n_batch, arrays.n_groups)
    asked = rng.uniform(0, 22, shape) * np.where(rng.random(shape) < rng.choice([0.0, 0.3, 0.6], (n_batch, 1)), -1, 1)
    base_kw = rng.normal(0, 15, limits) * (rng.random((n_batch, 1)) < 0.7)
    base = arrays.current_base_weight[:, 0] + 1j * arrays.current_base_weight[:, 1]
    base = base_kw[:, arrays.current_group] * base
    size = (arrays.group_end_port - arrays.group_first_port) * 12

    def limit() -> np.ndarray:
        kind = rng.random(limits)
        return np.where(kind < 0.5, np.inf, np.where(kind > 0.95, 0.0, rng.uniform(0.0, 1.0, limits) * size))

    stays = np.zeros(asked.size, dtype=STAY)
    stays["arrival_step"], stays["departure_step"] = rng.integers(0, 9, (2, asked.size))
    return Request(
        setpoint_kw=asked,
        lo_kw=np.minimum(asked, 0),
        hi_kw=np.maximum(asked, 0),
        lower_kw=-limit(),
        upper_kw=limit(),
        laxity_h=rng.uniform(-1, 8, shape),
        currents=np.stack([base.real, base.imag, np.maximum(arrays.current_limit_a, np.abs(base))]),
        session=np.arange(asked.size).reshape(shape),
        stays=stays,
        site=arrays,
    )


def currents_of(request: Request, power_kw: np.ndarray) -> np.ndarray:
    """Magnitudes, shape (B, R)."""
    weight = request.site.current_weight
    base = request.currents[0] + 1j * request.currents[1]
    return np.abs(base + power_kw @ (weight[:, 0] + 1j * weight[:, 1]).T)


def of_site(*phases: str, asked: list[float], limit_a: float, laxity: list[float] | None = None) -> Request:
    """Ports at 230 V below one group with a current limit, and 230 W for each ampere between phase and neutral."""
    graph = nx.DiGraph()
    graph.add_node("lot", kind="parking_lot", current_limit_a=limit_a)
    for k, conductors in enumerate(phases):
        graph.add_node(f"ac_{k}", kind="station", phases=conductors)
        graph.add_node(f"ac_{k}/0", kind="port", charge_kw=46.0, discharge_kw=46.0)
        graph.add_edges_from([("lot", f"ac_{k}"), (f"ac_{k}", f"ac_{k}/0")])
    site = Site.from_graph(graph).arrays
    setpoint = np.array([asked])
    limit = np.broadcast_to(site.current_limit_a, (1, site.n_currents))
    return Request(
        setpoint_kw=setpoint,
        lo_kw=np.minimum(setpoint, 0),
        hi_kw=np.maximum(setpoint, 0),
        lower_kw=np.full((1, 1), -np.inf),
        upper_kw=np.full((1, 1), np.inf),
        laxity_h=np.array([laxity or np.arange(len(asked), dtype=float).tolist()]),
        currents=np.stack([np.zeros(limit.shape), np.zeros(limit.shape), limit]),
        session=np.full(setpoint.shape, -1),
        stays=np.zeros(0, dtype=STAY),
        site=site,
    )


@pytest.mark.parametrize("name", KEEPERS)
def test_every_coordinator_keeps_all_limits(name: str) -> None:
    rng = np.random.default_rng(11)
    coordinator = COORDINATORS.make(name, options={"increment_kw": 0.5} if name == "round-robin" else {})
    for _ in range(100):  # of 1,000 rows: 10^5 random steps
        site = random_site(rng)
        request = random_request(rng, site, 1000)
        granted = grant(coordinator, request)
        asked = request.setpoint_kw
        assert (granted >= np.minimum(asked, 0)).all()
        assert (granted <= np.maximum(asked, 0)).all()
        sums = group_sums(request.site, granted)
        assert (sums <= request.upper_kw + 1e-9).all()
        assert (sums >= request.lower_kw - 1e-9).all()
        assert (currents_of(request, granted) <= request.currents[2] * (1 + 1e-6) + 1e-8).all()
        alone = grant(coordinator, request.of_rows(slice(7, 8)))
        assert alone.tobytes() == granted[7].tobytes()


@pytest.mark.parametrize("name", KEEPERS)
def test_a_request_within_all_limits_is_granted_bit_for_bit(name: str) -> None:
    rng = np.random.default_rng(12)
    coordinator = COORDINATORS.make(name, options={})
    for _ in range(20):
        request = random_request(rng, random_site(rng), 50)
        limits = request.currents.copy()
        limits[2] = np.maximum(limits[2], currents_of(request, request.setpoint_kw))
        sums = group_sums(request.site, request.setpoint_kw)
        upper, lower = np.maximum(request.upper_kw, sums) + 1e-9, np.minimum(request.lower_kw, sums) - 1e-9
        wide = replace(request, currents=limits, upper_kw=upper, lower_kw=lower)
        assert grant(coordinator, wide).tobytes() == request.setpoint_kw.tobytes()


def test_priority_fills_up_to_the_first_row_that_binds() -> None:
    # 23 kW and 11.5 kW on L1 are 100 A and 50 A: of 120 A, the second gets 20 A. L2 has room for all.
    request = of_site("L1", "L1", "L2", asked=[23.0, 11.5, 11.5], limit_a=120.0)
    assert grant(COORDINATORS.make("priority", options={}), request)[0] == pytest.approx([23.0, 4.6, 11.5])
    late = of_site("L1", "L1", "L2", asked=[23.0, 11.5, 11.5], limit_a=120.0, laxity=[2.0, 1.0, 0.0])
    assert grant(COORDINATORS.make("priority", options={}), late)[0] == pytest.approx([16.1, 11.5, 11.5])


def test_a_port_can_make_room_for_the_next_one() -> None:
    # 46 kW between L1 and L2 are 115.5 A: of 100 A in L1, 100 A are granted. L1-L3 would add; but a discharger on L1,
    # which is served first, carries 100 A of that at another angle.
    line = np.sqrt(3) * 0.23
    request = of_site("L1-L2", "L1", asked=[150 * line, -23.0], limit_a=100.0)
    granted = grant(COORDINATORS.make("priority", options={}), request)[0]
    assert granted[1] == pytest.approx(-23.0)  # 100 A in L1, out of the site
    # L1: |100·x∠30° − 100| = 100 at x = 2·cos 30° = 1.73; L2: 100·x = 100 binds first.
    assert granted[0] == pytest.approx(100 * line)


@pytest.mark.parametrize(("order", "first"), [("laxity", 0), ("deadline", 1), ("arrival", 2)])
def test_priority_serves_in_the_order_that_is_asked_for(order: str, first: int) -> None:
    stays = np.zeros(3, dtype=STAY)
    stays["arrival_step"], stays["departure_step"] = [3, 2, 1], [9, 7, 8]
    request = of_site("L1", "L1", "L1", asked=[11.5, 11.5, 11.5], limit_a=50.0)
    request = replace(request, stays=stays, session=np.array([[0, 1, 2]]))
    granted = grant(COORDINATORS.make("priority", options={"order": order}), request)[0]
    assert granted == pytest.approx(np.eye(3)[first] * 11.5)
    loose = np.stack([*np.zeros((2, 1, 1)), np.full((1, 1), 1e9)])
    in_kw = replace(request, upper_kw=np.array([[11.5]]), currents=loose)
    assert grant(COORDINATORS.make("priority", options={"order": order}), in_kw)[0] == pytest.approx(granted)
    site = replace(request.site, current_weight=np.zeros((0, 2, 3)), current_limit_a=np.zeros(0))
    without_rows = replace(in_kw, site=site, currents=np.zeros((3, 1, 0)))
    assert grant(COORDINATORS.make("priority", options={"order": order}), without_rows)[0] == pytest.approx(granted)


def test_round_robin_raises_all_in_turn_until_an_increment_does_not_fit() -> None:
    # Increments of 10 A: of 65 A on L1, three times two ports, then none fits; L2 gets all it asks for.
    request = of_site("L1", "L1", "L2", asked=[23.0, 23.0, 12.0], limit_a=65.0)
    granted = grant(COORDINATORS.make("round-robin", options={"increment_kw": 2.3}), request)[0]
    assert granted == pytest.approx([6.9, 6.9, 12.0])
    request = of_site("L1", "L1", "L1", asked=[23.0, 23.0, 23.0], limit_a=65.0)
    granted = grant(COORDINATORS.make("round-robin", options={"increment_kw": 2.3}), request)[0]
    assert granted == pytest.approx([4.6, 4.6, 4.6])


def test_round_robin_gives_what_is_asked_where_less_than_an_increment_is_left() -> None:
    request = of_site("L1", "L1", asked=[3.0, 23.0], limit_a=40.0)
    granted = grant(COORDINATORS.make("round-robin", options={"increment_kw": 2.3}), request)[0]
    assert granted == pytest.approx([3.0, 4.6])


def within(request: Request, x: np.ndarray) -> np.ndarray:
    """How far powers of the only batch row are within all limits; negative: beyond."""
    sums, currents = group_sums(request.site, x[None])[0], currents_of(request, x[None])[0]
    room = np.concatenate([request.upper_kw[0] - sums, sums - request.lower_kw[0], request.currents[2, 0] - currents])
    return room[np.isfinite(room)]


def by_another_solver(request: Request, weights: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, bool]:
    """The projection by sequential quadratic programming, and whether it found one."""
    asked = request.setpoint_kw[0]
    answer = minimize(
        lambda x: ((x - asked) ** 2 / weights).sum(),
        start,
        jac=lambda x: 2 * (x - asked) / weights,
        bounds=list(zip(np.minimum(asked, 0), np.maximum(asked, 0), strict=True)),
        constraints={"type": "ineq", "fun": lambda x: within(request, x)},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-13},
    )
    return answer.x, bool(answer.success and (within(request, answer.x) > -1e-6).all())


def test_nearest_is_the_projection_that_another_solver_finds() -> None:
    rng = np.random.default_rng(13)
    compared = 0
    for _ in range(80):
        site = random_site(rng, most_ports=6)
        request = random_request(rng, site, 1)
        asked = request.setpoint_kw[0]
        weights = rng.uniform(0.5, 2.0, len(asked))
        granted = grant(COORDINATORS.make("nearest", options={"weights": weights.tolist()}), request)[0]
        if np.array_equal(granted, asked):
            continue
        other, found = by_another_solver(request, weights, 0.5 * granted)
        if found:
            mine, theirs = (((x - asked) ** 2 / weights).sum() for x in (granted, other))
            assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-5)
            assert granted == pytest.approx(other, abs=1e-3)
            compared += 1
    assert compared > 30


def test_nearest_meets_the_conditions_of_the_projection() -> None:
    """No powers within the limits are nearer along the line to any of them: (r − x)·(z − x) <= 0 for each z within."""
    rng = np.random.default_rng(14)
    nearest = COORDINATORS.make("nearest", options={})
    others = [COORDINATORS.make(name, options={}) for name in ("proportional", "priority", "round-robin")]
    for _ in range(40):
        request = random_request(rng, random_site(rng), 50)
        granted = grant(nearest, request)
        for other in others:
            turn = ((request.setpoint_kw - granted) * (grant(other, request) - granted)).sum(axis=1)
            assert (turn <= 1e-5).all()
