"""Some days of a scenario, and facts about them that need no policy.

A setting comes in; a `SampledDays` goes out: tracks, present vehicles by hour, possible loads of groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.policies.rollout import rollout
from ev_marl.policies.rules.simple import Uncontrolled
from ev_marl.simulation.coordinators.none import NoCoordinator
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.world.track import Track

N_DAYS = 20
N_DAYS_ON_NETWORK = 4  # days of which power flows are solved
FIRST_H = 3.0  # the first hours of an episode [h]


_ANY_OBJECTIVE = Objective([UnmetEnergy(1.0)])  # uncontrolled charging does not use it


@dataclass(frozen=True)
class Start:
    """Number of vehicles at the start of an episode, and at the hour with fewest; means over days."""

    n_days: int
    local_time: str  # of the start
    vehicles: float
    fewest: float
    fewest_at: str  # local clock hour

    def __str__(self) -> str:
        there = f"at {self.local_time}, when an episode starts, {self.vehicles:.1f} vehicles are there"
        return f"{there} (mean of {self.n_days} days); fewest are there at {self.fewest_at}: {self.fewest:.1f}"


@dataclass(frozen=True)
class SampledDays:
    """Days of a scenario; K days, T steps, G groups."""

    setting: Setting
    tracks: tuple[Track, ...]  # (K,)

    @classmethod
    def of(cls, setting: Setting, n_days: int = N_DAYS) -> SampledDays:
        """Draw the days with the seeds 0, 1, ..., or some of the recorded training days.

        Parameters
        ----------
        setting : Setting
            What a scenario sets up.
        n_days : int
            How many days to draw.
        """
        world = setting.world
        if world.recorded is not None:
            return cls(setting, tuple(world.draw(0, n_days, "train")))
        return cls(setting, tuple(world.sample(seed) for seed in range(n_days)))

    @cached_property
    def start(self) -> Start:
        """Number of vehicles at the start, and the clock hour of the episode with fewest."""
        present = np.array([_present(track) for track in self.tracks])  # (K, T)
        hours = np.array([[time.hour for time in track.clock.local_times] for track in self.tracks])
        begins = np.array([[time.minute == 0 for time in track.clock.local_times] for track in self.tracks])
        by_hour = {hour: float(present[begins & (hours == hour)].mean()) for hour in np.unique(hours[begins])}
        first = self.tracks[0].clock.local_times[0]
        vehicles = float(present[:, 0].mean())
        hour, fewest = min(by_hour.items(), key=lambda entry: entry[1], default=(first.hour, vehicles))
        return Start(len(self.tracks), f"{first:%H:%M}", vehicles, fewest, f"{hour:02d}:00")

    @cached_property
    def unlimited_before_start(self) -> tuple[float, float]:
        """Energy that vehicles there at the start have too much, as the network did not limit them.

        Means over days, from their ends, at the same clock time, with uncontrolled charging.

        Returns
        -------
        too_much_kwh, first_kwh : float
            That energy, and what all vehicles draw in the first hours of an episode [kWh]; both 0 where there is no
            network, and for days of other than 24 hours.
        """
        setting, tracks = self.setting, self.tracks[:N_DAYS_ON_NETWORK]
        n_steps, step_h = tracks[0].n_steps, tracks[0].step_h
        if setting.grid is None or not math.isclose(n_steps * step_h, 24.0):
            return 0.0, 0.0

        def play(simulator: Simulator) -> tuple[np.ndarray, float]:
            """What batteries hold at the end, (K, P), and what vehicles draw in the first hours [kWh]."""
            drawn_kwh, held_kwh = np.zeros(n_steps), np.zeros((len(tracks), len(tracks[0].ports)))

            def watch(flow: Flow, rewards: np.ndarray, costs: np.ndarray) -> None:
                drawn_kwh[flow.step] = flow.granted_kw.sum() * step_h / len(tracks)
                held_kwh[:] = flow.energy_kwh

            rollout(simulator, _ANY_OBJECTIVE, Uncontrolled(), tracks, watch=watch)
            return held_kwh, float(drawn_kwh[: round(FIRST_H / step_h)].sum())

        alone_kwh, _ = play(Simulator(setting.site.arrays, setting.coordinator, tracks))
        held_kwh, first_kwh = play(setting.simulator(tracks))
        stays = [track.sessions["port"][track.sessions["departure_step"] > n_steps] for track in tracks]
        more_kwh = [(alone_kwh - held_kwh)[k, ports].sum() for k, ports in enumerate(stays)]
        return float(np.mean(more_kwh)), first_kwh

    @property
    def uncontrolled_kw(self) -> np.ndarray:
        """Load of each group with uncontrolled charging and no limits, base load included, shape (K, T, G) [kW]."""
        return self._uncontrolled[0]

    @property
    def reaches_current_limit(self) -> bool:
        """Whether a current exceeds its limit with uncontrolled charging and no limits."""
        return self._uncontrolled[1]

    @cached_property
    def _uncontrolled(self) -> tuple[np.ndarray, bool]:
        loads: list[np.ndarray] = []
        beyond: list[bool] = []

        def watch(flow: Flow, rewards: np.ndarray, costs: np.ndarray) -> None:
            loads.append(flow.group_kw + flow.base_load_kw)
            beyond.append(bool((flow.current_a > flow.current_limit_a).any()))

        simulator = Simulator(self.setting.site.arrays, NoCoordinator(), self.tracks)
        rollout(simulator, _ANY_OBJECTIVE, Uncontrolled(), self.tracks, watch=watch)
        return np.stack(loads, axis=1), any(beyond)

    @cached_property
    def possible_kw(self) -> np.ndarray:
        """Highest possible load of each group: its vehicles at full power, within the limits of the groups below it,
        and its base load, shape (K, T, G) [kW]."""
        site = self.setting.site.arrays
        possible = np.zeros((len(self.tracks), self.tracks[0].n_steps, site.n_groups))
        for track, vehicles_kw in zip(self.tracks, possible, strict=True):
            for stay in stays_of(site, track):
                group = site.port_group[stay["port"]]
                vehicles_kw[stay["arrival_step"] : stay["departure_step"], group] += stay["charge_kw"]
            for group in range(site.n_groups - 1, 0, -1):
                parent = site.group_parent[group]
                vehicles_kw[:, parent] += np.minimum(vehicles_kw[:, group], track.upper_kw[:, group])
            vehicles_kw += track.base_load_kw
        return possible

    @cached_property
    def import_limit_kw(self) -> np.ndarray:
        """Import limit of each group, inf where it has none, shape (K, T, G) [kW]."""
        return np.array([track.import_limit_kw for track in self.tracks])


def _present(track: Track) -> np.ndarray:
    """Number of vehicles in each step."""
    sessions = track.vehicles
    change = np.zeros(track.n_steps + 1)
    np.add.at(change, sessions["arrival_step"], 1.0)
    np.add.at(change, np.minimum(sessions["departure_step"], track.n_steps), -1.0)
    return np.cumsum(change)[:-1]
