"""The programme of a day: on arrays as in Pyomo, terms of one's own in plans, and what cannot be planned with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from current_cases import mixed_phase_day
from highspy import Highs, HighsModelStatus
from hypothesis import given
from hypothesis import strategies as st
from optimum_cases import money, one_port_day, random_day
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from ev_marl.compare import compare
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.terminal import TerminalValue
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.optimum import solve
from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.optimum.model import PyomoDay
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.arrays import ArrayDay
from ev_marl.planning.programme.check import check_expressions
from ev_marl.planning.programme.cuts import TaperCuts
from ev_marl.planning.programme.expression import Linear
from ev_marl.planning.programme.receding import Program, _blocks
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.scenario.problems import Places
from ev_marl.scenario.series import Series
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import ObjectiveError

MONEY = [EnergyCost(), UnmetEnergy(0.6), BatteryWear(0.02)]


class NightSurcharge:
    """A price on power beyond a level, written with plain operators, step by step."""

    name = "surcharge"

    def __init__(self, per_kwh: float, free_kw: float) -> None:
        self.per_kwh, self.free_kw = per_kwh, free_kw

    def cost(self, flow, out):
        beyond = np.maximum(0.0, flow.granted_kw.sum(axis=1) - self.free_kw)
        out[:] = (self.per_kwh * flow.step_h * beyond / out.shape[1])[:, None]

    def expression(self, day):
        beyond = day.variables("surcharge", [0.0] * day.n_steps, np.maximum(0.0, day.most_kw[:, 0]))
        for step in range(day.n_steps):
            here = [n for n in range(len(day.charge)) if day.pair_step[n] == step]
            drawn = sum(day.charge[n] for n in here)
            fed = sum(day.discharge[i] for i, n in enumerate(day.discharge_pairs) if day.pair_step[n] == step)
            if here:
                day.at_least("surcharge", beyond[step] - drawn + fed, -self.free_kw)
        return self.per_kwh * day.step_h * sum(beyond)


class WithoutExpression(NightSurcharge):
    name = "puzzle"

    def __init__(self, per_kwh: float = 1.0) -> None:
        super().__init__(per_kwh, 0.0)

    def expression(self, day):
        return None


OBJECTIVES = {
    "money": Objective(MONEY),
    "peak": Objective([*MONEY, PeakPower(0.5)]),
    "tracking": Objective([*MONEY, SetpointTracking(0.01, Series.constant(6.0))]),
    "overload": Objective([*MONEY, Overload(0.3)], limits_are_hard=False),
    "meter and end": Objective([EnergyCost(metering="site"), *MONEY[1:], TerminalValue.beside(MONEY)]),
    "own": Objective([*MONEY, NightSurcharge(0.3, 5.0)]),
}


def least_cost(program: LinearProgram | ArrayDay, matrix: csr_array, row_lower: np.ndarray, row_upper: np.ndarray):
    """Of a linear program, by scipy."""
    limits = LinearConstraint(matrix, row_lower, row_upper)
    found = milp(program.cost, bounds=Bounds(program.lower, program.upper), constraints=limits)
    return found.fun + program.offset


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("seed", [0, 3])
def test_both_implementations_state_the_same_program(name: str, seed: int) -> None:
    site, track = random_day(seed, negative_prices=False)
    day = PyomoDay(site.arrays, track, OBJECTIVES[name])
    pyomo = day.program
    pyomo.add_rows(TaperCuts(day.pairs, day.step_h, pyomo.columns(day.energy)).first())
    arrays = ArrayDay(site.arrays, Ahead.of_day(site.arrays, track), OBJECTIVES[name])
    rows = arrays.rows
    matrix = csr_array((rows.values, rows.columns, rows.starts), shape=(len(rows), arrays.n_columns))
    one = least_cost(pyomo, pyomo.matrix, pyomo.row_lower, pyomo.row_upper)
    assert least_cost(arrays, matrix, rows.lower, rows.upper) == pytest.approx(one, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_first_programme_of_mpc_is_worth_the_optimum(name: str) -> None:
    site, track = random_day(5, negative_prices=False)
    bound = solve(site, track, OBJECTIVES[name], tolerance=1e-9).bound
    ahead = Ahead.of_day(site.arrays, track)
    program = Program(site.arrays, ahead, OBJECTIVES[name], tolerance_kwh=1e-9, convex_tolerance=1e-9)
    assert program.decision().cost == pytest.approx(-bound, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("policy", ["mpc", "mpc-perfect"])
def test_starting_from_the_step_before_costs_no_more_and_takes_less(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting.of("residential-v2g")
    tracks = [setting.world.sample(3)]
    simulator = Simulator(setting.site.arrays, setting.coordinator, tracks)
    iterations = [0]
    run = Highs.run

    def counted(self):
        status = run(self)
        iterations[0] += self.getInfo().simplex_iteration_count
        return status

    def whole_day() -> tuple[float, int]:
        iterations[0] = 0
        control = make_policy(policy)
        return rollout(simulator, setting.objective, control, tracks, world=setting.world).team[0], iterations[0]

    monkeypatch.setattr(Highs, "run", counted)
    warm, fewer = whole_day()
    monkeypatch.setattr(Program, "start", lambda self: None)
    cold, more = whole_day()
    # Expectations change from step to step, so that of two plans that look as cheap one may turn out cheaper.
    assert warm == pytest.approx(cold, abs=0.1 if policy == "mpc" else 1e-3)
    assert fewer < 0.5 * more


def test_a_start_that_the_solver_cannot_use_costs_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    site, track = random_day(5, negative_prices=False)
    ahead = Ahead.of_day(site.arrays, track)
    first = Program(site.arrays, ahead, OBJECTIVES["money"])
    start = first.start()
    assert start is not None
    again = Program(site.arrays, ahead, OBJECTIVES["money"], start=start)
    assert again.decision().cost == pytest.approx(first.decision().cost, rel=1e-9)
    nonsense = replace(start, column_status=np.ones_like(start.column_status), row_status=0 * start.row_status)
    wrong = Program(site.arrays, ahead, OBJECTIVES["money"], start=nonsense)
    assert wrong.decision().cost == pytest.approx(first.decision().cost, rel=1e-9)
    statuses = iter([HighsModelStatus.kUnknown])
    model_status = Highs.getModelStatus
    monkeypatch.setattr(Highs, "getModelStatus", lambda self: next(statuses, None) or model_status(self))
    stuck = Program(site.arrays, ahead, OBJECTIVES["money"], start=start)
    assert stuck.decision().cost == pytest.approx(first.decision().cost, rel=1e-9)


def test_a_term_of_ones_own_is_honoured_by_mpc() -> None:
    """6 kWh in four hours, most in the cheap one: beyond 5 kW, 0.30 a kWh is paid."""
    site, track = one_port_day([0.10, 0.20, 0.25, 0.25], wanted_kwh=6.0, energy_kwh=20.0)
    with_term = Objective([*money(unmet=2.0).terms, NightSurcharge(0.3, 5.0)])
    for name in ("mpc", "mpc-perfect"):
        for objective, expected_kw, expected in (
            (money(unmet=2.0), [6.0, 0.0, 0.0, 0.0], -0.6),
            (with_term, [5.0, 1.0, 0.0, 0.0], -0.7),  # 5·0.10 + 1·0.20, and not 6·0.10 + 1·0.30
        ):
            drawn: list[float] = []
            simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])

            def watch(flow, rewards, costs, drawn=drawn):
                drawn.append(flow.granted_kw.sum())

            earned = rollout(simulator, objective, make_policy(name), [track], watch=watch).team[0]
            np.testing.assert_allclose(drawn, expected_kw, atol=1e-6)
            assert earned == pytest.approx(expected, abs=1e-6)
            assert earned == pytest.approx(solve(site, track, objective).bound, abs=1e-6)


@pytest.mark.parametrize("name", ["mpc", "mpc-perfect"])
def test_what_cannot_be_planned_with_is_said_before_anything_runs(name: str) -> None:
    site, track = random_day(0)
    objective = Objective([EnergyCost(), WithoutExpression()])
    steps = []
    with pytest.raises(ObjectiveError, match=rf"policy '{name}' plans with every term.*'puzzle' has no expression"):
        rollout(
            Simulator(site.arrays, make_coordinator("nearest"), [track]),
            objective,
            make_policy(name),
            [track],
            watch=lambda *_: steps.append(1),
        )
    assert not steps


class OnlyWithVehicles:
    """A term whose expression is wrong as soon as there is a vehicle."""

    name = "riddle"

    def __init__(self, wrong: Any) -> None:
        self.wrong = wrong

    def cost(self, flow, out):
        pass

    def expression(self, day):
        return self.wrong(day) if len(day.sessions) else 0.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda day: None, "'riddle' has no expression"),
        (lambda day: "cheap", "'riddle': its expression cannot be stated"),
        (lambda day: 2.0 * day.charge, r"'riddle': its expression has shape \(\d+,\)"),
        (
            lambda day: sum(day.variables("x", [0.0], [np.inf])),
            "'riddle': its expression cannot be stated: variables 'x'",
        ),
    ],
)
def test_what_fails_only_with_vehicles_is_said_before_anything_runs(wrong: Any, message: str) -> None:
    site, track = random_day(0)
    objective = Objective([EnergyCost(), OnlyWithVehicles(wrong)])
    with pytest.raises(ObjectiveError, match=message):
        check_expressions(objective, site.arrays, "the test")
    with pytest.raises(ObjectiveError, match=message):
        solve(site, track, objective)
    check_expressions(Objective([EnergyCost(), OnlyWithVehicles(lambda day: sum(day.charge))]), site.arrays, "the test")


def test_a_cost_that_is_no_number_names_its_term_and_step() -> None:
    class Broken(OnlyWithVehicles):
        def cost(self, flow, out):
            out[:, 0] = np.nan if flow.step == 3 else 0.0

    site, track = random_day(0)
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    with pytest.raises(ObjectiveError, match="'riddle', step 3: its cost is nan"):
        rollout(simulator, Objective([EnergyCost(), Broken(None)]), make_policy("llf"), [track])


def test_a_comparison_says_at_once_what_has_no_bound(tmp_path) -> None:
    scenario = load_scenario("tiny").model_dump(exclude_unset=True)
    scenario["objective"]["extra"] = {f"{__name__}:WithoutExpression": {}}
    out, model = tmp_path / "run", Scenario.model_validate(scenario).read_from(Places(), trust=True)
    with pytest.raises(ObjectiveError, match="'puzzle' has no expression"):
        compare(model, ["uncontrolled"], days=1, out=out, report=False)
    assert not out.exists()


def test_a_comparison_says_at_once_that_a_policy_leaves_out_a_network_with_prices(tmp_path) -> None:
    pytest.importorskip("pandapower")
    scenario = load_scenario("street-lv").model_dump(exclude_unset=True)
    scenario["objective"]["voltage_deviation"] = 10.0
    model = Scenario.model_validate(scenario)
    with pytest.raises(ObjectiveError, match=r"policy 'mpc' plans with every term.*'voltage_deviation'"):
        compare(model, ["mpc(grid=False)"], days=1, out=tmp_path / "run", report=False)


FACTORS = np.array([0.5, 2.0, -1.5])
X = np.array([2.0, -3.0, 5.0])
OPERATIONS = {
    "add": (lambda a, f: f + a, lambda r, f: f + r),
    "subtract from": (lambda a, f: f - a, lambda r, f: f - r),
    "multiply": (lambda a, f: f * a, lambda r, f: f * r),
    "divide": (lambda a, f: a / f, lambda r, f: r / f),
    "negate": (lambda a, f: -a, lambda r, f: -r),
    "sum": (lambda a, f: a.sum(), lambda r, f: r.sum()),
    "sum in Python": (lambda a, f: sum(a) if a.shape else a, lambda r, f: r.sum()),
    "pick": (lambda a, f: a[np.array([2, 0, 0])] if a.shape else a, lambda r, f: r[[2, 0, 0]] if r.shape else r),
    "add a variable": (lambda a, f: a + Linear.of_columns(np.arange(3))[1], lambda r, f: r + X[1]),
    "take from a variable": (lambda a, f: Linear.of_columns(np.arange(3))[1] - a, lambda r, f: X[1] - r),
}


class TestLinear:
    """Against NumPy: an expression's value at a point is what NumPy calculates from the values of its variables."""

    def value(self, expression: Linear) -> np.ndarray:
        out = np.zeros(max(1, expression.constant.size)) + expression.constant
        np.add.at(out, expression.row, expression.value * X[expression.column])
        return out if expression.shape else out[0]

    @given(st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=12))
    def test_operators(self, names: list[str]) -> None:
        expression, reference = Linear.of_columns(np.arange(3)), X.copy()
        for name in names:
            operand = FACTORS if expression.shape else 3.0
            on_expression, on_numbers = OPERATIONS[name]
            expression, reference = on_expression(expression, operand), np.asarray(on_numbers(reference, operand))
        np.testing.assert_allclose(self.value(expression), reference, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(self.value(expression.merged()), reference, rtol=1e-12, atol=1e-12)

    def test_a_column_comes_once_in_a_row(self) -> None:
        x = Linear.of_columns(np.array([4, 4, 7]))
        both = (x + 2.0 * x[2] + x).merged()
        assert sorted(zip(both.row.tolist(), both.column.tolist(), both.value.tolist(), strict=True)) == [
            (0, 4, 2.0),
            (0, 7, 2.0),
            (1, 4, 2.0),
            (1, 7, 2.0),
            (2, 7, 4.0),
        ]


def test_blocks_stay_where_they_are_as_time_passes() -> None:
    assert _blocks(0, 9, 3).tolist() == [0, 1, 2, 3, 3, 3, 4, 4, 4]
    assert _blocks(1, 8, 3).tolist() == [0, 1, 2, 3, 4, 5, 5, 5]  # single up to step 6, where a block begins
    assert _blocks(2, 3, 4).tolist() == [0, 1, 2]


def test_a_plan_in_blocks_worked_by_hand() -> None:
    """10 kW, 18 kWh. By hour: 10 kWh for 0.10, 8 for 0.20. In blocks: the third and fourth hour cost 0.25 together."""
    site, track = one_port_day([0.5, 0.4, 0.1, 0.4, 0.2], wanted_kwh=18.0, stay=(0, 5))
    ahead, objective = Ahead.of_day(site.arrays, track), money()
    single = Program(site.arrays, ahead, objective)
    assert single.decision().cost == pytest.approx(10 * 0.1 + 8 * 0.2)
    blocks = Program(site.arrays, ahead, objective, block_steps=2)  # 0 and 1 single, {2, 3}, {4}
    power_kw = blocks.planned_kw()[:, 0]
    assert power_kw[2] == pytest.approx(power_kw[3])
    assert power_kw == pytest.approx([0.0, 0.0, 4.0, 4.0, 10.0])
    assert blocks.decision().cost == pytest.approx(4 * 0.1 + 4 * 0.4 + 10 * 0.2)


@pytest.mark.parametrize("seed", range(4))
def test_a_plan_in_blocks_keeps_current_limits_and_costs_no_less(seed: int) -> None:
    site, track = mixed_phase_day(seed)
    ahead, objective = Ahead.of_day(site, track), money(unmet=0.5)
    best = Program(site, ahead, objective).decision().cost
    blocks = Program(site, ahead, objective, block_steps=3)
    assert blocks.decision().cost >= best - 1e-3 * abs(best)
    again = Program(site, ahead, objective, block_steps=3, start=blocks.start())
    assert again.decision().cost == pytest.approx(blocks.decision().cost, rel=1e-3)


def test_a_plan_is_kept_until_something_comes_otherwise() -> None:
    site, track = one_port_day([0.5, 0.4, 0.1, 0.3, 0.2], wanted_kwh=18.0, stay=(0, 5))
    ahead = Ahead.of_day(site.arrays, track)
    plan = Program(site.arrays, ahead, money())
    rest = {name: getattr(ahead, name)[2:] for name in ("buy_per_kwh", "sell_per_kwh", "lower_kw", "upper_kw")}
    rest |= {name: getattr(ahead, name)[2:] for name in ("base_load_kw", "local_hour")}
    rest["carbon_kg_per_kwh"] = None if ahead.carbon_kg_per_kwh is None else ahead.carbon_kg_per_kwh[2:]
    stays = ahead.stays.copy()
    stays["departure_step"] -= 2
    stays["deadline_step"] -= 2
    later = replace(ahead, step=2, stays=stays, currents=ahead.currents[:, 2:], **rest)
    assert plan.later(later) == pytest.approx([10.0])
    assert plan.later(replace(later, buy_per_kwh=later.buy_per_kwh + 0.01)) is None
    assert plan.later(replace(later, upper_kw=np.minimum(later.upper_kw, 5.0))) is None
    for name, change in (("energy_kwh", -1.0), ("departure_step", -1), ("due_kwh", 2.0)):
        other = stays.copy()
        other[name] += change
        assert plan.later(replace(later, stays=other)) is None
    assert plan.later(ahead) is None
