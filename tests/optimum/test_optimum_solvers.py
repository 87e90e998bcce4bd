"""Other solvers agree, errors say what to do, and the arithmetic of the bound needs no solver at all."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from optimum_cases import money, one_port_day, random_day

from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.optimum import shadow_price_interval, solve, solve_day
from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.optimum.model import PyomoDay
from ev_marl.optimum.search import Search
from ev_marl.planning.programme.rows import Rows
from ev_marl.scenario.series import Series
from ev_marl.support.errors import ObjectiveError, OptionError, SolverError


@pytest.mark.parametrize("seed", [2, 5, 13, 77])
def test_another_solver_agrees(seed: int) -> None:
    day = random_day(seed, n_steps=12)
    ours, theirs = (solve(*day, money(unmet=0.4), solver=name) for name in ("highs", "appsi_highs"))
    assert theirs.bound == pytest.approx(ours.bound, rel=2e-6)
    assert theirs.certificate.exact
    assert theirs.relative_gap <= 1e-6
    if theirs.certificate.kind == "LP":
        assert "dual value" in theirs.certificate.source
        scale = max(1.0, abs(theirs.bound))
        assert abs(theirs.certificate.primal_value - theirs.certificate.dual_value) <= 1e-8 * scale


def test_another_solver_solves_a_day_without_vehicles() -> None:
    site, track = one_port_day([0.3, 0.1])
    empty = track.replace(sessions=track.sessions[:0])
    ours, theirs = (solve(site, empty, money(), solver=name) for name in ("highs", "appsi_highs"))
    assert ours.bound == theirs.bound == theirs.achieved == 0.0
    assert theirs.certificate.exact


def test_another_solver_with_binaries_says_whose_bound_it_is() -> None:
    day = one_port_day([-0.6] * 3, energy_kwh=50, wanted_kwh=0, capacity_kwh=60, discharge_kw=8.0, efficiency=0.9)
    ours, theirs = (solve(*day, money(), solver=name) for name in ("highs", "appsi_highs"))
    assert theirs.certificate.kind == ours.certificate.kind == "MILP"
    assert theirs.bound == pytest.approx(ours.bound, rel=2e-6)
    assert "appsi_highs" in theirs.certificate.source


def test_a_solver_without_multipliers_gives_its_own_bound_and_no_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    highs = pyo.SolverFactory("appsi_highs")

    class Reticent:
        options: dict[str, float] = {}  # noqa: RUF012

        def available(self, exception_flag: bool) -> bool:
            return highs.available(exception_flag=exception_flag)

        def solve(self, model, **options):
            if model.component("dual") is not None:
                raise NotImplementedError
            return highs.solve(model, **options)

    monkeypatch.setattr("ev_marl.optimum.solvers.pyo.SolverFactory", lambda name: Reticent())
    day = one_port_day([0.30, 0.10], import_limit_kw=6.0)
    solution = solve(*day, money(), solver="reticent")
    assert solution.bound == pytest.approx(-1.8)
    assert solution.certificate.exact
    assert "'reticent' reports" in solution.certificate.source
    assert np.isnan(solution.shadow_prices).all()


@pytest.mark.parametrize("name", ["no_such_solver", "baron"])
def test_a_missing_solver_is_an_error_that_says_how_to_get_one(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SolverError, match=rf"'{name}' is not available.*installed.*'highs' comes with"):
        solve(*one_port_day([0.1]), money(), solver=name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("time_limit", ["x", -1.0, float("nan"), None, True])
def test_a_time_limit_that_is_no_time_is_refused(time_limit) -> None:
    with pytest.raises(OptionError, match=r"time_limit is .*; it must be a number of seconds, 0 or more"):
        solve(*one_port_day([0.30], wanted_kwh=5.0), money(), time_limit=time_limit)


def test_without_time_there_is_still_a_bound_and_the_certificate_says_why_it_is_loose() -> None:
    """Two vehicles, each with 10 kWh to get at 10 kW, in hours at 0.10 and 0.30 under one limit of 10 kW.

    Each by itself would pay 10 · 0.10; together they pay 10 · 0.10 + 10 · 0.30.
    """
    day = one_port_day([0.10, 0.30], n_vehicles=2, import_limit_kw=10.0)
    short = solve(*day, money(unmet=2.0), time_limit=0.0)
    assert short.bound == pytest.approx(-2.0)
    assert short.achieved == pytest.approx(-4.0)  # the plan of a simple policy
    assert short.plan_of is not None
    assert not short.certificate.exact
    assert "every vehicle by itself" in short.certificate.source
    assert [reason.reason for reason in short.certificate.reasons] == ["the solver stopped at its time limit"]
    assert short.certificate.reasons[0].amount == pytest.approx(short.gap)
    assert short.status == "time limit reached"


def test_without_time_a_vehicle_without_shared_limits_is_planned_exactly() -> None:
    """5 kWh at 0.30."""
    short = solve(*one_port_day([0.30], wanted_kwh=5.0), money(), time_limit=0.0)
    assert short.bound == pytest.approx(-1.5)
    assert short.certificate.exact
    assert short.certificate.reasons == ()


def test_without_time_a_depot_that_feeds_back_has_most_of_its_bound() -> None:
    """Shared limits, a meter with sun behind it, and energy that vehicles keep for later."""
    setting = Setting.of("depot-100")
    track = setting.world.sample(1)
    best, short = solve_day(setting, track), solve_day(setting, track, time_limit=0.0)
    program = PyomoDay(setting.site.arrays, track, setting.objective).program
    nothing = -program.dual_value(np.zeros(program.matrix.shape[0]))
    assert best.bound <= short.bound
    assert short.bound - best.bound < 0.1 * (nothing - best.bound)


def test_another_solver_that_has_nothing_in_time_leaves_the_bound_of_every_vehicle_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    highs = pyo.SolverFactory("appsi_highs")

    class Slow:
        options: dict[str, float] = {}  # noqa: RUF012

        def available(self, exception_flag: bool) -> bool:
            return True

        def solve(self, model, *, load_solutions: bool, timelimit: float):
            return highs.solve(model, load_solutions=load_solutions, timelimit=1e-9)

    monkeypatch.setattr("ev_marl.optimum.solvers.pyo.SolverFactory", lambda name: Slow())
    day = random_day(5, n_steps=24)
    slow = solve(*day, money(), solver="slow")
    assert slow.bound >= solve(*day, money()).bound
    assert "every vehicle by itself" in slow.certificate.source
    assert [reason.reason for reason in slow.certificate.reasons] == ["the solver stopped at its time limit"]


@pytest.mark.parametrize("seed", [5, 13, 77])
def test_a_bound_from_too_little_time_is_above_the_optimum(seed: int) -> None:
    day = random_day(seed, n_steps=24)
    best, short = solve(*day, money()), solve(*day, money(), time_limit=0.0)
    assert short.achieved <= best.achieved + 1e-9 <= best.bound + 2e-9 <= short.bound + 3e-9
    assert np.isfinite(short.bound)


def test_time_that_is_up_between_two_rounds_leaves_the_bound_of_the_first() -> None:
    day = random_day(2)
    search = Search(day[0].arrays, day[1], money(), solver="highs", tolerance=1e-6, time_limit=60.0)
    assert search.run_once()
    first = search.least_cost
    search._deadline = 0.0
    assert not search.run_once()
    assert search.out_of_time
    assert search.least_cost >= first > -np.inf
    assert "row multipliers" in search.source


def test_a_shadow_price_needs_a_solved_program() -> None:
    site, track = random_day(5, n_steps=24)
    step, group = np.argwhere(np.isfinite(track.upper_kw))[0]
    with pytest.raises(SolverError, match=r"not solved within 0 s"):
        shadow_price_interval(site, track, money(), step=int(step), group=int(group), time_limit=0.0)


def test_a_term_without_an_expression_is_named() -> None:
    class Mood:
        name = "mood"

        def cost(self, flow, out):
            out[:] = 0.0

        def expression(self, day):
            return None

    with pytest.raises(ObjectiveError, match="'mood' has no expression"):
        solve(*one_port_day([0.1]), Objective([EnergyCost(), Mood()]))


def test_solving_twice_gives_the_same_to_the_last_bit() -> None:
    day = random_day(41, n_steps=16)
    first, second = (solve(*day, money(wear=0.02)) for _ in range(2))
    assert (first.bound, first.achieved) == (second.bound, second.achieved)
    np.testing.assert_array_equal(first.plan.energy_kwh, second.plan.energy_kwh)
    np.testing.assert_array_equal(first.shadow_prices, second.shadow_prices)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    solve(*one_port_day([0.1, 0.2]), money())
    for solver in ("highs", "appsi_highs"):
        capfd.readouterr()
        solve(*one_port_day([0.1, 0.2]), money(), solver=solver)
        assert capfd.readouterr() == ("", "")


def test_any_multipliers_bound_the_cost() -> None:
    """min x + 2y, x + y >= 3, x − y <= 1, 0 <= x, y <= 10: the optimum is 4, at (2, 1)."""
    model = pyo.ConcreteModel()
    model.x, model.y = pyo.Var(bounds=(0, 10)), pyo.Var(bounds=(0, 10))
    model.enough = pyo.Constraint(expr=model.x + model.y >= 3)
    model.near = pyo.Constraint(expr=model.x - model.y <= 1)
    model.cost = pyo.Objective(expr=model.x + 2 * model.y)
    model.cuts = pyo.ConstraintList()
    program = LinearProgram(model)
    assert program.dual_value(np.array([1.5, -0.5])) == pytest.approx(4.0)
    assert program.dual_value(np.array([0.0, 3.0])) == 0.0  # the wrong sign for the row counts as 0
    rng = np.random.default_rng(0)
    assert max(program.dual_value(rng.normal(0, 2, 2)) for _ in range(2000)) <= 4.0 + 1e-12
    program.add_rows(Rows(np.array([0, 1]), np.array([1]), np.array([1.0]), np.array([1.5]), np.array([np.inf])))
    for _ in range(2):
        program.complete_model()
        assert len(model.cuts) == 1
    assert str(model.cuts[1].expr) == "1.5  <=  y"
    assert program.dual_value(np.array([1.0, 0.0, 1.0])) == pytest.approx(4.5)


def test_a_row_with_two_bounds_stays_one_row() -> None:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 10))
    model.between = pyo.Constraint(expr=(2, model.x, 5))
    model.cost = pyo.Objective(expr=model.x)
    program = LinearProgram(model)
    np.testing.assert_array_equal([program.row_lower, program.row_upper], [[2.0], [5.0]])
    assert program.matrix.shape == (1, 1)


def test_rows_that_cannot_bind_are_not_written() -> None:
    site, track = one_port_day([0.1, 0.2], import_limit_kw=[20.0, 12.0], n_vehicles=2)
    program = PyomoDay(site.arrays, track, money()).program
    assert len(program.complete_model()) == program.matrix.shape[0]
    # Two ports of 10 kW reach 20 kW and no more; nobody discharges.
    assert list(program.model.group_limit) == [(1, 0)]
    soft = PyomoDay(site.arrays, track, Objective([EnergyCost()], limits_are_hard=False)).program
    assert soft.model.component("group_limit") is None


def test_the_whole_model_is_solved_by_any_solver() -> None:
    site, track = one_port_day([0.30, 0.10, 0.20], import_limit_kw=6.0)
    day = PyomoDay(site.arrays, track, money())
    model = day.whole()
    assert day.whole() is model
    assert len(model.balance) == len(day.pairs)
    pyo.SolverFactory("appsi_highs").solve(model)
    assert -pyo.value(model.cost) == pytest.approx(solve(site, track, money()).bound, rel=1e-9)


class Taken:
    """A price on power, with a variable by a name that the model uses itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cost(self, flow, out):
        if flow.granted_kw.any():
            out[:] = 0.01 * flow.step_h * np.maximum(0.0, flow.granted_kw)

    def expression(self, day):
        drawn = day.variables(self.name, np.zeros(len(day.charge)), np.full(len(day.charge), 1e3))
        for one, charge in zip(drawn, day.charge, strict=True):
            day.at_least(self.name, one - charge, 0.0)
        return 0.01 * day.step_h * sum(drawn)


@pytest.mark.parametrize(
    "name", ["balance", "owed", "group_limit", "cost", "cuts", "charge", "term_rows", "dual", "first"]
)
@pytest.mark.parametrize("solver", ["highs", "appsi_highs"])
def test_terms_may_call_their_variables_what_they_like(name: str, solver: str) -> None:
    """And a term that leaves costs out in steps without power is not charged those of the step before."""
    day = one_port_day([0.30, 0.10, 0.20], import_limit_kw=6.0)
    plain = solve(*day, money())
    solution = solve(*day, Objective([*money().terms, Taken(name)]), solver=solver)
    assert solution.certificate.exact
    assert solution.bound == pytest.approx(plain.bound - 0.01 * plain.plan.power_kw.sum())


def test_both_sides_of_a_quadratic_are_reported() -> None:
    day = random_day(9, n_steps=12, negative_prices=False)
    terms = [EnergyCost(), UnmetEnergy(0.5), SetpointTracking(0.01, Series.constant(7.0))]
    certificate = solve(*day, Objective(terms)).certificate
    assert certificate.dual_value <= certificate.upper_value
    assert certificate.upper_value - certificate.dual_value <= 1e-6 * max(1.0, abs(certificate.dual_value))
    assert certificate.cuts > 0
