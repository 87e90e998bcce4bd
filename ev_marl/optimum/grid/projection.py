"""Rows in the vehicles' powers that follow from the network, each with a proof: blocks without their variables.

A point of the programme comes in, the rows that it violates go out. At the powers of a step, the block of `cone`
with its tangents is a square linear system M·s = r for the states s where the network is radial; Newton's method on it
is the exact power flow. For any linear quantity w of the states, such as the square of a voltage or a current, y =
M⁻ᵀ·w are multipliers of the block's rows, and

    w·s >= y·(right-hand sides) + Σ_j min over the state's range of (w − Aᵀy)_j·s_j

holds for every state of the network and every y with y >= 0 at the tangents; the right-hand sides are linear in the
powers. So each row is a weak-duality proof, recomputed in NumPy: a linearisation of the power flow that is proven to be
on the safe side. Where multipliers of tangents are negative (losses that help, as with reverse power flow), the tangent
is dropped and the current is set to its highest value. Such a row may be too weak to cut the point off; the step then
needs its block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from ev_marl.optimum.grid.columns import ChargerColumns
from ev_marl.optimum.grid.cone import GridBlocks
from ev_marl.optimum.grid.prices import PriceRows
from ev_marl.planning.programme.rows import Rows

_BROKEN = 1e-7  # of the square, relative
_LOOSE = 1e-6  # of the limit; by which a row may be weaker than the state it was made at
_CUT_KW = 1e-4  # by which a row must cut a point off
_WORST = 3  # voltages, and as many currents, for which a step gets rows at once
_NEWTON_ROUNDS = 8
_NEWTON_EXACT = 1e-9  # of the squared current, relative to its largest value
_NEGATIVE = 1e-9  # multipliers, relative to the largest
_LOWEST_SQUARE = 0.25  # p.u.; of voltages that tangents are put at
_SHARES = (1.0, 0.5, 0.25, 0.125)  # of the powers at which there may be a power flow


class _System:
    """The square system of a step: its block's rows, then a tangent or a given current for each edge."""

    def __init__(self, blocks: GridBlocks) -> None:
        net, n_rows = blocks.reduction, blocks.reduction.n_rows
        n_edges, edge = net.n_edges, np.arange(net.n_edges)
        template = blocks.template.tocoo()
        self.n_equal = template.shape[0]
        self.p, self.q, self.ell = (blocks.state_column[n_rows + k * n_edges + edge] for k in range(3))
        column = blocks.state_column[net.first]
        self._free = column >= 0
        self._u_fixed = np.where(self._free, 0.0, blocks.fixed_state[net.first])
        self.u = column
        rows = [template.row, self.n_equal + edge[self._free], *[self.n_equal + edge] * 3]
        columns = [template.col, column[self._free], self.p, self.q, self.ell]
        row, column = np.concatenate(rows), np.concatenate(columns)
        shape = (self.n_equal + n_edges, template.shape[1])
        numbered = sparse.csc_array((np.arange(1, len(row) + 1, dtype=np.float64), (row, column)), shape=shape)
        self._order = numbered.data.astype(np.int64) - 1
        self._pattern = (numbered.indices, numbered.indptr)
        self._template = template.data
        self.shape = shape

    def matrix(self, k: np.ndarray, on: np.ndarray) -> sparse.csc_array:
        """M with tangents at k where `on`, and the current itself elsewhere."""
        k = np.where(on, k, 0.0)
        parts = [self._template, np.abs(k[self._free]) ** 2, -2.0 * k.real, -2.0 * k.imag, np.ones(len(k))]
        return sparse.csc_array((np.concatenate(parts)[self._order], *self._pattern), shape=self.shape)

    def tangent_right(self, k: np.ndarray) -> np.ndarray:
        """Right-hand sides of the tangents, float64, shape (n_edges,)."""
        right: np.ndarray = -(np.abs(k) ** 2) * self._u_fixed
        return right

    def voltage_square(self, s: np.ndarray) -> np.ndarray:
        """At the first end of each edge, float64, shape (n_edges,)."""
        return np.where(self._free, s[np.maximum(self.u, 0)], self._u_fixed)


@dataclass(frozen=True)
class _State:
    """The network at some powers, linear about k."""

    step: int
    k: np.ndarray  # complex128 (n_edges,)  where tangents are put
    on: np.ndarray  # bool (n_edges,)  which edges have one
    factors: SuperLU  # of M
    columns: np.ndarray  # float64 (n_columns,)  of the state


