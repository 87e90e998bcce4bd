"""Facts about a network as it was built: its elements, what is connected where, its solver and the solver's accuracy.

A site on a network and its loop come in; `GridFacts` go out, plain numbers that a table or JSON is made of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.model.paths import charger_paths
from ev_marl.grid.model.spec import OTHER_ELEMENTS
from ev_marl.grid.solvers.base import Injections
from ev_marl.grid.solvers.checks import Differences, differences
from ev_marl.grid.solvers.choose import SELF_CHECK_STATES
from ev_marl.site.site import Site
from ev_marl.world.track import Track

if TYPE_CHECKING:
    from ev_marl.grid.model.network import Network

_OTHERS = ("gen", "trafo3w", *OTHER_ELEMENTS)


@dataclass(frozen=True)
class TransformerFacts:
    """Type data of a transformer; None where the network does not say."""

    name: str
    hv_bus: str
    lv_bus: str
    kva: float  # all parallel ones together [kVA]
    hv_kv: float
    lv_kv: float
    vk_percent: float  # short-circuit voltage
    vkr_percent: float  # its real part
    type: str | None  # standard type
    vector_group: str | None
    tap: int | None  # position
    tap_range: tuple[int, int] | None
    tap_step_percent: float | None
    in_service: bool


@dataclass(frozen=True)
class ChargerBusFacts:
    """A bus with chargers."""

    bus: str
    kv: float
    stations: int
    ports: int
    charge_kw: float  # of all ports together
    load_kw: float  # the network's own values of the loads there
    sensitivity_pu_per_kw: float  # change of the bus's own voltage per kW drawn there
    lines: int  # on the way up to the external grid
    transformer: str | None  # the first on the way up


@dataclass(frozen=True)
class GridFacts:
    """A network with a site on it."""

    name: str
    n_buses: int
    dead_buses: tuple[str, ...]  # without a connection to an external grid
    n_lines: int
    n_loads: int  # of the network itself
    load_kw: float
    load_kvar: float
    n_site_loads: int  # buses at which the site's own loads are drawn
    n_generators: int  # those that the scenario adds included
    n_added_generators: int
    generator_kw: float
    constant: dict[str, int]  # other elements in service, by pandapower's table; the same in every step
    transformers: tuple[TransformerFacts, ...]
    charger_buses: tuple[ChargerBusFacts, ...]
    backend: str
    agreement: Differences | None  # with runpp on random states; None where it is runpp


@dataclass(frozen=True)
class IdleDay:
    """A day on a network without any charging."""

    n_steps: int
    n_failed: int  # steps without a power flow
    most_load_kw: float  # highest sum of all loads, the site's own among them

    def __str__(self) -> str:
        """In a sentence."""
        if not self.n_failed:
            return (
                f"the power flow has a solution in all {self.n_steps} steps of a day; its loads draw up to "
                f"{self.most_load_kw:,.0f} kW"
            )
        return (
            f"the power flow has no solution in {self.n_failed} of {self.n_steps} steps of a day, even without "
            f"charging; its loads draw up to {self.most_load_kw:,.0f} kW: check their unit"
        )


def idle_day(loop: GridLoop, track: Track) -> IdleDay:
    """What a day does to the network by itself; the loop's own days stay loaded."""
    own = replace(loop)
    own.load([track])
    solved = np.isfinite(own.days.idle_losses_kw[0])
    return IdleDay(len(solved), int((~solved).sum()), float(own.days.load_kw[0].sum(axis=1).max(initial=0.0)))


def grid_facts(site: Site, loop: GridLoop) -> GridFacts:
    """Describe the network of a site.

    Parameters
    ----------
    site : Site
        On a network.
    loop : GridLoop
        Of the same network; its backend is compared with pandapower once more, on the states of the self-check.
    """
    network = site.network
    if network is None:
        raise ValueError(f"site '{site.name}' has no network")
    spec, n_own, n_plants = network.spec, network.n_own_loads, network.n_own_generators
    idle = loop.reference.solve(Injections.zeros(spec, 1))
    dead = np.isnan(idle.vm_pu[0]) & idle.converged[0]
    same = loop.backend.name == loop.reference.name
    return GridFacts(
        name=spec.name,
        n_buses=spec.n_buses,
        dead_buses=tuple(spec.buses[k] for k in np.flatnonzero(dead)),
        n_lines=spec.n_lines,
        n_loads=n_own,
        load_kw=float(spec.load_kw[:n_own].sum()),
        load_kvar=float(spec.load_kvar[:n_own].sum()),
        n_site_loads=spec.n_loads - n_own,
        n_generators=spec.n_generators,
        n_added_generators=spec.n_generators - n_plants,
        generator_kw=float(spec.generator_kw.sum()),
        constant=_constant(network),
        transformers=_transformers(network),
        charger_buses=_charger_buses(site, network, loop.sensitivity_pu_per_kw),
        backend=loop.backend.name,
        agreement=None if same else differences(loop.backend, loop.reference, SELF_CHECK_STATES),
    )


def _constant(network: Network) -> dict[str, int]:
    """Elements besides buses, lines, two-winding transformers, and what the scenario drives."""
    net = network.net
    counts = {table: int(net[table].in_service.sum()) for table in _OTHERS if table in net and len(net[table])}
    counts["storage"] = int(net.storage.in_service.sum()) - network.spec.n_charger_buses
    return {table: count for table, count in counts.items() if count}


def _transformers(network: Network) -> tuple[TransformerFacts, ...]:
    spec, rows = network.spec, network.net.trafo
    return tuple(
        TransformerFacts(
            name=spec.transformers[k],
            hv_bus=spec.buses[spec.transformer_hv_bus[k]],
            lv_bus=spec.buses[spec.transformer_lv_bus[k]],
            kva=float(spec.transformer_kva[k]),
            hv_kv=float(row.vn_hv_kv),
            lv_kv=float(row.vn_lv_kv),
            vk_percent=float(row.vk_percent),
            vkr_percent=float(row.vkr_percent),
            type=_text(row.get("std_type")),
            vector_group=_text(row.get("vector_group")),
            tap=_whole(row.get("tap_pos")),
            tap_range=_pair(_whole(row.get("tap_min")), _whole(row.get("tap_max"))),
            tap_step_percent=_number(row.get("tap_step_percent")),
            in_service=bool(row.in_service),
        )
        for k, (_, row) in enumerate(rows.iterrows())
    )


def _charger_buses(site: Site, network: Network, sensitivity: np.ndarray) -> tuple[ChargerBusFacts, ...]:
    spec, arrays = network.spec, site.arrays
    paths = charger_paths(network)
    facts = []
    for row, bus in enumerate(spec.charger_bus):
        ports = site.port_charger == row
        first = int(paths.transformer[row])
        facts.append(
            ChargerBusFacts(
                bus=spec.buses[bus],
                kv=float(spec.bus_kv[bus]),
                stations=len(np.unique(arrays.port_station[ports])),
                ports=int(ports.sum()),
                charge_kw=float(arrays.port_charge_kw[ports].sum()),
                load_kw=float(spec.load_kw[spec.load_bus == bus].sum()),
                sensitivity_pu_per_kw=float(sensitivity[row]),
                lines=int(paths.lines[row].sum()),
                transformer=None if first < 0 else spec.transformers[first],
            )
        )
    return tuple(facts)


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(float(value)) else float(value)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _pair(low: int | None, high: int | None) -> tuple[int, int] | None:
    return None if low is None or high is None else (low, high)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
