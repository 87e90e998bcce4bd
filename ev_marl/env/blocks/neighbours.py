"""What the other stations of the same group are up to, as totals: how many vehicles, how much need, how much power."""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.support.compiled import kernel


@kernel
def _fill(
    session: np.ndarray,
    energy_kwh: np.ndarray,
    granted_kw: np.ndarray,
    stays: np.ndarray,
    rated_kw: np.ndarray,
    station_first_port: np.ndarray,
    station_group: np.ndarray,
    group_first_port: np.ndarray,
    group_end_port: np.ndarray,
    totals: np.ndarray,
    out: np.ndarray,
) -> None:
    """Totals of every group that feeds stations, then each station's group without the station itself."""
    n_batch = session.shape[0]
    n_groups = len(group_first_port)
    n_stations = len(station_group)
    own = np.zeros(5)
    for b in range(n_batch):
        for g in range(n_groups):
            if totals[g, 5] == 0.0:
                continue
            for i in range(5):
                totals[g, i] = 0.0
            for p in range(group_first_port[g], group_end_port[g]):
                s = session[b, p]
                totals[g, 3] += granted_kw[b, p]
                totals[g, 4] += rated_kw[p]
                if s >= 0:
                    totals[g, 0] += 1.0
                    totals[g, 1] += max(0.0, stays[s]["due_kwh"] - energy_kwh[b, p])
                    totals[g, 2] += stays[s]["capacity_kwh"]
        for a in range(n_stations):
            g = station_group[a]
            own[:] = 0.0
            for p in range(station_first_port[a], station_first_port[a + 1]):
                s = session[b, p]
                own[3] += granted_kw[b, p]
                own[4] += rated_kw[p]
                if s >= 0:
                    own[0] += 1.0
                    own[1] += max(0.0, stays[s]["due_kwh"] - energy_kwh[b, p])
                    own[2] += stays[s]["capacity_kwh"]
            others = group_end_port[g] - group_first_port[g] - (station_first_port[a + 1] - station_first_port[a])
            vehicles = totals[g, 0] - own[0]
            for i in range(3):
                out[b, a, i] = 0.0
            if others > 0:
                out[b, a, 0] = vehicles / others
                out[b, a, 2] = min(1.0, max(-1.0, (totals[g, 3] - own[3]) / (totals[g, 4] - own[4])))
            if vehicles > 0.0:
                out[b, a, 1] = min(1.0, max(0.0, (totals[g, 1] - own[1]) / (totals[g, 2] - own[2])))


@BLOCKS.register("neighbours")
class Neighbours:
    """Totals of the group that feeds the station, without the station; all 0 where it stands alone."""

    name = "neighbours"
    scope: Scope = "station"
    static = False

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Mark the groups that feed stations."""
        self._arrays = site.arrays
        self._rated_kw = np.maximum(site.arrays.port_charge_kw, site.arrays.port_discharge_kw)
        self._totals = np.zeros((site.arrays.n_groups, 6))
        self._totals[np.unique(site.arrays.station_group), 5] = 1.0
        return (
            Feature("connected", 0, 1, "vehicles at the other stations over their ports"),
            Feature("missing", 0, 1, "energy due to these vehicles and not there yet, over their capacities"),
            Feature("power", -1, 1, "power of the other stations in the last step over the sum of their rated powers"),
        )

    def load(self, days: Days) -> None:
        """Keep the days."""
        self._days = days

    def fill(self, state: State, out: np.ndarray) -> None:
        """One kernel for all stations."""
        _fill(
            state.session,
            state.energy_kwh,
            state.granted_kw,
            self._days.stays,
            self._rated_kw,
            self._arrays.station_first_port,
            self._arrays.station_group,
            self._arrays.group_first_port,
            self._arrays.group_end_port,
            self._totals,
            out,
        )
