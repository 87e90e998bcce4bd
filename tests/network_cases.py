"""A network small enough for paper: two streets below one transformer, and what happened on it, number by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ev_marl.grid.loop.flow import GridFlow
from ev_marl.grid.model.spec import NetworkSpec

NOTHING = np.zeros(0)


def small_spec() -> NetworkSpec:
    """Bus `above` (10 kV) feeds `station` through 100 kVA; `west` and `east` hang on it by lines of 40 and 60 kVA."""
    return NetworkSpec(
        name="small",
        buses=("above", "station", "west", "east"),
        lines=("to west", "to east"),
        transformers=("transformer",),
        loads=(),
        generators=(),
        charger_bus=np.array([2, 3]),
        load_bus=NOTHING.astype(np.int64),
        generator_bus=NOTHING.astype(np.int64),
        line_from_bus=np.array([1, 1]),
        line_to_bus=np.array([2, 3]),
        transformer_hv_bus=np.array([0]),
        transformer_lv_bus=np.array([1]),
        bus_kv=np.array([10.0, 0.4, 0.4, 0.4]),
        line_kva=np.array([40.0, 60.0]),
        transformer_kva=np.array([100.0]),
        load_kw=NOTHING,
        load_kvar=NOTHING,
        generator_kw=NOTHING,
        generator_kvar=NOTHING,
        fingerprint="small",
    )


def quiet_flow(n_batch: int = 1, **changes: Any) -> GridFlow:
    """A step in which every bus has 1 p.u., nothing flows and nothing is lost; `changes` replace whole arrays.

    Limits are 0.9 to 1.1 p.u. and 100 %.
    """
    spec = small_spec()

    def full(value: float, *shape: int) -> np.ndarray:
        return np.full((n_batch, *shape), value)

    arrays: dict[str, Any] = {
        "charger_kw": full(0.0, 2),
        "charger_kvar": full(0.0, 2),
        "vm_pu": full(1.0, 4),
        "line_percent": full(0.0, 2),
        "transformer_percent": full(0.0, 1),
        "slack_kw": full(0.0),
        "losses_kw": full(0.0),
        "lowest_pu": full(0.9, 4),
        "highest_pu": full(1.1, 4),
        "line_limit_percent": full(100.0, 2),
        "transformer_limit_percent": full(100.0, 1),
        "idle_losses_kw": full(0.0),
        "curtailed_kw": full(0.0),
        "cut": np.zeros(n_batch, dtype=bool),
        "failed": np.zeros(n_batch, dtype=bool),
        "tap": np.zeros(n_batch, dtype=np.int64),
        "tap_moved": np.zeros(n_batch, dtype=bool),
        "hot_spot_c": full(60.0, 1),
    }
    assert set(changes) <= set(arrays)
    for name, values in changes.items():
        arrays[name] = np.broadcast_to(np.asarray(values), arrays[name].shape).copy()
    return GridFlow(spec=spec, **arrays)
