"""The network above the site as one more node of the coupling graph: hears plans by bus, announces prices by bus.

The planned power of each charger bus and remaining step comes in; what a kWh there is worth to the network's limits
goes out: a locational marginal price, the sum of the prices of the limits times how much the bus weighs on them.
What the node knows itself is its model, what flows on it now, and what it expects of later steps.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ev_marl.grid.base import Injections
from ev_marl.grid.loop import GridLoop
from ev_marl.policies.base import SiteView
from ev_marl.policies.messages_stays import Stays
from ev_marl.policies.messages_sums import sum_plans
from ev_marl.policies.mpc_loads import Loads
from ev_marl.policies.network_states import INSIDE, NetworkStates, kinds, n_limits
from ev_marl.site.arrays import SiteArrays

ROWS = 8  # limits of a step that have a price


class NetworkPrices:
    """Prices of the limits of the network, B batch rows, T steps of the episode, E charger buses.

    Of each step, up to `ROWS` limits have a row weight · powers <= most, the largest weight being 1, and a price >= 0.

    Parameters
    ----------
    loop : GridLoop
        The network, its limits, and how its chargers behave; its days are not looked at.
    loads : Loads
        What else flows on it at later steps.
    n_batch, n_steps : int
        B and T.
    inertia_per_kwh : float
        As that of the stations [currency/kWh].

    Attributes
    ----------
    limit : int64, shape (n_batch, n_steps, n_rows)
        Which limit each row is of, −1 where it is free; C, one more than the last limit, where nothing may be planned
        because the network has no power flow even without charging.
    weight : float64, shape (n_batch, n_steps, n_rows, n_charger_buses)
        How much each bus weighs on it [-].
    most_kw : float64, shape (n_batch, n_steps, n_rows)
        What it leaves [kW].
    price_per_kwh : float64, shape (n_batch, n_steps, n_rows)
        Its price [currency/kWh].
    """

    def __init__(
        self, loop: GridLoop, loads: Loads, site: SiteArrays, n_batch: int, n_steps: int, inertia_per_kwh: float
    ) -> None:
        self.loop, self.inertia_per_kwh = loop, inertia_per_kwh
        pairs = np.stack([site.port_group, loop.port_charger], axis=1)
        pairs, place = np.unique(pairs, axis=0, return_inverse=True)
        self._place_group, self._place_bus = pairs.T
        self.port_place = place.reshape(-1)
        self._port_bus, self._no_parent = loop.port_charger, np.full(loop.spec.n_charger_buses, -1)
        self._loads, self._kinds, self._n_limits = loads, kinds(loop.spec), n_limits(loop.spec)
        shape = (n_batch, n_steps, ROWS)
        self.limit = np.full(shape, -1, dtype=np.int64)
        self.weight = np.zeros((*shape, loop.spec.n_charger_buses))
        self._per_kw = np.ones(shape)  # tolerances per kW at the bus that weighs most
        self.most_kw = np.zeros(shape)
        self.price_per_kwh = np.zeros(shape)

    def look(self, view: SiteView) -> None:
        """See the present state and expect the later ones; nobody has announced a plan yet."""
        assert view.network is not None  # there is a loop
        assert view.tap is not None
        n_batch, n_left = len(view.connected), view.n_steps - view.step
        ahead = [self._loads.ahead(b, view.step, view.network.rows(np.array([b])), n_left) for b in range(n_batch)]
        states = Injections(*(np.concatenate([getattr(a, f.name) for a in ahead]) for f in fields(Injections)))
        self._states = NetworkStates(self.loop, states, np.repeat(view.tap, n_left))
        self._step, self._linear = view.step, False
        self._announced = self.price_per_kwh
        self._expected_kw = np.zeros((2, n_batch, self.loop.spec.n_charger_buses, view.n_steps))

    def add_to(self, price_per_kwh: np.ndarray) -> np.ndarray:
        """Prices within groups, shape (n_batch, n_groups, n_steps), and those of buses, at each place."""
        by_bus = np.einsum("btr,btre->bet", self._announced, self.weight)
        total: np.ndarray = price_per_kwh[:, self._place_group] + by_bus[:, self._place_bus]
        return total

    def expect(self, stays: Stays, port: np.ndarray, plan_kw: np.ndarray, able_kw: np.ndarray, weight: float) -> None:
        """Hear the plans of vehicles that are still to come, each of which counts `weight` times."""
        self._add_up(stays, port, plan_kw, able_kw, weight, self._expected_kw)

    def answer(self, stays: Stays, port: np.ndarray, plan_kw: np.ndarray, able_kw: np.ndarray) -> None:
        """Hear the plans of the vehicles that are there, and announce new prices, with a step ahead."""
        heard = self._expected_kw.copy()
        self._add_up(stays, port, plan_kw, able_kw, 1.0, heard)
        if not self._linear:
            self.linearise(heard[0])
            self._linear = True
        new = self.moved(*heard)
        self._announced = 2.0 * new - self.price_per_kwh
        self.price_per_kwh = new

    def _add_up(
        self, stays: Stays, port: np.ndarray, plan_kw: np.ndarray, able_kw: np.ndarray, weight: float, heard: np.ndarray
    ) -> None:
        sum_plans(
            self._step,
            stays.session,
            stays.start_step,
            stays.deadline_step,
            plan_kw,
            able_kw,
            weight,
            self._port_bus[port],
            self._no_parent,
            heard[0],
            heard[1],
        )

    def linearise(self, bus_kw: np.ndarray) -> None:
        """Solve the exact power flow of announced plans, and make rows of the limits that they break.

        Parameters
        ----------
        bus_kw : float64, shape (n_batch, n_charger_buses, n_steps)
            Planned power at each bus [kW].
        """
        n_batch, n_buses, n_steps = bus_kw.shape
        n_left = n_steps - self._step
        planned_kw = bus_kw[:, :, self._step :].transpose(0, 2, 1).reshape(-1, n_buses)
        place = (n_steps * np.arange(n_batch)[:, None] + np.arange(self._step, n_steps)).reshape(-1)
        limit, weight = self.limit.reshape(-1, ROWS), self.weight.reshape(-1, ROWS, n_buses)
        dark = place[~self._states.solvable]
        limit[dark], self.price_per_kwh.reshape(-1, ROWS)[dark, 1:] = -1, 0.0
        limit[dark, 0], weight[dark, 0] = self._n_limits, 1.0
        self.most_kw.reshape(-1, ROWS)[dark] = 0.0
        which = np.flatnonzero(self._states.solvable)
        flow, at_kw = self._states.nearest_solution(which, planned_kw[which])
        excess = self._states.excess(which, flow)
        excess[np.isnan(excess)] = -np.inf  # dead buses
        now = which % n_left == 0
        self._make_rows(which, place[which], at_kw, excess, now)
        rows = limit[place[which]]
        beyond_kw = np.take_along_axis(excess, np.maximum(rows, 0), axis=1) + INSIDE
        beyond_kw /= self._per_kw.reshape(-1, ROWS)[place[which]]
        at_most = np.einsum("nre,ne->nr", weight[place[which]], at_kw) - beyond_kw
        self.most_kw.reshape(-1, ROWS)[place[which]] = np.maximum(0.0, at_most)

    def _make_rows(
        self, which: np.ndarray, place: np.ndarray, at_kw: np.ndarray, excess: np.ndarray, now: np.ndarray
    ) -> None:
        """Rows for the worst limit of each kind; weights anew where a row is new, and in the present step."""
        limit, price = self.limit.reshape(-1, ROWS), self.price_per_kwh.reshape(-1, ROWS)
        rows = limit[place]
        rows[rows == self._n_limits] = -1
        prices = price[place]
        every, stale = np.arange(len(which)), now & (rows >= 0).any(axis=1)
        for kind in self._kinds:
            worst = kind.start + excess[:, kind].argmax(axis=1)
            new = (excess[every, worst] > 0.0) & (rows != worst[:, None]).all(axis=1)
            slot = np.where(rows < 0, -1.0, prices).argmin(axis=1)  # a free one, or that with the lowest price
            rows[new, slot[new]] = worst[new]
            prices[new, slot[new]] = 0.0
            stale |= new
        limit[place], price[place] = rows, prices
        if not stale.any():
            return
        slopes = self._states.slopes(which[stale], at_kw[stale], excess[stale])
        picked = np.take_along_axis(slopes, np.maximum(rows[stale], 0)[:, None], axis=2).transpose(0, 2, 1)
        scale = np.maximum(np.abs(picked).max(axis=2), 1e-9)
        self.weight.reshape(-1, *self.weight.shape[2:])[place[stale]] = picked / scale[:, :, None]
        self._per_kw.reshape(-1, ROWS)[place[stale]] = scale

    def moved(self, bus_kw: np.ndarray, able_kw: np.ndarray) -> np.ndarray:
        """Prices after one answer: up where plans are beyond a limit, down where room is left, never below 0.

        Parameters
        ----------
        bus_kw, able_kw : float64, shape (n_batch, n_charger_buses, n_steps)
            Planned power, and power that could be planned, at each bus [kW].

        Returns
        -------
        float64, shape (n_batch, n_steps, n_rows)
            Prices; the node's own are left alone [currency/kWh].
        """
        left = slice(self._step, None)
        weight = self.weight[:, left]
        load_kw = np.einsum("btre,bet->btr", weight, bus_kw[:, :, left])
        movable_kw = np.einsum("btre,bet->btr", np.abs(weight), able_kw[:, :, left])
        price = self.price_per_kwh.copy()
        steepness = self.inertia_per_kwh / np.maximum(movable_kw, 1e-6)
        price[:, left] = np.maximum(0.0, price[:, left] + steepness * (load_kw - self.most_kw[:, left]))
        price[:, left][(movable_kw <= 1e-6) | (self.limit[:, left] < 0)] = 0.0
        return price
