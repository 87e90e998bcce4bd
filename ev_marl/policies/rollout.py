"""One policy through one batch of episodes: views in, setpoints out, returns at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ev_marl.env.interface import Interface
from ev_marl.grid.solvers.base import Injections
from ev_marl.objective import Costs, Objective
from ev_marl.planning.outlook import ComposedOutlook, Present, PresentOutlook, Truth, make_outlook
from ev_marl.planning.worth import Worth, own_prices
from ev_marl.policies.base import (
    Episode,
    ForeseeingPolicy,
    Information,
    ObservationView,
    ObservingPolicy,
    Policy,
    SiteView,
    StationView,
)
from ev_marl.policies.foresight import known_to
from ev_marl.simulation.battery import laxity_of_stays
from ev_marl.simulation.days import vehicles_at
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import PolicyError
from ev_marl.world.track import Track
from ev_marl.world.world import World

Watch = Callable[[Flow, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Rollout:
    """Results of an episode; B rows, A agents."""

    returns: np.ndarray  # float64 (B, A)  sum of each agent's rewards [currency]
    costs: dict[str, np.ndarray]  # name of term -> float64 (B,)  summed over steps and agents [currency]
    act_seconds: float  # time spent in the policy
    step_seconds: float  # time spent in the simulator
    information: Information  # what the policy knew, with its outlook

    @property
    def team(self) -> np.ndarray:
        """Team return, float64, shape (B,) [currency]."""
        total: np.ndarray = self.returns.sum(axis=1)
        return total


def make_view(
    simulator: Simulator, objective: Objective, policy: Policy, outlook: ComposedOutlook, worth: Worth | None = None
) -> StationView:
    """What `policy` may know at the start of the coming step; prices and departures are those of `outlook`.

    Whoever asks in every step gives `worth`, which is `Worth.of(objective)`.
    """
    days, state = simulator.days, simulator.state
    step = state.step
    worth = Worth.of(objective) if worth is None else worth
    present = Present.of(state, days.n_steps)
    buy_per_kwh, sell_per_kwh = outlook.prices(present.day, step)
    charging_per_kwh, discharging_per_kwh = own_prices(outlook, present, worth)
    connected = state.session >= 0
    stays = outlook.stays(step)
    vehicle = vehicles_at(stays, state.session, state.energy_kwh, step)
    laxity_h = np.empty(connected.shape)
    laxity_of_stays(step, days.step_h, stays, state.session, state.energy_kwh, laxity_h)
    own: dict[str, Any] = {
        "step": step,
        "n_steps": days.n_steps,
        "step_h": days.step_h,
        "port_station": simulator.site.port_station,
        "port_charge_kw": simulator.site.port_charge_kw,
        "port_discharge_kw": simulator.site.port_discharge_kw,
        "connected": connected,
        "vehicle": vehicle,
        "energy_kwh": state.energy_kwh.copy(),
        "lo_kw": state.lo_kw.copy(),
        "hi_kw": state.hi_kw.copy(),
        "laxity_h": laxity_h,
        "buy_per_kwh": buy_per_kwh,
        "sell_per_kwh": sell_per_kwh,
        "charging_per_kwh": charging_per_kwh,
        "discharging_per_kwh": discharging_per_kwh,
        "local_hour": days.local_hour[state.day, step:],
        "later_per_kwh": days.later_per_kwh[state.day],
        "end_per_kwh": worth.end_per_kwh(days.later_per_kwh[state.day]),
        "worth": worth,
        "port_levels_kw": simulator.site.port_levels_kw if simulator.site.has_levels else None,
        "part_load": simulator.site.part_load if simulator.site.has_part_load else None,
        "carbon_kg_per_kwh": outlook.carbon_kg_per_kwh(present.day, step),
        "out": outlook.out(present.day, step),
    }
    if policy.information == "own":
        return StationView(**own)
    return SiteView(
        **own,
        site=simulator.site,
        lower_kw=state.lower_kw.copy(),
        upper_kw=state.upper_kw.copy(),
        base_load_kw=state.base_load_kw.copy(),
        peak_kw=state.peak_kw.copy(),
        oil_k=state.oil_k.copy(),
        temperature_c=None if days.temperature_c is None else days.temperature_c[state.day, step:],
        requests=outlook.requests(present.day, step),
        currents=state.currents.copy() if simulator.site.n_currents else None,
        grid=_present_loads(simulator),
        tap=None if state.grid is None else state.grid.flow.tap,
    )


def _present_loads(simulator: Simulator) -> Injections | None:
    """Loads and generators of the network in the coming step, without charging."""
    if simulator.grid is None:
        return None
    none = np.zeros((simulator.n_batch, simulator.grid.spec.n_charger_buses))
    states = simulator.grid.days.injections(simulator.state.rows, simulator.state.step, none, none)
    return states.rows(np.arange(simulator.n_batch))  # a copy: later steps cannot be read from it


def _check(setpoint_kw: np.ndarray, simulator: Simulator, policy: Policy | ObservingPolicy) -> None:
    """Raise a PolicyError if a policy's setpoints are not an array of finite powers, one for each port."""
    where, needed = f"policy '{policy.name}', step {simulator.state.step}", simulator.state.lo_kw.shape
    if np.shape(setpoint_kw) != needed:
        raise PolicyError(
            f"{where}: setpoints have shape {np.shape(setpoint_kw)}; (n_batch, n_ports) = {needed} is needed"
        )
    fine = np.isfinite(setpoint_kw)
    if not fine.all():
        row, port = np.argwhere(~fine)[0]
        raise PolicyError(
            f"{where}: the setpoint of row {row}, port {port} is {setpoint_kw[row, port]}; a finite power is needed"
        )


