"""Round robin: all ports get a small increment of power in turn, time round by time round, until nothing more fits.

Setpoints and limits come in, granted powers go out. A port has had its share when it has its setpoint, or when the next
increment would break a limit; so what is left of a limit is less than one increment of a port. The rule is that of
`RoundRobin` in ACN-Sim (Lee et al., "ACN-Sim: An Open-Source Simulator for Data-Driven Electric Vehicle Charging
Research", 2019), which grants power to chargers only; dischargers are served in the same way before them.
"""

from __future__ import annotations

import numpy as np

from ev_marl.simulation.coordinators.base import COORDINATORS, Request
from ev_marl.simulation.coordinators.in_turn import Order, check_order, grant_in_turn, rank_of
from ev_marl.support.errors import OptionError
from ev_marl.support.values import MOST, number, shown

LEAST_INCREMENT_KW = 1e-3
"""Smaller ones only take longer [kW]."""


@COORDINATORS.register("round-robin")
class RoundRobin:
    """Grants all ports increments of power in turn, until nothing more fits.

    Parameters
    ----------
    increment_kw : float
        What a port gets each time round [kW]; for 1 A, the voltage between its conductors in kV.
    order : str
        Who is served first each time round: `laxity`, `deadline` or `arrival`, as for `priority`.
    least_first : bool
        As for `priority`.
    """

    name = "round-robin"
    enforces_limits = True

    def __init__(self, increment_kw: float = 0.1, order: Order = "arrival", least_first: bool = False) -> None:
        try:
            self.increment_kw = number(increment_kw)
        except ValueError as error:
            raise OptionError(f"coordinator 'round-robin': increment_kw: {error}") from error
        if not LEAST_INCREMENT_KW <= self.increment_kw <= MOST:
            allowed = f"at least {LEAST_INCREMENT_KW:g} kW"
            raise OptionError(f"coordinator 'round-robin': increment_kw is {shown(increment_kw)}; it must be {allowed}")
        check_order(self.name, order)
        self.order, self.least_first = order, least_first

    def grant(self, request: Request, out: np.ndarray) -> None:
        """Write the granted powers to `out`, float64, shape (n_batch, n_ports) [kW]."""
        rank = rank_of(request, self.order)
        grant_in_turn(request, rank, self.increment_kw, out, least_first=self.least_first)
