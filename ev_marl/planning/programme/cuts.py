"""Rows that hold for every policy and are added when a solution breaks them.

A point comes in, the rows that it breaks and by how much go out. Three families: tangents of the battery's flow F
(concave, so no tangent cuts off a reachable state), tangents of convex costs (Kelley's method), and
c/P⁺ + d/P⁻ <= 1, the hull of "either charge or discharge".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ev_marl.planning.programme.linear import LinearProgram, Rows
from ev_marl.site.charge_curve import energy_after

if TYPE_CHECKING:
    from ev_marl.optimum.model import PyomoDay


def flow_slope(
    energy_kwh: np.ndarray, hours: float, rate_kw: np.ndarray, capacity_kwh: np.ndarray, tau_h: np.ndarray
) -> np.ndarray:
    """F'(e): how much more energy is in the battery after charging at full power, per energy more before.

    Parameters
    ----------
    energy_kwh, rate_kw, capacity_kwh, tau_h : float64, shape (n,)
        As for `energy_after`; `rate_kw` is above 0.
    hours : float
        Length of the charge [h].

    Returns
    -------
    float64, shape (n,)
        1 below the taper, exp(−(hours in the taper)/τ) from there on [-].
    """
    to_knee_h = np.maximum(0.0, (capacity_kwh - energy_kwh) / rate_kw - tau_h)
    slope: np.ndarray = np.exp(-np.maximum(0.0, hours - to_knee_h) / tau_h)
    return slope


class TaperCuts:
    """Tangents of F: energy at the end <= F(at) + F'(at)·(energy at the start − at).

    Only for pairs whose battery can be full enough for F to bend; the first step of a session needs none, as its
    energy at the start is known and F of it is the variable's upper bound.
    """

    def __init__(self, day: PyomoDay, program: LinearProgram) -> None:
        pairs, limits = day.pairs, day.pairs.limits
        rate_kw = limits["charge_efficiency"] * limits["charge_kw"]
        straight_kwh = limits["capacity_kwh"] - rate_kw * (limits["tau_h"] + day.step_h)
        bends = (pairs.start_most_kwh > straight_kwh[pairs.session]) & (rate_kw[pairs.session] > 0.0)
        self.pair = np.flatnonzero(bends & (pairs.previous >= 0))
        session, before = pairs.session[self.pair], pairs.previous[self.pair]
        energy = program.columns(day.energy)
        self._end, self._start = energy[self.pair], energy[before]
        self._least_kwh, self._most_kwh = pairs.least_kwh[before], pairs.end_most_kwh[before]
        self._hours = day.step_h
        self._battery = (rate_kw[session], limits["capacity_kwh"][session], limits["tau_h"][session])

    def at(self, which: np.ndarray, energy_kwh: np.ndarray) -> Rows:
        """Tangents of the pairs at positions `which`, touching F at the given energies; both shape (K,)."""
        rate_kw, capacity_kwh, tau_h = (values[which] for values in self._battery)
        reached_kwh = energy_after(energy_kwh, self._hours, rate_kw, capacity_kwh, tau_h)
        slope = flow_slope(energy_kwh, self._hours, rate_kw, capacity_kwh, tau_h)
        return Rows(
            starts=2 * np.arange(len(which) + 1),
            columns=np.column_stack([self._end[which], self._start[which]]).ravel(),
            values=np.column_stack([np.ones(len(which)), -slope]).ravel(),
            lower=np.full(len(which), -np.inf),
            upper=reached_kwh - slope * energy_kwh,
        )

    def first(self) -> Rows:
        """A tangent for every pair, at the most energy that the battery can hold at the start."""
        return self.at(np.arange(len(self.pair)), self._most_kwh)

    def excess_kwh(self, x: np.ndarray) -> np.ndarray:
        """How far a point lies above F, float64, shape (len(self.pair),) [kWh]."""
        start_kwh = np.clip(x[self._start], self._least_kwh, self._most_kwh)
        excess: np.ndarray = x[self._end] - energy_after(start_kwh, self._hours, *self._battery)
        return excess

    def broken(self, x: np.ndarray, tolerance_kwh: float) -> Rows:
        """Tangents at the point, where it lies above F by more than the tolerance."""
        which = np.flatnonzero(self.excess_kwh(x) > tolerance_kwh)
        return self.at(which, np.clip(x[self._start[which]], self._least_kwh[which], self._most_kwh[which]))


class HullCuts:
    """c/P⁺ + d/P⁻ <= 1 for pairs that can discharge."""

    def __init__(self, day: PyomoDay, program: LinearProgram) -> None:
        pairs, limits = day.pairs, day.pairs.limits
        session = pairs.session[pairs.discharge]
        self.position = day.two_way
        self.charge_column = program.columns([day.charge[n] for n in pairs.discharge[self.position].tolist()])
        self.discharge_column = program.columns([day.discharge[i] for i in self.position.tolist()])
        self.charge_kw = limits["charge_kw"][session[self.position]]
        self.discharge_kw = limits["discharge_kw"][session[self.position]]

    def simultaneous(self, x: np.ndarray, tolerance_kw2: float) -> np.ndarray:
        """Which of these pairs charge and discharge at once: c·d above the tolerance, bool, shape (len(position),)."""
        both: np.ndarray = x[self.charge_column] * x[self.discharge_column] > tolerance_kw2
        return both

    def broken(self, x: np.ndarray, tolerance: float) -> Rows:
        """Rows that the point breaks by more than the tolerance [-]."""
        used = x[self.charge_column] / self.charge_kw + x[self.discharge_column] / self.discharge_kw
        which = np.flatnonzero(used > 1.0 + tolerance)
        values = np.column_stack([1.0 / self.charge_kw[which], 1.0 / self.discharge_kw[which]])
        return Rows(
            starts=2 * np.arange(len(which) + 1),
            columns=np.column_stack([self.charge_column[which], self.discharge_column[which]]).ravel(),
            values=values.ravel(),
            lower=np.full(len(which), -np.inf),
            upper=np.ones(len(which)),
        )


class ConvexCuts:
    """Tangents of the convex functions that terms asked for."""

    def __init__(self, day: PyomoDay, program: LinearProgram) -> None:
        self._rows = day.convex_rows
        self._epigraph = program.columns([row.epigraph for row in self._rows])
        self._argument = program.columns([row.argument for row in self._rows])
        self._price = program.cost[self._epigraph]

    def cost_of_excess(self, x: np.ndarray) -> np.ndarray:
        """What the point would cost more if each epigraph variable were as high as its function.

        Parameters
        ----------
        x : float64, shape (n_columns,)
            The point.

        Returns
        -------
        float64, shape (n_functions,)
            >= 0 [currency].
        """
        height = np.array([row.value(float(at)) for row, at in zip(self._rows, x[self._argument], strict=True)])
        excess: np.ndarray = np.maximum(0.0, height - x[self._epigraph]) * self._price
        return excess

    def broken(self, x: np.ndarray, tolerance: float) -> Rows:
        """Tangents at the point, where they would raise its cost by more than the tolerance [currency]."""
        which = np.flatnonzero(self.cost_of_excess(x) > tolerance)
        at = x[self._argument[which]]
        tangents = [self._rows[i].tangent(float(point)) for i, point in zip(which, at, strict=True)]
        return Rows(
            starts=2 * np.arange(len(which) + 1),
            columns=np.column_stack([self._epigraph[which], self._argument[which]]).ravel(),
            values=np.array([(1.0, -slope) for slope, _ in tangents], dtype=np.float64).ravel(),
            lower=np.array([height for _, height in tangents], dtype=np.float64),
            upper=np.full(len(which), np.inf),
        )
