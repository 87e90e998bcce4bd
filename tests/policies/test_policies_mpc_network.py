"""Model predictive control on a network: against the optimum and its blind twin, what it may know, what rows say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandapower")

from builders import random_site, random_track
from grid_cases import ChainBackend, chain_day, chain_loop, chain_site
from optimum_cases import money, random_day, without_limits
from optimum_grid_cases import hang, random_street
from policies_cases import outlook_on
from policies_grid_cases import another_future, weak_street

from ev_marl.env.setup import Setting
from ev_marl.grid.loop.days import day_loads
from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.loop.taps import TapChanger
from ev_marl.grid.solvers.base import Injections
from ev_marl.objective import Objective
from ev_marl.objective.grid import GridLosses, LineOverload, TransformerOverload, VoltageDeviation
from ev_marl.optimum import GridProblem, solve
from ev_marl.optimum.grid.tangents import violation
from ev_marl.planning.outlook import Present
from ev_marl.planning.outlook.drawn import sample_of_models
from ev_marl.planning.programme.receding import Program
from ev_marl.policies import Mpc, MpcPerfect, Policy, make_policy, make_view, rollout
from ev_marl.policies.mpc.ahead import look_ahead
from ev_marl.policies.mpc.grid import LATER, GridAhead
from ev_marl.policies.plan import PlanPolicy
from ev_marl.scenario.schema.grid import Chargers, GridLimits, TapControl, VoltageDroop
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import ObjectiveError
from ev_marl.world.seeds import day_seeds
from ev_marl.world.track import Track

MONEY = money(wear=0.02, unmet=0.6)
TIGHT = GridLimits(voltage=[0.965, 1.03], line=40.0, transformer=40.0)


def on_a_street(
    seed: int, folder: Path, *, meshed: bool = False, held: bool = False, chargers: Chargers | None = None
) -> tuple[Site, Track, GridLoop]:
    """A random site without limits of its own on a random network that is too weak for it."""
    site, track = random_day(seed, negative_prices=False)
    track = without_limits(track)
    net = random_street(np.random.default_rng(seed), meshed=meshed, held=held)
    net.trafo["tap_min"], net.trafo["tap_max"] = -5, 5
    backend = "newton" if held else "zbus"
    track, loop = hang(
        site, track, net, folder, buses=[3, 5, 6], limits=TIGHT, chargers=chargers, seed=seed, backend=backend
    )
    return site, track, loop


def earned(
    site: Site, loop: GridLoop, tracks: Sequence[Track], policy: Policy, **options: object
) -> tuple[np.ndarray, float, np.ndarray]:
    """Returns of a policy's days, what the network's coordinator took back [kWh], and the setpoints."""
    taken, asked = [0.0], []

    def watch(flow, rewards, costs):
        taken[0] += float(flow.grid.curtailed_kw.sum()) * flow.step_h
        asked.append(flow.setpoint_kw.copy())

    simulator = Simulator(site.arrays, make_coordinator("nearest"), tracks, loop)
    team = rollout(simulator, MONEY, policy, tracks, watch=watch, **options).team
    return team, taken[0], np.stack(asked, axis=1)


@pytest.mark.parametrize(
    ("seed", "kind"),
    [
        (2, {}),
        (7, {}),
        (2, {"meshed": True}),
        (2, {"meshed": True, "held": True}),
        (2, {"chargers": Chargers(power_factor=0.95)}),
    ],
)
def test_with_the_truth_it_earns_the_optimum_and_leaves_nothing_to_take_back(
    seed: int, kind: dict, tmp_path: Path
) -> None:
    site, track, loop = on_a_street(seed, tmp_path, **kind)
    solution = solve(site, track, MONEY, grid=GridProblem.of(loop, track))
    (told,), taken_kwh, _ = earned(site, loop, [track], MpcPerfect())
    (blind,), taken_of_blind_kwh, _ = earned(site, loop, [track], MpcPerfect(grid=False))
    assert told <= solution.bound + 1e-6 * abs(solution.bound)
    assert told >= solution.achieved - 2e-3 * abs(solution.achieved)
    assert told > blind + 1e-3 * abs(blind)
    assert taken_of_blind_kwh > 20.0
    assert taken_kwh < 1e-3 * taken_of_blind_kwh


def test_reactive_power_that_follows_the_voltage(tmp_path: Path) -> None:
    site, track, loop = on_a_street(2, tmp_path, chargers=Chargers(q_of_v=VoltageDroop()))
    (told,), taken_kwh, _ = earned(site, loop, [track], MpcPerfect())
    (blind,), taken_of_blind_kwh, _ = earned(site, loop, [track], MpcPerfect(grid=False))
    assert told > blind + 0.01 * abs(blind)
    assert taken_kwh < 1e-3 * taken_of_blind_kwh


def test_taps_that_move_on_the_way(tmp_path: Path) -> None:
    site, track, loop = on_a_street(2, tmp_path)
    assert site.network is not None
    control = TapControl(transformer=0, voltage=[0.99, 1.01])
    loop = replace(loop, taps=TapChanger(site.network, control, loop.backend, loop.reference))
    moves = 0

    def watch(flow, rewards, costs):
        nonlocal moves
        moves += int(flow.grid.tap_moved[0])
        assert flow.grid.curtailed_kw[0] < 0.05

    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], loop)
    told = rollout(simulator, MONEY, MpcPerfect(), [track], watch=watch).team[0]
    assert moves > 0
    assert told > earned(site, loop, [track], MpcPerfect(grid=False))[0][0]


@pytest.mark.parametrize("seed", [2, 3, 7])
def test_a_plan_keeps_the_limits_in_the_exact_power_flow(seed: int, tmp_path: Path) -> None:
    site, track, loop = on_a_street(seed, tmp_path)
    problem = GridProblem.of(loop, track)
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], loop)
    simulator.reset()
    outlook = outlook_on(simulator)
    view = make_view(simulator, MONEY, MpcPerfect(), outlook)
    stays = stays_of(site.arrays, track)
    ahead = look_ahead(view, 0, outlook, stays[stays["arrival_step"] > 0], track.n_steps)
    network = GridAhead(replace(loop), outlook, site.arrays)
    program = Program(site.arrays, ahead, MONEY, grid=network.rows(0, view, ahead))
    blind = Program(site.arrays, ahead, MONEY)

    def beyond(plan: Program, steps: np.ndarray) -> tuple[float, float]:
        port_kw = np.zeros((track.n_steps, site.arrays.n_ports))
        np.add.at(port_kw.T, ahead.stays["port"], plan.planned_kw().T)
        return violation(problem, steps, problem.flow(steps, problem.charger_power(port_kw[steps])))

    every = np.arange(track.n_steps)
    assert beyond(program, every[:1]) == (0.0, 0.0)
    voltage_pu, percent = beyond(program, every)
    assert voltage_pu <= LATER * 1e-6
    assert percent <= LATER * 1e-3
    assert max(beyond(blind, every)) > 10.0


@pytest.fixture(scope="module")
def weak() -> Setting:
    """The weak street, set up."""
    return Setting.of(weak_street())


def test_it_earns_more_than_if_it_were_blind(weak: Setting) -> None:
    tracks = [weak.world.sample(seed) for seed in day_seeds(3, 4, "train")]
    told, taken_kwh, _ = earned(weak.site, weak.grid, tracks, Mpc(), world=weak.world)
    blind, taken_of_blind_kwh, _ = earned(weak.site, weak.grid, tracks, Mpc(grid=False), world=weak.world)
    assert (told > blind - 0.005 * np.abs(blind)).all()
    assert told.sum() > blind.sum() + 0.01 * abs(blind.sum())
    assert taken_of_blind_kwh > 20.0
    assert taken_kwh < 0.01 * taken_of_blind_kwh


def test_what_is_still_to_come_has_no_say(weak: Setting) -> None:
    track = weak.world.sample(7)
    t, other = another_future(track)
    before = earned(weak.site, weak.grid, [track], Mpc(), world=weak.world)[2][0]
    after = earned(weak.site, weak.grid, [other], Mpc(), world=weak.world)[2][0]
    assert np.abs(before[: t + 1]).max() > 0.0
    np.testing.assert_array_equal(before[: t + 1], after[: t + 1])
    assert np.abs(before[t + 1 :] - after[t + 1 :]).max() > 0.0


def test_rows_of_a_batch_are_days_of_their_own(weak: Setting) -> None:
    tracks = [weak.world.sample(seed) for seed in (1, 2)]
    together = earned(weak.site, weak.grid, tracks, Mpc(), world=weak.world)[2]
    for k, track in enumerate(tracks):
        alone = earned(weak.site, weak.grid, [track], Mpc(), world=weak.world)[2]
        np.testing.assert_array_equal(together[k], alone[0])


@pytest.mark.parametrize("why", ["wide limits", "nobody keeps them"])
def test_a_network_that_takes_nothing_back_changes_nothing(why: str, weak: Setting) -> None:
    assert weak.grid is not None
    wide = GridLimits(voltage=[0.75, 1.25], line=1000.0, transformer=1000.0)
    loop = replace(weak.grid, limits=wide) if why == "wide limits" else replace(weak.grid, curtails=False)
    track = weak.world.sample(4)
    told = earned(weak.site, loop, [track], Mpc(), world=weak.world)[2]
    np.testing.assert_array_equal(told, earned(weak.site, loop, [track], Mpc(grid=False), world=weak.world)[2])


class HeatedTransformers:
    """A third party's term: the square of what transformers carry beyond their limits, and voltages beyond the band."""

    name = "heated_transformers"

    def __init__(self, per_kva2_h: float, per_pu_h: float) -> None:
        self.per_kva2_h, self.per_pu_h = per_kva2_h, per_pu_h

    def cost(self, flow, out):
        grid = flow.grid
        beyond = np.maximum(0.0, grid.transformer_percent - grid.transformer_limit_percent)
        band = np.maximum(0.0, np.maximum(grid.lowest_pu - grid.vm_pu, grid.vm_pu - grid.highest_pu))
        squared = (beyond @ grid.spec.transformer_kva / 100.0) ** 2
        cost = self.per_kva2_h * squared + self.per_pu_h * band.sum(axis=1)
        out[:] = (flow.step_h * cost / out.shape[1])[:, None]

    def expression(self, day):
        squares = day.variables("squares", np.zeros(day.n_steps), np.full(day.n_steps, 1e6))
        overload = day.grid.transformer_overload_kva()
        day.above_convex("squares", squares, overload, lambda kva: kva**2, lambda kva: 2.0 * kva)
        return self.per_kva2_h * day.step_h * sum(squares) + self.per_pu_h * day.step_h * sum(day.grid.beyond_band_pu())


