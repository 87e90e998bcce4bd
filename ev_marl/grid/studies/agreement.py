"""How well the backends agree with pandapower, and how fast they are: networks in, a page of documentation out.

Agreement and times are of one run. Times are of the processor, not of the clock on the wall, and the fastest of some
passes on both sides, so that they say the same on a busy machine.
"""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import pandapower
import pandapower.networks

from ev_marl.grid.model.network import Network, load_buses
from ev_marl.grid.solvers.base import BACKENDS, GridBackend, Injections
from ev_marl.grid.solvers.checks import Differences, compare, solvable_states, tolerances
from ev_marl.grid.solvers.choose import IN_TURN, make_backend
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend
from ev_marl.scenario.schema.grid import Grid
from ev_marl.support.errors import NetworkError

STATES, LOW_SLACK_PU = 64, 0.85
BATCH = 1024
PASSES = 7
_SLOWEST_S = 0.3  # a pass that would take longer is timed on fewer rows

_ABOUT = """\
Each backend against `pandapower.runpp` on {states} random states, from light to heavy load and with more fed in than
drawn; in a quarter of them the slack is at {low} p.u. Every bus with a load has chargers. Differences are the largest
of any bus, line or transformer where a state has a solution above 0.7 p.u.; *same* says whether the same states have
none, and the same buses are dead. What is in bold is what `backend: auto` takes. Asked for: 1e-6 p.u., 1e-3 percentage
points, the same flags.
"""
_ABOUT_TIMES = """\
Processor time of one thread for one solve, with voltages, loadings, slack power and losses: alone, and each in a batch
of {batch:,} different states. The fastest of {passes} passes, `runpp` included, which writes its state to pandapower's
tables first.
"""


@dataclass(frozen=True)
class Case:
    """A network that backends are tried on."""

    title: str
    make: Callable[[], Network]


def _named(title: str, choice: Any) -> Case:
    def make() -> Network:
        grid = Grid(network=choice)
        return Network.of(grid, Network.load_buses(grid))

    return Case(title, make)


def _with_dead_parts() -> Network:
    """Oberrhein's medium-voltage network, most of whose switches are open already, with lines and feeders cut off."""
    with warnings.catch_warnings():  # of pandapower's, about its own file
        warnings.simplefilter("ignore")
        net = pandapower.networks.mv_oberrhein()
    closed = net.switch.index[net.switch.closed & (net.switch.et == "l")]
    net.switch.loc[closed[[3, 40, 77]], "closed"] = False
    net.line.loc[net.line.index[[10, 90]], "in_service"] = False
    return Network.from_net(net, "oberrhein with dead parts", load_buses(net))


def _with_following_loads() -> Network:
    """CIGRE's low-voltage network; of each load, a part is in proportion to the voltage and another to its square."""
    net = pandapower.networks.create_cigre_network_lv()
    for column, percent in (("const_i_p", 30.0), ("const_z_p", 40.0), ("const_i_q", 20.0), ("const_z_q", 70.0)):
        net.load[f"{column}_percent"] = percent
    return Network.from_net(net, "CIGRE LV with loads that follow the voltage", load_buses(net))


CASES: tuple[Case, ...] = (
    _named("CIGRE LV", "cigre_lv"),
    _named("CIGRE MV with PV and wind", {"pandapower": "cigre_mv", "options": {"with_der": "pv_wind"}}),
    _named("Kerber, suburb, cable 1", "kerber_vorstadtnetz_kabel_1"),
    _named("Kerber, village, overhead, extreme", "kb_extrem_landnetz_freileitung"),
    Case("Oberrhein MV, open switches, dead buses", _with_dead_parts),
    _named("SimBench 1-LV-rural1--0-sw", "1-LV-rural1--0-sw"),
    _named("SimBench 1-LV-semiurb4--2-sw", "1-LV-semiurb4--2-sw"),
    _named("SimBench 1-MV-rural--0-sw", "1-MV-rural--0-sw"),
    Case("Loads that follow the voltage, CIGRE's LV", _with_following_loads),
    _named("Multi-voltage example: three windings, extended wards", "example_multivoltage"),
    _named("IEEE 14, 4 generators", "case14"),
    _named("IEEE 118, 53 generators", "case118"),
)


@dataclass(frozen=True)
class Row:
    """One backend on one network; times in microseconds, NaN where they were not measured."""

    title: str
    n_buses: int
    n_charger_buses: int
    backend: str
    chosen: bool  # by `backend: auto`
    found: Differences
    problems: list[str]  # what is beyond the backend's tolerances
    runpp_us: float = np.nan
    alone_us: float = np.nan
    batch_us: float = np.nan


def measure(case: Case, also: Sequence[str] = (), *, n_states: int = STATES, timed: bool = True) -> Iterator[Row]:
    """Compare every backend that takes a network with pandapower, and time both.

    Parameters
    ----------
    case : Case
        The network.
    also : sequence of str
        Further backends, by name or as module:Class.
    n_states : int
        How many random states, a quarter of them with the slack at 0.85 p.u.
    timed : bool
        Whether to measure times.

    Raises
    ------
    UnknownNameError
        If there is no backend of a name.
    """
    network = case.make()
    chosen = make_backend(network).name
    for name in (*IN_TURN, *also):
        make = partial(BACKENDS.make, name, trust=True)
        try:
            backend: GridBackend = make(network)
        except NetworkError:  # it says so where it cannot represent the network
            continue
        found = _worst([*_apart(make, network, n_states)])
        times = _times(backend, PandapowerBackend(network, compiled=True)) if timed else ()
        problems = found.problems(**tolerances(backend))
        spec = network.spec
        yield Row(case.title, spec.n_buses, spec.n_charger_buses, backend.name, name == chosen, found, problems, *times)


