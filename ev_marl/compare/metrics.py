"""What a policy did on a day, in numbers: energy, satisfaction, fairness, peaks, limits, the network above.

The flow of every step comes in through `Recorder.watch`; one `Measured` a batch row goes out. Everything is summed on
arrays over ports, groups and rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.compare.grid_metrics import GridRecorder
from ev_marl.compare.records import OnGrid
from ev_marl.compare.statistics import jain, station_means
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator

LIMIT_TOLERANCE_KW = 1e-9
OWED_KWH = 1e-9  # a session that is owed less has nothing to be satisfied with


@dataclass(frozen=True)
class Measured:
    """One policy on one day; T steps, S sessions that are owed energy."""

    charged_kwh: float  # metered into vehicles
    discharged_kwh: float  # metered out of vehicles, >= 0
    peak_kw: float  # highest import of the site, base load included
    curtailed_kwh: float  # |setpoint − granted|: what the coordinator took away
    violations: int  # (step, group) pairs beyond a clamped limit by more than 1e-9 kW
    violation_kwh: float  # energy beyond clamped limits, summed over groups
    satisfaction: np.ndarray  # float64 (S,)  share of the owed energy that was delivered by the deadline [-]
    fairness: float  # Jain's index of the stations' mean satisfactions [-], NaN without a session
    group_kw: np.ndarray  # float64 (T, n_watched)  power of the watched groups, base load included
    grid: OnGrid | None  # what the network above did, where there is one

    @property
    def net_kwh(self) -> float:
        """Metered into vehicles less what they gave back [kWh]."""
        return self.charged_kwh - self.discharged_kwh


class Recorder:
    """Sums up the steps of an episode.

    Satisfaction counts the increment: energy in the battery at the deadline less energy on arrival, over what was due
    less energy on arrival, clipped to [0, 1]. What is due is what was wanted and reachable at full power (see
    `stays_of`); the deadline is the departure or the end of the episode. Sessions that are owed nothing are left
    out: no policy could have disappointed them.

    Parameters
    ----------
    simulator : Simulator
        The one whose flows are watched, reset before the first step.
    watched_groups : sequence of int
        Groups whose power is kept step by step.
    """

    def __init__(self, simulator: Simulator, watched_groups: tuple[int, ...] = (0,)) -> None:
        self._simulator = simulator
        self._watched = list(watched_groups)
        self._started = False

    def watch(self, flow: Flow, rewards: np.ndarray, costs: np.ndarray) -> None:
        """Take in one step; the signature is that of `rollout`'s `watch`."""
        if flow.step == 0:
            self._start(flow)
        power = flow.granted_kw
        self._charged += flow.step_h * np.maximum(power, 0.0).sum(axis=1)
        self._discharged -= flow.step_h * np.minimum(power, 0.0).sum(axis=1)
        self._curtailed += flow.step_h * np.abs(flow.setpoint_kw - power).sum(axis=1)
        np.maximum(self._peak, flow.import_kw, out=self._peak)
        excess = np.maximum(flow.group_kw - flow.upper_kw, flow.lower_kw - flow.group_kw)
        beyond = excess > LIMIT_TOLERANCE_KW
        self._violations += beyond.sum(axis=1)
        self._violation += flow.step_h * np.where(beyond, excess, 0.0).sum(axis=1)
        ended = flow.settled >= 0
        self._final_kwh[flow.settled[ended]] = flow.energy_kwh[ended]
        if self._grid is not None and flow.grid is not None:
            self._grid.watch(flow.grid, flow.step, flow.step_h)
        self._group_kw[:, flow.step] = (flow.group_kw + flow.base_load_kw)[:, self._watched]

    def measured(self, row: int = 0) -> Measured:
        """Numbers of a batch row, after the last step.

        Raises
        ------
        RuntimeError
            If the episode is not over.
        """
        if not self._started or not self._simulator.done:
            raise RuntimeError("the episode is not over yet")
        days, site = self._simulator.days, self._simulator.site
        first = days.first_session[self._simulator.state.day[row]]
        mine = slice(first[0], first[-1])
        stays = days.stays[mine]
        on_arrival = stays["energy_kwh"]
        owed = stays["due_kwh"] - on_arrival
        counts = owed > OWED_KWH
        delivered = self._final_kwh[mine] - on_arrival
        satisfaction = np.clip(delivered[counts] / owed[counts], 0.0, 1.0)
        station = site.port_station[stays["port"][counts]]
        return Measured(
            charged_kwh=float(self._charged[row]),
            discharged_kwh=float(self._discharged[row]),
            peak_kw=float(self._peak[row]),
            curtailed_kwh=float(self._curtailed[row]),
            violations=int(self._violations[row]),
            violation_kwh=float(self._violation[row]),
            satisfaction=satisfaction,
            fairness=jain(station_means(satisfaction, station)),
            group_kw=self._group_kw[row].copy(),
            grid=None if self._grid is None else self._grid.measured(row),
        )

    def _start(self, flow: Flow) -> None:
        n_batch = len(flow.granted_kw)
        self._started = True
        self._charged, self._discharged, self._curtailed = np.zeros(n_batch), np.zeros(n_batch), np.zeros(n_batch)
        self._peak, self._violation = np.zeros(n_batch), np.zeros(n_batch)
        self._violations = np.zeros(n_batch, dtype=np.int64)
        self._final_kwh = np.full(len(self._simulator.days.stays), np.nan)
        self._group_kw = np.zeros((n_batch, self._simulator.days.n_steps, len(self._watched)))
        self._grid = None if flow.grid is None else GridRecorder(n_batch, self._simulator.days.n_steps)
