"""The protocol of outlooks: what to expect of the rest of the episode.

All planning (observations, own plans, messages, model predictive control, training rewards) gets later prices, limits,
base load, vehicles, and loads of the network from an `Outlook` only. The step itself uses the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, get_args

import numpy as np

from ev_marl.grid.loop.days import day_loads
from ev_marl.grid.solvers.base import Injections
from ev_marl.planning.vehicles import ENERGY, Vehicles
from ev_marl.simulation.days import STAY, Days, stays_of
from ev_marl.simulation.simulator import Simulator
from ev_marl.simulation.state import State
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.site import Site
from ev_marl.support.registry import Registry
from ev_marl.world.track import Track
from ev_marl.world.world import World

Kind = Literal["prices", "limits", "base_load", "vehicles", "grid"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Rows = slice | np.ndarray
"""Which day each row of a batch plays: an index into tables by day."""


@dataclass(frozen=True)
class Truth:
    """The days that are played. An outlook that reads more of them than the present step has foresight.

    D days, T steps, P ports, G groups.
    """

    site: SiteArrays
    tracks: Sequence[Track]
    days: Days  # the same tracks as arrays
    whole_site: Site | None = None  # with the network above, if there is one

    @classmethod
    def of(cls, simulator: Simulator) -> Truth:
        """The days that a simulator is loaded with."""
        grid = simulator.grid
        return cls(simulator.site, simulator.tracks, simulator.days, None if grid is None else grid.site)

    @cached_property
    def stays(self) -> np.ndarray:
        """Stays of all days, STAY, one day after the other, each in the order of its track."""
        return np.concatenate([stays_of(self.site, track) for track in self.tracks])

    @cached_property
    def group_limits_kw(self) -> tuple[np.ndarray, np.ndarray]:
        """Import and export limits of each group, not clamped, float64, shape (D, T, G) each [kW]."""
        return (
            np.stack([track.limits_kw[0] for track in self.tracks]),
            np.stack([track.limits_kw[1] for track in self.tracks]),
        )

    @cached_property
    def grid_loads(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Loads and generators of each day, as `ev_marl.grid.loop.days.day_loads` gives them."""
        assert self.whole_site is not None  # only called with a network
        return [day_loads(self.whole_site, track, k) for k, track in enumerate(self.tracks)]


@dataclass(slots=True)
class Present:
    """Measured values at the start of a step, from which an outlook starts; B batch rows, G groups."""

    step: int  # t
    n_steps: int  # T
    day: Rows  # of each row
    lower_kw: np.ndarray  # float64 (B, G)  clamped limits of vehicles' power in this step
    upper_kw: np.ndarray  # float64 (B, G)
    base_load_kw: np.ndarray  # float64 (B, G)  inflexible load − PV below each group
    grid: Injections | None = None  # B rows: loads and generators of the network, without charging

    @classmethod
    def of(cls, state: State, n_steps: int) -> Present:
        """The values of a state; without the network."""
        return cls(state.step, n_steps, state.rows, state.lower_kw, state.upper_kw, state.base_load_kw)

    @property
    def n_batch(self) -> int:
        """B."""
        return len(self.upper_kw)


@dataclass(frozen=True)
class Coming:
    """Vehicles that are still to come; B batch rows, V stays, which keep their places from step to step."""

    stays: np.ndarray  # STAY (V,)  steps counted from the start of the episode
    expected: np.ndarray  # bool (B, V)  whether the stay is still to come, in each row
    weight: float  # number of vehicles that each stay counts as: 1 if known, less if from one of several drawn days

    @property
    def vehicles(self) -> Vehicles:
        """The same as `Vehicles`; their possible powers are set when they have arrived."""
        ports = np.zeros((3, *self.expected.shape))
        ports[ENERGY] = self.stays["energy_kwh"]
        return Vehicles(self.stays, np.where(self.expected, np.arange(len(self.stays)), -1), ports)


class Outlook(Protocol):
    """What to expect of the rest of the episode; K = n_steps − step steps, this one included.

    An outlook that is used for some kinds only needs their methods and `begin`. The values of this step are the
    measured ones.
    """

    @property
    def foresees(self) -> bool:
        """Whether it gives the true future without error; can be a plain attribute."""
        ...

    def begin(self, truth: Truth, world: World | None) -> None:
        """Prepare for other days.

        Parameters
        ----------
        truth : Truth
            The days that are played.
        world : World, optional
            The scenario's models.
        """
        ...

    def prices(self, day: Rows, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Buying and selling prices from a step on, float64, shape (n_batch, K) each [currency/kWh]; not to be written.

        Parameters
        ----------
        day : int64, shape (n_batch,), or slice
            Day of each row.
        step : int
            The present step.
        """
        ...

    def limits_kw(self, present: Present) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest power of vehicles below each group, float64, shape (n_batch, K, n_groups) each [kW]."""
        ...

    def base_load_kw(self, present: Present) -> np.ndarray:
        """Base load below each group, float64, shape (n_batch, K, n_groups) [kW]."""
        ...

    def vehicles(self, present: Present, n_days: int) -> Coming:
        """Vehicles that arrive after this step.

        Parameters
        ----------
        present : Present
            Measured values.
        n_days : int
            Largest number of drawn days whose vehicles are put together; 0: no vehicles are expected.
        """
        ...

    def grid_loads(self, present: Present, n_steps: int) -> Injections:
        """States of the network without charging.

        Parameters
        ----------
        present : Present
            Measured values, with those of the network.
        n_steps : int
            Number of steps from this one on.

        Returns
        -------
        Injections
            n_batch · n_steps rows, those of the first batch row first.
        """
        ...


OUTLOOKS: Registry[Outlook] = Registry("outlook", "ev_marl.outlooks")


NOBODY = np.empty(0, dtype=STAY)


def states(now: Injections, parts: Sequence[np.ndarray]) -> Injections:
    """States of the network without charging, the first of each batch row being the measured one.

    Parameters
    ----------
    now : Injections
        The present state, B rows.
    parts : sequence of float64, shape (n_batch, n_steps, n) each
        Loads [kW], [kvar], generators [kW], [kvar]; written.
    """
    n_batch, n_steps = parts[0].shape[:2]
    for part, seen in zip(parts, (now.load_kw, now.load_kvar, now.generator_kw, now.generator_kvar), strict=True):
        part[:, 0] = seen
    load_kw, load_kvar, generator_kw, generator_kvar = (part.reshape(n_batch * n_steps, -1) for part in parts)
    none = np.zeros((n_batch * n_steps, now.charger_kw.shape[1]))
    return Injections(load_kw, load_kvar, generator_kw, generator_kvar, none, none)


def still_to_come(truth: Truth, stays: np.ndarray, day: Rows, step: int) -> Coming:
    """The stays of known days that start after a step.

    Parameters
    ----------
    truth : Truth
        The days.
    stays : STAY, shape (n_stays,)
        `truth.stays`, or the same with other times.
    day : int64, shape (n_batch,), or slice
        Day of each row.
    step : int
        The present step.
    """
    counts = [len(track.sessions) for track in truth.tracks]
    of_day = np.repeat(np.arange(len(counts)), counts)
    played = np.arange(len(counts))[day]
    return Coming(stays, (of_day == played[:, None]) & (stays["arrival_step"] > step), 1.0)


def by_group(ahead: np.ndarray) -> np.ndarray:
    """Later values by group: shape (n_batch, n_steps, n_groups) to (n_batch, n_groups, n_steps)."""
    return np.ascontiguousarray(ahead.transpose(0, 2, 1))
