"""Cuts: rows that hold for every policy and are added when a solution violates them.

A point comes in; the rows that it violates, and by how much, go out. Three families: tangents of the battery's flow F
(concave, so no tangent cuts off a reachable state), tangents of convex costs (Kelley's method), and x/X + y/Y <= 1, the
convex hull of "either x or y", used for charging and discharging.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ev_marl.planning.programme.programme import Pairs
from ev_marl.planning.programme.rows import NO_ROWS, Rows
from ev_marl.site.charge_curve import curves_of, energy_after, knees_kwh, slope_of_energy_after

FIRST_TANGENTS = 5  # of each convex function; more are added where a solution needs them
TAPER_TANGENTS = 9  # added at once where a solution lies above F, so that few rounds are needed
_CORNER_KWH = 1e-7  # of the capacity: a taper within it is a corner; F lies at most this much below it
_LEAST_SLOPE = 1e-3  # of F, where the distance of tangents is looked for
HULL_TOLERANCE = 1e-7  # of x/X + y/Y <= 1 [-]
BOTH_KW2 = 1e-6  # product of two powers of which one should be 0


_Battery = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]
"""Full power at the battery [kW], capacity [kWh], time constant of the taper [h], hulls of measured curves."""


class TaperCuts:
    """Tangents of F: energy at the end <= F(at) + F'(at)·(energy at the start − at).

    Only for pairs whose battery can be in the taper. The first step of a session needs none: its energy at the start is
    known, and F of it is the upper bound of the variable.

    Parameters
    ----------
    pairs : Pairs
        The pairs.
    step_h : float
        Length of a step [h].
    energy_column : int64, shape (N,)
        Columns of the energy at the end of each pair's step.
    corners : bool
        Whether there are tangents also where the taper is no more than a corner of F at the capacity, which the
        capacity as a bound of the variable says as well.
    """

    def __init__(self, pairs: Pairs, step_h: float, energy_column: np.ndarray, *, corners: bool = True) -> None:
        stays = pairs.stays
        rate_kw = stays["rate_kw"]
        hull = curves_of(stays, hull=True)
        straight_kwh = stays["capacity_kwh"] - rate_kw * (stays["tau_h"] + step_h)
        if hull is not None:
            along = knees_kwh(rate_kw, stays["capacity_kwh"], stays["tau_h"], hull) - rate_kw * step_h
            straight_kwh = np.where(stays["n_curve"] > 0, along, straight_kwh)
        bends = (pairs.start_most_kwh > straight_kwh[pairs.session]) & (rate_kw[pairs.session] > 0.0)
        if not corners:
            bends &= ((rate_kw * stays["tau_h"] > _CORNER_KWH) | (stays["n_curve"] > 0))[pairs.session]
        self.pair = np.flatnonzero(bends & (pairs.previous >= 0))
        session, before = pairs.session[self.pair], pairs.previous[self.pair]
        self._end, self._start = energy_column[self.pair], energy_column[before]
        self._least_kwh, self._most_kwh = pairs.least_kwh[before], pairs.end_most_kwh[before]
        self._hours = step_h
        self._battery: _Battery = (
            rate_kw[session],
            stays["capacity_kwh"][session],
            stays["tau_h"][session],
            None if hull is None else hull[session],
        )

    def at(self, which: np.ndarray, energy_kwh: np.ndarray) -> Rows:
        """Tangents of the pairs at positions `which`, touching F at the given energies; both shape (K,)."""
        battery = self._battery_of(which)
        reached_kwh = energy_after(energy_kwh, self._hours, *battery)
        slope = slope_of_energy_after(energy_kwh, self._hours, *battery)
        return Rows.of_columns(
            np.column_stack([self._end[which], self._start[which]]),
            np.column_stack([np.ones(len(which)), -slope]),
            np.full(len(which), -np.inf),
            reached_kwh - slope * energy_kwh,
        )

    def first(self) -> Rows:
        """A tangent for every pair, at the highest possible energy at the start of the step."""
        return self.at(np.arange(len(self.pair)), self._most_kwh)

    def excess_kwh(self, x: np.ndarray) -> np.ndarray:
        """How far a point lies above F, float64, shape (len(self.pair),) [kWh]."""
        start_kwh = np.clip(x[self._start], self._least_kwh, self._most_kwh)
        excess: np.ndarray = x[self._end] - energy_after(start_kwh, self._hours, *self._battery)
        return excess

    def _battery_of(self, which: np.ndarray) -> _Battery:
        rate_kw, capacity_kwh, tau_h, hull = self._battery
        return rate_kw[which], capacity_kwh[which], tau_h[which], None if hull is None else hull[which]

    def broken(self, x: np.ndarray, tolerance_kwh: float) -> Rows:
        """Tangents at the point and around it, where it lies above F by more than the tolerance."""
        which, at_kwh = self.wanted(x, tolerance_kwh)
        return self.at(which, at_kwh) if len(which) else NO_ROWS

    def wanted(self, x: np.ndarray, tolerance_kwh: float) -> tuple[np.ndarray, np.ndarray]:
        """What to give to `at` so that a point does not lie above F by more than the tolerance.

        The point is where the two nearest tangents cross, about half-way between their energies: F bends with
        F'' = −F'/(rate·τ), so the crossing of tangents that are 2h apart lies h²·|F''|/2 above F. The new ones divide
        this range evenly, into no more parts than the tolerance needs: tangents close together are hard to solve with.
        """
        excess_kwh = self.excess_kwh(x)
        which = np.flatnonzero(excess_kwh > tolerance_kwh)
        if not len(which):
            return which, np.zeros(0)
        least_kwh, most_kwh = self._least_kwh[which, None], self._most_kwh[which, None]
        rate_kw, capacity_kwh, tau_h, hull = battery = self._battery_of(which)
        at_kwh = np.clip(x[self._start[which]], least_kwh[:, 0], most_kwh[:, 0])
        slope = slope_of_energy_after(at_kwh, self._hours, *battery)
        bends_kwh = knees_kwh(*battery)  # from here on, and a step at full power before it, F is straight
        straight_kwh = bends_kwh
        if hull is not None:  # along a measured curve F may bend up to the capacity, and how sharply is not known
            curved = hull[:, 1, 0] > 0.0
            straight_kwh = np.where(curved, capacity_kwh, bends_kwh)
            tau_h, slope = np.where(curved, self._hours / 2.0, tau_h), np.maximum(slope, _LEAST_SLOPE)
        half_kwh = np.sqrt(2.0 * excess_kwh[which] * rate_kw * tau_h / slope)
        bend = (
            np.minimum(at_kwh, bends_kwh - rate_kw * self._hours)[:, None],
            np.maximum(at_kwh, straight_kwh)[:, None],
        )
        most = TAPER_TANGENTS // 2  # on each side
        sides = np.ceil(0.5 * np.sqrt(excess_kwh[which] / tolerance_kwh)).clip(1, most)[:, None]
        places = np.arange(-most, most + 1).clip(-sides, sides) / (sides + 1)
        energies_kwh = (at_kwh[:, None] + half_kwh[:, None] * places).clip(*bend).clip(least_kwh, most_kwh)
        new = np.diff(energies_kwh, axis=1, prepend=-np.inf) > 0.0
        return np.repeat(which, new.sum(axis=1)), energies_kwh[new]


@dataclass(frozen=True)
class ExclusiveCuts:
    """x/X + y/Y <= 1 for n pairs of variables >= 0 of which only one may be above 0."""

    first_column: np.ndarray  # int64 (n,)  x
    second_column: np.ndarray  # int64 (n,)  y
    first_most: np.ndarray  # float64 (n,)  X, above 0
    second_most: np.ndarray  # float64 (n,)  Y, above 0
    weight: np.ndarray  # float64 (n,)  if a point has both, x is the larger one where weight·x >= y

    def __len__(self) -> int:
        return len(self.first_column)

    def both(self, x: np.ndarray, tolerance: float) -> np.ndarray:
        """Pairs of which both are above 0 at a point: their product exceeds the tolerance, bool, shape (n,)."""
        product: np.ndarray = x[self.first_column] * x[self.second_column]
        return product > tolerance

    def mostly_first(self, x: np.ndarray) -> np.ndarray:
        """Whether the first one is the larger at a point, weighted, bool, shape (n,)."""
        mostly: np.ndarray = self.weight * x[self.first_column] >= x[self.second_column]
        return mostly

    def broken(self, x: np.ndarray, tolerance: float) -> Rows:
        """Rows that the point violates by more than the tolerance [-]."""
        used = x[self.first_column] / self.first_most + x[self.second_column] / self.second_most
        which = np.flatnonzero(used > 1.0 + tolerance)
        if not len(which):
            return NO_ROWS
        return Rows.of_columns(
            np.column_stack([self.first_column[which], self.second_column[which]]),
            np.column_stack([1.0 / self.first_most[which], 1.0 / self.second_most[which]]),
            np.full(len(which), -np.inf),
            np.ones(len(which)),
        )


@dataclass(frozen=True)
class ConvexFunctions:
    """Constraints epigraph >= value(argument) for K convex functions of one number each, kept by tangents."""

    epigraph: np.ndarray  # int64 (K,)  columns
    argument: np.ndarray  # int64 (K,)  columns
    value: Callable[[np.ndarray], np.ndarray]  # all K functions, each at its number
    slope: Callable[[np.ndarray], np.ndarray]

    def tangents(self, at: np.ndarray, which: np.ndarray) -> Rows:
        """Tangents of some functions, touching them at the given numbers; `at` has shape (K,)."""
        slope = self.slope(at)
        height = self.value(at) - slope * at
        return Rows.of_columns(
            np.column_stack([self.epigraph[which], self.argument[which]]),
            np.column_stack([np.ones(len(which)), -slope[which]]),
            height[which],
            np.full(len(which), np.inf),
        )

    def first(self, least: np.ndarray, most: np.ndarray) -> Rows:
        """Tangents of all functions, spread evenly over the ranges of their numbers, float64, shape (K,) each."""
        every = np.arange(len(self.epigraph))
        shares = np.linspace(0.0, 1.0, FIRST_TANGENTS)
        return Rows.stack([self.tangents(least + share * (most - least), every) for share in shares.tolist()])


class ConvexCuts:
    """Tangents of the convex functions added by terms.

    Parameters
    ----------
    functions : sequence of ConvexFunctions
        The functions added by terms.
    cost : float64, shape (n_columns,)
        Cost of the program's columns.
    """

    def __init__(self, functions: Sequence[ConvexFunctions], cost: np.ndarray) -> None:
        self._functions = functions
        self._cost = cost

    def __len__(self) -> int:
        return sum(len(functions.epigraph) for functions in self._functions)

    def cost_of_excess(self, x: np.ndarray) -> np.ndarray:
        """Additional cost of the point if each epigraph variable were as high as its function.

        Parameters
        ----------
        x : float64, shape (n_columns,)
            The point.

        Returns
        -------
        float64, shape (n_functions,)
            >= 0 [currency].
        """
        parts = [self._excess(functions, x) for functions in self._functions]
        return np.concatenate([np.empty(0), *parts])

    def _excess(self, functions: ConvexFunctions, x: np.ndarray) -> np.ndarray:
        missing = functions.value(x[functions.argument]) - x[functions.epigraph]
        excess: np.ndarray = np.maximum(0.0, missing) * self._cost[functions.epigraph]
        return excess

    def broken(self, x: np.ndarray, tolerance: float) -> Rows:
        """Tangents at the point, where they would raise its cost by more than the tolerance [currency]."""
        return Rows.stack(
            [
                functions.tangents(x[functions.argument], np.flatnonzero(self._excess(functions, x) > tolerance))
                for functions in self._functions
            ]
        )
