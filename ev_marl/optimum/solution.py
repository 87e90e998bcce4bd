"""The result of a solve: plan, bound, return of the plan, and the certificate with the quality of the bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ev_marl.policies.plan import Plan


@dataclass(frozen=True)
class Looseness:
    """One reason why the bound may be higher than the best return."""

    reason: str
    amount: float  # upper limit of its contribution [currency]


@dataclass(frozen=True)
class Certificate:
    """Why the bound is valid, and how tight it is."""

    kind: Literal["LP", "MILP"]  # MILP: some pairs have one or the other, or levels, by integers
    exact: bool  # the replayed plan earns the bound, within the tolerance: it is the cooperative optimum
    tolerance: float  # relative [-]
    source: str  # source of the bound: dual value, the solver's own bound, or a value that needs no solver
    reasons: tuple[Looseness, ...]  # what makes the bound loose, largest first; none if exact
    primal_value: float  # cost of the solver's point in the last relaxation [currency]
    dual_value: float  # dual value of the last linear programme, from NumPy [currency]; −inf without multipliers
    upper_value: float  # primal value with the true value of every convex cost [currency]
    taper_violation_kwh: float  # how far the solution lies above the reachable energy, at most
    current_violation_a: float  # how far a current of the solution lies above its limit, at most
    limits_are_hard: bool  # whether limits are constraints, or priced by the objective
    simultaneous_pairs: int  # pairs of which one should be 0, and that the last solution has both of: charging and
    # discharging of a (session, step), import and export of a step's meter where selling pays more than buying
    binary_pairs: int  # pairs on which binaries were put
    level_pairs: int  # (session, step) pairs whose port has levels as integers; 0: any power
    any_power_bound: float  # bound on the return before levels became integers [currency]
    not_convex: tuple[str, ...]  # constraints of terms that are not convex, with their number; empty: all are convex
    cuts: int  # rows added where solutions violated them
    rounds: int  # programs solved


@dataclass(frozen=True)
class Seconds:
    """Times of the parts of a solve [s]."""

    build: float
    solve: float
    replay: float

    @property
    def total(self) -> float:
        """Total time."""
        return self.build + self.solve + self.replay


@dataclass(frozen=True)
class Formulation:
    """One formulation of the network in the model, and its value."""

    name: str
    kind: Literal["bound", "estimate", "plan"]  # a bound; neither; a return in the simulator
    value: float  # return [currency]
    seconds: float  # time from the start until it was computed


@dataclass(frozen=True)
class GridReport:
    """Results of the network in the optimum of a day. Violations are 0 if limits hold to within their tolerances."""

    formulations: tuple[Formulation, ...]  # from the loosest bound to the plan
    steps: int  # number of steps whose network is in the bound; in all others it would not change the bound
    voltage_violation_pu: float  # largest of the plan, in the exact power flow
    loading_violation_percent: float  # percentage points
    checked_steps: int  # steps of the plan nearest to a limit, solved again by the reference
    checked_voltage_violation_pu: float  # there
    checked_loading_violation_percent: float
    curtailed_kwh: float  # curtailed by the grid coordinator when the plan was replayed


@dataclass(frozen=True)
class Solution:
    """The cooperative optimum of a day; T steps, P ports, G groups, R current limits. Returns are minus costs."""

    plan: Plan
    bound: float  # no policy's return is above it [currency]
    achieved: float  # return of the plan, replayed in the simulator [currency]
    status: str  # "optimal", or why the solver stopped
    shadow_prices: np.ndarray  # float64 (T, G)  value of one more kW of import headroom, see `solve` [currency/kW]
    export_shadow_prices: np.ndarray  # float64 (T, G)  value of one more kW of export headroom [currency/kW]
    current_prices: np.ndarray  # float64 (T, R)  value of one more ampere of a current limit, the same [currency/A]
    seconds: Seconds
    certificate: Certificate
    grid: GridReport | None = None  # with a network
    plan_of: str | None = None  # simple policy that earned more than the optimum's own plan; its powers are the plan

    @property
    def gap(self) -> float:
        """bound − achieved [currency]."""
        return self.bound - self.achieved

    @property
    def relative_gap(self) -> float:
        """The gap divided by the magnitude of the bound, or by 1 if that is smaller [-]."""
        return self.gap / max(1.0, abs(self.bound))
