"""Limits of currents: rows |b + Σ a·p| <= limit [A], from phases, voltages, transformers, and limits of currents and of
their differences.

A coupling graph comes in; for each limit its name, the complex weights a [A/kW] of the ports' powers p, and that of the
base load below the group, which draws from three phases alike. Currents are phasors. Seen from each voltage level, the
phase-to-neutral voltages are at 0° (L1), −120° (L2) and +120° (L3); a port between L1 and L2 draws in the direction of
the voltage between them (+30°), and its current comes back in L2. With a power factor below 1, a current lags behind
by its angle and is larger by its inverse; where power flows back, so does the reactive power.

How unequal the phases are is a row, too: the difference of two phasors, each turned by the angle of its voltage. The
base load draws from three phases alike and has no part in it, so no power at all keeps the limit. The magnitudes of two
currents differ by at most as much; a limit of their ratio, as NEMA MG 1 measures it, would not be convex.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from ev_marl.scenario.schema import Transformer
from ev_marl.support.errors import SiteError

DEFAULT_VOLTAGE_V = 230.0
"""Phase-to-neutral voltage of European low-voltage networks, IEC 60038 [V]."""
LINES = ("L1", "L2", "L3")
_VOLTAGE = np.exp(1j * np.radians([0.0, -120.0, 120.0]))  # of each phase to neutral, in units of its magnitude
_WITH_ROWS = {"current_limit_a", "unbalance_limit_a", "transformer"}  # attributes of groups that rows come from
_SAME = 1e-9  # rows that differ by less, relative to their largest weight, are the same

_DELTA = np.array([[1, 0, -1], [-1, 1, 0], [0, -1, 1]])  # line currents of a delta whose windings start at a, b, c
_WINDINGS: dict[str, tuple[np.ndarray, bool, int]] = {
    # primary line currents over secondary ones, whether the primary is a delta, lag of the secondary in clock hours
    "Dyn11": (_DELTA, True, 11),
    "Dyn1": (_DELTA.T, True, 1),
    "Dyn5": (-_DELTA, True, 5),
    "Dyn7": (-_DELTA.T, True, 7),
    "YNyn0": (np.eye(3), False, 0),
    "Yyn0": (np.eye(3) - 1 / 3, False, 0),  # without a neutral, what is equal in all phases stays on the secondary
}


@dataclass(frozen=True)
class Currents:
    """R current limits of a site with P ports, as `SiteArrays` has them."""

    names: tuple[str, ...]
    weight: np.ndarray  # float64 (R, 2, P)
    limit_a: np.ndarray  # float64 (R,)
    group: np.ndarray  # int64 (R,)
    base_weight: np.ndarray  # float64 (R, 2)


@dataclass(frozen=True)
class _Row:
    name: str
    group: int
    limit_a: float
    weight: np.ndarray  # complex (P,)
    base_weight: complex


def voltage_below_v(graph: nx.DiGraph, node: str) -> float:
    """Phase-to-neutral voltage below a group of the coupling graph [V]: its own, or that of the next group above."""
    above: str | None = node
    while above is not None:
        attributes = graph.nodes[above]
        if "voltage_v" in attributes:
            return float(attributes["voltage_v"])
        if "transformer" in attributes:
            return float(attributes["transformer"].secondary / math.sqrt(3.0))
        above = next(iter(graph.predecessors(above)), None)
    return DEFAULT_VOLTAGE_V


def lagging(power_factor: float) -> complex:
    """Current over that at unity power factor, for the same power [-]."""
    return complex(1.0, -math.tan(math.acos(power_factor)))


def _power_factor_below(graph: nx.DiGraph, node: str) -> float:
    """Of the base load below a group of the coupling graph [-]: its own, or that of the next group above."""
    above: str | None = node
    while above is not None:
        if "base_load_power_factor" in graph.nodes[above]:
            return float(graph.nodes[above]["base_load_power_factor"])
        above = next(iter(graph.predecessors(above)), None)
    return 1.0


def line_currents(conductors: str, voltage_v: float) -> np.ndarray:
    """Currents in L1, L2 and L3 of a port, over its power: complex128, shape (3,) [A/kW].

    Parameters
    ----------
    conductors : str
        Such as `L1`, `L1-L2` or `L1-L2-L3`.
    voltage_v : float
        Phase-to-neutral voltage [V].
    """
    lines = [LINES.index(name) for name in conductors.split("-")]
    currents = np.zeros(3, dtype=np.complex128)
    if len(lines) == 2:
        between = _VOLTAGE[lines[0]] - _VOLTAGE[lines[1]]
        currents[lines] = 1000.0 * between / (3.0 * voltage_v) * np.array([1.0, -1.0])
    else:
        currents[lines] = 1000.0 * _VOLTAGE[lines] / (len(lines) * voltage_v)
    return currents


def currents_of(graph: nx.DiGraph, groups: Sequence[str], ports: Sequence[str], group_ports: np.ndarray) -> Currents:
    """All current limits of a site, those of groups further up first.

    Parameters
    ----------
    graph : networkx.DiGraph
        The coupling graph, checked.
    groups, ports : sequence of str
        In the site's order.
    group_ports : int64, shape (2, G)
        First port of each group, and the one after its last.

    Raises
    ------
    SiteError
        If a current limit stands above a transformer whose primary is not known.
    """
    rows: list[_Row] = []
    if any(_WITH_ROWS & set(graph.nodes[group]) for group in groups):
        rows, _ = _rows_and_connection(graph, groups, ports, group_ports)
    weight = np.array([row.weight for row in rows]).reshape(len(rows), len(ports))
    base = np.array([row.base_weight for row in rows], dtype=np.complex128)
    return Currents(
        names=tuple(row.name for row in rows),
        weight=np.stack([weight.real, weight.imag], axis=1).astype(np.float64),
        limit_a=np.array([row.limit_a for row in rows], dtype=np.float64),
        group=np.array([row.group for row in rows], dtype=np.int64),
        base_weight=np.stack([base.real, base.imag], axis=1),
    )


def connection_currents(
    graph: nx.DiGraph, groups: Sequence[str], ports: Sequence[str], group_ports: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Currents in the three phases of the line that feeds the site; arguments as `currents_of`.

    Returns
    -------
    weight : complex128, shape (3, P)
        Over the powers of the ports [A/kW]; NaN above a transformer whose primary is not known.
    base_weight : complex128, shape (3,)
        Over the base load of the site [A/kW].
    """
    attributes = graph.nodes[groups[0]]
    transformer: Transformer | None = attributes.get("transformer")
    volts = voltage_below_v(graph, groups[0])
    if transformer is not None:
        volts = (transformer.primary or math.nan) / math.sqrt(3.0)
    base_weight = lagging(_power_factor_below(graph, groups[0])) * 1000.0 * _VOLTAGE / (3.0 * volts)
    return _rows_and_connection(graph, groups, ports, group_ports)[1], base_weight


