"""The return of a plan in the simulator, also for agents with a few power levels only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.objective import Objective
from ev_marl.policies.base import Policy, StationView
from ev_marl.policies.plan import Plan, PlanPolicy
from ev_marl.policies.rollout import rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.levels import keep_levels, level_above
from ev_marl.world.track import Track


class RoundedPlanPolicy(PlanPolicy):
    """Follows a plan with discrete power levels: in each step the level with the effect nearest to that of the plan.

    Parameters
    ----------
    plan : Plan
        The plan.
    levels : float64, shape (n_levels,)
        Shares of a port's rated power, −1 to 1 [-].
    """

    name = "rounded-plan"

    def __init__(self, plan: Plan, levels: np.ndarray) -> None:
        super().__init__(plan)
        self._levels = np.sort(np.asarray(levels, dtype=np.float64))

    def act(self, view: StationView) -> np.ndarray:
        """Setpoints, float64, shape (n_batch, n_ports) [kW]."""
        wanted_kw = super().act(view)
        levels = self._levels[:, None, None]
        offered_kw = np.clip(
            np.where(levels > 0.0, levels * view.port_charge_kw, levels * view.port_discharge_kw),
            view.lo_kw,
            view.hi_kw,
        )
        nearest = np.abs(offered_kw - wanted_kw).argmin(axis=0)
        chosen: np.ndarray = np.take_along_axis(offered_kw, nearest[None], axis=0)[0]
        return chosen


class LeveledPlanPolicy(PlanPolicy):
    """Follows a plan with the levels that ports can grant, and does not fall behind it by more than one of them.

    Parameters
    ----------
    plan : Plan
        The plan.
    threshold : float64, shape (n_ports,), or float
        What is to be granted lies this share of the way from the level below to the level above, or further: then it is
        the level above, 0 to 1 [-].
    """

    name = "leveled-plan"

    def __init__(self, plan: Plan, threshold: np.ndarray | float) -> None:
        super().__init__(plan)
        self._threshold = threshold

    def act(self, view: StationView) -> np.ndarray:
        """Setpoints, float64, shape (n_batch, n_ports) [kW]."""
        wanted_kw: np.ndarray = np.clip(super().act(view), view.lo_kw, view.hi_kw)
        levels = view.port_levels_kw
        if levels is None:
            return wanted_kw
        below_kw = np.empty_like(wanted_kw)
        keep_levels(wanted_kw, view.hi_kw, levels, below_kw)
        above_kw = level_above(wanted_kw, view.hi_kw, levels)
        enough = wanted_kw - below_kw >= self._threshold * (above_kw - below_kw)
        chosen: np.ndarray = np.where(enough, above_kw, below_kw)
        return chosen


@dataclass(frozen=True)
class Replayed:
    """The result of a policy in the simulator."""

    team_return: float  # return [currency]
    curtailed_kwh: float  # curtailed by the grid coordinator [kWh]
    delivered: Plan  # delivered powers


def replay(
    site: SiteArrays,
    track: Track,
    objective: Objective,
    policy: Policy,
    network: GridLoop | None = None,
    coordinator: str | None = None,
) -> Replayed:
    """A policy on one day, in closed loop.

    Parameters
    ----------
    site, track, objective
        The day.
    policy : Policy
        Follows a plan, or decides by itself.
    network : GridLoop, optional
        The network above the site.
    coordinator : str, optional
        Default: `nearest` if limits are constraints, else `none`.
    """
    decider = make_coordinator(coordinator or ("nearest" if objective.limits_are_hard else "none"))
    curtailed_kw = []
    delivered = Plan(np.zeros((track.n_steps, site.n_ports)), np.zeros((track.n_steps, site.n_ports)))

    def watch(flow: Flow, _rewards: np.ndarray, _costs: np.ndarray) -> None:
        delivered.power_kw[flow.step], delivered.energy_kwh[flow.step] = flow.granted_kw[0], flow.energy_kwh[0]
        if flow.grid is not None:
            curtailed_kw.append(float(flow.grid.curtailed_kw[0]))

    simulator = Simulator(site, decider, [track], network)
    team_return = rollout(simulator, objective, policy, [track], watch=watch, loaded=True).team[0]
    return Replayed(float(team_return), track.step_h * sum(curtailed_kw), delivered)
