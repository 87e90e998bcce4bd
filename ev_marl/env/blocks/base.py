"""The interface of observation blocks: named numbers with bounds, about the site, its groups, stations or ports.

A block fills one compact table in each step; `Observer` gives every agent the rows that concern it. Blocks read arrays
of the state and of the days, so that one block serves one day or a thousand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.planning.outlook import ComposedOutlook
from ev_marl.planning.worth import Worth
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.support.compiled import kernel
from ev_marl.support.registry import Registry

Scope = Literal["site", "group", "station", "port"]
"""What a row of a block's table is about. An agent gets the site's row, the rows of the groups above it (deepest
first), its own station's row, or the rows of its ports."""


@dataclass(frozen=True)
class Feature:
    """One number of an observation; its bounds include 0, the value where there is no group or port."""

    name: str  # short, such as "state_of_charge"
    low: float
    high: float
    about: str  # what it is and what it is divided by


@runtime_checkable
class ObservationBlock(Protocol):
    """Some features of an observation.

    The options of a block in a scenario file are the keyword arguments of its class.
    """

    name: str
    scope: Scope
    static: bool  # whether the values stay the same for ever: `fill` is then called once per batch size

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Take over the site; return the features of one row of the table."""
        ...

    def load(self, days: Days) -> None:
        """The simulator has new days: prepare what depends on them alone."""
        ...

    def fill(self, state: State, out: np.ndarray) -> None:
        """Write the table for the coming step.

        Parameters
        ----------
        state : State
            At the start of a step, or, after the last one, at the end of the episode.
        out : float32, shape (n_batch, n_rows, n_features)
            Written: finite and within the bounds of the features. One row for the site, or one for each group,
            station or port.
        """
        ...


@runtime_checkable
class OnGrid(Protocol):
    """A block that needs the network above the site."""

    def connect(self, grid: GridLoop) -> None:
        """Take over the network; called before `load`, if there is one."""
        ...


@runtime_checkable
class Weighing(Protocol):
    """A block that needs the prices of the objective."""

    def weigh(self, worth: Worth) -> None:
        """Take over the prices; called once, after `bind`."""
        ...


@runtime_checkable
class LookingAhead(Protocol):
    """A block that shows the outlook on later steps: the kinds of its attribute `looks_at`, without it all kinds."""

    def look(self, outlook: ComposedOutlook) -> None:
        """Take over the outlook; called before each `load`, when the outlook has the days."""
        ...


BLOCKS: Registry[ObservationBlock] = Registry("observation block", "ev_marl.observation_blocks", ObservationBlock)


@kernel
def _look_up(table: np.ndarray, day: np.ndarray, step: int, out: np.ndarray) -> None:
    """out (B, 1, F) = table (K, T + 1, F) at the day of each row and the step."""
    for b in range(out.shape[0]):
        for i in range(out.shape[2]):
            out[b, 0, i] = table[day[b], step, i]


class Exogenous(ABC):
    """Base of blocks whose values depend on day and step only: a table made once, read in each step."""

    scope: Scope = "site"
    static = False

    def load(self, days: Days) -> None:
        """Tabulate all days."""
        self._table = np.ascontiguousarray(self.tabulate(days), dtype=np.float32)

    @abstractmethod
    def tabulate(self, days: Days) -> np.ndarray:
        """Values for every day and step, the end of the episode included; shape (n_days, n_steps + 1, n_features)."""

    def fill(self, state: State, out: np.ndarray) -> None:
        """Look up the coming step."""
        _look_up(self._table, state.day, state.step, out)


def with_end(values: np.ndarray) -> np.ndarray:
    """Per-step values, shape (n_days, n_steps), followed by the last one once more for the end of the episode."""
    return np.concatenate([values, values[:, -1:]], axis=1)
