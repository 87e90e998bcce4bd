"""The sums that go up the edges: planned powers, and powers that could be planned, of the vehicles below a node.

How far a price moves follows from them, the same for limits, meter and network.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.vehicles import Vehicles
from ev_marl.support.compiled import kernel

# How far prices move, over the longest step that is stable for one limit alone. Where limits above each other bind at
# once, or the meter's price moves too, their prices add up and would overshoot. With 0.7 instead of 1, 24 training days
# scored 97.2 instead of 95.3 % on `residential-v2g`, where two limits bind, and 96.7 instead of 96.8 % on `workplace`.
STEP_LENGTH = 0.7


def steepness(inertia_per_kwh: float, able_kw: np.ndarray) -> np.ndarray:
    """σ: what a price rises by for each kW too much, shape of `able_kw` [currency/kWh per kW].

    Parameters
    ----------
    inertia_per_kwh : float
        That of the stations [currency/kWh].
    able_kw : float64, any shape
        Power that could be planned below the node [kW].
    """
    sigma: np.ndarray = STEP_LENGTH * inertia_per_kwh / np.maximum(able_kw, 1e-6)
    return sigma


@kernel
def sum_plans(
    step: int,
    stays: np.ndarray,
    session: np.ndarray,
    plan_kw: np.ndarray,
    flexible_kw: np.ndarray,
    weight: float,
    place: np.ndarray,
    group_parent: np.ndarray,
    total_kw: np.ndarray,
    able_kw: np.ndarray,
) -> None:
    """Add plans and powers that could be planned to the groups above each vehicle, from this step on."""
    n_batch, n_ports = session.shape
    for b in range(n_batch):
        for p in range(n_ports):
            s = session[b, p]
            if s < 0:
                continue
            g = place[p]
            while g >= 0:
                for k in range(max(step, stays[s]["arrival_step"]), stays[s]["deadline_step"]):
                    total_kw[b, g, k] += weight * plan_kw[b, p, k]
                    able_kw[b, g, k] += weight * flexible_kw[b, p]
                g = group_parent[g]


class Listener:
    """A node beside the tree, which hears the plans of all vehicles, by place; Q places."""

    def listen(self, step: int, port_place: np.ndarray, shape: tuple[int, int, int]) -> None:
        """Forget earlier plans, and hear those of the steps from `step` on.

        Parameters
        ----------
        step : int
            The coming step.
        port_place : int64, shape (n_ports,)
            Place of each port, as this node counts them.
        shape : tuple of int
            (n_batch, Q, n_steps).
        """
        self._step, self._heard_at = step, port_place
        self._expected_kw = np.zeros((2, *shape))

    def expect(
        self, vehicles: Vehicles, port: np.ndarray, plan_kw: np.ndarray, able_kw: np.ndarray, weight: float
    ) -> None:
        """Take over the plans of vehicles to come, times `weight`, instead of earlier ones."""
        self._expected_kw[:] = 0.0
        self._add_up(vehicles, port, plan_kw, able_kw, weight, self._expected_kw)

    def heard(self, vehicles: Vehicles, port: np.ndarray, plan_kw: np.ndarray, able_kw: np.ndarray) -> np.ndarray:
        """The plans of connected vehicles and of those to come, at each place.

        Parameters
        ----------
        vehicles : Vehicles
            The connected vehicles.
        port : int64, shape (n_vehicles,)
            Their ports.
        plan_kw : float64, shape (n_batch, n_vehicles, n_steps)
            Their plans [kW].
        able_kw : float64, shape (n_batch, n_vehicles)
            Power that they could plan in each step of their stay [kW].

        Returns
        -------
        float64, shape (2, n_batch, Q, n_steps)
            Planned powers, and powers that could be planned [kW].
        """
        total = self._expected_kw.copy()
        self._add_up(vehicles, port, plan_kw, able_kw, 1.0, total)
        return total

    def _add_up(
        self,
        vehicles: Vehicles,
        port: np.ndarray,
        plan_kw: np.ndarray,
        able_kw: np.ndarray,
        weight: float,
        total: np.ndarray,
    ) -> None:
        stays, session, place = vehicles.stays, vehicles.session, self._heard_at[port]
        nothing_above = np.full(total.shape[2], -1)
        sum_plans(self._step, stays, session, plan_kw, able_kw, weight, place, nothing_above, total[0], total[1])
