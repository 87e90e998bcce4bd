"""A year on the network of a scenario: consecutive days in one batch, every step solved, the worst solved again.

A setting and a policy come in; a `Year` goes out. Days are dated, so that each has the profiles, sun and sessions of
its own date, and they are played apart: what is parked when a day ends is settled there, and the next day draws its own
parked vehicles, as every episode of the scenario does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np

from ev_marl.env.setup import Setting
from ev_marl.grid.loop.limits import LOADING_TOLERANCE_PERCENT, VOLTAGE_TOLERANCE_PU
from ev_marl.grid.model.spec import NetworkSpec
from ev_marl.grid.solvers.checks import LOADING_PERCENT, VOLTAGE_PU
from ev_marl.grid.studies.year_record import Checked, Moment, YearRecorder, YearSeries, check_states
from ev_marl.policies.make import make_policy
from ev_marl.policies.rollout import rollout
from ev_marl.scenario.clock import Clock
from ev_marl.scenario.schema.grid import GridLimits
from ev_marl.support.errors import NetworkError

DAYS_OF_A_YEAR = 365
_MOST_NUMBERS = 60_000_000  # that the tables of one batch of days hold: about half a gigabyte
_SEEDS = 1000  # of one year; those of another do not overlap


@dataclass(frozen=True)
class Extreme:
    """Where and when something was worst."""

    value: float
    element: str
    day: int
    step: int


@dataclass(frozen=True)
class Year:
    """What came of it; D days of T steps."""

    scenario: str
    policy: str
    grid_coordinator: str
    backend: str
    spec: NetworkSpec
    limits: GridLimits
    clocks: tuple[Clock, ...]  # (D,)
    seeds: tuple[int, ...]  # (D,) of the world: with its date, each draws the same day again
    series: YearSeries
    bus_lowest_pu: np.ndarray  # float64 (N,)  inf at dead buses
    bus_low_steps: np.ndarray  # int64 (N,)
    bus_high_steps: np.ndarray  # int64 (N,)
    stays: int  # one over the end of a day counts on both
    charged_kwh: float
    discharged_kwh: float
    unmet_kwh: float
    costs: dict[str, float]  # objective terms [currency]
    currency: str
    checked: tuple[Checked, ...]
    seconds: dict[str, float]  # drawing, playing, checking

    @property
    def step_h(self) -> float:
        """Length of a step [h]."""
        return self.clocks[0].step_h

    @property
    def n_steps(self) -> int:
        """Of all days together."""
        return int(self.series.lowest_pu.size)

    @cached_property
    def worst(self) -> dict[str, Extreme]:
        """Lowest and highest voltage, fullest line and transformer; those that the network has."""
        series, spec = self.series, self.spec
        rows = {
            "lowest voltage": (-series.lowest_pu, series.lowest_pu, series.lowest_bus, spec.buses),
            "highest voltage": (series.highest_pu, series.highest_pu, series.highest_bus, spec.buses),
            "fullest line": (series.line_percent, series.line_percent, series.line, spec.lines),
            "fullest transformer": (
                series.transformer_percent,
                series.transformer_percent,
                series.transformer,
                spec.transformers,
            ),
        }
        found = {}
        for name, (badness, values, elements, names) in rows.items():
            if names:
                day, step = np.unravel_index(int(np.argmax(badness)), badness.shape)
                found[name] = Extreme(float(values[day, step]), names[elements[day, step]], int(day), int(step))
        return found

    @cached_property
    def hours_beyond(self) -> dict[str, tuple[float, float]]:
        """Hours in which any element is beyond its limit, with vehicles and without them [h]."""
        series, limits = self.series, self.limits
        low, high = limits.voltage

        def hours(beyond: np.ndarray) -> float:
            return float(self.step_h * beyond.sum())

        return {
            "voltage below": (
                hours(series.lowest_pu < low - VOLTAGE_TOLERANCE_PU),
                hours(series.idle_lowest_pu < low - VOLTAGE_TOLERANCE_PU),
            ),
            "voltage above": (
                hours(series.highest_pu > high + VOLTAGE_TOLERANCE_PU),
                hours(series.idle_highest_pu > high + VOLTAGE_TOLERANCE_PU),
            ),
            "line above": (
                hours(series.line_percent > limits.line + LOADING_TOLERANCE_PERCENT),
                hours(series.idle_line_percent > limits.line + LOADING_TOLERANCE_PERCENT),
            ),
            "transformer above": (
                hours(series.transformer_percent > limits.transformer + LOADING_TOLERANCE_PERCENT),
                hours(series.idle_transformer_percent > limits.transformer + LOADING_TOLERANCE_PERCENT),
            ),
        }

    @property
    def differences(self) -> tuple[float, float, float]:
        """Largest differences to pandapower of all states checked: voltage [p.u.], line and transformer loading [%]."""
        return (
            max((one.voltage_pu for one in self.checked), default=0.0),
            max((one.line_percent for one in self.checked), default=0.0),
            max((one.transformer_percent for one in self.checked), default=0.0),
        )

    @property
    def agrees(self) -> bool:
        """Whether every state checked is what pandapower says, within the tolerances of the backends."""
        voltage, line, transformer = self.differences
        return voltage <= VOLTAGE_PU and max(line, transformer) <= LOADING_PERCENT


def play_year(
    setting: Setting,
    policy: str = "uncontrolled",
    *,
    first: date | None = None,
    n_days: int = DAYS_OF_A_YEAR,
    seed: int = 0,
    samples: int = 20,
) -> Year:
    """Play consecutive days, and let pandapower solve the worst steps and some random ones again.

    Parameters
    ----------
    setting : Setting
        On a network.
    policy : str
        Who decides.
    first : date, optional
        First day; left out, that of the scenario.
    n_days : int
        How many days.
    seed : int
        Of vehicles, noise and sky.
    samples : int
        How many random steps are solved again, besides the worst.

    Raises
    ------
    NetworkError
        If the scenario has no network, or its days are not of 24 hours, or if no step has a power flow.
    """
    scenario, loop, grid = setting.scenario, setting.grid, setting.scenario.grid
    if loop is None or grid is None:
        raise NetworkError(f"scenario '{scenario.name}' has no network; add `grid:`")
    if scenario.horizon != 24.0:
        raise NetworkError(
            f"scenario '{scenario.name}' has a horizon of {scenario.horizon:g} h; a year is made of days, so take a "
            "scenario with `horizon: 24 h`"
        )
    start = first or scenario.start
    spec, n_steps = loop.spec, scenario.n_steps
    decider = make_policy(policy)
    recorder = YearRecorder(
        grid.limits, n_days, n_steps, spec.n_buses, _moments(n_days, n_steps, samples, np.random.default_rng(seed))
    )
    clocks: list[Clock] = []
    costs: dict[str, float] = {}
    drawing = playing = 0.0
    stays = 0
    together = _days_together(spec, n_steps, setting.site.arrays.n_ports)
    for begin in range(0, n_days, together):
        days = range(begin, min(begin + together, n_days))
        began = time.perf_counter()
        tracks = [setting.world.sample(_SEEDS * seed + k, start + timedelta(days=k)) for k in days]
        drawn = time.perf_counter()
        simulator = setting.simulator(tracks[:1])
        recorder.begin(simulator, begin)
        result = rollout(
            simulator, setting.objective, decider, tracks, seed=seed, watch=recorder.watch, world=setting.world
        )
        playing += time.perf_counter() - drawn
        drawing += drawn - began
        stays += sum(len(track.vehicles) for track in tracks)
        clocks += [track.clock for track in tracks]
        for name, cost in result.costs.items():
            costs[name] = costs.get(name, 0.0) + float(cost.sum())
    if recorder.series.failed.all():
        raise NetworkError(
            f"network '{spec.name}': the power flow has no solution in any of the {n_days * n_steps:,} steps, even "
            f"without charging; see its loads with `ev-marl grid describe`"
        )
    began = time.perf_counter()
    checked = check_states(recorder.states, loop)
    return Year(
        scenario=scenario.name,
        policy=policy,
        grid_coordinator=grid.coordinator,
        backend=loop.backend.name,
        spec=spec,
        limits=grid.limits,
        clocks=tuple(clocks),
        seeds=tuple(_SEEDS * seed + k for k in range(n_days)),
        series=recorder.series,
        bus_lowest_pu=recorder.bus_lowest_pu,
        bus_low_steps=recorder.bus_low_steps,
        bus_high_steps=recorder.bus_high_steps,
        stays=stays,
        charged_kwh=recorder.charged_kwh,
        discharged_kwh=recorder.discharged_kwh,
        unmet_kwh=recorder.unmet_kwh,
        costs=costs,
        currency=scenario.currency,
        checked=checked,
        seconds={"drawing": drawing, "playing": playing, "checking": time.perf_counter() - began},
    )


def _moments(n_days: int, n_steps: int, count: int, rng: np.random.Generator) -> list[Moment]:
    """Random steps, each once."""
    picked = rng.choice(n_days * n_steps, size=min(count, n_days * n_steps), replace=False)
    return [(int(k) // n_steps, int(k) % n_steps) for k in picked]


def _days_together(spec: NetworkSpec, n_steps: int, n_ports: int) -> int:
    """How many days are played in one batch: as many as keep its tables within bounds."""
    a_step = 3 * (spec.n_buses + spec.n_lines + spec.n_transformers) + 4 * (spec.n_loads + spec.n_generators)
    return max(1, _MOST_NUMBERS // (n_steps * (a_step + n_ports)))
