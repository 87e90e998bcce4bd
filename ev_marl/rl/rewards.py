"""Training rewards: own and shared rewards, with shaping by the value of own plans.

Rewards of the batched environment come in, training rewards go out. With shaping by plans, the reward of a step is
r + Φ(after) − Φ(before), its loss against the vehicles' own plans; Φ is the future return of the own plans of the
connected vehicles. Over a day this adds up to the reward of the day less the value of each vehicle's plan on arrival.
No action changes that value, so the optimal policies stay the same, but credit comes at once instead of at departure.
"""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks import Plans
from ev_marl.planning.outlook import ComposedOutlook, Present
from ev_marl.planning.own_plan import MERITS, own_plans
from ev_marl.planning.vehicles import Vehicles
from ev_marl.planning.worth import Worth, own_prices
from ev_marl.rl.config import Reward
from ev_marl.simulation.days import Days
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.simulation.state import State
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.compiled import kernel


@kernel
def _shape(
    before: np.ndarray,
    after: np.ndarray,
    session_before: np.ndarray,
    session_after: np.ndarray,
    over: bool,
    first_port: np.ndarray,
    rewards: np.ndarray,
) -> None:
    """rewards += Φ(after) − Φ(before), by agent. A vehicle that left counts only before, as it has no plan any more; a
    vehicle that arrived counts in neither, as its value does not depend on actions."""
    n_batch, n_agents = rewards.shape
    for b in range(n_batch):
        for a in range(n_agents):
            for p in range(first_port[a], first_port[a + 1]):
                if session_before[b, p] < 0:
                    continue
                rewards[b, a] -= before[b, p]
                if not over and session_after[b, p] == session_before[b, p]:
                    rewards[b, a] += after[b, p]


@kernel
def _pay_shadow_prices(
    power_kw: np.ndarray,
    import_price: np.ndarray,
    export_price: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    first_port: np.ndarray,
    rewards: np.ndarray,
) -> None:
    """Each port pays for its power the shadow prices of the limits above it in this step [currency/kW]."""
    n_batch, n_agents = rewards.shape
    n_groups = len(group_parent)
    price = np.empty(n_groups)
    for b in range(n_batch):
        for g in range(n_groups):
            price[g] = import_price[b, g] - export_price[b, g]
            if g > 0:
                price[g] += price[group_parent[g]]
        for a in range(n_agents):
            for p in range(first_port[a], first_port[a + 1]):
                rewards[b, a] -= price[port_group[p]] * power_kw[b, p]


class TrainingReward:
    """Turns the rewards of a batch into training rewards.

    Parameters
    ----------
    config : Reward
        The reward of the training file.
    worth : Worth
        Prices of the objective for one vehicle.
    outlook : ComposedOutlook
        The outlook of the environment, for the prices of plans.
    plans : Plans, optional
        The observation block of the plans, to avoid planning twice; its trust must be 1.
    """

    def __init__(self, config: Reward, worth: Worth, outlook: ComposedOutlook, plans: Plans | None = None) -> None:
        self._config, self._outlook = config, outlook
        self._plans = plans if config.shaping == "plan" else None
        self._worth = worth
        self._shaping = config.shaping
        if config.shaping == "unmet":  # energy that can no longer be delivered costs; energy itself is free
            self._worth = Worth(0.0, 0.0, worth.unmet_per_kwh)
        self._prices: tuple[np.ndarray, np.ndarray] | None = None

    def load(self, import_prices: np.ndarray, export_prices: np.ndarray) -> None:
        """Shadow prices of the days in the pool, each float64, shape (n_days, n_steps, n_groups) [currency/kW]."""
        self._prices = (import_prices, export_prices)

    def reset(self, simulator: Simulator) -> None:
        """Prepare for the first step of an episode."""
        self._day = simulator.state.day.copy()
        if self._shaping == "none":
            return
        self._session = simulator.state.session.copy()
        self._value = self._values(simulator.days, simulator.state)

    def step(self, rewards: np.ndarray, flow: Flow, over: bool, simulator: Simulator) -> np.ndarray:
        """Training rewards of a step.

        Parameters
        ----------
        rewards : float64, shape (n_batch, n_agents)
            Of the environment [currency].
        flow : Flow
            The flow of the step.
        over : bool
            Whether the episode ended; `simulator` is then at the first step of the next.
        simulator : Simulator
            After the step.

        Returns
        -------
        float32, shape (n_batch, n_agents)
        """
        shaped = rewards.copy()
        site = flow.site
        if self._shaping != "none":
            after, session = self._values(simulator.days, simulator.state), simulator.state.session.copy()
            _shape(self._value, after, self._session, session, over, site.station_first_port, shaped)
            self._value, self._session = after, session
        if self._prices is not None:
            _pay_shadow_prices(
                flow.granted_kw,
                self._prices[0][self._day, flow.step],
                self._prices[1][self._day, flow.step],
                site.port_group,
                site.group_parent,
                site.station_first_port,
                shaped,
            )
        if over:
            self._day = simulator.state.day.copy()
        team = self._config.team
        if team > 0.0:
            shaped = (1.0 - team) * shaped + team * self._shared(shaped, site)
        out: np.ndarray = (self._config.scale * shaped).astype(np.float32)
        return out

    def _shared(self, rewards: np.ndarray, site: SiteArrays) -> np.ndarray:
        """Mean reward of each agent's team, shape (n_batch, n_agents) or (n_batch, 1)."""
        if self._config.team_of == "site":
            whole: np.ndarray = rewards.mean(axis=1, keepdims=True)
            return whole
        same = site.station_group[:, None] == site.station_group
        by_group: np.ndarray = rewards @ (same / same.sum(axis=0))
        return by_group

    def _values(self, days: Days, state: State) -> np.ndarray:
        if self._plans is not None:
            return self._plans.value.copy()
        merits = np.empty((*state.session.shape, len(MERITS)))
        step = state.step
        own_plans(
            Vehicles.of(self._outlook.stays(step), state),
            step,
            days.step_h,
            self._worth.energy_per_kwh(*own_prices(self._outlook, Present.of(state, days.n_steps), self._worth)),
            self._worth,
            end_per_kwh=self._worth.end_per_kwh(days.later_per_kwh[state.rows]),
            merits=merits,
        )
        value: np.ndarray = merits[:, :, 0].copy()
        return value
