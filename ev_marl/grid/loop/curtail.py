"""Takes charging back until the network's limits hold: linearised, solved again, checked by the exact power flow.

Powers that the site's coordinator granted come in; powers between zero and those go out, with the power flow that they
make. Each round differentiates the power flow of the rows that break a limit by the power of each charger bus, moves
the buses' powers as little as possible (least squares) to where the linear model keeps every limit, and solves the
exact power flow again. What is left after some rounds is scaled towards zero, where every limit holds because limits
are widened to what the network does without charging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ev_marl.grid.loop.limits import Bounds
from ev_marl.grid.loop.slopes import STEP_KW
from ev_marl.grid.solvers.base import PowerFlow, put_rows, take_rows
from ev_marl.simulation.coordinators.base import Request
from ev_marl.simulation.coordinators.proportional import Proportional
from ev_marl.support.compiled import kernel

ROUNDS = 6  # of linearising; a round takes one more power flow for each charger bus
_INSIDE = 20.0  # tolerances by which the linear model aims inside a limit, since voltages are concave in power
_UNMOVED = 0.01  # tolerances: what all charging moves by less, such as a slack bus, is moved by rounding errors alone
_SWEEPS = 200  # of the projection, at most
_BISECTIONS = 24  # of the last resort

Solve = Callable[[np.ndarray, np.ndarray], PowerFlow]
"""Rows (int64, shape (R,)) and powers of the charger buses there, shape (R, E) [kW]: their power flow."""


@kernel
def _project(jacobian: np.ndarray, room: np.ndarray, charger_kw: np.ndarray, sweeps: int, out: np.ndarray) -> None:
    """Least-squares projection of each row on {x between 0 and charger_kw, J (x − charger_kw) <= room}.

    Coordinate ascent on the dual: the multiplier of one constraint at a time is set to where it just holds, by
    bisection on x(multipliers) = clip(p − Jᵀ·multipliers).
    """
    n_rows, n_constraints, n_buses = jacobian.shape
    shift = np.empty(n_buses)
    multiplier = np.empty(n_constraints)
    for r in range(n_rows):
        for k in range(n_buses):
            shift[k] = 0.0
            out[r, k] = charger_kw[r, k]
        for c in range(n_constraints):
            multiplier[c] = 0.0
        for _ in range(sweeps):
            moved = False
            for c in range(n_constraints):
                value = 0.0
                slope = 0.0
                for k in range(n_buses):
                    value += jacobian[r, c, k] * (out[r, k] - charger_kw[r, k])
                    slope += jacobian[r, c, k] * jacobian[r, c, k]
                excess = value - room[r, c]
                if slope == 0.0 or np.isnan(excess):
                    continue
                if not (excess > 1e-9 or (multiplier[c] > 0.0 and excess < -1e-9)):
                    continue
                low, high = 0.0, multiplier[c] + abs(excess) / slope
                for _ in range(60):  # widen until the constraint holds at `high`
                    value = 0.0
                    for k in range(n_buses):
                        step = jacobian[r, c, k]
                        x = charger_kw[r, k] - shift[k] - (high - multiplier[c]) * step
                        least, most = min(0.0, charger_kw[r, k]), max(0.0, charger_kw[r, k])
                        value += step * (min(most, max(least, x)) - charger_kw[r, k])
                    if value <= room[r, c] or high > 1e12:
                        break
                    high *= 2.0
                for _ in range(60):
                    middle = 0.5 * (low + high)
                    value = 0.0
                    for k in range(n_buses):
                        step = jacobian[r, c, k]
                        x = charger_kw[r, k] - shift[k] - (middle - multiplier[c]) * step
                        least, most = min(0.0, charger_kw[r, k]), max(0.0, charger_kw[r, k])
                        value += step * (min(most, max(least, x)) - charger_kw[r, k])
                    if value <= room[r, c]:
                        high = middle
                    else:
                        low = middle
                change = high - multiplier[c]
                if abs(change) * np.sqrt(slope) > 1e-9:
                    moved = True
                multiplier[c] = high
                for k in range(n_buses):
                    shift[k] += change * jacobian[r, c, k]
                    x = charger_kw[r, k] - shift[k]
                    least, most = min(0.0, charger_kw[r, k]), max(0.0, charger_kw[r, k])
                    out[r, k] = min(most, max(least, x))
            if not moved:
                break


@kernel
def _spread(charger_kw: np.ndarray, port_charger: np.ndarray, granted_kw: np.ndarray) -> None:
    """Bring the ports of each bus to the bus's new power by scaling those of the sign that is too much, in place."""
    n_rows, n_ports = granted_kw.shape
    n_buses = charger_kw.shape[1]
    drawn, fed = np.empty(n_buses), np.empty(n_buses)
    for r in range(n_rows):
        for k in range(n_buses):
            drawn[k] = 0.0
            fed[k] = 0.0
        for p in range(n_ports):
            power = granted_kw[r, p]
            if power > 0.0:
                drawn[port_charger[p]] += power
            else:
                fed[port_charger[p]] -= power
        for p in range(n_ports):
            k = port_charger[p]
            power = granted_kw[r, p]
            if power > 0.0 and drawn[k] > fed[k]:
                granted_kw[r, p] = power * min(1.0, max(0.0, (charger_kw[r, k] + fed[k]) / drawn[k]))
            elif power < 0.0 and fed[k] > drawn[k]:
                granted_kw[r, p] = power * min(1.0, max(0.0, (drawn[k] - charger_kw[r, k]) / fed[k]))


