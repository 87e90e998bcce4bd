"""Which ports have the same sessions: those of the scenario, of a group, or of an entry of stations.

A scenario and its site come in; areas go out. A vehicle comes to an area, and stands at one of its ports.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.scenario.problems import KeyPath
from ev_marl.scenario.schema import Scenario, Sessions
from ev_marl.site.build import depth_first
from ev_marl.site.site import Site


@dataclass(frozen=True)
class Area:
    """Ports to which vehicles come by the same sessions."""

    number: int  # of its random numbers: 0 for the scenario's sessions, others in the order of the file
    path: KeyPath  # key of the sessions
    sessions: Sessions
    ports: np.ndarray  # int64  indices of its ports, ascending; those with a stationary battery are in none


def areas_of(scenario: Scenario, site: Site) -> tuple[Area, ...]:
    """The areas of a site that have ports; stations that the scenario does not list have its own sessions.

    Parameters
    ----------
    scenario : Scenario
        What groups and stations have sessions of their own.
    site : Site
        Where it happens.
    """
    usual: tuple[KeyPath, Sessions] = ("sessions",), scenario.sessions
    said = [usual, *scenario.site.own_sessions()]
    if len(said) == 1:
        return (Area(0, *usual, site.arrays.vehicle_ports),)
    number_of = {id(sessions): k for k, (_, sessions) in enumerate(said)}
    of_group: dict[str | None, int] = {None: 0}
    of_station: dict[str, int] = {}
    for group, parent, entries in depth_first(scenario.site):
        of_group[group.name] = of_group[parent] if group.sessions is None else number_of[id(group.sessions)]
        for stations, names in entries:
            own = stations.sessions
            of_station |= dict.fromkeys(names, of_group[group.name] if own is None else number_of[id(own)])
    of_agent = np.array([of_station.get(agent, 0) for agent in site.agents], dtype=np.int64)
    ports = site.arrays.vehicle_ports
    of_port = of_agent[site.arrays.port_station[ports]]
    numbers: list[int] = np.unique(of_port).tolist()
    return tuple(Area(k, said[k][0], said[k][1], ports[of_port == k]) for k in numbers)
