"""One day of a comparison: the optimum and every policy on the same track, what is measured, and what is kept.

A day seed comes in, a `DayResult` goes out, one JSON document a day. A day needs nothing from any other day, so days
run in any order, in any process, with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from ev_marl.compare.battery_metrics import AgeingLaws, BatteriesAged
from ev_marl.compare.grid_metrics import GridRecorder
from ev_marl.compare.records import OnGrid, OptimumOnGrid, Record
from ev_marl.compare.statistics import jain, station_means
from ev_marl.env.setup import Setting
from ev_marl.grid.loop.thermal import AMBIENT_C, life
from ev_marl.optimum import TIME_LIMIT_S, solve_day
from ev_marl.policies import Policy, make_policy, rollout
from ev_marl.policies.plan import PlanPolicy
from ev_marl.scenario import Scenario
from ev_marl.scenario.problems import Places
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.seeds import policy_seed
from ev_marl.world.session_table import last_said
from ev_marl.world.track import Track

OPTIMUM = "optimum"
UNCONTROLLED = "uncontrolled"
LIMIT_TOLERANCE_KW = 1e-9
LIMIT_TOLERANCE_CURRENT, LIMIT_TOLERANCE_A = 1e-6, 1e-8  # a share of the limit, and this much more
OWED_KWH = 1e-9  # a session that is owed less has nothing to be satisfied with


class PolicyDay(Record):
    """One policy on one day."""

    policy: str
    """As it was asked for: name, `name(option=...)` or module:Class; `optimum` is the replayed plan."""
    information: str
    """What it knows: own, messages, site or future."""
    team_return: float
    """Sum of all agents' rewards [currency]."""
    costs: dict[str, float]
    """By term of the objective [currency]; they sum to minus the return."""
    charged_kwh: float
    """Metered into vehicles [kWh]."""
    discharged_kwh: float
    """Metered out of vehicles, >= 0 [kWh]."""
    peak_kw: float
    """Highest import of the site, base load included [kW]."""
    curtailed_kwh: float
    """|setpoint − granted| [kWh]."""
    violations: int
    """(step, group) and (step, current) pairs beyond a clamped limit."""
    violation_kwh: float
    """Energy beyond clamped limits, summed over groups [kWh]."""
    satisfaction: tuple[float, ...]
    """By session that is owed energy: delivered over owed [-]."""
    fairness: float
    """Jain's index of the stations' mean satisfactions [-]; NaN without a session."""
    policy_ms: float
    """Time in the policy per step [ms]."""
    simulator_ms: float
    """Time in the simulator and the objective per step [ms]."""
    unmet_kwh: float = math.nan
    """Due by the deadlines and not there [kWh]; NaN in results that do not know it."""
    unmet_early_kwh: float | None = None
    """Of it, due to vehicles that left before their drivers had said [kWh]; none where all say the truth."""
    storage_kwh: float | None = None
    """Metered out of stationary batteries, >= 0; None where there is none [kWh]."""
    carbon_kg: float | None = None
    """CO2 of what the site draws from the grid, base load included [kg]; none where no carbon intensity is known."""
    charging_carbon_kg: float | None = None
    """What the vehicles change in it [kg]."""
    transformer_hot_spot_c: float | None = None
    """Hottest winding of all transformers of the site, by IEC 60076-7 [°C]; none where the site has none."""
    transformer_aged_h: float | None = None
    """Hours of normal life that the transformer that aged most has used [h]; 24 in a day at a hot spot of 98 °C."""
    vehicles_aged: BatteriesAged | None = None
    """Ageing of the vehicles' batteries; none where the package `rainflow` is not installed."""
    storage_aged: BatteriesAged | None = None
    """Ageing of the stationary batteries; none, too, where there is none."""
    unbalance_percent: float | None = None
    """How unequal the currents in the three phases of the connection are, by the definition of NEMA MG 1: the largest
    deviation from their mean over the mean, each step weighted with its mean [%]; none where no station names phases.
    """
    group_kw: tuple[tuple[float, ...], ...]
    """Power of the watched groups, base load included, by group and step [kW]."""
    grid: OnGrid | None = None
    """What the network above the site did; none where the scenario has none."""


