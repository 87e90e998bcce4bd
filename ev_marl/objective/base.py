"""What a term of the objective is: its cost on the simulator's arrays and its expression for plans, side by side.

A term writes what each port costs in a step; the same quantity as a linear expression of a plan's variables goes into
the bound and into whatever plans ahead. Terms know neither the simulator nor the solver: they read a `Flow` and a
`DayModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from ev_marl.scenario.schema import Scenario
from ev_marl.simulation.flow import Flow
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import ObjectiveError
from ev_marl.support.registry import Registry

Expression = Any  # of Pyomo, or on the columns of a program; or an array of them
Variable = Any  # likewise; a variable is an expression, too
Variables = Any  # a vector of them, with a length
Numbers = Sequence[float] | np.ndarray


class GridModel(Protocol):
    """The network in the programme of one day: what it suffers in each step, from below; T steps.

    Each method gives one variable per step, the same ones on every call. Whatever the vehicles do, the model lets the
    variable be as low as the true quantity or lower, so a term that prices it with a weight >= 0 never costs more in
    the model than in the simulator.
    """

    def beyond_band_pu(self) -> Variables:
        """Σ over buses of max(0, lowest − voltage, voltage − highest), clamped limits, (T,) [p.u.]."""
        ...

    def line_overload_kva(self) -> Variables:
        """Σ over lines of max(0, loading − limit)·rating, clamped limits, (T,) [kVA]."""
        ...

    def transformer_overload_kva(self) -> Variables:
        """Σ over transformers of max(0, loading − limit)·rating, clamped limits, (T,) [kVA]."""
        ...

    def added_losses_kw(self) -> Variables:
        """Losses less those of the same step without charging, possibly negative, (T,) [kW]."""
        ...


class DayModel(Protocol):
    """The programme of a day, or of what is left of it, as a term sees it.

    N (session, step) pairs, D of which can discharge; S sessions, O of which can be short of energy; T steps, G groups.
    A pair exists for every step in which a session is connected. Its powers are `charge[n]` and `discharge[n]` [kW],
    both >= 0 and averaged over the step.

    There are two implementations: one makes expressions of Pyomo (`ev_marl.optimum.model`), the other makes
    them on the columns of a program (`ev_marl.planning.programme.arrays`). In both, variables and expressions can be
    added, subtracted, multiplied with numbers, summed and indexed, one by one or as vectors of the same length.
    """

    site: SiteArrays
    step_h: float
    n_steps: int
    first_step: int  # step of the episode that is step 0 here
    buy_per_kwh: np.ndarray  # (T,)
    sell_per_kwh: np.ndarray  # (T,)
    base_load_kw: np.ndarray  # (T, G)
    lower_kw: np.ndarray  # (T, G)  clamped limits
    upper_kw: np.ndarray  # (T, G)
    local_hour: np.ndarray  # (T,)  local clock time of each step [h]
    carbon_kg_per_kwh: np.ndarray | None  # (T,)  CO2 of what is drawn from the grid; None: not known
    requests: np.ndarray | None  # (T, 2, G)  see `ev_marl.world.events.requested`; None: there are none
    temperature_c: np.ndarray  # (T,)  ambient; 20 where it is not known [°C]
    oil_k: np.ndarray  # (n_thermal,)  rise of the oil of each transformer that is followed, at the start [K]
    peak_before_kw: float  # highest import of the site in earlier steps
    peak_share: float  # of the price of a higher peak, what these steps pay; 1 unless later steps use it, too
    later_per_kwh: float  # price of energy after the episode, see `Track.later_per_kwh`
    ends: bool  # whether the episode ends with the last of the steps
    sessions: np.ndarray  # STAY (S,)
    pair_session: np.ndarray  # int64 (N,)
    pair_step: np.ndarray  # int64 (N,)
    last_pair: np.ndarray  # int64 (S,)  pair of each session's last step, −1: it has none
    charge: Variables  # (N,)
    discharge_pairs: np.ndarray  # int64 (D,)  pairs that can discharge
    discharge: Variables  # (D,)  in the order of discharge_pairs
    energy: Variables  # (N,)  in the battery at the end of the pair's step [kWh]
    owed_sessions: np.ndarray  # int64 (O,)  sessions that can be short of what is due
    shortfall: Variables  # (O,)  kWh due and not there, in the order of owed_sessions
    lossy_pairs: np.ndarray  # int64 (L,)  pairs at chargers whose efficiency depends on the power
    lost: Variables  # (L,)  kW that do not reach the battery, beside those that the highest efficiency loses
    grid: GridModel | None  # None: no network, or none that is modelled

    @property
    def least_kw(self) -> np.ndarray:
        """Least power (the most feed-in, <= 0) of the vehicles below each group, (T, G) [kW]."""
        ...

    @property
    def most_kw(self) -> np.ndarray:
        """Most power of the vehicles below each group, (T, G) [kW]."""
        ...

    def linear(self, variables: Variables, coefficients: Numbers, constant: float = 0.0) -> Expression:
        """Σ coefficient·variable + constant; the quick way to a long sum."""
        ...

    def group_power(self, group: int | np.ndarray, step: int | np.ndarray) -> Expression:
        """The vehicles' power below a group [kW]; for arrays (K,) of groups and steps, K expressions."""
        ...

    def variables(self, name: str, lower: Numbers, upper: Numbers) -> Variables:
        """New variables with finite bounds, which give a finite bound whatever a solver says."""
        ...

    def at_least(self, name: str, expression: Expression, bound: float | Numbers) -> None:
        """New constraint expression >= bound; or K of them."""
        ...

    def equal(self, name: str, expression: Expression, value: float | Numbers) -> None:
        """New constraint expression = value; or K of them."""
        ...

    def above_convex(
        self,
        name: str,
        epigraph: Variables,
        expression: Expression,
        value: Callable[[np.ndarray], np.ndarray],
        slope: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """New constraints epigraph >= value(expression) for K convex functions, kept by tangents added lazily.

        `value` and `slope` take K numbers and give K numbers, those of each function at its number.
        """
        ...

    def only_one(self, name: str, first: Variables, second: Variables) -> None:
        """New constraint: of each of K pairs of variables >= 0, one is 0.

        That is not convex. Plans keep it by the convex hull and, in the optimum, by binaries where a solution has both.
        """
        ...


@runtime_checkable
class Term(Protocol):
    """One named cost. `name` is the key in `info` and in the results."""

    name: str

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """Write the cost of the step at each port to `out`, float64, shape (n_batch, n_ports) [currency].

        `out` comes in as zeros; for the terms of this package, with the numbers of an earlier step. Shared costs are
        split among the ports so that they sum to the cost exactly.
        """
        ...

    def expression(self, day: DayModel) -> Expression | None:
        """The cost of all steps of the day (or of what is left of it), convex in the powers; None: the term has none.

        Never more than what `cost` sums to for the same powers, or the bound would be none.
        """
        ...


@runtime_checkable
class Seldom(Term, Protocol):
    """A term that costs nothing in most steps, so that nothing needs to be computed there."""

    def due(self, flow: Flow) -> bool:
        """Whether the step may cost anything; where not, `cost` is not called, and all costs are 0."""
        ...


class BuiltIn(Term, Protocol):
    """A term that scenarios have keys for, directly below `objective`: it says which, and makes itself of them."""

    keys: ClassVar[tuple[str, ...]]

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """The term as a scenario's keys have it; None where they leave it out. `beside`: those made before it."""
        ...


TERMS: Registry[Term] = Registry("objective term", "ev_marl.objective_terms", Term)


def expression_of(term: Term, day: DayModel) -> Expression:
    """The term's expression.

    Raises
    ------
    ObjectiveError
        If the term has none, so that nothing can be planned with it; if it fails; or if it is no single expression. The
        message names the term.
    """
    try:
        expression = term.expression(day)
        total = None if expression is None else day.linear([], []) + expression
    except ObjectiveError:
        raise
    except Exception as error:  # of anybody's code
        raise ObjectiveError(f"objective term '{term.name}': its expression cannot be stated: {error}") from error
    if total is None:
        raise ObjectiveError(
            f"objective term '{term.name}' has no expression, so there is neither a cooperative bound with it nor a "
            "plan: leave it out, or give it an `expression`"
        )
    if shape := getattr(total, "shape", ()):
        raise ObjectiveError(
            f"objective term '{term.name}': its expression has shape {shape}; one expression for all steps is needed: "
            "use `sum(...)` or `day.linear(...)`"
        )
    return expression
