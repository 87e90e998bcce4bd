"""The objective: named terms, what each agent pays for them, and whether limits are hard.

Comes in: a `Flow`. Goes out: costs by term and port, and by agent. Rewards are the negative costs, so the rewards of
the agents sum to the team's reward.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ev_marl.objective.ageing import BatteryAgeing
from ev_marl.objective.base import TERMS, BuiltIn, Seldom, Term
from ev_marl.objective.carbon import Carbon
from ev_marl.objective.demand_response import DemandResponse
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.grid import GridLosses, LineOverload, TransformerOverload, VoltageDeviation
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.required import Extremes, required_price
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.terminal import TerminalValue
from ev_marl.objective.tracking import SetpointTracking
from ev_marl.objective.transformer import TransformerAgeing
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.coordinators.base import Coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import ObjectiveError

BUILT_IN: tuple[type[BuiltIn], ...] = (
    EnergyCost,
    UnmetEnergy,
    DriverTariff,
    BatteryWear,
    BatteryAgeing,
    TerminalValue,
    Overload,
    SetpointTracking,
    PeakPower,
    Carbon,
    DemandResponse,
    TransformerAgeing,
    VoltageDeviation,
    LineOverload,
    TransformerOverload,
    GridLosses,
)
"""The terms that scenarios have keys for, in the order of the results."""
LAST_BIT = 61
"""Of `Costs.charged`; all further terms share it."""


@kernel
def _sum_by_agent(costs: np.ndarray, first_port: np.ndarray, agent_costs: np.ndarray) -> None:
    n_terms, n_batch, _ = costs.shape
    for i in range(n_terms):
        for b in range(n_batch):
            for a in range(len(first_port) - 1):
                cost = 0.0
                for p in range(first_port[a], first_port[a + 1]):
                    cost += costs[i, b, p]
                agent_costs[i, b, a] = cost


@kernel
def _negative_sum(costs: np.ndarray, counts: np.ndarray, rewards: np.ndarray) -> int:
    """Write the rewards of the agents; return `Costs.charged`, or −1 if a reward is not finite."""
    total = rewards.reshape(-1)
    first = True
    charged = 0
    for i in range(len(costs)):
        if not counts[i]:
            continue
        term = costs[i].reshape(-1)
        if first:
            first = False
            for j in range(len(total)):
                total[j] = 0.0 - term[j]
        else:
            for j in range(len(total)):
                total[j] -= term[j]
        costly = False
        for j in range(len(term)):
            costly |= term[j] != 0.0
        if costly:
            charged |= 1 << min(i, LAST_BIT)
    if first:
        total[:] = 0.0
    finite = True
    for j in range(len(total)):
        finite &= np.isfinite(total[j])
    return charged if finite else -1


class Costs:
    """Arrays for the costs of a step. Whoever evaluates many steps keeps them, so that no step makes new ones.

    Parameters
    ----------
    n_terms, n_batch : int
        Terms of the objective, and rows.
    site : SiteArrays
        The site.

    Attributes
    ----------
    by_port : float64, shape (n_terms, n_batch, n_ports)
        [currency]
    by_agent : float64, shape (n_terms, n_batch, n_agents)
        Where every agent has one port, the same array [currency].
    counts : bool, shape (n_terms,)
        Terms that may cost anything; the costs of the others are 0.
    charged : int
        Terms that cost any agent anything: bit i for term i, see `LAST_BIT`.
    """

    def __init__(self, n_terms: int, n_batch: int, site: SiteArrays) -> None:
        self.by_port = self.by_agent = np.zeros((n_terms, n_batch, site.n_ports))
        if site.n_stations < site.n_ports:
            self.by_agent = np.zeros((n_terms, n_batch, site.n_stations))
        self.counts = np.ones(n_terms, dtype=bool)
        self.charged = 0


class Objective:
    """What the team pays.

    Parameters
    ----------
    terms : iterable of Term
        The costs; names must differ.
    limits_are_hard : bool
        Whether the coordinator holds the groups' limits. The optimum keeps them if so, and only pays for breaking
        them (see `Overload`) if not.
    """

    def __init__(self, terms: Iterable[Term], *, limits_are_hard: bool = True) -> None:
        self.terms: tuple[Term, ...] = tuple(terms)
        self.names: tuple[str, ...] = tuple(term.name for term in self.terms)
        self.limits_are_hard = limits_are_hard
        # Number, term, whether it is due in some steps only, and whether it is of a user: it need not write every cost.
        self._parts: list[tuple[int, Any, bool, bool]] = [
            (i, term, isinstance(term, Seldom), type(term) not in BUILT_IN) for i, term in enumerate(self.terms)
        ]
        if len(set(self.names)) < len(self.names):
            raise ObjectiveError(f"objective terms must have different names, got {', '.join(self.names)}")
        if not self.terms:
            raise ObjectiveError("an objective needs at least one term")

    @classmethod
    def from_scenario(cls, scenario: Scenario, coordinator: Coordinator) -> Objective:
        """The objective that a scenario describes.

        Parameters
        ----------
        scenario : Scenario
            Its `objective` gives the weights.
        coordinator : Coordinator
            Tells whether limits are hard.

        Raises
        ------
        ObjectiveError
            If it prices what happens on the network, and the scenario has none.
        """
        terms: list[Term] = []
        for built_in in BUILT_IN:
            if (made := built_in.of(scenario, terms)) is not None:
                terms.append(made)
        for name, options in scenario.objective.extra.items():
            with scenario.places.blamed("objective", "extra", name):
                terms.append(TERMS.make(name, options=options, trust=scenario.trusted))
        if scenario.objective.service == "required":
            with scenario.places.blamed("objective", "service"):
                others = [term for term in terms if not isinstance(term, UnmetEnergy)]
                unmet = UnmetEnergy(required_price(others, Extremes.of(scenario)))
            terms = [unmet if isinstance(term, UnmetEnergy) else term for term in terms]
        return cls(terms, limits_are_hard=coordinator.enforces_limits)

    def costs(self, flow: Flow) -> np.ndarray:
        """Cost of a step by term and port, float64, shape (n_terms, n_batch, n_ports) [currency]."""
        costs = Costs(len(self.terms), len(flow.granted_kw), flow.site)
        self._fill(flow, costs)
        return costs.by_port

    def evaluate(self, flow: Flow, into: Costs | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Rewards and costs of a step by agent.

        The objective keeps nothing between two calls, so it may serve many simulators at once.

        Parameters
        ----------
        flow : Flow
            What happened.
        into : Costs, optional
            Where the costs are written, of the shape of this site and batch; left out, new arrays.

        Returns
        -------
        rewards : float64, shape (n_batch, n_agents)
            Minus the sum of the agent's costs, a new array [currency].
        costs : float64, shape (n_terms, n_batch, n_agents)
            Costs by term, those of `into` [currency].

        Raises
        ------
        ObjectiveError
            If a cost is not finite; the message names term, step, row and port.
        """
        if into is None:
            into = Costs(len(self.terms), len(flow.granted_kw), flow.site)
        self._fill(flow, into)
        costs = into.by_agent
        if costs is not into.by_port:
            _sum_by_agent(into.by_port, flow.site.station_first_port, costs)
        rewards = np.empty(costs.shape[1:])
        into.charged = _negative_sum(costs, into.counts, rewards)
        if into.charged < 0:
            self._refuse(into.by_port, flow.step)
        return rewards, costs

    def _refuse(self, costs: np.ndarray, step: int) -> None:
        """Raise the error for costs with a sum that is not finite, shape (n_terms, n_batch, n_ports)."""
        size = np.where(np.isnan(costs), np.inf, np.abs(costs))
        term, row, port = np.unravel_index(int(np.argmax(size)), costs.shape)
        raise ObjectiveError(
            f"objective term '{self.names[term]}', step {step}: its cost is {costs[term, row, port]} at row {row}, "
            f"port {port}; `cost` must write a finite number for each port"
        )

    def _fill(self, flow: Flow, costs: Costs) -> None:
        """Compute what is due; what was due before and is not any more is cleared once."""
        by_port, counts = costs.by_port, costs.counts
        for i, term, seldom, own in self._parts:
            if own:
                by_port[i] = 0.0
            if not seldom:
                term.cost(flow, by_port[i])
            elif term.due(flow):
                counts[i] = True
                term.cost(flow, by_port[i])
            elif counts[i]:
                counts[i] = False
                by_port[i] = 0.0
