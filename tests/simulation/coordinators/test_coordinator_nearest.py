"""`nearest` is the exact projection: by its optimality conditions, against a QP solver, and by hand."""

from __future__ import annotations

import highspy
import numpy as np
import pytest
from coordinator_cases import grant, request_of, site_of

from ev_marl.scenario.schema import CoordinatorOptions
from ev_marl.simulation.coordinators import Request, make_coordinator
from ev_marl.simulation.coordinators.nearest import Nearest
from ev_marl.support.errors import OptionError, SiteError
from ev_marl.support.highs import make_highs
from ev_marl.testing import group_sums, random_request, random_site_arrays


def kkt_residual(request: Request, granted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How far each row is from satisfying the Karush-Kuhn-Tucker conditions [kW], shape (n_batch,).

    The multipliers are not asked for: the prices λ_g that the ports of a group allow form an interval, a limit that is
    met loosens the tie between a group's price and its parent's on one side, and optimality says that the intervals,
    handed from the leaves to the root, leave room for the price 0 above the root. What is missing is the residual.
    """
    site, tolerance = request.site, 1e-9
    asked = request.setpoint_kw
    marginal = (asked - granted) / weight
    # An interior power fixes the price; at the setpoint or at zero it bounds the price from one side.
    at_asked, at_zero = np.abs(asked - granted) <= tolerance, np.abs(granted) <= tolerance
    charging = asked > 0
    open_below = np.where(charging, at_asked, at_zero)
    open_above = np.where(charging, at_zero, at_asked)
    least = np.where(open_below | (asked == 0), -np.inf, marginal)
    most = np.where(open_above | (asked == 0), np.inf, marginal)

    sums = group_sums(site, granted)
    residual = np.maximum(sums - request.upper_kw, request.lower_kw - sums).max(axis=1).clip(min=0)
    low = np.full(sums.shape, -np.inf)
    high = np.full(sums.shape, np.inf)
    for p, g in enumerate(site.port_group):
        low[:, g] = np.maximum(low[:, g], least[:, p])
        high[:, g] = np.minimum(high[:, g], most[:, p])
    for g in range(site.n_groups - 1, -1, -1):
        residual = np.fmax(residual, low[:, g] - high[:, g])
        parent_low = np.where(sums[:, g] >= request.upper_kw[:, g] - tolerance, -np.inf, low[:, g])
        parent_high = np.where(sums[:, g] <= request.lower_kw[:, g] + tolerance, np.inf, high[:, g])
        if g == 0:
            residual = np.maximum(residual, np.maximum(parent_low, -parent_high))
        else:
            parent = site.group_parent[g]
            low[:, parent] = np.maximum(low[:, parent], parent_low)
            high[:, parent] = np.minimum(high[:, parent], parent_high)
    return residual


@pytest.mark.parametrize("weighted", [False, True])
def test_optimality_conditions_of_random_trees(weighted: bool) -> None:
    rng = np.random.default_rng(20 + weighted)
    worst, n_active, n_cases = 0.0, 0, 0
    for case in range(200):
        site = random_site_arrays(rng, n_levels=1 + case % 4)
        request = random_request(rng, site, n_batch=250)
        weight = rng.choice([0.5, 1.0, 3.0], site.n_ports) if weighted else np.ones(site.n_ports)
        granted = grant(Nearest(list(weight)) if weighted else Nearest(), request)
        worst = max(worst, kkt_residual(request, granted, weight).max())
        n_active += int((granted != request.setpoint_kw).any(axis=1).sum())
        n_cases += len(granted)
    assert worst <= 1e-9
    assert n_cases == 50_000
    assert n_active > 0.7 * n_cases


def test_the_residual_sees_a_wrong_answer() -> None:
    rng = np.random.default_rng(3)
    request = random_request(rng, random_site_arrays(rng), n_batch=400)
    right = grant(Nearest(), request)
    active = (right != request.setpoint_kw).any(axis=1)
    proportional = grant(make_coordinator("proportional"), request)
    differs = np.abs(proportional - right).max(axis=1) > 1e-3
    weight = np.ones(request.site.n_ports)
    assert differs.sum() > 100
    assert (kkt_residual(request, proportional, weight)[differs] > 1e-6).all()
    assert (kkt_residual(request, 0.999 * right, weight)[active & (np.abs(right).max(axis=1) > 0.1)] > 1e-6).all()


def test_many_ports_and_deep_clipping() -> None:
    """Subgroups clipped at different prices make the parent's sum neither convex nor concave."""
    rng = np.random.default_rng(4)
    n_lots, n_each = 40, 25
    n_ports = n_lots * n_each
    site = site_of([-1] + [0] * n_lots, np.repeat(np.arange(1, n_lots + 1), n_each))
    setpoint = rng.uniform(0, 22, (30, n_ports)) * rng.choice([1.0, 0.01, 1e-4], (30, n_ports))
    upper = np.concatenate([rng.uniform(50, 800, (30, 1)), rng.uniform(0, 150, (30, n_lots))], axis=1)
    lower = np.full_like(upper, -np.inf)
    request = request_of(site, setpoint, lower=lower, upper=upper)
    granted = grant(Nearest(), request)
    assert kkt_residual(request, granted, np.ones(n_ports)).max() <= 1e-9


def solve_quadratic_programme(request: Request, weight: np.ndarray) -> np.ndarray | None:
    """The same projection by HiGHS, for a request of one row; None where HiGHS gives up."""
    asked, n_ports = request.setpoint_kw[0], request.site.n_ports
    member = group_sums(request.site, np.eye(n_ports))  # (P, G): column p of the constraints is row p here
    model = highspy.HighsModel()
    model.lp_.num_col_, model.lp_.num_row_ = member.shape
    model.lp_.col_cost_ = -asked / weight
    model.lp_.col_lower_, model.lp_.col_upper_ = np.minimum(asked, 0), np.maximum(asked, 0)
    model.lp_.row_lower_, model.lp_.row_upper_ = request.lower_kw[0], request.upper_kw[0]
    model.lp_.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.lp_.a_matrix_.start_ = np.concatenate([[0], np.cumsum((member != 0).sum(axis=1))])
    model.lp_.a_matrix_.index_ = np.nonzero(member)[1]
    model.lp_.a_matrix_.value_ = member[member != 0]
    model.hessian_.dim_ = n_ports
    model.hessian_.format_ = highspy.HessianFormat.kTriangular
    model.hessian_.start_ = np.arange(n_ports + 1)
    model.hessian_.index_ = np.arange(n_ports)
    model.hessian_.value_ = 1 / weight
    solver = make_highs(solver="choose")
    solver.passModel(model)
    solver.run()
    optimal = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return np.array(solver.getSolution().col_value) if optimal else None


def test_agrees_with_a_quadratic_programme() -> None:
    """500 cases of up to 25 ports against HiGHS: the same powers to 1e-5 kW, which is HiGHS's own accuracy here."""
    rng = np.random.default_rng(5)
    n_solved, n_given_up = 0, 0
    while n_solved < 500:
        site = random_site_arrays(rng, n_levels=int(rng.integers(1, 5)))
        request = random_request(rng, site)
        weight = rng.choice([0.5, 1.0, 3.0], site.n_ports)
        granted = grant(Nearest(list(weight)), request)
        if site.n_ports > 25 or (granted == request.setpoint_kw).all():
            continue
        solution = solve_quadratic_programme(request, weight)
        if solution is None:  # HiGHS takes a few convex cases with equal setpoints for non-convex
            n_given_up += 1
            continue
        np.testing.assert_allclose(granted[0], solution, rtol=0, atol=1e-5)
        n_solved += 1
    assert n_given_up < 25


def test_weights_share_the_cut() -> None:
    request = request_of(site_of([-1], [0, 0]), [10, 10], lower=[-np.inf], upper=[14])
    np.testing.assert_allclose(grant(Nearest(weights=[1, 2]), request), [[8, 6]])
    options = CoordinatorOptions(name="nearest", options={"weights": [1, 2]})
    np.testing.assert_allclose(grant(make_coordinator(options), request), [[8, 6]])


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0, np.inf], [np.nan, 1.0], [-1.0, 1.0]])
def test_weights_must_be_positive(weights: list[float]) -> None:
    with pytest.raises(OptionError, match="weights must be finite and > 0"):
        Nearest(weights)


def test_weights_must_fit_the_site() -> None:
    request = request_of(site_of([-1], [0, 0]), [10, 10], lower=[-np.inf], upper=[14])
    with pytest.raises(SiteError, match="has 3 weights, but the site has 2 ports"):
        grant(Nearest([1, 2, 3]), request)


def test_one_object_serves_sites_of_different_size() -> None:
    coordinator = Nearest()
    for n_ports in (2, 4, 1):
        request = request_of(site_of([-1], [0] * n_ports), [10.0] * n_ports, lower=[0], upper=[4])
        np.testing.assert_allclose(grant(coordinator, request), 4 / n_ports)
