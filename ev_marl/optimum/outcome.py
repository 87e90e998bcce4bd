"""The return of the plan of a search, with the network if there is one, and the report on the network.

A finished search comes in. Without a network, its plan is replayed as it is; with a network, it is first made feasible
on the network.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from ev_marl.objective import Objective
from ev_marl.optimum.grid.tangents import Carried, carried_plan, violation
from ev_marl.optimum.replay import LeveledPlanPolicy, replay
from ev_marl.optimum.search import Search
from ev_marl.optimum.solution import Formulation, GridReport
from ev_marl.policies.base import Policy
from ev_marl.policies.make import make_policy
from ev_marl.policies.plan import Plan, PlanPolicy
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.track import Track

SIMPLE_POLICIES = ("uncontrolled", "best-response", "price-threshold", "as-late-as-possible", "llf", "edf")
COORDINATORS_TRIED = ("nearest", "priority")
"""Policies that `better_of` plays: they need milliseconds a day."""

_TAKEN_BACK_KWH = 1e-6
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)  # its multiples, modulo 1, are spread evenly however many there are
_CHECKED_STEPS = 8  # a power flow of pandapower takes 25 ms


@dataclass(frozen=True)
class Outcome:
    """A plan and its return."""

    plan: Plan
    team_return: float  # replayed in the simulator [currency]
    replay_seconds: float
    curtailed_kwh: float = 0.0  # by the grid coordinator, in the replay
    carried: Carried | None = None  # with a network
    policy: str | None = None  # simple policy whose powers are the plan; None: the optimum's own plan


def outcome_of(site: SiteArrays, track: Track, objective: Objective, search: Search) -> Outcome:
    """Replay the plan of a search; with a network, after it was made feasible.

    If the problem has no loop for the replay, costs on the network come from its exact power flow.
    """
    if search.grid is None:
        begin = time.perf_counter()
        plan = search.plan()
        done = replay(site, track, objective, PlanPolicy(plan))
        return Outcome(plan, done.team_return, time.perf_counter() - begin)
    carried = carried_plan(search)
    problem, plan, begin = search.grid.problem, carried.plan, time.perf_counter()
    steps = np.arange(problem.n_steps)
    done = replay(site, track, objective, PlanPolicy(plan), problem.loop)
    if done.curtailed_kwh > _TAKEN_BACK_KWH:
        # The plan is now what was delivered after curtailment, so it is feasible on the network.
        plan = replace(
            done.delivered, energy_kwh=np.where(np.isnan(plan.energy_kwh), np.nan, done.delivered.energy_kwh)
        )
        voltage, loading = violation(problem, steps, search.grid.flow(plan))
        carried = replace(carried, plan=plan, voltage_violation_pu=voltage, loading_violation_percent=loading)
        done = replay(site, track, objective, PlanPolicy(plan), problem.loop)
    team_return = done.team_return
    if problem.loop is None:
        amounts = problem.suffered(steps, search.grid.flow(plan))
        team_return -= float(search.grid.prices.cost(amounts)[problem.solvable].sum())
    return Outcome(plan, team_return, time.perf_counter() - begin, done.curtailed_kwh, carried)


def better_of(best: Outcome, site: SiteArrays, track: Track, objective: Objective, search: Search) -> Outcome:
    """The plan, or the powers of a simple policy if they earn more on that day.

    If the gap is closed, nothing can earn more. If it is not (a relaxed network, powers that cannot be followed
    exactly, a search that ran out of time), a simple policy may earn more; then its powers are the plan.

    Parameters
    ----------
    best : Outcome
        The optimum's own plan.
    site, track, objective
        The day.
    search : Search
        That proved the bound.
    """
    problem = None if search.grid is None else search.grid.problem
    if problem is not None and problem.loop is None:
        return best  # there is no simulator of this network to play a policy in
    begin = time.perf_counter()
    for coordinator in _coordinators(objective):
        for name in SIMPLE_POLICIES:
            powers = make_policy(name), coordinator
            best = _better(best, site, track, objective, search, powers, f"{name} under {coordinator}")
    if problem is not None and search.grid is not None and best.carried is not None and best.policy is not None:
        steps = np.arange(problem.n_steps)
        voltage, loading = violation(problem, steps, search.grid.flow(best.plan))
        carried = replace(best.carried, plan=best.plan, voltage_violation_pu=voltage, loading_violation_percent=loading)
        best = replace(best, carried=carried)
    return replace(best, replay_seconds=best.replay_seconds + time.perf_counter() - begin)


def rounded(best: Outcome, site: SiteArrays, track: Track, objective: Objective, search: Search) -> Outcome:
    """The best plan so far, or the one of a search rounded to the levels of ports, if that earns more.

    Each port follows the energies of the plan with the nearest levels. Ports with the same plan would then all charge
    in the same steps, so the share from which on a level is rounded up is also tried with a different one for each
    port. What exceeds a limit is left to the coordinators.
    """
    begin, plan = time.perf_counter(), search.plan()
    for coordinator in _coordinators(objective):
        for threshold in (0.5, _GOLDEN * np.arange(1, site.n_ports + 1) % 1.0):
            powers = LeveledPlanPolicy(plan, threshold), coordinator
            best = _better(best, site, track, objective, search, powers, None)
    return replace(best, replay_seconds=best.replay_seconds + time.perf_counter() - begin)


def _coordinators(objective: Objective) -> tuple[str, ...]:
    return COORDINATORS_TRIED if objective.limits_are_hard else ("none",)


def _better(
    best: Outcome,
    site: SiteArrays,
    track: Track,
    objective: Objective,
    search: Search,
    powers: tuple[Policy, str],
    name: str | None,
) -> Outcome:
    """The best plan so far, or what a policy under a coordinator is granted, if that earns more."""
    loop = None if search.grid is None else search.grid.problem.loop
    policy, coordinator = powers
    done = replay(site, track, objective, policy, loop, coordinator)
    if done.team_return <= best.team_return:
        return best
    again = replay(site, track, objective, PlanPolicy(done.delivered), loop)
    if again.team_return <= best.team_return:
        return best
    return replace(
        best,
        plan=done.delivered,
        team_return=again.team_return,
        curtailed_kwh=again.curtailed_kwh,
        policy=name,
    )


def grid_report(search: Search, best: Outcome, total_seconds: float) -> GridReport:
    """The report on the network.

    Parameters
    ----------
    search : Search
        The search that proved the bound.
    best : Outcome
        The plan.
    total_seconds : float
        Time until the end of the solve [s].
    """
    assert search.grid is not None
    assert best.carried is not None
    problem, carried = search.grid.problem, best.carried
    formulations = [Formulation(stage.name, "bound", stage.bound, stage.seconds) for stage in search.stages]
    if -search.least_cost < formulations[-1].value:
        name = f"{formulations[-1].name}, either charging or discharging"
        formulations.append(Formulation(name, "bound", -search.least_cost, total_seconds))
    formulations.append(Formulation("tangents of the power flow", "estimate", carried.value, carried.seconds))
    formulations.append(Formulation("replayed plan", "plan", best.team_return, total_seconds))
    # The steps that are nearest to a limit, solved again by the reference.
    with np.errstate(invalid="ignore"):
        excess = np.nan_to_num(problem.bounds.stacked_excess(search.grid.flow(best.plan)), nan=-np.inf).max(axis=1)
    tight = np.argsort(np.where(problem.solvable, -excess, np.inf), kind="stable")[:_CHECKED_STEPS]
    charger_kw = problem.charger_power(best.plan.power_kw)
    checked = violation(problem, tight, problem.flow(tight, charger_kw[tight], by_reference=True))
    return GridReport(
        formulations=tuple(formulations),
        steps=int(search.grid.touched.sum()),
        voltage_violation_pu=carried.voltage_violation_pu,
        loading_violation_percent=carried.loading_violation_percent,
        checked_steps=0 if problem.reference is None else len(tight),
        checked_voltage_violation_pu=checked[0],
        checked_loading_violation_percent=checked[1],
        curtailed_kwh=best.curtailed_kwh,
    )
