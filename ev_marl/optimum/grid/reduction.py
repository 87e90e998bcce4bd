"""A network as few two-ports: rows without injection between two branches, and dead ends, are combined into one edge.

The admittances of a network come in, a `Reduction` goes out: kept rows, edges between them, and every bus voltage and
branch current as a·V + b·I of one edge, V and I being voltage and current at its first end. This is exact: without
injections in between, all values along a chain are linear functions of those at its first end.

For one edge, with u = |V|², S = V·conj(I) = P + jQ and l = |I|², every square |a·V + b·I|² is linear:

    |a|²·u + |b|²·l + 2·Re(a·conj(b)·S)

and so are the power at the other end and the balance of every row. Only P² + Q² = u·l is not linear; see
`cone`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # pandapower is heavy, and optional
    from ev_marl.grid.solvers.internals import Admittances

_NOTHING = 1e-12  # p.u.; admittances below are none


@dataclass(frozen=True)
class Quantities:
    """Squares |a·V + b·I|² of complex voltages or currents; V is the voltage at `row`, I the current of `edge`."""

    row: np.ndarray  # int64 (n,)  position in `Reduction.rows`; −1: not in the model
    edge: np.ndarray  # int64 (n,)  −1: none, b is 0
    a: np.ndarray  # complex128 (n,)
    b: np.ndarray  # complex128 (n,)

    def take(self, which: np.ndarray) -> Quantities:
        """Some of them."""
        return Quantities(self.row[which], self.edge[which], self.a[which], self.b[which])

    def coefficients(self) -> np.ndarray:
        """Coefficients of u, P, Q, l in the square, float64, shape (n, 4)."""
        cross = self.a * np.conj(self.b)
        return np.column_stack([np.abs(self.a) ** 2, 2.0 * cross.real, -2.0 * cross.imag, np.abs(self.b) ** 2])


@dataclass(frozen=True)
class Reduction:
    """K kept rows and Z edges; the first end of edge z is row `first[z]`. All in p.u. of the network's base."""

    rows: np.ndarray  # int64 (K,)  internal row of each kept one
    source: np.ndarray  # bool (K,)  voltage is given: external grids and voltage-controlled rows
    slack: np.ndarray  # bool (K,)  of these, the external grids: any power
    vm: np.ndarray  # float64 (K,)  given voltage, NaN elsewhere
    shunt: np.ndarray  # complex128 (K,)
    first: np.ndarray  # int64 (Z,)
    second: np.ndarray  # int64 (Z,)
    transfer: np.ndarray  # complex128 (Z, 2, 2)  (voltage, current into the edge) at the second end from the first
    buses: Quantities  # (N,) voltages of the spec's buses
    branch_ends: Quantities  # (2·Br,) currents into the branches: all first ends, then all second ends

    @property
    def n_rows(self) -> int:
        """K."""
        return len(self.rows)

    @property
    def n_edges(self) -> int:
        """Z."""
        return len(self.first)


@dataclass
class _Edge:
    first: int
    second: int
    transfer: np.ndarray  # (2, 2)
    held: dict[int, np.ndarray] = field(default_factory=dict)  # quantity -> (a, b)

    def turned(self) -> _Edge:
        """The same edge from the other side."""
        inverse = np.linalg.inv(self.transfer)
        return _Edge(self.second, self.first, inverse, {q: vector @ inverse for q, vector in self.held.items()})

    def seen_from(self, row: int) -> _Edge:
        """With `row` as its first end."""
        return self if self.first == row else self.turned()

    def admittance(self) -> np.ndarray:
        """Currents into both ends from the voltages of both, complex128, shape (2, 2)."""
        (alpha, beta), (gamma, delta) = self.transfer
        return np.array([[-alpha / beta, 1.0 / beta], [gamma - delta * alpha / beta, delta / beta]])


def _transfer(admittance: np.ndarray) -> np.ndarray:
    (yff, yft), (ytf, ytt) = admittance
    return np.array([[-yff / yft, 1.0 / yft], [ytf - ytt * yff / yft, ytt / yft]])


