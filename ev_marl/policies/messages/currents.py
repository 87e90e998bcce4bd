"""Prices of current limits: each of them receives planned powers, and announces a price for each remaining step.

A limit is a disc in the plane of phasors, so its price is a phasor, too: it points in the direction of the current that
exceeds the limit, and a port pays the part of it that lies in the direction of its own current.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook import Outlook
from ev_marl.planning.vehicles import Vehicles
from ev_marl.policies.base import SiteView
from ev_marl.policies.messages.sums import Listener, steepness
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.scaling import base_currents

_DIGITS = 9  # of weights that count as the same


class CurrentPrices(Listener):
    """Prices of the current limits; B batch rows, T steps of the episode, R limits, Q places.

    Parameters
    ----------
    outlook : Outlook
        Gives the base load of later steps.
    site : SiteArrays
        The site.
    n_batch, n_steps : int
        B and T.
    inertia_per_kwh : float
        That of the stations [currency/kWh].

    Attributes
    ----------
    port_place : int64, shape (n_ports,)
        Place of each port: ports of one group with the same part in all currents.
    price_per_kwh : complex128, shape (n_batch, n_currents, n_steps)
        Price of each limit, for a kWh of the port with the largest part in it [currency/kWh].
    """

    def __init__(self, outlook: Outlook, site: SiteArrays, n_batch: int, n_steps: int, inertia_per_kwh: float) -> None:
        self._outlook, self._site, self._inertia_per_kwh = outlook, site, inertia_per_kwh
        weight = site.current_weight[:, 0] + 1j * site.current_weight[:, 1]
        most = np.abs(weight).max(axis=1)[:, None]
        self._unit = np.where(most > 0.0, most, 1.0)
        weight = weight / self._unit
        kinds = np.vstack([site.port_group, weight.real.round(_DIGITS), weight.imag.round(_DIGITS)])
        _, port, place = np.unique(kinds, axis=1, return_index=True, return_inverse=True)
        self.port_place = place.reshape(-1)
        self._place_group, self._weight = site.port_group[port], weight[:, port]  # (Q,), (R, Q)
        # A port pays the prices of all its currents: what it draws in all of them makes them move the slower.
        together = np.abs(self._weight).sum(axis=0)
        self._slower = np.maximum(1.0, np.where(self._weight != 0.0, together, 0.0).max(axis=1))[:, None]
        self.price_per_kwh = np.zeros((n_batch, site.n_currents, n_steps), dtype=np.complex128)

    def look(self, view: SiteView) -> None:
        """Take over the present state and the outlook; there are no plans yet."""
        currents = base_currents(self._site, self._outlook.base_load_kw(view.present())).transpose(0, 1, 3, 2)
        self._base = (currents[0] + 1j * currents[1]) / self._unit  # (B, R, steps left)
        self._limit = currents[2] / self._unit
        self._announced = self.price_per_kwh
        self.listen(view.step, self.port_place, (len(view.connected), len(self._place_group), view.n_steps))

    def add_to(self, price_per_kwh: np.ndarray) -> np.ndarray:
        """Prices within groups, shape (n_batch, n_groups, n_steps), and those of currents, for each place."""
        own: np.ndarray = np.einsum("brt,rq->bqt", np.conj(self._announced), self._weight).real
        return np.asarray(price_per_kwh[:, self._place_group] + own)

    def answer(self, vehicles: Vehicles, port: np.ndarray, plan_kw: np.ndarray, able_kw: np.ndarray) -> None:
        """Take over the plans of the connected vehicles, and announce new prices, extrapolated by one round.

        v = λ + σ I; λ⁺ = v − σ·(v/σ, brought into the disc), as a group's price does with its limits.
        """
        heard = self.heard(vehicles, port, plan_kw, able_kw)
        planned_kw, movable_kw = heard[:, :, :, self._step :]
        current = self._base + np.einsum("rq,bqt->brt", self._weight, planned_kw)
        able = np.einsum("rq,bqt->brt", np.abs(self._weight), movable_kw)
        sigma = steepness(self._inertia_per_kwh, able) / self._slower
        left = self.price_per_kwh[:, :, self._step :]
        aim = left / sigma + current
        size = np.abs(aim)
        moved = sigma * aim * np.where(size > self._limit, 1.0 - self._limit / np.maximum(size, self._limit), 0.0)
        new = self.price_per_kwh.copy()
        new[:, :, self._step :] = np.where(able > 1e-6, moved, 0.0)
        self._announced = 2.0 * new - self.price_per_kwh
        self.price_per_kwh = new
