"""The known or expected future of one row, as input of the programme: stays, prices, limits and base load.

Stays with steps of the episode come in; an `Ahead` counts its steps from now.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.planning.outlook.base import NOBODY
from ev_marl.simulation.days import stays_of
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import curves_of, energy_before
from ev_marl.site.scaling import base_currents
from ev_marl.world.track import Track


@dataclass(frozen=True)
class Ahead:
    """The rest of an episode, or its first part; K steps from now, G groups, R current limits, S sessions."""

    step: int  # of the episode, now
    step_h: float
    n_here: int  # number of sessions that are connected now; they come first
    stays: np.ndarray  # STAY (S,)  arrivals and deadlines counted from now
    buy_per_kwh: np.ndarray  # float64 (K,)
    sell_per_kwh: np.ndarray  # float64 (K,)
    lower_kw: np.ndarray  # float64 (K, G)
    upper_kw: np.ndarray  # float64 (K, G)
    base_load_kw: np.ndarray  # float64 (K, G)  inflexible load − PV below each group
    currents: np.ndarray  # float64 (3, K, R)  of the base load: real and imaginary part, then the clamped limit [A]
    local_hour: np.ndarray  # float64 (K,)  local clock time of each step [h]
    peak_kw: float  # highest import so far
    later_per_kwh: float  # price of energy after the episode
    ends: bool  # whether the episode ends with the last of the steps
    carbon_kg_per_kwh: np.ndarray | None = None  # float64 (K,)  CO2 of what is drawn from the grid; None: not known
    temperature_c: np.ndarray | None = None  # float64 (K,)  ambient; None: not known
    requests: np.ndarray | None = None  # float64 (K, 2, G)  see `ev_marl.world.events.requested`; None: none
    oil_k: np.ndarray | None = None  # float64 (n_thermal,)  rise of the transformers' oil now; None: rest at base load
    out: np.ndarray | None = None  # bool (K, P)  ports out of order; None: none is
    peak_share: float = 1.0  # of the price of a higher peak, what these steps pay

    @property
    def n_steps(self) -> int:
        """K."""
        return len(self.buy_per_kwh)

    @classmethod
    def of_day(cls, site: SiteArrays, track: Track) -> Ahead:
        """A whole day, known before it starts.

        Parameters
        ----------
        site : SiteArrays
            The site.
        track : Track
            The day.
        """
        stays = stays_of(site, track)
        return cls(
            step=0,
            step_h=track.step_h,
            n_here=int((stays["arrival_step"] == 0).sum()),
            stays=stays,
            buy_per_kwh=track.buy_per_kwh,
            sell_per_kwh=track.sell_per_kwh,
            lower_kw=track.lower_kw,
            upper_kw=track.upper_kw,
            base_load_kw=track.base_load_kw,
            currents=base_currents(site, track.base_load_kw),
            local_hour=track.clock.local_hour,
            peak_kw=0.0,
            later_per_kwh=track.later_per_kwh,
            ends=True,
            carbon_kg_per_kwh=track.signals.carbon_kg_per_kwh,
            temperature_c=track.signals.temperature_c,
            requests=track.requests,
            out=track.out_ports,
        )

    @classmethod
    def empty(cls, site: SiteArrays, n_steps: int, step_h: float) -> Ahead:
        """Steps without vehicles, with prices of 0.

        Parameters
        ----------
        site : SiteArrays
            The site.
        n_steps : int
            Number of steps.
        step_h : float
            Length of a step [h].
        """
        nothing, groups = np.zeros(n_steps), np.zeros((n_steps, site.n_groups))
        currents = base_currents(site, groups)
        return cls(
            0, step_h, 0, NOBODY, nothing, nothing, groups, groups, groups, currents, nothing, 0.0, 0.0, True, nothing
        )


def shifted(stays: np.ndarray, step: int) -> np.ndarray:
    """Stays with steps counted from `step` on."""
    moved = stays.copy()
    for name in ("arrival_step", "departure_step", "deadline_step"):
        moved[name] -= step
    return moved


def within(stays: np.ndarray, n_steps: int, step_h: float) -> np.ndarray:
    """Sessions up to the horizon; what is due later counts only as far as full power cannot deliver it afterwards."""
    inside = stays["arrival_step"] < n_steps
    if not inside.all():
        stays = stays[inside]
    beyond_h = np.maximum(0, stays["deadline_step"] - n_steps) * step_h
    if not beyond_h.any():
        return stays
    battery = stays["rate_kw"], stays["capacity_kwh"], stays["tau_h"], curves_of(stays)
    due = energy_before(stays["due_kwh"], beyond_h, *battery)
    kept: np.ndarray = stays.copy()
    kept["deadline_step"] = np.minimum(stays["deadline_step"], n_steps)
    kept["due_kwh"] = np.where(beyond_h > 0.0, due, stays["due_kwh"])
    return kept
