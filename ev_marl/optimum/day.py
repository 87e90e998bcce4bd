"""The cooperative optimum of a scenario's day, on the network where there is one.

An environment, or a setting and a track, come in; a `Solution` goes out. Whoever measures policies by the bound asks
for it here, so that no limit of the network is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ev_marl.env.setup import Setting
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.solution import Solution
from ev_marl.optimum.solve import solve
from ev_marl.planning.programme.check import check_expressions
from ev_marl.support.errors import OptionError
from ev_marl.world.track import Track


def solve_day(
    day: Any,
    track: Track | None = None,
    *,
    solver: str = "highs",
    tolerance: float = 1e-6,
    time_limit: float = 300.0,
    levels: Sequence[float] | np.ndarray | None = None,
) -> Solution:
    """Solve a day of a scenario, with the network where the scenario has one.

    Parameters
    ----------
    day : Setting, or an environment
        Site, objective and network. Of an environment (parallel, AEC or central, wrapped or not), its setting.
    track : Track, optional
        The day. Left out, the one that the environment is at since its last reset.
    solver, tolerance, time_limit, levels
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
        raise OptionError("solve_day needs a day: reset the environment first, or give a track: solve_day(day, track)")
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
    )


def check_bound(setting: Setting) -> None:
    """Find out before any day is solved whether there is a bound with every term.

    Raises
    ------
    ObjectiveError
        If a term has no expression; the message names it.
    """
    with_grid = setting.grid is not None
    check_expressions(setting.objective, setting.site.arrays, "the cooperative optimum", with_grid=with_grid)
