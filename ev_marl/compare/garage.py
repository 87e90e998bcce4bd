"""A published month in a garage, computed again: energy delivered and profit of each policy, beside what was published.

A file of recorded sessions comes in; for each case (scenario of the publication, transformer rating, policy, goal) the
share of the requested energy that is delivered and the money that is earned go out, with the proven optimum above
them. Finished cases are kept in a folder, so a run can be stopped and continued.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import yaml
from pydantic import FiniteFloat, ValidationError

from ev_marl.compare import published
from ev_marl.compare.folder import differences, read_broken
from ev_marl.compare.records import Record
from ev_marl.compare.workers import run_all
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve
from ev_marl.planning.outlook import Kind
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.base import Episode, Information, Policy, StationView
from ev_marl.policies.plan import PlanPolicy
from ev_marl.policies.rules.needs import power_for_wish_kw
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.scenario.schema import CoordinatorOptions
from ev_marl.simulation.coordinators import Coordinator, Request, make_coordinator
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import RunError
from ev_marl.support.files import FileError, parse_json, read_bytes, read_text, write_atomically
from ev_marl.support.package import __version__
from ev_marl.world import Track
from ev_marl.world.acn_sim import sessions_to_track
from ev_marl.world.calibration import figures
from ev_marl.world.choices import Battery, Garage
from ev_marl.world.readers.acn import read_acn

Goal = Literal["energy", "profit"]
"""What is compared: the share of the requested energy that is delivered, or the operator's profit."""
GOALS: tuple[Goal, ...] = get_args(Goal)

STUDY = "acn-caltech"
OPTIMUM = "optimum"
RECORD = "month.json"
SCENARIOS: dict[str, tuple[Battery, tuple[str, ...]]] = {
    "I": ("ideal", (OPTIMUM,)),
    "II": ("ideal", ("mpc", "llf", "edf", "round-robin")),
    "III": ("ideal", ("mpc", "llf", "edf", "round-robin")),
    "IV": ("two_stage", ("mpc", "llf", "edf", "round-robin")),
    "V": ("two_stage", ("llf", "edf", "round-robin")),
}
"""Scenarios of the publication: battery, and policies that are computed unless others are named. I: the optimum, which
knows the month; II: continuous power; IV: batteries that charge more slowly from 80 % on; III and V: the same with the
levels of the stations."""
PROFIT_POLICIES = ("mpc", "llf", "round-robin", "uncontrolled")
"""Policies whose profit is computed unless others are named, in all scenarios but I."""
WITH_LEVELS = ("III", "V")
LEVEL_KEYS = ("least_current", "current_step")  # of stations
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "uncontrolled": ("nearest", {}),
    "llf": ("priority", {"order": "laxity"}),
    "edf": ("priority", {"order": "deadline"}),
    "round-robin": ("round-robin", {}),
}
"""Rules that share out what all vehicles ask for: a coordinator and its options."""
MPC_OPTIONS = {"expected_days": 0, "keep_plan": True, "block_h": 0.5}
MPC: dict[Goal, dict[str, Any]] = {
    "energy": {"horizon_h": 12, "waiting_per_kwh_h": 0.05, **MPC_OPTIONS},
    "profit": {"horizon_h": 24, "waiting_per_kwh_h": 0.003, "share_peak": True, **MPC_OPTIONS},
}
"""Plans for the vehicles that are there. Energy: soon; of 1 per kWh, as in ASA-QC, an hour's delay costs a part.
Profit: of the demand charge, a plan pays the share of the days that are left, as ASA-PM does."""
QUICK_DAYS = 7
QUICK_RATINGS_KVA = (40.0, 150.0)
QUICK_SCENARIOS: dict[Goal, tuple[str, ...]] = {"energy": tuple(SCENARIOS), "profit": ("I", "II")}
QUICK_MPC = ("II", "III")
"""Scenarios in which a quick look computes `mpc`: with ideal batteries, since plans for slower ones take three times as
long."""
LEAST_KW = 1e-9
MOST_BYTES = 10_000  # of a result
MOST_RECORD_BYTES = 1_000_000  # of what a folder says it holds


