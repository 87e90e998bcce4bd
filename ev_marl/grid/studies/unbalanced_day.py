"""A finished day on three phases: what balanced power flows hide when vehicles charge on one phase.

A setting, a policy and a day come in; the steps asked for go out, balanced and on three phases side by side. Who
charges how much is what the simulator decided on the balanced network: nothing is decided anew.

Rules, where nobody says otherwise: a vehicle draws from one phase where its port and its on-board charger together
allow at most 7.4 kW (32 A at 230 V), else from all three alike, as it does at DC ports. Ports take the phases a, b, c
in turn, in the site's order, anew in each group; or all take phase a. Loads draw from all phases alike, or each load of
the network up to 1 kV from one, in turn; generators feed into all alike.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from ev_marl.env.setup import Setting
from ev_marl.grid.loop.days import day_loads
from ev_marl.grid.loop.flow import GridFlow
from ev_marl.grid.studies.choices import Connection, LoadSplit, Steps
from ev_marl.grid.studies.unbalanced import LOW_VOLTAGE_KV, PHASES, PhaseFlow, ThreePhase
from ev_marl.policies.make import make_policy
from ev_marl.policies.rollout import rollout
from ev_marl.scenario.schema.grid import Chargers
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.flow import Flow
from ev_marl.site.site import Site
from ev_marl.support.errors import DataError, NetworkError
from ev_marl.support.registry import did_you_mean
from ev_marl.world.track import Track

ONE_PHASE_KW = 7.4
_WORST_OF_EACH = 3  # steps, by each of the criteria for the worst
_ALL = 3  # index of "all three phases" where a phase is meant


@dataclass(frozen=True)
class UnbalancedStep:
    """One step, balanced and on three phases."""

    step: int
    lowest_pu: float  # balanced
    lowest_bus: str
    transformer_percent: float  # fullest, balanced
    line_percent: float
    charging_kw: tuple[float, float, float]  # on each phase
    phase_lowest_pu: float  # of all buses and phases
    phase_lowest_bus: str
    phase_lowest_phase: str
    phase_highest_pu: float
    unbalance_percent: float  # highest of all buses
    unbalance_bus: str
    phase_transformer_percent: tuple[float, float, float]  # of the transformer with the fullest phase
    phase_transformer: str
    phase_line_percent: float  # fullest phase of all lines
    converged: bool  # the numbers on three phases are NaN otherwise


@dataclass(frozen=True)
class UnbalancedDay:
    """What came of it."""

    track: Track
    policy: str
    loads: LoadSplit
    connection: Connection
    steps: tuple[UnbalancedStep, ...]
    one_phase_sessions: int
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class PlayedDay:
    """A day on the balanced network; T steps."""

    granted_kw: np.ndarray  # float64 (T, P)
    charger_kw: np.ndarray  # float64 (T, E)
    charger_kvar: np.ndarray  # float64 (T, E)
    vm_pu: np.ndarray  # float64 (T, N)
    line_percent: np.ndarray  # float64 (T, M)
    transformer_percent: np.ndarray  # float64 (T, K)
    tap: np.ndarray  # int64 (T,)  in this step
    failed: np.ndarray  # bool (T,)


def unbalanced_day(
    setting: Setting,
    policy: str = "uncontrolled",
    *,
    seed: int = 0,
    day: date | None = None,
    track: Track | None = None,
    steps: Steps = "worst",
    loads: LoadSplit = "balanced",
    connection: Connection = "in-turn",
    phases: Mapping[str, str] | None = None,
) -> UnbalancedDay:
    """Play a day, then solve some of its steps on three phases.

    Parameters
    ----------
    setting : Setting
        On a network.
    policy : str
        Who decides.
    seed : int
        Of the day.
    day : date, optional
        Date of the day; left out, it is drawn.
    track : Track, optional
        The day itself, instead of `seed` and `day`.
    steps : {"worst", "all"}
        Which: all, or those with the lowest voltages, the fullest transformers and the most unequal charging.
    loads : {"balanced", "one-phase"}
        How the network's loads draw.
    connection : {"in-turn", "same"}
        Whether ports take the phases in turn, or all take phase a, as where nobody thinks of it.
    phases : mapping of str to str, optional
        Station to "a", "b", "c" or "abc"; stations that are not in it follow the rules.

    Raises
    ------
    NetworkError
        If there is no network, or pandapower's three-phase power flow does not know it.
    DataError
        If a station or phase does not exist.
    """
    loop, network = setting.grid, setting.site.network
    if loop is None or network is None:
        raise NetworkError(f"scenario '{setting.scenario.name}' has no network; add `grid:`")
    chosen = track if track is not None else setting.world.sample(seed, day)
    played = _play(setting, policy, chosen, seed)
    phase_of = port_phases(setting.site, phases or {}, connection)
    phase, one_phase = _phase_of_steps(setting.site, chosen, phase_of, set(phases or {}))
    own = day_loads(setting.site, chosen)
    initial = 0 if loop.taps is None else loop.taps.initial
    solvers: dict[int, ThreePhase] = {}
    found = []
    for step in _chosen_steps(steps, played, phase):
        tap = int(played.tap[step])
        if tap not in solvers:
            moved = {} if loop.taps is None or tap == initial else {loop.taps.transformer: tap}
            solvers[tap] = ThreePhase(network, moved)
        drawn = drawn_kva(setting.site, own, played, phase[step], step, loads, loop.chargers)
        flow = solvers[tap].solve(drawn)
        found.append(_compared(setting.site, played, phase[step], step, flow))
    assumptions = solvers[next(iter(solvers))].assumptions if solvers else ()
    return UnbalancedDay(chosen, policy, loads, connection, tuple(found), one_phase, assumptions)


def port_phases(site: Site, given: Mapping[str, str], connection: Connection = "in-turn") -> np.ndarray:
    """Phase of each port, int64, shape (n_ports,): 0 to 2, or 3 for all three.

    Parameters
    ----------
    site : Site
        Whose ports.
    given : mapping of str to str
        Station to "a", "b", "c" or "abc".
    connection : {"in-turn", "same"}
        Of the ports of all other stations.

    Raises
    ------
    DataError
        If a station or phase does not exist.
    """
    arrays = site.arrays
    for station, name in given.items():
        if station not in site.agents:
            raise DataError(f"there is no station '{station}'.{did_you_mean(station, list(site.agents))}")
        if name not in (*PHASES, "abc"):
            raise DataError(f"station '{station}': phase '{name}' is not one of a, b, c, abc")
    station_group = arrays.station_group[arrays.port_station]
    turn = np.zeros(arrays.n_groups, dtype=np.int64)
    phase = np.empty(arrays.n_ports, dtype=np.int64)
    for port in range(arrays.n_ports):
        phase[port] = 0 if connection == "same" else turn[station_group[port]] % 3
        turn[station_group[port]] += 1
        chosen = given.get(site.agents[arrays.port_station[port]])
        if chosen is not None:
            phase[port] = _ALL if chosen == "abc" else PHASES.index(chosen)
    return phase


def read_phases(path: Path) -> dict[str, str]:
    """Phases of stations from a CSV file with the columns `station` and `phase`.

    Raises
    ------
    DataError
        If the file cannot be read or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not rows or not {"station", "phase"} <= set(rows[0]):
        raise DataError(f"{path}: expected the columns station and phase, and one row for each station")
    return {(row["station"] or "").strip(): (row["phase"] or "").strip().lower() for row in rows}


