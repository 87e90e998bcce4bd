"""The network above the site in the programme of model predictive control: rows in the vehicles' powers.

What loads and generators of the network do from now on comes in. The exact power flow of a plan is solved in all its
steps; where it is beyond a limit, the limit is linearised about the plan, by differences of the exact power flow, and
added to the programme as a row in powers. Rows that held a plan back are kept for the next step of the episode, where
they are moved to what is expected then. A limit that the network breaks without charging is widened to that, and no row
forbids to charge nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ev_marl.grid.base import Injections, PowerFlow, put_rows
from ev_marl.grid.limits import Bounds
from ev_marl.grid.loop import GridLoop
from ev_marl.grid.slopes import moved_powers
from ev_marl.policies.base import SiteView
from ev_marl.policies.mpc_ahead import Ahead
from ev_marl.policies.mpc_loads import Loads
from ev_marl.site.arrays import SiteArrays

ROUNDS = 4  # of solving again, in one step of the episode
INSIDE = 20.0  # tolerances that rows stay inside a limit, as those of the network's coordinator
NOW, LATER = 1.0, 50.0  # tolerances by which a limit may be broken in this step, and in later ones
_NEAR = 0.05  # a row is kept for the next step if it left less than this share of itself
_HALVINGS = 8


@dataclass(frozen=True)
class PowerRows:
    """R rows Σ weight·power <= most, each in the powers of one step's sessions."""

    step: np.ndarray  # int64 (R,)  from now
    weight: np.ndarray  # float64 (R, S)
    most_kw: np.ndarray  # float64 (R,)


@dataclass
class _Memory:
    """What one row of the batch keeps from step to step; T steps of the episode."""

    charger_kw: np.ndarray  # float64 (T, E)  last plan
    held: np.ndarray  # bool (T, C)  limits that held it back
    slopes: dict[int, np.ndarray] = field(default_factory=dict)  # by step of the episode, (C, E)


class NetworkAhead:
    """The network of one episode.

    Parameters
    ----------
    loop : GridLoop
        The network, its limits, and how its chargers behave.
    loads : Loads
        What else flows on it at later steps.
    site : SiteArrays
        The site.
    fleets : bool
        Whether vehicles to come are fleets that hang on a group, and not vehicles at ports.
    """

    def __init__(self, loop: GridLoop, loads: Loads, site: SiteArrays, *, fleets: bool) -> None:
        self.loop, self._loads, self._fleets = loop, loads, fleets
        self._port_share = np.zeros((site.n_ports, loop.spec.n_charger_buses))
        self._port_share[np.arange(site.n_ports), loop.port_charger] = 1.0
        # A fleet is spread over the charger buses of its group as the rated power of the ports there is.
        group_kw = np.zeros((site.n_groups, loop.spec.n_charger_buses))
        np.add.at(group_kw, (site.port_group, loop.port_charger), site.port_charge_kw)
        self._fleet_share = (group_kw / np.maximum(group_kw.sum(axis=1, keepdims=True), 1e-12))[site.port_group]
        self._memory: dict[int, _Memory] = {}

    def rows(self, row: int, view: SiteView, ahead: Ahead) -> NetworkRows:
        """The network's rows of one programme."""
        assert view.network is not None  # there is a loop
        assert view.tap is not None
        port = ahead.limits.port
        share = self._port_share[port]
        if self._fleets:
            share[ahead.n_here :] = self._fleet_share[port[ahead.n_here :]]
        one = np.array([row])
        states = self._loads.ahead(row, view.step, view.network.rows(one), ahead.n_steps)
        if row not in self._memory:
            spec = self.loop.spec
            n_limits = 2 * spec.n_buses + spec.n_lines + spec.n_transformers
            self._memory[row] = _Memory(
                np.zeros((view.n_steps, spec.n_charger_buses)), np.zeros((view.n_steps, n_limits), dtype=bool)
            )
        return NetworkRows(self.loop, states, int(view.tap[row]), share, self._memory[row], view.step)


