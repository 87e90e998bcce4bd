"""Power beyond the limits of the groups, where the coordinator lets it happen.

The limits are the clamped ones: an overload that the base load alone makes is not charged to the vehicles. Nested
groups are priced each for itself.
"""

from __future__ import annotations

import numpy as np

from ev_marl.objective.base import TERMS, DayModel, Expression
from ev_marl.objective.split import Split, split_cost
from ev_marl.simulator import Flow


@TERMS.register("overload")
class Overload:
    """Price of power beyond a group's limits.

    Parameters
    ----------
    price_per_kwh : float
        Cost of one kW of overload for one hour [currency/kWh].
    split : {"equal", "responsibility"}
        Among the agents of the site evenly, or among the ports below the group by their power in its direction.
    """

    name = "overload"

    def __init__(self, price_per_kwh: float, split: Split = "responsibility") -> None:
        self.price_per_kwh = price_per_kwh
        self.split = split

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·Δ·Σ_groups max(0, power − upper, lower − power)."""
        out[:] = 0.0
        site = flow.site
        over_kw = np.maximum(0.0, flow.group_kw - flow.upper_kw)
        under_kw = np.maximum(0.0, flow.lower_kw - flow.group_kw)
        part = np.empty_like(out)
        for group in np.flatnonzero((over_kw + under_kw).any(axis=0)):
            below = slice(site.group_first_port[group], site.group_end_port[group])
            for excess_kw, sign in ((over_kw, 1.0), (under_kw, -1.0)):
                responsible_kw = np.zeros_like(out)
                responsible_kw[:, below] = np.maximum(0.0, sign * flow.granted_kw[:, below])
                cost = self.price_per_kwh * flow.step_h * excess_kw[:, group]
                split_cost(cost, responsible_kw, site, self.split, part)
                out += part

    def expression(self, day: DayModel) -> Expression:
        """price·Δ·Σ excess with excess >= power − upper, excess >= lower − power, excess >= 0."""
        excess = []
        site = day.site
        for group in range(site.n_groups):
            below = slice(site.group_first_port[group], site.group_end_port[group])
            charge_kw, discharge_kw = site.port_charge_kw[below].sum(), site.port_discharge_kw[below].sum()
            for step in range(day.n_steps):
                upper, lower = day.upper_kw[step, group], day.lower_kw[step, group]
                most = max(charge_kw - upper, lower + discharge_kw)
                if most <= 0.0:
                    continue
                (variable,) = day.variables(f"overload[{group},{step}]", [0.0], [most])
                variables, coefficients = day.group_power(group, step)
                if charge_kw > upper:
                    minus = [-c for c in coefficients]
                    day.at_least(f"overload_import[{group},{step}]", [variable, *variables], [1.0, *minus], -upper)
                if discharge_kw > -lower:
                    day.at_least(
                        f"overload_export[{group},{step}]", [variable, *variables], [1.0, *coefficients], lower
                    )
                excess.append(variable)
        return day.linear(excess, np.full(len(excess), self.price_per_kwh * day.step_h))