def _play(setting: Setting, policy: str, track: Track, seed: int) -> PlayedDay:
    kept: list[tuple[np.ndarray, GridFlow]] = []

    def watch(flow: Flow, _rewards: np.ndarray, _costs: np.ndarray) -> None:
        assert flow.grid is not None  # the setting has a network
        kept.append((flow.granted_kw[0].copy(), flow.grid))

    simulator = setting.simulator([track])
    rollout(simulator, setting.objective, make_policy(policy), [track], seed=seed, watch=watch, world=setting.world)
    assert setting.grid is not None
    initial = 0 if setting.grid.taps is None else setting.grid.taps.initial
    grids = [grid for _, grid in kept]
    return PlayedDay(
        granted_kw=np.array([granted_kw for granted_kw, _ in kept]),
        charger_kw=np.array([grid.charger_kw[0] for grid in grids]),
        charger_kvar=np.array([grid.charger_kvar[0] for grid in grids]),
        vm_pu=np.array([grid.vm_pu[0] for grid in grids]),
        line_percent=np.array([grid.line_percent[0] for grid in grids]),
        transformer_percent=np.array([grid.transformer_percent[0] for grid in grids]),
        tap=np.array([initial, *(int(grid.tap[0]) for grid in grids[:-1])]),  # told after it moved
        failed=np.array([bool(grid.failed[0]) for grid in grids]),
    )


def _phase_of_steps(site: Site, track: Track, port_phase: np.ndarray, given: set[str]) -> tuple[np.ndarray, int]:
    """Phase that each port draws from in each step, int64 (T, P), and how many sessions draw from one."""
    arrays, stays = site.arrays, stays_of(site.arrays, track)
    stations = [site.agents[station] for station in arrays.port_station]
    fixed = np.array([station in given for station in stations])
    phase = np.full((track.n_steps, arrays.n_ports), _ALL, dtype=np.int64)
    one_phase = 0
    for stay in stays:
        port = stay["port"]
        weak = stay["charge_kw"] <= ONE_PHASE_KW and not arrays.port_is_dc[port]
        chosen = port_phase[port] if weak or fixed[port] else _ALL
        phase[stay["arrival_step"] : stay["deadline_step"], port] = chosen
        one_phase += int(chosen != _ALL)
    return phase, one_phase


