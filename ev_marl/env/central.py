"""One agent for the whole site (Gymnasium): the cooperative problem without the decentralisation.

Its observation is the parallel environment's state, its action all ports at once, its reward the team's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle

from ev_marl.env.actions import ActionLike
from ev_marl.env.core import Core, DayChoice
from ev_marl.env.observations import BlockLike
from ev_marl.env.render import RENDER_MODES, Recorder, check_render_mode, render
from ev_marl.env.setup import Setting
from ev_marl.scenario import Scenario
from ev_marl.simulation.coordinators import Coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.world import Track


class CentralEnv(gymnasium.Env[np.ndarray, np.ndarray], EzPickle):
    """One agent controls every port of the site.

    **Action.** As in `ChargingEnv`, for all ports in the site's order: a Box in [−1, 1], or `MultiDiscrete` levels with
    `info["action_mask"]`. **Observation.** Every number once, float32; `observation_labels()` names them. **Reward.**
    Minus the site's cost of the step in the scenario's currency; `info` holds it by term.

    Parameters
    ----------
    scenario : str, Path or Scenario
        Name of a shipped scenario, path of a YAML file, or a loaded scenario.
    render_mode, max_cycles, coordinator, observation, action, tracks, trust
        As for `ChargingEnv`.

    Attributes
    ----------
    scenario, site, world, objective, coordinator, track, simulator, max_cycles
        As in `ChargingEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # noqa: RUF012  # as in the base

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
        EzPickle.__init__(
            self,
            scenario,
            render_mode=render_mode,
            max_cycles=max_cycles,
            coordinator=coordinator,
            observation=observation,
            action=action,
            tracks=tracks,
            trust=trust,
        )
        check_render_mode(render_mode)
        if max_cycles is not None and max_cycles < 1:
            raise ValueError(f"max_cycles is {max_cycles}; it must be 1 or more")
        setting = Setting.of(scenario, coordinator=coordinator, trust=trust)
        self.scenario = setting.scenario
        self.site = setting.site
        self.world = setting.world
        self.objective = setting.objective
        self.coordinator = setting.coordinator
        self.render_mode = render_mode
        self.max_cycles = setting.scenario.n_steps if max_cycles is None else max_cycles
        self.track: Track | None = None
        self._core = Core(setting, observation, action)
        self._choice = DayChoice(setting.world, tracks)
        self.observation_space: spaces.Box = self._core.observer.state_space
        self.action_space = self._core.actions.joint_space
        self._recorder: Recorder | None = None

    @property
    def simulator(self) -> Simulator:
        """Runs the day; there is none before the first reset."""
        return self._core.simulator

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; `seed` and `options` as for `ChargingEnv.reset`.

        Raises
        ------
        TrackError
            If the given track does not fit the site.
        """
        super().reset(seed=seed)
        self.track = self._choice.next(seed, options)
        self._core.load([self.track])
        self._core.reset(np.zeros(1, dtype=np.int64))
        if self.render_mode is not None:
            self._recorder = Recorder(self.site, self.track, self._core.simulator)
        return self._observation(), self._info(np.zeros(len(self.objective.names)))

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Run one step.

        Parameters
        ----------
        action : array_like, shape (n_ports,)
            Share or level of every port.

        Raises
        ------
        ActionError
            If the action is not finite, of the wrong shape, or no level; the message names the station.
        """
        core = self._core
        flow, rewards, costs = core.step(core.actions.check(np.atleast_2d(action), 1))
        if self._recorder is not None:
            self._recorder.add(flow, rewards)
        truncated = flow.last or flow.step + 1 >= self.max_cycles
        return self._observation(), float(rewards.sum()), False, truncated, self._info(costs[:, 0].sum(axis=1))

    def observation_labels(self) -> list[str]:
        """What each number of the observation is, such as "ports.ac_0/0.state_of_charge"."""
        return [number.label for number in self._core.observer.state_table()]

    def render(self) -> Any:
        """The site as it is now, as `ChargingEnv.render`."""
        return render(self._recorder, self.render_mode)

    def _observation(self) -> np.ndarray:
        state: np.ndarray = self._core.state()[0]
        return state

    def _info(self, costs: np.ndarray) -> dict[str, Any]:
        info: dict[str, Any] = dict(zip(self.objective.names, costs.tolist(), strict=True))
        if self._core.actions.levels is not None:
            info["action_mask"] = tuple(self._core.actions.level_mask(self._core.simulator)[0])
        return info


central_env = CentralEnv
"""The constructor, named like `parallel_env`."""
