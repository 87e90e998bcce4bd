"""A pandapower network, found by what a scenario calls it and made ready for a site.

A `Grid` of a scenario and the buses that a site is connected to come in; a `Network` goes out: pandapower's own data
with one storage element for the chargers of each bus, and the `NetworkSpec` that everything else reads.
"""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ev_marl.grid.model.sources import Net, name_of, opened, simbench_code
from ev_marl.grid.model.spec import OTHER_ELEMENTS, NetworkSpec
from ev_marl.grid.model.tables import faults, shortened
from ev_marl.scenario.schema.grid import AddedPv, BusName, Grid
from ev_marl.support.errors import NetworkError
from ev_marl.support.registry import did_you_mean

# isort: split
import pandapower  # after the line that says how to install it
import pandapower.topology

_TABLES = (  # what a power flow depends on, for the fingerprint
    "bus", "line", "trafo", "trafo3w", "load", "sgen", "storage", "gen", "ext_grid", "switch", *OTHER_ELEMENTS,
    "trafo_characteristic_table", "shunt_characteristic_table",
)  # fmt: skip
_NEEDED = {  # columns without which there is no power flow
    "bus": ("vn_kv",),
    "load": ("p_mw", "q_mvar", "scaling"),
    "sgen": ("p_mw", "q_mvar", "scaling"),
    "line": ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "parallel"),
    "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent", "parallel"),
}
_RATINGS = {"line": ("max_i_ka", "df"), "trafo": ("df",)}  # columns that may be empty, where nobody knows
_CHARGER = "chargers at {}"
_SITE_LOAD = "site at {}"
_ADDED_PV = "pv at {}"
_NEVER_FULL_MWH = 1e9  # storage elements need a capacity; what is in the batteries is not pandapower's business


class Network:
    """A network with a site hanging on it.

    Attributes
    ----------
    net : pandapowerNet
        pandapower's tables, a copy of its own; rows are in the order of the spec.
    spec : NetworkSpec
        What everybody else reads.
    n_own_loads, n_own_generators : int
        The first so many loads and generators of the spec are the network's own; the rest are loads of the site, and
        plants that the scenario adds.
    simbench : str or None
        The SimBench code, where it is such a network.
    """

    def __init__(
        self, net: Net, spec: NetworkSpec, n_own_loads: int, n_own_generators: int, simbench: str | None = None
    ) -> None:
        self.net = net
        self.spec = spec
        self.n_own_loads = n_own_loads
        self.n_own_generators = n_own_generators
        self.simbench = simbench

    @classmethod
    def of(cls, grid: Grid, charger_buses: Sequence[BusName], site_load_buses: Sequence[BusName] = ()) -> Network:
        """The network that a scenario names, with a site on it.

        Parameters
        ----------
        grid : Grid
            Names the network.
        charger_buses : sequence of int or str
            Buses with chargers, each once: by name, or by index in pandapower's `net.bus`.
        site_load_buses : sequence of int or str
            Buses at which the site's own loads are drawn, each once.

        Raises
        ------
        NetworkError
            If there is no such network or bus.
        """
        return cls.from_net(
            opened(grid.network),
            name_of(grid.network),
            charger_buses,
            site_load_buses,
            pv=grid.pv,
            simbench=simbench_code(grid.network),
        )

    @classmethod
    def from_net(
        cls,
        net: Net,
        name: str,
        charger_buses: Sequence[BusName],
        site_load_buses: Sequence[BusName] = (),
        *,
        pv: AddedPv | None = None,
        simbench: str | None = None,
    ) -> Network:
        """A network of pandapower's with a site on it.

        Parameters
        ----------
        net : pandapowerNet
            Copied, and left as it is.
        name : str
            What to call it.
        charger_buses, site_load_buses : sequence of int or str
            As for `of`.
        pv : AddedPv, optional
            Photovoltaic plants to add.
        simbench : str, optional
            The SimBench code, where it is such a network.

        Raises
        ------
        NetworkError
            If data are missing, or it has no external grid, or no such bus, or one without a connection.
        """
        net = copy.deepcopy(net)
        # Files may bring options for runpp, such as a looser tolerance; results mean the same for every network.
        net.user_pf_options = {}
        _check_complete(net, name)
        supplied = _supplied(net, name)
        _fold(net)
        _name_tap_changers(net)
        n_own_loads, n_own_generators = len(net.load), len(net.sgen)
        names = _bus_names(net)

        def connected(bus: BusName) -> int:
            return _connected(net, name, supplied, bus)

        chargers = [connected(bus) for bus in charger_buses]
        site_loads = [connected(bus) for bus in site_load_buses]
        for buses, what in ((chargers, "chargers"), (site_loads, "a site's load")):
            twice = [names[bus] for bus, count in Counter(buses).items() if count > 1]
            if twice:
                raise NetworkError(f"network '{name}': bus '{twice[0]}' is named twice for {what}, by name or index")
        if pv is not None:
            for bus in _some_load_buses(net, name) if pv.buses == "loads" else [connected(bus) for bus in pv.buses]:
                pandapower.create_sgen(net, bus, p_mw=pv.peak / 1000.0, name=_ADDED_PV.format(names[bus]))
        for bus in site_loads:
            pandapower.create_load(net, bus, p_mw=0.0, name=_SITE_LOAD.format(names[bus]))
        for bus in chargers:
            pandapower.create_storage(net, bus, p_mw=0.0, max_e_mwh=_NEVER_FULL_MWH, name=_CHARGER.format(names[bus]))
        return cls(net, _spec(net, chargers, name), n_own_loads, n_own_generators, simbench)

    @classmethod
    def load_buses(cls, grid: Grid) -> list[BusName]:
        """Indices of the buses with loads of the network that a scenario names, as `load_buses`.

        Raises
        ------
        NetworkError
            If there is none.
        """
        return list(_some_load_buses(opened(grid.network), name_of(grid.network)))

    @classmethod
    def faults(cls, grid: Grid, buses: Iterable[BusName]) -> dict[BusName, str]:
        """What is wrong with buses of the network that a scenario names; `loads` stands for those with loads.

        Raises
        ------
        NetworkError
            If there is no such network.
        """
        net, name = opened(grid.network), name_of(grid.network)
        _check_complete(net, name)
        supplied = _supplied(net, name)
        found = {}
        for bus in dict.fromkeys(buses):
            try:
                if bus == "loads":
                    _some_load_buses(net, name)
                else:
                    _connected(net, name, supplied, bus)
            except NetworkError as error:
                found[bus] = str(error)
        return found

    @classmethod
    def bus_index(cls, grid: Grid, bus: BusName) -> int:
        """Index of a bus of the network that a scenario names, as `bus_index`."""
        return bus_index(opened(grid.network), bus)

    @property
    def charger_rows(self) -> np.ndarray:
        """Rows of `net.storage` that stand for the chargers, int64, shape (n_charger_buses,)."""
        first = len(self.net.storage) - self.spec.n_charger_buses
        return np.arange(first, len(self.net.storage))


