"""The interface of policies, and the information that each kind has.

A decentralised policy ("own") decides for each port from the information of its station: its vehicles, the published
prices, the clock. With "messages", stations also exchange numbers with the groups above them in every step. A central
policy ("site") knows the limits and every other port. One with "future" is given the whole track.
Whoever looks ahead with an outlook that foresees more than prices knows the future, whatever else it knows: that is
found by `ev_marl.policies.foresight`.
A view holds all ports at once, because arrays are fast; a decentralised policy computes each station's columns from
that station's columns only, and `ev_marl.testing.check_policy` verifies it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.solvers.base import Injections
from ev_marl.objective import Objective
from ev_marl.planning.outlook import Outlook, OutlookLike, Present, PresentOutlook
from ev_marl.planning.vehicles import Vehicles
from ev_marl.planning.worth import Worth
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import OptionError
from ev_marl.support.registry import Registry
from ev_marl.support.values import shown
from ev_marl.world.track import Track
from ev_marl.world.world import World

MOST_EXPECTED_DAYS = 1000
"""Days that a policy may draw to know which vehicles to expect."""

Information = Literal["own", "messages", "site", "future"]
INFORMATION: dict[str, str] = {
    "own": "own station",
    "messages": "messages",
    "site": "whole site",
    "future": "whole future",
}
"""In words, for tables."""


@dataclass(slots=True)
class StationView:
    """What stations know about themselves at the start of a step; B batch rows, P ports, T steps of the episode.

    `vehicle` holds records, so `view.vehicle["due_kwh"]` is of shape (B, P); see `ev_marl.simulation.days`. Values at
    empty ports are 0 (capacity and efficiencies 1, laxity inf, steps of arrival, departure and deadline = step).
    """

    step: int  # t
    n_steps: int  # T
    step_h: float
    port_station: np.ndarray  # int64 (P,)
    port_charge_kw: np.ndarray  # (P,)  rated
    port_discharge_kw: np.ndarray  # (P,)  rated, 0 without V2G
    connected: np.ndarray  # bool (B, P)
    vehicle: np.ndarray  # STAY (B, P)  the vehicle at each port; its energy_kwh is the present energy
    energy_kwh: np.ndarray  # (B, P)  in the battery now
    lo_kw: np.ndarray  # (B, P)  what the port can do in this step
    hi_kw: np.ndarray  # (B, P)
    laxity_h: np.ndarray  # (B, P)
    buy_per_kwh: np.ndarray  # (B, T − t)  published prices from this step on
    sell_per_kwh: np.ndarray  # (B, T − t)
    charging_per_kwh: np.ndarray  # (B, T − t)  what a kWh costs a station that plans by itself, see `own_prices`
    discharging_per_kwh: np.ndarray  # (B, T − t)  and what a kWh fed back earns
    local_hour: np.ndarray  # (B, T − t)  local clock time of these steps [h]
    later_per_kwh: np.ndarray  # (B,)  price of energy after the episode
    end_per_kwh: np.ndarray  # (2, B)  what a kWh is worth at the end, see `Worth.end_per_kwh`
    worth: Worth  # what the objective charges for
    port_levels_kw: np.ndarray | None = field(
        default=None, kw_only=True
    )  # (2, P)  see `ev_marl.site.levels`; None: any
    part_load: np.ndarray | None = field(
        default=None, kw_only=True
    )  # (P, 2, N)  see `ev_marl.site.part_load`; None: no efficiency depends on the power
    carbon_kg_per_kwh: np.ndarray | None = field(
        default=None, kw_only=True
    )  # (B, T − t)  of what is drawn; None: unknown
    out: np.ndarray | None = field(default=None, kw_only=True)  # bool (B, T − t, P)  known outages; None: none

    @property
    def bill_per_kwh(self) -> np.ndarray:
        """Cost of a kWh bought and earning of one sold from this step on, (2, B, T − t), see `Worth.energy_per_kwh`."""
        return self.worth.energy_per_kwh(
            self.worth.with_carbon(self.buy_per_kwh, self.carbon_kg_per_kwh), self.sell_per_kwh
        )

    @property
    def vehicles(self) -> Vehicles:
        """The vehicles at the ports, for plans."""
        numbers = np.arange(self.connected.size, dtype=np.int64).reshape(self.connected.shape)
        session = np.where(self.connected, numbers, -1)
        ports = np.stack([self.energy_kwh, self.lo_kw, self.hi_kw])
        return Vehicles(self.vehicle.reshape(-1), session, ports)


@dataclass(slots=True)
class SiteView(StationView):
    """What a central controller knows in addition: the tree and its limits in this step; G groups."""

    site: SiteArrays
    lower_kw: np.ndarray  # (B, G)  clamped
    upper_kw: np.ndarray  # (B, G)
    base_load_kw: np.ndarray  # (B, G)  inflexible load − PV below each group in this step
    peak_kw: np.ndarray | None = None  # (B,)  highest import of the site so far, base load included
    oil_k: np.ndarray | None = None  # (B, n_thermal)  see `State.oil_k`
    temperature_c: np.ndarray | None = None  # (B, T − t)  ambient; None: not known
    requests: np.ndarray | None = (
        None  # (B, T − t, 2, G)  those that are announced, see `ev_marl.world.events.requested`
    )
    grid: Injections | None = None  # loads and generators of the network in this step; chargers 0
    currents: np.ndarray | None = None  # (3, B, R)  of the base load, real and imaginary, and clamped limits [A]
    tap: np.ndarray | None = None  # int64 (B,)  position of the network's controlled transformer

    def present(self, row: int | None = None) -> Present:
        """What an outlook goes on from, of one row or of all; row b plays day b."""
        rows = slice(None) if row is None else slice(row, row + 1)
        grid = self.grid if self.grid is None or row is None else self.grid.rows(np.array([row]))
        return Present(
            self.step, self.n_steps, rows, self.lower_kw[rows], self.upper_kw[rows], self.base_load_kw[rows], grid
        )


def count_option(policy: str, option: str, value: int, least: int, most: int) -> int:
    """An option that is a count; an `OptionError` names policy, option, value and bounds where it is none of these."""
    if not isinstance(value, Integral | float) or value % 1 or not least <= value <= most:
        allowed = f"a whole number from {least} to {most:,}"
        raise OptionError(f"policy '{policy}': {option} must be {allowed}, got {shown(value)}")
    return int(value)


def site_view(view: StationView) -> SiteView:
    """The same view, for a policy that needs the tree.

    Raises
    ------
    TypeError
        If the view is a station's: whoever runs the policy did not look at its `information`.
    """
    if not isinstance(view, SiteView):
        raise TypeError("a policy with information 'site' or 'future' must be given a SiteView")
    return view


@dataclass(frozen=True)
class Episode:
    """The information for a policy before an episode starts."""

    site: SiteArrays
    n_batch: int
    n_steps: int
    step_h: float
    rng: np.random.Generator  # the policy's own random numbers
    tracks: Sequence[Track] | None  # one per batch row; only for a policy with information "future"
    world: World | None = None  # the scenario's site and models; never its tracks
    outlook: Outlook = field(default_factory=PresentOutlook)  # on the rest of the episode
    objective: Objective | None = None  # what counts, for a policy that needs more of it than the view's prices
    grid: GridLoop | None = None  # the network above the site, without any day; for a policy that knows the site


@runtime_checkable
class ForeseeingPolicy(Protocol):
    """A policy with an outlook of its own, which goes over that of the scenario kind by kind."""

    outlook: OutlookLike | None


@runtime_checkable
class Policy(Protocol):
    """Decides the setpoints of all ports, step by step.

    An attribute `looks_at` says which kinds of later values it uses, `()` for none. A policy without it counts as using
    all that it is told, see `ev_marl.policies.foresight`.
    """

    name: str
    information: Information

    def reset(self, episode: Episode) -> None:
        """Prepare for a new episode."""
        ...

    def act(self, view: StationView) -> np.ndarray:
        """Setpoints, float64, shape (n_batch, n_ports) [kW]; a `SiteView` is given unless information is "own"."""
        ...


@runtime_checkable
class PlanningPolicy(Protocol):
    """A policy that plans with the terms of the objective, and refuses before an episode those that it cannot use."""

    def check_objective(self, objective: Objective, site: SiteArrays, *, with_grid: bool) -> None:
        """Raise an `ObjectiveError` that names the term; `with_grid`: whether there is a network above the site."""
        ...


@dataclass(slots=True)
class ObservationView:
    """The view of a policy that was trained on observations, at the start of a step; B batch rows, A agents."""

    step: int  # t
    observations: np.ndarray  # float32 (B, A, W)  row a is the observation of agent a
    state: np.ndarray | None  # float32 (B, F)  every number once; only with information "site" or "future"
    to_setpoints: Callable[[np.ndarray], np.ndarray]  # actions (B, P · numbers of a port) -> setpoints (B, P) [kW]


@runtime_checkable
class ObservingPolicy(Protocol):
    """A policy that decides on the environment's observations, by the environment's actions.

    It is given an `ObservationView`. With information "own", its action for a station must depend on that station's row
    of the observations only.
    """

    name: str
    information: Information
    observation: Sequence[Any] | None  # blocks; None: those of the scenario
    action: Any | None  # kind of action; None: that of the scenario

    def reset(self, episode: Episode) -> None:
        """Prepare for a new episode."""
        ...

    def act(self, view: ObservationView) -> np.ndarray:
        """Setpoints, float64, shape (n_batch, n_ports) [kW]."""
        ...


POLICIES: Registry[Policy] = Registry("policy", "ev_marl.policies", Policy)
