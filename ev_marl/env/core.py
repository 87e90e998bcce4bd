"""What all faces share: a simulator with its objective, its observations and its actions, and the choice of days.

Comes in: tracks and checked actions. Goes out: flow, rewards, costs and up-to-date observation tables. The faces differ
only in how they hand these over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ev_marl.env.actions import ActionCoder, ActionLike
from ev_marl.env.observations import BlockLike, Observer
from ev_marl.env.setup import Setting
from ev_marl.planning.own_plan import Worth
from ev_marl.simulation.simulator import Flow, Simulator
from ev_marl.support.errors import TrackError
from ev_marl.world import Track, World


class Core:
    """One batch of episodes of a scenario.

    Parameters
    ----------
    setting : Setting
        The scenario, set up.
    observation : sequence of blocks, optional
        Instead of the scenario's own.
    action : kind of action, optional
        Instead of the scenario's own.
    """

    def __init__(
        self, setting: Setting, observation: Sequence[BlockLike] | None = None, action: ActionLike | None = None
    ) -> None:
        self.setting = setting
        worth = Worth.of(setting.objective)
        self.observer = Observer.from_scenario(setting.scenario, setting.site, observation)
        self.observer.weigh(worth)
        self.actions = ActionCoder.from_scenario(setting.scenario, setting.site, action, worth)
        self._simulator: Simulator | None = None

    @property
    def simulator(self) -> Simulator:
        """The simulator.

        Raises
        ------
        RuntimeError
            Before the first reset, since a simulator needs a day.
        """
        if self._simulator is None:
            raise RuntimeError("there is no simulator before the first reset; call reset() first")
        return self._simulator

    @property
    def started(self) -> bool:
        """Whether there was a reset."""
        return self._simulator is not None

    def load(self, tracks: Sequence[Track]) -> None:
        """Replace the days; a reset must follow."""
        if self._simulator is None:
            self._simulator = self.setting.simulator(tracks)
        else:
            self._simulator.load(tracks)
        self.observer.load(self._simulator.days)

    def reset(self, day: np.ndarray) -> None:
        """Start an episode: row b runs the loaded track `day[b]`."""
        self.simulator.reset(day)
        self.observer.fill(self.simulator)

    def state(self) -> np.ndarray:
        """Every number of the observations once, float32, shape (n_batch, n_features)."""
        out = np.empty((self.simulator.n_batch, self.observer.n_features), dtype=np.float32)
        self.observer.observe_state(out)
        return out

    def compact_state(self) -> np.ndarray:
        """What the observations say of the site and its groups, float32, shape (n_batch, n_compact_features)."""
        out = np.empty((self.simulator.n_batch, self.observer.n_compact_features), dtype=np.float32)
        self.observer.observe_compact_state(out)
        return out

    def step(self, actions: np.ndarray) -> tuple[Flow, np.ndarray, np.ndarray]:
        """Run one step.

        Parameters
        ----------
        actions : float64, shape (n_batch, n_ports)
            As `ActionCoder.read` or `ActionCoder.check` gave them.

        Returns
        -------
        flow : Flow
            What happened.
        rewards : float64, shape (n_batch, n_agents)
            Rewards [currency].
        costs : float64, shape (n_terms, n_batch, n_agents)
            Costs by term [currency]. All arrays are reused by the next step.
        """
        simulator = self._simulator
        if simulator is None:
            raise RuntimeError("there is no episode before the first reset; call reset() first")
        flow = simulator.step(self.actions.setpoints(actions, simulator))
        rewards, costs = self.setting.objective.evaluate(flow)
        self.observer.fill(simulator)
        return flow, rewards, costs


class DayChoice:
    """Which day an episode of a single environment plays.

    A seed gives the world's day of that seed; later resets without a seed draw their days from a generator that the
    seed started. With a fixed list, episodes go through it in turn, and a seed says where to begin.

    Parameters
    ----------
    world : World
        Draws the days.
    tracks : sequence of Track, optional
        Fixed days.
    """

    def __init__(self, world: World, tracks: Sequence[Track] | None = None) -> None:
        self._world = world
        self._tracks = None if tracks is None else tuple(tracks)
        if self._tracks is not None:
            if not self._tracks:
                raise TrackError("tracks is empty: give at least one, or leave it out")
            for track in self._tracks:
                track.validate(world.site)
        self._next = 0
        self._rng = np.random.default_rng()

    def next(self, seed: int | None, options: Mapping[str, Any] | None) -> Track:
        """The day of the coming episode.

        Parameters
        ----------
        seed : int, optional
            Seed of the reset.
        options : mapping, optional
            `track` is played as it is; other keys are left to others.

        Raises
        ------
        TrackError
            If the given track does not fit the site.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        given = None if options is None else options.get("track")
        if given is not None:
            if not isinstance(given, Track):
                raise TrackError(f"options['track'] must be a Track, got {type(given).__name__}")
            given.validate(self._world.site)
            return given
        if self._tracks is not None:
            if seed is not None:
                self._next = seed
            track = self._tracks[self._next % len(self._tracks)]
            self._next += 1
            return track
        return self._world.sample(int(self._rng.integers(2**63)) if seed is None else seed)
