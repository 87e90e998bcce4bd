"""Runs a study: every case is a comparison that goes on where it stopped; tuned constants are kept.

A `Study` comes in; tables, a figure and all results in one file go out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ev_marl.compare.comparison import Comparison, PolicySummary
from ev_marl.compare.folder import Manifest
from ev_marl.compare.progress import progress_bar
from ev_marl.compare.run import compare, default_folder
from ev_marl.compare.statistics import PairedDifference
from ev_marl.compare.study import Case, Study
from ev_marl.compare.tuning import ranges_of, tune
from ev_marl.env.setup import Setting
from ev_marl.policies.make import read_spec, write_spec
from ev_marl.scenario import Scenario
from ev_marl.support.errors import RunError
from ev_marl.support.files import FileError, parse_json, read_text, write_atomically
from ev_marl.support.package import __version__

MOST_BYTES = 10_000_000
TUNED_FILE, RUNS = "tuned.json", "runs"


@dataclass(frozen=True)
class CaseResult:
    """What a case came to."""

    name: str
    case: Case
    rows: dict[str, str]  # name in the tables -> policy
    comparison: Comparison

    def summaries(self) -> dict[str, PolicySummary]:
        """One for each name in the tables, best first; the optimum is not among them."""
        names = {policy: [name for name, spec in self.rows.items() if spec == policy] for policy in self.rows.values()}
        return {name: row for row in self.comparison.table() for name in names.get(row.policy, ())}

    @property
    def baseline(self) -> str:
        """Name in the tables of the policy that the learned ones are measured against."""
        return next(name for name, policy in self.rows.items() if policy == self.comparison.baseline)

    def differences(self) -> dict[str, PairedDifference]:
        """How much better each learned policy is than the baseline."""
        baseline = self.comparison.baseline
        return {name: self.comparison.difference(self.rows[name], baseline) for name in self.case.learned}


@dataclass(frozen=True)
class StudyResult:
    """What a study came to."""

    folder: Path
    study: Study
    days: int  # test days of each case
    tuned: dict[str, dict[str, str]]  # name of case -> policy -> with its constants
    cases: tuple[CaseResult, ...]


def run_study(
    study: Study,
    out: str | Path,
    *,
    days: int | None = None,
    tracks: Path | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: bool | None = None,
) -> StudyResult:
    """Run every comparison of a study.

    What was run before is only read: finished days, and constants that were tuned for the same scenario on the same
    days. A policy that was trained anew makes a new run of its cases.

    Parameters
    ----------
    study : Study
        See `load_study`.
    out : str or Path
        Folder of the study; its runs are below it, each with a report of its own.
    days : int, optional
        Test days instead of the study's, for a first look.
    tracks : Path, optional
        Folder of recorded days instead of drawn ones, for all cases; see `Scenario.tracks`.
    workers, ray, progress
        As for `compare`.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose a folder for the study with --out")
    folder.mkdir(parents=True, exist_ok=True)
    results, constants = list[CaseResult](), dict[str, dict[str, str]]()
    for case in study.cases:
        name, scenario = study.case_name(case), case.load(trust=study.trusted)
        if tracks is not None:
            scenario = scenario.with_tracks(tracks)
        constants[name] = _tuned(study, scenario, folder / TUNED_FILE, progress)
        rows = study.rows(case, constants[name])
        policies = tuple(dict.fromkeys(rows.values()))
        manifest = Manifest.of(scenario, policies, study.seed)
        comparison = compare(
            scenario,
            policies,
            days or study.days,
            study.seed,
            folder / RUNS / default_folder(manifest).name,
            baseline=rows.get(study.baseline, study.baseline),
            validation_days=study.validation_days,
            workers=workers,
            ray=ray,
            progress=progress,
        )
        results.append(CaseResult(name, case, rows, comparison))
    return StudyResult(folder, study, days or study.days, constants, tuple(results))


def _kept(file: Path) -> dict[str, Mapping[str, str]]:
    """Constants that were tuned before."""
    if not file.is_file():
        return {}
    try:
        found = parse_json(read_text(file, MOST_BYTES))
        texts = [entry.get("tuned") if isinstance(entry, dict) else None for entry in dict(found).values()]
    except (FileError, TypeError, ValueError) as error:
        raise RunError(f"{file} is broken: {error}; delete it and run the same command again") from error
    if not all(isinstance(text, str) for text in texts):
        raise RunError(f"{file} is broken: it has an entry without constants; delete it and run the same command again")
    return dict(found)


def _tuned(study: Study, scenario: Scenario, file: Path, progress: bool | None) -> dict[str, str]:
    """Every policy of `tune` with its constants for a scenario: those of an earlier run, or a new search."""
    kept = _kept(file)
    found = {}
    for policy in study.tune:
        searched = ranges_of(policy, {})
        told = [__version__, scenario.model_dump(mode="json"), policy, study.tuning_days, study.seed]
        told.append([str(one) for one in searched])
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        if key not in kept:
            setting = Setting.of(scenario)
            tracks = setting.world.draw(study.seed, study.tuning_days, "train")
            with progress_bar(f"{scenario.name}: tuning {policy}", 0, None, progress) as advance:
                best = tune(setting, policy, tracks, searched, seed=study.seed, advance=advance)[0]
            entry = {
                "scenario": scenario.name,
                "policy": policy,
                "tuned": write_spec(read_spec(policy)[0], best.options),
            }
            kept = {**kept, key: entry}
            write_atomically(file, json.dumps(kept, indent=2) + "\n")
        found[policy] = kept[key]["tuned"]
    return found
