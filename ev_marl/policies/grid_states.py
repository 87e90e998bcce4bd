"""States of the network above the site, in this step and in later ones, for policies that plan with its limits.

Loads and generators come in; limits widened to the state without charging, exact power flows with charging, their
excess over the limits, and its slopes in the power at each charger bus go out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ev_marl.grid.loop.limits import Bounds
from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.loop.slopes import moved_powers
from ev_marl.grid.model.spec import NetworkSpec
from ev_marl.grid.solvers.base import Injections, PowerFlow, put_rows, take_rows

INSIDE = 3.0  # distance of plans to a limit, in tolerances: a linear limit allows a little too much
_HALVINGS = 8
SUFFERED = ("beyond_band_pu", "line_overload_kva", "transformer_overload_kva", "added_losses_kw")


def kinds(spec: NetworkSpec) -> list[slice]:
    """Places of undervoltages, overvoltages, lines and transformers among the limits; empty kinds are left out."""
    ends = np.cumsum([0, spec.n_buses, spec.n_buses, spec.n_lines, spec.n_transformers]).tolist()
    return [slice(first, end) for first, end in pairwise(ends) if end > first]


def n_limits(spec: NetworkSpec) -> int:
    """C: two for each bus, one for each line and transformer."""
    return 2 * spec.n_buses + spec.n_lines + spec.n_transformers


@dataclass
class GridStates:
    """N states, E charger buses, C limits.

    Parameters
    ----------
    loop : GridLoop
        The network, its limits and its chargers; its days are not used.
    states : Injections
        N rows, without charging.
    tap : int64, shape (N,)
        Position of the controlled transformer.

    Attributes
    ----------
    solvable : bool, shape (N,)
        Whether there is a power flow without charging.
    bounds : Bounds
        Limits, widened to the state without charging.
    idle_losses_kw : float64, shape (N,)
        Losses without charging; NaN where there is no power flow [kW].
    """

    loop: GridLoop
    states: Injections
    tap: np.ndarray

    def __post_init__(self) -> None:
        idle = self.flow(np.arange(self.states.n_batch), np.zeros_like(self.states.charger_kw))
        self.solvable, self.idle_losses_kw = idle.converged, idle.losses_kw
        self.bounds = Bounds.widened(self.loop.limits, idle.vm_pu, idle.line_percent, idle.transformer_percent)

    def flow(self, which: np.ndarray, charger_kw: np.ndarray) -> PowerFlow:
        """Power flow of some states with charging, float64, shape (n, E) [kW]."""
        states = self.states.rows(which)
        states.charger_kw = charger_kw
        return self.loop.flow_of(states, self.tap[which])

    def excess(self, which: np.ndarray, flow: PowerFlow) -> np.ndarray:
        """Excess of some states over each limit [tolerances], shape (n, C); NaN at dead buses."""
        return self.bounds.rows(which).stacked_excess(flow)

    def nearest_solution(self, which: np.ndarray, charger_kw: np.ndarray) -> tuple[PowerFlow, np.ndarray]:
        """Power flows of some states; where there is none, with half of the charging, a quarter, and so on.

        Returns
        -------
        flow : PowerFlow
            n rows.
        at_kw : float64, shape (n, E)
            Its charging [kW].
        """
        at_kw = charger_kw.copy()
        flow = self.flow(which, at_kw)
        for _ in range(_HALVINGS):
            lost = np.flatnonzero(~flow.converged)
            if not len(lost):
                break
            at_kw[lost] *= 0.5
            put_rows(self.flow(which[lost], at_kw[lost]), lost, flow)
        return flow, at_kw

    def slopes(self, which: np.ndarray, at_kw: np.ndarray, excess: np.ndarray) -> np.ndarray:
        """Change of each excess per kW at each charger bus, by differences of the exact power flow.

        Parameters
        ----------
        which : int64, shape (n,)
            States.
        at_kw : float64, shape (n, E)
            Charging at which they are taken [kW].
        excess : float64, shape (n, C)
            Excess there [tolerances].

        Returns
        -------
        float64, shape (n, E, C)
            Tolerances per kW, 0 where there is no solution or no power.
        """
        every, flow, change_kw = self._moved(which, at_kw)
        changed = self.excess(every, flow).reshape(*change_kw.shape, -1)
        slopes: np.ndarray = np.nan_to_num((changed - excess[:, None]) / change_kw[:, :, None], posinf=0.0, neginf=0.0)
        return slopes

    def suffered(self, which: np.ndarray, flow: PowerFlow, broken_in: PowerFlow | None = None) -> np.ndarray:
        """What some states suffer, in the order of `SUFFERED`, shape (n, 4); see `Bounds.suffered`."""
        amounts = self.bounds.rows(which).suffered(flow, self.loop.spec, self.idle_losses_kw[which], broken_in)
        return np.stack([amounts[name] for name in SUFFERED], axis=1)

    def suffered_slopes(self, which: np.ndarray, at_kw: np.ndarray, flow: PowerFlow) -> np.ndarray:
        """Change of what is suffered per kW at each charger bus, float64, shape (n, E, 4).

        Parameters
        ----------
        which : int64, shape (n,)
            States.
        at_kw : float64, shape (n, E)
            Charging at which they are taken [kW].
        flow : PowerFlow
            Power flow there; limits that it keeps have slopes of 0.
        """
        every, moved, change_kw = self._moved(which, at_kw)
        there = take_rows(flow, np.repeat(np.arange(len(which)), change_kw.shape[1]))
        change = self.suffered(every, moved, there).reshape(*change_kw.shape, -1) - self.suffered(which, flow)[:, None]
        change[~moved.converged.reshape(change_kw.shape)] = 0.0
        slopes: np.ndarray = change / change_kw[:, :, None]
        return slopes

    def _moved(self, which: np.ndarray, at_kw: np.ndarray) -> tuple[np.ndarray, PowerFlow, np.ndarray]:
        """Some states, each once for each charger bus with the power there moved; their power flows; by how much."""
        moved_kw, change_kw = moved_powers(at_kw)
        every = np.repeat(which, moved_kw.shape[1])
        return every, self.flow(every, moved_kw.reshape(len(every), -1)), change_kw
