"""Training from start to end: one run for each seed, with validations and checkpoints; it can be stopped and resumed.

A configuration and a scenario come in. The best policy of each seed on the validation days goes out, as NumPy files.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm

from ev_marl.compare.statistics import score
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies import Policy, make_policy, rollout
from ev_marl.policies.base import ObservingPolicy
from ev_marl.policies.learned import PolicyFile, load_policy, save_policy
from ev_marl.rl.algorithm import actors, after_restoring, build
from ev_marl.rl.config import Stop, TrainingConfig
from ev_marl.rl.face import TrainingFace
from ev_marl.rl.ray_session import ray_session
from ev_marl.rl.training_folder import (
    MOST_BYTES,
    STATE,
    VALIDATION,
    SeedFolder,
    TrainingFolder,
    default_folder,
    read_record,
)
from ev_marl.rl.training_log import Progress, TrainingLog
from ev_marl.scenario import Scenario
from ev_marl.support.errors import RunError
from ev_marl.support.files import parse_json, read_text, write_atomically
from ev_marl.support.values import number

VALIDATION_SEED = 0  # the validation days are always the same ones


@dataclass
class Counters:
    """Progress of a run; stored beside RLlib's state in every checkpoint."""

    iteration: int = 0
    days: int = 0  # simulated
    seconds: float = 0.0  # of training and validation, over all sittings
    last_score: float = -math.inf  # on the validation days
    best_score: float = -math.inf
    best_days: int = 0  # simulated until then


@dataclass(frozen=True)
class SeedResult:
    """Result of training with one seed."""

    seed: int
    folder: Path
    iteration: int
    days: int
    seconds: float
    score: float  # of the last policy on the validation days
    best_score: float  # of the one that was kept
    best_days: int  # simulated until then
    finished_before: bool


def share_done(stop: Stop, iteration: int, days: int, seconds: float) -> float:
    """Share of the way to the nearest stop; 1 or more once it is reached."""
    limits = (
        (iteration, stop.iterations),
        (days, stop.days),
        (seconds, None if stop.minutes is None else 60.0 * stop.minutes),
    )
    return max(reached / limit for reached, limit in limits if limit is not None)


def train(
    config: TrainingConfig,
    scenario: Scenario,
    out: Path | None = None,
    *,
    address: str | None = None,
    trust: bool = False,
    command: Sequence[str] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda message: None,
) -> list[SeedResult]:
    """Train every seed of a configuration that is not finished yet.

    An interrupted run continues from its last checkpoint, with the same days and numbers as without the interruption; a
    finished seed is only reported. For the same numbers every time, Python must have been started with PYTHONHASHSEED=0
    and OMP_NUM_THREADS=1, as `ev-marl train` does, and the stop must be in days or iterations.

    Parameters
    ----------
    config : TrainingConfig
        How to train.
    scenario : Scenario
        What to train on.
    out : Path, optional
        Folder of the result; by default `runs/<scenario>-<name>-<hash>`.
    address : str, optional
        Of a Ray cluster; without it, Ray is started on this machine and stopped after the training.
    trust : bool
        Whether a checkpoint may be opened that somebody else wrote, or that was written on another machine.
    command : sequence of str
        Stored in the folder.
    watch : callable
        Called after every iteration.
    say : callable
        Called with messages about the course of the run.

    Returns
    -------
    list of SeedResult

    Raises
    ------
    RunError
        If the folder has other content, or there is no cluster at the address.
    TrustError
        If it would continue from a checkpoint that somebody else wrote, and `trust` is not given.
    KeyboardInterrupt
        On Ctrl-C, at the end of the iteration; the message says how to resume. A second Ctrl-C does not wait.
    """
    config.check_trust()
    description = TrainingFace(
        config, scenario, 1, 0
    ).description()  # finds what does not fit before anything is written
    setting = Setting.of(scenario, coordinator=config.coordinator)
    folder = TrainingFolder(out or default_folder(config, scenario), config, scenario, command)
    results: dict[int, SeedResult] = {}
    for seed in config.seeds:
        if (known := _known(folder.seed(seed), config.stop, seed)) is not None:
            results[seed] = known
    for seed in config.seeds:
        if seed not in results:
            folder.seed(seed).check_trust(trust=trust)
    if len(results) < len(config.seeds):
        say(f"{setting.scenario.name}: bounds of {config.validation.days} validation days")
        validation = ValidationDays(setting, config.validation.days, folder.path / VALIDATION)
        with ray_session(config.sampling.runners, address):
            for seed in config.seeds:
                if seed not in results:
                    part = folder.seed(seed)
                    with part.sitting(command):
                        results[seed] = _SeedRun(
                            config, scenario, seed, part, description, validation, watch, say
                        ).run()
    return [results[seed] for seed in config.seeds]