def _outlook(simulator: Simulator, policy: Policy | ObservingPolicy, world: World | None) -> ComposedOutlook:
    """The outlook of the scenario, with the keys that the policy sets itself."""
    own = policy.outlook if isinstance(policy, ForeseeingPolicy) else None
    # Both were checked before: the scenario by its world, the policy's own by `make_policy`.
    outlook = make_outlook(None if world is None else world.scenario.outlook, own)
    outlook.begin(Truth.of(simulator), world)
    return outlook


def _interface(
    simulator: Simulator, objective: Objective, policy: Policy | ObservingPolicy, world: World | None
) -> Interface | None:
    """What a policy observes and answers by; None for one that is given a view."""
    if not isinstance(policy, ObservingPolicy):
        return None
    if world is None:
        raise PolicyError(f"policy '{policy.name}' decides on observations: give the rollout `world=`")
    scenario = world.scenario  # code that the policy's file names runs only if the scenario is trusted
    interface = Interface(scenario, world.site, objective, policy.observation, policy.action, trust=scenario.trusted)
    interface.attach(simulator, world)
    return interface


def _eyes(
    simulator: Simulator,
    objective: Objective,
    policy: Policy | ObservingPolicy,
    outlook: ComposedOutlook,
    interface: Interface | None,
) -> Callable[[], Any]:
    """A function that makes the policy's view of the coming step."""
    if not isinstance(policy, ObservingPolicy):
        worth = Worth.of(objective)
        return lambda: make_view(simulator, objective, policy, outlook, worth)

    assert interface is not None  # made for such a policy

    def look() -> ObservationView:
        interface.refresh()
        return ObservationView(
            simulator.state.step,
            interface.observations(),
            None if policy.information in ("own", "messages") else interface.state(),
            lambda actions: interface.setpoints(actions).copy(),
        )

    return look


def rollout(
    simulator: Simulator,
    objective: Objective,
    policy: Policy | ObservingPolicy,
    tracks: Sequence[Track],
    *,
    seed: int = 0,
    watch: Watch | None = None,
    world: World | None = None,
    loaded: bool = False,
) -> Rollout:
    """Run a policy over several tracks at once.

    Parameters
    ----------
    simulator : Simulator
        Loaded with other days or the same; it is loaded with `tracks` and reset.
    objective : Objective
        What counts.
    policy : Policy
        Who decides.
    tracks : sequence of Track
        One batch row each.
    seed : int
        Of the policy's own random numbers.
    watch : callable, optional
        Called after each step with the flow, the rewards (B, A) and the costs (n_terms, B, A); flow and costs are
        arrays that the next step writes again.
    world : World, optional
        The scenario's models, for policies that expect or observe; without it, prices are known and nothing else
        changes, unless the policy says otherwise.
    loaded : bool
        Whether the simulator was made with these tracks, so that they need not be loaded again.

    Returns
    -------
    Rollout
        Returns by agent, costs by term, and what the policy knew.

    Raises
    ------
    PolicyError
        If the policy's setpoints have the wrong shape or are not finite; the message names policy, step and port.
    ObjectiveError
        If a cost is not finite, see `Objective.evaluate`.
    """
    if not loaded:
        simulator.load(tracks)
    simulator.reset(np.arange(len(tracks)))
    outlook = _outlook(simulator, policy, world)
    blind = policy.information == "own"
    policy.reset(
        Episode(
            site=simulator.site,
            n_batch=len(tracks),
            n_steps=simulator.days.n_steps,
            step_h=simulator.days.step_h,
            rng=np.random.default_rng(seed),
            tracks=tracks if policy.information == "future" else None,
            world=world,
            outlook=PresentOutlook() if blind else outlook,
            objective=objective,
            grid=None if blind or simulator.grid is None else replace(simulator.grid),  # without its days
        )
    )
    returns = np.zeros((len(tracks), simulator.site.n_stations))
    totals = np.zeros((len(objective.terms), len(tracks)))
    costs_of_step = Costs(len(objective.terms), len(tracks), simulator.site)
    act_seconds = step_seconds = 0.0
    interface = _interface(simulator, objective, policy, world)
    look = _eyes(simulator, objective, policy, outlook, interface)
    while not simulator.done:
        begin = time.perf_counter()
        setpoint_kw = policy.act(look())
        decided = time.perf_counter()
        _check(setpoint_kw, simulator, policy)
        flow = simulator.step(setpoint_kw)
        rewards, costs = objective.evaluate(flow, costs_of_step)
        act_seconds += decided - begin
        step_seconds += time.perf_counter() - decided
        returns += rewards
        totals += costs.sum(axis=2)
        if watch is not None:
            watch(flow, rewards, costs)
    return Rollout(
        returns,
        dict(zip(objective.names, totals, strict=True)),
        act_seconds,
        step_seconds,
        known_to(policy, outlook, objective, interface, with_grid=simulator.grid is not None),
    )
