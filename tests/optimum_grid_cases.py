"""Networks for the tests of the optimum: two buses for paper, random streets and rings, and days on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandapower

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.model.network import Network
from ev_marl.grid.solvers import newton, zbus  # noqa: F401  they register themselves
from ev_marl.grid.solvers.base import BACKENDS
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend
from ev_marl.scenario.schema.grid import Chargers, Grid, GridLimits, NetworkFile
from ev_marl.site import Site
from ev_marl.world.grid_day import GridDay
from ev_marl.world.track import Track


def line(net: Any, first: int, second: int, r_ohm: float, x_ohm: float, amperes: float = 1000.0) -> None:
    """A line without capacitance."""
    pandapower.create_line_from_parameters(net, first, second, 1.0, r_ohm, x_ohm, 0.0, amperes / 1000.0)


def two_buses(r_ohm: float, x_ohm: float = 1e-6, amperes: float = 1000.0, load_kw: float = 0.0) -> Any:
    """An external grid of 1 p.u. at 0.4 kV, a line (next to no reactance: pandapower wants some), bus 1 at its end."""
    net = pandapower.create_empty_network()
    buses = [pandapower.create_bus(net, 0.4) for _ in range(2)]
    pandapower.create_ext_grid(net, buses[0])
    line(net, *buses, r_ohm, x_ohm, amperes)
    if load_kw > 0.0:
        pandapower.create_load(net, buses[1], p_mw=load_kw / 1000.0)
    return net


def random_street(rng: np.random.Generator, *, n_buses: int = 6, meshed: bool = False, held: bool = False) -> Any:
    """A transformer and a random tree of lines behind it, some with loads; a ring or two, and a generator, if asked."""
    net = pandapower.create_empty_network()
    above = pandapower.create_bus(net, 10.0)
    pandapower.create_ext_grid(net, above, vm_pu=float(rng.uniform(0.99, 1.02)))
    buses = [pandapower.create_bus(net, 0.4) for _ in range(n_buses)]
    pandapower.create_transformer_from_parameters(
        net, above, buses[0], sn_mva=0.1, vn_hv_kv=10.0, vn_lv_kv=0.4, vkr_percent=1.5, vk_percent=4.0,
        pfe_kw=0.3, i0_percent=0.3, shift_degree=150.0, tap_pos=1, tap_neutral=0, tap_step_percent=2.5,
        tap_side="hv", tap_changer_type="Ratio",
    )  # fmt: skip

    def cable(first: int, second: int) -> None:
        length = float(rng.uniform(0.05, 0.25))
        pandapower.create_line_from_parameters(net, first, second, length, 0.32, 0.08, 250.0, 0.15)

    for k in range(1, n_buses):
        cable(buses[int(rng.integers(max(0, k - 3), k))], buses[k])
    if meshed:
        cable(buses[1], buses[-1])
        cable(buses[2], buses[-2])
    for k in range(1, n_buses):
        if rng.random() < 0.7:
            pandapower.create_load(net, buses[k], p_mw=float(rng.uniform(0.001, 0.006)), q_mvar=0.001)
    pandapower.create_sgen(net, buses[-1], p_mw=0.005)
    if held:
        pandapower.create_gen(net, buses[2], p_mw=0.01, vm_pu=1.0)
    return net


def hang(
    site: Site,
    track: Track,
    net: Any,
    folder: Path,
    *,
    buses: list[int],
    limits: GridLimits | None = None,
    chargers: Chargers | None = None,
    curtails: bool = True,
    seed: int = 0,
    backend: str = "zbus",
) -> tuple[Track, GridLoop]:
    """Hang the ports of a site on buses of a network, one after the other; loads and sun vary over the day."""
    path = folder / "net.json"
    pandapower.to_json(net, str(path))
    network = Network.of(Grid(network=NetworkFile(file=str(path))), buses)
    site.network = network
    site.port_charger = np.arange(site.arrays.n_ports) % len(buses)
    spec, rng = network.spec, np.random.default_rng(seed)
    shape = (track.n_steps, 1)
    loads, sun = rng.uniform(0.3, 1.2, shape), rng.uniform(0.0, 1.0, shape)
    day = GridDay(
        spec.loads, spec.generators, spec.load_kw * loads, spec.load_kvar * loads, spec.generator_kw * sun,
        spec.generator_kvar * sun,
    )  # fmt: skip
    loop = GridLoop(
        site=site,
        backend=BACKENDS.get(backend)(network),
        reference=PandapowerBackend(network),
        limits=limits or GridLimits(),
        chargers=chargers or Chargers(),
        curtails=curtails,
        safe_fraction=0.5,
    )
    return replace(track, grid=day), loop
