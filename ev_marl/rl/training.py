"""Training from beginning to end: one run a seed, validated as it goes, stopped and continued at any time.

A configuration and a scenario come in. The best policy of each seed on the validation days goes out, as NumPy files.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from tensorboardX import SummaryWriter

from ev_marl.compare.folder import write_atomically
from ev_marl.compare.seeds import day_seeds
from ev_marl.compare.statistics import score
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve
from ev_marl.policies import make_policy, rollout
from ev_marl.rl.algorithm import after_restoring, build
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.learned import export, load_policy
from ev_marl.rl.runner import RETURN
from ev_marl.rl.training_folder import STATE, SeedFolder, TrainingFolder, default_folder
from ev_marl.scenario import Scenario
from ev_marl.simulator import Simulator

COLUMNS = (
    "iteration",
    "days",
    "seconds",
    "return",
    "training_reward",
    "policy_loss",
    "value_loss",
    "explained_variance",
    "entropy",
    "validation_score",
)
CHECKPOINT_MINUTES = 2.0  # longest time between two checkpoints, unless an iteration takes longer
_VALIDATION_SEED = 0


@dataclass(frozen=True)
class Progress:
    """How far a training run is."""

    seed: int
    iteration: int
    days: int
    seconds: float  # of training, over all sittings
    team_return: float  # mean of the last batch, as the scenario counts it [currency]; exploring
    score: float  # on the validation days, the last time that they were played
    best_score: float
    done: float  # share of the way to the nearest stop, 0..1


@dataclass(frozen=True)
class SeedResult:
    """What training with one seed came to."""

    seed: int
    folder: Path
    days: int
    seconds: float
    score: float  # of the last policy on the validation days
    best_score: float  # of the one that was kept
    resumed: bool  # whether it was finished before


class ValidationDays:
    """The validation days of a scenario with their bounds, and the score of policies on them.

    Parameters
    ----------
    scenario : Scenario
        With the coordinator that counts.
    coordinator : str, optional
        Instead of the scenario's.
    days : int
        How many.
    cache : Path
        File that keeps the bounds.
    """

    def __init__(self, scenario: Scenario, coordinator: str | None, days: int, cache: Path) -> None:
        self._setting = Setting.of(scenario, coordinator=coordinator)
        setting = self._setting
        self._tracks = [setting.world.sample(seed) for seed in day_seeds(_VALIDATION_SEED, days, "validation")]
        self._simulator = Simulator(setting.site.arrays, setting.coordinator, self._tracks)
        if cache.is_file():
            kept = json.loads(cache.read_text(encoding="utf-8"))
        else:
            bounds = [solve(setting.site, track, setting.objective).bound for track in self._tracks]
            kept = {"bound": bounds, "uncontrolled": self._returns(make_policy("uncontrolled")).tolist()}
            write_atomically(cache, json.dumps(kept))
        self._bound, self._uncontrolled = np.array(kept["bound"]), np.array(kept["uncontrolled"])

    def score(self, policy: Any) -> float:
        """Share of what perfect cooperation gains over uncontrolled charging [-]."""
        return float(score(self._returns(policy), self._uncontrolled, self._bound))

    def _returns(self, policy: Any) -> np.ndarray:
        setting = self._setting
        return rollout(self._simulator, setting.objective, policy, self._tracks, world=setting.world).team


def train(
    config: TrainingConfig,
    scenario: Scenario,
    out: Path | None = None,
    *,
    address: str | None = None,
    command: Sequence[str] = (),
    watch: Callable[[Progress], None] | None = None,
) -> list[SeedResult]:
    """Train every seed of a configuration that is not finished yet.

    A run that was interrupted goes on from its last checkpoint; a seed that is finished is only reported. For the same
    numbers every time, Python must have been started with PYTHONHASHSEED=0 and OMP_NUM_THREADS=1, as `ev-marl train`
    does, and the stop must be one in days or iterations.

    Parameters
    ----------
    config : TrainingConfig
        How to train.
    scenario : Scenario
        What to train on.
    out : Path, optional
        Folder of the result; left out, `runs/<scenario>-<name>-<hash>`.
    address : str, optional
        Of a Ray cluster; left out, Ray runs in this machine for as long as the training takes.
    command : sequence of str
        Kept in the folder.
    watch : callable
        Called after every iteration.

    Returns
    -------
    list of SeedResult

    Raises
    ------
    RunError
        If the folder holds something else.
    KeyboardInterrupt
        On Ctrl-C; the message says how to go on.
    """
    folder = TrainingFolder(out or default_folder(config, scenario), config, scenario, command)
    validation = ValidationDays(scenario, config.coordinator, config.validation.days, folder.path / "validation.json")
    results = []
    with _ray(config, address):
        for seed in config.seeds:
            part = folder.seed(seed)
            finished = part.finished
            if finished is None:
                results.append(_SeedRun(config, scenario, seed, part, validation, watch).run())
            else:
                results.append(SeedResult(seed, part.path, **finished, resumed=True))
    return results


class _SeedRun:
    """One seed: iterations, validations, checkpoints."""

    def __init__(
        self,
        config: TrainingConfig,
        scenario: Scenario,
        seed: int,
        folder: SeedFolder,
        validation: ValidationDays,
        watch: Callable[[Progress], None] | None,
    ) -> None:
        self.config, self.scenario, self.seed, self.folder = config, scenario, seed, folder
        self.validation = validation
        self.watch = watch
        self.iteration = 0
        self.days = 0
        self.seconds = 0.0
        self.last_score = self.best_score = -math.inf

    def run(self) -> SeedResult:
        """Train to the end."""
        algorithm = build(self.config, self.scenario, self.seed)
        try:
            self._resume(algorithm)
            self.folder.start_progress(COLUMNS, self.iteration)
            with SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=self.iteration + 1) as board:
                self._iterate(algorithm, board)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped in iteration {self.iteration + 1} of seed {self.seed}; the same command goes on from the "
                f"last checkpoint in {self.folder.path}"
            ) from None
        finally:
            algorithm.stop()
        summary = {
            "days": self.days,
            "seconds": round(self.seconds, 1),
            "score": self.last_score,
            "best_score": self.best_score,
        }
        self.folder.finish(summary)
        return SeedResult(self.seed, self.folder.path, **summary, resumed=False)  # type: ignore[arg-type]

    def _iterate(self, algorithm: Algorithm, board: SummaryWriter) -> None:
        if self.iteration == 0:
            self._validate(algorithm)
            board.add_scalar("validation/score", self.last_score, 0)
        saved = time.monotonic()
        while not self._stopped:
            begin = time.monotonic()
            result = algorithm.train()
            self.seconds += time.monotonic() - begin
            self.iteration += 1
            self.days += self.config.sampling.envs * max(1, self.config.sampling.runners)
            validated = self.iteration % self.config.validation.every == 0 or self._stopped
            if validated:
                self._validate(algorithm)
            self._record(result, board, validated)
            if validated and (self._stopped or time.monotonic() - saved > 60.0 * CHECKPOINT_MINUTES):
                self._save(algorithm)
                saved = time.monotonic()

    @property
    def _done(self) -> float:
        stop = self.config.stop
        parts = [
            reached / limit
            for reached, limit in (
                (self.days, stop.days),
                (self.iteration, stop.iterations),
                (self.seconds, None if stop.minutes is None else 60.0 * stop.minutes),
            )
            if limit is not None
        ]
        return max(parts)

    @property
    def _stopped(self) -> bool:
        return self._done >= 1.0

    def _validate(self, algorithm: Algorithm) -> None:
        """Play the validation days; keep the policy if it is the best so far."""
        last = self.folder.path / "last"
        export(algorithm, self.config, self.scenario, last)
        self.last_score = self.validation.score(load_policy(last))
        if self.last_score > self.best_score:
            self.best_score = self.last_score
            export(algorithm, self.config, self.scenario, self.folder.path)

    def _record(self, result: dict[str, Any], board: SummaryWriter, validated: bool) -> None:
        sampled = result["env_runners"]
        losses = [
            values
            for name, values in result["learners"].items()
            if isinstance(values, dict) and "policy_loss" in values
        ]

        def loss(name: str) -> float:
            return float(np.mean([values[name] for values in losses])) if losses else math.nan

        row: dict[str, float] = {
            "iteration": self.iteration,
            "days": self.days,
            "seconds": round(self.seconds, 2),
            "return": float(sampled[RETURN]),
            "training_reward": float(sampled["episode_return_mean"]),
            "policy_loss": loss("policy_loss"),
            "value_loss": loss("vf_loss"),
            "explained_variance": loss("vf_explained_var"),
            "entropy": loss("entropy"),
            "validation_score": self.last_score if validated else math.nan,
        }
        self.folder.add_progress([row[name] for name in COLUMNS])
        for name in COLUMNS[3:-1]:
            board.add_scalar(f"training/{name}", row[name], self.iteration)
        if validated:
            board.add_scalar("validation/score", self.last_score, self.iteration)
        if self.watch is not None:
            self.watch(
                Progress(
                    self.seed,
                    self.iteration,
                    self.days,
                    self.seconds,
                    row["return"],
                    self.last_score,
                    self.best_score,
                    min(1.0, self._done),
                )
            )

    def _save(self, algorithm: Algorithm) -> None:
        part = self.folder.new_checkpoint()
        algorithm.save_to_path(str(part.absolute()))
        state = {
            "days": self.days,
            "seconds": self.seconds,
            "last_score": self.last_score,
            "best_score": self.best_score,
            "iteration": self.iteration,
        }
        self.folder.keep(part, self.iteration, state)

    def _resume(self, algorithm: Algorithm) -> None:
        checkpoint = self.folder.checkpoint
        if checkpoint is None:
            return
        algorithm.restore_from_path(str(checkpoint.absolute()))
        after_restoring(algorithm)
        for name, value in json.loads((checkpoint / STATE).read_text(encoding="utf-8")).items():
            setattr(self, name, value)


@contextmanager
def _ray(config: TrainingConfig, address: str | None) -> Iterator[None]:
    """Ray for as long as a training takes, unless it runs already."""
    torch.set_num_threads(1)
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        ray.init("local", num_cpus=1 + config.sampling.runners, **quiet)  # never a cluster that happens to run
    else:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()