@cache
def published_results() -> dict[str, Any]:
    """What was published, with its source."""
    text = files(published).joinpath(f"{STUDY}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


class Pilots:
    """A rule that shares out pilot currents, as in ACN-Sim: it does not see that a battery charges more slowly.

    It is the policy, which asks for full power until the wish is met, and the coordinator, which reserves as much for
    each vehicle as port and missing energy allow, of which the vehicle may take less.

    Parameters
    ----------
    rule : Coordinator
        Shares out what is asked for.
    """

    name = "pilots"
    information: Information = "own"
    looks_at: ClassVar[tuple[Kind, ...]] = ()

    def __init__(self, rule: Coordinator) -> None:
        self._rule = rule
        self.enforces_limits = rule.enforces_limits

    def reset(self, episode: Episode) -> None:
        """Nothing is kept from step to step."""

    def act(self, view: StationView) -> np.ndarray:
        """What the batteries can take, float64, shape (n_batch, n_ports) [kW]."""
        stays = view.vehicle
        missing_kwh = np.maximum(0.0, stays["wish_kwh"] - view.energy_kwh) / stays["charge_efficiency"]
        self._pilot_kw = np.minimum(stays["charge_kw"], missing_kwh / view.step_h)
        needed_h = missing_kwh / np.maximum(stays["charge_kw"], LEAST_KW)
        self._laxity_h = np.where(
            view.connected, (stays["departure_step"] - view.step) * view.step_h - needed_h, np.inf
        )
        return power_for_wish_kw(view)

    def grant(self, request: Request, out: np.ndarray) -> None:
        """Share out the pilots, of which vehicles take what they can; float64, shape (n_batch, n_ports) [kW]."""
        # Where there are levels, a pilot is never above what is missing: the rest is not charged.
        most_kw = np.full_like(self._pilot_kw, np.inf) if request.site.has_levels else self._pilot_kw
        pilots = replace(request, setpoint_kw=self._pilot_kw, hi_kw=most_kw, laxity_h=self._laxity_h)
        self._rule.grant(pilots, out)
        np.minimum(out, request.setpoint_kw, out=out)


@dataclass(frozen=True)
class Case:
    """What one number is about."""

    scenario: str  # of the publication
    rating_kva: float  # of the transformer
    policy: str
    goal: Goal = "energy"

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.scenario}-{self.rating_kva:g}-{self.policy}" + ("-profit" if self.goal == "profit" else "")


class Result(Record):
    """The result of a case."""

    percent: FiniteFloat
    """Of the requested energy that was delivered."""
    profit: FiniteFloat
    """Revenue less energy cost and demand charge [currency]."""
    energy_cost: FiniteFloat
    """[currency]."""
    demand_charge: FiniteFloat
    """[currency]."""
    bound: float
    """Nobody delivers more [%], or earns more [currency], as the goal is; NaN for policies."""
    seconds: FiniteFloat
    sessions: int
    requested_kwh: FiniteFloat


@dataclass(frozen=True)
class Month:
    """A month in a garage; calling it with the number of a case computes that case.

    Parameters
    ----------
    sessions : Path
        Sessions of ACN-Data, as JSON or CSV.
    garage : {"caltech", "jpl", "office"}
        The site.
    start, until : date
        First day, and the day after the last.
    cases : tuple of Case
        What is computed.
    folder : Path
        Where finished cases are.
    """

    sessions: Path
    garage: Garage
    start: date
    until: date
    cases: tuple[Case, ...]
    folder: Path

    @property
    def n_days(self) -> int:
        """Length of the month."""
        return (self.until - self.start).days

    @property
    def is_published(self) -> bool:
        """Whether there are published numbers for this month."""
        known = published_results()
        return self.garage == "caltech" and (self.start, self.until) == (known["start"], known["until"])

    @property
    def demand_charge_per_kw(self) -> float:
        """Price of the highest power [currency/kW]: of each month that of its days, so of a week a part."""
        days = (self.start + timedelta(days=day) for day in range(self.n_days))
        months = sum(1.0 / monthrange(day.year, day.month)[1] for day in days)
        per_month: float = figures("tariffs")[published_results()["profit"]["tariff"]]["demand_charge_per_kw_month"]
        return per_month * months

    def setting(self, case: Case) -> Setting:
        """The garage behind its transformers, in a scenario of the publication; the goal is all that counts.

        Several transformers share the rating in proportion to those that are built.
        """
        keys = load_scenario(f"acn-{self.garage}").model_dump(mode="json", exclude_unset=True)
        if case.scenario not in WITH_LEVELS:
            _drop(keys["site"], LEVEL_KEYS)
        transformers = list(_transformers(keys["site"]))
        built_kva = sum(transformer["rating"] for transformer in transformers)
        for transformer in transformers:
            transformer["rating"] *= case.rating_kva / built_kva
        keys |= {"start": self.start.isoformat(), "until": None, "horizon": 24.0 * self.n_days}
        objective = {"energy_cost": 0.0, "unmet_energy": 1.0}
        if case.goal == "profit":
            tariff = published_results()["profit"]["driver_tariff_per_kwh"]
            objective = {"unmet_energy": 0.0, "driver_tariff": tariff, "peak_power": self.demand_charge_per_kw}
        keys |= {"objective": {**objective, "terminal_value": 0.0}, "observation": ["clock"]}
        return Setting.of(Scenario.model_validate(keys))

    def track(self, setting: Setting, battery: Battery) -> Track:
        """The recorded sessions of the month."""
        return sessions_to_track(read_acn(self.sessions), setting.scenario, setting.site, battery=battery)

    def __call__(self, index: int, seed: int) -> None:
        """Compute a case and write its result; nothing is drawn, so there is no use for the seed."""
        case = self.cases[index]
        write_atomically(self.folder / f"{case.name}.json", self.result(case).model_dump_json())

    def result(self, case: Case) -> Result:
        """Compute a case."""
        setting = self.setting(case)
        track = self.track(setting, SCENARIOS[case.scenario][0])
        requested_kwh = float(track.sessions["wanted_kwh"].sum())
        power_kw, unmet_kwh = np.zeros(track.n_steps), np.zeros(track.n_steps)

        def watch(flow: Flow, rewards: np.ndarray, costs: np.ndarray) -> None:
            power_kw[flow.step], unmet_kwh[flow.step] = flow.granted_kw.sum(), flow.unmet_kwh.sum()

        begin, bound = time.perf_counter(), math.nan
        policy: Policy
        if case.policy == OPTIMUM:
            solution = solve(setting.site, track, setting.objective)
            policy, coordinator = PlanPolicy(solution.plan), make_coordinator("nearest")
            bound = solution.bound if case.goal == "profit" else 100.0 * (1.0 + solution.bound / requested_kwh)
        else:
            policy, coordinator = _controller(case)
        simulator = Simulator(setting.site.arrays, coordinator, [track])
        rollout(simulator, setting.objective, policy, [track], world=setting.world, watch=watch)
        energy_kwh = power_kw * track.step_h
        energy_cost, charge = float(energy_kwh @ track.buy_per_kwh), self.demand_charge_per_kw * float(power_kw.max())
        revenue = published_results()["profit"]["driver_tariff_per_kwh"] * float(energy_kwh.sum())
        return Result(
            percent=100.0 * (1.0 - float(unmet_kwh.sum()) / requested_kwh),
            profit=revenue - energy_cost - charge,
            energy_cost=energy_cost,
            demand_charge=charge,
            bound=bound,
            seconds=time.perf_counter() - begin,
            sessions=len(track.sessions),
            requested_kwh=requested_kwh,
        )

    def results(self) -> dict[Case, Result]:
        """All cases that are finished.

        Raises
        ------
        RunError
            If a file is broken.
        """
        found = {}
        for case in self.cases:
            file = self.folder / f"{case.name}.json"
            if file.is_file():
                try:
                    found[case] = Result.model_validate_json(read_bytes(file, MOST_BYTES))
                except (FileError, ValidationError) as error:
                    raise read_broken(file, error) from error
        return found


