"""The score of a policy from any training library, on days that it was not trained on.

A function from observations to actions comes in; returns go out, and the score between uncontrolled charging (0) and
the cooperative optimum (1). No training library is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ev_marl.compare.statistics import score
from ev_marl.env.batched import BatchedEnv
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies.make import make_policy
from ev_marl.policies.rollout import rollout
from ev_marl.rl.stations import StationActions
from ev_marl.scenario import Scenario
from ev_marl.world import Track
from ev_marl.world.seeds import Split

Act = Callable[[np.ndarray], np.ndarray]
"""Observations of every station, float32 (n_days, n_agents, width), to actions (n_days, n_agents, K), see
`StationActions`."""


def split_tracks(scenario: str | Path | Scenario, n_days: int, split: Split, *, seed: int = 0) -> list[Track]:
    """Days of one split; the splits have no day in common.

    Parameters
    ----------
    scenario : str, Path or Scenario
        Name of a shipped scenario, path of a YAML file, or a loaded scenario.
    n_days : int
        Number of days.
    split : {"train", "validation", "test"}
        Which split.
    seed : int
        Which days of the split, see `ev_marl.world.seeds.day_seeds`.

    Returns
    -------
    list of Track, length n_days
        Of recorded days at most as many as there are.
    """
    world = Setting.of(scenario).world
    return world.draw(seed, n_days, split)


class Validation:
    """Plays policies on the same days and computes their scores.

    Parameters
    ----------
    scenario : str, Path or Scenario
        Name of a shipped scenario, path of a YAML file, or a loaded scenario.
    n_days : int
        Number of days.
    split : {"validation", "test"}
        Which split.
    seed : int
        Which days of the split.
    **options
        Of the `BatchedEnv` that the policy was trained on: `observation`, `action`, `coordinator`.

    Attributes
    ----------
    env : BatchedEnv
        One row for each day.
    tracks : list of Track
        The days.
    """

    def __init__(
        self,
        scenario: str | Path | Scenario,
        n_days: int = 20,
        *,
        split: Split = "validation",
        seed: int = 0,
        **options: Any,
    ) -> None:
        self.tracks = split_tracks(scenario, n_days, split, seed=seed)
        self.env = BatchedEnv(scenario, n_days, tracks=self.tracks, **options)
        self._actions = StationActions(self.env)

    def returns(self, act: Act) -> np.ndarray:
        """Team return of each day, float64, shape (n_days,) [currency]."""
        observations = self.env.reset(day=np.arange(len(self.tracks)))
        while True:
            joined = self._actions.join(act(observations))
            observations, _, _, _, info = self.env.step(joined)
            if info.episode_return is not None:
                team: np.ndarray = info.episode_return.sum(axis=1)
                return team

    def score(self, act: Act) -> float:
        """Share of the optimum's gain over uncontrolled charging [-]; 1 is the optimum."""
        return float(score(self.returns(act), self.uncontrolled, self.optimum))

    @cached_property
    def uncontrolled(self) -> np.ndarray:
        """Team return of each day if every vehicle charges at full power at once, float64, shape (n_days,)."""
        self.env.reset(day=np.arange(len(self.tracks)))
        return rollout(self.env.simulator, self.env.objective, make_policy("uncontrolled"), self.tracks).team

    @cached_property
    def optimum(self) -> np.ndarray:
        """Bound on the return of each day, float64, shape (n_days,); solved once."""
        return np.array([solve_day(self.env.setting, track).bound for track in self.tracks])
