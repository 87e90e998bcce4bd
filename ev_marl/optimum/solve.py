"""The cooperative optimum of a day: the best return of all stations together if the day is known in advance.

A day comes in; a `Solution` goes out: a bound that no policy exceeds, a plan, and the return of the plan in the
simulator, which shows how tight the bound is. Use `solve_day` to compare policies with the bound: it includes all
limits of the network. `solve` takes site, track, objective and network separately.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ev_marl.env.batched import BatchedEnv
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.outcome import Outcome, better_of, grid_report, outcome_of, rounded
from ev_marl.optimum.replay import RoundedPlanPolicy, replay
from ev_marl.optimum.search import Search
from ev_marl.optimum.solution import Certificate, Looseness, Seconds, Solution
from ev_marl.planning.programme.check import check_expressions
from ev_marl.planning.programme.cuts import BOTH_KW2
from ev_marl.site import Site
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import not_concave
from ev_marl.support.errors import OptionError
from ev_marl.support.values import shown
from ev_marl.world.track import Track

TIME_LIMIT_S = 300.0
"""Of the solver, unless another is given: far more than a day needs without integers [s]."""
_SHORT_S = 5.0  # so little time is not divided


def solve_day(
    day: Any,
    track: Track | None = None,
    *,
    solver: str = "highs",
    tolerance: float = 1e-6,
    time_limit: float = TIME_LIMIT_S,
    levels: Sequence[float] | np.ndarray | None = None,
    exact_levels: bool = False,
) -> Solution:
    """Solve a day of a scenario, with the network if the scenario has one.

    Parameters
    ----------
    day : Setting, or an environment
        Site, objective and network. Of an environment (parallel, AEC or central, wrapped or not), its setting.
    track : Track, optional
        The day. Default: the one of the environment since its last reset.
    solver, tolerance, time_limit, levels, exact_levels
        As for `solve`.

    Raises
    ------
    OptionError
        If `day` is neither, or no track is given or there is none yet.

    Examples
    --------
    >>> env = ev_marl.parallel_env("workplace")
    >>> observations, infos = env.reset(seed=7)
    >>> solution = ev_marl.solve_day(env)
    """
    inner = getattr(day, "unwrapped", day)
    setting = inner if isinstance(inner, Setting) else getattr(inner, "setting", None)
    if not isinstance(setting, Setting):
        raise OptionError(
            f"solve_day takes an environment or a Setting, got {type(day).__name__}: solve_day(env), or "
            "solve_day(Setting.of(scenario), track)"
        )
    if track is None:
        track = getattr(inner, "track", None)
    if not isinstance(track, Track):
        many = isinstance(inner, BatchedEnv)
        remedy = "name one of its days: solve_day(env, env.tracks[0])" if many else "reset the environment first"
        raise OptionError(f"solve_day needs a day: {remedy}, or give a track: solve_day(day, track)")
    if track.currency != setting.scenario.currency:
        setting.world.check(track)  # it says what differs
    grid = None if setting.grid is None else GridProblem.of(setting.grid, track)
    return solve(
        setting.site,
        track,
        setting.objective,
        grid=grid,
        solver=solver,
        tolerance=tolerance,
        time_limit=time_limit,
        levels=levels,
        exact_levels=exact_levels,
    )


def solve(
    site: Site | SiteArrays,
    track: Track,
    objective: Objective,
    *,
    grid: GridProblem | Literal["ideal"] | None = None,
    solver: str = "highs",
    tolerance: float = 1e-6,
    time_limit: float = TIME_LIMIT_S,
    levels: Sequence[float] | np.ndarray | None = None,
    exact_levels: bool = False,
) -> Solution:
    """Bound the team return of a day from above, and replay a plan that reaches the bound.

    The bound is a dual value: it holds for every policy, under every coordinator that only curtails, whatever the
    status of the solver. Binaries are used only where something is not convex and the linear program makes use
    of it: at (session, step) pairs where charging and discharging at once would pay, and at the site's meter where
    selling pays more than buying. Then the bound is the solver's own (see the certificate's `source`).

    Parameters
    ----------
    site : Site or SiteArrays
        The site.
    track : Track
        The day.
    objective : Objective
        The objective; every term needs an expression. If `limits_are_hard`, group limits are constraints.
    grid : GridProblem or "ideal", optional
        The network above the site (see `GridProblem.of`). Its limits are relaxed outwards for the bound, and the plan
        is feasible on it. "ideal": the network has no limits, which still gives a bound if nothing on it has a price.
        Only optional for a track without a network; `solve_day` finds it.
    solver : str
        "highs", or a name of Pyomo's `SolverFactory` ("appsi_highs", "scip_direct", "gurobi_direct", "glpk").
    tolerance : float
        Relative gap that counts as closed [-].
    time_limit : float
        Time limit of the solver [s]; `TIME_LIMIT_S` is far more than a day needs, so that results do not depend on the
        load of the machine. When it is reached, the bound is the dual value of the last multipliers. If no program was
        solved, every vehicle is planned by itself, without shared limits, which takes about a millisecond a vehicle,
        and the best multipliers of all count: the bound is valid, but it may be loose. The certificate says so.
    levels : array-like, optional
        Discrete action levels as shares of the rated power, −1 to 1. The bound stays that of continuous power; the
        certificate then says by how much it may be loose for agents with these levels.
    exact_levels : bool
        Whether the levels of ports (their least current and their steps) are integers of the programme. Then bound and
        plan come nearer to each other until `time_limit`, which such a search mostly uses up; so results depend on the
        machine and its load. Otherwise the bound is that of any power, which holds for levels too, and the plan is
        rounded to levels. Without such ports it changes nothing.

    Returns
    -------
    Solution
        Its shadow prices are multipliers of the limits that remain for the vehicles (import limit − base load, at least
        0), taken at a vertex of the last linear program. Where several are valid, this is one of them, and it always
        satisfies R*(limit + x) <= R*(limit) + price·x; `shadow_price_interval` gives the range. Without hard limits
        they are 0; with a solver that gives no multipliers (SCIP), NaN. Those of current limits are per ampere of the
        limit in one step, or of the base load's current where that is higher.

    Raises
    ------
    ObjectiveError
        If a term has no expression.
    OptionError
        If the track is of a site on a network, and `grid` is left out; if `time_limit` is no time; or if levels are to
        be exact on a network.
    SolverError
        If the solver is not available, or fails for another reason than the time limit.
    """
    if isinstance(time_limit, bool) or not isinstance(time_limit, int | float) or not time_limit >= 0.0:
        raise OptionError(f"time_limit is {shown(time_limit)}; it must be a number of seconds, 0 or more")
    arrays = site.arrays if isinstance(site, Site) else site
    grid = network_of(track, grid)
    exact_levels = exact_levels and arrays.has_levels
    _check_levels(exact_levels, on_network=grid is not None)
    begin = time.perf_counter()

    def searching(
        time_limit: float, first: np.ndarray | None = None, charging: tuple[np.ndarray, np.ndarray] | None = None
    ) -> Search:
        return Search(
            arrays,
            track,
            objective,
            solver=solver,
            tolerance=tolerance,
            time_limit=time_limit,
            first=first,
            charging=charging,
            grid=grid,
        )

    def earn(search: Search) -> Outcome:
        return outcome_of(arrays, track, objective, search)

    search = searching(time_limit)
    build, begin = time.perf_counter() - begin, time.perf_counter()
    search.run()
    if grid is not None and search.both().any():
        # What makes a plan feasible on the network proves nothing, so it happens in a program of its own.
        one_way = searching(max(1.0, search.time_left), search.mostly_first())
        one_way.run()
        best = earn(one_way)
    else:
        best = earn(search)
    solving, begin = time.perf_counter() - begin - best.replay_seconds, time.perf_counter()
    # Doing both at once often costs nothing at a vertex: then the replay, which nets them, earns the bound.
    unfinished = True
    while unfinished and search.proving and search.time_left > 0.0 and not search.closed(best.team_return):
        more = search.both() & ~search.binary_pairs
        if not more.any() and not search.mixed_integer:
            break
        if more.any():
            search.exclude(more)
        unfinished = search.run_once() or bool((search.both() & ~search.binary_pairs).any())
        # Every pair goes the way it mostly went: a linear program again, whose plan can be followed exactly.
        polished = searching(max(1.0, search.time_left), search.mostly_first())
        polished.run()
        again = earn(polished)
        best = again if again.team_return > best.team_return else best
    solving += time.perf_counter() - begin
    if not search.closed(best.team_return):
        if arrays.has_levels and grid is None:
            begin, replayed = time.perf_counter(), best.replay_seconds
            best = _improve_levels(search, searching, best)
            solving += time.perf_counter() - begin - (best.replay_seconds - replayed)
        best = better_of(best, arrays, track, objective, search)
    any_power_bound = -search.least_cost
    if exact_levels:
        begin, replayed = time.perf_counter(), best.replay_seconds
        best = _search_levels(search, best)
        solving += time.perf_counter() - begin - (best.replay_seconds - replayed)
    replaying = best.replay_seconds
    bound = -search.least_cost
    imports, exports = search.shadow_prices()
    report = None
    if grid is not None:
        report = grid_report(search, best, build + solving + replaying)
    solution = Solution(
        plan=best.plan,
        plan_of=best.policy,
        bound=bound,
        achieved=best.team_return,
        status=search.status,
        shadow_prices=imports,
        export_shadow_prices=exports,
        current_prices=search.current_prices(),
        seconds=Seconds(build, solving, replaying),
        certificate=_certificate(search, objective, bound - best.team_return, any_power_bound),
        grid=report,
    )
    if levels is None:
        return solution
    reason = Looseness(
        "agents have discrete action levels", looseness_of_levels(site, track, objective, solution, levels, grid=grid)
    )
    certificate = replace(solution.certificate, reasons=(*solution.certificate.reasons, reason))
    return replace(solution, certificate=certificate)


def _improve_levels(search: Search, searching: Callable[..., Search], best: Outcome) -> Outcome:
    """The plan rounded to levels; but for long programmes, improved without integers as long as that helps.

    What charges in it is kept at its least power or above, everything else at 0; the programme is solved and rounded
    again.
    """
    site, track, objective = search.day.site, search.track, search.objective
    best, before = rounded(best, site, track, objective, search), -np.inf
    while (
        not search.long and best.team_return > before and search.time_left > 0.0 and not search.closed(best.team_return)
    ):
        before = best.team_return
        fixed = searching(search.time_left, charging=search.charging_of(best.plan))
        fixed.run()
        best = rounded(best, site, track, objective, fixed)
    return best


def _search_levels(search: Search, best: Outcome) -> Outcome:
    """Levels as integers, until the gap is closed or time is up: the best plan; `search` has the bound."""
    if search.closed(best.team_return) or search.time_left <= 0.0:
        return best
    search.keep_levels()
    unfinished = True
    while unfinished and search.time_left > 0.0 and not search.closed(best.team_return):
        more = search.both() & ~search.binary_pairs
        if more.any():
            search.exclude(more)
        search.start_from(best.plan)
        # Rows that are missing are only known from a point, so there must be time for a second search.
        part = search.rows_can_be_missing and search.time_left > _SHORT_S
        unfinished = search.run_once(0.5 * search.time_left if part else search.time_left)
        unfinished |= part and search.out_of_time
        best = rounded(best, search.day.site, search.track, search.objective, search)
    return best


def check_bound(setting: Setting, *, exact_levels: bool = False) -> None:
    """Check, before any day is solved, that there is a bound with every term.

    Raises
    ------
    ObjectiveError
        If a term has no expression; the message names it.
    OptionError
        If levels are to be exact on a network.
    """
    with_grid = setting.grid is not None
    _check_levels(exact_levels and setting.site.arrays.has_levels, on_network=with_grid)
    check_expressions(setting.objective, setting.site.arrays, "the cooperative optimum", with_grid=with_grid)


def _check_levels(exact: bool, *, on_network: bool) -> None:
    if exact and on_network:
        raise OptionError(
            "exact levels of ports: not there on a network; leave out `exact_levels` (or `--levels exact`): the "
            "bound of any power holds for levels, too"
        )


def network_of(track: Track, grid: GridProblem | Literal["ideal"] | None) -> GridProblem | None:
    """The network to solve with; only optional if there is none."""
    if grid is None and track.grid is not None:
        raise OptionError(
            "this day is of a site on a network, and `solve(site, track, objective)` does not know it: call "
            "`ev_marl.solve_day(env)` or `ev_marl.solve_day(setting, track)`, which do, or give "
            '`grid=GridProblem.of(loop, track)`; `grid="ideal"` leaves the network out'
        )
    return None if isinstance(grid, str) else grid


def looseness_of_levels(
    site: Site | SiteArrays,
    track: Track,
    objective: Objective,
    solution: Solution,
    levels: Sequence[float] | np.ndarray,
    *,
    grid: GridProblem | None = None,
) -> float:
    """How much the bound may exceed the best return of agents with discrete action levels.

    The plan is replayed with each power rounded to the level with the nearest effect. The best return of such agents is
    between this return and the bound, so the difference is an upper limit of the looseness, not the looseness itself.

    Parameters
    ----------
    site, track, objective
        As given to `solve`.
    solution : Solution
        From `solve`.
    levels : array-like, shape (n_levels,)
        Shares of the rated power, −1 to 1 [-].
    grid : GridProblem, optional
        As given to `solve`.

    Returns
    -------
    float
        Bound less return of the rounded plan [currency].
    """
    arrays = site.arrays if isinstance(site, Site) else site
    policy = RoundedPlanPolicy(solution.plan, np.asarray(levels, dtype=np.float64))
    return solution.bound - replay(arrays, track, objective, policy, None if grid is None else grid.loop).team_return


def _certificate(search: Search, objective: Objective, gap: float, any_power_bound: float) -> Certificate:
    primal = search.program.value(search.relaxed_x)
    upper = primal + float(search.convex.cost_of_excess(search.relaxed_x).sum())
    simultaneous = int(search.exclusive.both(search.relaxed_x, BOTH_KW2).sum())
    violation_kwh = float(search.taper.excess_kwh(search.relaxed_x).max(initial=0.0))
    violation_a = float(search.discs.excess_a(search.relaxed_x).max(initial=0.0))
    exact = search.closed(-search.least_cost - gap)
    reasons = []
    if not exact and search.out_of_time:
        reasons.append(Looseness("the solver stopped at its time limit", gap))
    elif not exact:
        if search.mixed_integer:
            reasons.append(Looseness("search over binaries not finished", max(0.0, primal - search.least_cost)))
        if upper > primal:
            reasons.append(Looseness("tangents below convex costs", upper - primal))
        rest = gap - sum(reason.amount for reason in reasons)
        if rest > 0.0 and (bent := int(not_concave(search.day.sessions).sum())):
            stays = f"{bent} stay{'s' * (bent > 1)}"
            reasons.append(
                Looseness(f"charge curves that are not concave, of {stays}: their concave hull counts", rest)
            )
            rest = 0.0
        if rest > 0.0 and (bent := search.day.n_not_concave):
            stays = f"{bent} stay{'s' * (bent > 1)}"
            reasons.append(
                Looseness(f"efficiencies by power that are not concave, of {stays}: their concave hull counts", rest)
            )
            rest = 0.0
        if rest > 0.0 and simultaneous:
            reasons.append(Looseness("pairs of which one should be 0, with no binary yet", rest))
        elif rest > 0.0 and search.grid is not None:
            reasons.append(Looseness("the network: relaxed, and its limits widened by their tolerances", rest))
        elif rest > 0.0 and search.levels is not None:
            reasons.append(Looseness("levels of ports: what a battery in its taper takes is relaxed, tangents", rest))
        elif rest > 0.0 and search.day.site.has_levels:
            reasons.append(Looseness("ports have levels: the bound is that of any power", rest))
        elif rest > 0.0 and len(search.day.lossy_pairs):
            reasons.append(Looseness("efficiencies by power: the bound may waste energy where that pays", rest))
        elif rest > 0.0:
            reasons.append(Looseness("the plan cannot be followed exactly: tangents of curves, tolerances", rest))
    return Certificate(
        kind="MILP" if search.mixed_integer else "LP",
        exact=exact,
        tolerance=search.tolerance,
        source=search.source,
        reasons=tuple(sorted(reasons, key=lambda reason: -reason.amount)),
        primal_value=primal,
        dual_value=search.dual_value,
        upper_value=upper,
        taper_violation_kwh=violation_kwh,
        current_violation_a=violation_a,
        limits_are_hard=objective.limits_are_hard,
        simultaneous_pairs=simultaneous,
        binary_pairs=int(search.binary_pairs.sum()),
        level_pairs=0 if search.levels is None else len(search.levels),
        any_power_bound=any_power_bound,
        not_convex=tuple(f"{name} ({count})" for name, count in search.day.not_convex),
        cuts=search.cuts,
        rounds=search.rounds,
    )
