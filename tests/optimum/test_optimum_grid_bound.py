"""On random networks: every state satisfies every row, nobody beats the bound, and plans hold under pandapower."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandapower")

from network_elements import ELEMENTS
from optimum_cases import money, random_day
from optimum_grid_cases import hang, random_street

from ev_marl.grid.loop.loop import droop_ratio
from ev_marl.objective import Objective
from ev_marl.objective.grid import GridLosses, LineOverload, TransformerOverload, VoltageDeviation
from ev_marl.optimum import GridProblem, solve
from ev_marl.optimum.grid.tangents import carried_plan, violation
from ev_marl.optimum.search import Search
from ev_marl.policies.base import Episode, StationView
from ev_marl.policies.rollout import rollout
from ev_marl.scenario.schema.grid import Chargers, GridLimits, VoltageDroop
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.track import Track

TIGHT = GridLimits(voltage=[0.965, 1.03], line=40.0, transformer=40.0)


class Erratic:
    """Asks for anything between full discharge and full charge; often for the same all over the site."""

    name = "erratic"
    information = "own"

    def reset(self, episode: Episode) -> None:
        self._rng = episode.rng

    def act(self, view: StationView) -> np.ndarray:
        share = self._rng.uniform(0.0, 1.0, view.lo_kw.shape)
        if self._rng.random() < 0.5:
            share[:] = self._rng.choice([0.0, 0.3, 1.0])
        return view.lo_kw + share * (view.hi_kw - view.lo_kw)


def grid_prices() -> list[object]:
    return [VoltageDeviation(3.0), LineOverload(0.4), TransformerOverload(0.3), GridLosses(0.2)]


def some_day(
    seed: int,
    folder: Path,
    *,
    meshed: bool = False,
    held: bool = False,
    limits: GridLimits = TIGHT,
    chargers: Chargers | None = None,
    curtails: bool = True,
    element: str | None = None,
) -> tuple[Site, Track, GridProblem]:
    """A random site on a random street, with an element of another kind at bus 4 if asked."""
    site, track = random_day(seed, negative_prices=False)
    nothing = np.full(track.import_limit_kw.shape, np.inf)
    track = replace(track, import_limit_kw=nothing, export_limit_kw=nothing, base_load_kw=0.0 * track.base_load_kw)
    net = random_street(np.random.default_rng(seed), meshed=meshed, held=held)
    add, backend = ELEMENTS[element] if element is not None else (None, "zbus")
    if add is not None:
        add(net, 4)
    track, loop = hang(
        site,
        track,
        net,
        folder,
        buses=[3, 5, 6],
        limits=limits,
        chargers=chargers,
        curtails=curtails,
        seed=seed,
        backend="newton" if held else backend,
    )
    return site, track, GridProblem.of(loop, track)


@pytest.mark.parametrize("curtails", [True, False])
@pytest.mark.parametrize(("seed", "meshed", "held"), [(2, False, False), (1, True, False), (2, True, True)])
def test_no_policy_beats_the_bound(seed: int, meshed: bool, held: bool, curtails: bool, tmp_path: Path) -> None:
    site, track, grid = some_day(seed, tmp_path, meshed=meshed, held=held, curtails=curtails)
    terms = money().terms
    objective = Objective(terms if curtails else [*terms, *grid_prices()])  # type: ignore[list-item]
    solution = solve(site, track, objective, grid=grid)
    tolerance = 1e-7 * max(1.0, abs(solution.bound))
    assert solution.achieved <= solution.bound + tolerance
    tracks = [track] * 8
    simulator = Simulator(site.arrays, make_coordinator("nearest"), tracks, grid.loop)
    for k in range(2):
        returns = rollout(simulator, objective, Erratic(), tracks, seed=k).team
        assert (returns <= solution.bound + tolerance).all()


@pytest.mark.parametrize("element", ELEMENTS)
def test_no_policy_beats_the_bound_where_other_elements_are(element: str, tmp_path: Path) -> None:
    site, track, grid = some_day(2, tmp_path, element=element)
    assert grid.relaxable == (element != "follow the voltage")
    solution = solve(site, track, money(), grid=grid)
    tolerance = 1e-7 * max(1.0, abs(solution.bound))
    assert -tolerance <= solution.gap <= 2e-3 * abs(solution.bound) or not grid.relaxable
    assert solution.grid is not None
    assert solution.grid.checked_voltage_violation_pu == 0.0
    assert solution.grid.checked_loading_violation_percent == 0.0
    tracks = [track] * 8
    simulator = Simulator(site.arrays, make_coordinator("nearest"), tracks, grid.loop)
    assert (rollout(simulator, money(), Erratic(), tracks, seed=0).team <= solution.bound + tolerance).all()


@pytest.mark.parametrize(
    ("meshed", "held", "chargers", "element"),
    [
        (False, False, Chargers(), None),
        (True, False, Chargers(power_factor=0.95), None),
        (False, False, Chargers(q_of_v=VoltageDroop()), None),
        (True, True, Chargers(), None),
        (False, False, Chargers(), "three windings"),
        (False, False, Chargers(), "extended ward"),
    ],
)
def test_every_state_of_the_network_satisfies_every_row(
    meshed: bool, held: bool, chargers: Chargers, element: str | None, tmp_path: Path
) -> None:
    site, track, grid = some_day(3, tmp_path, meshed=meshed, held=held, chargers=chargers, element=element)
    objective = Objective([*money().terms, *grid_prices()])  # type: ignore[list-item]
    search = Search(site.arrays, track, objective, solver="highs", tolerance=1e-6, time_limit=60.0, grid=grid)
    search.run()
    assert search.grid is not None
    blocks, pairs, program = search.grid.blocks, search.day.pairs, search.program
    # The steps' blocks, also where rows in powers say it all.
    steps = np.setdiff1d(np.flatnonzero(search.grid.touched), blocks.steps)
    blocks.add(steps)
    program.add_rows(search.grid.prices.first(steps))
    x = np.concatenate([search.x, np.zeros(program.n_columns - len(search.x))])
    for _ in range(3):
        program.add_rows(blocks.broken(x, cones=True, tolerance=1e-6))
        program.add_rows(search.grid.prices.broken(x, 1e-6))
        x = 0.9 * x
    rng = np.random.default_rng(0)
    checked = 0
    for _ in range(40):
        # A plan of random powers, and the state that it makes of the network.
        share = rng.uniform(0.0, 1.0, 2) ** 2
        charge = share[0] * rng.uniform(0.0, 1.0, len(pairs)) * pairs.stays["charge_kw"][pairs.session]
        discharge = share[1] * rng.uniform(0.0, 1.0, len(pairs.discharge))
        discharge *= pairs.stays["discharge_kw"][pairs.session[pairs.discharge]]
        port_kw = np.zeros((track.n_steps, site.arrays.n_ports))
        np.add.at(port_kw, (pairs.step, pairs.port), charge)
        np.subtract.at(port_kw, (pairs.step[pairs.discharge], pairs.port[pairs.discharge]), discharge)
        charger_kw = grid.charger_power(port_kw)
        steps = np.arange(track.n_steps)
        flow = grid.flow(steps, charger_kw)
        kept = grid.bounds.kept(flow)
        x = np.zeros(program.n_columns)
        x[program.columns(search.day.charge)] = charge
        x[program.columns(search.day.discharge)] = discharge
        amounts = grid.suffered(steps, flow)
        for name, columns in search.grid.prices.columns.items():
            x[columns] = amounts[name] + 1e-9
        for step in blocks.steps[kept[blocks.steps]].tolist():
            first = blocks.first_column_of(step)
            x_block = exact_state(grid, blocks, step, flow.vm_pu[step], charger_kw[step])
            x[first : first + len(x_block[0])] = x_block[0]
            if chargers.q_of_v is not None:
                at = blocks.reactive_columns_of(step)
                x[at] = x_block[1] / blocks.unit_kva
            own = np.zeros(program.n_columns, dtype=bool)
            own[first : first + len(x_block[0])] = True
            value, touched = program.matrix @ x, np.abs(program.matrix) @ own > 0.0
            scale = 1.0 + np.abs(program.matrix) @ np.abs(x)
            assert (value >= program.row_lower - 2e-7 * scale)[touched].all()
            assert (value <= program.row_upper + 2e-7 * scale)[touched].all()
            assert (x >= program.lower - 1e-6)[own].all()
            assert (x <= program.upper + 1e-6)[own].all()
            checked += 1
    assert checked > 30


@pytest.mark.parametrize("chargers", [Chargers(), Chargers(power_factor=0.95)])
@pytest.mark.parametrize("priced", [False, True])
def test_every_plan_that_the_network_carries_satisfies_every_row_in_powers(
    priced: bool, chargers: Chargers, tmp_path: Path
) -> None:
    site, track, grid = some_day(3, tmp_path, chargers=chargers, curtails=not priced)
    objective = Objective([*money().terms, *(grid_prices() if priced else [])])  # type: ignore[list-item]
    search = Search(site.arrays, track, objective, solver="highs", tolerance=1e-6, time_limit=60.0, grid=grid)
    assert search.grid is not None
    assert search.grid.projection.usable
    pairs, program, columns = search.day.pairs, search.program, search.grid.columns
    rng = np.random.default_rng(0)

    def some_plan() -> np.ndarray:
        """A point with random powers, and what the network suffers of them."""
        x, share = np.zeros(program.n_columns), rng.uniform(0.0, 1.2, 2) ** 2
        charge = np.minimum(1.0, share[0] * rng.uniform(0.0, 1.0, len(pairs)))
        x[program.columns(search.day.charge)] = charge * pairs.stays["charge_kw"][pairs.session]
        discharge = np.minimum(1.0, share[1] * rng.uniform(0.0, 1.0, len(pairs.discharge)))
        x[program.columns(search.day.discharge)] = (
            discharge * pairs.stays["discharge_kw"][pairs.session[pairs.discharge]]
        )
        return x

    # Rows made at points that break limits, in both formulations.
    every, made = np.arange(track.n_steps), []
    for k in range(6):
        rows = search.grid.projection.broken(some_plan(), every, cones=k % 2 == 0, tolerance=1e-9)
        made.append(program.matrix.shape[0] + np.arange(len(rows)))
        program.add_rows(rows)
    made_rows = np.concatenate(made)
    assert len(made_rows) > 20
    matrix, checked, tightest = program.matrix[made_rows], 0, np.inf
    occupied = np.abs(matrix) @ np.eye(program.n_columns)
    step_of = np.array([_step_of(search, np.flatnonzero(row)) for row in occupied])
    for _ in range(60):
        x = some_plan()
        flow = grid.flow(every, columns.power_kw(x))
        for name, variables in search.grid.prices.columns.items():
            x[variables] = grid.suffered(every, flow)[name] + 1e-9
        fine = flow.converged & (grid.bounds.kept(flow) | priced)
        here = fine[step_of]
        room = (matrix @ x - program.row_lower[made_rows])[here]
        assert (room >= -1e-6).all()
        checked += len(room)
        tightest = min(tightest, room.min(initial=np.inf))
    assert checked > 200
    assert tightest < 3.0  # they say something, too


def _step_of(search: Search, columns: np.ndarray) -> int:
    pairs, program = search.day.pairs, search.program
    steps = dict(zip(program.columns(search.day.charge).tolist(), pairs.step.tolist(), strict=True))
    steps.update(zip(program.columns(search.day.discharge).tolist(), pairs.step[pairs.discharge].tolist(), strict=True))
    (step,) = {steps[column] for column in columns.tolist() if column in steps}
    return step


def exact_state(grid: GridProblem, blocks: object, step: int, vm_pu: np.ndarray, charger_kw: np.ndarray) -> tuple:
    """Columns of a block for the exact power flow, found by Newton's method on the admittances, independently."""
    matrices, spec = grid.matrices, grid.backend.spec
    kvar = charger_kw * grid.kvar_per_kw
    if grid.droop is not None:
        kvar = np.abs(charger_kw) * droop_ratio(grid.droop, vm_pu[spec.charger_bus])
    s = grid.injected_kva()[step].copy()
    np.subtract.at(s, matrices.row[spec.charger_bus], charger_kw + 1j * kvar)
    s /= matrices.base_kva
    v = power_flow(matrices, s)
    net = blocks.reduction
    at_row = v[net.rows]
    current = (at_row[net.second] - net.transfer[:, 0, 0] * at_row[net.first]) / net.transfer[:, 0, 1]
    current *= blocks.scale
    power = at_row[net.first] * np.conj(current)
    states = np.concatenate([np.abs(at_row) ** 2, power.real, power.imag, np.abs(current) ** 2])
    return states[np.isnan(blocks.fixed_state)], kvar


