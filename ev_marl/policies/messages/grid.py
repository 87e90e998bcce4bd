"""The network above the site as one more node of the coupling graph: it receives plans and announces prices, by bus.

The planned power of each charger bus and remaining step comes in; the price of a kWh there goes out, for the limits of
the network: a locational marginal price, the sum of the prices of the limits times the weight of the bus in them. The
node knows its model, the present flows, and the outlook on later steps.
"""

from __future__ import annotations

import numpy as np

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.planning.outlook import Outlook
from ev_marl.planning.vehicles import Vehicles
from ev_marl.policies.base import SiteView
from ev_marl.policies.grid_states import INSIDE, GridStates, kinds, n_limits
from ev_marl.policies.messages.sums import Listener, steepness

ROWS = 8  # limits of a step that have a price
_ANEW = 16  # it is linearised again in this round, and in those with twice this number, four times, and so on


class GridPrices(Listener):
    """Prices of the limits of the network, B batch rows, T steps of the episode, E charger buses.

    Of each step, up to `ROWS` limits have a row weight · powers <= most, the largest weight being 1, and a price >= 0.

    Parameters
    ----------
    loop : GridLoop
        The network, its limits and its chargers; its days are not used.
    outlook : Outlook
        Gives its other loads and generators in later steps.
    place : int64, shape (n_ports,)
        Place of each port without the network, in general its group.
    n_batch, n_steps : int
        B and T.
    inertia_per_kwh : float
        That of the stations [currency/kWh].

    Attributes
    ----------
    port_place : int64, shape (n_ports,)
        Place of each port with the network: its bus, within that place.
    limit : int64, shape (n_batch, n_steps, n_rows)
        The limit of each row, −1 where the row is free; C, one more than the last limit, where nothing may be charged
        because the network has no power flow even without charging.
    weight : float64, shape (n_batch, n_steps, n_rows, n_charger_buses)
        Weight of each bus in the limit [-].
    most_kw : float64, shape (n_batch, n_steps, n_rows)
        Right-hand side of the row, at least 0 [kW].
    price_per_kwh : float64, shape (n_batch, n_steps, n_rows)
        Its price [currency/kWh].
    """

    def __init__(
        self, loop: GridLoop, outlook: Outlook, place: np.ndarray, n_batch: int, n_steps: int, inertia_per_kwh: float
    ) -> None:
        self.loop, self.inertia_per_kwh = loop, inertia_per_kwh
        pairs = np.stack([place, loop.port_charger], axis=1)
        pairs, at_bus = np.unique(pairs, axis=0, return_inverse=True)
        self._place_before, self._place_bus = pairs.T
        self.port_place = at_bus.reshape(-1)
        self._outlook, self._kinds, self._n_limits = outlook, kinds(loop.spec), n_limits(loop.spec)
        shape = (n_batch, n_steps, ROWS)
        self.limit = np.full(shape, -1, dtype=np.int64)
        self.weight = np.zeros((*shape, loop.spec.n_charger_buses))
        self._per_kw = np.ones(shape)  # tolerances per kW at the bus that weighs most
        self.most_kw = np.zeros(shape)
        self.price_per_kwh = np.zeros(shape)

    def look(self, view: SiteView) -> None:
        """Take over the present state and the outlook; there are no plans yet."""
        assert view.tap is not None  # there is a loop
        n_left = view.n_steps - view.step
        states = self._outlook.grid_loads(view.present(), n_left)
        self._states = GridStates(self.loop, states, np.repeat(view.tap, n_left))
        self._round = 0
        self._announced = self.price_per_kwh
        self.listen(
            view.step, self.loop.port_charger, (len(view.connected), self.loop.spec.n_charger_buses, view.n_steps)
        )

    def bus_prices(self) -> np.ndarray:
        """Announced prices at each bus, float64, shape (n_batch, n_charger_buses, n_steps) [currency/kWh]."""
        prices: np.ndarray = np.einsum("btr,btre->bet", self._announced, self.weight)
        return prices

    def add_to(self, price_per_kwh: np.ndarray) -> np.ndarray:
        """Prices without the network, shape (n_batch, n_places, n_steps), and at buses, for each place with it."""
        total: np.ndarray = price_per_kwh[:, self._place_before] + self.bus_prices()[:, self._place_bus]
        return total

    def answer(self, vehicles: Vehicles, port: np.ndarray, plan_kw: np.ndarray, able_kw: np.ndarray) -> None:
        """Take over the plans of the connected vehicles, and announce new prices, extrapolated by one round."""
        heard = self.heard(vehicles, port, plan_kw, able_kw)
        again = self._round >= _ANEW and self._round.bit_count() == 1
        if self._round == 0 or again:
            self._linearise(heard[0], again)
        self._round += 1
        new = self._moved(*heard)
        self._announced = 2.0 * new - self.price_per_kwh
        self.price_per_kwh = new

    def _linearise(self, bus_kw: np.ndarray, again: bool) -> None:
        """Solve the exact power flow of the plans, (n_batch, n_charger_buses, n_steps), and linearise its limits."""
        n_batch, n_buses, n_steps = bus_kw.shape
        n_left = n_steps - self._step
        planned_kw = bus_kw[:, :, self._step :].transpose(0, 2, 1).reshape(-1, n_buses)
        place = (n_steps * np.arange(n_batch)[:, None] + np.arange(self._step, n_steps)).reshape(-1)
        self._darken(place[~self._states.solvable])
        which = np.flatnonzero(self._states.solvable)
        place = place[which]
        flow, at_kw = self._states.nearest_solution(which, planned_kw[which])
        excess = self._states.excess(which, flow)
        excess[np.isnan(excess)] = -np.inf  # dead buses
        of_plan, shrunk = excess.copy(), (at_kw != planned_kw[which]).any(axis=1)
        if shrunk.any():  # where the plan has no power flow: about the nearest that has one
            slopes = self._states.slopes(which[shrunk], at_kw[shrunk], excess[shrunk])
            of_plan[shrunk] += np.einsum("nec,ne->nc", slopes, (planned_kw[which] - at_kw)[shrunk])
        stale = self._choose(place, of_plan)
        stale |= (self.limit.reshape(-1, ROWS)[place] >= 0).any(axis=1) & (again | shrunk | (which % n_left == 0))
        if stale.any():
            self._weigh(which[stale], place[stale], at_kw[stale], excess[stale])
        weight, per_kw = self.weight.reshape(-1, ROWS, n_buses)[place], self._per_kw.reshape(-1, ROWS)[place]
        limit = np.maximum(self.limit.reshape(-1, ROWS)[place], 0)
        beyond_kw = (np.take_along_axis(excess, limit, axis=1) + INSIDE) / per_kw
        at_most = np.einsum("nre,ne->nr", weight, at_kw) - beyond_kw
        self.most_kw.reshape(-1, ROWS)[place] = np.maximum(0.0, at_most)

    def _darken(self, place: np.ndarray) -> None:
        """Rows for steps in which the network has no power flow even without charging: of all buses, with no room."""
        limit, price = self.limit.reshape(-1, ROWS), self.price_per_kwh.reshape(-1, ROWS)
        new = place[limit[place, 0] != self._n_limits]
        limit[new], price[new] = -1, 0.0
        limit[new, 0] = self._n_limits
        self.weight.reshape(-1, *self.weight.shape[2:])[place, 0] = 1.0
        self.most_kw.reshape(-1, ROWS)[place] = 0.0

    def _choose(self, place: np.ndarray, excess: np.ndarray) -> np.ndarray:
        """Rows for the worst limit of each kind that is broken; whether a step has a new one, bool (n,)."""
        limit, price = self.limit.reshape(-1, ROWS), self.price_per_kwh.reshape(-1, ROWS)
        rows, prices = limit[place], price[place]
        rows[rows == self._n_limits] = -1
        prices[rows < 0] = 0.0
        every, changed = np.arange(len(place)), np.zeros(len(place), dtype=bool)
        for kind in self._kinds:
            worst = kind.start + excess[:, kind].argmax(axis=1)
            new = (excess[every, worst] > 0.0) & (rows != worst[:, None]).all(axis=1)
            slot = np.where(rows < 0, -1.0, prices).argmin(axis=1)  # a free one, or that with the lowest price
            rows[new, slot[new]] = worst[new]
            prices[new, slot[new]] = 0.0
            changed |= new
        limit[place], price[place] = rows, prices
        return changed

    def _weigh(self, which: np.ndarray, place: np.ndarray, at_kw: np.ndarray, excess: np.ndarray) -> None:
        """Weights of all rows of some steps, by differences of the exact power flow."""
        rows = self.limit.reshape(-1, ROWS)[place]
        slopes = self._states.slopes(which, at_kw, excess)
        picked = np.take_along_axis(slopes, np.maximum(rows, 0)[:, None], axis=2).transpose(0, 2, 1)
        scale = np.maximum(np.abs(picked).max(axis=2), 1e-9)
        self.weight.reshape(-1, *self.weight.shape[2:])[place] = picked / scale[:, :, None]
        self._per_kw.reshape(-1, ROWS)[place] = scale

    def _moved(self, bus_kw: np.ndarray, able_kw: np.ndarray) -> np.ndarray:
        """Prices after an answer: higher where plans exceed a limit, lower where room is left, at least 0.

        λ⁺ = max(0, λ + σ (Σ weight · planned − most)), σ being the `steepness` at Σ |weight| · (power that could be
        planned).
        """
        left = slice(self._step, None)
        weight = self.weight[:, left]
        load_kw = np.einsum("btre,bet->btr", weight, bus_kw[:, :, left])
        movable_kw = np.einsum("btre,bet->btr", np.abs(weight), able_kw[:, :, left])
        price = self.price_per_kwh.copy()
        sigma = steepness(self.inertia_per_kwh, movable_kw)
        price[:, left] = np.maximum(0.0, price[:, left] + sigma * (load_kw - self.most_kw[:, left]))
        price[:, left][(movable_kw <= 1e-6) | (self.limit[:, left] < 0)] = 0.0
        return price
