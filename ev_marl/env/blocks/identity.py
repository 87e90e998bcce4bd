"""Type, position and ratings of the station, so that one policy can serve different stations."""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site


@BLOCKS.register("identity")
class Identity:
    """Type (one number per type of the site), position, and the ratings of each port."""

    name = "identity"
    scope: Scope = "station"
    static = True

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Work out the table: nothing of it ever changes."""
        arrays = site.arrays
        types = [agent.rpartition("_")[0] for agent in site.agents]
        names = list(dict.fromkeys(types))
        most_ports = int(np.diff(arrays.station_first_port).max())
        strongest_kw = max(float(arrays.port_charge_kw.max()), float(arrays.port_discharge_kw.max()))
        table = np.zeros((arrays.n_stations, len(names) + 1 + 2 * most_ports))
        for a, kind in enumerate(types):
            table[a, names.index(kind)] = 1.0
            table[a, len(names)] = (a + 1) / arrays.n_stations
            first, end = arrays.station_first_port[a : a + 2]
            charge = len(names) + 1
            discharge = charge + most_ports
            table[a, charge : charge + end - first] = arrays.port_charge_kw[first:end] / strongest_kw
            table[a, discharge : discharge + end - first] = arrays.port_discharge_kw[first:end] / strongest_kw
        self._table = table.astype(np.float32)
        return (
            *(Feature(f"type_{kind}", 0, 1, f"1 if the station is of type {kind}") for kind in names),
            Feature("position", 0, 1, "number of the station, from 1, over the number of stations"),
            *(
                Feature(f"{way}_{k}", 0, 1, f"rated {way[:-1]}ing power of port {k} over the highest of any port")
                for way in ("charge", "discharge")
                for k in range(most_ports)
            ),
        )

    def load(self, days: Days) -> None:
        """Nothing depends on the days."""

    def fill(self, state: State, out: np.ndarray) -> None:
        """Copy the table."""
        out[:] = self._table
