"""One day of a comparison: the optimum and every policy on the same track.

A day seed comes in, a `DayResult` goes out. A day needs nothing from any other day, so days run in any order, in any
process, with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from ev_marl.compare.metrics import Recorder
from ev_marl.compare.records import DayResult, OptimumOnGrid, PolicyDay
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies import Policy, make_policy, rollout
from ev_marl.policies.plan import PlanPolicy
from ev_marl.scenario import Scenario
from ev_marl.scenario.problems import Places
from ev_marl.site import Site
from ev_marl.world.seeds import policy_seed
from ev_marl.world.track import Track

OPTIMUM = "optimum"
UNCONTROLLED = "uncontrolled"


@dataclass(frozen=True)
class Work:
    """What all days of a run share; plain values, so that it goes to another process."""

    scenario: str  # JSON of the resolved scenario, coordinator included
    policies: tuple[str, ...]
    places: tuple[tuple[str, str], ...] = ()  # where the learned ones among them are, as `rllib:/absolute/path`
    track_files: tuple[tuple[int, str], ...] = ()  # day seeds that stand for a track file, and its absolute path
    trusted: bool = False  # whether code that the scenario names may run

    @property
    def setting(self) -> Setting:
        """Site, world, coordinator and objective; made once per process."""
        return _setting(self.scenario, self.trusted)

    def policy(self, name: str) -> Policy:
        """A new policy, wherever this process runs."""
        return make_policy(dict(self.places).get(name, name))

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
    solution = solve_day(setting, track)
    watched = watched_groups(site, track.import_limit_kw)
    simulator = setting.simulator([track])

    def run(label: str, policy: Policy) -> PolicyDay:
        recorder = Recorder(simulator, watched)
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
            information=policy.information,
            team_return=float(result.team[0]),
            costs={name: float(cost[0]) for name, cost in result.costs.items()},
            charged_kwh=measured.charged_kwh,
            discharged_kwh=measured.discharged_kwh,
            peak_kw=measured.peak_kw,
            curtailed_kwh=measured.curtailed_kwh,
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
    groups = list(watched)
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
        sessions=len(track.sessions),
        owed=len(done[0].satisfaction),
        turned_away=track.turned_away,
        unavoidable_kwh=float(track.unavoidable_overload_kw.sum() * track.step_h),
        watched_groups=tuple(site.groups[g] for g in groups),
        limit_kw=_by_group(track.import_limit_kw[:, groups]),
        base_load_kw=_by_group(track.base_load_kw[:, groups]),
        local_hour=tuple(track.clock.local_hour.tolist()),
        grid=None if solution.grid is None else OptimumOnGrid.model_validate(asdict(solution.grid)),
        policies=tuple(done),
    )


def with_uncontrolled(policies: Sequence[str]) -> tuple[str, ...]:
    """The policies to run: each once, `uncontrolled` among them since the score needs it, `optimum` left out."""
    return tuple(dict.fromkeys([UNCONTROLLED, *(name for name in policies if name != OPTIMUM)]))


def _by_group(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(column) for column in values.T.tolist())
