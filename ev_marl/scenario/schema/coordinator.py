"""The key `coordinator`: how power is granted when limits bind."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Tag

from ev_marl.scenario.base import Model, choice


class CoordinatorOptions(Model):
    """A coordinator with options, or one of your own."""

    name: str
    """`none`, `proportional`, `priority`, `round-robin`, `nearest`, or module:Class."""
    options: dict[str, Any] = {}
    """Keyword arguments of the coordinator."""


CoordinatorChoice = Annotated[
    Annotated[str, Tag("<plain>")] | Annotated[CoordinatorOptions, Tag("<name>")],
    choice("a name such as `nearest`, or {name: NAME, options: {...}}", "name"),
]