def power_flow(matrices: object, s: np.ndarray) -> np.ndarray:
    """Newton's method in polar coordinates, by finite steps of a dense Jacobian."""
    y = matrices.ybus.toarray()
    n = len(s)
    v0 = np.ones(n, dtype=complex)
    v0[matrices.slack_row] = matrices.slack_v
    # Angles of an unloaded network, so that phase shifts of transformers do no harm.
    free = np.setdiff1d(np.arange(n), matrices.slack_row)
    v0[free] = -np.linalg.solve(y[np.ix_(free, free)], y[np.ix_(free, matrices.slack_row)] @ matrices.slack_v)
    vm, angle = np.abs(v0), np.angle(v0)
    vm[matrices.pv_row] = matrices.pv_vm
    pq = np.setdiff1d(free, matrices.pv_row)

    def mismatch(state: np.ndarray) -> np.ndarray:
        angles, magnitudes = angle.copy(), vm.copy()
        angles[free], magnitudes[pq] = state[: len(free)], state[len(free) :]
        v = magnitudes * np.exp(1j * angles)
        difference = v * np.conj(y @ v) - s
        return np.concatenate([difference.real[free], difference.imag[pq]])

    state = np.concatenate([angle[free], vm[pq]])
    for _ in range(30):
        here = mismatch(state)
        if np.abs(here).max() < 1e-11:
            break
        columns = np.eye(len(state)) * 1e-7
        jacobian = np.column_stack([(mismatch(state + d) - mismatch(state - d)) / 2e-7 for d in columns])
        state = state - np.linalg.solve(jacobian, here)
    angle[free], vm[pq] = state[: len(free)], state[len(free) :]
    result: np.ndarray = vm * np.exp(1j * angle)
    return result


