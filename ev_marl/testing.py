"""Conformance checks: call one in the tests of your own plug-in, and it says whether the simulator can rely on it.

A plug-in comes in; an `AssertionError` that says what went wrong comes out, or nothing.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ev_marl.coordinator.base import Coordinator, Request
from ev_marl.site.arrays import SiteArrays

TOLERANCE_KW = 1e-9


def random_site_arrays(rng: np.random.Generator, n_levels: int = 3) -> SiteArrays:
    """A random coupling tree of one-port stations.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    n_levels : int
        Most groups between the grid connection and a port, both included.

    Returns
    -------
    SiteArrays
        1 to 15 members in each group, ports and subgroups in any order.
    """
    group_parent: list[int] = []
    first: list[int] = []
    end: list[int] = []
    depth: list[int] = []
    port_group: list[int] = []

    def grow(parent: int, level: int) -> None:
        group = len(group_parent)
        group_parent.append(parent)
        first.append(len(port_group))
        end.append(0)
        depth.append(level)
        for _ in range(rng.integers(1, 4)):
            if level + 1 < n_levels and rng.random() < 0.6:
                grow(group, level + 1)
            else:
                port_group.extend([group] * int(rng.integers(1, 6)))
        end[group] = len(port_group)

    grow(-1, 0)
    n_ports = len(port_group)
    whole = [np.array(column, dtype=np.int64) for column in (group_parent, first, end, depth, port_group)]
    arrays = SiteArrays(
        port_charge_kw=np.full(n_ports, 22.0),
        port_discharge_kw=np.full(n_ports, 22.0),
        charge_efficiency=np.full(n_ports, 0.93),
        discharge_efficiency=np.full(n_ports, 0.93),
        port_is_dc=np.zeros(n_ports, dtype=np.bool_),
        port_station=np.arange(n_ports),
        port_group=whole[4],
        station_first_port=np.arange(n_ports + 1),
        station_group=whole[4].copy(),
        group_parent=whole[0],
        group_first_port=whole[1],
        group_end_port=whole[2],
        group_depth=whole[3],
    )
    for field in fields(arrays):
        getattr(arrays, field.name).flags.writeable = False
    return arrays


def random_request(rng: np.random.Generator, site: SiteArrays, n_batch: int = 1) -> Request:
    """A random request: charging and discharging, equal setpoints, limits that are absent, loose, tight, or zero.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    site : SiteArrays
        The site.
    n_batch : int
        Batch rows.

    Returns
    -------
    Request
        Setpoints up to ±22 kW; in some rows all charge, in some all setpoints are multiples of 3.7 kW.
    """
    shape, limits = (n_batch, site.n_ports), (n_batch, site.n_groups)
    discharging_share = rng.choice([0.0, 0.3, 0.5, 1.0], (n_batch, 1))
    setpoint = rng.uniform(0.0, 22.0, shape) * np.where(rng.random(shape) < discharging_share, -1.0, 1.0)
    setpoint[rng.random(shape) < 0.1] = 0.0
    in_steps = rng.random(n_batch) < 0.4
    setpoint[in_steps] = np.round(setpoint[in_steps] / 3.7) * 3.7
    size = (site.group_end_port - site.group_first_port) ** rng.uniform(0.5, 1.0, (n_batch, 1))

    def limit() -> np.ndarray:
        kind = rng.random(limits)
        values = np.where(kind < 0.3, np.inf, rng.uniform(0.0, 12.0, limits) * size)
        return np.where(kind > 0.93, 0.0, values)

    laxity = np.where(setpoint == 0.0, np.inf, np.round(rng.uniform(-1.0, 8.0, shape), 1))
    return Request(
        setpoint_kw=setpoint,
        lo_kw=np.minimum(setpoint, 0.0) - rng.uniform(0.0, 5.0, shape),
        hi_kw=np.maximum(setpoint, 0.0) + rng.uniform(0.0, 5.0, shape),
        lower_kw=-limit(),
        upper_kw=limit(),
        laxity_h=laxity,
        site=site,
    )


def group_sums(site: SiteArrays, power_kw: np.ndarray) -> np.ndarray:
    """Sum of port powers below each group.

    Parameters
    ----------
    site : SiteArrays
        The site.
    power_kw : float64, shape (n_batch, n_ports)
        Power of each port [kW].

    Returns
    -------
    float64, shape (n_batch, n_groups)
        Power of each group [kW].
    """
    slices = zip(site.group_first_port, site.group_end_port, strict=True)
    return np.stack([power_kw[:, first:end].sum(axis=1) for first, end in slices], axis=1)


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
    AssertionError
        If it breaks a rule by more than 1e-9 kW; the message says which, where, and by how much.
    """
    _require(isinstance(coordinator, Coordinator), f"{coordinator!r} lacks name, enforces_limits or grant")
    _require(isinstance(coordinator.name, str), f"the name of a coordinator is a str, got {coordinator.name!r}")
    _require(isinstance(coordinator.enforces_limits, bool), "enforces_limits is True or False")
    rng = np.random.default_rng(seed)
    for case in range(n_sites):
        request = random_request(rng, random_site_arrays(rng, n_levels=1 + case % 4), n_batch)
        _check_grant(coordinator, request, f"coordinator '{coordinator.name}', seed {seed}, site {case}")


def _check_grant(coordinator: Coordinator, request: Request, where: str) -> None:
    names = [field.name for field in fields(request) if field.name != "site"]
    before = {name: getattr(request, name).copy() for name in names}
    granted = _grant(coordinator, request)
    for name in names:
        _require(np.array_equal(getattr(request, name), before[name]), f"{where}: it wrote to request.{name}")
    _require(bool(np.isfinite(granted).all()), f"{where}: granted powers left out, or not finite")
    asked = request.setpoint_kw
    beyond = np.maximum(granted - np.maximum(asked, 0.0), np.minimum(asked, 0.0) - granted)
    _require_small(beyond, f"{where}: granted power not between 0 and the setpoint at (row, port)")
    if coordinator.enforces_limits:
        sums = group_sums(request.site, granted)
        _require_small(sums - request.upper_kw, f"{where}: import limit broken at (row, group)")
        _require_small(request.lower_kw - sums, f"{where}: export limit broken at (row, group)")
    again = _grant(coordinator, request)
    _require_small(np.abs(again - granted), f"{where}: the same request got another answer at (row, port)")
    for row in range(len(granted)):
        alone = Request(**{name: before[name][row : row + 1] for name in names}, site=request.site)
        difference = np.abs(_grant(coordinator, alone) - granted[row])
        _require_small(difference, f"{where}: row {row} of a batch differs from the same row alone at (row, port)")


def _grant(coordinator: Coordinator, request: Request) -> np.ndarray:
    out = np.full(request.setpoint_kw.shape, np.nan)
    coordinator.grant(request, out)
    return out


def _require_small(excess_kw: np.ndarray, message: str) -> None:
    worst = np.unravel_index(np.argmax(excess_kw), excess_kw.shape)
    place = tuple(int(i) for i in worst)
    _require(bool(excess_kw[worst] <= TOLERANCE_KW), f"{message} {place}, by {excess_kw[worst]:.3g} kW")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
