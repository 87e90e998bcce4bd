"""Rows that raise the variables that terms price on the network towards the true quantities.

A point of the programme comes in, the rows that it violates go out. Each holds for every state of the network, so no
variable is ever forced above the true quantity:

- undervoltage is convex in u = |V|² and bounded by tangents: √u <= (v + u/v)/2 for every v > 0;
- overvoltage and overload are square roots, which are concave: they are bounded by the chord from the limit to the
  largest possible value, the convex envelope on that range; overload also by tangents of |power| over the highest
  voltage;
- losses are linear.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ev_marl.optimum.grid.cone import GridBlocks
from ev_marl.optimum.grid.terms import GridTerms
from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.planning.programme.rows import Rows

# Backends solve to a power mismatch of 1e-5 kVA at each bus, as pandapower does, so their errors are smaller than
# these; each row allows for them.
_MISMATCH_KW = 1e-5
_EXACT_PU = 1e-7
_EXACT_PERCENT = 1e-4


class PriceRows:
    """Rows that raise the variables of terms.

    Parameters
    ----------
    terms : GridTerms
        The variables.
    program : LinearProgram
        The programme.
    blocks : GridBlocks
        States of the network.
    """

    def __init__(self, terms: GridTerms, program: LinearProgram, blocks: GridBlocks) -> None:
        self._problem, self._blocks, self._program = blocks.problem, blocks, program
        self.columns = {name: program.columns(variables) for name, variables in terms.made.items()}
        self._mismatch_kw = 2.0 * _MISMATCH_KW * blocks.n_busy_rows
        self._elements = [(f"{kind}_overload_kva", self._elements_of(kind)) for kind in ("line", "transformer")]
        if self._problem.relaxable:
            self._set_upper_bounds()

    def _elements_of(self, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Branches, percent per p.u., limits [%] and ratings [kVA] of lines or transformers."""
        matrices, problem = self._problem.matrices, self._problem
        return (
            getattr(matrices, f"{kind}_branch"),
            getattr(matrices, f"{kind}_percent_per_pu"),
            getattr(problem.bounds, f"{kind}_percent"),
            getattr(problem.backend.spec, f"{kind}_kva"),
        )

    def _set_upper_bounds(self) -> None:
        """Largest values in the ranges of all steps; a failed step has the values of another step."""
        ranges, problem = self._blocks.ranges, self._problem
        n_branches = len(problem.matrices.from_row)
        voltage = ranges.bus_reach.max(axis=0, initial=0.0)
        current = ranges.end_reach.max(axis=0, initial=0.0)
        most = {"beyond_band_pu": float(np.maximum(voltage, 1.0).sum())}
        for name, (branch, percent_per_pu, _, rated_kva) in self._elements:
            at = np.flatnonzero(branch >= 0)
            percent = [
                percent_per_pu[at, side] * current[side * n_branches + branch[at]] * rated_kva[at] for side in (0, 1)
            ]
            most[name] = float(np.nan_to_num(np.maximum(*percent)).sum()) / 100.0
        rows = np.concatenate([problem.matrices.from_row, problem.matrices.to_row])
        by_row = np.zeros(problem.matrices.ybus.shape[0])
        by_row[self._blocks.reduction.rows] = ranges.row_most.max(axis=0, initial=0.0)
        most["added_losses_kw"] = problem.matrices.base_kva * float((current * np.maximum(by_row[rows], 1.0)).sum() * 2)
        for name, columns in self.columns.items():
            at = columns[columns >= 0]
            self._program.upper[at] = np.maximum(most[name], self._program.lower[at])
            for column in at.tolist():
                self._program.variables[column].setub(float(self._program.upper[column]))

    def first(self, steps: np.ndarray) -> Rows:
        """Rows of blocks that were just added: losses."""
        columns = self.columns.get("added_losses_kw")
        if columns is None:
            return Rows.stack([])
        blocks, rows = self._blocks, []
        variable, fixed = blocks.split_states(blocks.losses_kw)
        for step in steps.tolist():
            at = np.flatnonzero(variable)
            own = blocks.first_column_of(step) + at
            idle_kw = float(self._problem.idle_losses_kw[step]) + self._mismatch_kw
            rows.append(_row(np.array([columns[step], *own]), np.array([1.0, *-variable[at]]), fixed - idle_kw))
        return Rows.stack(rows)

    def cost(self, amounts: dict[str, np.ndarray]) -> np.ndarray:
        """Cost of given amounts in every step, float64, shape (n_steps,) [currency]."""
        total = np.zeros(self._problem.n_steps)
        for name, columns in self.columns.items():
            total += np.where(columns >= 0, self._program.cost[columns], 0.0) * amounts[name]
        return total

    def short(self, x: np.ndarray, steps: np.ndarray, amounts: dict[str, np.ndarray]) -> np.ndarray:
        """Additional cost of a point if its variables had the given amounts, shape (len(steps),) [currency]."""
        cost = np.zeros(len(steps))
        for name, columns in self.columns.items():
            column = columns[steps]
            price = np.where(column >= 0, self._program.cost[column], 0.0)
            cost += price * np.maximum(0.0, amounts[name] - x[column])
        return cost

    def lifts(self, states: np.ndarray, step: int) -> list[tuple[int, float, float, np.ndarray]]:
        """Lower bound of the cost of a state, quantity by quantity.

        Parameters
        ----------
        states : float64, shape (n_states,)
            A state of the network.
        step : int
            The step.

        Returns
        -------
        list of (column, price, total, weights)
            For each variable: it is at least total + weights·(states − these) in every state, and costs its price.
        """
        found = []
        for name, columns in self.columns.items():
            if columns[step] < 0:
                continue
            if name == "added_losses_kw":
                weights = self._blocks.losses_kw
                total = float(weights @ states) - float(self._problem.idle_losses_kw[step]) - self._mismatch_kw
            else:
                totals, all_weights = self._lift(name, states[None], np.array([step]))
                total, weights = float(totals[0]), all_weights[0]
            found.append((int(columns[step]), float(self._program.cost[columns[step]]), total, weights))
        return found

    def _lift(self, name: str, states: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._band(states, steps) if name == "beyond_band_pu" else self._overload(name, states, steps)

    def broken(self, x: np.ndarray, tolerance: float) -> Rows:
        """Rows that a point violates by more than the tolerance [currency] in a step."""
        blocks = self._blocks
        if not len(blocks.steps):
            return Rows.stack([])
        states, rows = blocks.states(x), []
        for name, columns in self.columns.items():
            if name == "added_losses_kw":
                continue
            total, weights = self._lift(name, states, blocks.steps)
            column = columns[blocks.steps]
            saved = self._program.cost[column] * (total - x[column])
            for block in np.flatnonzero(saved > tolerance).tolist():
                # variable >= total + weights·(states − states here)
                variable, fixed = blocks.split_states(weights[block])
                at = np.flatnonzero(variable)
                own = blocks.first_column_of(int(blocks.steps[block])) + at
                constant = float(total[block]) - float(weights[block] @ states[block]) + fixed
                rows.append(_row(np.array([column[block], *own]), np.array([1.0, *-variable[at]]), constant))
        return Rows.stack(rows)

    def _band(self, states: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Voltages outside their band: a linear lower bound in the states.

        Returns
        -------
        total : float64, shape (len(steps),)
            Here [p.u.].
        weights : float64, shape (len(steps), n_states)
            Slopes.
        """
        blocks = self._blocks
        bounds, reach = self._problem.bounds.rows(steps), blocks.ranges.bus_reach[steps]
        square = np.maximum(blocks.squares(blocks.buses, states), 1e-6)
        voltage = np.sqrt(square)
        with np.errstate(invalid="ignore", divide="ignore"):
            under = bounds.lowest_pu - voltage - _EXACT_PU
            chord = np.where(reach > bounds.highest_pu, 1.0 / (reach + bounds.highest_pu), 0.0)
            over = chord * (square - bounds.highest_pu**2) - _EXACT_PU
            height = np.where(under > 0.0, under, np.where(over > 0.0, over, 0.0))
            slope = np.where(under > 0.0, -0.5 / voltage, np.where(over > 0.0, chord, 0.0))
        there = blocks.buses.row >= 0
        weights = slope[:, there] @ blocks.square_weights(blocks.buses.take(there))
        return height[:, there].sum(axis=1), np.asarray(weights)

    def _overload(self, name: str, states: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Overload of elements: a linear lower bound in the states, as `_band` [kVA].

        For each element the end and the estimate with the highest value: the chord of the current over its square, or
        the power there over the highest voltage, |I| = |V·conj(I)|/|V|, by a tangent; this one is exact at a given
        voltage.
        """
        blocks = self._blocks
        branch, percent_per_pu, limit_percent, rated_kva = dict(self._elements)[name]
        n_branches = len(self._problem.matrices.from_row)
        total, weights = np.zeros(len(steps)), np.zeros(states.shape)
        there = np.flatnonzero(branch >= 0)
        there = there[blocks.ends.row[branch[there]] >= 0]
        if not len(there):
            return total, weights
        per_unit = percent_per_pu[there].T / blocks.scale  # (2, n)
        limit = limit_percent[steps][:, there] + _EXACT_PERCENT
        candidates: list[tuple[np.ndarray, np.ndarray, sparse.csr_array]] = []  # height, factors of slopes, slopes
        for side in (0, 1):
            end = side * n_branches + branch[there]
            ends, per = blocks.ends.take(end), per_unit[side]
            reach = per * blocks.ranges.end_reach[steps][:, end] * blocks.scale
            chord = np.where(reach > limit, 1.0 / (reach + limit), 0.0)
            square = per**2 * blocks.squares(ends, states)
            candidates.append((chord * (square - limit**2), chord * per**2, blocks.square_weights(ends)))
            product_weights = blocks.product_weights(ends)
            product = states @ product_weights.T
            size = np.maximum(np.abs(product), 1e-12)
            highest = blocks.ranges.row_most[steps][:, ends.row]
            direction = per / highest * np.conj(product) / size
            height = per * np.abs(product) / highest - limit
            candidates.append((height, direction, product_weights))
        heights = np.array([height for height, _, _ in candidates])
        best = heights.argmax(axis=0)
        for k, (height, factor, slopes) in enumerate(candidates):
            taken = np.where((best == k) & (height > 0.0), rated_kva[there] / 100.0, 0.0)
            total += (taken * height).sum(axis=1)
            weights += np.real((taken * factor) @ slopes)
        return total, weights


def _row(columns: np.ndarray, values: np.ndarray, lower: float) -> Rows:
    """One row: values·columns >= lower."""
    some = np.flatnonzero(values != 0.0)
    return Rows(
        np.array([0, len(some)]), columns[some].astype(np.int64), values[some], np.array([lower]), np.array([np.inf])
    )
