"""Runs a comparison from scenario to report, and picks up where an earlier run stopped.

Scenario and policies come in, a `Comparison` goes out; every finished day is on disk before it counts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from ev_marl.compare.baseline import VALIDATION_DAYS, check_policy_fits, choose_baseline, unexpected
from ev_marl.compare.comparison import Comparison
from ev_marl.compare.day import DayResult, run_day, with_uncontrolled
from ev_marl.compare.folder import Manifest, RunFolder, finish_day, read_manifest
from ev_marl.compare.progress import progress_bar
from ev_marl.compare.report import write_report
from ev_marl.compare.workers import run_all
from ev_marl.env.setup import Setting
from ev_marl.optimum import TIME_LIMIT_S, check_bound
from ev_marl.scenario import Scenario, as_scenario
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.site.describe import limits_line
from ev_marl.support.errors import RunError, how_to_install
from ev_marl.world.seeds import Split
from ev_marl.world.track_files import is_parted, track_paths
from ev_marl.world.world import World

DEFAULT_POLICIES = (
    "uncontrolled",
    "round-robin",
    "edf",
    "llf",
    "as-late-as-possible",
    "price-threshold",
    "best-response",
)


def compare(
    scenario: str | Path | Scenario,
    policies: Sequence[str] | None = None,
    days: int = 30,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    coordinator: str | None = None,
    split: Split = "test",
    tracks: Sequence[str | Path] | None = None,
    baseline: str | None = None,
    validation_days: int = VALIDATION_DAYS,
    workers: int | None = None,
    ray: str | None = None,
    progress: bool | None = None,
    report: bool = True,
    trust: bool = False,
    exact_levels: bool = False,
    time_limit: float = TIME_LIMIT_S,
) -> Comparison:
    """Run policies and the cooperative optimum on the same days.

    A run that was stopped goes on with the days that are missing; a finished run is only read, and asking for more
    days extends it. In a script, call it under `if __name__ == "__main__":`, since other processes import the script.

    Parameters
    ----------
    scenario : str, Path or Scenario
        Name of a shipped scenario, path of a YAML file, or a scenario.
    policies : sequence of str, optional
        Registered names, `name(option=...)`, module:Class, or `rllib:PATH` and `central:PATH` for learned policies;
        left out, those of the scenario, or `DEFAULT_POLICIES`. `uncontrolled` is always run, since the score needs it.
        A PATH with subfolders `seed_0`, `seed_1`, ... stands for a policy that was trained several times: all are run,
        and the table has one row for them.
    days : int
        Number of days.
    seed : int
        The days' seeds are derived from it, see `day_seeds`.
    out : str or Path, optional
        Folder of the run; left out, `runs/<scenario>-<hash of the manifest>` in the current directory.
    coordinator : str, optional
        Instead of the scenario's.
    split : {"test", "validation", "train"}
        Which days.
    tracks : sequence of str or Path, optional
        Track files, or folders of them, that are the days instead of drawn ones, `days` at most if they are the
        scenario's recorded days. Of a folder with the folders `train`, `validation` and `test`, those of `split` are
        played, and expectations are made from the training days.
    baseline : str, optional
        The policy, one of those that run, that the others' paired differences are to; or `best`: of the policies that
        were not learned and know only their own station (or exchange messages, where a learned one does), the one that
        earns most on validation days.
    validation_days : int
        How many days that choice looks at.
    workers : int, optional
        Most processes; left out, one a core. With 1, or where it is quicker, everything runs in this process.
    ray : str, optional
        Address of a Ray cluster, or `auto`, to run the days there instead.
    progress : bool, optional
        Whether to show a bar on stderr; left out, where stderr is a terminal.
    report : bool
        Whether to write results.parquet, summary.csv, report.md and report.png into the folder.
    trust : bool
        Whether custom code that a scenario file, or a learned policy's, names as module:Class may be run. What
        `policies` and `coordinator` name is run anyway.
    exact_levels : bool
        Whether the levels of ports are integers in the optimum of each day, which then mostly takes all of its time
        limit; see `ev_marl.solve`.
    time_limit : float
        Most time for the optimum of a day [s].

    Returns
    -------
    Comparison
        Results of all days.

    Raises
    ------
    RunError
        If the folder belongs to another run, or if a day fails; the message says how to repeat that day.
    ScenarioError, UnknownNameError, OptionError
        If scenario, policies or coordinator are not right; before anything is run.
    ObjectiveError
        If there is no bound with a term of the objective, or a policy cannot plan with it; before anything is run.
    """
    if days < 1:
        raise RunError(f"a comparison needs at least one day, got {days}")
    if workers is not None and workers < 1:
        raise RunError(f"a comparison needs at least one worker, got {workers}")
    resolved = as_scenario(scenario, trust=trust)
    if coordinator is not None:
        make_coordinator(coordinator)  # a fault in it is not one of the scenario's file
        resolved = resolved.with_coordinator(coordinator)
    chosen = with_uncontrolled(policies or resolved.policies or DEFAULT_POLICIES)
    played = list(map(Path, tracks or ()))
    if len(played) == 1 and is_parted(played[0]):
        resolved = resolved.with_tracks(played[0])  # its other parts are for expectations and the choice of a baseline
    setting = Setting.of(resolved)
    if tracks is None and setting.world.recorded is not None:
        played = setting.world.recorded.some(seed, days, split)
    if ray is not None:
        _ray_workers()
    files = track_files(played, setting.world, split)
    days = len(files) or days
    source = "" if isinstance(scenario, Scenario) else str(scenario)
    manifest = Manifest.of(
        resolved, chosen, seed, split, source, files, exact_levels=exact_levels, time_limit=time_limit
    )
    check_bound(setting, exact_levels=exact_levels)
    for name in manifest.policies:
        check_policy_fits(name, setting)
    named, reason = choose_baseline(setting, manifest.asked, baseline, seed, validation_days) if baseline else ("", "")
    different = unexpected(setting, manifest.policies, files)
    folder = RunFolder(Path(out) if out is not None else default_folder(manifest), manifest)
    seeds = manifest.day_seeds(days)
    missing = folder.missing(seeds)
    work = manifest.work(trust=resolved.trusted, trust_policies=True)
    with progress_bar(f"{resolved.name}: {days} days", days - len(missing), days, progress) as advance:
        try:
            if ray is None:
                run_all(partial(finish_day, folder.path, work), missing, workers or _cores(), advance)
            else:
                _ray_workers().run_days_on_ray(folder.path, work, missing, ray, advance)
        except KeyboardInterrupt:
            done = days - len(folder.missing(seeds))
            raise KeyboardInterrupt(
                f"stopped: {done} of {days} days are finished and kept in {folder.path}. "
                "The same command goes on from there."
            ) from None
    limits = limits_line(setting.site, resolved)
    comparison = Comparison(folder.path, folder.manifest, folder.read(seeds), limits, named, reason, different)
    if report:
        write_report(comparison)
    return comparison


def track_files(paths: Sequence[Path], world: World, split: Split) -> tuple[Path, ...]:
    """Track files, and those of folders in the order of their names; of parted folders those of a split.

    Raises
    ------
    RunError
        If one is named twice, or they differ in the number or the length of their steps.
    TrackError
        If there is none, or one cannot be read or does not fit the scenario.
    """
    found: dict[str, Path] = {}
    lengths: dict[tuple[int, float], Path] = {}
    for file in track_paths(paths, split) if paths else ():
        track = world.load(file)
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        if content in found:
            raise RunError(f"{file} and {found[content]} are the same day")
        found[content] = file
        lengths.setdefault((track.n_steps, track.step_h), file)
    if len(lengths) > 1:
        told = [f"{file} has {steps} steps of {60 * step_h:g} min" for (steps, step_h), file in lengths.items()]
        raise RunError(f"the days of a comparison are equally long: {', '.join(told)}")
    return tuple(found.values())


def default_folder(manifest: Manifest) -> Path:
    """`runs/<scenario>-<hash>`: the same command finds the same folder."""
    return Path("runs") / f"{manifest.scenario['name']}-{manifest.short_hash}"


def rerun_day(folder: str | Path, index: int, *, trust: bool = False) -> DayResult:
    """Run a day of a run again, in this process and without writing anything, to see why it failed.

    Parameters
    ----------
    folder : str or Path
        Folder of the run.
    index : int
        Number of the day, from 0.
    trust : bool
        Whether custom code that the run names as module:Class may be run.

    Raises
    ------
    TrustError, ScenarioError
        If it names some, and `trust` is not given.
    """
    manifest = read_manifest(Path(folder))
    work = manifest.work(trust=trust, trust_policies=trust)
    for name in work.policies:
        work.policy(name)  # an error comes before the day is solved
    return run_day(work, index, manifest.day_seeds(index + 1)[index])


def _ray_workers() -> ModuleType:
    """The module that runs days on a Ray cluster; Ray is only needed there."""
    try:
        from ev_marl.compare import ray_workers  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise RunError(f"--ray needs Ray: {how_to_install('rllib')}") from error
    return ray_workers


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