def _rows_and_connection(
    graph: nx.DiGraph, groups: Sequence[str], ports: Sequence[str], group_ports: np.ndarray
) -> tuple[list[_Row], np.ndarray]:
    """All rows, and the currents per kW in the line that feeds the site, complex (3, P)."""
    rows: list[_Row] = []
    line_a = np.stack([_port_line_currents(graph, port) for port in ports], axis=1)  # at the level of each group
    for g in range(len(groups) - 1, -1, -1):
        below = slice(*group_ports[:, g])
        found = list(_rows_of(graph, groups[g], g, line_a[:, below], len(ports), below))
        rows[:0] = _distinct(found)
    return rows, line_a


def _port_line_currents(graph: nx.DiGraph, port: str) -> np.ndarray:
    station = next(graph.predecessors(port))
    attributes = graph.nodes[station]
    voltage_v = attributes.get("voltage_v") or voltage_below_v(graph, next(graph.predecessors(station)))
    in_phase = line_currents(attributes.get("phases", "-".join(LINES)), voltage_v)
    return in_phase * lagging(attributes["power_factor"]) if "power_factor" in attributes else in_phase


def _rows_of(graph: nx.DiGraph, group: str, g: int, line_a: np.ndarray, n_ports: int, below: slice) -> Iterator[_Row]:
    """Rows of one group. `line_a`, complex (3, ports below), holds the currents below the group per kW, and is changed
    to those in the line that feeds it."""

    base_lag = lagging(_power_factor_below(graph, group))

    def row(name: str, limit_a: float, current_a: np.ndarray, base_weight: complex) -> Iterator[_Row]:
        if np.isnan(line_a).any():
            raise SiteError(
                f"'{name}': the limit of a current stands above a transformer whose primary is not known; give that "
                "transformer `primary` and `vector_group`"
            )
        weight = np.zeros(n_ports, dtype=np.complex128)
        weight[below] = np.where(np.abs(current_a) < _SAME * np.abs(line_a).max(), 0.0, current_a)
        if weight.any():  # else no port has a part in it
            yield _Row(name, g, limit_a, weight, base_weight)

    def rows(called: str, limit_a: float, volts: float) -> Iterator[_Row]:
        for name, current_a, angle in zip(LINES, line_a, _VOLTAGE, strict=True):
            yield from row(f"{called} {name}", limit_a, current_a, base_lag * 1000.0 * angle / (3.0 * volts))

    attributes = graph.nodes[group]
    transformer: Transformer | None = attributes.get("transformer")
    volts = voltage_below_v(graph, group)
    if transformer is not None:
        volts = transformer.secondary / math.sqrt(3.0)
        yield from rows(f"{group} secondary", 1000.0 * transformer.rating / (3.0 * volts), volts)
        if transformer.primary is None or transformer.vector_group is None:
            line_a[:] = np.nan
        else:
            turns, delta, hours = _WINDINGS[transformer.vector_group]
            ratio = volts / transformer.primary if delta else transformer.secondary / transformer.primary
            volts = transformer.primary / math.sqrt(3.0)
            # Angles are those at the level above, where L1 is at 0° again.
            line_a[:] = ratio * np.exp(-1j * math.pi / 6.0 * hours) * (turns @ line_a)
            yield from rows(f"{group} primary", 1000.0 * transformer.rating / (3.0 * volts), volts)
    if "current_limit_a" in attributes:
        yield from rows(group, float(attributes["current_limit_a"]), volts)
    if "unbalance_limit_a" in attributes:
        turned_a = np.conj(_VOLTAGE)[:, None] * line_a
        for k, name in enumerate(LINES):
            other = (k + 1) % 3
            called = f"{group} {name} against {LINES[other]}"
            yield from row(called, float(attributes["unbalance_limit_a"]), turned_a[k] - turned_a[other], 0.0j)


def _distinct(rows: list[_Row]) -> list[_Row]:
    """Rows of one group, without those that have the same current as another under the same or a lower limit."""
    kept: list[_Row] = []
    for row in rows:
        twin = next((k for k, other in enumerate(kept) if _same_current(row, other)), None)
        if twin is None:
            kept.append(row)
        elif row.limit_a < kept[twin].limit_a:
            kept[twin] = row
    return kept


def _same_current(one: _Row, other: _Row) -> bool:
    """Whether two currents have the same magnitude at all powers: all their phasors are turned by one angle, or
    mirrored too."""
    a, b = (_turned(np.append(row.base_weight, row.weight)) for row in (one, other))
    size = _SAME * np.abs(a).max()
    return bool(np.abs(a - b).max() <= size or np.abs(a - b.conj()).max() <= size)


def _turned(weights: np.ndarray) -> np.ndarray:
    """Weights that are not all 0, turned so that the first one above 0 is real."""
    first = weights[np.argmax(np.abs(weights) > _SAME * np.abs(weights).max())]
    turned: np.ndarray = weights * np.conj(first) / np.abs(first)
    return turned