def _by_phase(values: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Split values over phases, shape (len(values), 3)."""
    share = np.where(phase[:, None] == _ALL, 1.0 / 3.0, phase[:, None] == np.arange(3))
    return np.asarray(values[:, None] * share)


def _chosen_steps(steps: Steps, played: PlayedDay, phase: np.ndarray) -> list[int]:
    """Steps that have a solution: all, or the worst by any of three criteria."""
    sound = np.flatnonzero(~played.failed)
    if steps == "all":
        return [int(step) for step in sound]
    charging = np.array([_by_phase(played.granted_kw[t], phase[t]).sum(axis=0) for t in sound]).reshape(-1, 3)
    badness = (
        -played.vm_pu[sound].min(axis=1),
        played.transformer_percent[sound].max(axis=1, initial=0.0),
        np.ptp(charging, axis=1),
    )
    picked = {int(sound[k]) for values in badness for k in np.argsort(-values, kind="stable")[:_WORST_OF_EACH]}
    return sorted(picked)


def drawn_kva(
    site: Site,
    own: Sequence[np.ndarray],
    played: PlayedDay,
    phase: np.ndarray,
    step: int,
    loads: LoadSplit,
    chargers: Chargers,
) -> np.ndarray:
    """Drawn at each bus from each phase in a step, less what is fed in, complex128 (N, 3) [kVA].

    Parameters
    ----------
    site : Site
        On a network.
    own : sequence of float64
        As `day_loads` gives them.
    played : PlayedDay
        Who charges how much.
    phase : int64, shape (n_ports,)
        Phase of each port in this step, as `port_phases`.
    step : int
        Which.
    loads : {"balanced", "one-phase"}
        How the network's loads draw.
    chargers : Chargers
        Their reactive power.
    """
    assert site.network is not None
    spec = site.network.spec
    load_kw, load_kvar, generator_kw, generator_kvar = (part[step] for part in own)
    load_phase = np.full(spec.n_loads, _ALL)
    if loads == "one-phase":
        single = spec.bus_kv[spec.load_bus] <= LOW_VOLTAGE_KV
        load_phase = np.where(single, np.arange(spec.n_loads) % 3, _ALL)
    drawn = np.zeros((spec.n_buses, 3), dtype=np.complex128)
    np.add.at(drawn, spec.load_bus, _by_phase(load_kw + 1j * load_kvar, load_phase))
    np.add.at(
        drawn, spec.generator_bus, -_by_phase(generator_kw + 1j * generator_kvar, np.full(spec.n_generators, _ALL))
    )
    charging = np.zeros((spec.n_charger_buses, 3))
    np.add.at(charging, site.port_charger, _by_phase(played.granted_kw[step], phase))
    if chargers.q_of_v is None:
        charging_kvar = charging * chargers.kvar_per_kw
    else:  # by the voltage, for charging and discharging alike
        moved = np.abs(charging).sum(axis=1, keepdims=True)
        share = np.divide(np.abs(charging), moved, out=np.full_like(charging, 1.0 / 3.0), where=moved > 0.0)
        charging_kvar = played.charger_kvar[step][:, None] * share
    np.add.at(drawn, spec.charger_bus, charging + 1j * charging_kvar)
    return drawn


def _compared(site: Site, played: PlayedDay, phase: np.ndarray, step: int, flow: PhaseFlow) -> UnbalancedStep:
    assert site.network is not None
    spec = site.network.spec
    lowest = int(np.argmin(played.vm_pu[step]))
    charging = _by_phase(played.granted_kw[step], phase).sum(axis=0)
    bus, at_phase = np.unravel_index(
        int(np.argmin(np.where(np.isnan(flow.vm_pu), np.inf, flow.vm_pu))), (spec.n_buses, 3)
    )
    unbalance = np.where(np.isnan(flow.unbalance_percent), -np.inf, flow.unbalance_percent)
    transformer = int(np.argmax(flow.transformer_percent.max(axis=1))) if spec.n_transformers else -1
    a, b, c = flow.transformer_percent[transformer] if spec.n_transformers else (0.0, 0.0, 0.0)
    return UnbalancedStep(
        step=step,
        lowest_pu=float(played.vm_pu[step, lowest]),
        lowest_bus=spec.buses[lowest],
        transformer_percent=float(played.transformer_percent[step].max(initial=0.0)),
        line_percent=float(played.line_percent[step].max(initial=0.0)),
        charging_kw=(float(charging[0]), float(charging[1]), float(charging[2])),
        phase_lowest_pu=float(flow.vm_pu[bus, at_phase]),
        phase_lowest_bus=spec.buses[bus],
        phase_lowest_phase=PHASES[at_phase],
        phase_highest_pu=float(np.nanmax(flow.vm_pu)) if flow.converged else float("nan"),
        unbalance_percent=float(unbalance.max()) if flow.converged else float("nan"),
        unbalance_bus=spec.buses[int(np.argmax(unbalance))],
        phase_transformer_percent=(float(a), float(b), float(c)),
        phase_transformer=spec.transformers[transformer] if spec.n_transformers else "",
        phase_line_percent=float(flow.line_percent.max(initial=0.0)),
        converged=flow.converged,
    )