def _transformers(group: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The transformers of a site."""
    if "transformer" in group:
        yield group["transformer"]
    for child in group.get("groups", []):
        yield from _transformers(child)


def _drop(group: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Remove keys of all stations below a group."""
    for stations in group.get("stations", []):
        for key in keys:
            stations.pop(key, None)
    for child in group.get("groups", []):
        _drop(child, keys)


def _controller(case: Case) -> tuple[Policy, Coordinator]:
    """Policy and coordinator of a case."""
    if case.policy not in RULES:
        assert case.policy == "mpc"  # the optimum's plan is no controller
        return make_policy({"name": "mpc", "options": MPC[case.goal]}), make_coordinator("nearest")
    name, options = RULES[case.policy]
    if case.policy == "uncontrolled" and case.goal == "profit":
        name = "none"  # as published: a site without a controller needs no limit that it would keep
    elif case.scenario in WITH_LEVELS and name != "nearest":
        options = options | {"least_first": True}
    rule = Pilots(make_coordinator(CoordinatorOptions(name=name, options=options)))
    return rule, rule


def cases_of(
    scenarios: Sequence[str] | None = None,
    ratings_kva: Sequence[float] | None = None,
    policies: Sequence[str] | None = None,
    goals: Sequence[Goal] = ("energy",),
    *,
    quick: bool = False,
) -> tuple[Case, ...]:
    """The cases for some scenarios, ratings, policies and goals; left out, all that were published, or where `quick`,
    those that take less than a minute for a week.

    Raises
    ------
    RunError
        If there is no such scenario, policy or goal, if no scenario has these policies, or if a rating is not above 0.
    """
    known = {policy for _, names in SCENARIOS.values() for policy in names} | set(RULES)
    for what, named, there in (
        ("scenario", scenarios, tuple(SCENARIOS)),
        ("policy of this study", policies, sorted(known)),
        ("goal", goals, GOALS),
    ):
        for name in named or ():
            if name not in there:
                raise RunError(f"no {what} is called '{name}'; there are {', '.join(there)}")
    for rating in ratings_kva or ():
        if not 0 < rating < np.inf:
            raise RunError(f"a transformer's rating must be above 0 kVA, got {rating:g}")
    ratings = {goal: ratings_kva or _usual_ratings_kva(goal, quick) for goal in goals}
    cases = tuple(
        Case(scenario, float(rating), policy, goal)
        for goal in goals
        for scenario in scenarios or (QUICK_SCENARIOS[goal] if quick else SCENARIOS)
        for rating in ratings[goal]
        for policy in policies or _usual_policies(scenario, goal, quick)
        if policy in ({OPTIMUM} if scenario == "I" else known if scenario == "IV" else known - {OPTIMUM})
    )
    if not cases:
        raise RunError(
            f"scenario {', '.join(scenarios or SCENARIOS)} has none of these policies: {', '.join(policies or ())}; "
            f"I has {OPTIMUM} only, II all but {OPTIMUM}, IV all"
        )
    return cases


def _usual_ratings_kva(goal: Goal, quick: bool) -> Sequence[float]:
    if goal == "profit":
        return (published_results()["profit"]["rating_kva"],)
    ratings: Sequence[float] = QUICK_RATINGS_KVA if quick else published_results()["rating_kva"]
    return ratings


def _usual_policies(scenario: str, goal: Goal, quick: bool) -> tuple[str, ...]:
    names = SCENARIOS[scenario][1] if goal == "energy" or scenario == "I" else PROFIT_POLICIES
    return tuple(name for name in names if name != "mpc" or not quick or scenario in QUICK_MPC)


def published_of(case: Case, figure: str = "percent") -> float | None:
    """A published figure of a case, if there is one: `percent`, `profit`, `energy_cost` or `demand_charge`."""
    known = published_results()
    if case.goal == "energy":
        row = known["energy_delivered_percent"].get(case.scenario, {}).get(case.policy)
        ratings = known["rating_kva"]
        return None if row is None or figure != "percent" else dict(zip(ratings, row, strict=True)).get(case.rating_kva)
    if case.rating_kva != known["profit"]["rating_kva"]:
        return None
    value: float | None = known["profit"]["of"].get(case.scenario, {}).get(case.policy, {}).get(figure)
    return value


def month_of(
    sessions: str | Path,
    garage: Garage = "caltech",
    *,
    start: date | None = None,
    until: date | None = None,
    quick: bool = False,
    cases: tuple[Case, ...] | None = None,
    out: Path | None = None,
) -> Month:
    """A month to compute; its folder is made, and named after all that its results depend on unless `out` is given.

    Raises
    ------
    RunError
        If the file of sessions is not there, there is no such garage, or the time has no day.
    """
    file = Path(sessions)
    if not file.is_file():
        where = published_results()["where"]
        raise RunError(f"there is no file {file}. Sessions are not part of this package; they come from {where}")
    if garage not in get_args(Garage):
        raise RunError(f"no garage is called '{garage}'; there are {', '.join(get_args(Garage))}")
    known = published_results()
    begin = start or known["start"]
    end = begin + timedelta(days=QUICK_DAYS) if quick else until or known["until"]
    if end <= begin:
        raise RunError(f"the time from {begin} until {end} has no day; `until` is the day after the last")
    told = {
        "ev_marl": __version__,
        "sessions": hashlib.sha256(file.read_bytes()).hexdigest(),
        "garage": garage,
        "scenario": load_scenario(f"acn-{garage}").model_dump(mode="json"),
        "controllers": {"mpc": MPC, "rules": {name: list(rule) for name, rule in RULES.items()}},
        "start": str(begin),
        "until": str(end),
    }
    text = json.dumps(told, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    folder = out or Path("runs") / f"acn-{garage}-{digest}"
    month = Month(file.resolve(), garage, begin, end, cases or cases_of(quick=quick), folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    if record.is_file():
        _check_same(record, told)
    elif next(folder.glob("*.json"), None) is not None:
        raise RunError(f"{folder} holds results, but no {RECORD} that says of what; choose another folder with --out")
    write_atomically(record, text)
    return month


def _check_same(record: Path, told: dict[str, Any]) -> None:
    """Refuse the results of another month, garage or version."""
    try:
        there = parse_json(read_text(record, MOST_RECORD_BYTES))
    except FileError as error:
        raise RunError(
            f"{record} is broken, so it is not known of what the results are: choose another folder ({error})"
        ) from error
    if found := differences({"": there}, {"": told}) if not isinstance(there, dict) else differences(there, told):
        raise RunError(
            f"{record.parent} holds the results of another month, garage or version. What differs:\n{found}\n"
            "Choose another folder with --out, or leave --out away: then all have folders of their own."
        )


def reproduce(month: Month, *, workers: int, advance: Callable[[], None]) -> dict[Case, Result]:
    """Compute the cases of a month that are not finished, and return all."""
    done = month.results()
    left = [(index, 0) for index, case in enumerate(month.cases) if case not in done]
    run_all(month, left, workers, advance)
    return month.results()
