"""A whole run: its finished days come in, one summary for each policy goes out, best first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ev_marl.compare.day import OPTIMUM, UNCONTROLLED, DayResult, PolicyDay
from ev_marl.compare.folder import MANIFEST, Manifest
from ev_marl.compare.grid_metrics import GridSummary
from ev_marl.compare.statistics import (
    PairedDifference,
    day_scores,
    interquartile_mean,
    mean_or_nan,
    paired_difference,
    score,
    score_interval,
    worst_tenth,
)
from ev_marl.policies.make import read_learned
from ev_marl.scenario import Scenario
from ev_marl.support.errors import RunError


@dataclass(frozen=True)
class PolicySummary:
    """A policy over all days of a run; money, energy and counts are means per day unless stated otherwise.

    Of a policy with several training seeds, they are means over the seeds as well.
    """

    policy: str  # as given by the user
    label: str  # the same, short
    seeds: int  # training seeds of a learned policy, 1 for any other
    information: str  # own, messages, site or future
    days: int
    score: float  # share of what perfect cooperation gains over uncontrolled charging [-], NaN: nothing to gain
    score_low: float  # paired bootstrap interval of 95 %; NaN with one day
    score_high: float
    score_iqm: float  # interquartile mean of the scores of single days and training seeds [-]
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
    unmet_kwh_per_day: float  # due by the deadlines and not there
    unmet_early_kwh_per_day: float | None  # of it, of vehicles that left before they said; None: all say the truth
    storage_kwh_per_day: float | None  # metered out of stationary batteries; None where there is none
    carbon_kg_per_day: float | None  # CO2 of what the site draws; None where no carbon intensity is known
    charging_carbon_kg_per_day: float | None  # what the vehicles change in it
    transformer_hot_spot_c: float | None  # mean of the days' hottest; None where the site has no transformer
    transformer_aged_h_per_day: float | None  # hours of normal life used
    vehicles_ageing_per_day: float | None  # cost by the laws [currency]; None where it is not measured
    storage_ageing_per_day: float | None  # of stationary batteries
    linear_ageing_per_day: float | None  # of both, by the linear prices of the term `battery_ageing` [currency]
    unbalance_percent: float | None  # mean over days, see `PolicyDay`; None where no station says its phases
    violations: int  # (step, group) and (step, current) pairs beyond a limit, all days and training seeds
    violation_kwh: float  # all days and training seeds
    policy_ms: float  # per step, median of the days
    simulator_ms: float
    grid: GridSummary | None = None  # what the network above did, where there is one

    @property
    def ageing_per_day(self) -> float | None:
        """What the ageing of vehicles and stationary batteries costs by the laws; None: not measured [currency]."""
        known = [cost for cost in (self.vehicles_ageing_per_day, self.storage_ageing_per_day) if cost is not None]
        return sum(known) if known else None


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
    baseline : str
        The policy that the others' differences are to; empty if none was chosen.
    baseline_reason : str
        How it was chosen.
    mismatches : tuple of str
        Differences between given tracks and the days of the scenario's models, if a policy expects those.
    """

    folder: Path
    manifest: Manifest
    days: tuple[DayResult, ...]
    limits: str
    baseline: str = ""
    baseline_reason: str = ""
    mismatches: tuple[str, ...] = ()

    @cached_property
    def scenario(self) -> Scenario:
        """What was run.

        Raises
        ------
        RunError
            If the manifest holds no scenario that this program can read.
        """
        try:
            return Scenario.model_validate(self.manifest.scenario)
        except ValidationError as error:
            raise RunError(f"{self.folder / MANIFEST} holds no scenario that this program can read: {error}") from error

    @property
    def currency(self) -> str:
        """Of every cost."""
        return self.scenario.currency

    @property
    def has_grid(self) -> bool:
        """Whether there is a network above the site."""
        return self.days[0].policies[0].grid is not None

    @property
    def bound(self) -> np.ndarray:
        """Bound of each day, float64, shape (n_days,) [currency]."""
        return np.array([day.bound for day in self.days])

    def returns(self, policy: str) -> np.ndarray:
        """Team return of each day, mean over training seeds, float64, shape (n_days,) [currency]."""
        return np.asarray(self.runs(policy).mean(axis=0))

    def runs(self, policy: str) -> np.ndarray:
        """Team return of each training seed and day, float64, shape (n_seeds, n_days) [currency]."""
        members = self.manifest.members(policy)
        return np.array([[day.of(name).team_return for day in self.days] for name in members])

    def power_kw(self, policy: str, day: int) -> np.ndarray:
        """Power of the watched groups on a day, mean over training seeds, float64, shape (n_watched, n_steps) [kW]."""
        members = self.manifest.members(policy)
        return np.asarray(np.mean([self.days[day].of(name).group_kw for name in members], axis=0))

    def table(self) -> list[PolicySummary]:
        """One summary a policy: `optimum`, then the others, best score first; one for all training seeds together.

        Where service is required, the least shortfall comes first, to a tenth of a Wh.
        """
        rows = self._summaries([OPTIMUM, *self.manifest.asked])
        required = self.scenario.objective.service == "required"

        def rank(row: PolicySummary) -> tuple[float, float]:
            return round(row.unmet_kwh_per_day, 4) if required else 0.0, row.gap_per_day

        return [rows[0], *sorted(rows[1:], key=rank)]

    def seed_table(self) -> list[PolicySummary]:
        """One summary for each training seed of each policy that has several."""
        return self._summaries([name for members in self.manifest.groups.values() for name in members])

    def differences(self) -> dict[str, PairedDifference]:
        """Difference of each policy to the baseline on the same days; empty without a baseline."""
        if not self.baseline:
            return {}
        others = [row.policy for row in self.table() if row.policy != self.baseline]
        return {name: self.difference(name, self.baseline) for name in others}

    def difference(self, policy: str, baseline: str) -> PairedDifference:
        """Difference of a policy to another on the same days."""
        uncontrolled, seed = self.returns(UNCONTROLLED), self.manifest.seed
        return paired_difference(self.runs(policy), self.runs(baseline), uncontrolled, self.bound, seed=seed)

    def label(self, policy: str) -> str:
        """Short name of a policy: of a learned one the last part of its path, where no other has the same."""
        return self._labels.get(policy, policy)

    @cached_property
    def _labels(self) -> dict[str, str]:
        names = {*self.manifest.policies, *self.manifest.groups}
        short = {name: spec.label for name in names if (spec := read_learned(name)) is not None}
        taken = Counter(short.values())
        return {name: label for name, label in short.items() if taken[label] == 1}

    def _summaries(self, names: list[str]) -> list[PolicySummary]:
        return [self._all_summaries[name] for name in names]

    @cached_property
    def _all_summaries(self) -> dict[str, PolicySummary]:
        names = list(dict.fromkeys([OPTIMUM, *self.manifest.asked, *self.manifest.policies]))
        uncontrolled, bound = self.returns(UNCONTROLLED), self.bound
        runs = [self.runs(name) for name in names]
        intervals = score_interval(runs, uncontrolled, bound, seed=self.manifest.seed)
        return {
            name: self._summary(name, runs[k], day_scores(runs[k], uncontrolled, bound), intervals[k])
            for k, name in enumerate(names)
        }

    @property
    def largest_relative_gap(self) -> float:
        """Largest (bound − return of the plan) / max(1, |bound|) of all days [-]."""
        return max((day.bound - day.achieved) / max(1.0, abs(day.bound)) for day in self.days)

    @property
    def exact_days(self) -> int:
        """Days on which the replayed plan proves the bound."""
        return sum(day.exact for day in self.days)

    def _summary(self, name: str, runs: np.ndarray, scores: np.ndarray, interval: np.ndarray) -> PolicySummary:
        """Summary of a policy with these returns and scores by training seed and day."""
        days = [day.of(member) for member in self.manifest.members(name) for day in self.days]
        return PolicySummary(
            policy=name,
            label=self.label(name),
            seeds=len(runs),
            information=days[0].information,
            days=len(self.days),
            score=float(score(runs.mean(axis=0), self.returns(UNCONTROLLED), self.bound)),
            score_low=float(interval[0]),
            score_high=float(interval[1]),
            score_iqm=interquartile_mean(scores),
            gap_per_day=float((self.bound - runs).mean()),
            **_measures(days),
            grid=self._grid(days),
        )

    def _grid(self, days: list[PolicyDay]) -> GridSummary | None:
        """What the network did on some days of a policy; None without a network."""
        grid, known = self.scenario.grid, [day.grid for day in days if day.grid is not None]
        return GridSummary.of(known, grid.limits.voltage, self.days[0].step_h) if grid and known else None


