"""The cooperative optimum of a scenario's day, on the network where there is one.

A setting and a track come in, a `Solution` goes out. Whoever measures policies by the bound asks for it here, so that
no limit of the network is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ev_marl.env.setup import Setting
from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.solution import Solution
from ev_marl.optimum.solve import solve
from ev_marl.planning.programme.check import check_expressions
from ev_marl.world.track import Track


def solve_day(
    setting: Setting, track: Track, *, solver: str = "highs", levels: Sequence[float] | np.ndarray | None = None
) -> Solution:
    """Solve a day of a scenario.

    Parameters
    ----------
    setting : Setting
        Site, objective and network.
    track : Track
        The day.
    solver, levels
        As for `solve`.
    """
    grid = None if setting.network is None else GridProblem.of(setting.network, track)
    return solve(setting.site, track, setting.objective, grid=grid, solver=solver, levels=levels)


def check_bound(setting: Setting) -> None:
    """Find out before any day is solved whether there is a bound with every term.

    Raises
    ------
    ObjectiveError
        If a term has no expression; the message names it.
    """
    with_network = setting.network is not None
    check_expressions(setting.objective, setting.site.arrays, "the cooperative optimum", with_network=with_network)
