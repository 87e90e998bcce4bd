"""Rows put together by copying runs of a flat buffer, worked out beforehand.

A buffer with everything once comes in; one row for each agent goes out. Copying takes most of the time of an
observation, so what many agents share is put together once and copied whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ev_marl.support.compiled import kernel

Run = tuple[int, int, int, int]
"""Where some neighbouring numbers of a row lie: (base, stride, target, length), as in `copy_runs`."""


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
def copy_rows(
    memory: np.ndarray,
    shared_first: np.ndarray,
    shared: np.ndarray,
    family: np.ndarray,
    own_first: np.ndarray,
    own: np.ndarray,
    rows: np.ndarray,
    n_batch: int,
    out: np.ndarray,
) -> None:
    """Write every agent's row: what its family shares is put together once and copied whole, then come its own numbers.

    Agent a is of family `family[a]`. Runs [first[k], first[k + 1]) of `shared` are those of family k, of `own` those of
    agent k; a run is (base, stride, target, length). `rows` is work space, `out` the
    flat view of shape (n_batch · n_agents · width). All indices are unsigned: one that might be negative is checked
    each time, which takes five times as long.
    """
    one = np.uint64(1)
    n_families = np.uint64(len(shared_first) - 1)
    width = np.uint64(len(rows)) // n_families
    begin = np.uint64(0)
    for b in range(np.uint64(n_batch)):
        for f in range(n_families):
            for r in range(shared_first[f], shared_first[f + one]):
                source, target = shared[r, 0] + b * shared[r, 1], f * width + shared[r, 2]
                for i in range(shared[r, 3]):
                    rows[target + i] = memory[source + i]
        for a in range(np.uint64(len(family))):
            template = family[a] * width
            for i in range(width):
                out[begin + i] = rows[template + i]
            for r in range(own_first[a], own_first[a + one]):
                source, target = own[r, 0] + b * own[r, 1], begin + own[r, 2]
                for i in range(own[r, 3]):
                    out[target + i] = memory[source + i]
            begin += width


def append_run(runs: list[Run], run: Run) -> None:
    """Add a run, merged with the one before where both go on in memory and in the row."""
    if runs:
        base, stride, target, length = runs[-1]
        if stride == run[1] and base + length == run[0] and target + length == run[2]:
            runs[-1] = (base, stride, target, length + run[3])
            return
    runs.append(run)


def starts(parts: Sequence[Sequence[object] | np.ndarray]) -> np.ndarray:
    """Where each part starts once they are laid end to end, and where the last one ends."""
    return np.cumsum([0, *map(len, parts)]).astype(np.uint64)


def stacked(parts: list[list[Run]]) -> np.ndarray:
    """Runs of all parts, end to end, uint64, shape (n_runs, 4)."""
    return np.array([run for part in parts for run in part], dtype=np.uint64).reshape(-1, 4)
