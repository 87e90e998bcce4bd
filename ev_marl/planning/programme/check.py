"""Check, before anything runs, that plans can be made with every term of an objective."""

from __future__ import annotations

import numpy as np

from ev_marl.objective import Objective
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.arrays import ArrayDay
from ev_marl.planning.programme.expression import Linear
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import ObjectiveError


class _AnyGrid:
    """Variables for all quantities of a network that terms may use; implements `GridModel`."""

    def __init__(self, day: ArrayDay) -> None:
        self._day = day

    def beyond_band_pu(self) -> Linear:
        """Variables."""
        nothing = np.zeros(self._day.n_steps)
        return self._day.variables("network", nothing, nothing)

    line_overload_kva = transformer_overload_kva = added_losses_kw = beyond_band_pu


def check_expressions(objective: Objective, site: SiteArrays, who: str, *, with_grid: bool = False) -> None:
    """State every term for a step without vehicles.

    Parameters
    ----------
    objective : Objective
        The objective.
    site : SiteArrays
        The site.
    who : str
        The planner's name, for messages.
    with_grid : bool
        Whether its plans model the network above the site.

    Raises
    ------
    ObjectiveError
        If a term has no expression, or if its expression uses something that these plans do not model.
    """
    try:
        ArrayDay(site, Ahead.empty(site, 1, 1.0), objective, _AnyGrid if with_grid else None)
    except ObjectiveError as error:
        raise ObjectiveError(f"{who} plans with every term of the objective: {error}") from error