@kernel
def bus_power(granted_kw: np.ndarray, port_charger: np.ndarray, charger_kw: np.ndarray) -> None:
    """Sum the powers of the ports of each charger bus into `charger_kw`, shape (n_rows, n_charger_buses)."""
    n_rows, n_ports = granted_kw.shape
    for r in range(n_rows):
        for k in range(charger_kw.shape[1]):
            charger_kw[r, k] = 0.0
        for p in range(n_ports):
            charger_kw[r, port_charger[p]] += granted_kw[r, p]


@dataclass
class Curtail:
    """Keeps the network's limits by curtailing, row by row.

    Parameters
    ----------
    port_charger : int64, shape (n_ports,)
        Charger bus of each port.
    n_charger_buses : int
        E.
    """

    port_charger: np.ndarray
    n_charger_buses: int

    def __post_init__(self) -> None:
        self._site_limits = Proportional()

    def curtail(
        self, granted_kw: np.ndarray, flow: PowerFlow, bounds: Bounds, request: Request | None, solve: Solve
    ) -> PowerFlow:
        """Curtail the rows that break a limit.

        Parameters
        ----------
        granted_kw : float64, shape (B, P)
            What the site's coordinator granted [kW]; changed in place.
        flow : PowerFlow
            Of these powers, every row with a solution.
        bounds : Bounds
            Limits of each row, kept without charging.
        request : Request, optional
            Of this step, for the site's own limits; None where these may be exceeded.
        solve : callable
            Power flow of some rows.

        Returns
        -------
        PowerFlow
            Of the powers that are left.
        """
        rows = np.flatnonzero(~bounds.kept(flow))
        for _ in range(ROUNDS):
            if not len(rows):
                return flow
            self._round(rows, granted_kw, flow, bounds.rows(rows), request, solve)
            rows = rows[~self._check(rows, granted_kw, flow, bounds, solve)]
        if len(rows):
            self._scale(rows, granted_kw, flow, bounds, solve)
        return flow

    def _powers(self, granted_kw: np.ndarray) -> np.ndarray:
        charger_kw = np.empty((len(granted_kw), self.n_charger_buses))
        bus_power(granted_kw, self.port_charger, charger_kw)
        return charger_kw

    def _check(
        self, rows: np.ndarray, granted_kw: np.ndarray, flow: PowerFlow, bounds: Bounds, solve: Solve
    ) -> np.ndarray:
        """Solve some rows exactly, put the result into `flow`, and say which keep their limits."""
        part = solve(rows, self._powers(granted_kw[rows]))
        put_rows(part, rows, flow)
        return bounds.rows(rows).kept(part)

    def _round(
        self,
        rows: np.ndarray,
        granted_kw: np.ndarray,
        flow: PowerFlow,
        bounds: Bounds,
        request: Request | None,
        solve: Solve,
    ) -> None:
        charger_kw = self._powers(granted_kw[rows])
        excess = bounds.stacked_excess(take_rows(flow, rows))
        jacobian = self._jacobian(rows, charger_kw, excess, bounds, solve)
        # Only limits that are broken, or that the largest thinkable move could break, have a say.
        reach = np.abs(jacobian * charger_kw[:, None, :]).sum(axis=2)
        jacobian[reach < _UNMOVED] = 0.0
        matters = np.nan_to_num(excess + reach, nan=-1.0).max(axis=0) > -_INSIDE
        room = -excess[:, matters] - _INSIDE
        target_kw = np.empty_like(charger_kw)
        _project(np.ascontiguousarray(jacobian[:, matters]), room, charger_kw, _SWEEPS, target_kw)
        less_kw = granted_kw[rows]
        _spread(target_kw, self.port_charger, less_kw)
        # Less charging can leave a group with more export than it may have, less discharging with more import, and less
        # of either a phase with more current.
        if request is not None and (request.site.n_currents or (granted_kw[rows] < 0.0).any()):
            kept_kw = np.empty_like(less_kw)
            self._site_limits.grant(replace(request.of_rows(rows), setpoint_kw=less_kw), kept_kw)
            less_kw = kept_kw
        granted_kw[rows] = less_kw

    def _jacobian(
        self, rows: np.ndarray, charger_kw: np.ndarray, excess: np.ndarray, bounds: Bounds, solve: Solve
    ) -> np.ndarray:
        """Change of each excess per kW at each charger bus, float64, shape (R, 2N + M + K, E), by difference quotients.

        Powers are moved towards zero, so that a state near collapse is never pushed over the edge; where nothing flows
        nothing can be curtailed, so those slopes are left at 0.
        """
        slopes = np.zeros((*excess.shape, charger_kw.shape[1]))
        row, bus = np.nonzero(charger_kw)
        step_kw = -STEP_KW * np.sign(charger_kw[row, bus])
        moved = charger_kw[row]
        moved[np.arange(len(row)), bus] += step_kw
        change = bounds.rows(row).stacked_excess(solve(rows[row], moved)) - excess[row]
        slopes[row, :, bus] = np.nan_to_num(change / step_kw[:, None])
        return slopes

    def _scale(self, rows: np.ndarray, granted_kw: np.ndarray, flow: PowerFlow, bounds: Bounds, solve: Solve) -> None:
        """Scale rows towards zero as little as needed, by bisection; scaling keeps the site's own limits."""
        whole_kw = granted_kw[rows]
        low, high = np.zeros(len(rows)), np.ones(len(rows))
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            fits = bounds.rows(rows).kept(solve(rows, self._powers(whole_kw * middle[:, None])))
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        granted_kw[rows] = whole_kw * low[:, None]
        self._check(rows, granted_kw, flow, bounds, solve)
