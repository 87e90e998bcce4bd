"""Quantities of the network for objective terms in the optimum's model: one variable per step and quantity.

The variables are at their lower bounds until rows raise them (see `prices`), so a term never costs too much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ev_marl.objective.base import Variable
from ev_marl.optimum.grid.problem import GridProblem

_FAR = 1e6  # upper bounds until the ranges are known
_SAME_KW = 1e-6  # by which a backend's losses of one state may differ from call to call


class GridTerms:
    """The interface of the network for terms; implements `GridModel`.

    Parameters
    ----------
    problem : GridProblem
        The network on the day.
    occupied : bool, shape (n_steps,)
        Steps in which any vehicle is connected.
    new_variables : callable
        `PyomoDay.variables`.
    """

    def __init__(
        self,
        problem: GridProblem,
        occupied: np.ndarray,
        new_variables: Callable[[str, np.ndarray, np.ndarray], list[Variable]],
    ) -> None:
        self._problem, self._occupied = problem, occupied
        self._new_variables = new_variables
        self.made: dict[str, list[Variable]] = {}

    def beyond_band_pu(self) -> Sequence[Variable]:
        """Σ over buses of the voltage outside the band, (T,) [p.u.]."""
        return self._once("beyond_band_pu")

    def line_overload_kva(self) -> Sequence[Variable]:
        """Σ over lines of the overload, (T,) [kVA]."""
        return self._once("line_overload_kva")

    def transformer_overload_kva(self) -> Sequence[Variable]:
        """Σ over transformers of the overload, (T,) [kVA]."""
        return self._once("transformer_overload_kva")

    def added_losses_kw(self) -> Sequence[Variable]:
        """Losses minus those without charging, (T,) [kW]."""
        return self._once("added_losses_kw")

    def _once(self, name: str) -> list[Variable]:
        if name not in self.made:
            n_steps = self._problem.n_steps
            least = np.zeros(n_steps)
            if name == "added_losses_kw":  # no network gains energy
                idle_kw = np.nan_to_num(self._problem.idle_losses_kw)
                least = np.where(self._occupied, -idle_kw, -_SAME_KW)
            self.made[name] = self._new_variables(name, least, np.full(n_steps, _FAR))
        return self.made[name]
