"""The PettingZoo AEC environment: the same game, agents answering one after the other.

The step is run when the last agent has answered. `env.unwrapped` is the `ChargingEnv` below.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pettingzoo import AECEnv
from pettingzoo.utils.conversions import parallel_to_aec

from ev_marl.env.actions import ActionLike
from ev_marl.env.observations import BlockLike
from ev_marl.env.parallel import ChargingEnv
from ev_marl.scenario import Scenario
from ev_marl.simulation.coordinators import Coordinator
from ev_marl.world import Track


def env(
    scenario: str | Path | Scenario,
    *,
    render_mode: str | None = None,
    max_cycles: int | None = None,
    coordinator: str | Coordinator | None = None,
    observation: Sequence[BlockLike] | None = None,
    action: ActionLike | None = None,
    tracks: Sequence[Track] | None = None,
    trust: bool = False,
) -> AECEnv:
    """The AEC environment of a scenario, with PettingZoo's order-enforcing wrapper.

    Parameters
    ----------
    scenario : str, Path or Scenario
        Name of a shipped scenario, path of a YAML file, or a loaded scenario.
    render_mode, max_cycles, coordinator, observation, action, tracks, trust
        As for `ChargingEnv`.
    """
    return parallel_to_aec(
        ChargingEnv(
            scenario,
            render_mode=render_mode,
            max_cycles=max_cycles,
            coordinator=coordinator,
            observation=observation,
            action=action,
            tracks=tracks,
            trust=trust,
        )
    )
