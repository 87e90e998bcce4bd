"""The efficiency of a charger by its power: what reaches the battery of what is metered.

A table of a charger comes in: shares of the port's power, each with its efficiency. Between its points the power into
the battery is linear in the metered power; below the first point the efficiency is that of the first point. So a
charger has two rows of points, metered power and power into the battery [kW], the first at 0. Everyone who counts with
one efficiency counts with the highest one, which no charger exceeds; this is the only file that knows the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ev_marl.scenario.part_load import MOST_PAIRS, part_load_faults
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.compiled import kernel

N_POINTS = MOST_PAIRS + 1
METERED, STORED = 0, 1  # rows of the points
_SAME = 1e-12  # slopes that differ by less are the same


def read_table(text: object) -> list[tuple[float, float]]:
    """A table from the JSON text of a graph, `[[0.1, 0.8], [1.0, 0.95]]`.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        table = [(float(share), float(efficiency)) for share, efficiency in json.loads(str(text))]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"is no table such as [[0.1, 0.8], [1.0, 0.95]]: {error}") from error
    if not all(0.01 <= efficiency <= 1.0 for _, efficiency in table):
        raise ValueError("has an efficiency that is not from 0.01 to 1")
    if (found := part_load_faults(table)) is not None:
        raise ValueError(found)
    return table


def points_kw(table: Sequence[Sequence[float]], power_kw: float) -> np.ndarray:
    """Points of a port with this rated power, float64, shape (2, N_POINTS), the last one repeated [kW]."""
    shares = np.array([0.0, *(share for share, _ in table)])
    outputs = np.array([0.0, *(share * efficiency for share, efficiency in table)])
    fill = np.minimum(np.arange(N_POINTS), len(shares) - 1)
    return power_kw * np.stack([shares[fill], outputs[fill]])


def highest_efficiency(points: np.ndarray) -> np.ndarray:
    """The highest efficiency of each charger, float64, shape (P,); 0 of one without points [-]."""
    metered, stored = points[:, METERED, 1:], points[:, STORED, 1:]
    shares: np.ndarray = np.divide(stored, metered, out=np.zeros_like(stored), where=metered > 0.0)
    return np.asarray(shares.max(axis=1))


@kernel
def interpolated(value: float, points: np.ndarray, of: int, to: int) -> float:
    """One row of the points over the other, both rising; the last value beyond the end.

    With (METERED, STORED) the power into the battery at a metered power, with (STORED, METERED) the other way round.
    """
    for i in range(points.shape[1] - 1):
        if value <= points[of, i + 1] and points[of, i + 1] > points[of, i]:
            share = (value - points[of, i]) / (points[of, i + 1] - points[of, i])
            found: float = points[to, i] + share * (points[to, i + 1] - points[to, i])
            return found
    last: float = points[to, points.shape[1] - 1]
    return last


@kernel
def metered_kw(power_kw: np.ndarray, efficiency: np.ndarray, points: np.ndarray) -> None:
    """Change charging powers at the highest efficiency to those that give the batteries as much.

    Parameters
    ----------
    power_kw : float64, shape (n_batch, n_ports)
        Changed in place where it is above 0, at ports with points [kW].
    efficiency : float64, shape (n_batch, n_ports)
        What `power_kw` counts with [-].
    points : float64, shape (n_ports, 2, N_POINTS)
        Of each port, 0 where the efficiency does not depend on the power [kW].
    """
    for b in range(power_kw.shape[0]):
        for p in range(power_kw.shape[1]):
            if power_kw[b, p] > 0.0 and points[p, METERED, -1] > 0.0:
                power_kw[b, p] = interpolated(power_kw[b, p] * efficiency[b, p], points[p], STORED, METERED)


@kernel
def _change_all(value: np.ndarray, port: np.ndarray, points: np.ndarray, of: int, to: int, out: np.ndarray) -> None:
    for i in range(len(value)):
        if points[port[i], METERED, -1] > 0.0:
            out[i] = interpolated(value[i], points[port[i]], of, to)


def into_battery_kw(site: SiteArrays, port: np.ndarray, power_kw: np.ndarray) -> np.ndarray:
    """What reaches the batteries at ports that draw these powers, float64, all of shape (n,) [kW]."""
    stored_kw: np.ndarray = site.charge_efficiency[port] * power_kw
    if site.has_part_load:
        _change_all(power_kw, port, site.part_load, METERED, STORED, stored_kw)
    return stored_kw


def drawn_kw(site: SiteArrays, port: np.ndarray, stored_kw: np.ndarray) -> np.ndarray:
    """What ports draw to give batteries these powers, float64, all of shape (n,); at most their rated one with a table
    [kW]."""
    power_kw: np.ndarray = stored_kw / site.charge_efficiency[port]
    if site.has_part_load:
        _change_all(stored_kw, port, site.part_load, STORED, METERED, power_kw)
    return power_kw


class Pieces(NamedTuple):
    """The concave hull of what reaches the battery, up to the power that port and vehicle allow."""

    slope: np.ndarray  # float64 (n,)  falling [-]
    intercept: np.ndarray  # float64 (n,)  [kW]
    most_lost_kw: float  # beside what the highest efficiency loses
    exact: bool  # whether the curve is its hull


def pieces(points: np.ndarray, most_kw: float, efficiency: float) -> Pieces:
    """The hull of a charger that draws at most this power, above 0; `efficiency` is its highest one."""
    rising = np.concatenate([[True], np.diff(points[METERED]) > 0.0])
    inside = rising & (points[METERED] < most_kw)
    end = [[most_kw], [interpolated(most_kw, points, METERED, STORED)]]
    metered, stored = np.concatenate([points[:, inside], end], axis=1)
    kept = [0]
    for i in range(1, len(metered)):
        while len(kept) > 1 and (stored[kept[-1]] - stored[kept[-2]]) * (metered[i] - metered[kept[-1]]) <= (
            stored[i] - stored[kept[-1]]
        ) * (metered[kept[-1]] - metered[kept[-2]]):
            kept.pop()
        kept.append(i)
    slope = np.diff(stored[kept]) / np.diff(metered[kept])
    intercept = stored[kept[1:]] - slope * metered[kept[1:]]
    concave = bool((np.diff(np.diff(stored) / np.diff(metered)) <= _SAME).all())
    return Pieces(slope, intercept, max(0.0, float((efficiency * metered - stored).max())), concave)
