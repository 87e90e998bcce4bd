"""The network above the site in the programme of model predictive control: rows in the vehicles' powers.

Loads and generators of the network from now on come in. The exact power flow of a plan is solved in all its steps;
where it exceeds a limit, the limit is linearised at the plan, by differences of the exact power flow, and added to the
programme as a row in powers. Rows that were binding are kept for the next step of the episode, and moved to the outlook
of that step. A limit that the network breaks without charging is widened to that state, and charging nothing is always
allowed. What terms price there are variables, see `grid_prices`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.outlook.base import Outlook
from ev_marl.planning.programme.arrays import ArrayDay
from ev_marl.planning.programme.limits import PowerRows
from ev_marl.policies.base import SiteView
from ev_marl.policies.grid_states import INSIDE, GridStates, kinds, n_limits
from ev_marl.policies.mpc.grid_prices import GridQuantities
from ev_marl.site.arrays import SiteArrays

ROUNDS = 8  # of adding rows, in one step of the episode
FAR_ROUNDS = 3  # the first rounds, which check all steps ahead; the others check this step only
NOW, LATER = 1.0, 500.0  # allowed excess over a limit, in tolerances: in this step; later, where loads are uncertain
NEAR = 5000.0  # tolerances inside a limit within which its row is kept for the next step


@dataclass
class _Memory:
    """Data of one row of the batch from step to step; T steps of the episode, C limits, E charger buses."""

    charger_kw: np.ndarray  # float64 (T, E)  last plan
    held: np.ndarray  # bool (T, C)  limits that were binding
    slopes: dict[int, np.ndarray] = field(default_factory=dict)  # step of the episode -> (C, E)  excess per kW


class GridAhead:
    """The network of one episode.

    Parameters
    ----------
    loop : GridLoop
        The network, its limits and its chargers; its days are not used.
    outlook : Outlook
        The outlook on its other loads and generators in later steps.
    site : SiteArrays
        The site.
    trust : float
        Share of what the limits leave at later steps that is planned with [-].
    """

    def __init__(self, loop: GridLoop, outlook: Outlook, site: SiteArrays, *, trust: float = 1.0) -> None:
        self.loop, self.trust = loop, trust
        self._outlook = outlook
        self._memory: dict[int, _Memory] = {}
        shape = (site.n_ports, loop.spec.n_charger_buses)
        self._port_share = np.zeros(shape)
        self._port_share[np.arange(site.n_ports), loop.port_charger] = 1.0
        # A fleet may come to any port of its group: it is spread over their buses by rated power.
        group_kw = np.zeros((site.n_groups, loop.spec.n_charger_buses))
        np.add.at(group_kw, (site.port_group, loop.port_charger), site.port_charge_kw)
        spread = group_kw / np.maximum(group_kw.sum(axis=1, keepdims=True), 1e-12)
        self._fleet_share = spread[site.port_group]

    def rows(self, row: int, view: SiteView, ahead: Ahead, *, fleets: bool = False) -> GridRows:
        """The network's rows of one programme.

        Parameters
        ----------
        row : int
            Row of the batch.
        view : SiteView
            The view, with the state of the network.
        ahead : Ahead
            What lies ahead of that row.
        fleets : bool
            Whether vehicles to come are fleets that hang on a group, and not vehicles at ports.
        """
        assert view.tap is not None  # there is a loop
        port, here = ahead.stays["port"], ahead.n_here
        tap, present = int(view.tap[row]), view.present(row)

        def states() -> GridStates:
            loads = self._outlook.grid_loads(present, ahead.n_steps)
            return GridStates(self.loop, loads, np.full(loads.n_batch, tap, dtype=np.int64))

        coming_share = self._fleet_share if fleets else self._port_share
        return GridRows(
            self,
            states,
            np.concatenate([self._port_share[port[:here]], coming_share[port[here:]]]),
            self._memory.setdefault(row, self._nothing_known(view.n_steps)),
            view.step,
            ahead.n_steps,
        )

    def _nothing_known(self, n_steps: int) -> _Memory:
        spec = self.loop.spec
        return _Memory(np.zeros((n_steps, spec.n_charger_buses)), np.zeros((n_steps, n_limits(spec)), dtype=bool))


class GridRows:
    """The network's rows of one programme; K steps from now, S sessions, E charger buses, C limits.

    Parameters
    ----------
    network : GridAhead
        The network of the episode.
    make_states : callable
        Gives the K states without charging; the controlled transformer is assumed to stay at its tap. Only called where
        anything is kept or priced.
    share : float64, shape (S, E)
        How the power of each session is drawn at the charger buses.
    memory : _Memory
        Of the earlier steps of the episode; added to.
    first_step, n_steps : int
        The present step of the episode, and K.
    """

    def __init__(
        self,
        network: GridAhead,
        make_states: Callable[[], GridStates],
        share: np.ndarray,
        memory: _Memory,
        first_step: int,
        n_steps: int,
    ) -> None:
        self._trust, self._share, self._kinds = network.trust, share, kinds(network.loop.spec)
        self._keeps, self._make_states = network.loop.curtails, make_states
        self._slopes, self._first_step = memory.slopes, first_step
        here = slice(first_step, first_step + n_steps)
        self._planned_kw, self._held = memory.charger_kw[here], memory.held[here]
        self._quantities: GridQuantities | None = None
        self._round = 0

    @cached_property
    def _states(self) -> GridStates:
        return self._make_states()

    @property
    def _priced(self) -> GridQuantities | None:
        asked = self._quantities
        return asked if asked is not None and asked.asked_for else None

    def model(self, day: ArrayDay) -> GridQuantities:
        """What terms may price."""
        self._quantities = GridQuantities(day)
        return self._quantities

    def kept(self) -> PowerRows:
        """The first rows: limits that were binding and are still near, and prices, moved to the present outlook."""
        quantities = self._priced
        if not self._keeps and quantities is None:
            return PowerRows.limits(np.zeros(0, dtype=np.int64), np.zeros((0, len(self._share))), np.zeros(0))
        parts = [self._kept_limits()] if self._keeps else []
        parts.append(self._dark())
        if quantities is not None:
            parts.append(quantities.first(self._states, self._share, self._planned_kw))
        return PowerRows.stack(parts)

    def _kept_limits(self) -> PowerRows:
        steps = np.flatnonzero(self._held.any(axis=1) & self._states.solvable)
        at_kw, excess = self._planned_kw[steps], np.zeros(self._held[steps].shape)
        if len(steps):
            excess = self._states.excess(steps, self._states.flow(steps, at_kw))
        self._held[steps] &= excess > -NEAR  # false where there is no solution
        place, limit = np.nonzero(self._held[steps])
        return self._tangents(steps[place], limit, at_kw[place], excess[place, limit])

    def _dark(self) -> PowerRows:
        """Where the loads alone are more than the network can carry, there is no charging."""
        dark = np.repeat(np.flatnonzero(~self._states.solvable), 2)
        both_ways = np.ones((len(dark), len(self._share)))
        both_ways[1::2] = -1.0
        return PowerRows.limits(dark, both_ways, np.zeros(len(dark)))

    def broken(self, power_kw: np.ndarray, x: np.ndarray) -> PowerRows | None:
        """Rows that a plan breaks; None if there are none, or after the last rounds.

        Parameters
        ----------
        power_kw : float64, shape (K, S)
            Power of each session [kW].
        x : float64, shape (n_columns,)
            All variables.
        """
        self._planned_kw[:] = power_kw @ self._share
        beyond = self._broken_limits() if self._keeps else None
        quantities = self._priced
        if quantities is None:
            return beyond
        lifts = quantities.broken(self._states, self._share, self._planned_kw, x)
        parts = [part for part in (beyond, lifts) if part is not None]
        return PowerRows.stack(parts) if parts else None

    def _broken_limits(self) -> PowerRows | None:
        if self._round == ROUNDS:
            return None
        reach = len(self._planned_kw) if self._round < FAR_ROUNDS else 1
        self._round += 1
        steps = np.flatnonzero((self._states.solvable & (np.abs(self._planned_kw) > 1e-6).any(axis=1))[:reach])
        if not len(steps):
            return None
        flow, at_kw = self._states.nearest_solution(steps, self._planned_kw[steps])
        excess = np.nan_to_num(self._states.excess(steps, flow), nan=-np.inf)  # dead buses
        allowed = np.where(steps == 0, NOW, LATER)
        wrong = (excess.max(axis=1) > allowed) | (at_kw != self._planned_kw[steps]).any(axis=1)
        if not wrong.any():
            return None
        steps, at_kw, excess, allowed = steps[wrong], at_kw[wrong], excess[wrong], allowed[wrong]
        self._differentiate(steps, at_kw, excess)
        place, limit = self._chosen(steps, at_kw, excess, allowed)
        self._held[steps[place], limit] = True
        return self._tangents(steps[place], limit, at_kw[place], excess[place, limit])

    def _differentiate(self, steps: np.ndarray, at_kw: np.ndarray, excess: np.ndarray) -> None:
        """Slopes of all limits of some steps, where they are not known yet; in this step again, to be exact."""
        known = np.array([step > 0 and self._first_step + step in self._slopes for step in steps.tolist()])
        if known.all():
            return
        steps, excess = steps[~known], excess[~known]
        slopes = self._states.slopes(steps, at_kw[~known], excess)
        for k, step in enumerate(steps.tolist()):
            self._slopes[self._first_step + step] = np.ascontiguousarray(slopes[k].T)

    def _chosen(
        self, steps: np.ndarray, at_kw: np.ndarray, excess: np.ndarray, allowed: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Limits to add, as places in `steps` and limits: all broken ones now, later the worst of each kind."""
        slopes = np.stack([self._slopes[self._first_step + step] for step in steps.tolist()])
        of_plan = excess + np.einsum("kce,ke->kc", slopes, self._planned_kw[steps] - at_kw)
        worst = np.zeros(of_plan.shape, dtype=bool)
        worst[steps == 0] = True
        for kind in self._kinds:
            worst[np.arange(len(steps)), kind.start + of_plan[:, kind].argmax(axis=1)] = True
        place, limit = np.nonzero((of_plan > allowed[:, None]) & worst)
        return place, limit

    def _tangents(self, steps: np.ndarray, limit: np.ndarray, at_kw: np.ndarray, excess: np.ndarray) -> PowerRows:
        """Rows: each limit, linearised at some powers; charging nothing is always allowed."""
        slopes = np.zeros_like(at_kw)
        for k, (step, c) in enumerate(zip(steps.tolist(), limit.tolist(), strict=True)):
            slopes[k] = self._slopes[self._first_step + step][c]
        scale = np.maximum(np.abs(slopes).max(axis=1, initial=0.0), 1e-12)
        room = np.maximum(0.0, (slopes * at_kw).sum(axis=1) - excess - INSIDE)
        room[steps > 0] *= self._trust
        return PowerRows.limits(steps, (slopes / scale[:, None]) @ self._share.T, room / scale)
