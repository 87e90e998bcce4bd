"""As late as possible: every vehicle waits as long as its wish can still be met."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.planning.outlook import Kind
from ev_marl.policies.base import POLICIES, Episode, Information, StationView
from ev_marl.policies.rules.needs import latest_energy_kwh, power_towards_kw


@POLICIES.register("as-late-as-possible")
class AsLateAsPossible:
    """Charges so late that the wish is met exactly at departure.

    After each step the battery has the least energy from which the energy due can still be reached at full power. That
    energy is the exact inverse of the charge curve, so the slow last part of a charge starts in time: where no limit
    binds, every reachable wish is met, up to rounding. The policy does not know the limits, so where they bind it is
    too late.
    """

    name = "as-late-as-possible"
    information: Information = "own"
    looks_at: ClassVar[tuple[Kind, ...]] = ()

    def reset(self, episode: Episode) -> None:
        """Nothing to prepare."""

    def act(self, view: StationView) -> np.ndarray:
        """Power that keeps the wish within reach, float64, shape (n_batch, n_ports) [kW]."""
        return power_towards_kw(view, latest_energy_kwh(view))
