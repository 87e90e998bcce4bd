"""One agent for the whole site (Gymnasium): the cooperative problem, centralised.

Its observation is the parallel environment's state, its action all ports at once, its reward the team's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from ev_marl.env.face import Face
from ev_marl.env.render import RENDER_MODES


class CentralEnv(Face, gymnasium.Env[np.ndarray, np.ndarray]):
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

    def _define_spaces(self) -> None:
        self.observation_space = self._interface.observer.state_space
        self.action_space = self._interface.actions.joint_space
        self._over = False

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; `seed` and `options` as for `ChargingEnv.reset`.

        Raises
        ------
        ArgumentError
            If seed or options are of a wrong kind.
        TrackError
            If the given track does not fit the site.
        """
        self._begin(seed, options)
        super().reset(seed=None if seed is None else int(seed))
        self._over = False
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
        RuntimeError
            If the episode is over.
        """
        if self._over:
            raise RuntimeError("the episode is over; call reset() first")
        rewards, costs, self._over = self._run(self._interface.setpoints(np.atleast_2d(action)))
        return self._observation(), float(rewards.sum()), False, self._over, self._info(costs[:, 0].sum(axis=1))

    def observation_labels(self) -> list[str]:
        """Names of the numbers of the observation, such as "ports.ac_0/0.state_of_charge"."""
        return [number.label for number in self._interface.observer.state_table()]

    def _observation(self) -> np.ndarray:
        state: np.ndarray = self._interface.state()[0]
        return state

    def _info(self, costs: np.ndarray) -> dict[str, Any]:
        info: dict[str, Any] = dict(zip(self.objective.names, costs.tolist(), strict=True))
        if self._interface.actions.levels is not None:
            info["action_mask"] = tuple(self._interface.actions.level_mask(self._interface.simulator.state)[0])
        return info


central_env = CentralEnv
"""The constructor, named like `parallel_env`."""
