"""What solves a power flow: many states of one network in, voltages and loadings out.

Positive power of loads and chargers is drawn from the network, positive power of generators is fed into it, as in
pandapower. A backend keeps no state between two calls: the same state gives the same result, in any batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np

from ev_marl.grid.model.spec import NetworkSpec
from ev_marl.support.registry import Registry

LOWEST_PU = 0.7
"""Below this voltage at any bus a power flow counts as not converged, in every backend: loads of constant power are no
physics there."""
MISMATCH_PU = 1e-11
"""Power mismatch at which the backends of this package stop: at pandapower's usual base of 1 MVA a thousandth of its
own, so that what is left of it in priced losses is far below the accuracy of a bound. Newton's method raises it where
rounding alone leaves more."""


@dataclass(slots=True)
class Injections:
    """What is drawn and fed in, B batch rows; all float64 [kW] and [kvar]."""

    load_kw: np.ndarray  # (B, L)
    load_kvar: np.ndarray  # (B, L)
    generator_kw: np.ndarray  # (B, S)  fed in
    generator_kvar: np.ndarray  # (B, S)  fed in
    charger_kw: np.ndarray  # (B, E)  > 0 charges
    charger_kvar: np.ndarray  # (B, E)

    @property
    def n_batch(self) -> int:
        """B."""
        return len(self.charger_kw)

    def rows(self, which: np.ndarray) -> Injections:
        """Some of the rows, copied; `which` is an index or mask."""
        return Injections(*(getattr(self, field.name)[which] for field in fields(self)))

    @classmethod
    def zeros(cls, spec: NetworkSpec, n_batch: int) -> Injections:
        """Nothing drawn, nothing fed in."""
        sizes = (spec.n_loads, spec.n_loads, spec.n_generators, spec.n_generators)
        chargers = (spec.n_charger_buses, spec.n_charger_buses)
        return cls(*(np.zeros((n_batch, size)) for size in (*sizes, *chargers)))


@dataclass(slots=True)
class PowerFlow:
    """What the network does, B batch rows; all float64 but the last two.

    A row that did not converge holds NaN throughout. A bus without a connection to a slack is NaN in every row, the
    loading of a branch there is 0.
    """

    vm_pu: np.ndarray  # (B, N)
    line_percent: np.ndarray  # (B, M)  loading: higher of both ends' currents over the rated one
    transformer_percent: np.ndarray  # (B, K)  the same, as pandapower's `trafo_loading="current"`
    slack_kw: np.ndarray  # (B,)  drawn from above, all external grids together
    slack_kvar: np.ndarray  # (B,)
    losses_kw: np.ndarray  # (B,)  lost in all branches and shunts: slack + fed in − drawn
    converged: np.ndarray  # bool (B,)
    iterations: np.ndarray  # int64 (B,)  0 where a backend does not know


def refuse_collapse(flow: PowerFlow) -> PowerFlow:
    """Flag rows with a voltage below `LOWEST_PU`, and make rows that did not converge NaN throughout, in place."""
    flow.converged &= ~(flow.vm_pu < LOWEST_PU).any(axis=1)
    if not flow.converged.all():
        for name in ("vm_pu", "line_percent", "transformer_percent", "slack_kw", "slack_kvar", "losses_kw"):
            getattr(flow, name)[~flow.converged] = np.nan
    return flow


def take_rows(flow: PowerFlow, rows: np.ndarray) -> PowerFlow:
    """Some rows of a power flow, copied."""
    return PowerFlow(*(getattr(flow, field.name)[rows] for field in fields(PowerFlow)))


def put_rows(part: PowerFlow, rows: np.ndarray, flow: PowerFlow) -> None:
    """Write the rows of `part` to some rows of `flow`."""
    for field in fields(PowerFlow):
        getattr(flow, field.name)[rows] = getattr(part, field.name)


@runtime_checkable
class GridBackend(Protocol):
    """Solves power flows of one network.

    One that promises less than |ΔV| ≤ 1e-6 p.u. and 1e-3 percentage points of loading says so in an attribute
    `tolerances`: `{"voltage_pu": 1e-5, "loading_percent": 0.01, "power_share": 1e-4}`, any of them.
    """

    name: str
    spec: NetworkSpec

    def solve(self, injections: Injections) -> PowerFlow:
        """Solve every row; new arrays, nothing kept.

        A row with a state that has no solution, or with a number that is not finite, is flagged and leaves the others
        alone; nothing is raised for it.
        """
        ...

    def with_taps(self, taps: Mapping[int, int]) -> GridBackend:
        """A backend of the same network with other tap positions, by position in `spec.transformers`.

        Slow (tens of milliseconds): never within a step. The spec's names and shapes stay.
        """
        ...


BACKENDS: Registry[GridBackend] = Registry("grid backend", "ev_marl.grid_backends", GridBackend)
"""Constructed with a `Network`: `BACKENDS.make(name, network)`."""
