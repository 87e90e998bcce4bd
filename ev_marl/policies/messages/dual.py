"""Dual prices: groups announce prices of congestion, stations answer with plans, some rounds in every step.

Up the edges of the coupling graph go the planned power of each remaining step, and the power that could be planned.
Down goes a price for each remaining step. Nothing else is exchanged, and no node knows the vehicles of another. A
network above the site is one more node, that of its operator, with an edge to each bus.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.planning.outlook import KINDS, Coming, Kind, OutlookLike, Present, by_group, checked
from ev_marl.planning.vehicles import Vehicles
from ev_marl.policies.base import (
    MOST_EXPECTED_DAYS,
    POLICIES,
    Episode,
    Information,
    SiteView,
    StationView,
    count_option,
    site_view,
)
from ev_marl.policies.messages.currents import CurrentPrices
from ev_marl.policies.messages.grid import GridPrices
from ev_marl.policies.messages.meter import MeterPrice
from ev_marl.policies.messages.plan import at_each_place, plan_at_prices
from ev_marl.policies.messages.sums import steepness, sum_plans
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import OptionError
from ev_marl.world.events import LIMIT, PENALTY

# Vehicles to come are planned in the first round of a step, and again after so many: their plans change little from one
# round to the next, but where rounds are many, prices must not move on without their answer.
ROUNDS_BETWEEN = 5
MOST_ROUNDS = 10_000
"""Exchanges in a step; after some hundred, prices hardly move."""


def add_up(
    site: SiteArrays,
    step: int,
    vehicles: Vehicles,
    place: np.ndarray,
    plan_kw: np.ndarray,
    flexible_kw: np.ndarray,
    total_kw: np.ndarray,
    able_kw: np.ndarray,
    weight: float = 1.0,
) -> None:
    """Add the plans of vehicles, times `weight`, to the sums of each group.

    Parameters
    ----------
    site : SiteArrays
        The tree.
    step : int
        Sums are of the steps from this one on.
    vehicles : Vehicles
        The vehicles.
    place : int64, shape (n_vehicles,)
        Deepest group of each vehicle.
    plan_kw : float64, shape (n_batch, n_vehicles, n_steps)
        Their plans [kW].
    flexible_kw : float64, shape (n_batch, n_vehicles)
        Power that they could plan in each step of their stay [kW].
    total_kw, able_kw : float64, shape (n_batch, n_groups, n_steps)
        Sums of both below each group; the plans are added to them [kW].
    """
    sum_plans(
        step,
        vehicles.stays,
        vehicles.session,
        plan_kw,
        flexible_kw,
        weight,
        place,
        site.group_parent,
        total_kw,
        able_kw,
    )


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
    asked: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Each group's own price after one answer: higher where plans exceed its limit, lower where room is left.

    v = λ + σ S; λ⁺ = v − σ clip(v/σ, lower, upper): above 0 where the import limit binds, below 0 where the export
    limit does, 0 where neither does. σ is the `steepness` at the power that could be planned below the group. What is
    `asked` for, most power and the penalty of a kWh above it, is a limit whose price is never above the penalty.
    """
    sigma = steepness(inertia_per_kwh, able_kw)
    aim = price_per_kwh / sigma + total_kw
    kept_kw = aim
    if asked is not None:
        most_kw, per_kwh = asked
        kept_kw = np.clip(most_kw, aim - per_kwh / sigma, aim)  # the proximal point of penalty·max(0, power − most)
    moved: np.ndarray = sigma * (aim - np.clip(kept_kw, lower_kw, upper_kw))
    moved[able_kw <= 1e-6] = 0.0
    return moved