PRICES = {
    "voltages": VoltageDeviation(30.0),
    "lines": LineOverload(0.5),
    "transformers": TransformerOverload(0.5),
    "losses": GridLosses(2.0),
    "a third party's": HeatedTransformers(0.02, 10.0),
}


@pytest.mark.parametrize("curtails", [False, True])
@pytest.mark.parametrize("name", PRICES)
def test_what_the_objective_prices_on_the_network_is_planned_with(name: str, curtails: bool, tmp_path: Path) -> None:
    site, track, loop = on_a_street(7, tmp_path)
    loop = replace(loop, curtails=curtails)
    objective = Objective([*MONEY.terms, PRICES[name]])
    solution = solve(site, track, objective, grid=GridProblem.of(loop, track))
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], loop)
    told = rollout(simulator, objective, MpcPerfect(), [track]).team[0]
    without_price = solve(site, track, MONEY, grid=GridProblem.of(loop, track)).plan
    unaware = rollout(simulator, objective, PlanPolicy(without_price), [track]).team[0]
    assert told <= solution.bound + 1e-6 * abs(solution.bound)
    assert told >= solution.achieved - 1e-3 * abs(solution.achieved)
    if not curtails:
        assert told > unaware + 1e-3 * abs(unaware)


def test_the_outlook_on_the_network_is_enough_to_avoid_its_prices(weak: Setting) -> None:
    loop = replace(weak.grid, curtails=False)
    objective = Objective([*weak.objective.terms, HeatedTransformers(0.02, 1000.0)])
    tracks = [weak.world.sample(seed) for seed in (1, 2)]
    simulator = Simulator(weak.site.arrays, make_coordinator("nearest"), tracks, loop)
    priced = rollout(simulator, objective, Mpc(), tracks, world=weak.world)
    beyond = []

    def watch(flow, rewards, costs):
        beyond.append(flow.step_h * float(np.maximum(0.0, flow.grid.lowest_pu - flow.grid.vm_pu).sum()))

    unaware = Simulator(weak.site.arrays, make_coordinator("nearest"), tracks, loop)
    rollout(unaware, weak.objective, Mpc(), tracks, world=weak.world, watch=watch)
    assert sum(beyond) > 0.01
    assert priced.costs["heated_transformers"].sum() < 0.1 * 1000.0 * sum(beyond)