class DayResult(Record):
    """One finished day: the optimum and every policy on the same track."""

    index: int
    """Number of the day in the run, from 0."""
    seed: int
    """`World.sample(seed)` gives the track."""
    start: str
    """Local start of the day, ISO 8601."""
    step_h: float
    """Length of a step [h]."""
    bound: float
    """No policy's return is above it [currency]."""
    achieved: float
    """Return of the optimum's plan, replayed with exact limits [currency]."""
    exact: bool
    """Whether the replay proves the bound within the solver's tolerance."""
    looseness: str
    """Why not, empty if exact."""
    solve_seconds: float
    """Building, solving and replaying [s]."""
    sessions: int
    """Vehicles that came to a port."""
    owed: int
    """Of them, those that are owed energy."""
    turned_away: int
    """Vehicles that found no free port."""
    left_early: int | None = None
    """Vehicles that left at least a step before their drivers had said; none where all say the truth."""
    left_late: int | None = None
    """Vehicles that were still there when that time had come."""
    unavoidable_kwh: float
    """Energy by which base load alone exceeds limits, summed over groups [kWh]."""
    watched_groups: tuple[str, ...]
    """Groups whose power was kept; the grid connection first."""
    limit_kw: tuple[tuple[float, ...], ...]
    """Import limit of the watched groups, by group and step [kW]."""
    base_load_kw: tuple[tuple[float, ...], ...]
    """Base load of the watched groups, by group and step [kW]."""
    local_hour: tuple[float, ...]
    """Local clock time of each step [h]."""
    grid: OptimumOnGrid | None = None
    """How the optimum stands with the network above the site; none where the scenario has none."""
    policies: tuple[PolicyDay, ...]
    """`optimum` first, then as in the manifest."""

    def of(self, policy: str) -> PolicyDay:
        """What a policy did."""
        return next(entry for entry in self.policies if entry.policy == policy)


@dataclass(frozen=True)
class Work:
    """What all days of a run share; plain values, so that it goes to another process."""

    scenario: str  # JSON of the resolved scenario, coordinator included
    policies: tuple[str, ...]
    places: tuple[tuple[str, str], ...] = ()  # where the learned ones among them are, as `rllib:/absolute/path`
    track_files: tuple[tuple[int, str], ...] = ()  # day seeds that stand for a track file, and its absolute path
    trusted: bool = False  # whether code that the scenario names may run
    policies_trusted: bool = False  # whether code that the policies name may run
    exact_levels: bool = False  # whether levels of ports are integers in the optimum
    time_limit: float = TIME_LIMIT_S  # of the optimum of a day [s]

    @property
    def setting(self) -> Setting:
        """Site, world, coordinator and objective; made once per process."""
        return _setting(self.scenario, self.trusted)

    def policy(self, name: str) -> Policy:
        """A new policy, wherever this process runs."""
        return make_policy(dict(self.places).get(name, name), trust=self.policies_trusted)

    def track(self, seed: int) -> Track:
        """The day of a seed: drawn, or read from its file."""
        file = dict(self.track_files).get(seed)
        return self.setting.world.sample(seed) if file is None else Track.load(file)


@lru_cache(maxsize=1)
def _setting(scenario: str, trusted: bool) -> Setting:
    return Setting.of(Scenario.model_validate_json(scenario).read_from(Places(), trust=trusted))


def watched_groups(site: Site, import_limit_kw: np.ndarray) -> tuple[int, ...]:
    """The grid connection, and the group below it that is tightest for what stands there.

    Parameters
    ----------
    site : Site
        The site.
    import_limit_kw : float64, shape (n_steps, n_groups)
        Limits [kW].

    Returns
    -------
    tuple of int
        Index of the root; then, where there is one, of the group (not a single station) whose lowest limit is the
        smallest share of its ports' rated power, if that is below 1.
    """
    lowest_kw = import_limit_kw.min(axis=0)
    shares = [
        (lowest_kw[g] / _rated_kw(site, g), g)
        for g in range(1, site.arrays.n_groups)
        if site.graph.nodes[site.groups[g]]["kind"] != "station"
    ]
    tight = [(share, g) for share, g in shares if share < 1.0]
    return (0, min(tight)[1]) if tight else (0,)


def _rated_kw(site: Site, group: int) -> float:
    """Sum of the rated charging powers of the ports below a group [kW]."""
    arrays = site.arrays
    return float(arrays.port_charge_kw[arrays.group_first_port[group] : arrays.group_end_port[group]].sum())


