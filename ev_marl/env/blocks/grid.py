"""The network above the site for a station: the voltage at its own bus, and the loadings on the way up.

Everything is of the last step; after a reset, of the coming first step without any charging. A step without a solution
of the power flow shows the last valid values, and a flag. Limits are the clamped ones: those that cost something. These
blocks need a scenario with `grid:`.
"""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.grid.loop.loop import GridLoop
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import NetworkError

VOLTAGE_SCALE_PU = 0.1  # shown as 1: the half width of the usual band
HOT_SPOT_SCALE_C = 98.0  # shown as 1: insulation ages at its normal rate (IEC 60076-7)
TAP_SCALE = 10.0  # positions shown as 1: most tap changers have 9 to 17 to each side
MOST = 3.0  # all is clipped to this

_PER_BAND = f"over {VOLTAGE_SCALE_PU:g} p.u., clipped"
_PER_LIMIT = "over its limit, clipped"


@kernel
def _fill_voltages(
    vm_pu: np.ndarray,
    lowest_pu: np.ndarray,
    highest_pu: np.ndarray,
    failed: np.ndarray,
    bus: np.ndarray,
    fall_pu: np.ndarray,
    out: np.ndarray,
) -> None:
    for b in range(len(vm_pu)):
        for a in range(len(bus)):
            voltage = vm_pu[b, bus[a]]
            out[b, a, 0] = min(MOST, max(-MOST, (voltage - 1.0) / VOLTAGE_SCALE_PU))
            out[b, a, 1] = min(MOST, max(-MOST, (voltage - lowest_pu[b, bus[a]]) / VOLTAGE_SCALE_PU))
            out[b, a, 2] = min(MOST, max(-MOST, (highest_pu[b, bus[a]] - voltage) / VOLTAGE_SCALE_PU))
            out[b, a, 3] = min(MOST, max(-MOST, fall_pu[a] / VOLTAGE_SCALE_PU))
            out[b, a, 4] = 1.0 if failed[b] else 0.0


@kernel
def _fill_loadings(
    line_percent: np.ndarray,
    line_limit_percent: np.ndarray,
    transformer_percent: np.ndarray,
    transformer_limit_percent: np.ndarray,
    hot_spot_c: np.ndarray,
    tap: np.ndarray,
    charger: np.ndarray,
    first_line: np.ndarray,
    lines: np.ndarray,
    transformer: np.ndarray,
    substation: np.ndarray,
    out: np.ndarray,
) -> None:
    for b in range(len(tap)):
        for a in range(len(charger)):
            e = charger[a]
            feeder = 0.0
            for i in range(first_line[e], first_line[e + 1]):
                feeder = max(feeder, line_percent[b, lines[i]] / line_limit_percent[b, lines[i]])
            out[b, a, 0] = min(MOST, feeder)
            k = transformer[e]
            if k >= 0:
                loading = transformer_percent[b, k] / transformer_limit_percent[b, k]
                out[b, a, 1] = min(MOST, max(0.0, loading))
                out[b, a, 2] = min(MOST, max(0.0, hot_spot_c[b, k] / HOT_SPOT_SCALE_C))
            else:
                out[b, a, 1] = 0.0
                out[b, a, 2] = 0.0
            k = substation[e]
            if k >= 0:
                loading = transformer_percent[b, k] / transformer_limit_percent[b, k]
                out[b, a, 3] = min(MOST, max(0.0, loading))
            else:
                out[b, a, 3] = 0.0
            out[b, a, 4] = min(MOST, max(-MOST, tap[b] / TAP_SCALE))


class _OfStations:
    """What the blocks below share."""

    scope: Scope = "station"
    static = False
    needs_grid = True

    def load(self, days: Days) -> None:
        """Nothing is prepared."""


@BLOCKS.register("voltage")
class Voltage(_OfStations):
    """Voltage at the station's own bus."""

    name = "voltage"
    features = (
        Feature("deviation", -MOST, MOST, f"voltage at the own bus in the last step, less 1 p.u., {_PER_BAND}"),
        Feature("above_lowest", -MOST, MOST, f"the same voltage less the lower limit, {_PER_BAND}"),
        Feature("below_highest", -MOST, MOST, f"the upper limit less the same voltage, {_PER_BAND}"),
        Feature("sensitivity", -MOST, MOST, f"change of it if the station drew its rated power more, {_PER_BAND}"),
        Feature("failed", 0, 1, "1 where the last step's power flow had no solution, so that all this is older"),
    )

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Look up the bus of each station.

        Raises
        ------
        NetworkError
            If the site has no network.
        """
        self._charger = _station_charger(site, self.name)
        arrays = site.arrays
        self._rated_kw = np.add.reduceat(arrays.port_charge_kw, arrays.station_first_port[:-1])
        return self.features

    def connect(self, grid: GridLoop) -> None:
        """Ask how much a bus moves."""
        self._sensitivity_pu = np.nan_to_num(grid.sensitivity_pu_per_kw)[self._charger] * self._rated_kw

    def fill(self, state: State, out: np.ndarray) -> None:
        """One kernel for all stations."""
        assert state.grid is not None  # connected
        flow = state.grid.flow
        _fill_voltages(
            flow.vm_pu,
            flow.lowest_pu,
            flow.highest_pu,
            flow.failed,
            flow.spec.charger_bus[self._charger],
            self._sensitivity_pu,
            out,
        )


@BLOCKS.register("grid")
class GridLoading(_OfStations):
    """Loading of what feeds the station's bus: the lines and transformers on the shortest way to the slack."""

    name = "grid"
    features = (
        Feature("feeder", 0, MOST, f"loading in the last step of the fullest line towards the slack, {_PER_LIMIT}"),
        Feature("transformer", 0, MOST, f"loading of the transformer that feeds the own bus, {_PER_LIMIT}"),
        Feature("hot_spot", 0, MOST, f"temperature of its hottest winding over {HOT_SPOT_SCALE_C:g} °C, clipped"),
        Feature("substation", 0, MOST, f"loading of the last transformer before the slack, {_PER_LIMIT}"),
        Feature("tap", -MOST, MOST, f"position of the controlled tap changer over {TAP_SCALE:g}, clipped"),
    )

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Find the way up from each station.

        Raises
        ------
        NetworkError
            If the site has no network.
        """
        self._charger = _station_charger(site, self.name)
        assert site.network is not None  # a station has a bus
        from ev_marl.grid.model.paths import charger_paths  # noqa: PLC0415  needs pandapower, which is optional

        paths = charger_paths(site.network)
        self._first_line = np.concatenate([[0], np.cumsum(paths.lines.sum(axis=1))])
        self._lines = np.nonzero(paths.lines)[1]
        self._transformer, self._substation = paths.transformer, paths.substation
        return self.features

    def fill(self, state: State, out: np.ndarray) -> None:
        """One kernel for all stations."""
        assert state.grid is not None  # connected
        flow = state.grid.flow
        _fill_loadings(
            flow.line_percent,
            flow.line_limit_percent,
            flow.transformer_percent,
            flow.transformer_limit_percent,
            flow.hot_spot_c,
            flow.tap,
            self._charger,
            self._first_line,
            self._lines,
            self._transformer,
            self._substation,
            out,
        )


def _station_charger(site: Site, block: str) -> np.ndarray:
    """Charger bus of each station, int64, shape (n_stations,)."""
    if site.network is None:
        raise NetworkError(f"observation block '{block}' needs `grid:`; this scenario says nothing of a network")
    chargers: np.ndarray = site.port_charger[site.arrays.station_first_port[:-1]]
    return chargers
