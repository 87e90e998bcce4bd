"""What a term of the objective is: its cost on the simulator's arrays and its Pyomo expression, side by side.

A term writes what each port costs in a step; the same quantity as a linear expression of the optimum's variables goes
into the bound. Terms know neither the simulator nor the solver: they read a `Flow` and a `DayModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ev_marl.simulation.simulator import Flow
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import ObjectiveError
from ev_marl.support.registry import Registry

Expression = Any  # a Pyomo expression; this room does not import Pyomo
Variable = Any  # a Pyomo variable
Numbers = Sequence[float] | np.ndarray


class GridModel(Protocol):
    """The network in the optimum's model of one day: what it suffers in each step, from below; T steps.

    Each method gives one variable per step, the same ones on every call. Whatever the vehicles do, the model lets the
    variable be as low as the true quantity or lower, so a term that prices it with a weight >= 0 never costs more in
    the model than in the simulator.
    """

    def beyond_band_pu(self) -> Sequence[Variable]:
        """Σ over buses of max(0, lowest − voltage, voltage − highest), clamped limits, (T,) [p.u.]."""
        ...

    def line_overload_kva(self) -> Sequence[Variable]:
        """Σ over lines of max(0, loading − limit)·rating, clamped limits, (T,) [kVA]."""
        ...

    def transformer_overload_kva(self) -> Sequence[Variable]:
        """Σ over transformers of max(0, loading − limit)·rating, clamped limits, (T,) [kVA]."""
        ...

    def added_losses_kw(self) -> Sequence[Variable]:
        """Losses less those of the same step without charging, possibly negative, (T,) [kW]."""
        ...


class DayModel(Protocol):
    """The optimum's model of one day, as a term sees it; N (session, step) pairs, S sessions, T steps, G groups.

    A pair exists for every step in which a session is connected. Its powers are `charge[n]` and `discharge[n]` [kW],
    both >= 0 and averaged over the step.
    """

    site: SiteArrays
    step_h: float
    n_steps: int
    buy_per_kwh: np.ndarray  # (T,)
    sell_per_kwh: np.ndarray  # (T,)
    base_load_kw: np.ndarray  # (T, G)
    lower_kw: np.ndarray  # (T, G)  clamped limits
    upper_kw: np.ndarray  # (T, G)
    local_hour: np.ndarray  # (T,)  local clock time of each step [h]
    pair_step: np.ndarray  # int64 (N,)
    charge: Sequence[Variable]  # (N,)
    discharge_pairs: np.ndarray  # int64 (D,)  pairs that can discharge
    discharge: Sequence[Variable]  # (D,)  in the order of discharge_pairs
    shortfall: Sequence[Variable]  # (S,)  kWh due and not there
    network: GridModel | None  # None: no network, or none given to the optimum

    def linear(self, variables: Sequence[Variable], coefficients: Numbers, constant: float = 0.0) -> Expression:
        """Σ coefficient·variable + constant as a Pyomo expression."""
        ...

    def group_power(self, group: int, step: int) -> tuple[list[Variable], list[float]]:
        """Variables and coefficients whose sum is the vehicles' power below a group [kW]."""
        ...

    def variables(self, name: str, lower: Numbers, upper: Numbers) -> list[Variable]:
        """New variables with finite bounds."""
        ...

    def at_least(self, name: str, variables: Sequence[Variable], coefficients: Numbers, bound: float) -> None:
        """New constraint Σ coefficient·variable >= bound."""
        ...

    def above_convex(
        self,
        name: str,
        epigraph: Variable,
        variables: Sequence[Variable],
        coefficients: Numbers,
        value: Callable[[float], float],
        slope: Callable[[float], float],
    ) -> None:
        """New constraint epigraph >= value(Σ coefficient·variable), convex, kept by tangents added lazily."""
        ...


@runtime_checkable
class Term(Protocol):
    """One named cost. `name` is the key in `info` and in the results."""

    name: str

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """Write the cost of the step at each port to `out`, float64, shape (n_batch, n_ports) [currency].

        Shared costs are split among the ports so that they sum to the cost exactly.
        """
        ...

    def expression(self, day: DayModel) -> Expression | None:
        """The cost of the whole day as a Pyomo expression, convex in the powers; None: the term has none."""
        ...


TERMS: Registry[Term] = Registry("objective term", "ev_marl.objective_terms", Term)


def expression_of(term: Term, day: DayModel) -> Expression:
    """The term's expression.

    Raises
    ------
    ObjectiveError
        If the term has none, so that no bound can be given.
    """
    expression = term.expression(day)
    if expression is None:
        raise ObjectiveError(
            f"objective term '{term.name}' has no Pyomo expression, so there is no cooperative bound with it: "
            "leave it out, or give it an `expression`"
        )
    return expression