def run_day(work: Work, index: int, seed: int) -> DayResult:
    """Run a day.

    The track is drawn from `seed` or read from the file that it stands for, its cooperative optimum solved, the
    optimum's plan replayed under the run's coordinator as the policy `optimum`, and every policy run on the same track.

    Parameters
    ----------
    work : Work
        Scenario and policies.
    index : int
        Number of the day in the run.
    seed : int
        Day seed, see `day_seeds`.
    """
    setting = work.setting
    site, objective = setting.site, setting.objective
    track = work.track(seed)
    ageing = AgeingLaws.of(setting.scenario)
    solution = solve_day(setting, track, exact_levels=work.exact_levels, time_limit=work.time_limit)
    limit_kw = track.limits_kw[0]
    watched = watched_groups(site, limit_kw)
    simulator, connection = setting.simulator([track]), site.connection_currents

    def run(label: str, policy: Policy) -> PolicyDay:
        recorder = Recorder(simulator, watched, connection, site.transformer_kva, ageing)
        result = rollout(
            simulator,
            objective,
            policy,
            [track],
            seed=policy_seed(seed, label),
            watch=recorder.watch,
            world=setting.world,
        )
        measured = recorder.measured()
        ms_per_step = 1000.0 / track.n_steps
        return PolicyDay(
            policy=label,
            information=result.information,
            team_return=float(result.team[0]),
            costs={name: float(cost[0]) for name, cost in result.costs.items()},
            charged_kwh=measured.charged_kwh,
            discharged_kwh=measured.discharged_kwh,
            peak_kw=measured.peak_kw,
            curtailed_kwh=measured.curtailed_kwh,
            unmet_kwh=measured.unmet_kwh,
            unmet_early_kwh=measured.unmet_early_kwh,
            storage_kwh=measured.storage_kwh,
            carbon_kg=measured.carbon_kg,
            charging_carbon_kg=measured.charging_carbon_kg,
            transformer_hot_spot_c=measured.transformer_hot_spot_c,
            transformer_aged_h=measured.transformer_aged_h,
            vehicles_aged=measured.vehicles_aged,
            storage_aged=measured.storage_aged,
            unbalance_percent=measured.unbalance_percent,
            violations=measured.violations,
            violation_kwh=measured.violation_kwh,
            satisfaction=tuple(measured.satisfaction.tolist()),
            fairness=measured.fairness,
            policy_ms=ms_per_step * result.act_seconds,
            simulator_ms=ms_per_step * result.step_seconds,
            group_kw=_by_group(measured.group_kw),
            grid=measured.grid,
        )

    done = [run(OPTIMUM, PlanPolicy(solution.plan))]
    done += [run(name, work.policy(name)) for name in work.policies]
    groups, left = list(watched), left_early_and_late(track)
    return DayResult(
        index=index,
        seed=seed,
        start=track.start.isoformat(),
        step_h=track.step_h,
        bound=solution.bound,
        achieved=solution.achieved,
        exact=solution.certificate.exact,
        looseness="; ".join(f"{reason.reason} ({reason.amount:.3g})" for reason in solution.certificate.reasons),
        solve_seconds=solution.seconds.total,
        sessions=len(track.vehicles),
        owed=len(done[0].satisfaction),
        turned_away=track.turned_away,
        left_early=left[0] if left else None,
        left_late=left[1] if left else None,
        unavoidable_kwh=float(track.unavoidable_overload_kw.sum() * track.step_h),
        watched_groups=tuple(site.groups[g] for g in groups),
        limit_kw=_by_group(limit_kw[:, groups]),
        base_load_kw=_by_group(track.base_load_kw[:, groups]),
        local_hour=tuple(track.clock.local_hour.tolist()),
        grid=None if solution.grid is None else OptimumOnGrid.model_validate(asdict(solution.grid)),
        policies=tuple(done),
    )


def left_early_and_late(track: Track) -> tuple[int, int] | None:
    """Vehicles that left before, and after, the time that their drivers had said last; None where all say the truth."""
    sessions = track.sessions
    if not ((sessions["declared_step"] > 0) | (sessions["revised_at_step"] > 0)).any():
        return None
    off = (last_said(sessions) - sessions["departure_step"])[sessions["departure_step"] <= track.n_steps]
    return int((off > 0).sum()), int((off < 0).sum())


def with_uncontrolled(policies: Sequence[str]) -> tuple[str, ...]:
    """The policies to run: each once, `uncontrolled` among them since the score needs it, `optimum` left out."""
    return tuple(dict.fromkeys([UNCONTROLLED, *(name for name in policies if name != OPTIMUM)]))


def _by_group(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(column) for column in values.T.tolist())


