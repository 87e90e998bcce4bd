"""The need of all vehicles below a group: numbers that a site could broadcast to its stations.

Sums over the group's ports, the station's own included, over the rated power below the group, so that they compare
with the limits of `headroom`.
"""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.simulation.battery import laxity
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import ENERGY, HI, SESSION, UPPER, State
from ev_marl.site import Site
from ev_marl.site.tree import add_up_columns
from ev_marl.support.compiled import kernel


@kernel
def _fill(
    step: int,
    step_h: float,
    urgent_h: float,
    hours: float,
    seats: np.ndarray,
    ports: np.ndarray,
    groups: np.ndarray,
    stays: np.ndarray,
    above: np.ndarray,
    below: np.ndarray,
    out: np.ndarray,
) -> None:
    """`below` (2, G) has the rated power and the number of the ports below each group."""
    n_batch, n_ports, n_groups = out.shape[0], ports.shape[2], groups.shape[2]
    group_parent, port_group = above[:n_groups], above[n_groups:]
    nameplate_kw, n_ports_below = below[0], below[1]
    for b in range(n_batch):
        sums = np.zeros((n_groups, 5))
        for p in range(n_ports):
            s = seats[SESSION, b, p]
            if s < 0:
                continue
            g = port_group[p]
            stay = stays[s]
            missing = max(0.0, stay["due_kwh"] - ports[ENERGY, b, p]) / stay["charge_efficiency"]
            left_h = max(1, stay["deadline_step"] - step) * step_h
            sums[g, 0] += 1.0
            sums[g, 1] += missing
            if missing > 0.0:
                sums[g, 2] += missing / left_h
                sums[g, 3] += ports[HI, b, p]
                if laxity(step, step_h, stay, ports[ENERGY, b, p]) < urgent_h:
                    sums[g, 4] += ports[HI, b, p]
        add_up_columns(sums, group_parent)
        for g in range(n_groups):
            out[b, g, 0] = sums[g, 0] / n_ports_below[g]
            out[b, g, 1] = min(1.0, sums[g, 1] / (nameplate_kw[g] * hours))
            for i in range(2, 5):
                out[b, g, i] = min(1.0, sums[g, i] / nameplate_kw[g])
            upper = max(0.0, groups[UPPER, b, g])
            out[b, g, 5] = 1.0 if sums[g, 3] <= upper else upper / sums[g, 3]
            out[b, g, 6] = sums[g, 2] / (sums[g, 2] + upper) if sums[g, 2] > 0.0 else 0.0


@BLOCKS.register("demand")
class Demand:
    """Vehicles, missing energy and the power it takes, summed over each group above the station.

    Parameters
    ----------
    urgent_h : float
        Vehicles with less laxity count as urgent [h].
    hours : float
        Missing energy is shown over the rated power times this many hours [h].
    """

    name = "demand"
    scope: Scope = "group"
    static = False

    def __init__(self, urgent_h: float = 1.0, hours: float = 2.0) -> None:
        if hours <= 0.0:
            raise ValueError(f"observation block 'demand': hours must be above 0, got {hours}")
        self.urgent_h = urgent_h
        self.hours = hours

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Sum up what the ports below each group could draw."""
        arrays = self._arrays = site.arrays
        below = np.concatenate([[0.0], np.cumsum(arrays.port_charge_kw)])
        first, end = arrays.group_first_port, arrays.group_end_port
        self._below = np.stack([below[end] - below[first], end - first])
        rated = "over the rated power below the group"
        return (
            Feature("connected", 0, 1, "vehicles over ports"),
            Feature("missing", 0, 1, f"energy due and not there yet, over {self.hours:g} h of the rated power"),
            Feature("needed", 0, 1, f"sum of the steady powers that would just fulfil each wish, {rated}"),
            Feature("wanting", 0, 1, f"most that vehicles with a wish could draw in this step, {rated}"),
            Feature("urgent", 0, 1, f"the same of those with less than {self.urgent_h:g} h of laxity, {rated}"),
            Feature("coverage", 0, 1, "share of `wanting` that the group's limit allows in this step"),
            Feature("strain", 0, 1, "needed over needed plus the group's limit: above one half there is not enough"),
        )

    def load(self, days: Days) -> None:
        """Keep the days."""
        self._days = days

    def fill(self, state: State, out: np.ndarray) -> None:
        """One kernel for all groups."""
        _fill(
            state.step,
            self._days.step_h,
            self.urgent_h,
            self.hours,
            state.seats,
            state.ports,
            state.groups,
            self._days.stays,
            self._arrays.above,
            self._below,
            out,
        )