def page(rows: Sequence[Row]) -> str:
    """The page of documentation, from what was measured."""
    lines = [
        "# Agreement with pandapower",
        "",
        "<!-- Generated by `ev-marl grid agreement --out docs/reference/grid-agreement.md --overwrite`. -->",
        "",
        *_ABOUT.format(states=rows[0].found.states if rows else STATES, low=LOW_SLACK_PU).splitlines(),
        "",
        "| network | buses | backend | solved | voltages [p.u.] | lines [%] | transformers [%] | same |",
        "|---|---:|---|---:|---:|---:|---:|---|",
        *(_agreement_line(row) for row in rows),
        "",
        "## Time",
        "",
        *_ABOUT_TIMES.format(batch=BATCH, passes=PASSES).splitlines(),
        "",
        "| network | charger buses | backend | `runpp` [µs] | alone [µs] | in a batch [µs] | `runpp` / alone "
        "| `runpp` / in a batch |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
        *(_time_line(row) for row in rows if np.isfinite(row.runpp_us)),
        "",
        f"Python {platform.python_version()}, {_versions()}. Another engine, and what it has to state:"
        " [plug in a grid backend](../how-to/plug-in-a-grid-backend.md).",
    ]
    return "\n".join(lines) + "\n"


def _versions() -> str:
    packages = ("pandapower", "lightsim2grid", "simbench", "numba", "numpy")
    return ", ".join(f"{name} {version(name)}" for name in packages)


def _name(row: Row) -> str:
    return f"**`{row.backend}`**" if row.chosen else f"`{row.backend}`"


def _agreement_line(row: Row) -> str:
    found = row.found
    apart = (f"{value:.0e}" for value in (found.voltage_pu, found.line_percent, found.transformer_percent))
    same = "yes" if found.same_converged and found.same_dead_buses else "**no**"
    cells = (row.title, str(row.n_buses), _name(row), f"{found.converged} of {found.states}", *apart, same)
    return "| " + " | ".join(cells) + " |"


def _time_line(row: Row) -> str:
    times = (_number(value) for value in (row.runpp_us, row.alone_us, row.batch_us))
    ratios = (_number(row.runpp_us / value) for value in (row.alone_us, row.batch_us))
    return "| " + " | ".join((row.title, str(row.n_charger_buses), _name(row), *times, *ratios)) + " |"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100.0 else f"{value:,.0f}"


def _apart(make: Callable[[Network], GridBackend], network: Network, n_states: int) -> Iterator[Differences]:
    """Differences with the network's own slack voltage, and with a low one."""
    n_low = n_states // 4
    slack_pu = network.net.ext_grid["vm_pu"].copy()
    for vm_pu, number, seed in ((slack_pu, n_states - n_low, 1), (LOW_SLACK_PU, n_low, 2)):
        network.net.ext_grid["vm_pu"] = vm_pu
        states, expected = solvable_states(PandapowerBackend(network), number, seed)
        yield compare(make(network).solve(states), expected, network.spec)
    network.net.ext_grid["vm_pu"] = slack_pu


def _worst(parts: Sequence[Differences]) -> Differences:
    return Differences(
        states=sum(part.states for part in parts),
        converged=sum(part.converged for part in parts),
        voltage_pu=max(part.voltage_pu for part in parts),
        line_percent=max(part.line_percent for part in parts),
        transformer_percent=max(part.transformer_percent for part in parts),
        power_share=max(part.power_share for part in parts),
        same_converged=all(part.same_converged for part in parts),
        same_dead_buses=all(part.same_dead_buses for part in parts),
    )


def _times(backend: GridBackend, reference: GridBackend) -> tuple[float, float, float]:
    """Processor time of a solve [µs]: pandapower's, alone, and in a batch; of states that have a solution."""
    states, flow = solvable_states(reference, 16, seed=3)
    solved = np.flatnonzero(flow.converged)
    singles = [states.rows(solved[[row % len(solved)]]) for row in range(64)]
    runpp_us = _fastest_us(reference, singles[:4], 4)
    alone_us = _fastest_us(backend, singles, 64)
    n_rows = int(np.clip(_SLOWEST_S / (1e-6 * alone_us), 8, BATCH))
    scale = np.random.default_rng(4).uniform(0.8, 1.0, (n_rows, 1))  # no state is another's double
    batch = states.rows(np.resize(solved, n_rows))
    for part in (batch.load_kw, batch.load_kvar, batch.generator_kw, batch.charger_kw, batch.charger_kvar):
        part *= scale
    return runpp_us, alone_us, _fastest_us(backend, [batch], n_rows)


def _fastest_us(backend: GridBackend, states: Sequence[Injections], n_rows: int) -> float:
    backend.solve(states[0])
    taken = []
    for _ in range(PASSES):
        begin = time.thread_time()
        for one in states:
            backend.solve(one)
        taken.append(time.thread_time() - begin)
    return 1e6 * min(taken) / n_rows
