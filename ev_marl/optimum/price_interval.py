"""The range of a shadow price at a kink of the optimum: what a little more, and a little less, headroom is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from ev_marl.objective import Objective
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.search import Search
from ev_marl.optimum.solve import network_of
from ev_marl.site import Site
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import SolverError
from ev_marl.world.events import OUTAGE
from ev_marl.world.track import Track


def shadow_price_interval(
    site: Site | SiteArrays,
    track: Track,
    objective: Objective,
    *,
    step: int,
    group: int,
    width_kw: float = 0.1,
    grid: GridProblem | Literal["ideal"] | None = None,
    solver: str = "highs",
    time_limit: float = 300.0,
) -> tuple[float, float]:
    """Worth of a little more, and loss from a little less, import headroom of one group in one step.

    Where the optimum has a kink, the two differ, and every value between them is a valid shadow price. The linear
    program is solved again with the limit raised and lowered; the value of the optimum is concave in it, so the
    interval encloses that of infinitely small changes. Where the headroom is smaller than the width, all of it is
    taken away.

    Parameters
    ----------
    site, track, objective
        As given to `solve`; limits must be hard.
    step, group : int
        Which limit.
    width_kw : float
        How much it is raised and lowered [kW].
    grid : GridProblem or "ideal", optional
        As given to `solve`.
    solver : str
        As for `solve`.
    time_limit : float
        Most time for each of the three programs [s].

    Returns
    -------
    right : float
        Gain per kW of more headroom, >= 0 [currency/kW].
    left : float
        Loss per kW of less headroom, >= right; infinite where there is no headroom to take away [currency/kW].

    Raises
    ------
    ValueError
        If limits are not hard, or the group has no import limit.
    SolverError
        If a program is not solved within the time limit.
    """
    arrays = site.arrays if isinstance(site, Site) else site
    problem = network_of(track, grid)
    headroom_kw = float(track.upper_kw[step, group])
    if not objective.limits_are_hard or not np.isfinite(headroom_kw):
        raise ValueError(f"group {group} has no hard import limit at step {step}: it has no shadow price")

    def value(change_kw: float) -> float:
        import_kw, export_kw = track.limits_kw
        limit_kw = import_kw.copy()
        limit_kw[step, group] = track.base_load_kw[step, group] + headroom_kw + change_kw
        outages = track.events[track.events["kind"] == OUTAGE]
        moved = replace(track, import_limit_kw=limit_kw, export_limit_kw=export_kw, events=outages)
        search = Search(arrays, moved, objective, solver=solver, tolerance=1e-9, time_limit=time_limit, grid=problem)
        search.run()
        if search.out_of_time:
            raise SolverError(f"no shadow price: the linear program was not solved within {time_limit:g} s")
        return -search.least_cost

    here, less_kw = value(0.0), min(width_kw, headroom_kw)
    right = (value(width_kw) - here) / width_kw
    left = (here - value(-less_kw)) / less_kw if less_kw > 0.0 else float("inf")
    return max(0.0, right), max(0.0, left)