def bus_index(net: Net, bus: BusName) -> int:
    """Index in `net.bus` of a bus; by name, it is the network's own or that of `NetworkSpec.buses`.

    Raises
    ------
    NetworkError
        If there is no such bus, or several have the name.
    """
    if not isinstance(bus, str):
        if bus in net.bus.index:
            return int(bus)
        low, high = net.bus.index.min(), net.bus.index.max()
        raise NetworkError(f"the network has no bus with the index {bus}; its indices lie between {low} and {high}")
    unique = _bus_names(net)
    found = [index for index, name in unique.items() if name == bus]
    found = found or [int(index) for index, name in net.bus.name.items() if name == bus]
    if len(found) == 1:
        return found[0]
    if found:
        ways = ", ".join(f"'{unique[index]}'" for index in found)
        raise NetworkError(f"the network has {len(found)} buses called '{bus}'; say which, by index or as {ways}")
    known = list(unique.values())
    listed = ", ".join(known[:12]) + (f", and {len(known) - 12} more" if len(known) > 12 else "")
    raise NetworkError(
        f"the network has no bus called '{bus}'.{did_you_mean(str(bus), known)} Its buses: {listed}; "
        "at stations, `loads` means all buses with loads"
    )


def _connected(net: Net, name: str, supplied: set[int], bus: BusName) -> int:
    """Index of a bus to which something can be connected."""
    index = bus_index(net, bus)
    if index not in supplied:
        raise NetworkError(
            f"network '{name}': bus '{_bus_names(net)[index]}' has no connection to an external grid (out of service, "
            "or behind open switches), so nothing can be connected to it"
        )
    return index


def _some_load_buses(net: Net, name: str) -> list[int]:
    buses = load_buses(net)
    if not buses:
        raise NetworkError(f"network '{name}' has no bus with a load in service; name buses instead of `loads`")
    return buses


def load_buses(net: Net) -> list[int]:
    """Indices of the buses with loads in service and a connection, each once, in the order of the loads."""
    supplied = _supplied(net, net.name)
    return [int(bus) for bus in dict.fromkeys(net.load.bus[net.load.in_service]) if int(bus) in supplied]


def _check_complete(net: Net, name: str) -> None:
    """Raise a NetworkError that names everything that a power flow needs and the network does not say."""
    problems = faults(net)
    if problems:
        raise NetworkError(f"network '{name}': {shortened(problems)}")
    for table, columns in _NEEDED.items():
        rows = net[table]
        problems += [
            f"table '{table}' has no column '{column}'"
            for column in (*columns, *_RATINGS.get(table, ()))
            if column not in rows
        ]
        elements = _unique(rows, table)
        used = rows.in_service.astype(bool) if table in _RATINGS else True
        for column in columns:
            if column in rows:
                empty = np.flatnonzero(rows[column].isna() & used)
                problems += [f"{table} '{elements[k]}' has no {column}" for k in empty.tolist()]
    if problems:
        raise NetworkError(f"network '{name}': {shortened(problems)}; fill it in, and try pandapower.runpp")