class Projection:
    """Rows in powers for the steps without a block.

    Parameters
    ----------
    blocks : GridBlocks
        The model of the network.
    prices : PriceRows
        What is priced.
    columns : ChargerColumns
        The vehicles' powers.

    Attributes
    ----------
    usable : bool
        Whether the network is one for this: radial, one source, reactive powers in proportion to active ones.
    stuck : bool, shape (n_steps,)
        Steps that violate a limit, or cost more than in the programme, without a row for it.
    """

    def __init__(self, blocks: GridBlocks, prices: PriceRows, columns: ChargerColumns) -> None:
        self._blocks, self._prices, self._columns = blocks, prices, columns
        self._problem, net = blocks.problem, blocks.reduction
        self.stuck = np.zeros(self._problem.n_steps, dtype=bool)
        self._k: dict[int, np.ndarray] = {}
        self._system = _System(blocks)
        self.usable = self._problem.droop is None and net.n_edges > 0 and self._is_square()
        if not self.usable:
            return
        steps = np.arange(self._problem.n_steps)
        self._right = blocks.right_sides(steps)
        self._lower, self._upper = blocks.column_bounds(steps)
        self._injection = blocks.charger_matrix()
        ranges = blocks.ranges
        buses = np.flatnonzero((blocks.buses.row >= 0) & _limited(ranges.bus_least, ranges.bus_most))
        ends = np.flatnonzero((blocks.ends.row >= 0) & _limited(np.zeros_like(ranges.end_most), ranges.end_most))
        some_buses, some_ends = blocks.buses.take(buses), blocks.ends.take(ends)
        self._weights = sparse.vstack([blocks.square_weights(some_buses), blocks.square_weights(some_ends)]).tocsr()
        self._n_buses = len(buses)
        self._edge = np.concatenate([some_buses.edge, some_ends.edge])
        least, most = ranges.bus_least[:, buses], ranges.end_most[:, ends] * blocks.scale
        self._least = np.concatenate([least, np.zeros_like(most)], axis=1) ** 2
        self._most = np.concatenate([ranges.bus_most[:, buses], most], axis=1) ** 2

    def _is_square(self) -> bool:
        system = self._system
        if system.shape[0] != system.shape[1]:
            return False
        nothing = np.zeros(self._blocks.reduction.n_edges)
        try:
            splu(system.matrix(nothing, nothing > 0.0))
        except RuntimeError:  # singular
            return False
        return True

    def broken(self, x: np.ndarray, steps: np.ndarray, *, cones: bool, tolerance: float) -> Rows:
        """Rows that a point violates; updates `stuck`.

        Parameters
        ----------
        x : float64, shape (n_columns,)
            The point.
        steps : int64, shape (n,)
            Steps whose exact power flow violates a limit or costs more than in the programme.
        cones : bool
            Whether currents are wanted everywhere, or only where they are beyond their highest; the rest is linear
            branch flow then, without losses.
        tolerance : float
            How much more than in the programme a step may cost [currency].
        """
        self.stuck[:] = False
        power_kw, rows = self._columns.power_kw(x), [Rows.stack([])]
        for step in steps.tolist():
            try:
                state = self._state(step, power_kw[step], cones=cones)
                rows += self._limit_rows(state, power_kw[step])
                rows += self._price_rows(state, power_kw[step], x, tolerance)
            except RuntimeError:  # a singular system: beyond what the network can carry
                self.stuck[step] = True
        return Rows.stack(rows)

    def _state(self, step: int, power_kw: np.ndarray, *, cones: bool) -> _State:
        """The state at the given powers, and the points of tangents."""
        nothing = np.zeros(self._blocks.reduction.n_edges, dtype=np.complex128)
        on = np.full(len(nothing), cones)
        if not cones:
            columns = self._solve(step, power_kw, nothing, on).columns
            edge = self._edge[self._beyond(step, self._with_currents(columns))[0]]
            on[edge[edge >= 0]] = True
        start = self._k.get(step, nothing)
        for share in _SHARES:
            state, exact = self._newton(step, share * power_kw, np.where(on, start, 0.0), on)
            if exact:
                break
            start = nothing
        self._k[step] = state.k
        return state if share == 1.0 else self._solve(step, power_kw, state.k, on)

    def _newton(self, step: int, power_kw: np.ndarray, k: np.ndarray, on: np.ndarray) -> tuple[_State, bool]:
        """Power flow with currents where `on`, and whether it is exact."""
        system, exact = self._system, False
        most = (self._blocks.ranges.edge_most[step] * self._blocks.scale) ** 2
        state = self._solve(step, power_kw, k, on)
        for _ in range(_NEWTON_ROUNDS):
            s = state.columns
            power, u = s[system.p] + 1j * s[system.q], np.maximum(system.voltage_square(s), _LOWEST_SQUARE)
            exact = bool((np.abs(np.abs(power) ** 2 / u - s[system.ell]) <= _NEWTON_EXACT * most)[on].all())
            if exact or not np.isfinite(s).all():
                break
            state = self._solve(step, power_kw, np.where(on, power / u, 0.0), on)
        return state, exact

    def _solve(self, step: int, power_kw: np.ndarray, k: np.ndarray, on: np.ndarray) -> _State:
        right = np.concatenate([self._right[step] - self._injection @ power_kw, self._system.tangent_right(k)])
        factors = splu(self._system.matrix(k, on))
        return _State(step, k, on, factors, np.asarray(factors.solve(right)))

    def _with_currents(self, s: np.ndarray) -> np.ndarray:
        """The same with each current as its power makes it."""
        system = self._system
        u = np.maximum(system.voltage_square(s), _LOWEST_SQUARE)
        s = s.copy()
        s[system.ell] = (s[system.p] ** 2 + s[system.q] ** 2) / u
        return s

    def _beyond(self, step: int, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The worst violated quantities, and whether above the highest (1) or below the lowest (−1) limit."""
        value = self._weights @ self._blocks.all_states(s)
        with np.errstate(invalid="ignore"):
            above = np.where(np.isfinite(self._most[step]), value / self._most[step] - 1.0, 0.0)
            below = np.where(self._least[step] > 0.0, 1.0 - value / np.maximum(self._least[step], 1e-9), 0.0)
        excess, worst = np.maximum(above, below), []
        for kind in (slice(0, self._n_buses), slice(self._n_buses, len(excess))):
            _, first = np.unique(excess[kind], return_index=True)  # buses of one row are beyond by the same
            first = first[::-1][:_WORST] + kind.start
            worst.append(first[excess[first] > _BROKEN])
        which = np.concatenate(worst)
        return which, np.where(above[which] >= below[which], 1.0, -1.0)

    def _proof(self, state: _State, w: np.ndarray) -> tuple[np.ndarray, float]:
        """g, shape (n_chargers,), and c with w·s >= c − g·power for every state s of the step."""
        system, on, factors = self._system, state.on.copy(), state.factors
        n = system.n_equal
        while True:
            y = factors.solve(w, trans="T")
            wrong = on & (y[n:] < -_NEGATIVE * np.abs(y).max())
            if not wrong.any():
                break
            on &= ~wrong
            factors = splu(system.matrix(state.k, on))
        # For any y: the remainder of w is at its minimum.
        y[n:] = np.where(on, np.maximum(y[n:], 0.0), 0.0)
        left = w - system.matrix(state.k, on).T @ y
        least = np.minimum(left * self._lower[state.step], left * self._upper[state.step]).sum()
        given = y[:n] @ self._right[state.step] + y[n:] @ system.tangent_right(state.k)
        return self._injection.T @ y[:n], float(given + least)

    def _limit_rows(self, state: _State, power_kw: np.ndarray) -> list[Rows]:
        step, rows = state.step, []
        which, sides = self._beyond(step, state.columns)
        for quantity, side in zip(which.tolist(), sides.tolist(), strict=True):
            w, shift = self._blocks.split_states(side * self._weights[[quantity]].toarray()[0])
            most = (self._most[step, quantity] if side > 0.0 else -self._least[step, quantity]) - shift
            g, c = self._proof(state, w)
            size, cut = float(np.abs(g).max()), float(c - most - g @ power_kw)
            if cut > _CUT_KW * size > 0.0:
                rows.append(self._columns.row(step, g / size, (c - most) / size))
            elif float(w @ state.columns) - most - cut > _LOOSE * max(1.0, abs(most)):
                self.stuck[step] = True
        return rows

    def _price_rows(self, state: _State, power_kw: np.ndarray, x: np.ndarray, tolerance: float) -> list[Rows]:
        rows = []
        states = self._blocks.all_states(state.columns)
        for column, price, total, weights in self._prices.lifts(states, state.step):
            saved = price * (total - x[column])
            if saved <= tolerance:
                continue
            w, shift = self._blocks.split_states(weights)
            g, c = self._proof(state, w)
            lower = total - float(weights @ states) + shift + c  # of variable + g·power
            missing = price * (lower - float(g @ power_kw) - x[column])
            if missing > tolerance:
                rows.append(self._columns.row(state.step, g, lower, column))
            if saved - missing > tolerance:
                self.stuck[state.step] = True
        return rows


def _limited(least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Which quantities have a limit on any step, bool, shape (n,)."""
    return np.asarray((least > 0.0).any(axis=0) | np.isfinite(most).any(axis=0))