@POLICIES.register("dual-prices")
class DualPrices:
    """Groups put prices on their limits, stations plan at these prices, some rounds in every step.

    Each group keeps one price for each remaining step: the value of a kWh of its capacity in that step. In a round, a
    station adds the prices of the groups above it to the published ones and answers with its vehicles' cheapest plans;
    each group sums the plans below it, raises its prices where they exceed its limit and lowers them where room is
    left. Prices and plans are kept from step to step, so that the rounds of all steps add up. The setpoints are the
    first step of each plan.

    The rounds are those of the primal-dual hybrid gradient method, an ADMM that needs sums only (Chambolle and Pock
    2011, step lengths as in Pock and Chambolle 2011): a quadratic term keeps plans near the last ones, so that equal
    vehicles do not all move to the same cheapest step, and announced prices are extrapolated by one round. For fixed
    limits and vehicles they approach the shadow prices of the cooperative optimum.

    Limits of later steps and vehicles to come are those of the outlook, by default the expectation of the scenario's
    models. Vehicles to come answer prices as connected ones do.

    Behind a site's meter, the root announces the price of energy itself, between the selling and the buying price, so
    that stations share what PV leaves; see `ev_marl.policies.messages.meter`.

    Demand response with a penalty is a limit whose price is at most the penalty.

    Each current limit is one more node, with a price that is a phasor; see `ev_marl.policies.messages.currents`. It
    hears the planned power of each place: of ports of one group with the same part in all currents.

    Where the site has a network whose limits a coordinator keeps, the network is one more node. It receives the planned
    power of each bus and announces a price for each bus and step, which stations add to those of their groups.

    Parameters
    ----------
    rounds : int
        Exchanges of prices and plans in every step, up to 10,000.
    inertia_per_kwh : float
        Changing the power of a step by a vehicle's whole power costs half of this per kWh; higher values make prices
        steadier and slower [currency/kWh].
    expected_days : int
        Most days whose vehicles are combined into the vehicles to come, up to 1000; 0: no vehicles to come.
    grid : bool
        Whether the network above the site, where a coordinator keeps its limits, is one more node with prices.
    outlook : str or mapping, optional
        Outlook of groups and stations, as the scenario's key `outlook`; keys that it does not have are those of the
        scenario.
    """

    name = "dual-prices"
    information: Information = "messages"
    looks_at: ClassVar[tuple[Kind, ...]] = KINDS
    TUNABLE: ClassVar = {"inertia_per_kwh": (0.02, 0.5)}

    def __init__(
        self,
        rounds: int = 5,
        inertia_per_kwh: float = 0.1,
        expected_days: int = 4,
        grid: bool = True,
        outlook: OutlookLike | None = None,
    ) -> None:
        if not 0.0 < inertia_per_kwh < np.inf:
            raise OptionError(f"policy 'dual-prices': inertia_per_kwh must be above 0, got {inertia_per_kwh}")
        self.rounds = count_option(self.name, "rounds", rounds, 1, MOST_ROUNDS)
        self.inertia_per_kwh = float(inertia_per_kwh)
        self.expected_days = count_option(self.name, "expected_days", expected_days, 0, MOST_EXPECTED_DAYS)
        self.grid = bool(grid)
        self.outlook = checked(outlook)

    def reset(self, episode: Episode) -> None:
        """Start without prices and plans."""
        site, loop = episode.site, episode.grid
        self._site, self._outlook = site, episode.outlook
        self.price_per_kwh = np.zeros((episode.n_batch, site.n_groups, episode.n_steps))  # each group's own
        self._plan_kw = np.zeros((episode.n_batch, site.n_ports, episode.n_steps))
        self._expected_kw = np.zeros((episode.n_batch, 0, episode.n_steps))
        self.meter = MeterPrice(episode.outlook, episode.n_batch, episode.n_steps, self.inertia_per_kwh)
        self.current_prices: CurrentPrices | None = None
        self._port_place = site.port_group
        if site.n_currents:
            self.current_prices = CurrentPrices(
                episode.outlook, site, episode.n_batch, episode.n_steps, self.inertia_per_kwh
            )
            self._port_place = self.current_prices.port_place
        self.grid_prices: GridPrices | None = None
        if loop is not None and loop.curtails and self.grid:
            self.grid_prices = GridPrices(
                loop, episode.outlook, self._port_place, episode.n_batch, episode.n_steps, self.inertia_per_kwh
            )
            self._port_place = self.grid_prices.port_place
        self._nodes = [node for node in (self.current_prices, self.grid_prices) if node is not None]

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        site, inertia = self._site, self.inertia_per_kwh
        seen = site_view(view)
        present = seen.present()
        lower_kw, upper_kw = map(by_group, self._outlook.limits_kw(present))
        told = self._outlook.vehicles(present, self.expected_days)
        there, ports = view.vehicles, np.arange(site.n_ports)
        left = (slice(None), slice(None), slice(view.step, None))
        own = ahead = self.price_per_kwh
        self.meter.look(seen)
        for node in self._nodes:
            node.look(seen)
        asked = self._asked(seen, present)
        for number in range(self.rounds):
            if number % ROUNDS_BETWEEN == 0:
                expected_total_kw, expected_able_kw = self._expect(view, told, ahead)
            flexible_kw = self._ask(view, there, ports, ahead, self._plan_kw)
            total_kw, able_kw = expected_total_kw.copy(), expected_able_kw.copy()
            add_up(site, view.step, there, site.port_group, self._plan_kw, flexible_kw, total_kw, able_kw)
            new = own.copy()
            new[left] = new_prices(own[left], total_kw[left], able_kw[left], lower_kw, upper_kw, inertia, asked)
            ahead = 2.0 * new - own
            own = new
            self.meter.answer(total_kw[:, 0, view.step :], able_kw[:, 0, view.step :])
            for node in self._nodes:
                node.answer(there, ports, self._plan_kw, flexible_kw)
        self.price_per_kwh = own
        return self._plan_kw[:, :, view.step].copy()

    def _asked(self, view: SiteView, present: Present) -> tuple[np.ndarray, np.ndarray] | None:
        """Most power of the vehicles by the requests that are known [kW], and the penalty of more [currency/kWh]."""
        if view.requests is None or not view.worth.request_weight:
            return None
        limit_kw, penalty = (by_group(view.requests[:, :, row]) for row in (LIMIT, PENALTY))
        return limit_kw - by_group(self._outlook.base_load_kw(present)), view.worth.request_weight * penalty

    def _expect(self, view: StationView, told: Coming, own_per_kwh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Plan vehicles to come; sums below each group of their plans and of what they could plan, as of `add_up`."""
        total_kw, able_kw = np.zeros_like(own_per_kwh), np.zeros_like(own_per_kwh)
        if not len(told.stays):
            return total_kw, able_kw
        if self._expected_kw.shape[1] != len(told.stays):
            self._expected_kw = np.zeros((len(own_per_kwh), len(told.stays), view.n_steps))
        coming, port, weight, plan_kw = told.vehicles, told.stays["port"], told.weight, self._expected_kw
        group = self._site.port_group[port]
        flexible_kw = self._ask(view, coming, port, own_per_kwh, plan_kw)
        add_up(self._site, view.step, coming, group, plan_kw, flexible_kw, total_kw, able_kw, weight)
        for node in self._nodes:
            node.expect(coming, port, plan_kw, flexible_kw, weight)
        return total_kw, able_kw

    def _ask(
        self, view: StationView, vehicles: Vehicles, port: np.ndarray, own_per_kwh: np.ndarray, plan_kw: np.ndarray
    ) -> np.ndarray:
        """Answers of some vehicles to the prices of groups, meter, currents and network, see `plan_at_prices`."""
        congestion, place = prices_above(self._site, own_per_kwh), self._port_place
        for node in self._nodes:
            congestion = node.add_to(congestion)
        price = at_each_place(self.meter.announced(), congestion, view.step)
        return plan_at_prices(view, vehicles, place[port], price, plan_kw, inertia_per_kwh=self.inertia_per_kwh)
