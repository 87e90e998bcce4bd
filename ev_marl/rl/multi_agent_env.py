"""The PettingZoo environment for RLlib's own runners: for your own RLlib configuration and for small runs.

`env_config` with plain values comes in; an RLlib `MultiAgentEnv` with an agent for each station goes out. Unlike
RLlib's `ParallelPettingZooEnv`, it keeps the order of the agents, ends the day by truncation, never plays test days,
and plays different days in every runner. `ev-marl train` is far faster and does not use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import register_env

from ev_marl.env.parallel import ChargingEnv, Infos
from ev_marl.rl.face import STATION
from ev_marl.scenario import Scenario
from ev_marl.site import Site
from ev_marl.support.errors import OptionError, TrackError
from ev_marl.support.registry import construct
from ev_marl.world import Track, World
from ev_marl.world.seeds import SPLITS, Split, episode_seed

Sharing = Literal["shared", "by_type"]


class RllibEnv(MultiAgentEnv):  # type: ignore[misc]  # Ray's types are skipped
    """Every charging station of a site is an RLlib agent, for the whole episode.

    Parameters
    ----------
    config : mapping
        RLlib's `env_config`: the keyword arguments of `ChargingEnv` (`scenario` must be there, `coordinator`,
        `observation`, `action`, `max_cycles`, `tracks`), and

        - `days`: `{"split": "validation", "seed": 0, "n": 30}` plays the 30 days of `day_seeds(0, 30, "validation")` in
          turn. Without `n`, every episode is a new day of the split; the default split is the training days.
        - `reward`: `own` (default), the station's own reward, or `team`, the mean over the stations, for each of them.
        - `terminate`: whether the end of the day is a termination, after which nothing can be earned. Default: no, the
          day is truncated.
        - `pad`: whether all stations get the largest action space, so that one policy fits all (default), or each its
          own. Numbers for ports that a station does not have are ignored.

    Raises
    ------
    OptionError
        If a key is unknown or missing.
    TrackError
        If there are no days, or some do not fit the site.

    Notes
    -----
    RLlib seeds an environment once, from `debugging(seed=...)`, the number of the runner and the place among the
    runner's environments; this determines the days of all later episodes, which differ between environments. Fixed days
    (`tracks`, or `days` with `n`) are divided among the remote runners; with one environment in each, and a multiple of
    their number as `evaluation_duration`, every evaluation plays each day equally often.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        given = dict(config)
        tracks, days = given.pop("tracks", None), given.pop("days", {})
        self._reward = given.pop("reward", "own")
        self._terminate = bool(given.pop("terminate", False))
        padded = given.pop("pad", True)
        if self._reward not in ("own", "team"):
            raise OptionError(f"env_config: reward is {self._reward!r}; allowed are 'own' and 'team'")
        self.env = construct("env_config", ChargingEnv, given)
        self.render_mode = self.env.render_mode
        self.metadata = dict(self.env.metadata)
        self.possible_agents = list(self.env.possible_agents)
        self.agents = list(self.possible_agents)
        self.observation_spaces = {agent: self.env.observation_space(agent) for agent in self.agents}
        own = {agent: self.env.action_space(agent) for agent in self.agents}
        self.action_spaces = _widest(own) if padded else own
        self._taken = {agent: _width(space) for agent, space in own.items()} if padded else None
        worker, n_workers = (config.worker_index, config.num_workers) if isinstance(config, EnvContext) else (0, 0)
        if tracks is None:
            self._days = construct("env_config: days", _Days, {"world": self.env.world, "worker": worker, **days})
        elif days:
            raise OptionError("env_config: give `tracks` or `days`, not both")
        else:
            self._days = _Days(self.env.world, worker)
            self._days.deal(tracks)
        self._days.keep_share(n_workers)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], Infos]:
        """Start a day.

        Parameters
        ----------
        seed : int, optional
            Seeds the generator of this and later days; with fixed days, the first one to play.
        options : mapping, optional
            `{"track": track}` plays a given day.

        Returns
        -------
        observations, infos : dict
            By agent.
        """
        if options is None or (isinstance(options, Mapping) and options.get("track") is None):
            options = {**(options or {}), "track": self._days.next(seed)}
        result: tuple[dict[str, np.ndarray], Infos] = self.env.reset(options=options)
        return result

    def step(
        self, action_dict: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Run one step.

        Parameters
        ----------
        action_dict : mapping of str to array_like
            One action for every agent.

        Returns
        -------
        observations, rewards, terminateds, truncateds, infos : dict
            By agent. The end of the day is only reported under `__all__`: RLlib 2.60 takes it for a termination if all
            agents are reported as truncated.
        """
        actions = action_dict if self._taken is None else _cut(action_dict, self._taken)
        observations, rewards, _, truncations, infos = self.env.step(actions)
        if self._reward == "team":
            rewards = dict.fromkeys(rewards, sum(rewards.values()) / len(rewards))
        over = any(truncations.values())
        terminateds = {"__all__": over and self._terminate}
        truncateds = {"__all__": over and not self._terminate}
        return observations, rewards, terminateds, truncateds, infos

    def render(self) -> str | np.ndarray | None:
        """The picture or table of `ChargingEnv`, by `render_mode`."""
        shown: str | np.ndarray | None = self.env.render()
        return shown

    def close(self) -> None:
        """Nothing is held open."""
        self.env.close()


def register(name: str = "ev_marl") -> str:
    """Register the environment in RLlib, in every process of its cluster.

    Parameters
    ----------
    name : str
        The name.

    Returns
    -------
    str
        The name, for `config.environment(...)`.

    Examples
    --------
    >>> from ray.rllib.algorithms.ppo import PPOConfig
    >>> from ev_marl.rl.multi_agent_env import register, sharing
    >>> config = (
    ...     PPOConfig()
    ...     .environment(register(), env_config={"scenario": "workplace"})
    ...     .multi_agent(**sharing("by_type", "workplace"))
    ... )
    """
    register_env(name, RllibEnv)
    return name


def shared_policy(agent: str, *_: Any, **__: Any) -> str:
    """One policy for all stations: RLlib's `policy_mapping_fn`."""
    return STATION


def policy_by_type(agent: str, *_: Any, **__: Any) -> str:
    """One policy for the stations of each type, named as it (`ac` for `ac_0`): RLlib's `policy_mapping_fn`."""
    return agent.rpartition("_")[0]


def sharing(how: Sharing, scenario: str | Path | Scenario) -> dict[str, set[str] | Callable[..., str]]:
    """Keyword arguments of RLlib's `config.multi_agent`.

    Parameters
    ----------
    how : {"shared", "by_type"}
        One policy for all stations, or one for each type.
    scenario : str, Path or Scenario
        Its stations.
    """
    mappings: dict[str, Callable[..., str]] = {"shared": shared_policy, "by_type": policy_by_type}
    if how not in mappings:
        raise OptionError(f"policies are shared {' or '.join(mappings)}, not {how!r}")
    agents = _site(scenario).agents
    return {"policies": {mappings[how](agent) for agent in agents}, "policy_mapping_fn": mappings[how]}


def _site(scenario: str | Path | Scenario) -> Site:
    site: Site = ChargingEnv(scenario).site
    return site


class _Days:
    """The days of the episodes.

    Parameters
    ----------
    world : World
        Draws the days.
    worker : int
        Number of RLlib's runner, 0 for the local one.
    split, seed
        Of the days, see `day_seeds`.
    n : int, optional
        Number of fixed days; None: a new day for every episode.
    """

    def __init__(
        self, world: World, worker: int = 0, split: Split = "train", seed: int = 0, n: int | None = None
    ) -> None:
        if split not in SPLITS:
            raise OptionError(f"env_config: days: split is {split!r}; allowed are {', '.join(SPLITS)}")
        self._world, self._worker, self._split, self._seed = world, worker, split, seed
        self._fixed: tuple[Track, ...] | None = None
        self._count = 0
        self._start = int(np.random.SeedSequence().generate_state(1)[0])
        if n is not None:
            self.deal(world.draw(seed, n, split))

    def deal(self, tracks: Sequence[Track]) -> None:
        """Play these in turn."""
        if not tracks:
            raise TrackError("env_config: there is no day to play: give at least one track, or n of 1 or more")
        for track in tracks:
            self._world.check(track)
        self._fixed = tuple(tracks)

    def keep_share(self, n_workers: int) -> None:
        """Of fixed days, keep this runner's, unless there are fewer days than runners."""
        if self._fixed is not None and 0 < self._worker <= n_workers <= len(self._fixed):
            self._fixed = self._fixed[self._worker - 1 :: n_workers]

    def next(self, seed: int | None) -> Track:
        """The day of the next episode; a seed restarts the sequence."""
        if self._fixed is not None:
            if seed is not None:
                self._count = seed
            track = self._fixed[self._count % len(self._fixed)]
        else:
            if seed is not None:
                self._count, self._start = 0, seed
            track = self._world.sample(episode_seed(self._seed, self._worker, self._start, self._count, self._split))
        self._count += 1
        return track


def _width(space: spaces.Space[Any]) -> int:
    """Numbers in an action; 0 for a single level."""
    return space.shape[0] if space.shape else 0


def _widest(own: Mapping[str, spaces.Space[Any]]) -> dict[str, spaces.Space[Any]]:
    """A space for each agent, equal to the largest one."""
    widest = max(own.values(), key=_width)
    if isinstance(widest, spaces.Box):
        return {agent: spaces.Box(-1.0, 1.0, widest.shape, np.float32) for agent in own}
    if isinstance(widest, spaces.MultiDiscrete):
        return {agent: spaces.MultiDiscrete(widest.nvec) for agent in own}
    assert isinstance(widest, spaces.Discrete)
    return {agent: spaces.Discrete(int(widest.n)) for agent in own}


def _cut(actions: Mapping[str, Any], widths: Mapping[str, int]) -> dict[str, Any]:
    """The part of padded actions that the agents' own spaces have; a single level is the first number."""
    return {
        agent: (np.ravel(action)[: widths[agent]] if widths[agent] else np.ravel(action)[0])
        for agent, action in actions.items()
    }
