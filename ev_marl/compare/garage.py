"""A published month in a garage, computed again: energy delivered by each policy, beside what others have published.

A file of recorded sessions comes in; for each case (scenario of the publication, transformer rating, policy) the share
of the requested energy that is delivered goes out, with the proven optimum above it. Finished cases are kept in a
folder, so a run can be stopped and continued.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import yaml

from ev_marl.compare import published
from ev_marl.compare.workers import run_all
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve
from ev_marl.planning.outlook import Kind
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.base import Episode, Information, Policy, StationView
from ev_marl.policies.rules.needs import power_for_wish_kw
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.scenario.schema import CoordinatorOptions
from ev_marl.simulation.coordinators import Coordinator, Request, make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import RunError
from ev_marl.support.files import parse_json, read_text, write_atomically
from ev_marl.world import Track
from ev_marl.world.acn_sim import sessions_to_track
from ev_marl.world.choices import Battery, Garage
from ev_marl.world.readers.acn import read_acn

STUDY = "acn-caltech"
OPTIMUM = "optimum"
SCENARIOS: dict[str, tuple[Battery, tuple[str, ...]]] = {
    "I": ("ideal", (OPTIMUM,)),
    "II": ("ideal", ("mpc", "llf", "edf", "round-robin")),
    "III": ("ideal", ("llf", "edf", "round-robin")),
    "IV": ("two_stage", ("mpc", "llf", "edf", "round-robin")),
    "V": ("two_stage", ("llf", "edf", "round-robin")),
}
"""Scenarios of the publication: battery, and policies that are computed unless others are named. I: the optimum, which
knows the month; II: continuous power; IV: batteries that charge more slowly from 80 % on; III and V: the same with the
levels of the stations."""
WITH_LEVELS = ("III", "V")
LEVEL_KEYS = ("least_current", "current_step")  # of stations
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "uncontrolled": ("nearest", {}),
    "llf": ("priority", {"order": "laxity"}),
    "edf": ("priority", {"order": "deadline"}),
    "round-robin": ("round-robin", {}),
}
"""Rules that share out what all vehicles ask for: a coordinator and its options."""
MPC = "mpc(horizon_h=12, expected_days=0, waiting_per_kwh_h=0.05, keep_plan=True, block_h=0.5)"
"""Plans for the vehicles that are there, and soon: of 1 per kWh, as in ASA-QC, an hour's delay costs a part."""
QUICK_DAYS = 7
LEAST_KW = 1e-9
MOST_BYTES = 10_000  # of a result


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
    enforces_limits = True

    def __init__(self, rule: Coordinator) -> None:
        self._rule = rule

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

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.scenario}-{self.rating_kva:g}-{self.policy}"


@dataclass(frozen=True)
class Delivered:
    """The result of a case."""

    percent: float  # of the requested energy that was delivered
    bound_percent: float  # nobody delivers more; NaN for policies
    seconds: float
    sessions: int
    requested_kwh: float


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

    def setting(self, rating_kva: float, scenario: str) -> Setting:
        """The garage behind a transformer, in a scenario of the publication; all that counts is the energy that is not
        delivered."""
        keys = load_scenario(f"acn-{self.garage}").model_dump(mode="json", exclude_unset=True)
        if scenario not in WITH_LEVELS:
            _drop(keys["site"], LEVEL_KEYS)
        site = {**keys["site"], "transformer": {**keys["site"]["transformer"], "rating": rating_kva}}
        keys |= {"site": site, "start": self.start.isoformat(), "until": None, "horizon": 24.0 * self.n_days}
        keys |= {"objective": {"energy_cost": 0, "unmet_energy": 1, "terminal_value": 0}, "observation": ["clock"]}
        return Setting.of(Scenario.model_validate(keys))

    def track(self, setting: Setting, battery: Battery) -> Track:
        """The recorded sessions of the month."""
        return sessions_to_track(read_acn(self.sessions), setting.scenario, setting.site, battery=battery)

    def __call__(self, index: int, seed: int) -> None:
        """Compute a case and write its result; nothing is drawn, so there is no use for the seed."""
        case = self.cases[index]
        write_atomically(self.folder / f"{case.name}.json", json.dumps(asdict(self.delivered(case))))

    def delivered(self, case: Case) -> Delivered:
        """Compute a case."""
        setting = self.setting(case.rating_kva, case.scenario)
        track = self.track(setting, SCENARIOS[case.scenario][0])
        requested_kwh = float(track.sessions["wanted_kwh"].sum())
        begin, bound = time.perf_counter(), float("nan")
        if case.policy == OPTIMUM:
            solution = solve(setting.site, track, setting.objective)
            unmet, bound = -solution.achieved, 100.0 * (1.0 + solution.bound / requested_kwh)
        else:
            policy, coordinator = _controller(case.policy, least_first=case.scenario in WITH_LEVELS)
            simulator = Simulator(setting.site.arrays, coordinator, [track])
            unmet = -float(rollout(simulator, setting.objective, policy, [track], world=setting.world).team[0])
        seconds = time.perf_counter() - begin
        return Delivered(100.0 * (1.0 - unmet / requested_kwh), bound, seconds, len(track.sessions), requested_kwh)

    def results(self) -> dict[Case, Delivered]:
        """All cases that are finished."""
        found = {}
        for case in self.cases:
            file = self.folder / f"{case.name}.json"
            if file.is_file():
                found[case] = Delivered(**parse_json(read_text(file, MOST_BYTES)))
        return found


