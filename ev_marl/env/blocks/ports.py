"""The vehicles at the agent's own ports: battery, wish, time left, and possible power."""

from __future__ import annotations

import numpy as np

from ev_marl.env.blocks.base import BLOCKS, Feature, Scope
from ev_marl.simulation.battery import laxity
from ev_marl.simulation.days import STAY, Days
from ev_marl.simulation.state import ENERGY, HI, LO, SESSION, State
from ev_marl.site import Site
from ev_marl.support.compiled import kernel

_READ = ("capacity_kwh", "due_kwh", "deadline_step", "hours_per_kwh")
_BATTERY = np.dtype([(name, STAY[name]) for name in _READ])


@kernel
def _fill(
    step: int,
    n_steps: int,
    step_h: float,
    seats: np.ndarray,
    ports: np.ndarray,
    batteries: np.ndarray,
    per_rated_kw: np.ndarray,
    out: np.ndarray,
) -> None:
    """`per_rated_kw` (2, P) has one over the rated power of charging and of discharging."""
    steps_scale, hours_scale = 1.0 / n_steps, 1.0 / (n_steps * step_h)
    for b in range(out.shape[0]):
        session, energy_kwh = seats[SESSION, b], ports[ENERGY, b]
        lo_kw, hi_kw = ports[LO, b], ports[HI, b]
        for p in range(out.shape[1]):
            s = session[p]
            if s < 0:
                for feature in range(7):
                    out[b, p, feature] = 0.0
                continue
            battery = batteries[np.uint64(s)]  # an unsigned index is not checked for being negative
            per_kwh = 1.0 / battery["capacity_kwh"]
            energy = energy_kwh[p]
            out[b, p, 0] = 1.0
            out[b, p, 1] = min(1.0, max(0.0, energy * per_kwh))
            out[b, p, 2] = min(1.0, max(0.0, (battery["due_kwh"] - energy) * per_kwh))
            out[b, p, 3] = min(1.0, max(0.0, (battery["deadline_step"] - step) * steps_scale))
            out[b, p, 4] = min(1.0, max(-1.0, laxity(step, step_h, battery, energy) * hours_scale))
            out[b, p, 5] = min(1.0, hi_kw[p] * per_rated_kw[0, p])
            out[b, p, 6] = max(-1.0, lo_kw[p] * per_rated_kw[1, p])


@BLOCKS.register("ports")
class Ports:
    """The vehicle at each port of the station; all 0 where there is none."""

    name = "ports"
    scope: Scope = "port"
    static = False

    def bind(self, site: Site) -> tuple[Feature, ...]:
        """Take the ratings."""
        rated_kw = np.stack([site.arrays.port_charge_kw, site.arrays.port_discharge_kw])
        self._per_rated_kw = np.divide(1.0, rated_kw, out=np.zeros_like(rated_kw), where=rated_kw > 0.0)
        return (
            Feature("connected", 0, 1, "1 if a vehicle is connected"),
            Feature("state_of_charge", 0, 1, "energy in the battery over its capacity"),
            Feature("missing", 0, 1, "energy due at the deadline and not there yet, over the capacity"),
            Feature("time_left", 0, 1, "time to the deadline over the length of the episode"),
            Feature("laxity", -1, 1, "time left less time needed at full power, over the length of the episode"),
            Feature("up", 0, 1, "highest power possible in this step over the port's rated power"),
            Feature("down", -1, 0, "lowest power possible in this step over the port's rated discharging power"),
        )

    def load(self, days: Days) -> None:
        """Keep the days, and apart what every step reads of the stays, so that it lies in few cache lines.

        What drivers declare may change with the step: then every step reads the stays themselves.
        """
        self._days = days
        if days.beliefs is not None:
            self._batteries = days.stays
            return
        self._batteries = np.empty(len(days.stays), dtype=_BATTERY)
        for name in _READ:
            self._batteries[name] = days.stays[name]

    def fill(self, state: State, out: np.ndarray) -> None:
        """One kernel for all ports."""
        days = self._days
        _fill(
            state.step,
            days.n_steps,
            days.step_h,
            state.seats,
            state.ports,
            self._batteries,
            self._per_rated_kw,
            out,
        )