class NetworkRows:
    """The network's rows of one programme; K steps from now, S sessions, E charger buses, C limits.

    Parameters
    ----------
    loop : GridLoop
        The network.
    states : Injections
        K rows: what flows on it without charging.
    tap : int
        Position of the controlled transformer.
    share : float64, shape (S, E)
        How the power of each session is drawn at the charger buses.
    memory : _Memory
        Of the earlier steps of the episode.
    step : int
        The present step.
    """

    def __init__(
        self, loop: GridLoop, states: Injections, tap: int, share: np.ndarray, memory: _Memory, step: int
    ) -> None:
        self._loop, self._states, self._tap, self._share = loop, states, tap, share
        self._memory, self._first = memory, step
        self._left = ROUNDS
        none = np.zeros_like(states.charger_kw)
        idle = self._flow(np.arange(len(none)), none)
        self._solvable = idle.converged
        self._bounds = Bounds.widened(loop.limits, idle.vm_pu, idle.line_percent, idle.transformer_percent)

    def first(self) -> PowerRows:
        """Rows that held the last plan back, moved to what is expected now."""
        held = self._memory.held[self._first :][: self._states.n_batch]
        steps = np.flatnonzero(held.any(axis=1) & self._solvable)
        charger_kw = self._memory.charger_kw[self._first + steps]
        flow = self._flow(steps, charger_kw)
        steps, charger_kw = steps[flow.converged], charger_kw[flow.converged]
        excess = self._bounds.rows(steps).stacked_excess(flow)[flow.converged] if len(steps) else np.zeros((0, 0))
        place, limit = np.nonzero(held[steps])
        return self._tangents(steps[place], limit, charger_kw[place], excess[place, limit])

    def broken(self, power_kw: np.ndarray) -> PowerRows | None:
        """Rows that a plan breaks; None where there are none, or enough was tried.

        Parameters
        ----------
        power_kw : float64, shape (K, S)
            Power of each session [kW].
        """
        charger_kw = power_kw @ self._share
        self._memory.charger_kw[self._first : self._first + len(charger_kw)] = charger_kw
        if self._left == 0:
            return None
        self._left -= 1
        steps = np.flatnonzero(self._solvable & (np.abs(charger_kw) > 1e-6).any(axis=1))
        flow, at_kw = self._nearest_solution(steps, charger_kw[steps])
        excess = self._bounds.rows(steps).stacked_excess(flow)
        allowed = np.where(steps == 0, NOW, LATER)
        moved = (at_kw != charger_kw[steps]).any(axis=1)
        beyond = (np.nan_to_num(excess, nan=-np.inf).max(axis=1) > allowed) | moved
        if not beyond.any():
            return None
        steps, at_kw, excess = steps[beyond], at_kw[beyond], excess[beyond]
        self._differentiate(steps, at_kw, excess)
        place, limit = self._chosen(steps, charger_kw[steps] - at_kw, excess, allowed[beyond])
        self._memory.held[self._first + steps[place], limit] = True
        return self._tangents(steps[place], limit, at_kw[place], excess[place, limit])

    def _flow(self, steps: np.ndarray, charger_kw: np.ndarray) -> PowerFlow:
        states = self._states.rows(steps)
        states.charger_kw = charger_kw
        return self._loop.flow_of(states, np.full(len(steps), self._tap, dtype=np.int64))

    def _nearest_solution(self, steps: np.ndarray, charger_kw: np.ndarray) -> tuple[PowerFlow, np.ndarray]:
        """Power flows; where there is none, of half the power, a quarter, ..."""
        flow, at_kw = self._flow(steps, charger_kw), charger_kw.copy()
        for _ in range(_HALVINGS):
            lost = np.flatnonzero(~flow.converged)
            if not len(lost):
                break
            at_kw[lost] *= 0.5
            put_rows(self._flow(steps[lost], at_kw[lost]), lost, flow)
        return flow, at_kw

    def _differentiate(self, steps: np.ndarray, at_kw: np.ndarray, excess: np.ndarray) -> None:
        """Slopes of the limits of some steps, where they are not known, and of this step in any case."""
        slopes = self._memory.slopes
        wanted = np.array([step == 0 or self._first + step not in slopes for step in steps.tolist()], dtype=bool)
        if not wanted.any():
            return
        steps, excess = steps[wanted], excess[wanted]
        moved_kw, change_kw = moved_powers(at_kw[wanted])
        every = np.repeat(steps, moved_kw.shape[1])
        flow = self._flow(every, moved_kw.reshape(len(every), -1))
        changed = self._bounds.rows(every).stacked_excess(flow).reshape(*moved_kw.shape[:2], -1)
        slope = np.nan_to_num((changed - excess[:, None]) / change_kw[:, :, None])
        for k, step in enumerate(steps.tolist()):
            slopes[self._first + step] = np.ascontiguousarray(slope[k].T)

    def _chosen(
        self, steps: np.ndarray, rest_kw: np.ndarray, excess: np.ndarray, allowed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Limits to add, as places in `steps` and limits: all that this step breaks, the worst of each kind later."""
        slopes = np.stack([self._memory.slopes[self._first + step] for step in steps.tolist()])
        at_plan = np.nan_to_num(excess + np.einsum("kce,ke->kc", slopes, rest_kw), nan=-np.inf)
        over = at_plan > allowed[:, None]
        spec = self._loop.spec
        worst = np.zeros_like(over)
        ends = np.cumsum([spec.n_buses, spec.n_buses, spec.n_lines, spec.n_transformers])
        for first, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            if first < end:
                worst[np.arange(len(steps)), first + at_plan[:, first:end].argmax(axis=1)] = True
        place, limit = np.nonzero(over & (worst | (steps == 0)[:, None]))
        return place, limit

    def _tangents(self, steps: np.ndarray, limit: np.ndarray, at_kw: np.ndarray, excess: np.ndarray) -> PowerRows:
        """Rows: each limit, linear about some powers; no charging is always allowed."""
        slopes = np.zeros_like(at_kw)
        for k, (step, c) in enumerate(zip(steps.tolist(), limit.tolist(), strict=True)):
            slopes[k] = self._memory.slopes[self._first + step][c]
        scale = np.maximum(np.abs(slopes).max(axis=1, initial=0.0), 1e-12)
        room = np.maximum(0.0, (slopes * at_kw).sum(axis=1) - excess - INSIDE)
        return PowerRows(steps, (slopes / scale[:, None]) @ self._share.T, room / scale)
