"""The files of a learned policy: `policy.json`, its description, and `weights.npz`, its networks.

The description has observations, actions and stations of the policy. It is plain JSON, checked on reading.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

DESCRIPTION, WEIGHTS = "policy.json", "weights.npz"
SITE = "site"  # the one network, and the one agent, of central training


class PolicyFile(BaseModel):
    """The content of `policy.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    ev_marl: str
    """Version that wrote it."""
    name: str
    """Of the training configuration."""
    scenario: str
    """Name of the scenario that it was trained on."""
    coordinator: str
    """Under which it was trained."""
    agents: Literal["shared", "by_type", "central"]
    observation: list[Any]
    """Blocks that it observes."""
    action: Any
    """Kind of its actions."""
    modules: Annotated[dict[str, list[str]], Field(min_length=1)]
    """Stations that each network decides for; `site` for all together."""
    labels: Annotated[list[str], Field(min_length=1)]
    """Numbers of its observation, in order."""
    n_actions: PositiveInt
    """Numbers in the answer of a network."""
    n_levels: PositiveInt | None
    """Levels of each number, where actions are levels."""
    activation: Literal["tanh", "relu", "silu"]
