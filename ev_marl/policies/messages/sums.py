"""The sums that go up the edges: planned powers, and powers that could be planned, of the vehicles below a node."""

from __future__ import annotations

import numpy as np

from ev_marl.support.compiled import kernel


@kernel
def sum_plans(
    step: int,
    stays: np.ndarray,
    session: np.ndarray,
    plan_kw: np.ndarray,
    flexible_kw: np.ndarray,
    weight: float,
    place: np.ndarray,
    group_parent: np.ndarray,
    total_kw: np.ndarray,
    able_kw: np.ndarray,
) -> None:
    """Add plans and powers that could be planned to the groups above each vehicle, from this step on."""
    n_batch, n_ports = session.shape
    for b in range(n_batch):
        for p in range(n_ports):
            s = session[b, p]
            if s < 0:
                continue
            g = place[p]
            while g >= 0:
                for k in range(max(step, stays[s]["arrival_step"]), stays[s]["deadline_step"]):
                    total_kw[b, g, k] += weight * plan_kw[b, p, k]
                    able_kw[b, g, k] += weight * flexible_kw[b, p]
                g = group_parent[g]
