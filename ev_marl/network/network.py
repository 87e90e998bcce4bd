"""A pandapower network, found by what a scenario calls it and made ready for a site.

A `Grid` of a scenario and the buses that a site hangs on come in; a `Network` goes out: pandapower's own data with one
storage element for the chargers of each bus, and the `NetworkSpec` that everything else reads.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ev_marl.errors import NetworkError
from ev_marl.network.spec import NetworkSpec
from ev_marl.registry import did_you_mean
from ev_marl.scenario.grid import BusName, Grid, NetworkChoice, NetworkFile, PandapowerNetwork, SimbenchNetwork

try:
    import pandapower
    import pandapower.networks
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise NetworkError(
        'a scenario with `grid` needs pandapower; install it with: pip install "ev-marl[grid]"'
    ) from error

Net = Any  # pandapower's network: a dictionary of tables, without types

_TABLES = (  # what a power flow depends on, for the fingerprint
    "bus", "line", "trafo", "trafo3w", "load", "sgen", "storage", "gen", "ext_grid", "switch", "shunt", "ward",
    "xward", "impedance", "motor", "dcline", "asymmetric_load", "asymmetric_sgen",
)  # fmt: skip
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
        net = copy.deepcopy(_opened(grid.network))
        n_own_loads, n_own_generators = len(net.load), len(net.sgen)
        if grid.pv is not None:
            buses = load_buses(net) if grid.pv.buses == "loads" else [bus_index(net, bus) for bus in grid.pv.buses]
            for bus in buses:
                name = _ADDED_PV.format(_bus_names(net)[bus])
                pandapower.create_sgen(net, bus, p_mw=grid.pv.peak / 1000.0, name=name)
        for site_bus in site_load_buses:
            bus = bus_index(net, site_bus)
            pandapower.create_load(net, bus, p_mw=0.0, name=_SITE_LOAD.format(_bus_names(net)[bus]))
        chargers = [bus_index(net, bus) for bus in charger_buses]
        for bus in chargers:
            name = _CHARGER.format(_bus_names(net)[bus])
            pandapower.create_storage(net, bus, p_mw=0.0, max_e_mwh=_NEVER_FULL_MWH, name=name)
        code = grid.network.simbench if isinstance(grid.network, SimbenchNetwork) else _plain_code(grid.network)
        return cls(net, _spec(net, chargers, _name(grid.network)), n_own_loads, n_own_generators, code)

    @classmethod
    def load_buses(cls, grid: Grid) -> list[BusName]:
        """Indices of the buses with loads in service of the network that a scenario names, in their order."""
        return list(load_buses(_opened(grid.network)))

    @property
    def charger_rows(self) -> np.ndarray:
        """Rows of `net.storage` that stand for the chargers, int64, shape (n_charger_buses,)."""
        first = len(self.net.storage) - self.spec.n_charger_buses
        return np.arange(first, len(self.net.storage))


def bus_index(net: Net, bus: BusName) -> int:
    """Index in `net.bus` of a bus.

    Raises
    ------
    NetworkError
        If there is no such bus, or several have the name.
    """
    if isinstance(bus, int):
        if bus in net.bus.index:
            return bus
        low, high = net.bus.index.min(), net.bus.index.max()
        raise NetworkError(f"the network has no bus with the index {bus}; its indices lie between {low} and {high}")
    names = net.bus.name.astype(str)
    found = [int(index) for index in net.bus.index[names == bus]]
    if len(found) == 1:
        return found[0]
    if found:
        raise NetworkError(f"the network has {len(found)} buses called '{bus}'; give the index, one of {found}")
    known = sorted(set(names))
    listed = ", ".join(known[:12]) + (f", and {len(known) - 12} more" if len(known) > 12 else "")
    raise NetworkError(f"the network has no bus called '{bus}'.{did_you_mean(bus, known)} Its buses: {listed}")


def load_buses(net: Net) -> list[int]:
    """Indices of the buses with loads in service, each once, in the order of the loads."""
    return [int(bus) for bus in dict.fromkeys(net.load.bus[net.load.in_service])]


def network_functions() -> dict[str, Callable[..., Net]]:
    """Functions of `pandapower.networks` that make a network, by their short name (`cigre_lv`)."""
    found: dict[str, Callable[..., Net]] = {}
    for name, function in inspect.getmembers(pandapower.networks, inspect.isfunction):
        if name.startswith("_") or not function.__module__.startswith("pandapower.networks"):
            continue  # helpers that the module imports
        short = name.removeprefix("create_").replace("_network_", "_").removesuffix("_network")
        found[short] = function
    return found


@lru_cache(maxsize=8)
def _made(key: str) -> Net:
    """A network from its JSON description; kept, since several simulators start from it."""
    choice = json.loads(key)
    if "file" in choice:
        return _read(Path(choice["file"]))
    if "simbench" in choice:
        from ev_marl.network.simbench_nets import simbench_network  # noqa: PLC0415  simbench is heavy, and optional

        return simbench_network(choice["simbench"])
    functions = network_functions()
    name = str(choice["pandapower"])
    function = functions.get(name) or functions.get(
        name.removeprefix("create_").replace("_network_", "_").removesuffix("_network")
    )
    if function is None:
        known = sorted(functions)
        raise NetworkError(
            f"pandapower has no network called '{name}'.{did_you_mean(name, known)} It has: {', '.join(known)}"
        )
    try:
        inspect.signature(function).bind(**choice["options"])
    except TypeError as error:
        options = ", ".join(inspect.signature(function).parameters) or "none"
        raise NetworkError(f"network '{name}': {error}. Its options: {options}") from None
    with warnings.catch_warnings():  # of pandapower's own making, nothing that a user could change
        warnings.simplefilter("ignore")
        net = function(**choice["options"])
    return net[0] if isinstance(net, tuple) else net


def _opened(choice: NetworkChoice) -> Net:
    if isinstance(choice, NetworkFile):
        path = Path(choice.file)
        key: dict[str, Any] = {"file": str(path), "changed": path.stat().st_mtime_ns if path.exists() else 0}
    elif isinstance(choice, SimbenchNetwork):
        key = {"simbench": choice.simbench}
    elif isinstance(choice, PandapowerNetwork):
        key = {"pandapower": choice.pandapower, "options": choice.options}
    else:
        code = _plain_code(choice)
        key = {"pandapower": choice, "options": {}} if code is None else {"simbench": code}
    return _made(json.dumps(key, sort_keys=True))


def _plain_code(choice: NetworkChoice) -> str | None:
    """A SimBench code written without `simbench:`; they begin with a digit, as no Python function does."""
    return choice if isinstance(choice, str) and choice[:1].isdigit() else None


def _name(choice: NetworkChoice) -> str:
    if isinstance(choice, NetworkFile):
        return Path(choice.file).stem
    if isinstance(choice, SimbenchNetwork):
        return choice.simbench
    return choice.pandapower if isinstance(choice, PandapowerNetwork) else choice


def _read(path: Path) -> Net:
    if path.suffix != ".json":
        raise NetworkError(f"{path}: a network file is JSON, written by pandapower.to_json; pickle is not opened")
    if not path.is_file():
        raise NetworkError(f"{path}: there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = pandapower.from_json(str(path))
    except (ValueError, KeyError, TypeError, AttributeError, UserWarning) as error:
        raise NetworkError(f"{path}: this is no pandapower network: {error}") from error
    if not isinstance(net, pandapower.pandapowerNet) or not len(net.bus):
        raise NetworkError(f"{path}: this is no pandapower network")
    return net


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

    def scaled(table: Any, column: str) -> np.ndarray:
        on = table.in_service.to_numpy(dtype=bool)
        values: np.ndarray = (
            1000.0 * table[column].to_numpy(dtype=np.float64) * table.scaling.to_numpy(dtype=np.float64)
        )
        return np.where(on, values, 0.0)

    line, trafo = net.line, net.trafo
    kv = net.bus.vn_kv.to_numpy(dtype=np.float64)
    from_bus = at(line.from_bus)
    amperes = 1000.0 * line.max_i_ka.to_numpy(dtype=np.float64) * line.df.to_numpy(dtype=np.float64)
    line_kva = np.sqrt(3.0) * kv[from_bus] * amperes * line.parallel.to_numpy(dtype=np.float64)
    transformer_kva = 1000.0 * (trafo.sn_mva * trafo.df * trafo.parallel).to_numpy(dtype=np.float64)
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
        load_kw=scaled(net.load, "p_mw"),
        load_kvar=scaled(net.load, "q_mvar"),
        generator_kw=scaled(net.sgen, "p_mw"),
        generator_kvar=scaled(net.sgen, "q_mvar"),
        fingerprint=_fingerprint(net),
    )


def _fingerprint(net: Net) -> str:
    digest = hashlib.sha256()
    for table in _TABLES:
        if table in net and len(net[table]):
            digest.update(table.encode())
            digest.update(net[table].to_json().encode())
    return digest.hexdigest()[:16]