@pytest.mark.parametrize("meshed", [False, True])
def test_plans_hold_under_pandapower(meshed: bool, tmp_path: Path) -> None:
    site, track, grid = some_day(3, tmp_path, meshed=meshed)
    solution = solve(site, track, money(), grid=grid)
    assert solution.grid is not None
    assert solution.grid.steps > 0
    steps = np.arange(track.n_steps)
    by_pandapower = grid.flow(steps, grid.charger_power(solution.plan.power_kw), by_reference=True)
    assert violation(grid, steps, by_pandapower) == (0.0, 0.0)
    assert solution.grid.curtailed_kwh == pytest.approx(0.0, abs=1e-6)
    assert solution.bound >= solution.achieved
    values = [part.value for part in solution.grid.formulations if part.kind == "bound"]
    assert values == sorted(values, reverse=True)  # each formulation proves at least as much as the one before


def test_the_bound_is_a_dual_value_that_holds_by_itself(tmp_path: Path) -> None:
    site, track, grid = some_day(3, tmp_path)
    search = Search(site.arrays, track, money(), solver="highs", tolerance=1e-6, time_limit=60.0, grid=grid)
    search.run()
    assert search.multipliers is not None
    assert search.program.dual_value(search.multipliers) == pytest.approx(search.least_cost, rel=1e-9)
    assert search.program.value(search.x) == pytest.approx(search.least_cost, rel=1e-6)
    before = search.least_cost
    carried_plan(search)
    assert search.least_cost == before  # what makes the plan feasible proves nothing


def test_another_solver_comes_to_the_same(tmp_path: Path) -> None:
    site, track, grid = some_day(3, tmp_path)
    ours = solve(site, track, money(), grid=grid)
    theirs = solve(site, track, money(), grid=grid, solver="appsi_highs")
    assert theirs.bound == pytest.approx(ours.bound, rel=1e-5)


def test_what_the_matrices_do_not_tell_is_left_out_of_the_bound(tmp_path: Path) -> None:
    site, track, grid = some_day(3, tmp_path)
    free = solve(site, track, money(), grid="ideal")
    blind = solve(site, track, money(), grid=replace(grid, relaxable=False))
    assert blind.bound == pytest.approx(free.bound, rel=1e-9)
    assert blind.grid is not None
    assert blind.grid.voltage_violation_pu == 0.0
    assert blind.grid.loading_violation_percent == 0.0
    assert blind.achieved <= blind.bound
