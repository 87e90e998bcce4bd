"""Central policies that serve vehicles one after the other while the limits of the tree allow it.

A site view comes in; setpoints go out that keep import and current limits, and are levels of the ports: any coordinator
grants them fully. They only charge: sums never fall, so no export limit binds.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.planning.outlook import Kind
from ev_marl.policies.base import POLICIES, Episode, Information, StationView, site_view
from ev_marl.policies.rules.needs import power_for_wish_kw
from ev_marl.simulation.coordinators.base import Request
from ev_marl.simulation.coordinators.in_turn import grant_in_turn
from ev_marl.site.tree import take_room
from ev_marl.support.compiled import kernel


@kernel
def _serve(
    order: np.ndarray,
    wanted_kw: np.ndarray,
    upper_kw: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    out: np.ndarray,
) -> None:
    """Give each port in turn what it wants, as far as every group above it has room."""
    n_batch, n_ports = wanted_kw.shape
    room_kw = np.empty(len(group_parent))
    for b in range(n_batch):
        room_kw[:] = upper_kw[b]
        for i in range(n_ports):
            p = order[b, i]
            out[b, p] = take_room(wanted_kw[b, p], port_group[p], room_kw, group_parent)


@kernel
def _take_turns(order: np.ndarray, wanted_kw: np.ndarray, served_kw: np.ndarray, spare: np.ndarray) -> None:
    """New queue: first those that got nothing, then those just served, then those that want nothing."""
    n_batch, n_ports = wanted_kw.shape
    for b in range(n_batch):
        n = 0
        for turn in range(3):
            for i in range(n_ports):
                p = order[b, i]
                kind = 2 if wanted_kw[b, p] <= 0.0 else (1 if served_kw[b, p] > 0.0 else 0)
                if kind == turn:
                    spare[n] = p
                    n += 1
        order[b, :] = spare


def _serve_in_order(view: StationView, order: np.ndarray, wanted_kw: np.ndarray) -> np.ndarray:
    """Setpoints when ports are served in the given order, int64, shape (n_batch, n_ports)."""
    setpoint_kw = np.empty(wanted_kw.shape)
    tree = site_view(view)
    if tree.currents is not None or tree.site.has_levels:
        vehicles = tree.vehicles
        request = Request(
            wanted_kw,
            tree.lo_kw,
            tree.hi_kw,
            tree.lower_kw,
            tree.upper_kw,
            tree.laxity_h,
            np.zeros((3, len(order), 0)) if tree.currents is None else tree.currents,
            vehicles.session,
            vehicles.stays,
            tree.site,
        )
        grant_in_turn(request, np.argsort(order, axis=1).astype(np.float64), np.inf, setpoint_kw)
        return setpoint_kw
    _serve(order, wanted_kw, tree.upper_kw, tree.site.port_group, tree.site.group_parent, setpoint_kw)
    return setpoint_kw


@POLICIES.register("round-robin")
class RoundRobin:
    """Vehicles take turns: as many at once, at full power, as the limits allow; served vehicles queue again.

    A vehicle that wants power and got none keeps its place in front; one that got some goes to the back, followed by
    the ports that want nothing, so that a new vehicle joins at the end. Like round robin in EV2Gym and ACN-Sim, with
    the whole tree of limits instead of one capacity.
    """

    name = "round-robin"
    information: Information = "site"
    looks_at: ClassVar[tuple[Kind, ...]] = ()

    def reset(self, episode: Episode) -> None:
        """Queue the ports in the order of their numbers."""
        n_ports = episode.site.n_ports
        self._order = np.tile(np.arange(n_ports), (episode.n_batch, 1))
        self._spare = np.empty(n_ports, dtype=np.int64)

    def act(self, view: StationView) -> np.ndarray:
        """Full power to the first in the queue, float64, shape (n_batch, n_ports) [kW]."""
        wanted_kw = power_for_wish_kw(view)
        setpoint_kw = _serve_in_order(view, self._order, wanted_kw)
        _take_turns(self._order, wanted_kw, setpoint_kw, self._spare)
        return setpoint_kw


@POLICIES.register("edf")
class EarliestDeadlineFirst:
    """Full power to the vehicles that leave first, within the limits of the tree; equal deadlines by port number.

    Source: Liu and Layland, Scheduling algorithms for multiprogramming in a hard-real-time environment, J. ACM 20(1),
    1973; as a charging policy in ACN-Sim (Lee et al., 2021).
    """

    name = "edf"
    information: Information = "site"
    looks_at: ClassVar[tuple[Kind, ...]] = ()

    def reset(self, episode: Episode) -> None:
        """Nothing to prepare."""

    def act(self, view: StationView) -> np.ndarray:
        """Full power by deadline, float64, shape (n_batch, n_ports) [kW]."""
        order = np.argsort(view.vehicle["deadline_step"], axis=1, kind="stable")
        return _serve_in_order(view, order, power_for_wish_kw(view))


@POLICIES.register("llf")
class LeastLaxityFirst:
    """Full power to the vehicles with the least laxity, within the limits of the tree; equal laxities by port number.

    Laxity is the time left less the time needed at full power. Source: Dertouzos and Mok, Multiprocessor on-line
    scheduling of hard-real-time tasks, IEEE Trans. Software Eng. 15(12), 1989; as a charging policy in ACN-Sim (Lee
    et al., 2021).
    """

    name = "llf"
    information: Information = "site"
    looks_at: ClassVar[tuple[Kind, ...]] = ()

    def reset(self, episode: Episode) -> None:
        """Nothing to prepare."""

    def act(self, view: StationView) -> np.ndarray:
        """Full power by laxity, float64, shape (n_batch, n_ports) [kW]."""
        order = np.argsort(view.laxity_h, axis=1, kind="stable")
        return _serve_in_order(view, order, power_for_wish_kw(view))
