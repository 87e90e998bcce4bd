"""The key `observation`: what each agent sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Tag

from ev_marl.scenario.base import Model, choice
from ev_marl.scenario.problems import KeyPath
from ev_marl.scenario.units import Duration


class PricesBlock(Model):
    """The price now and ahead, one number per hour."""

    prices: Duration
    """How far ahead [h]."""


class BlockOptions(Model):
    """An observation block with options, or one of your own."""

    block: str
    """Name of the block, or module:Class."""
    options: dict[str, Any] = {}
    """Keyword arguments of the block."""


Block = Annotated[
    Annotated[str, Tag("<plain>")] | Annotated[PricesBlock, Tag("<prices>")] | Annotated[BlockOptions, Tag("<block>")],
    choice("a block's name, {prices: 12 h}, or {block: NAME, options: {...}}", "prices", "block"),
]


def blocks_of(blocks: Sequence[Block]) -> Iterator[tuple[KeyPath, Block]]:
    """Observation blocks, and the key of each."""
    return ((("observation", i), block) for i, block in enumerate(blocks))
