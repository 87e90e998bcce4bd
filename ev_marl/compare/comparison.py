"""A run as a whole: its finished days come in, one summary a policy goes out, best first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ev_marl.compare.day import OPTIMUM, UNCONTROLLED
from ev_marl.compare.folder import Manifest
from ev_marl.compare.records import DayResult, PolicyDay
from ev_marl.compare.statistics import mean_or_nan, score, score_interval, worst_tenth
from ev_marl.scenario import Scenario


@dataclass(frozen=True)
class PolicySummary:
    """A policy over all days of a run; money, energy and counts are means per day unless they say otherwise."""

    policy: str
    information: str  # own, messages, site or future
    days: int
    score: float  # share of what perfect cooperation gains over uncontrolled charging [-], NaN: nothing to gain
    score_low: float  # paired bootstrap interval of 95 %; NaN with one day
    score_high: float
    gap_per_day: float  # bound less return [currency]
    cost_per_day: float  # [currency]
    costs_per_day: dict[str, float]  # by term of the objective [currency]
    charged_kwh_per_day: float  # metered into vehicles
    discharged_kwh_per_day: float
    net_kwh_per_day: float  # charged less discharged
    satisfaction: float  # mean over all sessions of the run that were owed energy [-]
    satisfaction_worst_tenth: float  # mean over the tenth of these sessions that was served worst [-]
    fairness: float  # mean over days of Jain's index of the stations' satisfactions [-]
    peak_kw: float  # mean of the days' peaks
    highest_peak_kw: float  # of all days
    curtailed_kwh_per_day: float
    violations: int  # (step, group) pairs beyond a limit, all days
    violation_kwh: float  # all days
    policy_ms: float  # per step, median of the days
    simulator_ms: float


@dataclass(frozen=True)
class Comparison:
    """The results of a run.

    Attributes
    ----------
    folder : Path
        Where they are.
    manifest : Manifest
        Scenario, policies, seed, versions.
    days : tuple of DayResult
        One a day, in the order of the day seeds.
    limits : str
        Import limits against the rated power below them, in one line.
    """

    folder: Path
    manifest: Manifest
    days: tuple[DayResult, ...]
    limits: str

    @cached_property
    def scenario(self) -> Scenario:
        """What was run."""
        return Scenario.model_validate(self.manifest.scenario)

    @property
    def currency(self) -> str:
        """Of every cost."""
        return self.scenario.currency

    @property
    def bound(self) -> np.ndarray:
        """Bound of each day, float64, shape (n_days,) [currency]."""
        return np.array([day.bound for day in self.days])

    def returns(self, policy: str) -> np.ndarray:
        """Team return of each day, float64, shape (n_days,) [currency]."""
        return np.array([day.of(policy).team_return for day in self.days])

    def table(self) -> list[PolicySummary]:
        """One summary a policy: `optimum`, then the others, best score first."""
        return list(self._table)

    @cached_property
    def _table(self) -> tuple[PolicySummary, ...]:
        names = [OPTIMUM, *self.manifest.policies]
        returns = np.stack([self.returns(name) for name in names])
        uncontrolled, bound = self.returns(UNCONTROLLED), self.bound
        scores = score(returns, uncontrolled, bound)
        intervals = score_interval(returns, uncontrolled, bound, seed=self.manifest.seed)
        gaps = (bound - returns).mean(axis=1)
        rows = [
            _summary([day.of(name) for day in self.days], float(scores[k]), intervals[k], float(gaps[k]))
            for k, name in enumerate(names)
        ]
        return (rows[0], *sorted(rows[1:], key=lambda row: row.gap_per_day))

    @property
    def largest_relative_gap(self) -> float:
        """Largest (bound − return of the plan) / max(1, |bound|) of all days [-]."""
        return max((day.bound - day.achieved) / max(1.0, abs(day.bound)) for day in self.days)

    @property
    def exact_days(self) -> int:
        """Days on which the replayed plan proves the bound."""
        return sum(day.exact for day in self.days)


def _summary(days: list[PolicyDay], its_score: float, interval: np.ndarray, gap: float) -> PolicySummary:
    def mean(name: str) -> float:
        return float(np.mean([getattr(day, name) for day in days]))

    satisfaction = np.concatenate([day.satisfaction for day in days])
    fairness = np.array([day.fairness for day in days])
    terms = days[0].costs
    charged, discharged = mean("charged_kwh"), mean("discharged_kwh")
    return PolicySummary(
        policy=days[0].policy,
        information=days[0].information,
        days=len(days),
        score=its_score,
        score_low=float(interval[0]),
        score_high=float(interval[1]),
        gap_per_day=gap,
        cost_per_day=-mean("team_return"),
        costs_per_day={term: float(np.mean([day.costs[term] for day in days])) for term in terms},
        charged_kwh_per_day=charged,
        discharged_kwh_per_day=discharged,
        net_kwh_per_day=charged - discharged,
        satisfaction=mean_or_nan(satisfaction),
        satisfaction_worst_tenth=worst_tenth(satisfaction),
        fairness=mean_or_nan(fairness[~np.isnan(fairness)]),
        peak_kw=mean("peak_kw"),
        highest_peak_kw=max(day.peak_kw for day in days),
        curtailed_kwh_per_day=mean("curtailed_kwh"),
        violations=sum(day.violations for day in days),
        violation_kwh=float(sum(day.violation_kwh for day in days)),
        policy_ms=float(np.median([day.policy_ms for day in days])),
        simulator_ms=float(np.median([day.simulator_ms for day in days])),
    )
