"""What the network did in every step of many days, and the states that a reference shall solve again.

Steps of a batched simulator come in, whole days in a row; arrays over days and steps go out, with the worst and some
random states kept whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import numpy as np

from ev_marl.grid.loop.flow import GridFlow
from ev_marl.grid.loop.limits import VOLTAGE_TOLERANCE_PU
from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.solvers.base import Injections
from ev_marl.scenario.schema.grid import GridLimits
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator

Moment = tuple[int, int]  # day and step
RANDOM = "random"


@dataclass(frozen=True)
class YearSeries:
    """Every step of D days of T steps; a failed one, where nobody charges, counts for nothing but itself."""

    lowest_pu: np.ndarray  # float64 (D, T)  of all buses that are connected
    lowest_bus: np.ndarray  # int64 (D, T)
    highest_pu: np.ndarray  # float64 (D, T)
    highest_bus: np.ndarray  # int64 (D, T)
    line_percent: np.ndarray  # float64 (D, T)  highest of all lines, 0 where there is none
    line: np.ndarray  # int64 (D, T)
    transformer_percent: np.ndarray  # float64 (D, T)
    transformer: np.ndarray  # int64 (D, T)
    charging_kw: np.ndarray  # float64 (D, T)  drawn by all chargers, less what vehicles feed back
    slack_kw: np.ndarray  # float64 (D, T)  drawn from above
    losses_kw: np.ndarray  # float64 (D, T)
    curtailed_kw: np.ndarray  # float64 (D, T)  taken back for the network's sake
    cut: np.ndarray  # bool (D, T)  charging was cut, since what was granted had no solution
    failed: np.ndarray  # bool (D, T)  there was none without charging either; voltages are infinite, all else is 0
    idle_lowest_pu: np.ndarray  # float64 (D, T)  without vehicles, at the network's own taps
    idle_highest_pu: np.ndarray  # float64 (D, T)
    idle_line_percent: np.ndarray  # float64 (D, T)
    idle_transformer_percent: np.ndarray  # float64 (D, T)

    @classmethod
    def empty(cls, n_days: int, n_steps: int) -> YearSeries:
        """Zeros, to be filled in place."""
        kinds: dict[str, type] = dict.fromkeys(("lowest_bus", "highest_bus", "line", "transformer"), np.int64)
        kinds |= dict.fromkeys(("cut", "failed"), np.bool_)
        shape = (n_days, n_steps)
        return cls(**{part.name: np.zeros(shape, dtype=kinds.get(part.name, np.float64)) for part in fields(cls)})


@dataclass(frozen=True)
class State:
    """One step of one day, whole: what the chargers drew and what the network did, to be solved again."""

    why: str
    moment: Moment
    injections: Injections  # one row
    tap: int  # of the controlled transformer, 0 without one
    vm_pu: np.ndarray  # float64 (N,)  NaN at dead buses
    line_percent: np.ndarray  # float64 (M,)
    transformer_percent: np.ndarray  # float64 (K,)


@dataclass
class YearRecorder:
    """Takes in the steps of days that are played in batches.

    Parameters
    ----------
    limits : GridLimits
        Of the scenario.
    n_days, n_steps, n_buses : int
        D, T, N.
    wanted : iterable of (int, int)
        Days and steps that are always kept whole.

    Attributes
    ----------
    series : YearSeries
        Every step.
    bus_lowest_pu : float64, shape (n_buses,)
        Lowest voltage of each bus, inf at dead buses.
    bus_low_steps, bus_high_steps : int64, shape (n_buses,)
        Steps in which each bus is below and above the band.
    charged_kwh, discharged_kwh, unmet_kwh : float
        Metered at all ports; wishes that were due and not met.
    """

    limits: GridLimits
    n_days: int
    n_steps: int
    n_buses: int
    wanted: Iterable[Moment]
    charged_kwh: float = 0.0
    discharged_kwh: float = 0.0
    unmet_kwh: float = 0.0
    _worst: dict[str, tuple[float, State]] = field(default_factory=dict, repr=False)
    _random: dict[Moment, State] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.series = YearSeries.empty(self.n_days, self.n_steps)
        self.bus_lowest_pu = np.full(self.n_buses, np.inf)
        self.bus_low_steps, self.bus_high_steps = np.zeros((2, self.n_buses), dtype=np.int64)
        self._wanted_at: dict[int, list[int]] = {}
        for day, step in self.wanted:
            self._wanted_at.setdefault(step, []).append(day)

    @property
    def states(self) -> tuple[State, ...]:
        """States that are kept: the worst of each kind, then the wanted ones in time's order."""
        return (*(state for _, state in self._worst.values()), *(self._random[key] for key in sorted(self._random)))

    def begin(self, simulator: Simulator, first_day: int) -> None:
        """The days that `simulator` will run are those from `first_day` on."""
        assert simulator.grid is not None  # a year is of a network
        self._simulator, self._loop = simulator, simulator.grid
        self._first = first_day

    def watch(self, flow: Flow, _rewards: np.ndarray, _costs: np.ndarray) -> None:
        """Take in one step of all days of the batch."""
        grid, step, series = flow.grid, flow.step, self.series
        assert grid is not None  # a year is of a network
        if step == 0:
            self._take_idle()
        rows = slice(self._first, self._first + len(grid.vm_pu))
        seen = self._alive & ~grid.failed[:, None]  # what is told of a failed step is older
        vm_low = np.where(seen, grid.vm_pu, np.inf)
        vm_high = np.where(seen, grid.vm_pu, -np.inf)
        for name, values, pick in (
            ("lowest", vm_low, np.argmin),
            ("highest", vm_high, np.argmax),
            ("line", np.where(grid.failed[:, None], 0.0, grid.line_percent), np.argmax),
            ("transformer", np.where(grid.failed[:, None], 0.0, grid.transformer_percent), np.argmax),
        ):
            if not values.shape[1]:
                continue
            is_bus = name in ("lowest", "highest")
            worst = pick(values, axis=1)
            getattr(series, f"{name}_bus" if is_bus else name)[rows, step] = worst
            getattr(series, f"{name}_pu" if is_bus else f"{name}_percent")[rows, step] = values[
                np.arange(len(worst)), worst
            ]
        np.minimum(self.bus_lowest_pu, vm_low.min(axis=0), out=self.bus_lowest_pu)
        low, high = self.limits.voltage
        self.bus_low_steps += (vm_low < low - VOLTAGE_TOLERANCE_PU).sum(axis=0)
        self.bus_high_steps += (vm_high > high + VOLTAGE_TOLERANCE_PU).sum(axis=0)
        series.charging_kw[rows, step] = grid.charger_kw.sum(axis=1)
        for name in ("slack_kw", "losses_kw"):
            getattr(series, name)[rows, step] = np.where(grid.failed, 0.0, getattr(grid, name))
        for name in ("curtailed_kw", "cut", "failed"):
            getattr(series, name)[rows, step] = getattr(grid, name)
        self.charged_kwh += flow.step_h * float(np.maximum(flow.granted_kw, 0.0).sum())
        self.discharged_kwh -= flow.step_h * float(np.minimum(flow.granted_kw, 0.0).sum())
        self.unmet_kwh += float(flow.unmet_kwh.sum())
        self._keep(grid, step)
        self._tap = grid.tap

    def _take_idle(self) -> None:
        """What the loaded days are without vehicles, and which buses are connected."""
        days, series = self._loop.days, self.series
        rows = slice(self._first, self._first + len(days.idle_vm_pu))
        known = np.isfinite(days.idle_vm_pu)
        self._alive = known.any(axis=(0, 1))
        series.idle_lowest_pu[rows] = np.where(known, days.idle_vm_pu, np.inf).min(axis=2)
        series.idle_highest_pu[rows] = np.where(known, days.idle_vm_pu, -np.inf).max(axis=2)
        series.idle_line_percent[rows] = np.nan_to_num(days.idle_line_percent).max(axis=2, initial=0.0)
        series.idle_transformer_percent[rows] = np.nan_to_num(days.idle_transformer_percent).max(axis=2, initial=0.0)
        self._tap = np.full(len(known), 0 if self._loop.taps is None else self._loop.taps.initial, dtype=np.int64)

    def _keep(self, grid: GridFlow, step: int) -> None:
        rows, series = slice(self._first, self._first + len(grid.vm_pu)), self.series
        for why, values in (
            ("lowest voltage", -series.lowest_pu[rows, step]),
            ("highest voltage", series.highest_pu[rows, step]),
            ("fullest line", series.line_percent[rows, step]),
            ("fullest transformer", series.transformer_percent[rows, step]),
            ("most charging", series.charging_kw[rows, step]),
        ):
            sound = np.where(grid.failed, -np.inf, values)
            row = int(np.argmax(sound))
            if sound[row] > self._worst.get(why, (-np.inf,))[0]:
                self._worst[why] = (float(sound[row]), self._state(why, grid, step, row))
        for day in self._wanted_at.get(step, ()):
            row = day - self._first
            if 0 <= row < len(grid.vm_pu) and not grid.failed[row]:
                self._random[day, step] = self._state(RANDOM, grid, step, row)

    def _state(self, why: str, grid: GridFlow, step: int, row: int) -> State:
        at = np.array([row])
        return State(
            why,
            (self._first + row, step),
            self._loop.days.injections(at, step, grid.charger_kw[at].copy(), grid.charger_kvar[at].copy()),
            int(self._tap[row]),
            np.where(self._alive, grid.vm_pu[row], np.nan),
            grid.line_percent[row].copy(),
            grid.transformer_percent[row].copy(),
        )


@dataclass(frozen=True)
class Checked:
    """A state, solved again by pandapower."""

    state: State
    voltage_pu: float  # largest difference at any bus
    line_percent: float  # [percentage points]
    transformer_percent: float


def check_states(states: Iterable[State], loop: GridLoop) -> tuple[Checked, ...]:
    """Solve states again with the reference, `runpp`; a bus that is dead in one result only differs infinitely."""
    found = []
    for state in states:
        taps = loop.taps
        reference = loop.reference if taps is None else taps.backend(state.tap, by_reference=True)
        again = reference.solve(state.injections)
        found.append(
            Checked(
                state,
                _apart(state.vm_pu, again.vm_pu[0]),
                _apart(state.line_percent, again.line_percent[0]),
                _apart(state.transformer_percent, again.transformer_percent[0]),
            )
        )
    return tuple(found)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    difference = np.abs(one - other)[~(np.isnan(one) & np.isnan(other))]
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))
