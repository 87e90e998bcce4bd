"""Dual prices: groups announce prices of congestion, stations answer with plans, some rounds in every step.

Goes up the edges of the coupling graph: planned power of each remaining step, and the power that could be planned.
Goes down: a price for each remaining step. Nothing else is exchanged, and no node knows another's vehicles.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.compiled import kernel
from ev_marl.errors import OptionError
from ev_marl.policies.base import POLICIES, Episode, Information, StationView, site_view
from ev_marl.policies.messages_expected import ExpectedRoom, ExpectedVehicles, room_ahead
from ev_marl.policies.messages_plan import Stays
from ev_marl.site.arrays import SiteArrays


@kernel
def _add_up(
    step: int,
    session: np.ndarray,
    start_step: np.ndarray,
    deadline_step: np.ndarray,
    plan_kw: np.ndarray,
    flexible_kw: np.ndarray,
    weight: float,
    port_group: np.ndarray,
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
            g = port_group[p]
            while g >= 0:
                for k in range(max(step, start_step[s]), deadline_step[s]):
                    total_kw[b, g, k] += weight * plan_kw[b, p, k]
                    able_kw[b, g, k] += weight * flexible_kw[b, p]
                g = group_parent[g]


def prices_above(site: SiteArrays, price_per_kwh: np.ndarray) -> np.ndarray:
    """Sum of each group's own price and those of all groups above it, shape (n_batch, n_groups, n_steps)."""
    summed = price_per_kwh.copy()
    for g in range(1, site.n_groups):
        summed[:, g] += summed[:, site.group_parent[g]]
    return summed


def new_prices(
    price_per_kwh: np.ndarray,
    total_kw: np.ndarray,
    able_kw: np.ndarray,
    lower_kw: np.ndarray,
    upper_kw: np.ndarray,
    inertia_per_kwh: float,
) -> np.ndarray:
    """Each group's own price after one answer: up with what is planned beyond its limit, down with what is left.

    v = λ + σ S; λ⁺ = v − σ clip(v/σ, lower, upper): above 0 where the import limit binds, below 0 where the export
    limit does, 0 where neither does. σ = inertia / (power that could be planned below the group).
    """
    steepness = inertia_per_kwh / np.maximum(able_kw, 1e-6)
    aim = price_per_kwh / steepness + total_kw
    moved: np.ndarray = steepness * (aim - np.clip(aim, lower_kw, upper_kw))
    moved[able_kw <= 1e-6] = 0.0
    return moved


@POLICIES.register("dual-prices")
class DualPrices:
    """Prices of congestion, agreed on in a few rounds a step; see the documentation on decentralised baselines."""

    name = "dual-prices"
    information: Information = "messages"
    TUNABLE: ClassVar = {"inertia_per_kwh": (0.01, 0.5)}

    def __init__(self, rounds: int = 5, inertia_per_kwh: float = 0.1, expected_days: int = 4) -> None:
        if rounds < 1:
            raise OptionError(f"policy 'dual-prices': rounds must be 1 or more, got {rounds}")
        self.rounds = int(rounds)
        self.inertia_per_kwh = float(inertia_per_kwh)
        self.expected_days = int(expected_days)
        self.expected_rounds = 1

    def reset(self, episode: Episode) -> None:
        """Draw what is expected of the day, once for each world; start without prices and plans."""
        site, shape = episode.site, (episode.n_batch, episode.site.n_groups, episode.n_steps)
        self._price = np.zeros(shape)
        self._site = site
        self._limited = np.ones(site.n_ports)
        self._plan = np.zeros((episode.n_batch, site.n_ports, episode.n_steps))
        world = episode.world
        if world is not getattr(self, "_world", None) or world is None:
            self._world = world
            self._room = None if world is None else ExpectedRoom.of(world)
            few = self.expected_days
            self._expected = None if world is None or few == 0 else ExpectedVehicles.of(world, site, few)
        n_expected = 0 if self._expected is None else len(self._expected.group)
        self._expected_plan = np.zeros((episode.n_batch, n_expected, episode.n_steps))
        self._expected_flex = np.zeros((episode.n_batch, n_expected))

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        site = self._site
        seen = site_view(view)
        step = view.step
        lower, upper = room_ahead(self._room, seen)
        there = Stays.of(view, site.port_group)
        coming = None if self._expected is None else self._expected.to_come(view)
        price, ahead = self._price, self._price
        for i in range(self.rounds):
            announced = prices_above(site, ahead)
            flexible = there.plan(view, announced, self._plan, inertia_per_kwh=self.inertia_per_kwh)
            total, able = np.zeros_like(price), np.zeros_like(price)
            self._add(step, there, self._plan, flexible, 1.0, total, able)
            if coming is not None and self._expected is not None:
                if i < self.expected_rounds:
                    self._expected_flex = coming.plan(
                        view, announced, self._expected_plan, inertia_per_kwh=self.inertia_per_kwh
                    )
                self._add(step, coming, self._expected_plan, self._expected_flex, self._expected.weight, total, able)
            new = np.zeros_like(price)
            new[:, :, step:] = new_prices(
                price[:, :, step:], total[:, :, step:], able[:, :, step:], lower, upper, self.inertia_per_kwh
            )
            ahead = 2.0 * new - price
            price = new
        self._price = price
        return self._plan[:, :, step].copy()

    def _add(
        self,
        step: int,
        stays: Stays,
        plan: np.ndarray,
        flexible: np.ndarray,
        weight: float,
        total: np.ndarray,
        able: np.ndarray,
    ) -> None:
        _add_up(
            step,
            stays.session,
            stays.start_step,
            stays.deadline_step,
            plan,
            flexible,
            weight,
            stays.group,
            self._site.group_parent,
            total,
            able,
        )
