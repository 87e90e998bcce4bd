"""Rows of observations, made by copying precomputed runs of a flat buffer.

A buffer with every number once comes in; one row for each agent goes out. Copying takes most of the time of an
observation, so the part that many agents share is assembled once and copied as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ev_marl.support.compiled import kernel

Run = tuple[int, int, int, int]
"""Position of adjacent numbers of a row: (base, stride, target, length), as in `copy_runs`."""


@kernel
def copy_runs(
    memory: np.ndarray, base: np.ndarray, stride: np.ndarray, target: np.ndarray, length: np.ndarray, out: np.ndarray
) -> None:
    """out[b, target + i] = memory[base + b·stride + i] for every run; out is (n_batch, width)."""
    for b in range(len(out)):
        for r in range(len(base)):
            source = base[r] + b * stride[r]
            for i in range(length[r]):
                out[b, target[r] + i] = memory[source + i]


@kernel
def copy_rows(memory: np.ndarray, plan: np.ndarray, rows: np.ndarray, n_batch: int, out: np.ndarray) -> None:
    """Write the row of every agent: first a copy of the numbers that its family shares, then its own numbers.

    `plan` is from `row_plan`, `rows` is work space of shape (n_families · width,), `out` is the flat view of shape
    (n_batch · n_agents · width). All indices are unsigned: signed indices are checked for negative values, which takes
    five times as long.
    """
    one, four = np.uint64(1), np.uint64(4)
    n_families, n_agents, own_at, family_at, shared_runs, own_runs = (
        plan[0],
        plan[1],
        plan[2],
        plan[3],
        plan[4],
        plan[5],
    )
    shared_at = np.uint64(6)
    width = np.uint64(len(rows)) // n_families
    begin = np.uint64(0)
    for b in range(np.uint64(n_batch)):
        for f in range(n_families):
            for r in range(plan[shared_at + f], plan[shared_at + f + one]):
                run = shared_runs + four * r
                source, target = plan[run] + b * plan[run + one], f * width + plan[run + one + one]
                for i in range(plan[run + one + one + one]):
                    rows[target + i] = memory[source + i]
        for a in range(n_agents):
            template = plan[family_at + a] * width
            for i in range(width):
                out[begin + i] = rows[template + i]
            for r in range(plan[own_at + a], plan[own_at + a + one]):
                run = own_runs + four * r
                source, target = plan[run] + b * plan[run + one], begin + plan[run + one + one]
                for i in range(plan[run + one + one + one]):
                    out[target + i] = memory[source + i]
            begin += width


def row_plan(shared: list[list[Run]], family: list[int], own: list[list[Run]]) -> np.ndarray:
    """The plan of `copy_rows` as one array; every further array argument would cost a kernel as much time as a row.

    Parameters
    ----------
    shared : list of list of Run
        Runs of each family: the numbers that all its agents share.
    family : list of int
        Family of each agent.
    own : list of list of Run
        Further runs of each agent.

    Returns
    -------
    uint64, shape (n,)
        Six numbers (number of families and agents, first positions of the other parts), followed by: first run of each
        family, first run of each agent, family of each agent, runs of the families, runs of the agents. A run is
        (base, stride, target, length).
    """
    parts = [starts(shared), starts(own), np.array(family, dtype=np.uint64), stacked(shared), stacked(own)]
    places = 6 + np.cumsum([0, *(part.size for part in parts)])
    head = [len(shared), len(family), places[1], places[2], places[3], places[4]]
    return np.concatenate([np.array(head, dtype=np.uint64), *(part.reshape(-1) for part in parts)])


def append_run(runs: list[Run], run: Run) -> None:
    """Add a run, merged with the previous one if both are contiguous in memory and in the row."""
    if runs:
        base, stride, target, length = runs[-1]
        if stride == run[1] and base + length == run[0] and target + length == run[2]:
            runs[-1] = (base, stride, target, length + run[3])
            return
    runs.append(run)


def starts(parts: Sequence[Sequence[object] | np.ndarray]) -> np.ndarray:
    """First position of each part in the joined array, and the end of the last one."""
    return np.cumsum([0, *map(len, parts)]).astype(np.uint64)


def stacked(parts: list[list[Run]]) -> np.ndarray:
    """Runs of all parts, joined, uint64, shape (n_runs, 4)."""
    return np.array([run for part in parts for run in part], dtype=np.uint64).reshape(-1, 4)
