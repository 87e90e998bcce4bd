"""The network in the linear programme: a block of variables and rows for each step that needs it, cones by tangents.

A point comes in, the rows of the blocks that it violates go out. With the two-ports of `reduction`, u = |V|², S =
P + jQ and l = |I|² at the first end of every edge, power balances, voltages and currents everywhere are linear; the
true states are those with P² + Q² = u·l (and voltage angles that close every loop). The relaxation is

    P² + Q² <= u·l,   that is   l >= |S|²/u

which every state fulfils. It is kept by tangents: 0 <= |S − k·u|²/u gives l >= 2·Re(conj(k)·S) − |k|²·u for every
complex k. So each row holds for every state of the network, for any k. Without some blocks or tangents the bound is
looser, but still valid.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ev_marl.optimum.grid.problem import GridProblem
from ev_marl.optimum.grid.ranges import Ranges, find_ranges
from ev_marl.optimum.grid.reduction import Quantities, reduce_network
from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.optimum.model import PyomoDay
from ev_marl.planning.programme.rows import Rows

_LIMIT_TOLERANCE = 1e-7  # p.u. of the square
_LEAST_EFFECT = 2e-7  # on the power over an edge, in the model's units: a smaller cut is lost in solvers' tolerances


class GridBlocks:
    """Blocks of the steps that have one.

    Parameters
    ----------
    day : PyomoDay
        The model without the network.
    program : LinearProgram
        Its program; columns and rows are added to it.
    problem : GridProblem
        The network on that day.
    all_parts : bool
        Whether the blocks contain parts of the network that the vehicles cannot influence.

    Attributes
    ----------
    steps : int64, shape (n_blocks,)
        Steps with a block.
    n_busy_rows : int
        Number of rows of the network with injections.
    """

    def __init__(self, day: PyomoDay, program: LinearProgram, problem: GridProblem, *, all_parts: bool = False) -> None:
        self._day, self._program, self.problem = day, program, problem
        spec, matrices, pairs = problem.backend.spec, problem.matrices, day.pairs
        n_steps, n_chargers = problem.n_steps, spec.n_charger_buses
        pair_bus = problem.port_charger[pairs.port]
        self.most_kw = np.zeros((n_steps, n_chargers))
        np.add.at(self.most_kw, (pairs.step, pair_bus), pairs.stays["charge_kw"][pairs.session])
        self.least_kw = np.zeros((n_steps, n_chargers))
        discharge_bus = pair_bus[pairs.discharge]
        np.subtract.at(
            self.least_kw,
            (pairs.step[pairs.discharge], discharge_bus),
            pairs.stays["discharge_kw"][pairs.session[pairs.discharge]],
        )
        # Powers of the model are in units that make them about 1.
        self.unit_kva = max(1.0, 0.1 * float((self.most_kw - self.least_kw).sum(axis=1).max(initial=0.0)))
        injected = problem.injected_kva()
        busy = np.flatnonzero(np.abs(injected).max(axis=0) > 0.0)
        charger_row = matrices.row[spec.charger_bus]
        self.n_busy_rows = len(np.union1d(busy, charger_row))
        used = np.unique(problem.port_charger)
        # A load at a charger bus without ports is an ordinary load.
        self.reduction = reduce_network(matrices, charger_row[used], busy, all_parts=all_parts)
        self.ranges: Ranges = find_ranges(problem, self.reduction, self.least_kw, self.most_kw)
        self.scale = matrices.base_kva / self.unit_kva  # powers and currents: from p.u. to the model's units
        self._injected = injected[:, self.reduction.rows] / self.unit_kva
        self._place_chargers(charger_row)
        self._make_template()
        self._charge = program.columns(day.charge)
        self._discharge = program.columns(day.discharge)
        self._pair_bus, self._discharge_bus = pair_bus, discharge_bus
        self.steps = np.zeros(0, dtype=np.int64)
        self._first_column = np.zeros(0, dtype=np.int64)
        self._reactive_of: dict[int, int] = {}
        self.buses = self._in_units(self.reduction.buses, current=False)
        self.ends = self._in_units(self.reduction.branch_ends, current=True)
        self._limited = self._limits()

    def _place_chargers(self, charger_row: np.ndarray) -> None:
        place = np.full(self.problem.matrices.ybus.shape[0] + 1, -1, dtype=np.int64)
        place[self.reduction.rows] = np.arange(self.reduction.n_rows)
        self._charger_place = place[charger_row]  # −1: dead, or without influence on anything in the model

    def _in_units(self, quantities: Quantities, *, current: bool) -> Quantities:
        """The same with currents in the model's units."""
        times = self.scale if current else 1.0
        return Quantities(quantities.row, quantities.edge, quantities.a * times, quantities.b * times / self.scale)

    def _make_template(self) -> None:
        """Rows of a block over its states: u of all rows, then P, Q, l of all edges."""
        net = self.reduction
        n_rows, n_edges = net.n_rows, net.n_edges
        transfer = net.transfer.copy()
        transfer[:, 0, 1] /= self.scale
        transfer[:, 1, 0] *= self.scale
        (alpha, beta), (gamma, delta) = (transfer[:, i].T for i in (0, 1))
        edge = np.arange(n_edges)
        u_first, u_second = net.first, net.second
        p, q, ell = (n_rows + k * n_edges + edge for k in range(3))
        entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

        def put(row: np.ndarray, state: np.ndarray, value: np.ndarray | float) -> None:
            entries.append((row, state, np.broadcast_to(np.asarray(value, dtype=np.float64), row.shape)))

        # Voltage at the second end: u' − |α|²u − |β|²l − 2·Re(α·conj(β)·S) = 0.
        cross = alpha * np.conj(beta)
        put(edge, u_second, 1.0)
        put(edge, u_first, -(np.abs(alpha) ** 2))
        put(edge, ell, -(np.abs(beta) ** 2))
        put(edge, p, -2.0 * cross.real)
        put(edge, q, 2.0 * cross.imag)
        # Balances: what flows into all edges and the shunt at a row is what is injected there.
        active, reactive = n_edges + np.arange(n_rows), n_edges + n_rows + np.arange(n_rows)
        put(active[u_first], p, 1.0)
        put(reactive[u_first], q, 1.0)
        straight, crossed = alpha * np.conj(delta), beta * np.conj(gamma)
        own, lost = alpha * np.conj(gamma), beta * np.conj(delta)
        put(active[u_second], u_first, own.real)
        put(active[u_second], ell, lost.real)
        put(active[u_second], p, straight.real + crossed.real)
        put(active[u_second], q, crossed.imag - straight.imag)
        put(reactive[u_second], u_first, own.imag)
        put(reactive[u_second], ell, lost.imag)
        put(reactive[u_second], p, straight.imag + crossed.imag)
        put(reactive[u_second], q, straight.real - crossed.real)
        shunt = net.shunt * self.scale
        put(active, np.arange(n_rows), shunt.real)
        put(reactive, np.arange(n_rows), -shunt.imag)
        row, state, value = (np.concatenate(part) for part in zip(*entries, strict=True))
        n_states = n_rows + 3 * n_edges
        matrix = sparse.csr_array((value, (row, state)), shape=(n_edges + 2 * n_rows, n_states))
        # Losses: what flows into the edges at both ends, and into the shunts.
        self.losses_kw = np.asarray(matrix[n_edges : n_edges + n_rows].sum(axis=0)).ravel() * self.unit_kva
        keep = np.concatenate([np.ones(n_edges, dtype=bool), ~net.slack, ~net.source])
        self._balance_row = np.full(2 * n_rows, -1, dtype=np.int64)
        self._balance_row[keep[n_edges:]] = n_edges + np.arange(keep[n_edges:].sum())
        fixed = np.zeros(n_states, dtype=bool)
        fixed[:n_rows] = net.source
        self.fixed_state = np.where(fixed, 0.0, np.nan)
        self.fixed_state[:n_rows][net.source] = net.vm[net.source] ** 2
        self.state_column = np.where(fixed, -1, np.cumsum(~fixed) - 1)
        self.n_states = n_states
        self._n_columns = int((~fixed).sum())
        matrix = matrix[keep]
        self.template = sparse.csr_array(matrix[:, ~fixed])
        self.template.eliminate_zeros()
        self._shift = -(matrix[:, fixed] @ self.fixed_state[fixed])
        self._keep = keep

    def _limits(self) -> tuple[Quantities, np.ndarray, np.ndarray]:
        """Enforced limits of quantities that are no variables: quantities, lowest and highest square, shape (T, n)."""
        ranges = self.ranges
        # A kept row's own voltage is a variable with these limits as its bounds, and so is an edge's own current.
        inner = np.flatnonzero((self.buses.row >= 0) & ((self.buses.edge >= 0) | (np.abs(self.buses.a) != 1.0)))
        inner = inner[np.isfinite(ranges.bus_most[:, inner]).any(axis=0)]
        ends = np.flatnonzero((self.ends.row >= 0) & (np.abs(self.ends.a) > 0.0))
        ends = ends[np.isfinite(ranges.end_most[:, ends]).any(axis=0)]
        quantities = Quantities(
            *(
                np.concatenate([getattr(self.buses, name)[inner], getattr(self.ends, name)[ends]])
                for name in ("row", "edge", "a", "b")
            )
        )
        least = np.concatenate([ranges.bus_least[:, inner] ** 2, np.zeros((len(ranges.bus_least), len(ends)))], axis=1)
        most = np.concatenate([ranges.bus_most[:, inner], ranges.end_most[:, ends] * self.scale], axis=1) ** 2
        return quantities, least, most

    def add(self, steps: np.ndarray) -> None:
        """Add blocks for steps; the solver must start again.

        Parameters
        ----------
        steps : int64, shape (n,)
            Steps without one, with a solution without charging.
        """
        n, (lower, upper) = len(steps), self.column_bounds(steps)
        first = self._program.n_columns + self._n_columns * np.arange(n)
        self._program.add_columns("network", lower.ravel(), upper.ravel())
        if self.problem.droop is not None:
            self._add_reactive(steps)
        rows = self._program_rows(steps, first)
        self.steps = np.concatenate([self.steps, steps])
        self._first_column = np.concatenate([self._first_column, first])
        self._program.add_rows(rows)

    def column_bounds(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and most of the columns of the blocks of some steps, float64, shape (len(steps), n_columns)."""
        net, ranges = self.reduction, self.ranges
        row_least, row_most = ranges.row_least[steps], ranges.row_most[steps]
        ell = (ranges.edge_most[steps] * self.scale) ** 2
        power = row_most[:, net.first] * np.sqrt(ell)
        lower = np.concatenate([row_least**2, -power, -power, np.zeros_like(ell)], axis=1)
        upper = np.concatenate([row_most**2, power, power, ell], axis=1)
        variable = self.state_column >= 0
        return lower[:, variable], upper[:, variable]

    def right_sides(self, steps: np.ndarray) -> np.ndarray:
        """Right-hand sides of the blocks of some steps without charging, float64, shape (len(steps), n_rows)."""
        right: np.ndarray = np.tile(self._shift, (len(steps), 1))
        injected = self._injected[steps]
        for part, offset in ((injected.real, 0), (injected.imag, self.reduction.n_rows)):
            row = self._balance_row[offset : offset + self.reduction.n_rows]
            right[:, row[row >= 0]] += part[:, row >= 0]
        return right

    def charger_matrix(self) -> sparse.csr_array:
        """Effect of 1 kW drawn at each charger bus on the rows of a block, shape (n_rows, n_chargers)."""
        place, n_kept = self._charger_place, self.reduction.n_rows
        entries = []
        for offset, factor in ((0, 1.0), (n_kept, self.problem.kvar_per_kw)):
            row = np.where(place >= 0, self._balance_row[offset + np.maximum(place, 0)], -1)
            here = np.flatnonzero(row >= 0)
            entries.append((row[here], here, np.full(len(here), factor / self.unit_kva)))
        row, bus, value = (np.concatenate(part) for part in zip(*entries, strict=True))
        return sparse.csr_array((value, (row, bus)), shape=(self.template.shape[0], len(place)))

    def all_states(self, columns: np.ndarray) -> np.ndarray:
        """u of all rows, then P, Q, l of all edges, from a block's columns; float64, shape (n_states,)."""
        states: np.ndarray = self.fixed_state.copy()
        states[self.state_column >= 0] = columns
        return states

    def _add_reactive(self, steps: np.ndarray) -> None:
        """Reactive powers of chargers that follow the voltage: free columns, within ±share·(charge + discharge)."""
        n_chargers = self.most_kw.shape[1]
        most = np.maximum(self.most_kw, -self.least_kw)[steps] * self.problem.droop.share / self.unit_kva  # type: ignore[union-attr]
        first = self._program.n_columns
        self._program.add_columns("charger_kvar", -most.ravel(), most.ravel())
        self._reactive_of.update({int(step): first + n_chargers * i for i, step in enumerate(steps)})

    def _program_rows(self, steps: np.ndarray, first: np.ndarray) -> Rows:
        n, n_rows, right = len(steps), self.template.shape[0], self.right_sides(steps)
        template = self.template.tocoo()
        block = np.arange(n)[:, None]
        entry_row = (block * n_rows + template.row).ravel()
        entry_column = (first[:, None] + template.col).ravel()
        entry_value = np.tile(template.data, n)
        more_rows, more_columns, more_values = self._charger_entries(steps, n_rows)
        matrix = sparse.csr_array(
            (
                np.concatenate([entry_value, more_values]),
                (np.concatenate([entry_row, more_rows]), np.concatenate([entry_column, more_columns])),
            ),
            shape=(n * n_rows, self._program.n_columns),
        )
        equal = Rows(matrix.indptr.astype(np.int64), matrix.indices, matrix.data, right.ravel(), right.ravel())
        return equal if self.problem.droop is None else Rows.stack([equal, self._reactive_rows(steps)])

    def _charger_entries(self, steps: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vehicles' powers in the balances of the blocks of some steps."""
        block_of = np.full(self.problem.n_steps, -1, dtype=np.int64)
        block_of[steps] = np.arange(len(steps))
        pairs, out = self._day.pairs, []
        n_kept = self.reduction.n_rows
        for step, bus, column, sign in (
            (pairs.step, self._pair_bus, self._charge, 1.0),
            (pairs.step[pairs.discharge], self._discharge_bus, self._discharge, -1.0),
        ):
            block, place = block_of[step], self._charger_place[bus]
            for offset, factor in ((0, 1.0), (n_kept, self.problem.kvar_per_kw)):
                row = np.where(place >= 0, self._balance_row[offset + np.maximum(place, 0)], -1)
                here = np.flatnonzero((block >= 0) & (row >= 0) & (factor != 0.0))
                value = np.full(len(here), sign * factor / self.unit_kva)
                out.append((block[here] * n_rows + row[here], column[here], value))
        if self.problem.droop is not None:
            for i, step in enumerate(steps.tolist()):
                row = np.where(
                    self._charger_place >= 0, self._balance_row[n_kept + np.maximum(self._charger_place, 0)], -1
                )
                here = np.flatnonzero(row >= 0)
                out.append((i * n_rows + row[here], self.reactive_columns_of(step)[here], np.ones(len(here))))
        rows, columns, values = (np.concatenate(part) for part in zip(*out, strict=True))
        return rows, columns, values

    def _reactive_rows(self, steps: np.ndarray) -> Rows:
        """−share·Σ(c + d) <= q <= share·Σ(c + d) at each charger bus."""
        assert self.problem.droop is not None
        share = self.problem.droop.share / self.unit_kva
        starts, columns, values = [0], [], []
        for step in steps.tolist():
            pairs, reactive = self._day.pairs, self.reactive_columns_of(step).tolist()
            for bus in np.flatnonzero(self.most_kw[step] - self.least_kw[step] > 0.0).tolist():
                powers = np.concatenate(
                    [
                        self._charge[(pairs.step == step) & (self._pair_bus == bus)],
                        self._discharge[(pairs.step[pairs.discharge] == step) & (self._discharge_bus == bus)],
                    ]
                )
                for sign in (1.0, -1.0):
                    columns += [reactive[bus], *powers.tolist()]
                    values += [sign, *[-share] * len(powers)]
                    starts.append(len(columns))
        n = len(starts) - 1
        return Rows(
            np.array(starts), np.array(columns, dtype=np.int64), np.array(values), np.full(n, -np.inf), np.zeros(n)
        )

    def _tangents(self, first: np.ndarray, edge: np.ndarray, k: np.ndarray) -> Rows:
        """l − 2·Re(conj(k)·S) + |k|²·u >= 0 for blocks that begin at columns `first`."""
        net = self.reduction
        values = np.column_stack([np.abs(k) ** 2, -2.0 * k.real, -2.0 * k.imag, np.ones(len(k))])
        return self._square_rows(first, net.first[edge], edge, values, np.zeros(len(k)), np.full(len(k), np.inf))

    def _square_rows(
        self,
        first: np.ndarray,
        row: np.ndarray,
        edge: np.ndarray,
        values: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
    ) -> Rows:
        """lower <= values · (u of row, P, Q, l of edge) <= upper; edge −1: u alone."""
        n_rows, n_edges = self.reduction.n_rows, self.reduction.n_edges
        states = np.column_stack([row, *(np.where(edge >= 0, n_rows + k * n_edges + edge, -1) for k in range(3))])
        column = np.where(states >= 0, self.state_column[np.maximum(states, 0)], -1)
        shift = values[:, 0] * np.where(column[:, 0] < 0, self.fixed_state[row], 0.0)
        there = (column >= 0) & (values != 0.0)
        return Rows(
            starts=np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64),
            columns=(first[:, None] + column)[there],
            values=values[there],
            lower=lower - shift,
            upper=upper - shift,
        )

    def first_column_of(self, step: int) -> int:
        """First column of a step's block."""
        return int(self._first_column[np.flatnonzero(self.steps == step)[0]])

    def reactive_columns_of(self, step: int) -> np.ndarray:
        """Columns of the chargers' reactive power in a step, where it follows the voltage; int64, shape (E,)."""
        return self._reactive_of[step] + np.arange(self.most_kw.shape[1])

    def split_states(self, weights: np.ndarray) -> tuple[np.ndarray, float]:
        """Weights of a block's columns, and what the given voltages contribute, from weights of its states."""
        variable = self.state_column >= 0
        return weights[variable], float(weights[~variable] @ self.fixed_state[~variable])

    def square_weights(self, quantities: Quantities) -> sparse.csr_array:
        """Squares of quantities as linear functions of the states, shape (n, n_states)."""
        return self._weights(quantities, quantities.coefficients())

    def product_weights(self, quantities: Quantities) -> sparse.csr_array:
        """Quantities times the conjugate voltage of their row, a·u + b·conj(S), complex, shape (n, n_states)."""
        a, b = quantities.a, quantities.b
        return self._weights(quantities, np.column_stack([a, b, -1j * b, np.zeros(len(a))]))

    def _weights(self, quantities: Quantities, values: np.ndarray) -> sparse.csr_array:
        n_rows, n_edges = self.reduction.n_rows, self.reduction.n_edges
        which, edge = np.arange(len(values)), quantities.edge
        there = edge >= 0
        columns = [quantities.row, *(n_rows + k * n_edges + edge[there] for k in range(3))]
        entries = [values[:, 0], *(values[there, 1 + k] for k in range(3))]
        rows = np.concatenate([which, *[which[there]] * 3])
        return sparse.csr_array(
            (np.concatenate(entries), (rows, np.concatenate(columns))), shape=(len(values), self.n_states)
        )

    def states(self, x: np.ndarray) -> np.ndarray:
        """u of all rows, then P, Q, l of all edges of every block, float64, shape (n_blocks, n_states)."""
        states = np.tile(self.fixed_state, (len(self.steps), 1))
        variable = np.flatnonzero(self.state_column >= 0)
        states[:, variable] = x[self._first_column[:, None] + np.arange(self._n_columns)]
        return states

    def squares(self, quantities: Quantities, states: np.ndarray) -> np.ndarray:
        """Squares of quantities in some states, float64, shape (n_blocks, n); NaN for what is not in the model."""
        n_rows, n_edges = self.reduction.n_rows, self.reduction.n_edges
        values = quantities.coefficients()
        edge = np.maximum(quantities.edge, 0)
        total: np.ndarray = values[:, 0] * states[:, np.maximum(quantities.row, 0)]
        for k in range(3):
            total = (
                total + np.where(quantities.edge >= 0, values[:, 1 + k], 0.0) * states[:, n_rows + k * n_edges + edge]
            )
        total[:, quantities.row < 0] = np.nan
        return total

    def cone_excess(self, states: np.ndarray) -> np.ndarray:
        """|S|²/u − l, float64, shape (n_blocks, n_edges)."""
        n_rows, n_edges = self.reduction.n_rows, self.reduction.n_edges
        u = states[:, self.reduction.first]
        p, q, ell = (states[:, n_rows + k * n_edges : n_rows + (k + 1) * n_edges] for k in range(3))
        excess: np.ndarray = (p**2 + q**2) / np.maximum(u, 1e-3) - ell
        return excess

    def broken(self, x: np.ndarray, *, cones: bool, tolerance: float) -> Rows:
        """Rows that a point violates.

        Parameters
        ----------
        x : float64, shape (n_columns,)
            The point.
        cones : bool
            Whether tangents of the cones are wanted everywhere, or only where a current would be beyond its highest:
            the rest is linear branch flow then, without losses.
        tolerance : float
            How far a squared current may be below the cone, relative to its largest value on that edge [-].
        """
        parts = [Rows.stack([])]
        if len(self.steps):
            states = self.states(x)
            parts.append(self._broken_limits(states))
            parts.append(self._broken_cones(states, tolerance, everywhere=cones))
        return Rows.stack(parts)

    def _broken_limits(self, states: np.ndarray) -> Rows:
        quantities, least, most = self._limited
        value = self.squares(quantities, states)
        least, most = least[self.steps], most[self.steps]
        scale = np.where(np.isfinite(most), np.maximum(most, 1.0), 1.0)
        block, which = np.nonzero((value > most + _LIMIT_TOLERANCE * scale) | (value < least - _LIMIT_TOLERANCE))
        some = quantities.take(which)
        return self._square_rows(
            self._first_column[block], some.row, some.edge, some.coefficients(), least[block, which], most[block, which]
        )

    def _broken_cones(self, states: np.ndarray, tolerance: float, *, everywhere: bool) -> Rows:
        """Tangents where a point lies outside a cone, or only where it does so at its highest current."""
        n_rows, n_edges = self.reduction.n_rows, self.reduction.n_edges
        most = (self.ranges.edge_most[self.steps] * self.scale) ** 2
        excess = self.cone_excess(states)
        beyond = excess > tolerance * most
        if everywhere:
            beyond &= excess * np.abs(self.reduction.transfer[:, 0, 1]) / self.scale > _LEAST_EFFECT
        else:
            beyond &= states[:, n_rows + 2 * n_edges :] + excess > most
        block, edge = np.nonzero(beyond)
        u = states[block, self.reduction.first[edge]]
        s = states[block, n_rows + edge] + 1j * states[block, n_rows + n_edges + edge]
        return self._tangents(self._first_column[block], edge, s / np.maximum(u, 1e-3))
