"""Events that are announced: lower limits of the groups above a station, and outages of its ports."""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.world.events import OUTAGE

FAR_H = 24.0  # a time that is shown as 1


@BLOCKS.register("events")
class Events:
    """The next announced event of each kind that concerns the station, or the one that goes on."""

    name = "events"
    scope: Scope = "station"
    static = False

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Find which groups, stations and ports concern each station."""
        arrays = site.arrays
        rated_kw = np.concatenate([[0.0], np.cumsum(np.maximum(arrays.port_charge_kw, arrays.port_discharge_kw))])
        self._rated_kw = dict(
            zip(site.groups, rated_kw[arrays.group_end_port] - rated_kw[arrays.group_first_port], strict=True)
        )
        first, end = arrays.station_first_port[:-1], arrays.station_first_port[1:]
        self._stations: dict[str, np.ndarray] = {  # of each group: the stations below it
            group: np.flatnonzero((first >= arrays.group_first_port[g]) & (end <= arrays.group_end_port[g]))
            for g, group in enumerate(site.groups)
        }
        self._own = {name: np.array([a]) for a, name in enumerate(site.agents)}
        self._own |= {port: np.array([a]) for port, a in zip(site.ports, arrays.port_station.tolist(), strict=True)}
        times = (
            feature
            for what, about in (("limit", "lower limit of a group above"), ("outage", "outage of one of its ports"))
            for feature in (
                Feature(f"{what}_in", 0, 1, f"time until the next announced {about} over 24 h; 1: none is announced"),
                Feature(f"{what}_for", 0, 1, "time from now to its end over 24 h; 0: none is announced"),
            )
        )
        rated = "over the sum of the rated powers below the group; 1: none is announced"
        return (*times, Feature("limit", 0, 1, f"import limit in that event {rated}"))

    def load(self, days: Days) -> None:
        """Tabulate nothing: days have few events."""
        self._days = days

    def fill(self, state: State, out: np.ndarray) -> None:
        """Show the events that are announced and not over, the first ones of each kind."""
        days, step = self._days, state.step
        out[:] = np.array([1.0, 0.0, 1.0, 0.0, 1.0], dtype=np.float32)
        for row, k in enumerate(state.day.tolist() if days.events else ()):
            events = days.events[k]
            known = events[(events["announced_step"] <= step) & (events["end_step"] > step)]
            for event in known[::-1]:  # sorted by first step: the first one is written last
                is_outage = event["kind"] == OUTAGE
                rows = (self._own if is_outage else self._stations)[str(event["of"])]
                place = 2 if is_outage else 0
                hours = (np.array([event["first_step"], event["end_step"]]) - step) * days.step_h / FAR_H
                out[row, rows, place : place + 2] = np.clip(hours, 0.0, 1.0)
                if not is_outage:
                    out[row, rows, 4] = min(1.0, event["limit_kw"] / self._rated_kw[str(event["of"])])
