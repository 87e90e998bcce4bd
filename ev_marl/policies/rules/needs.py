"""The power that a vehicle still needs: shared by the policies that serve wishes.

A view comes in, powers of shape (n_batch, n_ports) go out.
"""

from __future__ import annotations

import numpy as np

from ev_marl.policies.base import StationView
from ev_marl.site.charge_curve import curves_of, energy_before
from ev_marl.site.levels import level_above
from ev_marl.site.part_load import metered_kw


def power_towards_kw(view: StationView, target_kwh: np.ndarray) -> np.ndarray:
    """Charging power that brings each battery to a target within this step, or as near as the port can.

    Parameters
    ----------
    view : StationView
        The view.
    target_kwh : float64, shape (n_batch, n_ports)
        Energy wanted at the end of the step [kWh].

    Returns
    -------
    float64, shape (n_batch, n_ports)
        Between 0 and `view.hi_kw`; 0 where the target is met already and at empty ports [kW].
    """
    power_kw: np.ndarray = target_kwh - view.energy_kwh
    power_kw /= view.vehicle["charge_efficiency"] * view.step_h
    if view.part_load is not None:
        metered_kw(power_kw, view.vehicle["charge_efficiency"], view.part_load)
    np.minimum(power_kw, view.hi_kw, out=power_kw)
    np.maximum(power_kw, 0.0, out=power_kw)
    return power_kw


def power_for_wish_kw(view: StationView) -> np.ndarray:
    """Full power until the wish is in the battery, shape (n_batch, n_ports) [kW]; stationary batteries get none.

    Of ports with levels, the last level is the one that is enough, so that a bit more than the wish is charged.
    """
    power_kw = power_towards_kw(view, view.vehicle["served_kwh"])
    return power_kw if view.port_levels_kw is None else level_above(power_kw, view.hi_kw, view.port_levels_kw)


def latest_energy_kwh(view: StationView) -> np.ndarray:
    """Least energy at the end of this step from which the energy due can still be reached [kWh].

    Shape (n_batch, n_ports). The exact inverse of charging at full power, taper included; it may be negative.
    """
    stays = view.vehicle
    hours = np.maximum(stays["deadline_step"] - view.step - 1, 0) * view.step_h
    battery = stays["rate_kw"], stays["capacity_kwh"], stays["tau_h"], curves_of(stays)
    return energy_before(stays["due_kwh"], hours, *battery)