def _drop(group: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Remove keys of all stations below a group."""
    for stations in group.get("stations", []):
        for key in keys:
            stations.pop(key, None)
    for child in group.get("groups", []):
        _drop(child, keys)


def _controller(policy: str, *, least_first: bool) -> tuple[Policy, Coordinator]:
    """Policy and coordinator of a case."""
    if policy not in RULES:
        return make_policy(MPC if policy == "mpc" else policy), make_coordinator("nearest")
    name, options = RULES[policy]
    if least_first and name != "nearest":
        options = options | {"least_first": True}
    rule = Pilots(make_coordinator(CoordinatorOptions(name=name, options=options)))
    return rule, rule


def cases_of(
    scenarios: Sequence[str] | None = None,
    ratings_kva: Sequence[float] | None = None,
    policies: Sequence[str] | None = None,
) -> tuple[Case, ...]:
    """The cases for some scenarios, ratings and policies; left out, all that were published.

    Raises
    ------
    RunError
        If there is no such scenario or policy, if no scenario has these policies, or if a rating is not above 0.
    """
    known = {policy for _, names in SCENARIOS.values() for policy in names} | set(RULES)
    for scenario in scenarios or ():
        if scenario not in SCENARIOS:
            raise RunError(f"no scenario is called '{scenario}'; there are {', '.join(SCENARIOS)}")
    for policy in policies or ():
        if policy not in known:
            raise RunError(f"no policy of this study is called '{policy}'; there are {', '.join(sorted(known))}")
    ratings = ratings_kva or published_results()["rating_kva"]
    for rating in ratings:
        if not 0 < rating < np.inf:
            raise RunError(f"a transformer's rating must be above 0 kVA, got {rating:g}")
    cases = tuple(
        Case(scenario, float(rating), policy)
        for scenario in scenarios or SCENARIOS
        for rating in ratings
        for policy in (policies or SCENARIOS[scenario][1])
        if policy in ({OPTIMUM} if scenario == "I" else known if scenario == "IV" else known - {OPTIMUM})
    )
    if not cases:
        raise RunError(
            f"scenario {', '.join(scenarios or SCENARIOS)} has none of these policies: {', '.join(policies or ())}; "
            f"I has {OPTIMUM} only, II all but {OPTIMUM}, IV all"
        )
    return cases


def published_percent(case: Case) -> float | None:
    """The published number of a case, if there is one."""
    known = published_results()
    row = known["energy_delivered_percent"].get(case.scenario, {}).get(case.policy)
    return None if row is None else dict(zip(known["rating_kva"], row, strict=True)).get(case.rating_kva)


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
    digest = hashlib.sha256(file.read_bytes() + f"{garage} {begin} {end}".encode()).hexdigest()[:8]
    folder = out or Path("runs") / f"acn-{garage}-{digest}"
    month = Month(file.resolve(), garage, begin, end, cases or cases_of(), folder)
    folder.mkdir(parents=True, exist_ok=True)
    told = {"sessions": digest, "garage": garage, "start": str(begin), "until": str(end)}
    record = folder / "month.json"
    if record.is_file() and parse_json(read_text(record, MOST_BYTES)) != told:
        raise RunError(f"{folder} holds the results of another month; choose another folder")
    write_atomically(record, json.dumps(told))
    return month


def reproduce(month: Month, *, workers: int, advance: Callable[[], None]) -> dict[Case, Delivered]:
    """Compute the cases of a month that are not finished, and return all."""
    done = month.results()
    left = [(index, 0) for index, case in enumerate(month.cases) if case not in done]
    run_all(month, left, workers, advance)
    return month.results()
