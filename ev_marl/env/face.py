"""What the environments of one episode at a time share, PettingZoo's and Gymnasium's: construction, days, rendering.

A scenario and the user's wishes come in; an `Interface` to a simulator that plays one day after the other is behind it.
Which day comes next, `DayChoice` says.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ev_marl.env.actions import ActionLike
from ev_marl.env.arguments import check_count, check_seed, check_tracks, chosen_track
from ev_marl.env.interface import Interface
from ev_marl.env.observations import BlockLike
from ev_marl.env.render import History, check_render_mode, render
from ev_marl.env.setup import Built, Setting
from ev_marl.objective import Costs
from ev_marl.planning.outlook import ComposedOutlook
from ev_marl.scenario import Scenario
from ev_marl.simulation.coordinators import Coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.world import Track, World


class Face(Built):
    """An environment that plays one episode at a time; parameters as for `ChargingEnv`.

    A copy, by `copy.deepcopy` or by pickling, goes on in the middle of the episode, independently of the original.
    """

    def __init__(
        self,
        scenario: str | Path | Scenario,
        *,
        render_mode: str | None = None,
        max_cycles: int | None = None,
        coordinator: str | Coordinator | None = None,
        observation: Sequence[BlockLike] | None = None,
        action: ActionLike | None = None,
        tracks: Sequence[Track] | None = None,
        trust: bool = False,
    ) -> None:
        check_render_mode(render_mode)
        self.setting = setting = Setting.of(scenario, coordinator=coordinator, trust=trust)
        self.render_mode = render_mode
        self.max_cycles = setting.scenario.n_steps if max_cycles is None else check_count("max_cycles", max_cycles)
        self.track: Track | None = None
        self._interface = Interface(setting.scenario, setting.site, setting.objective, observation, action)
        self._choice = DayChoice(setting.world, tracks)
        self._history: History | None = None
        self._costs = Costs(len(setting.objective.terms), 1, setting.site.arrays)
        self._define_spaces()

    @abstractmethod
    def _define_spaces(self) -> None:
        """Set what the kind of environment asks for."""

    @property
    def simulator(self) -> Simulator:
        """Runs the day; there is none before the first reset."""
        return self._interface.simulator

    @property
    def outlook(self) -> ComposedOutlook:
        """The outlook on the rest of the episode."""
        return self._interface.outlook

    def render(self) -> Any:
        """The site as it is now.

        Returns
        -------
        str, uint8 array of shape (height, width, 3), or None
            By `render_mode`: a table, a picture, or nothing, since "human" prints the table.
        """
        return render(self._history, self.render_mode)

    def close(self) -> None:
        """Nothing is held open."""

    def _begin(self, seed: int | None, options: Mapping[str, Any] | None) -> None:
        """Start an episode."""
        self.track = self._choice.next(seed, options)
        simulator = self.setting.simulator([self.track], self._interface.running)
        self._interface.attach(simulator, self.world)
        simulator.reset()
        self._interface.refresh()
        if self.render_mode is not None:
            self._history = History(self.site, self.track, simulator)

    def _run(self, setpoint_kw: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """Run one step: rewards (1, A), costs (n_terms, 1, A) until the next step, and whether the episode is over."""
        setting, interface = self.setting, self._interface
        flow = interface.simulator.step(setpoint_kw)
        rewards, costs = setting.objective.evaluate(flow, self._costs)
        interface.refresh()
        if self._history is not None:
            self._history.add(flow, rewards)
        return rewards, costs, flow.last or flow.step + 1 >= self.max_cycles


class DayChoice:
    """The days of an environment's episodes.

    A seed gives the world's day of that seed; later resets without a seed draw their days from a generator that the
    seed started. With a fixed list, episodes go through it in turn, and a seed says where to begin.

    Parameters
    ----------
    world : World
        Draws the days.
    tracks : sequence of Track, optional
        Fixed days.
    """

    def __init__(self, world: World, tracks: Any = None) -> None:
        self._world = world
        self._tracks = None if tracks is None else check_tracks(tracks, world)
        self._next = 0
        self._rng = np.random.default_rng()

    def next(self, seed: Any, options: Any) -> Track:
        """The day of the coming episode.

        Parameters
        ----------
        seed : int, optional
            Seed of the reset, >= 0.
        options : mapping, optional
            `track` is played as it is; other keys are left to others.

        Raises
        ------
        ArgumentError
            If seed or options are of a wrong kind, or `track` is mistyped.
        TrackError
            If the given track does not fit the scenario.
        """
        seed = check_seed(seed)
        given = chosen_track(options, self._world)
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        if given is not None:
            return given
        if self._tracks is not None:
            if seed is not None:
                self._next = seed
            track = self._tracks[self._next % len(self._tracks)]
            self._next += 1
            return track
        return self._world.episode(int(self._rng.integers(2**63)) if seed is None else seed)