def _supplied(net: Net, name: str) -> set[int]:
    """Indices of the buses in service with a connection to an external grid."""
    slacks = set(net.ext_grid.bus[net.ext_grid.in_service]) | set(net.gen.bus[net.gen.in_service & net.gen.slack])
    if not slacks:
        raise NetworkError(f"network '{name}' has no external grid in service, so nothing feeds it")
    in_service = {int(bus) for bus in net.bus.index[net.bus.in_service]}
    return in_service - {int(bus) for bus in pandapower.topology.unsupplied_buses(net)}


def _fold(net: Net) -> None:
    """Put scaling and switched-off elements into the loads' and generators' values, in place.

    From then on, an element draws the power that it is given, for every solver.
    """
    for table in (net.load, net.sgen):
        factor = table.scaling.to_numpy(dtype=np.float64) * table.in_service.to_numpy(dtype=bool)
        for column in ("p_mw", "q_mvar"):
            table[column] = table[column].to_numpy(dtype=np.float64) * factor
        table["scaling"], table["in_service"] = 1.0, True


def _name_tap_changers(net: Net) -> None:
    """Make taps movable where the data describe a tap changer but no type of it, as SimBench's do, in place.

    pandapower ignores the position of such a transformer, so it stands at its neutral position.
    """
    table = net.trafo
    if not len(table):
        return
    kind = table["tap_changer_type"].astype(object) if "tap_changer_type" in table else None
    untyped = (True if kind is None else kind.isna()) & table.tap_side.isin(["hv", "lv"])
    for column in ("tap_neutral", "tap_min", "tap_max", "tap_step_percent"):
        untyped &= table[column].astype(float).notna()
    untyped &= table.tap_step_degree.astype(float).fillna(0.0) == 0.0
    table["tap_changer_type"] = "Ratio" if kind is None else kind.mask(untyped, "Ratio")
    table["tap_pos"] = table.tap_pos.astype(float).mask(untyped, table.tap_neutral.astype(float))


def _bus_names(net: Net) -> dict[int, str]:
    """A unique name for every bus: its own, or "bus 7"; a second one of the same name is "name #7"."""
    return dict(zip([int(i) for i in net.bus.index], _unique(net.bus, "bus"), strict=True))


def _unique(table: Any, kind: str) -> tuple[str, ...]:
    plain = [
        str(name) if isinstance(name, str) and name else f"{kind} {index}"
        for index, name in zip(table.index, table["name"] if "name" in table else [None] * len(table), strict=True)
    ]
    often = Counter(plain)
    return tuple(
        f"{name} #{index}" if often[name] > 1 else name for index, name in zip(table.index, plain, strict=True)
    )


def _spec(net: Net, chargers: list[int], name: str) -> NetworkSpec:
    position = {int(index): k for k, index in enumerate(net.bus.index)}

    def at(buses: Any) -> np.ndarray:
        return np.array([position[int(bus)] for bus in buses], dtype=np.int64)

    def kilo(values: Any) -> np.ndarray:
        return np.asarray(1000.0 * values.to_numpy(dtype=np.float64))

    line, trafo = net.line, net.trafo
    kv = net.bus.vn_kv.to_numpy(dtype=np.float64)
    from_bus = at(line.from_bus)
    amperes = 1000.0 * line.max_i_ka.to_numpy(dtype=np.float64) * line.df.to_numpy(dtype=np.float64)
    line_kva = np.sqrt(3.0) * kv[from_bus] * amperes * line.parallel.to_numpy(dtype=np.float64)
    line_kva = np.nan_to_num(line_kva, posinf=0.0)
    transformer_kva = 1000.0 * (trafo.sn_mva * trafo.df * trafo.parallel).to_numpy(dtype=np.float64)
    transformer_kva = np.nan_to_num(transformer_kva, posinf=0.0)
    return NetworkSpec(
        name=name,
        buses=_unique(net.bus, "bus"),
        lines=_unique(line, "line"),
        transformers=_unique(trafo, "transformer"),
        loads=_unique(net.load, "load"),
        generators=_unique(net.sgen, "generator"),
        charger_bus=at(chargers),
        load_bus=at(net.load.bus),
        generator_bus=at(net.sgen.bus),
        line_from_bus=from_bus,
        line_to_bus=at(line.to_bus),
        transformer_hv_bus=at(trafo.hv_bus),
        transformer_lv_bus=at(trafo.lv_bus),
        bus_kv=kv,
        line_kva=line_kva,
        transformer_kva=transformer_kva,
        load_kw=kilo(net.load.p_mw),
        load_kvar=kilo(net.load.q_mvar),
        generator_kw=kilo(net.sgen.p_mw),
        generator_kvar=kilo(net.sgen.q_mvar),
        fingerprint=_fingerprint(net),
    )


def _fingerprint(net: Net) -> str:
    digest = hashlib.sha256(f"{net.f_hz} {net.sn_mva}".encode())
    for table in _TABLES:
        if table in net and len(net[table]):
            digest.update(table.encode())
            digest.update(net[table].to_json(double_precision=15).encode())
    return digest.hexdigest()[:16]