class _Folding:
    """The network during the reduction."""

    def __init__(self, matrices: Admittances) -> None:
        self.shunt: np.ndarray = np.asarray(matrices.ybus.diagonal(), dtype=np.complex128).copy()
        n_rows, n_branches = len(self.shunt), len(matrices.from_row)
        self.edges_at: list[dict[int, _Edge]] = [{} for _ in range(n_rows)]  # neighbour -> edge
        self.held: list[dict[int, complex]] = [{} for _ in range(n_rows)]  # quantity -> a
        self.gone = np.zeros(n_rows, dtype=bool)
        for row in range(n_rows):
            self.held[row][2 * n_branches + row] = 1.0  # the row's own voltage
        for branch in range(n_branches):
            f, t = int(matrices.from_row[branch]), int(matrices.to_row[branch])
            yff, yft = complex(matrices.yf[branch, f]), complex(matrices.yf[branch, t])
            ytf, ytt = complex(matrices.yt[branch, f]), complex(matrices.yt[branch, t])
            if f == t or abs(yft) < _NOTHING or abs(ytf) < _NOTHING:
                # Both ends at one row, or no coupling: each end's current follows from its own row's voltage.
                self.held[f][branch] = yff
                self.held[t][n_branches + branch] = ytt
                continue
            self.shunt[f] -= yff
            self.shunt[t] -= ytt
            edge = _Edge(f, t, _transfer(np.array([[yff, yft], [ytf, ytt]])))
            edge.held[branch] = np.array([0.0, 1.0], dtype=np.complex128)
            edge.held[n_branches + branch] = edge.transfer[1].copy()
            self.join(edge)

    def join(self, edge: _Edge) -> None:
        """Add an edge; one parallel to another becomes one with it."""
        other = self.edges_at[edge.first].get(edge.second)
        if other is not None:
            other = other.seen_from(edge.first)
            whole = _transfer(edge.admittance() + other.admittance())
            held = {}
            for part in (edge, other):
                (yff, yft), _ = part.admittance()
                # Current into this part, from voltage and current at the first end of both together.
                own = np.array([yff + yft * whole[0, 0], yft * whole[0, 1]])
                held.update({q: np.array([a, 0.0]) + b * own for q, (a, b) in part.held.items()})
            edge = _Edge(edge.first, edge.second, whole, held)
        self.edges_at[edge.first][edge.second] = edge
        self.edges_at[edge.second][edge.first] = edge

    def leave(self, edge: _Edge) -> None:
        """Remove an edge."""
        del self.edges_at[edge.first][edge.second], self.edges_at[edge.second][edge.first]

    def fold(self, keep: Iterable[int]) -> None:
        """Combine the edges of every row that is not in `keep` and has at most two edges."""
        kept = set(keep)
        waiting = [row for row in range(len(self.shunt)) if row not in kept]
        while waiting:
            row = waiting.pop()
            if self.gone[row] or len(self.edges_at[row]) > 2:
                continue
            neighbours = list(self.edges_at[row])
            if (len(neighbours) == 1 and self._fold_end(row)) or (len(neighbours) == 2 and self._fold_chain(row)):
                self.gone[row] = True
                waiting.extend(n for n in neighbours if n not in kept)

    def _fold_end(self, row: int) -> bool:
        ((neighbour, edge),) = self.edges_at[row].items()
        edge = edge.seen_from(neighbour)
        voltage, current = edge.transfer
        leaving = current + self.shunt[row] * voltage  # sums to 0 at the row
        if abs(leaving[1]) < _NOTHING:
            return False
        drawn = -leaving[0] / leaving[1]  # current into the edge over the neighbour's voltage
        self.leave(edge)
        self.shunt[neighbour] += drawn
        self.held[neighbour].update({q: complex(a + b * drawn) for q, (a, b) in edge.held.items()})
        own = complex(voltage[0] + voltage[1] * drawn)
        self.held[neighbour].update({q: a * own for q, a in self.held[row].items()})
        return True

    def _fold_chain(self, row: int) -> bool:
        (before, into), (after, out) = self.edges_at[row].items()
        into, out = into.seen_from(before), out.seen_from(row)
        voltage, current = into.transfer
        at_row = np.array([voltage, -current - self.shunt[row] * voltage])  # voltage, and current into `out`
        edge = _Edge(before, after, out.transfer @ at_row, dict(into.held))
        edge.held.update({q: vector @ at_row for q, vector in out.held.items()})
        edge.held.update({q: a * voltage for q, a in self.held[row].items()})
        if abs(edge.transfer[0, 1]) < _NOTHING:
            return False
        self.leave(into)
        self.leave(out)
        self.join(edge)
        return True