@dataclass(frozen=True)
class Measured:
    """One policy on one day; T steps, S sessions that are owed energy."""

    charged_kwh: float  # metered into vehicles
    discharged_kwh: float  # metered out of vehicles, >= 0
    peak_kw: float  # highest import of the site, base load included
    curtailed_kwh: float  # |setpoint − granted|: what the coordinator took away
    unmet_kwh: float  # due by the deadlines and not there
    unmet_early_kwh: float | None  # of it, of vehicles that left before their drivers had said; None: all say the truth
    storage_kwh: float | None  # metered out of stationary batteries, >= 0; None where there is none
    carbon_kg: float | None  # CO2 of what the site draws, None where no carbon intensity is known
    charging_carbon_kg: float | None  # what the vehicles change in it
    transformer_hot_spot_c: float | None  # hottest winding of the site's transformers, None where there are none
    transformer_aged_h: float | None  # hours of normal life that the one that aged most has used
    vehicles_aged: BatteriesAged | None  # None where no laws of ageing are known
    storage_aged: BatteriesAged | None  # None, too, where there are no stationary batteries
    unbalance_percent: float | None  # of the currents in the phases of the connection, None where they are not known
    violations: int  # (step, group) pairs beyond a clamped limit by more than 1e-9 kW, (step, current) by 1e-6 of it
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
    connection : (complex128 (3, P), complex128 (3,)), optional
        As `Site.connection_currents`; left out, their unbalance is not known.
    transformer_kva : mapping of int to float, optional
        As `Site.transformer_kva`.
    ageing : AgeingLaws, optional
        Of the batteries; left out, their ageing is not measured.
    """

    def __init__(
        self,
        simulator: Simulator,
        watched_groups: tuple[int, ...] = (0,),
        connection: tuple[np.ndarray, np.ndarray] | None = None,
        transformer_kva: Mapping[int, float] | None = None,
        ageing: AgeingLaws | None = None,
    ) -> None:
        self._simulator = simulator
        self._connection = connection
        self._transformers = list((transformer_kva or {}).items())
        self._watched = list(watched_groups)
        self._ageing = ageing
        self._started = False

    def watch(self, flow: Flow, rewards: np.ndarray, costs: np.ndarray) -> None:
        """Take in one step; the signature is that of `rollout`'s `watch`."""
        if flow.step == 0:
            self._start(flow)
        power = flow.granted_kw
        if flow.site.has_batteries:
            self._storage -= flow.step_h * np.minimum(power[:, flow.site.is_battery], 0.0).sum(axis=1)
            power = power[:, flow.site.vehicle_ports]
        self._charged += flow.step_h * np.maximum(power, 0.0).sum(axis=1)
        self._discharged -= flow.step_h * np.minimum(power, 0.0).sum(axis=1)
        self._curtailed += flow.step_h * np.abs(flow.setpoint_kw - flow.granted_kw).sum(axis=1)
        self._unmet += flow.unmet_kwh.sum(axis=1)
        if self._early is not None:
            self._unmet_early += np.where(self._early[flow.settled], flow.unmet_kwh, 0.0).sum(axis=1)
        np.maximum(self._peak, flow.import_kw, out=self._peak)
        excess = np.maximum(flow.group_kw - flow.upper_kw, flow.lower_kw - flow.group_kw)
        beyond = excess > LIMIT_TOLERANCE_KW
        self._violations += beyond.sum(axis=1)
        self._violation += flow.step_h * np.where(beyond, excess, 0.0).sum(axis=1)
        if flow.current_a.shape[1]:
            most_a = flow.current_limit_a * (1.0 + LIMIT_TOLERANCE_CURRENT) + LIMIT_TOLERANCE_A
            self._violations += (flow.current_a > most_a).sum(axis=1)
        if flow.carbon_kg_per_kwh is not None:
            drawn = np.maximum(0.0, flow.base_load_kw[:, 0] + flow.group_kw[:, 0])
            for k, import_kw in enumerate((drawn, drawn - np.maximum(0.0, flow.base_load_kw[:, 0]))):
                self._carbon_kg[k] += flow.step_h * flow.carbon_kg_per_kwh * import_kw
        for k, (group, kva) in enumerate(self._transformers):
            net_kw = flow.base_load_kw[:, group] + flow.group_kw[:, group]
            self._loading[k, :, flow.step] = 100.0 / kva * np.abs(net_kw)
            if flow.step == 0:
                self._loading_before[k] = 100.0 / kva * np.abs(flow.base_load_kw[:, group])
        if self._connection is not None:
            weight, base_weight = self._connection
            amps = np.abs(flow.granted_kw @ weight.T + flow.base_load_kw[:, :1] * base_weight)
            mean = amps.mean(axis=1)
            self._mean_a += mean
            self._unequal_a += np.abs(amps - mean[:, None]).max(axis=1)
        ended = flow.settled >= 0
        self._final_kwh[flow.settled[ended]] = flow.energy_kwh[ended]
        if self._grid is not None and flow.grid is not None:
            self._grid.watch(flow.grid, flow.step, flow.step_h)
        if self._ageing is not None:
            self._battery[0, :, flow.step], self._battery[1, :, flow.step] = flow.energy_kwh, flow.granted_kw
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
        lives = self._transformer_lives(row)
        satisfaction = np.clip(delivered[counts] / owed[counts], 0.0, 1.0)
        station = site.port_station[stays["port"][counts]]
        return Measured(
            charged_kwh=float(self._charged[row]),
            discharged_kwh=float(self._discharged[row]),
            peak_kw=float(self._peak[row]),
            curtailed_kwh=float(self._curtailed[row]),
            unmet_kwh=float(self._unmet[row]),
            unmet_early_kwh=None if self._early is None else float(self._unmet_early[row]),
            storage_kwh=float(self._storage[row]) if site.has_batteries else None,
            carbon_kg=float(self._carbon_kg[0, row]) if self._emits else None,
            charging_carbon_kg=float(self._carbon_kg[1, row]) if self._emits else None,
            transformer_hot_spot_c=float(lives[:, 0].max()) if len(lives) else None,
            transformer_aged_h=float(lives[:, 1].max()) if len(lives) else None,
            vehicles_aged=self._aged(row, stays, stationary=False),
            storage_aged=self._aged(row, stays, stationary=True) if site.has_batteries else None,
            unbalance_percent=self._unbalance_percent(row),
            violations=int(self._violations[row]),
            violation_kwh=float(self._violation[row]),
            satisfaction=satisfaction,
            fairness=jain(station_means(satisfaction, station)),
            group_kw=self._group_kw[row].copy(),
            grid=None if self._grid is None else self._grid.measured(row),
        )

    def _transformer_lives(self, row: int) -> np.ndarray:
        """Hottest hot spot [°C] and life used [h] of each transformer, shape (n_transformers, 2)."""
        days = self._simulator.days
        ambient_c = np.full(days.n_steps, AMBIENT_C)
        if days.temperature_c is not None:
            ambient_c = days.temperature_c[self._simulator.state.day[row]]
        return np.array(
            [
                life(loading[row], ambient_c, before[row], days.step_h)
                for loading, before in zip(self._loading, self._loading_before, strict=True)
            ]
        ).reshape(-1, 2)

    def _aged(self, row: int, stays: np.ndarray, *, stationary: bool) -> BatteriesAged | None:
        if self._ageing is None:
            return None
        energy_kwh, power_kw = self._battery[:, row]
        return self._ageing.aged(stays, energy_kwh, power_kw, self._simulator.days.step_h, stationary=stationary)

    def _unbalance_percent(self, row: int) -> float | None:
        known = self._mean_a[row] > 0.0  # not where nothing flows, nor above an unknown primary
        return float(100.0 * self._unequal_a[row] / self._mean_a[row]) if known else None

    def _start(self, flow: Flow) -> None:
        n_batch = len(flow.granted_kw)
        self._started = True
        self._charged, self._discharged, self._curtailed = np.zeros(n_batch), np.zeros(n_batch), np.zeros(n_batch)
        self._storage = np.zeros(n_batch)
        self._unmet, self._peak, self._violation = np.zeros(n_batch), np.zeros(n_batch), np.zeros(n_batch)
        self._emits, self._carbon_kg = flow.carbon_kg_per_kwh is not None, np.zeros((2, n_batch))
        if self._ageing is not None:  # energies and powers of all batteries
            self._battery = np.zeros((2, n_batch, self._simulator.days.n_steps, flow.site.n_ports))
        stays, believes = self._simulator.days.stays, self._simulator.days.beliefs is not None
        self._early = last_said(stays) > stays["departure_step"] if believes else None
        self._unmet_early = np.zeros(n_batch)
        shape = (len(self._transformers), n_batch)
        self._loading, self._loading_before = np.zeros((*shape, self._simulator.days.n_steps)), np.zeros(shape)
        self._mean_a, self._unequal_a = np.zeros((2, n_batch))  # sums over the steps
        self._violations = np.zeros(n_batch, dtype=np.int64)
        self._final_kwh = np.full(len(self._simulator.days.stays), np.nan)
        self._group_kw = np.zeros((n_batch, self._simulator.days.n_steps, len(self._watched)))
        self._grid = None if flow.grid is None else GridRecorder(n_batch, self._simulator.days.n_steps)
