"""What each vehicle's own plan on the published prices says: what it would do now, and how much it cares.

The plan is that of the policy `best-response`. Its gains are what bids compete about: a vehicle with a high gain pays
more if it has to wait.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.planning.outlook import ComposedOutlook, Kind, Present
from ev_marl.planning.own_plan import MERITS, own_plans
from ev_marl.planning.vehicles import Vehicles
from ev_marl.planning.worth import OWN_PRICES, Worth, own_prices
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.support.compiled import kernel


@kernel
def _fill(power_kw: np.ndarray, outlook: np.ndarray, rated_kw: np.ndarray, scale: float, out: np.ndarray) -> None:
    n_batch, n_ports = power_kw.shape
    for b in range(n_batch):
        for p in range(n_ports):
            out[b, p, 0] = min(1.0, max(-1.0, power_kw[b, p] / rated_kw[p]))
            for i in range(1, 3):
                gain = outlook[b, p, i] * scale
                out[b, p, i] = gain / (1.0 + abs(gain))


@BLOCKS.register("plans")
class Plans:
    """The own plan of the vehicle at each port; all 0 where there is none.

    Parameters
    ----------
    trust : float
        Share of its power that the plan assumes to get in later steps, 0..1 [-].
    scale_per_kwh : float
        Gain that is shown as one half [currency/kWh].

    Attributes
    ----------
    value : float64, shape (n_batch, n_ports)
        What the rest of each plan earns, as of the last `fill` [currency].
    """

    name = "plans"
    scope: Scope = "port"
    static = False
    looks_at: ClassVar[tuple[Kind, ...]] = OWN_PRICES

    def __init__(self, trust: float = 1.0, scale_per_kwh: float = 0.1) -> None:
        if not 0.0 <= trust <= 1.0 or scale_per_kwh <= 0.0:
            raise ValueError(
                f"observation block 'plans': trust must be between 0 and 1, scale_per_kwh above 0; got {trust}, "
                f"{scale_per_kwh}"
            )
        self.trust = trust
        self.scale_per_kwh = scale_per_kwh
        self._worth = Worth(1.0, 0.0, 0.0)

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Take the ratings."""
        self._rated_kw = site.arrays.port_charge_kw
        self._power_kw = self.value = np.zeros((0, 0))
        gain = f"gain of {{}} this step over waiting, x/({self.scale_per_kwh:g} per kWh + |x|)"
        return (
            Feature("power", -1, 1, "power that the own plan asks for in this step over the port's rated power"),
            Feature("gain_now", -1, 1, gain.format("the first kWh charged in")),
            Feature("gain_in_full", -1, 1, gain.format("the last kWh charged at full power in")),
        )

    def weigh(self, worth: Worth) -> None:
        """Learn what the objective charges."""
        self._worth = worth

    def look(self, outlook: ComposedOutlook) -> None:
        """Keep the outlook that prices are asked of."""
        self._outlook = outlook

    def load(self, days: Days) -> None:
        """Keep the days."""
        self._days = days

    def fill(self, state: State, out: np.ndarray) -> None:
        """Plan every vehicle."""
        days, step = self._days, state.step
        if step >= days.n_steps:
            out[:] = 0.0
            self.value = np.zeros(state.session.shape)
            return
        if self._power_kw.shape != state.session.shape:
            self._power_kw = np.empty(state.session.shape)
            self._merits = np.empty((*state.session.shape, len(MERITS)))
        own_plans(
            Vehicles.of(days.stays, state),
            step,
            days.step_h,
            self._worth.energy_per_kwh(*own_prices(self._outlook, Present.of(state, days.n_steps), self._worth)),
            self._worth,
            end_per_kwh=self._worth.end_per_kwh(days.later_per_kwh[state.rows]),
            trust=self.trust,
            power_kw=self._power_kw,
            merits=self._merits,
        )
        self.value = self._merits[:, :, MERITS.index("value")]
        _fill(self._power_kw, self._merits, self._rated_kw, 1.0 / self.scale_per_kwh, out)