def reduce_network(
    matrices: Admittances, charger_rows: np.ndarray, injection_rows: np.ndarray, *, all_parts: bool
) -> Reduction:
    """Reduce a network.

    Parameters
    ----------
    matrices : Admittances
        Of the network.
    charger_rows : int64, shape (E,)
        Rows of the charger buses; −1 for dead ones.
    injection_rows : int64, shape (n,)
        Rows at which anything else is drawn or fed in.
    all_parts : bool
        Whether parts of the network that the chargers cannot influence are in it, too.

    Returns
    -------
    Reduction
        Sources, rows with injections and junctions are kept.
    """
    n_rows, n_branches = matrices.ybus.shape[0], len(matrices.from_row)
    sources = np.concatenate([matrices.slack_row, matrices.pv_row]).astype(np.int64)
    chargers = charger_rows[charger_rows >= 0]
    folding = _Folding(matrices)
    folding.fold([*sources.tolist(), *chargers.tolist(), *injection_rows[injection_rows >= 0].tolist()])
    slack_rows = matrices.slack_row.tolist()
    wanted = _reached(folding, sources.tolist(), []) if all_parts else _reached(folding, chargers.tolist(), slack_rows)
    rows = np.array(sorted(row for row in wanted if not folding.gone[row]), dtype=np.int64)
    place = np.full(n_rows, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    vm = np.full(n_rows, np.nan)
    vm[matrices.pv_row] = matrices.pv_vm
    vm[matrices.slack_row] = np.abs(matrices.slack_v)

    slack = np.zeros(n_rows, dtype=bool)
    slack[matrices.slack_row] = True
    edges: list[_Edge] = []
    quantity = Quantities(
        np.full(2 * n_branches + n_rows, -1, dtype=np.int64),
        np.full(2 * n_branches + n_rows, -1, dtype=np.int64),
        np.zeros(2 * n_branches + n_rows, dtype=np.complex128),
        np.zeros(2 * n_branches + n_rows, dtype=np.complex128),
    )
    for row in rows.tolist():
        for q, a in folding.held[row].items():
            quantity.row[q], quantity.a[q] = place[row], a
        for neighbour, edge in folding.edges_at[row].items():
            if edge.first == row and neighbour in wanted:
                for q, (a, b) in edge.held.items():
                    quantity.row[q], quantity.edge[q], quantity.a[q], quantity.b[q] = place[row], len(edges), a, b
                edges.append(edge)
    bus_quantity = np.where(matrices.row >= 0, 2 * n_branches + matrices.row, 2 * n_branches)
    buses = quantity.take(bus_quantity)
    buses.row[matrices.row < 0] = -1
    return Reduction(
        rows=rows,
        source=np.isfinite(vm[rows]),
        slack=slack[rows],
        vm=vm[rows],
        shunt=folding.shunt[rows],
        first=place[np.array([edge.first for edge in edges], dtype=np.int64)],
        second=place[np.array([edge.second for edge in edges], dtype=np.int64)],
        transfer=np.array([edge.transfer for edge in edges], dtype=np.complex128).reshape(-1, 2, 2),
        buses=buses,
        branch_ends=quantity.take(np.arange(2 * n_branches)),
    )


def _reached(folding: _Folding, starts: list[int], ends: list[int]) -> set[int]:
    """Rows tied to `starts` by paths that do not pass through any of `ends`; those are reached themselves."""
    reached: set[int] = set()
    waiting = list(starts)
    while waiting:
        row = waiting.pop()
        if row in reached:
            continue
        reached.add(row)
        if row not in ends:
            waiting.extend(folding.edges_at[row])
    return reached