@pytest.mark.parametrize("name", ["mpc", "mpc-perfect"])
def test_prices_of_a_network_that_is_left_out_are_refused_by_name(name: str, tmp_path: Path) -> None:
    site, track, loop = on_a_street(2, tmp_path)
    objective = Objective([*MONEY.terms, VoltageDeviation(3.0)])
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], loop)
    with pytest.raises(ObjectiveError, match=rf"policy '{name}'.*'voltage_deviation'.*`grid: true`"):
        rollout(simulator, objective, make_policy(f"{name}(grid=False)"), [track])


@pytest.mark.parametrize("load_kw", [75.0, 600.0])
def test_where_the_loads_alone_break_limits_or_the_power_flow_it_still_decides(load_kw: float) -> None:
    rng = np.random.default_rng(1)
    site = chain_site(random_site(rng))
    track = random_track(rng, site, n_steps=8)
    day = chain_day(8, 5.0)
    step = np.arange(8)[:, None]
    track = track.replace(grid=replace(day, load_kw=np.where((step >= 3) & (step < 6), load_kw, day.load_kw)))
    loop = chain_loop(site, limits=GridLimits(voltage=[0.97, 1.02], line=60.0), curtails=True)
    idle = ChainBackend().solve(replace(Injections.zeros(loop.spec, 1), load_kw=np.full((1, 2), load_kw)))
    assert not idle.converged[0] or idle.vm_pu.min() < 0.97  # as the test wants it
    (_,), taken_kwh, asked = earned(site, loop, [track], MpcPerfect())
    (_,), taken_of_blind_kwh, _ = earned(site, loop, [track], MpcPerfect(grid=False))
    assert np.abs(asked).max() > 1.0
    assert taken_kwh <= 0.01 * taken_of_blind_kwh + 1e-6


