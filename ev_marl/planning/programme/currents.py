"""Current limits in a programme: half-planes of the disc in which the phasor of a current must lie.

A limit |b + Σ a·p| <= r, with complex a and b, says the same as Re(conj(u)·(b + Σ a·p)) <= r for every complex u with
|u| = 1. Each of these rows holds for every policy. A few are there at once, more are added where a solution lies
outside the disc.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ev_marl.planning.programme.programme import Programme
from ev_marl.planning.programme.rows import Rows, ragged

DIRECTIONS = 4  # added at most, on each side of that of a current that exceeds its limit
_LEAST_EXCESS = 1e-8  # relative to the limit: less is not cut off [-]
_NEAR = 0.02  # relative to the limit: as much room is near [-]
_TIGHT = 0.01  # relative to the limit: as much room nearly is none [-]
_LEAST_LIMIT_A = 1e-3  # for relative numbers
_NO_WEIGHT = 1e-9  # relative to the largest weight of the row
_FLAT = 1e-6  # angle that counts as none [rad]
_DIGITS = 9  # of angles that count as the same
_ODD = 0x9E3779B97F4A7C15 - 2**64  # spreads keys over all bits


class HalfPlanes(NamedTuple):
    """n half-planes that touch the discs of some limits from outside."""

    step: np.ndarray  # int64 (n,)
    row: np.ndarray  # int64 (n,)  of the site's current limits
    direction: np.ndarray  # complex128 (n,)  u, from the middle of the disc to where it is touched

    @classmethod
    def stack(cls, parts: Sequence[HalfPlanes]) -> HalfPlanes:
        """Those of several parts, one after the other."""
        nothing = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.complex128)
        return cls(*(np.concatenate(same) for same in zip(nothing, *parts, strict=True)))


class CurrentCuts:
    """Half-planes of the current limits of a programme; K steps, R limits.

    Parameters
    ----------
    day : Programme
        The programme.
    charge_column, discharge_column : int64, shape (N,) and (D,)
        Columns of the powers of its pairs.
    limits_are_hard : bool
        Where they are not, there are no rows.
    stated : bool, shape (K,), optional
        Steps whose limits are rows; by default all.

    Attributes
    ----------
    first : HalfPlanes
        The first ones: a few directions, wherever the vehicles' powers can reach the limit.
    """

    def __init__(
        self,
        day: Programme,
        charge_column: np.ndarray,
        discharge_column: np.ndarray,
        *,
        limits_are_hard: bool = True,
        stated: np.ndarray | None = None,
    ) -> None:
        kept = slice(None) if limits_are_hard else slice(0)
        weight, (real_a, imaginary_a, limit_a) = day.site.current_weight[kept], day.currents[:, :, kept]
        self._weight = weight[:, 0] + 1j * weight[:, 1]
        most = np.abs(self._weight).max(axis=1, initial=0.0)
        self._weight[np.abs(self._weight) <= _NO_WEIGHT * most[:, None]] = 0.0
        self._unit = np.where(most > 0.0, most, 1.0)  # rows are divided by it, so that they are in kW
        self._base, self._limit_a = real_a + 1j * imaginary_a, limit_a
        self._pairs, self._n_steps, self._first_step = day.pairs, day.n_steps, day.first_step
        self._charge_column, self._discharge_column = charge_column, discharge_column
        self._stated = np.ones(day.n_steps, dtype=bool) if stated is None else stated
        self._fresh = np.zeros(limit_a.shape, dtype=bool)  # can reach the limit, but was not near it so far
        self.first = self._first()

    def __len__(self) -> int:
        return len(self._weight)

    def only(self, half_planes: HalfPlanes) -> HalfPlanes:
        """Those of some half-planes that are within these steps, instead of the first ones."""
        known = HalfPlanes(*(part[half_planes.step < self._n_steps] for part in half_planes))
        self._fresh[known.step, known.row] = False
        return known

    def tight(self, half_planes: HalfPlanes, x: np.ndarray) -> HalfPlanes:
        """Those of some half-planes that a point nearly reaches."""
        step, row, direction = half_planes
        reached_a = (np.conj(direction) * self._currents(x)[step, row]).real
        near = reached_a > (1.0 - _TIGHT) * self._limit_a[step, row]
        return HalfPlanes(step[near], row[near], direction[near])

    def at(self, half_planes: HalfPlanes) -> Rows:
        """The rows of some half-planes."""
        step, row, direction = half_planes
        pairs, unit, towards = self._pairs, self._unit[row], np.conj(direction)
        first, end = pairs.group_first[step, 0], pairs.group_end[step, 0]
        which, pair = ragged(first, end - first)
        first, end = pairs.group_first_discharge[step, 0], pairs.group_end_discharge[step, 0]
        which_out, position = ragged(first, end - first)
        port = np.concatenate([pairs.port[pair], pairs.port[pairs.discharge[position]]])
        column = np.concatenate([self._charge_column[pair], self._discharge_column[position]])
        sign = np.repeat([1.0, -1.0], [len(pair), len(position)])
        which = np.concatenate([which, which_out])
        value = sign * (towards[which] * self._weight[row[which], port]).real / unit[which]
        there = np.abs(value) > _NO_WEIGHT
        room_a = self._limit_a[step, row] - (towards * self._base[step, row]).real
        most = np.maximum(0.0, room_a) / unit
        return Rows.of_entries(which[there], column[there], value[there], np.full(len(step), -np.inf), most)

    def wanted(self, x: np.ndarray, tolerance: float) -> HalfPlanes:
        """Half-planes to add so that a point keeps the limits.

        Each is in the direction of a current that exceeds its limit, or beside it. The corner of two half-planes at ±h
        from there lies 1/cos(h) − 1 beyond the limit: the new ones divide this range evenly. Where powers can be moved
        from one step to others at no cost, they go to the steps without such rows: so a current that only comes near to
        its limit gets them too, once.

        Parameters
        ----------
        x : float64, shape (n_columns,)
            The point.
        tolerance : float
            Excess over a limit, relative to it, that is allowed on average: of the worst limit of each step, weighted
            with the powers of the step [-].
        """
        if not len(self):
            return HalfPlanes.stack([])
        current = self._currents(x)
        over = np.where(self._stated[:, None], self._over(current), -1.0)
        most = np.maximum(0.0, over).max(axis=1, initial=0.0)
        by_step_kw = np.bincount(self._pairs.step, np.abs(self._powers(x)), minlength=self._n_steps)
        if most @ by_step_kw <= tolerance * by_step_kw.sum():
            return HalfPlanes.stack([])
        near = self._fresh & (over > -_NEAR)
        step, row = np.nonzero(near | (over > _LEAST_EXCESS))
        excess = np.where(near, np.maximum(over, _NEAR), over)[step, row]
        self._fresh[step, row] = False
        half = np.arccos(1.0 / (1.0 + excess))[:, None]
        sides = np.ceil(0.5 * np.sqrt(excess / max(tolerance, _LEAST_EXCESS))).clip(1, DIRECTIONS)[:, None]
        places = np.arange(-DIRECTIONS, DIRECTIONS + 1).clip(-sides, sides) / (sides + 1)
        which, place = np.nonzero(np.diff(places, axis=1, prepend=-np.inf) > 0.0)
        outwards = current[step, row] / np.abs(current[step, row])
        return HalfPlanes(step[which], row[which], outwards[which] * np.exp(1j * (half * places)[which, place]))

    def prices(self, half_planes: HalfPlanes, multipliers: np.ndarray) -> np.ndarray:
        """What one more ampere of each limit is worth: of all half-planes that touch its disc together.

        Parameters
        ----------
        half_planes : HalfPlanes
            Half-planes in the programme.
        multipliers : float64, shape (n,)
            Of their rows, <= 0.

        Returns
        -------
        float64, shape (K, R)
            >= 0 [currency/A].
        """
        prices: np.ndarray = np.zeros(self._limit_a.shape)
        step, row, _ = half_planes
        np.add.at(prices, (step, row), np.maximum(0.0, -multipliers) / self._unit[row])
        return prices

    def excess_a(self, x: np.ndarray) -> np.ndarray:
        """How far the currents of a point exceed their limits, float64, shape (K, R) [A]."""
        excess: np.ndarray = np.maximum(0.0, np.abs(self._currents(x)) - self._limit_a)
        return excess

    def row_key(self, half_planes: HalfPlanes) -> np.ndarray:
        """Which rows these are, also in a programme of a later step, int64, shape (n,)."""
        step, row, direction = half_planes
        limit = (step + self._first_step) * max(1, len(self)) + row
        return np.asarray((limit * _ODD) ^ np.angle(direction).view(np.int64))

    def _first(self) -> HalfPlanes:
        found = []
        for row in range(len(self)):
            towards = self._first_directions(row)
            flat = np.abs((np.conj(towards[:1]) * towards).imag).max(initial=0.0) < _FLAT
            for direction in towards.tolist():
                step = np.flatnonzero(self._stated & (self._reach_a(row, direction) > self._limit_a[:, row]))
                self._fresh[step, row] = not flat
                found.append(HalfPlanes(step, np.full(len(step), row), np.full(len(step), direction)))
        return HalfPlanes.stack(found)

    def _first_directions(self, row: int) -> np.ndarray:
        """Directions of ports and of the base current, and those half-way between neighbours, complex128.

        Where all have the same direction, or the opposite one, they say all that the limit says.
        """
        weight, base = self._weight[row, self._pairs.port], self._base[:, row]
        parts = [weight[weight != 0.0], -weight[self._pairs.discharge], base, -base]
        every = np.concatenate(parts)
        every = every[np.abs(every) > 0.0]
        if not len(every):
            return np.zeros(0, dtype=np.complex128)
        angle = np.unique(np.round(np.angle(every), _DIGITS) % (2.0 * np.pi))
        gap = np.diff(angle, append=angle[0] + 2.0 * np.pi)
        return np.exp(1j * np.concatenate([angle, (angle + 0.5 * gap)[gap < np.pi - _FLAT]]))

    def _reach_a(self, row: int, direction: complex) -> np.ndarray:
        """Largest possible part of a current in a direction, shape (K,) [A]."""
        pairs, towards = self._pairs, np.conj(direction)
        stays, session = pairs.stays, pairs.session
        part = (towards * self._weight[row, pairs.port]).real
        most_a = np.maximum(part * stays["charge_kw"][session], -part * stays["discharge_kw"][session])
        base_a: np.ndarray = (towards * self._base[:, row]).real
        return base_a + np.bincount(pairs.step, most_a, minlength=self._n_steps)

    def _powers(self, x: np.ndarray) -> np.ndarray:
        """Power of each pair [kW]."""
        power_kw: np.ndarray = x[self._charge_column]
        power_kw[self._pairs.discharge] -= x[self._discharge_column]
        return power_kw

    def _currents(self, x: np.ndarray) -> np.ndarray:
        """Currents at a point, complex128, shape (K, R) [A]."""
        pairs, power_kw, current = self._pairs, self._powers(x), self._base.copy()
        for row, weight in enumerate(self._weight):
            for part, unit in ((weight.real, 1.0), (weight.imag, 1.0j)):
                current[:, row] += unit * np.bincount(pairs.step, power_kw * part[pairs.port], minlength=self._n_steps)
        return np.asarray(current)

    def _over(self, current: np.ndarray) -> np.ndarray:
        """Excess of currents over their limits, relative to these, shape (K, R); below 0 within [-]."""
        over: np.ndarray = np.abs(current) / np.maximum(self._limit_a, _LEAST_LIMIT_A) - 1.0
        return over
