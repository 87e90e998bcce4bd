"""When a power flow breaks a limit, and what a limit is where the network breaks it without any charging.

Two tolerances, in one place: whoever enforces limits keeps them to within these, and whoever proves a bound widens
limits by them. They are far above the backends' own accuracy and far below what anybody meters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.grid.base import PowerFlow
from ev_marl.scenario.grid import NetworkLimits

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
        cls, limits: NetworkLimits, vm_pu: np.ndarray, line_percent: np.ndarray, transformer_percent: np.ndarray
    ) -> Bounds:
        """Limits of rows whose state without charging is given; NaN in it widens nothing."""
        lowest, highest = limits.voltage
        return cls(
            np.fmin(lowest, vm_pu),
            np.fmax(highest, vm_pu),
            np.fmax(limits.line, line_percent),
            np.fmax(limits.transformer, transformer_percent),
        )

    def rows(self, which: np.ndarray) -> Bounds:
        """Some of the rows."""
        return Bounds(
            self.lowest_pu[which], self.highest_pu[which], self.line_percent[which], self.transformer_percent[which]
        )

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

    def kept(self, flow: PowerFlow) -> np.ndarray:
        """Whether every limit holds to within its tolerance, bool (B,); False where there is no solution."""
        beyond = (
            (flow.vm_pu < self.lowest_pu - VOLTAGE_TOLERANCE_PU).any(axis=1)
            | (flow.vm_pu > self.highest_pu + VOLTAGE_TOLERANCE_PU).any(axis=1)
            | (flow.line_percent > self.line_percent + LOADING_TOLERANCE_PERCENT).any(axis=1)
            | (flow.transformer_percent > self.transformer_percent + LOADING_TOLERANCE_PERCENT).any(axis=1)
        )
        return np.asarray(flow.converged & ~beyond)
