"""Power and limits of every group above the station.

All values are divided by the rated power of the ports below the group, so that a limit of 1 never binds.
"""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import GROUP, LOWER, UPPER, State
from ev_marl.site import Site
from ev_marl.support.compiled import kernel


@kernel
def _fill(groups: np.ndarray, nameplate_kw: np.ndarray, out: np.ndarray) -> None:
    for b in range(out.shape[0]):
        for g in range(out.shape[1]):
            out[b, g, 0] = min(1.0, max(-1.0, groups[GROUP, b, g] / nameplate_kw[g]))
            out[b, g, 1] = min(1.0, groups[UPPER, b, g] / nameplate_kw[g])
            out[b, g, 2] = max(-1.0, groups[LOWER, b, g] / nameplate_kw[g])


@BLOCKS.register("headroom")
class Headroom:
    """Power and limits of the groups above, from the deepest to the whole site."""

    name = "headroom"
    scope: Scope = "group"
    static = False

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Sum up what the ports below each group could do."""
        arrays = site.arrays
        rated_kw = np.maximum(arrays.port_charge_kw, arrays.port_discharge_kw)
        below = np.concatenate([[0.0], np.cumsum(rated_kw)])
        self._nameplate_kw = below[arrays.group_end_port] - below[arrays.group_first_port]
        share = "over the sum of the rated powers below the group"
        return (
            Feature("power", -1, 1, f"power of all vehicles below the group in the last step {share}"),
            Feature("upper", 0, 1, f"most that they may draw in the coming step {share}; 1 where no limit binds"),
            Feature("lower", -1, 0, f"least (most fed back) in the coming step {share}; −1 where no limit binds"),
        )

    def load(self, days: Days) -> None:
        """Nothing is prepared."""

    def fill(self, state: State, out: np.ndarray) -> None:
        """One kernel for all groups."""
        _fill(state.groups, self._nameplate_kw, out)
