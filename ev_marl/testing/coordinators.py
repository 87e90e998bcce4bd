"""Whether the simulator can rely on a coordinator."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ev_marl.simulation.coordinators.base import Coordinator, Request
from ev_marl.testing.asserting import require, require_small
from ev_marl.testing.cases import group_sums, random_request, random_site_arrays


def check_coordinator(coordinator: Coordinator, *, n_sites: int = 40, n_batch: int = 25, seed: int = 0) -> None:
    """Check a coordinator on random sites and requests.

    It must have a name and say whether it enforces limits; write every entry of `out` and nothing else; grant between
    zero and the setpoint; keep every limit, where it says that it enforces them; give the same answer to the same
    request; and treat each batch row as if it were alone.

    Parameters
    ----------
    coordinator : Coordinator
        The coordinator to check.
    n_sites : int
        How many random sites.
    n_batch : int
        Random requests on each.
    seed : int
        Seed of the random cases.

    Raises
    ------
    ConformanceError
        If it breaks a rule by more than 1e-9 kW; the message says which, where, and by how much.
    """
    require(isinstance(coordinator, Coordinator), f"{coordinator!r} lacks name, enforces_limits or grant")
    require(isinstance(coordinator.name, str), f"the name of a coordinator is a str, got {coordinator.name!r}")
    require(isinstance(coordinator.enforces_limits, bool), "enforces_limits is True or False")
    rng = np.random.default_rng(seed)
    for case in range(n_sites):
        request = random_request(rng, random_site_arrays(rng, n_levels=1 + case % 4), n_batch)
        _check_grant(coordinator, request, f"coordinator '{coordinator.name}', seed {seed}, site {case}")


def _check_grant(coordinator: Coordinator, request: Request, where: str) -> None:
    names = [field.name for field in fields(request) if field.name != "site"]
    before = {name: getattr(request, name).copy() for name in names}
    granted = _grant(coordinator, request)
    for name in names:
        require(np.array_equal(getattr(request, name), before[name]), f"{where}: it wrote to request.{name}")
    require(bool(np.isfinite(granted).all()), f"{where}: granted powers left out, or not finite")
    asked = request.setpoint_kw
    beyond = np.maximum(granted - np.maximum(asked, 0.0), np.minimum(asked, 0.0) - granted)
    require_small(beyond, f"{where}: granted power not between 0 and the setpoint at (row, port)")
    if coordinator.enforces_limits:
        sums = group_sums(request.site, granted)
        require_small(sums - request.upper_kw, f"{where}: import limit broken at (row, group)")
        require_small(request.lower_kw - sums, f"{where}: export limit broken at (row, group)")
    again = _grant(coordinator, request)
    require_small(np.abs(again - granted), f"{where}: the same request got another answer at (row, port)")
    for row in range(len(granted)):
        alone = request.of_rows(slice(row, row + 1))
        difference = np.abs(_grant(coordinator, alone) - granted[row])
        require_small(difference, f"{where}: row {row} of a batch differs from the same row alone at (row, port)")


def _grant(coordinator: Coordinator, request: Request) -> np.ndarray:
    out = np.full(request.setpoint_kw.shape, np.nan)
    coordinator.grant(request, out)
    return out
