"""Metrics of the network on a day: voltages, loadings, losses, taps, temperatures.

The `GridFlow` of every step comes in; one `OnGrid` a batch row goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ev_marl.compare.records import OnGrid
from ev_marl.grid.loop.flow import GridFlow
from ev_marl.grid.loop.limits import LOADING_TOLERANCE_PERCENT, VOLTAGE_TOLERANCE_PU


class GridRecorder:
    """Sums up the power flows of an episode.

    Parameters
    ----------
    n_batch : int
        Rows.
    n_steps : int
        Length of the episode.
    """

    def __init__(self, n_batch: int, n_steps: int) -> None:
        self._violations, self._tap_moves, self._failed, self._cut = np.zeros((4, n_batch), dtype=np.int64)
        self._losses_kwh, self._curtailed_kwh = np.zeros((2, n_batch))
        self._line_percent, self._hot_spot_c = np.zeros(n_batch), np.full(n_batch, -np.inf)
        self._lowest_pu, self._highest_pu, self._transformer_percent = np.zeros((3, n_batch, n_steps))

    def watch(self, grid: GridFlow, step: int, step_h: float) -> None:
        """Take in one step."""
        self._violations += (grid.vm_pu < grid.lowest_pu - VOLTAGE_TOLERANCE_PU).sum(axis=1)
        self._violations += (grid.vm_pu > grid.highest_pu + VOLTAGE_TOLERANCE_PU).sum(axis=1)
        self._violations += (grid.line_percent > grid.line_limit_percent + LOADING_TOLERANCE_PERCENT).sum(axis=1)
        self._violations += (grid.transformer_percent > grid.transformer_limit_percent + LOADING_TOLERANCE_PERCENT).sum(
            axis=1
        )
        self._tap_moves += grid.tap_moved
        self._failed += grid.failed
        self._cut += grid.cut
        self._losses_kwh += step_h * grid.losses_kw
        self._curtailed_kwh += step_h * grid.curtailed_kw
        self._lowest_pu[:, step] = grid.vm_pu.min(axis=1)
        self._highest_pu[:, step] = grid.vm_pu.max(axis=1)
        self._transformer_percent[:, step] = grid.transformer_percent.max(axis=1, initial=0.0)
        np.maximum(self._line_percent, grid.line_percent.max(axis=1, initial=0.0), out=self._line_percent)
        np.maximum(self._hot_spot_c, grid.hot_spot_c.max(axis=1, initial=-np.inf), out=self._hot_spot_c)

    def measured(self, row: int) -> OnGrid:
        """Numbers of a batch row, after the last step."""
        hot_spot_c = float(self._hot_spot_c[row])
        return OnGrid(
            violations=int(self._violations[row]),
            lowest_pu=tuple(self._lowest_pu[row].tolist()),
            highest_pu=tuple(self._highest_pu[row].tolist()),
            transformer_percent=tuple(self._transformer_percent[row].tolist()),
            line_percent=float(self._line_percent[row]),
            losses_kwh=float(self._losses_kwh[row]),
            curtailed_kwh=float(self._curtailed_kwh[row]),
            tap_moves=int(self._tap_moves[row]),
            failed_steps=int(self._failed[row]),
            cut_steps=int(self._cut[row]),
            hot_spot_c=hot_spot_c if np.isfinite(hot_spot_c) else None,
        )


@dataclass(frozen=True)
class GridSummary:
    """Metrics of the network over all days of a run, and over training seeds."""

    violations_per_h: float  # (element, step) pairs beyond a limit of the network, per hour
    worst_pu: float  # of all buses and steps, the voltage that is farthest beyond the band or nearest to its edge
    lowest_pu: float
    highest_pu: float
    transformer_percent: float  # highest loading of a transformer
    line_percent: float  # highest loading of a line
    hot_spot_c: float  # hottest winding of a transformer, NaN without one
    losses_kwh_per_day: float
    curtailed_kwh_per_day: float  # curtailed by the grid coordinator
    tap_moves_per_day: float
    failed_steps: int  # without a solution of the power flow, even without charging
    cut_steps: int  # in which charging was cut, since what was granted had no solution

    @classmethod
    def of(cls, days: Sequence[OnGrid], band_pu: Sequence[float], step_h: float) -> GridSummary:
        """Sum up days.

        Parameters
        ----------
        days : sequence of OnGrid
            At least one.
        band_pu : sequence of float
            Lowest and highest voltage [p.u.].
        step_h : float
            Length of a step [h].
        """
        hours = step_h * sum(len(day.lowest_pu) for day in days)
        lowest, highest = min(min(day.lowest_pu) for day in days), max(max(day.highest_pu) for day in days)
        hot_spots = [day.hot_spot_c for day in days if day.hot_spot_c is not None]
        return cls(
            violations_per_h=sum(day.violations for day in days) / hours,
            worst_pu=lowest if lowest - band_pu[0] <= band_pu[1] - highest else highest,
            lowest_pu=lowest,
            highest_pu=highest,
            transformer_percent=max(max(day.transformer_percent) for day in days),
            line_percent=max(day.line_percent for day in days),
            hot_spot_c=max(hot_spots, default=float("nan")),
            losses_kwh_per_day=float(np.mean([day.losses_kwh for day in days])),
            curtailed_kwh_per_day=float(np.mean([day.curtailed_kwh for day in days])),
            tap_moves_per_day=float(np.mean([day.tap_moves for day in days])),
            failed_steps=sum(day.failed_steps for day in days),
            cut_steps=sum(day.cut_steps for day in days),
        )
