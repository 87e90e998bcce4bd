"""The days on which training chooses the best policy: always the same ones; their bounds are solved once and stored.

A policy comes in, its score between uncontrolled charging (0) and the cooperative optimum (1) goes out. All days are
played in one batch, by the same rollout that comparisons use.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ev_marl.compare.statistics import score
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies import Policy, make_policy, rollout
from ev_marl.policies.base import ObservingPolicy
from ev_marl.support.errors import RunError
from ev_marl.support.files import parse_json, read_text, write_atomically
from ev_marl.support.values import number
from ev_marl.world.seeds import day_seeds

MOST_BYTES = 100_000_000
SEED = 0


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
        self._tracks = [setting.world.sample(seed) for seed in day_seeds(SEED, days, "validation")]
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
