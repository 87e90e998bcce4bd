"""What terms price on the network, in the programme of model predictive control: variables, lifted by tangents.

A plan and its variables come in. Where the exact power flow of the plan suffers more than a variable says, a row goes
out that lifts the variable to it: the tangent at the plan, by differences of the exact power flow. What a network
suffers is nearly convex in the powers, so that tangents are close from below; they prove nothing.
"""

from __future__ import annotations

import numpy as np

from ev_marl.grid.solvers.base import PowerFlow, take_rows
from ev_marl.planning.programme.arrays import ArrayDay
from ev_marl.planning.programme.expression import Linear
from ev_marl.planning.programme.limits import PowerRows
from ev_marl.policies.grid_states import SUFFERED, GridStates

ROUNDS = 40  # of adding tangents, in one step of the episode
FAR_ROUNDS = 20  # the first rounds, which check all steps ahead; the others check this step only
NOW, LATER = 1e-4, 1e-3  # what a variable may be short of, relative: in this step; later, where loads are uncertain
_LEAST = dict(zip(SUFFERED, (1e-7, 1e-4, 1e-4, 1e-4), strict=True))  # what it may be short of anyway
_FAR = 1e6  # upper bound of the variables; costs keep them down


class GridQuantities:
    """The network as terms see it in one programme; implements `GridModel`; K steps, S sessions, E charger buses.

    Parameters
    ----------
    day : ArrayDay
        The programme.
    """

    def __init__(self, day: ArrayDay) -> None:
        self._day = day
        self._made: dict[str, Linear] = {}
        self._round = 0

    def beyond_band_pu(self) -> Linear:
        """Σ over buses of what voltages are beyond their band, (K,) [p.u.]."""
        return self._once("beyond_band_pu", 0.0)

    def line_overload_kva(self) -> Linear:
        """Σ over lines of what they carry beyond their limits, (K,) [kVA]."""
        return self._once("line_overload_kva", 0.0)

    def transformer_overload_kva(self) -> Linear:
        """Σ over transformers of what they carry beyond their limits, (K,) [kVA]."""
        return self._once("transformer_overload_kva", 0.0)

    def added_losses_kw(self) -> Linear:
        """Losses less those without charging, (K,) [kW]."""
        return self._once("added_losses_kw", -_FAR)

    @property
    def asked_for(self) -> bool:
        """Whether any term asked for one."""
        return bool(self._made)

    def _once(self, name: str, least: float) -> Linear:
        if name not in self._made:
            n_steps = self._day.n_steps
            self._made[name] = self._day.variables(name, np.full(n_steps, least), np.full(n_steps, _FAR))
        return self._made[name]

    def first(self, states: GridStates, share: np.ndarray, at_kw: np.ndarray) -> PowerRows:
        """Tangents at a plan that is thought to be near, in every step.

        Parameters
        ----------
        states : GridStates
            The K steps.
        share : float64, shape (S, E)
            How the power of each session is drawn at the charger buses.
        at_kw : float64, shape (K, E)
            The plan [kW].
        """
        steps = np.flatnonzero(states.solvable)
        flow, near_kw = states.nearest_solution(steps, at_kw[steps])
        return self._tangents(states, share, steps, near_kw, flow)

    def broken(self, states: GridStates, share: np.ndarray, planned_kw: np.ndarray, x: np.ndarray) -> PowerRows | None:
        """Tangents at a plan, in the steps in which it suffers more than its variables say.

        Parameters
        ----------
        states, share
            As for `first`.
        planned_kw : float64, shape (K, E)
            The plan [kW].
        x : float64, shape (n_columns,)
            Its variables.
        """
        reach = 0 if self._round == ROUNDS else len(planned_kw) if self._round < FAR_ROUNDS else 1
        self._round += 1
        steps = np.flatnonzero(states.solvable[:reach])
        flow, at_kw = states.nearest_solution(steps, planned_kw[steps])
        suffered = states.suffered(steps, flow)
        short = (at_kw != planned_kw[steps]).any(axis=1)
        for name, variables in self._made.items():
            here = suffered[:, SUFFERED.index(name)]
            short |= here - x[variables.column[steps]] > _near(name, steps, here)
        if not short.any():
            return None
        rows = self._tangents(states, share, steps[short], at_kw[short], take_rows(flow, short), planned_kw, x)
        return rows if len(rows.step) else None

    def _tangents(
        self,
        states: GridStates,
        share: np.ndarray,
        steps: np.ndarray,
        at_kw: np.ndarray,
        flow: PowerFlow,
        planned_kw: np.ndarray | None = None,
        x: np.ndarray | None = None,
    ) -> PowerRows:
        """variable >= suffered + slope·(power − at): for each quantity and step, or those that a plan breaks."""
        suffered, slopes = states.suffered(steps, flow), states.suffered_slopes(steps, at_kw, flow)
        parts = []
        for name, variables in self._made.items():
            kind = SUFFERED.index(name)
            here, slope, column = suffered[:, kind], slopes[:, :, kind], variables.column[steps]
            most = (slope * at_kw).sum(axis=1) - here
            rows = PowerRows(steps, slope @ share.T, most, column)
            if planned_kw is not None and x is not None:
                beyond = (slope * planned_kw[steps]).sum(axis=1) - x[column] - most
                rows = rows.take(beyond > _near(name, steps, here))
            parts.append(rows)
        return PowerRows.stack(parts)


def _near(name: str, steps: np.ndarray, suffered: np.ndarray) -> np.ndarray:
    """What the variables of some steps may be short of."""
    near: np.ndarray = np.where(steps == 0, NOW, LATER) * np.abs(suffered) + _LEAST[name]
    return near