def _known(folder: SeedFolder, stop: Stop, seed: int) -> SeedResult | None:
    """The result of a seed that is finished and is not to continue."""
    summary = folder.finished
    if summary is None:
        return None
    given = {"iteration": 0, "best_days": 0, **summary}
    if share_done(stop, given["iteration"], given["days"], given["seconds"]) >= 1.0:
        return SeedResult(seed, folder.path, **given, finished_before=True)
    if folder.checkpoint is None:
        raise RunError(
            f"{folder.path} is finished after {given['days']} days and has no checkpoint to continue from; "
            "choose another folder with --out"
        )
    return None


class _SeedRun:
    """One seed: iterations, validations, checkpoints."""

    def __init__(
        self,
        config: TrainingConfig,
        scenario: Scenario,
        seed: int,
        folder: SeedFolder,
        description: PolicyFile,
        validation: ValidationDays,
        watch: Callable[[Progress], None],
        say: Callable[[str], None],
    ) -> None:
        self.config, self.scenario, self.seed, self.folder = config, scenario, seed, folder
        self.description, self.validation = description, validation
        self.watch, self.say = watch, say
        self.at = Counters()

    def run(self) -> SeedResult:
        """Train to the end."""
        algorithm = build(self.config, self.scenario, self.seed)
        try:
            self._resume(algorithm)
            with closing(TrainingLog(self.folder, self.at.iteration)) as log, _interrupts(self.say) as interrupted:
                self._iterate(algorithm, log, interrupted)
        finally:
            algorithm.stop()
        at = self.at
        summary: dict[str, Any] = {
            "iteration": at.iteration,
            "days": at.days,
            "seconds": round(at.seconds, 1),
            "score": at.last_score,
            "best_score": at.best_score,
            "best_days": at.best_days,
        }
        self.folder.finish(summary)
        return SeedResult(self.seed, self.folder.path, **summary, finished_before=False)

    def _iterate(self, algorithm: Algorithm, log: TrainingLog, interrupted: threading.Event) -> None:
        at = self.at
        if at.iteration == 0:
            self._timed(self._validate, algorithm)
            log.add(self._counted(), None, at.last_score)
        steps = self.scenario.n_steps
        saved = time.monotonic()
        while not self._stopped:
            result = self._timed(algorithm.train)
            at.iteration += 1
            at.days = round(result["env_runners"]["num_env_steps_sampled_lifetime"] / steps)
            validated = at.iteration % self.config.validation.every == 0 or self._stopped
            if validated:
                self._timed(self._validate, algorithm)
            earned = log.add(self._counted(), result, at.last_score if validated else None)
            due = time.monotonic() - saved >= 60.0 * self.config.checkpoint_minutes
            if due or self._stopped or interrupted.is_set():
                self._save(algorithm)
                saved = time.monotonic()
            self.watch(
                Progress(
                    self.seed,
                    at.iteration,
                    at.days,
                    at.seconds,
                    earned,
                    at.last_score,
                    at.best_score,
                    min(1.0, self._done),
                )
            )
            if interrupted.is_set() and not self._stopped:
                raise KeyboardInterrupt(
                    f"stopped after iteration {at.iteration} ({at.days} days) of seed {self.seed}; the same command "
                    "continues from there"
                )

    def _timed(self, what: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.monotonic()
        try:
            return what(*arguments)
        finally:
            self.at.seconds += time.monotonic() - begin

    def _counted(self) -> dict[str, float]:
        return {"iteration": self.at.iteration, "days": self.at.days, "seconds": round(self.at.seconds, 2)}

    @property
    def _done(self) -> float:
        return share_done(self.config.stop, self.at.iteration, self.at.days, self.at.seconds)

    @property
    def _stopped(self) -> bool:
        return self._done >= 1.0

    def _validate(self, algorithm: Algorithm) -> None:
        """Play the validation days; keep the policy if it is the best so far."""
        at, last = self.at, self.folder.path / "last"
        networks = actors(algorithm, self.description.modules)
        save_policy(last, self.description, networks)
        at.last_score = self.validation.score(load_policy(last))
        if not at.last_score <= at.best_score:  # also if the score is NaN because there is nothing to gain
            at.best_score, at.best_days = at.last_score, at.days
            save_policy(self.folder.path, self.description, networks)

    def _save(self, algorithm: Algorithm) -> None:
        part = self.folder.new_checkpoint()
        algorithm.save_to_path(str(part.absolute()))
        self.folder.keep(part, self.at.iteration, vars(self.at))

    def _resume(self, algorithm: Algorithm) -> None:
        checkpoint = self.folder.checkpoint
        if checkpoint is None:
            self.say(f"seed {self.seed}: starts")
            return
        algorithm.restore_from_path(str(checkpoint.absolute()))
        after_restoring(algorithm)
        try:
            self.at = Counters(**read_record(checkpoint / STATE))
        except TypeError as error:
            raise RunError(f"{checkpoint / STATE} is broken: {error}; delete {checkpoint} to begin anew") from error
        self.say(f"seed {self.seed}: continues after iteration {self.at.iteration} ({self.at.days} days)")


@contextmanager
def _interrupts(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """Turn Ctrl-C and a request to terminate into a flag, so that the iteration is finished first."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def handle(signum: int, frame: Any) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt("stopped at once; the same command continues from the last checkpoint")
        stopped.set()
        say("stopping after this iteration; Ctrl-C again stops at once")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ValidationDays:
    """The validation days of a scenario, and the score of policies on them.

    Parameters
    ----------
    setting : Setting
        Scenario and coordinator.
    days : int
        Number of days.
    cache : Path
        File of the bounds; written if it does not exist.
    advance : callable, optional
        Called after each bound.

    Raises
    ------
    RunError
        If the file has the bounds of other days: uncontrolled charging earned something else there.
    """

    def __init__(self, setting: Setting, days: int, cache: Path, advance: Callable[[], None] = lambda: None) -> None:
        self._setting = setting
        self._tracks = setting.world.draw(VALIDATION_SEED, days, "validation")
        self._simulator = setting.simulator(self._tracks)
        self._uncontrolled = self._returns(make_policy("uncontrolled"))
        if cache.is_file():
            kept = _kept(cache, len(self._tracks))
            if not np.allclose(kept["uncontrolled"], self._uncontrolled, rtol=1e-6, atol=1e-6):
                raise RunError(f"{cache}: has the bounds of other days than these; delete it to solve them again")
        else:
            bounds = []
            for track in self._tracks:
                bounds.append(solve_day(setting, track).bound)
                advance()
            kept = {"bound": bounds, "uncontrolled": self._uncontrolled.tolist()}
            write_atomically(cache, json.dumps(kept) + "\n")
        self._bound = np.array(kept["bound"])

    def score(self, policy: Policy | ObservingPolicy) -> float:
        """Share of the optimum's gain over uncontrolled charging [-]; NaN if there is nothing to gain."""
        return float(score(self._returns(policy), self._uncontrolled, self._bound))

    def _returns(self, policy: Policy | ObservingPolicy) -> np.ndarray:
        setting = self._setting
        return rollout(self._simulator, setting.objective, policy, self._tracks, world=setting.world).team


def _kept(cache: Path, n_days: int) -> dict[str, list[float]]:
    """What a file keeps: bounds, and what uncontrolled charging earned, one number a day each."""
    try:
        kept = parse_json(read_text(cache, MOST_BYTES))
        columns = {name: [number(value) for value in kept[name]] for name in ("bound", "uncontrolled")}
        if any(len(column) != n_days for column in columns.values()):
            raise ValueError(f"it is not of {n_days} days")
    except (TypeError, ValueError, KeyError) as error:
        raise RunError(f"{cache} is broken: {error}; delete it to solve the bounds anew") from error
    return columns
