"""What a network is to everything but the power-flow solvers: names in order, ratings, and buses of the elements.

A `NetworkSpec` comes out of a prepared pandapower network; the rest of the house reads only this, never pandapower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OTHER_ELEMENTS = (
    "shunt", "ward", "xward", "impedance", "motor", "dcline", "asymmetric_load", "asymmetric_sgen", "svc", "ssc",
    "tcsc", "vsc",
)  # fmt: skip
"""pandapower's tables of elements that few networks have."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network's elements in the order of every array about them.

    N buses, M lines, K two-winding transformers, L loads, S static generators, E charger buses (buses with one storage
    element each, into which all chargers there are aggregated). Elements that are out of service are in it; their
    results are NaN (buses) or 0 (branches), as in pandapower.
    """

    name: str
    buses: tuple[str, ...]  # (N,) unique: the network's name of the bus, or "bus 7" where it has none, "name #7" twice
    lines: tuple[str, ...]  # (M,)
    transformers: tuple[str, ...]  # (K,)
    loads: tuple[str, ...]  # (L,)
    generators: tuple[str, ...]  # (S,)
    charger_bus: np.ndarray  # int64 (E,)  position in `buses`
    load_bus: np.ndarray  # int64 (L,)
    generator_bus: np.ndarray  # int64 (S,)
    line_from_bus: np.ndarray  # int64 (M,)
    line_to_bus: np.ndarray  # int64 (M,)
    transformer_hv_bus: np.ndarray  # int64 (K,)
    transformer_lv_bus: np.ndarray  # int64 (K,)
    bus_kv: np.ndarray  # float64 (N,)  rated voltage
    line_kva: np.ndarray  # float64 (M,)  apparent power at 100 % loading and rated voltage, 0: unknown or endless [kVA]
    transformer_kva: np.ndarray  # float64 (K,)  rated, all parallel ones together, 0: unknown or endless [kVA]
    load_kw: np.ndarray  # float64 (L,)  the network's own values [kW]
    load_kvar: np.ndarray  # float64 (L,)
    generator_kw: np.ndarray  # float64 (S,)  fed in, >= 0 as a rule [kW]
    generator_kvar: np.ndarray  # float64 (S,)  fed in
    fingerprint: str  # of everything that a power flow depends on; changes with the network

    @property
    def n_buses(self) -> int:
        """N."""
        return len(self.buses)

    @property
    def n_lines(self) -> int:
        """M."""
        return len(self.lines)

    @property
    def n_transformers(self) -> int:
        """K."""
        return len(self.transformers)

    @property
    def n_loads(self) -> int:
        """L."""
        return len(self.loads)

    @property
    def n_generators(self) -> int:
        """S."""
        return len(self.generators)

    @property
    def n_charger_buses(self) -> int:
        """E."""
        return len(self.charger_bus)
