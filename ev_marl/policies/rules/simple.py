"""Policies that decide for each port separately, without a plan: idle, uncontrolled, random."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.planning.outlook import Kind
from ev_marl.policies.base import POLICIES, Episode, Information, StationView
from ev_marl.policies.rules.needs import power_for_wish_kw


@POLICIES.register("idle")
class Idle:
    """Never charges: shows the cost of all unmet energy."""

    name = "idle"
    information: Information = "own"
    looks_at: ClassVar[tuple[Kind, ...]] = ()

    def reset(self, episode: Episode) -> None:
        """Nothing to prepare."""

    def act(self, view: StationView) -> np.ndarray:
        """Zeros, float64, shape (n_batch, n_ports) [kW]."""
        return np.zeros(view.hi_kw.shape)


@POLICIES.register("uncontrolled")
class Uncontrolled:
    """Charging on plug-in, at full power, until the energy wanted is in the battery: the zero of the score.

    That is also what vehicles did that are there when an episode starts. It never discharges and looks at no price and
    no limit: the coordinator curtails it.
    """

    name = "uncontrolled"
    information: Information = "own"
    looks_at: ClassVar[tuple[Kind, ...]] = ()

    def reset(self, episode: Episode) -> None:
        """Nothing to prepare."""

    def act(self, view: StationView) -> np.ndarray:
        """Full power until the wish is met, float64, shape (n_batch, n_ports) [kW]."""
        return power_for_wish_kw(view)


@POLICIES.register("random")
class Random:
    """A random power, uniform between the lowest and the highest that the port can do.

    All rows of a batch get the same random numbers, so that a day is the same alone and in a batch.
    """

    name = "random"
    information: Information = "own"
    looks_at: ClassVar[tuple[Kind, ...]] = ()

    def reset(self, episode: Episode) -> None:
        """Take the episode's random numbers."""
        self._rng = episode.rng

    def act(self, view: StationView) -> np.ndarray:
        """Random powers, float64, shape (n_batch, n_ports) [kW]."""
        setpoint_kw: np.ndarray = view.lo_kw + self._rng.random((1, view.hi_kw.shape[1])) * (view.hi_kw - view.lo_kw)
        return setpoint_kw
