"""Check, before anything runs, that plans can be made with every term of an objective."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ev_marl.objective import Objective
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.programme.arrays import ArrayDay
from ev_marl.planning.programme.expression import Linear
from ev_marl.simulation.days import stays_of_sessions
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import ObjectiveError
from ev_marl.world.session_table import session_table


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
    """State every term for a step with vehicles that leave at its end and vehicles that stay, with V2G if there is any.

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
        If a term has no expression, if its expression fails, or if it uses something that these plans do not model.
    """
    try:
        ArrayDay(site, _one_step(site), objective, _AnyGrid if with_grid else None)
    except ObjectiveError as error:
        raise ObjectiveError(f"{who} plans with every term of the objective: {error}") from error


def _one_step(site: SiteArrays) -> Ahead:
    """The last step of an episode, with two vehicles at the first port and two at the port that discharges most.

    Two at one port: it is only stated, never solved.
    """
    port = np.array([0, int(np.argmax(site.port_discharge_kw))] * 2)
    columns: dict[str, object] = {
        "port": port,
        "arrival_step": np.zeros(4, dtype=np.int64),
        "departure_step": np.array([1, 1, 3, 3]),
        "energy_kwh": np.full(4, 20.0),
        "wanted_kwh": np.full(4, 10.0),
        "capacity_kwh": np.full(4, 50.0),
        "charge_kw": np.full(4, 11.0),
        "discharge_kw": np.full(4, 11.0),
        "taper_start": np.full(4, 0.8),
        "reserve_kwh": np.full(4, 10.0),
        "vehicle": ["any"] * 4,
    }
    stays = stays_of_sessions(site, session_table(**columns), 1, 1.0)
    limit_kw = np.ones((1, site.n_groups))
    empty = Ahead.empty(site, 1, 1.0)
    return replace(empty, stays=stays, n_here=4, lower_kw=-limit_kw, upper_kw=limit_kw)
