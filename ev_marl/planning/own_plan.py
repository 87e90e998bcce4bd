"""The own plan of every vehicle: its cheapest charging to what is due, without other vehicles and limits.

For one vehicle with no limit but its own, the problem is a concave dynamic programme in one number, the energy e in
its battery; its value functions are those of `value_function`.

Vehicles and prices come in; the power of each plan's first step goes out, and optionally the value of the plan.
Policies use the view of a station, observations and bids use the simulator's arrays.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.value_function import (
    MOST_CHORDS,
    append,
    first_step,
    gain_at_capacity,
    slope_at,
    step_back,
)
from ev_marl.planning.vehicles import ENERGY, HI, LO, Vehicles
from ev_marl.planning.worth import Worth, held_of, planned_efficiency, unpaid, wear_of, worth_at_end
from ev_marl.support.compiled import kernel

ADDER, TRUST = 0, 1  # rows of values that differ between ports


@kernel
def _plan(
    step: int,
    step_h: float,
    stays: np.ndarray,
    session: np.ndarray,
    ports: np.ndarray,
    money_per_kwh: np.ndarray,
    rates: np.ndarray,
    bids: np.ndarray,
    margin_steps: int,
    power_kw: np.ndarray,
    merits: np.ndarray,
) -> None:
    """Plan every vehicle; money (2, B, P or 1, K) is with wear, bids (2, B, P) are adder and trust; see `own_plans`."""
    n_batch, n_ports = session.shape
    # A step back adds at most the ends of the chords and the two marginal costs.
    most_pieces = (MOST_CHORDS + 3) * (money_per_kwh.shape[3] + 2)
    pieces, new_pieces = np.empty((2, most_pieces + 1)), np.empty((2, most_pieces + 1))
    for b in range(n_batch):
        for p in range(n_ports):
            power_kw[b, p] = 0.0
            if len(merits) > 0:
                merits[b, p, :] = 0.0
            s = session[b, p]
            if s < 0:
                continue
            stay = stays[s]
            energy, capacity, hi_kw = ports[ENERGY, b, p], stay["capacity_kwh"], ports[HI, b, p]
            adder, trust = bids[ADDER, b, p], bids[TRUST, b, p]
            # Without V2G, energies below the present one are never visited.
            low = min(stay["floor_kwh"], energy) if stay["discharge_kw"] > 0.0 else energy
            charge_eta, discharge_eta = planned_efficiency(stay), stay["discharge_efficiency"]
            # At the end of the episode, energy beyond an even service of the wish is credited for a vehicle that stays.
            unmet, worth = rates[b]["unmet_per_kwh"], worth_at_end(rates[b], stay)
            wish, credit = stay["wish_kwh"], worth * (stay["wish_kwh"] - stay["even_kwh"])
            if step == 0:
                credit -= min(unmet, rates[b]["end_per_kwh"] / charge_eta) * stay["ahead_kwh"]
            credit -= held_of(rates[b], stay, step_h, step - 0.5) * energy
            if len(merits) > 0:
                merits[b, p, 0] = credit
            if low >= capacity:
                continue
            row = min(p, money_per_kwh.shape[2] - 1)
            cost_per_kwh, gain_per_kwh = money_per_kwh[0, b, row], money_per_kwh[1, b, row]
            n_steps = max(1, stay["deadline_step"] - margin_steps - step)
            if stay["discharge_kw"] == 0.0 and energy >= (wish if worth > 0.0 else stay["due_kwh"]):
                # No energy is missing and none can be sold: unless charging is paid for, the plan is no charging.
                dear = cost_per_kwh[0] + min(0.0, adder) >= 0.0
                for k in range(n_steps):
                    dear = dear and cost_per_kwh[k] >= 0.0
                if dear:
                    if len(merits) > 0:
                        merits[b, p, 1:] = -(cost_per_kwh[0] + charge_eta * held_of(rates[b], stay, step_h, step))
                    continue
            # The money is that of vehicles, with their wear and tariff.
            more_wear, no_tariff = wear_of(rates[b], stay) - rates[b]["wear_per_kwh"], unpaid(rates[b], stay)
            rate_kw = trust * charge_eta * stay["charge_kw"]
            out_kwh = trust * stay["discharge_kw"] * step_h / discharge_eta
            n = append(pieces[0], pieces[1], 0, low, stay["due_kwh"], unmet, low, capacity)
            n = append(pieces[0], pieces[1], n, stay["due_kwh"], wish, worth, low, capacity)
            n = append(pieces[0], pieces[1], n, wish, capacity, 0.0, low, capacity)
            at_capacity = 0.0
            for k in range(n_steps - 1, -1, -1):
                held = held_of(rates[b], stay, step_h, step + k)
                charge_cost = (cost_per_kwh[k] + (no_tariff + more_wear)) / charge_eta + held
                discharge_gain = (gain_per_kwh[k] + (no_tariff - more_wear)) * discharge_eta + held
                if k == 0:
                    up_kwh, down_kwh = hi_kw * charge_eta * step_h, -ports[LO, b, p] * step_h / discharge_eta
                    dearer, better = charge_cost + adder / charge_eta, discharge_gain + adder * discharge_eta
                    target = first_step(pieces, n, energy, up_kwh, down_kwh, dearer, better)
                    if target > energy:
                        power_kw[b, p] = min(hi_kw, (target - energy) / (charge_eta * step_h))
                    elif target < energy:
                        power_kw[b, p] = max(ports[LO, b, p], (target - energy) * discharge_eta / step_h)
                    if len(merits) == 0:
                        break
                    merits[b, p, 1] = (slope_at(pieces, n, energy) - charge_cost) * charge_eta
                    merits[b, p, 2] = (slope_at(pieces, n, energy + up_kwh) - charge_cost) * charge_eta
                at_capacity += gain_at_capacity(pieces, n, out_kwh, discharge_gain)
                n = step_back(pieces, n, charge_cost, discharge_gain, rate_kw, out_kwh, low, stay, step_h, new_pieces)
                pieces, new_pieces = new_pieces, pieces
            if len(merits) > 0:
                value = at_capacity + credit
                for i in range(n):
                    value -= pieces[1, i] * max(0.0, pieces[0, i + 1] - max(pieces[0, i], energy))
                merits[b, p, 0] = value


MERITS = ("value", "gain_now", "gain_in_full")
"""Values of each plan besides its power, from `own_plans`."""

_NO_MERITS = np.empty((0, 0, 0))


def own_plans(
    vehicles: Vehicles,
    step: int,
    step_h: float,
    energy_per_kwh: np.ndarray,
    worth: Worth,
    *,
    end_per_kwh: np.ndarray | float = 0.0,
    adder_per_kwh: np.ndarray | float = 0.0,
    trust: np.ndarray | float = 1.0,
    margin_steps: int = 0,
    power_kw: np.ndarray | None = None,
    merits: np.ndarray | None = None,
) -> np.ndarray:
    """Plan every vehicle on the published prices.

    Parameters
    ----------
    vehicles : Vehicles
        At the start of step `step`.
    step, step_h : int, float
        The coming step, and its length [h].
    energy_per_kwh : float64, shape (2, n_batch, n_steps - step) or (2, n_batch, n_ports, n_steps - step)
        Cost of a kWh charged and earning of a kWh discharged from this step on, from `Worth.energy_per_kwh`; the same
        for all ports, or for each [currency/kWh].
    worth : Worth
        Prices of the objective for one vehicle.
    end_per_kwh : float or float64, shape (2, n_batch)
        From `Worth.end_per_kwh`: value of a kWh at the meter at the end of the episode for a vehicle that stays, up to
        its wish, and of one that a stationary battery gives back later [currency/kWh].
    adder_per_kwh : float or float64, shape (n_batch, n_ports)
        Added to this step's buying and selling price: above 0 a vehicle waits for lower prices, below 0 it pays more
        to charge now [currency/kWh].
    trust : float or float64, shape (n_batch, n_ports)
        Share of its power on which the plan counts in later steps, 0..1 [-].
    margin_steps : int
        Number of steps before the deadline at which the plan ends.
    power_kw : float64, shape (n_batch, n_ports), optional
        Written and returned, instead of a new array.
    merits : float64, shape (n_batch, n_ports, 3), optional
        Written, see `MERITS`: return of the rest of the plan, costs being below 0 [currency]; gain of the first kWh
        charged in this step over not charging; and gain of the last kWh at full power [currency per kWh at the meter].
        None of them depends on the adder; 0 at empty ports.

    Returns
    -------
    float64, shape (n_batch, n_ports)
        Power of the first step of each plan [kW].
    """
    shape = vehicles.session.shape
    out = np.empty(shape) if power_kw is None else power_kw
    money_per_kwh = energy_per_kwh if energy_per_kwh.ndim == 4 else energy_per_kwh[:, :, None]
    wear_per_kwh = np.array([worth.throughput_per_kwh, -worth.throughput_per_kwh])
    bids = np.empty((2, *shape))
    bids[ADDER], bids[TRUST] = adder_per_kwh, trust
    _plan(
        step,
        step_h,
        vehicles.stays,
        vehicles.session,
        vehicles.ports,
        money_per_kwh + wear_per_kwh[:, None, None, None],
        worth.rates(np.broadcast_to(end_per_kwh, (2, shape[0]))),
        bids,
        margin_steps,
        out,
        _NO_MERITS if merits is None else merits,
    )
    return out
