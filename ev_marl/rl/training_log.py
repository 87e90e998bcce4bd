"""The log of a training: for every iteration a row in `progress.csv`, and the same numbers for TensorBoard.

RLlib's results, with a thousand numbers, come in; those that show the progress go out, averaged over modules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorboardX import SummaryWriter

from ev_marl.rl.runner import RETURN
from ev_marl.rl.training_folder import SeedFolder

_LEARNED = {  # column -> RLlib's name, of each module
    "policy_loss": "policy_loss",
    "value_loss": "vf_loss",
    "explained_variance": "vf_explained_var",
    "entropy": "entropy",
    "q_loss": "qf_loss",
    "gradient_norm": "gradients_default_optimizer_global_norm",
    "learning_rate": "default_optimizer_learning_rate",
}
COLUMNS = (
    "iteration",
    "days",  # simulated so far
    "seconds",  # so far, over all sittings
    "return",  # of a day as the scenario counts it, exploring, mean of the batch [currency]
    "training_reward",  # sum over a day and its agents
    *_LEARNED,
    "validation_score",  # of the policy without exploration, where it was played [-]
)


@dataclass(frozen=True)
class Progress:
    """Progress of a training run."""

    seed: int
    iteration: int
    days: int
    seconds: float  # of training, over all sittings
    team_return: float  # mean of the last batch, as the scenario counts it [currency]; exploring
    score: float  # on the validation days, the last time that they were played
    best_score: float
    done: float  # share of the way to the nearest stop, 0..1


class TrainingLog:
    """Writes the log.

    Parameters
    ----------
    folder : SeedFolder
        Where it is written.
    iteration : int
        Iteration after which the run continues; rows of later ones, from before an interruption, are removed.
    """

    def __init__(self, folder: SeedFolder, iteration: int) -> None:
        self._folder = folder
        folder.start_progress(COLUMNS, iteration)
        self._board = SummaryWriter(str(folder.path / "tensorboard"), purge_step=iteration + 1)

    def add(self, counters: Mapping[str, float], result: Mapping[str, Any] | None, score: float | None) -> float:
        """Write a row.

        Parameters
        ----------
        counters : mapping
            `iteration`, `days` and `seconds`.
        result : mapping or None
            RLlib's of the iteration; None before the first.
        score : float or None
            On the validation days, where they were played.

        Returns
        -------
        float
            Mean return of the batch [currency]; NaN before the first iteration.
        """
        values = {**counters, **_values(result or {})}
        if score is not None:
            values["validation_score"] = score
        self._folder.add_progress([_text(values.get(name, math.nan)) for name in COLUMNS])
        for name in COLUMNS[3:]:
            value = values.get(name, math.nan)
            if math.isfinite(value):
                group = "validation/score" if name == "validation_score" else f"training/{name}"
                self._board.add_scalar(group, value, int(counters["iteration"]))
        return values.get("return", math.nan)

    def close(self) -> None:
        """Close the files."""
        self._board.close()


def _values(result: Mapping[str, Any]) -> dict[str, float]:
    sampled = result.get("env_runners", {})
    modules = [values for name, values in result.get("learners", {}).items() if name != "__all_modules__"]
    found = {"return": sampled.get(RETURN, math.nan), "training_reward": sampled.get("episode_return_mean", math.nan)}
    for column, name in _LEARNED.items():
        values = [float(module[name]) for module in modules if name in module]
        if values:
            found[column] = float(np.mean(values))
    return {name: float(value) for name, value in found.items()}


def _text(value: float) -> str:
    """As short as possible, but exact; empty for NaN."""
    if not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
