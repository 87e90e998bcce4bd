"""What a solve comes to: a plan, a bound, what the plan earned, and the certificate that says how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ev_marl.policies.plan import Plan


@dataclass(frozen=True)
class Looseness:
    """One reason why the bound may lie above what can be reached."""

    reason: str
    amount: float  # an upper limit on how much it contributes [currency]


@dataclass(frozen=True)
class Certificate:
    """Why the bound is a bound, and how tight it is."""

    kind: Literal["LP", "MILP"]  # MILP: some pairs have one or the other, by binaries
    exact: bool  # the replayed plan earns the bound, within the tolerance: it is the cooperative optimum
    tolerance: float  # relative [-]
    source: str  # where the bound comes from: dual value, the solver's word, or what needs no solver
    reasons: tuple[Looseness, ...]  # what makes the bound loose, largest first; none if exact
    primal_value: float  # least cost of the last relaxation, as the solver's point has it [currency]
    dual_value: float  # what the last linear program's multipliers prove, in NumPy [currency]; −inf without any
    upper_value: float  # primal value with every convex cost at its true height [currency]
    taper_violation_kwh: float  # how far the solution lies above the reachable energy, at most
    limits_are_hard: bool  # whether group limits are constraints, or priced by the objective
    simultaneous_pairs: int  # pairs of which one should be 0, and that the last solution has both of: charging and
    # discharging of a (session, step), import and export of a step's meter where selling pays more than buying
    binary_pairs: int  # pairs on which binaries were put
    not_convex: tuple[str, ...]  # what terms ask for that is not convex, with the number of cases; none: it is
    cuts: int  # rows added where solutions asked for them
    rounds: int  # programs solved


@dataclass(frozen=True)
class Seconds:
    """Where the time went [s]."""

    build: float
    solve: float
    replay: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.build + self.solve + self.replay


@dataclass(frozen=True)
class Formulation:
    """One way to put the network into the model, and what its value is."""

    name: str
    kind: Literal["bound", "estimate", "plan"]  # no policy earns more; neither; earned in the simulator
    value: float  # return [currency]
    seconds: float  # from the start until it was known


@dataclass(frozen=True)
class GridReport:
    """What the network makes of a day's optimum. Violations are 0 where limits hold to within their tolerances."""

    formulations: tuple[Formulation, ...]  # from the loosest bound to the plan
    steps: int  # that needed the network in the bound; in all others its limits cannot raise it
    voltage_violation_pu: float  # of the plan, at most, in the exact power flow
    loading_violation_percent: float  # percentage points
    checked_steps: int  # the plan's tightest steps, solved once more by the reference
    checked_voltage_violation_pu: float  # there
    checked_loading_violation_percent: float
    curtailed_kwh: float  # taken back for the network's sake when the plan was replayed


@dataclass(frozen=True)
class Solution:
    """The cooperative optimum of a day; T steps, P ports, G groups. Returns are team rewards: minus costs."""

    plan: Plan
    bound: float  # no policy's return is above it [currency]
    achieved: float  # return of the plan, replayed in the simulator [currency]
    status: str  # "optimal", or why the solver stopped
    shadow_prices: np.ndarray  # float64 (T, G)  worth of one more kW of import headroom, see `solve` [currency/kW]
    export_shadow_prices: np.ndarray  # float64 (T, G)  worth of one more kW of export headroom [currency/kW]
    seconds: Seconds
    certificate: Certificate
    grid: GridReport | None = None  # with a network
    plan_of: str | None = None  # simple policy that earned more than the optimum's own plan, so that its powers are it

    @property
    def gap(self) -> float:
        """bound − achieved [currency]."""
        return self.bound - self.achieved

    @property
    def relative_gap(self) -> float:
        """The gap over the bound's size, or over 1 where that is smaller [-]."""
        return self.gap / max(1.0, abs(self.bound))