def test_no_row_forbids_to_charge_nothing_and_fleets_are_spread_over_their_buses(weak: Setting) -> None:
    assert weak.grid is not None
    seen = 0

    class Looking(Mpc):
        def act(self, view):
            nonlocal seen
            coming, are_fleets = self._coming(view, 0)
            assert are_fleets
            ahead = look_ahead(view, 0, self._outlook, coming, 48)
            rows = self._grid.rows(0, view, ahead, fleets=True)
            np.testing.assert_allclose(rows._share.sum(axis=1), 1.0)
            coming = rows._share[ahead.n_here :]
            np.testing.assert_allclose(coming, 0.5)  # five chargers at each of the two buses
            np.testing.assert_array_equal(
                rows._share[: ahead.n_here].argmax(axis=1), weak.site.port_charger[ahead.stays["port"][: ahead.n_here]]
            )
            everything = np.zeros((ahead.n_steps, len(ahead.stays))) + ahead.stays["charge_kw"]
            for found in (rows.broken(everything, np.zeros(0)), rows.kept()):
                if found is not None:
                    seen += len(found.step)
                    assert (found.most_kw >= 0.0).all()
            self._grid._memory.clear()
            return super().act(view)

    track = weak.world.sample(5)
    earned(weak.site, weak.grid, [track], Looking(), world=weak.world)
    assert seen > 100


def test_expected_loads_keep_the_present_and_foretell_better_than_the_mean(weak: Setting) -> None:
    world, n_days, t = weak.world, 30, 10
    mean = sample_of_models(world).grid_loads._mean
    wrong = {"expected": 0.0, "mean": 0.0}
    for k in range(n_days):
        track = world.surroundings(10_000 + k)
        simulator = weak.simulator([track])
        simulator.reset()
        outlook = outlook_on(simulator, {"grid": "expected"}, world=world)
        day = day_loads(weak.site, track)
        none, groups = np.zeros((1, 2)), np.zeros((1, weak.site.arrays.n_groups))
        now = Injections(*(part[t : t + 1] for part in day), none, none)
        states = outlook.grid_loads(Present(t, track.n_steps, slice(None), groups, groups, groups, now), 12)
        for name, part in zip(("load_kw", "load_kvar", "generator_kw", "generator_kvar"), day, strict=True):
            np.testing.assert_array_equal(getattr(states, name)[0], part[t])
        truth = (day[0].sum(axis=1) - day[2].sum(axis=1))[t + 1 : t + 12]
        foretold = (states.load_kw.sum(axis=1) - states.generator_kw.sum(axis=1))[1:]
        loads, _, generators, _ = np.split(mean[t + 1 : t + 12], np.cumsum([p.shape[1] for p in day])[:3], 1)
        wrong["expected"] += float(((foretold - truth) ** 2).sum())
        wrong["mean"] += float(((loads.sum(axis=1) - generators.sum(axis=1) - truth) ** 2).sum())
    assert wrong["expected"] < 0.7 * wrong["mean"]


def test_without_a_network_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys; sys.modules['pandapower'] = None\n"
        "from ev_marl.env.setup import Setting; from ev_marl.policies import Mpc, rollout\n"
        "setting = Setting.of('tiny'); track = setting.world.sample(1)\n"
        "rollout(setting.simulator([track]), setting.objective, Mpc(), [track], world=setting.world)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
