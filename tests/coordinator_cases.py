"""Small sites and requests for coordinators, written by hand: groups by their parents, ports by their groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ev_marl.simulation.coordinators import Coordinator, Request
from ev_marl.simulation.days import STAY
from ev_marl.site.arrays import SiteArrays


def site_of(group_parent: Sequence[int], port_group: Sequence[int]) -> SiteArrays:
    """One-port stations at `port_group`, numbered depth-first; the parent of the root is −1."""
    n_groups, n_ports = len(group_parent), len(port_group)
    inside = np.zeros((n_groups, n_ports), dtype=bool)
    depth = np.zeros(n_groups, dtype=np.int64)
    for port, group in enumerate(port_group):
        while group >= 0:
            inside[group, port] = True
            group = group_parent[group]
    for group in range(1, n_groups):
        depth[group] = depth[group_parent[group]] + 1
    first = inside.argmax(axis=1)
    ones = np.ones(n_ports)
    return SiteArrays(
        port_charge_kw=22 * ones,
        port_discharge_kw=22 * ones,
        charge_efficiency=ones,
        discharge_efficiency=ones,
        port_levels_kw=np.zeros((2, n_ports)),
        port_is_dc=np.zeros(n_ports, dtype=np.bool_),
        port_station=np.arange(n_ports),
        port_group=np.array(port_group),
        station_first_port=np.arange(n_ports + 1),
        station_group=np.array(port_group),
        group_parent=np.array(group_parent),
        group_first_port=first,
        group_end_port=first + inside.sum(axis=1),
        group_depth=depth,
        storage_kwh=0 * ones,
        storage_reserve_kwh=0 * ones,
        storage_start_kwh=0 * ones,
        storage_wear_per_kwh=0 * ones,
        current_weight=np.zeros((0, 2, n_ports)),
        current_limit_a=np.zeros(0),
        current_group=np.zeros(0, dtype=np.int64),
        current_base_weight=np.zeros((0, 2)),
    )


def request_of(
    site: SiteArrays, setpoint: ArrayLike, *, lower: ArrayLike, upper: ArrayLike, laxity: ArrayLike = 0.0
) -> Request:
    """A request whose arrays may be given without the batch axis."""

    def rows(values: ArrayLike) -> np.ndarray:
        return np.array(values, dtype=np.float64, ndmin=2)

    asked = rows(setpoint)
    return Request(
        setpoint_kw=asked,
        lo_kw=np.minimum(asked, 0.0),
        hi_kw=np.maximum(asked, 0.0),
        lower_kw=rows(lower),
        upper_kw=rows(upper),
        laxity_h=np.broadcast_to(rows(laxity), asked.shape).copy(),
        currents=np.zeros((3, len(asked), 0)),
        session=np.full(asked.shape, -1, dtype=np.int64),
        stays=np.zeros(0, dtype=STAY),
        site=site,
    )


def grant(coordinator: Coordinator, request: Request) -> np.ndarray:
    """What it grants, shape (n_batch, n_ports)."""
    out = np.full(request.setpoint_kw.shape, np.nan)
    coordinator.grant(request, out)
    return out
