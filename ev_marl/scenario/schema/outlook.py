"""The key `outlook`: what to expect of the rest of an episode, one outlook for all kinds of values, or by kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from ev_marl.scenario.base import Model, choice
from ev_marl.scenario.problems import KeyPath


class OutlookOptions(Model):
    """An outlook with options, or one of your own."""

    name: str
    """`known`, `present`, `expected`, `forecast`, for prices also `published`, or module:Class."""
    options: dict[str, Any] = {}
    """Keyword arguments of the outlook."""


OutlookSource = Annotated[
    Annotated[str, Tag("<plain>")] | Annotated[OutlookOptions, Tag("<name>")],
    choice("a name such as `forecast`, or {name: NAME, options: {...}}", "name"),
]


class OutlookByKind(Model):
    """One outlook for each kind; a kind that is left out keeps the usual one."""

    prices: OutlookSource | None = None
    """Of prices of later steps; left out: `published`, true as far as the market has published them, by the key
    `published` of `prices`, and expected beyond."""
    limits: OutlookSource | None = None
    """Of what base load and PV leave below the limits; left out: `expected`."""
    base_load: OutlookSource | None = None
    """Of inflexible load and PV; left out: `expected`."""
    vehicles: OutlookSource | None = None
    """Of vehicles still to come; left out: `expected`."""
    grid: OutlookSource | None = None
    """Of other loads and generators on the network; left out: `expected`."""
    tracks: str | None = None
    """Folder of track files from which is expected, instead of the scenario's models, relative to the scenario file. A
    day that is played is never one of those that its own expectations come from."""


def outlooks_of(outlook: str | OutlookOptions | OutlookByKind) -> Iterator[tuple[KeyPath, str | OutlookOptions]]:
    """The outlooks that are chosen, and the key of each."""
    if not isinstance(outlook, OutlookByKind):
        yield ("outlook",), outlook
        return
    for kind in OutlookByKind.model_fields:
        source = getattr(outlook, kind)
        if kind != "tracks" and source is not None:
            yield ("outlook", kind), source


def _tag(value: object) -> str | None:
    if isinstance(value, str):
        return "<plain>"
    if isinstance(value, OutlookOptions) or (isinstance(value, dict) and "name" in value):
        return "<name>"
    return "<kinds>" if isinstance(value, dict | OutlookByKind) else None


OutlookChoice = Annotated[
    Annotated[str, Tag("<plain>")]
    | Annotated[OutlookOptions, Tag("<name>")]
    | Annotated[OutlookByKind, Tag("<kinds>")],
    Discriminator(
        _tag,
        custom_error_type="choice",
        custom_error_message="expected a name such as `forecast`, {name: NAME, options: {...}}, or one of these for "
        "each of some kinds, such as {prices: forecast, vehicles: present}",
    ),
]
