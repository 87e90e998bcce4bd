"""When a power flow breaks a limit, and what a limit is where the network breaks it without any charging.

Two tolerances, in one place: what enforces limits keeps them to within these, and what proves a bound widens
limits by them. They are far above the backends' own error and far below the accuracy of meters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ev_marl.grid.loop.days import of_step
from ev_marl.grid.model.spec import NetworkSpec
from ev_marl.grid.solvers.base import PowerFlow
from ev_marl.scenario.schema.grid import GridLimits
from ev_marl.support.compiled import kernel

VOLTAGE_TOLERANCE_PU = 1e-6
LOADING_TOLERANCE_PERCENT = 1e-3


@dataclass(slots=True)
class Bounds:
    """Limits of some rows, widened to what the network does without charging; B rows."""

    lowest_pu: np.ndarray  # (B, N)  −inf at dead buses
    highest_pu: np.ndarray  # (B, N)
    line_percent: np.ndarray  # (B, M)
    transformer_percent: np.ndarray  # (B, K)

    @classmethod
    def widened(
        cls, limits: GridLimits, vm_pu: np.ndarray, line_percent: np.ndarray, transformer_percent: np.ndarray
    ) -> Bounds:
        """Limits of rows whose state without charging is given; NaN in it widens nothing."""
        lowest, highest = limits.voltage
        return cls(
            np.fmin(lowest, vm_pu),
            np.fmax(highest, vm_pu),
            np.fmax(limits.line, line_percent),
            np.fmax(limits.transformer, transformer_percent),
        )

    def rows(self, which: Any) -> Bounds:
        """Some of the rows; `which` is any index of the arrays."""
        return Bounds(
            self.lowest_pu[which], self.highest_pu[which], self.line_percent[which], self.transformer_percent[which]
        )

    def of_step(self, rows: np.ndarray | slice, step: int) -> Bounds:
        """Those of a step, where these are of days, (K, T, ...)."""
        by_day = (self.lowest_pu, self.highest_pu, self.line_percent, self.transformer_percent)
        return Bounds(*(of_step(values, rows, step) for values in by_day))

    def stacked_excess(self, flow: PowerFlow) -> np.ndarray:
        """How far each quantity is beyond its limit in units of its tolerance, shape (B, 2N + M + K).

        <= 1 within the tolerance, NaN at dead buses and in rows without a solution.
        """
        return np.concatenate(
            [
                (self.lowest_pu - flow.vm_pu) / VOLTAGE_TOLERANCE_PU,
                (flow.vm_pu - self.highest_pu) / VOLTAGE_TOLERANCE_PU,
                (flow.line_percent - self.line_percent) / LOADING_TOLERANCE_PERCENT,
                (flow.transformer_percent - self.transformer_percent) / LOADING_TOLERANCE_PERCENT,
            ],
            axis=1,
        )

    def suffered(
        self, flow: PowerFlow, spec: NetworkSpec, idle_losses_kw: np.ndarray, broken_in: PowerFlow | None = None
    ) -> dict[str, np.ndarray]:
        """What the network suffers in exact power flows, by the names of `GridModel`'s methods; float64, shape (B,).

        Parameters
        ----------
        flow : PowerFlow
            B rows; those without a solution count as nothing.
        spec : NetworkSpec
            The network.
        idle_losses_kw : float64, shape (B,)
            Losses without charging [kW].
        broken_in : PowerFlow, optional
            The limits that count are those broken in this one, and what is not beyond them counts as negative, so that
            differences have no kink. Left out, it is `flow`.
        """
        at = flow if broken_in is None else broken_in

        def beyond(value: np.ndarray, limit: np.ndarray, value_at: np.ndarray) -> np.ndarray:
            return np.nan_to_num(np.where(value_at > limit, value - limit, 0.0))

        band = beyond(flow.vm_pu, self.highest_pu, at.vm_pu) + beyond(-flow.vm_pu, -self.lowest_pu, -at.vm_pu)
        lines = beyond(flow.line_percent, self.line_percent, at.line_percent)
        transformers = beyond(flow.transformer_percent, self.transformer_percent, at.transformer_percent)
        return {
            "beyond_band_pu": band.sum(axis=1),
            "line_overload_kva": lines @ spec.line_kva / 100.0,
            "transformer_overload_kva": transformers @ spec.transformer_kva / 100.0,
            "added_losses_kw": np.nan_to_num(flow.losses_kw - idle_losses_kw),
        }

    def forgiving(self, rows: np.ndarray, flow: PowerFlow) -> Bounds:
        """These limits, in some rows widened to what a power flow is there; `rows` is a mask."""
        hidden = np.where(rows, 0.0, np.nan)[:, None]
        return Bounds(
            np.fmin(self.lowest_pu, flow.vm_pu + hidden),
            np.fmax(self.highest_pu, flow.vm_pu + hidden),
            np.fmax(self.line_percent, flow.line_percent + hidden),
            np.fmax(self.transformer_percent, flow.transformer_percent + hidden),
        )

    @classmethod
    def plain(cls, limits: GridLimits, n_rows: int, spec: NetworkSpec) -> Bounds:
        """The limits as they are, for every row; not to be written to."""
        lowest, highest = limits.voltage
        return cls(
            np.broadcast_to(lowest, (n_rows, spec.n_buses)),
            np.broadcast_to(highest, (n_rows, spec.n_buses)),
            np.broadcast_to(limits.line, (n_rows, spec.n_lines)),
            np.broadcast_to(limits.transformer, (n_rows, spec.n_transformers)),
        )

    def kept(self, flow: PowerFlow) -> np.ndarray:
        """Whether every limit holds to within its tolerance, bool (B,); False where there is no solution."""
        kept = flow.converged.copy()
        _clear_broken(
            flow.vm_pu,
            flow.line_percent,
            flow.transformer_percent,
            self.lowest_pu,
            self.highest_pu,
            self.line_percent,
            self.transformer_percent,
            VOLTAGE_TOLERANCE_PU,
            LOADING_TOLERANCE_PERCENT,
            kept,
        )
        return kept


@kernel
def _clear_broken(
    vm_pu: np.ndarray,
    line_percent: np.ndarray,
    transformer_percent: np.ndarray,
    lowest_pu: np.ndarray,
    highest_pu: np.ndarray,
    most_line_percent: np.ndarray,
    most_transformer_percent: np.ndarray,
    tolerance_pu: float,
    tolerance_percent: float,
    kept: np.ndarray,
) -> None:
    """Clear the flags of rows that are beyond a limit by more than its tolerance; NaN is beyond nothing."""
    for b in range(len(kept)):
        for n in range(vm_pu.shape[1]):
            voltage = vm_pu[b, n]
            if voltage < lowest_pu[b, n] - tolerance_pu or voltage > highest_pu[b, n] + tolerance_pu:
                kept[b] = False
        for m in range(line_percent.shape[1]):
            if line_percent[b, m] > most_line_percent[b, m] + tolerance_percent:
                kept[b] = False
        for k in range(transformer_percent.shape[1]):
            if transformer_percent[b, k] > most_transformer_percent[b, k] + tolerance_percent:
                kept[b] = False