def _measures(days: list[PolicyDay]) -> dict[str, Any]:
    """Everything that is not about scores."""

    def mean(name: str) -> float:
        return float(np.mean([getattr(day, name) for day in days]))

    satisfaction = np.concatenate([day.satisfaction for day in days])
    fairness = np.array([day.fairness for day in days])

    def mean_of_known(name: str) -> float | None:
        known = [getattr(day, name) for day in days if getattr(day, name) is not None]
        return float(np.mean(known)) if known else None

    terms = days[0].costs
    charged, discharged = mean("charged_kwh"), mean("discharged_kwh")
    return {
        "cost_per_day": -mean("team_return"),
        "costs_per_day": {term: float(np.mean([day.costs[term] for day in days])) for term in terms},
        "charged_kwh_per_day": charged,
        "discharged_kwh_per_day": discharged,
        "net_kwh_per_day": charged - discharged,
        "satisfaction": mean_or_nan(satisfaction),
        "satisfaction_worst_tenth": worst_tenth(satisfaction),
        "fairness": mean_or_nan(fairness[~np.isnan(fairness)]),
        "peak_kw": mean("peak_kw"),
        "highest_peak_kw": max(day.peak_kw for day in days),
        "curtailed_kwh_per_day": mean("curtailed_kwh"),
        "unmet_kwh_per_day": mean("unmet_kwh"),
        "unmet_early_kwh_per_day": mean_of_known("unmet_early_kwh"),
        "storage_kwh_per_day": mean_of_known("storage_kwh"),
        "carbon_kg_per_day": mean_of_known("carbon_kg"),
        "charging_carbon_kg_per_day": mean_of_known("charging_carbon_kg"),
        "transformer_hot_spot_c": mean_of_known("transformer_hot_spot_c"),
        "transformer_aged_h_per_day": mean_of_known("transformer_aged_h"),
        **_ageing(days),
        "unbalance_percent": mean_of_known("unbalance_percent"),
        "violations": sum(day.violations for day in days),
        "violation_kwh": float(sum(day.violation_kwh for day in days)),
        "policy_ms": float(np.median([day.policy_ms for day in days])),
        "simulator_ms": float(np.median([day.simulator_ms for day in days])),
    }


def _ageing(days: list[PolicyDay]) -> dict[str, float | None]:
    """What the ageing of batteries costs."""
    vehicles = [day.vehicles_aged for day in days if day.vehicles_aged is not None]
    storage = [day.storage_aged for day in days if day.storage_aged is not None]

    def mean(values: list[float]) -> float | None:
        return sum(values) / len(days) if values else None

    return {
        "vehicles_ageing_per_day": mean([aged.cost for aged in vehicles]),
        "storage_ageing_per_day": mean([aged.cost for aged in storage]),
        "linear_ageing_per_day": mean([aged.linear for aged in (*vehicles, *storage)]),
    }
