"""The coupling graph as arrays: what kernels, observations and the optimum read.

Ports are numbered depth-first through the graph, so the ports of a station and of a group are one contiguous slice.
Groups are numbered depth-first too (parents before children), the grid connection first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class SiteArrays:
    """Everything numeric about a site; P ports, A stations (agents), G groups, R current limits.

    All arrays are read-only.
    """

    port_charge_kw: np.ndarray  # float64 (P,)  rated charging power, > 0 [kW]
    port_discharge_kw: np.ndarray  # float64 (P,)  rated discharging power, 0 without V2G [kW]
    charge_efficiency: np.ndarray  # float64 (P,)  battery power over metered power [-]
    discharge_efficiency: np.ndarray  # float64 (P,)  metered power over battery power [-]
    port_levels_kw: np.ndarray  # float64 (2, P)  least power and distance of the levels, 0: any, see `site.levels` [kW]
    port_is_dc: np.ndarray  # bool (P,)  feeds the battery, not the on-board charger
    port_station: np.ndarray  # int64 (P,)  station of each port
    port_group: np.ndarray  # int64 (P,)  deepest group of each port (a station with a limit of its own counts)
    station_first_port: np.ndarray  # int64 (A + 1,)  station a has ports [first[a], first[a + 1])
    station_group: np.ndarray  # int64 (A,)  group that feeds the station (never the station itself)
    group_parent: np.ndarray  # int64 (G,)  parent group, −1 at the root
    group_first_port: np.ndarray  # int64 (G,)
    group_end_port: np.ndarray  # int64 (G,)  group g has ports [first[g], end[g])
    group_depth: np.ndarray  # int64 (G,)  0 at the root
    storage_kwh: np.ndarray  # float64 (P,)  capacity of the stationary battery at the port, 0: for vehicles [kWh]
    storage_reserve_kwh: np.ndarray  # float64 (P,)  it is never discharged below this [kWh]
    storage_start_kwh: np.ndarray  # float64 (P,)  in it at the start of an episode [kWh]
    storage_wear_per_kwh: np.ndarray  # float64 (P,)  cost of a kWh metered in or out [currency/kWh]
    # R current limits: |b + Σ a·p| <= limit in each row, see `ev_marl.site.currents`.
    current_weight: np.ndarray  # float64 (R, 2, P)  real and imaginary part of a, current over port power [A/kW]
    current_limit_a: np.ndarray  # float64 (R,)  [A]
    current_group: np.ndarray  # int64 (R,)  group whose base load flows in the row
    current_base_weight: np.ndarray  # float64 (R, 2)  current of that base load, b over base load [A/kW]
    # Metered power and power into the battery of chargers whose efficiency depends on it, see `site.part_load` [kW]
    part_load: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, 0)))  # float64 (P, 2, N); (0, ...): none is
    # K transformers whose temperature each step follows: the group below, and the rating [kVA]
    thermal: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))  # float64 (2, K)

    @cached_property
    def n_ports(self) -> int:
        """P."""
        return len(self.port_charge_kw)

    @cached_property
    def n_stations(self) -> int:
        """A."""
        return len(self.station_group)

    @cached_property
    def n_groups(self) -> int:
        """G."""
        return len(self.group_parent)

    @cached_property
    def n_currents(self) -> int:
        """R."""
        return len(self.current_limit_a)

    @cached_property
    def has_part_load(self) -> bool:
        """Whether the efficiency of a charger depends on its power."""
        return bool(len(self.part_load))

    @cached_property
    def n_thermal(self) -> int:
        """K."""
        return len(self.thermal[0])

    @cached_property
    def is_battery(self) -> np.ndarray:
        """bool (P,)  whether a stationary battery stands at the port."""
        return np.asarray(self.storage_kwh > 0.0)

    @cached_property
    def has_batteries(self) -> bool:
        """Whether there is a stationary battery."""
        return bool(self.is_battery.any())

    @cached_property
    def vehicle_ports(self) -> np.ndarray:
        """int64 (n,)  the ports that vehicles come to."""
        return np.flatnonzero(~self.is_battery)

    @cached_property
    def is_leveled(self) -> np.ndarray:
        """bool (P,)  whether the port cannot grant every power between 0 and its rated one."""
        return np.asarray((self.port_levels_kw > 0.0).any(axis=0))

    @cached_property
    def has_levels(self) -> bool:
        """Whether there is such a port."""
        return bool(self.is_leveled.any())

    @cached_property
    def above(self) -> np.ndarray:
        """int64 (G + P,)  the group above each group, −1 at the root, then that of each port: one array for kernels."""
        above: np.ndarray = np.concatenate([self.group_parent, self.port_group])
        return above

    @cached_property
    def group_ports(self) -> np.ndarray:
        """int64 (2, G)  `group_first_port` and `group_end_port`: one array for kernels."""
        return np.stack([self.group_first_port, self.group_end_port])
