"""The own plan of every vehicle: its cheapest way to what it is due, if it had the site to itself.

For one vehicle with no limit but its own, the problem is a concave dynamic programme in one number, the energy e in
its battery. Its value functions are concave and piecewise linear, so each is kept as a sorted list of slopes. One step
back in time: shift what would charge left, shift what would discharge right, put the two marginal costs between.

Vehicles and prices come in; the power of each plan's first step goes out, and, where asked for, what the plan is worth.
Policies ask with what a station knows, observations and bids with the simulator's arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.meter import Metering, marginal_prices
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.terminal import TerminalValue
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.planning.outlook import Outlook, Present
from ev_marl.planning.vehicles import Vehicles
from ev_marl.site.charge_curve import charging_gain, energy_before_charging
from ev_marl.support.compiled import kernel

# Prices that differ by less count as equal [currency/kWh]: rounding must not decide between equally cheap steps.
SAME_PRICE = 1e-9

# Pieces of a value function shorter than this are not told apart: the slope of a sliver would be rounding [kWh].
SLIVER_KWH = 1e-7

# Most chords that replace the curve inside the step in which the taper begins. With 12, the first power cost at most
# 0.008 EUR more than the best one on 4,000 random vehicles (steps of 15 minutes or an hour), 0.00003 EUR on average.
MOST_CHORDS = 12


@kernel
def _split(x: np.ndarray, slope: np.ndarray, n: int, at: float) -> int:
    """Make `at` a breakpoint, where it lies inside and none is near; returns the number of pieces."""
    if at <= x[0] or at >= x[n]:
        return n
    i = n - 1
    while x[i] > at:
        i -= 1
    if at - x[i] < SLIVER_KWH or x[i + 1] - at < SLIVER_KWH:
        return n
    for j in range(n, i, -1):
        x[j + 1] = x[j]
        slope[j] = slope[j - 1]
    x[i + 1] = at
    return n + 1


@kernel
def _append(
    x: np.ndarray,
    slope: np.ndarray,
    n: int,
    start: float,
    end: float,
    value: float,
    low: float,
    high: float,
) -> int:
    """Add the next piece, cut to [low, high]; slivers and pieces of the same slope are joined with their neighbour."""
    start, end = max(start, low), min(end, high)
    if end <= start:
        return n
    if n > 0 and (end - start < SLIVER_KWH or slope[n - 1] == value):
        x[n] = end
        return n
    if n == 1 and x[1] - low < SLIVER_KWH:
        n = 0
    x[0] = low
    slope[n] = value
    x[n + 1] = end
    return n + 1


@kernel
def _step_back(
    x: np.ndarray,
    slope: np.ndarray,
    n: int,
    charge_cost: float,
    discharge_gain: float,
    rate_kw: float,
    out_kwh: float,
    low: float,
    capacity: float,
    tau_h: float,
    step_h: float,
    new_x: np.ndarray,
    new_slope: np.ndarray,
) -> int:
    """Value function one step earlier: x, slope (n pieces) -> new_x, new_slope; returns the new number of pieces.

    charge_cost and discharge_gain are money per kWh of battery energy; rate_kw and out_kwh what one step can do.
    """
    in_kwh = rate_kw * step_h
    if charge_cost < discharge_gain and out_kwh > 0.0 and in_kwh > 0.0:
        # Both at once would pay (very negative prices). Value stays concave with the mixture of full charging and full
        # discharging, which is what the optimum's linear programme allows too.
        mean = (charge_cost * in_kwh + discharge_gain * out_kwh) / (in_kwh + out_kwh)
        charge_cost = discharge_gain = mean
    knee = capacity - rate_kw * tau_h
    if rate_kw > 0.0:
        # The curve is straight on both sides of the step with the knee; chords replace it inside, more for long steps.
        after_knee = knee + charging_gain(knee, step_h, rate_kw, capacity, tau_h)
        n_chords = min(MOST_CHORDS, 1 + int(MOST_CHORDS * step_h / tau_h))
        for i in range(n_chords + 1):
            n = _split(x, slope, n, knee + (after_knee - knee) * i / n_chords)
    m = 0
    i = 0
    left = energy_before_charging(x[0], step_h, rate_kw, capacity, tau_h)
    while i < n and slope[i] > charge_cost:
        right = energy_before_charging(x[i + 1], step_h, rate_kw, capacity, tau_h)
        value = slope[i]
        if x[i + 1] > knee and right > left:
            value = charge_cost + (value - charge_cost) * (x[i + 1] - x[i]) / (right - left)
        m = _append(new_x, new_slope, m, left, right, value, low, capacity)
        left = right
        i += 1
    m = _append(new_x, new_slope, m, left, x[i], charge_cost, low, capacity)
    while i < n and slope[i] >= discharge_gain:
        m = _append(new_x, new_slope, m, x[i], x[i + 1], slope[i], low, capacity)
        i += 1
    if out_kwh > 0.0:
        m = _append(new_x, new_slope, m, x[i], x[i] + out_kwh, discharge_gain, low, capacity)
    while i < n:
        m = _append(new_x, new_slope, m, x[i] + out_kwh, x[i + 1] + out_kwh, slope[i], low, capacity)
        i += 1
    return m


@kernel
def _first_step(
    x: np.ndarray,
    slope: np.ndarray,
    n: int,
    energy: float,
    up: float,
    down: float,
    charge_cost: float,
    discharge_gain: float,
) -> float:
    """Best energy after this step, between energy − down and energy + up; ties charge now and keep."""
    target_up, gain_up = energy, 0.0
    target_down, gain_down = energy, 0.0
    for i in range(n):
        margin = slope[i] - charge_cost
        start, end = max(x[i], energy), min(x[i + 1], energy + up)
        if end > start and margin >= -SAME_PRICE:
            target_up = end
            gain_up += margin * (end - start)
    for i in range(n - 1, -1, -1):
        margin = discharge_gain - slope[i]
        start, end = max(x[i], energy - down), min(x[i + 1], energy)
        if end > start and margin > SAME_PRICE:
            target_down = start
            gain_down += margin * (end - start)
    if gain_down > gain_up:
        return target_down
    return target_up


@kernel
def _slope_at(x: np.ndarray, slope: np.ndarray, n: int, energy: float) -> float:
    """What one more kWh is worth at this energy."""
    i = 0
    while i < n - 1 and energy >= x[i + 1]:
        i += 1
    worth: float = slope[i]
    return worth


@kernel
def _gain_at_capacity(x: np.ndarray, slope: np.ndarray, n: int, out_kwh: float, discharge_gain: float) -> float:
    """What discharging a full battery in this step gains over keeping it full."""
    gain = 0.0
    bottom = x[n] - out_kwh
    for i in range(n - 1, -1, -1):
        if x[i + 1] <= bottom or slope[i] >= discharge_gain:
            break
        gain += (discharge_gain - slope[i]) * (x[i + 1] - max(x[i], bottom))
    return gain


@kernel
def _plan(
    step: int,
    step_h: float,
    stays: np.ndarray,
    session: np.ndarray,
    energy_kwh: np.ndarray,
    lo_kw: np.ndarray,
    hi_kw: np.ndarray,
    money_per_kwh: np.ndarray,
    unmet_per_kwh: float,
    end_per_kwh: np.ndarray,
    adder_per_kwh: np.ndarray,
    trust: np.ndarray,
    margin_steps: int,
    power_kw: np.ndarray,
    outlook: np.ndarray,
) -> None:
    """Plan every vehicle; `money_per_kwh` as from `Worth.money_per_kwh`, the others as in `own_plans`."""
    n_batch, n_ports = session.shape
    # A step back adds at most the ends of the chords and the two marginal costs.
    most_pieces = (MOST_CHORDS + 3) * (money_per_kwh.shape[2] + 2)
    x, new_x = np.empty(most_pieces + 1), np.empty(most_pieces + 1)
    slope, new_slope = np.empty(most_pieces), np.empty(most_pieces)
    for b in range(n_batch):
        for p in range(n_ports):
            power_kw[b, p] = 0.0
            if len(outlook) > 0:
                outlook[b, p, :] = 0.0
            s = session[b, p]
            if s < 0:
                continue
            stay = stays[s]
            energy, capacity = energy_kwh[b, p], stay["capacity_kwh"]
            # Without V2G, energies below the present one are never visited.
            low = min(stay["floor_kwh"], energy) if stay["discharge_kw"] > 0.0 else energy
            charge_eta, discharge_eta = stay["charge_efficiency"], stay["discharge_efficiency"]
            # At the end of the episode, what a vehicle that stays has beyond an even service of its wish is credited.
            worth = min(unmet_per_kwh, end_per_kwh[b] / charge_eta)
            wish, credit = stay["due_kwh"], 0.0
            if stay["departure_step"] > stay["deadline_step"]:
                wish = stay["wish_kwh"]
                credit = worth * (wish - stay["even_kwh"])
            if step == 0:
                credit -= worth * stay["ahead_kwh"]
            if len(outlook) > 0:
                outlook[b, p, 0] = credit
            if low >= capacity:
                continue
            cost_per_kwh, gain_per_kwh = money_per_kwh[0, b], money_per_kwh[1, b]
            n_steps = max(1, stay["deadline_step"] - margin_steps - step)
            if stay["discharge_kw"] == 0.0 and energy >= (wish if worth > 0.0 else stay["due_kwh"]):
                # Nothing is missing and nothing can be sold: unless somebody pays for charging, the plan is to rest.
                dear = cost_per_kwh[0] + min(0.0, adder_per_kwh[b, p]) >= 0.0
                for k in range(n_steps):
                    dear = dear and cost_per_kwh[k] >= 0.0
                if dear:
                    if len(outlook) > 0:
                        outlook[b, p, 1:] = -cost_per_kwh[0]
                    continue
            rate_kw = trust[b, p] * charge_eta * stay["charge_kw"]
            out_kwh = trust[b, p] * stay["discharge_kw"] * step_h / discharge_eta
            n = _append(x, slope, 0, low, stay["due_kwh"], unmet_per_kwh, low, capacity)
            n = _append(x, slope, n, stay["due_kwh"], wish, worth, low, capacity)
            n = _append(x, slope, n, wish, capacity, 0.0, low, capacity)
            at_capacity = 0.0
            for k in range(n_steps - 1, -1, -1):
                charge_cost = cost_per_kwh[k] / charge_eta
                discharge_gain = gain_per_kwh[k] * discharge_eta
                if k == 0:
                    up_kwh = hi_kw[b, p] * charge_eta * step_h
                    adder = adder_per_kwh[b, p]
                    target = _first_step(
                        x,
                        slope,
                        n,
                        energy,
                        up_kwh,
                        -lo_kw[b, p] * step_h / discharge_eta,
                        charge_cost + adder / charge_eta,
                        discharge_gain + adder * discharge_eta,
                    )
                    if target > energy:
                        power_kw[b, p] = min(hi_kw[b, p], (target - energy) / (charge_eta * step_h))
                    elif target < energy:
                        power_kw[b, p] = max(lo_kw[b, p], (target - energy) * discharge_eta / step_h)
                    if len(outlook) == 0:
                        break
                    outlook[b, p, 1] = (_slope_at(x, slope, n, energy) - charge_cost) * charge_eta
                    outlook[b, p, 2] = (_slope_at(x, slope, n, energy + up_kwh) - charge_cost) * charge_eta
                at_capacity += _gain_at_capacity(x, slope, n, out_kwh, discharge_gain)
                n = _step_back(
                    x,
                    slope,
                    n,
                    charge_cost,
                    discharge_gain,
                    rate_kw,
                    out_kwh,
                    low,
                    capacity,
                    stay["tau_h"],
                    step_h,
                    new_x,
                    new_slope,
                )
                x, new_x = new_x, x
                slope, new_slope = new_slope, slope
            if len(outlook) > 0:
                value = at_capacity + credit
                for i in range(n):
                    value -= slope[i] * max(0.0, x[i + 1] - max(x[i], energy))
                outlook[b, p, 0] = value


@dataclass(frozen=True)
class Worth:
    """What the objective charges for, as far as one vehicle alone can weigh it."""

    energy_weight: float  # factor on the money for energy, 0 where that does not count
    wear_per_kwh: float  # price of throughput [currency/kWh]
    unmet_per_kwh: float  # price of unmet energy [currency/kWh]
    tariff_per_kwh: float = 0.0  # what the driver pays for energy, and gets back for energy fed back [currency/kWh]
    metering: Metering = "port"  # where energy is billed
    terminal: TerminalValue | None = None  # what energy is worth that vehicles hold at the end of the episode

    @classmethod
    def of(cls, objective: Objective) -> Worth:
        """Read the terms of an objective."""
        prices = {
            term.name: term.price_per_kwh
            for term in objective.terms
            if isinstance(term, BatteryWear | UnmetEnergy | DriverTariff)
        }
        energy = [term for term in objective.terms if isinstance(term, EnergyCost)]
        return cls(
            energy_weight=float(sum(term.weight for term in energy)),
            wear_per_kwh=float(prices.get("battery_wear", 0.0)),
            unmet_per_kwh=float(prices.get("unmet_energy", 0.0)),
            tariff_per_kwh=float(prices.get("driver_tariff", 0.0)),
            metering="site" if any(term.metering == "site" for term in energy) else "port",
            terminal=next((term for term in objective.terms if isinstance(term, TerminalValue)), None),
        )

    def end_per_kwh(self, later_per_kwh: np.ndarray) -> np.ndarray:
        """What a kWh at the meter is worth at the end of the episode, as in `own_plans`.

        Parameters
        ----------
        later_per_kwh : float64, shape (n_batch,)
            Price of energy after the episode where the objective gives none [currency/kWh].
        """
        if self.terminal is None:
            return np.zeros(len(later_per_kwh))
        return np.broadcast_to(self.terminal.at_meter_per_kwh(later_per_kwh), later_per_kwh.shape)

    def money_per_kwh(self, buy_per_kwh: np.ndarray, sell_per_kwh: np.ndarray) -> np.ndarray:
        """What a kWh charged costs and what a kWh discharged earns at the meter, wear and tariff counted.

        Parameters
        ----------
        buy_per_kwh, sell_per_kwh : float64, shape (n_batch, n_steps)
            Published prices [currency/kWh].

        Returns
        -------
        float64, shape (2, n_batch, n_steps)
            Costs, then gains [currency/kWh].
        """
        money: np.ndarray = np.empty((2, *buy_per_kwh.shape))
        np.multiply(buy_per_kwh, self.energy_weight, out=money[0])
        np.multiply(sell_per_kwh, self.energy_weight, out=money[1])
        money[0] += self.wear_per_kwh - self.tariff_per_kwh
        money[1] -= self.wear_per_kwh + self.tariff_per_kwh
        return money


def own_prices(outlook: Outlook, present: Present, worth: Worth) -> tuple[np.ndarray, np.ndarray]:
    """The prices at which a vehicle plans by itself: those of the site's meter, or those of a meter of its own.

    Behind a site's meter they are the site's marginal prices without vehicles: exact in this step, as the outlook
    thinks of the base load later. A station learns nothing of other vehicles by them.

    Parameters
    ----------
    outlook : Outlook
        What is thought of prices and base load.
    present : Present
        What is seen now.
    worth : Worth
        Where energy is billed.

    Returns
    -------
    charging, discharging : float64, shape (n_batch, n_steps - step)
        What a kWh drawn costs, and what a kWh fed back earns [currency/kWh]; not to be written.
    """
    buy_per_kwh, sell_per_kwh = outlook.prices(present.day, present.step)
    if worth.metering == "port":
        return buy_per_kwh, sell_per_kwh
    return marginal_prices(outlook.base_load_kw(present)[:, :, 0], buy_per_kwh, sell_per_kwh)


OUTLOOK = ("value", "gain_now", "gain_in_full")
"""What `own_plans` tells of each plan besides its power."""

_NO_OUTLOOK = np.empty((0, 0, 0))


def own_plans(
    vehicles: Vehicles,
    step: int,
    step_h: float,
    buy_per_kwh: np.ndarray,
    sell_per_kwh: np.ndarray,
    worth: Worth,
    *,
    end_per_kwh: np.ndarray | float = 0.0,
    adder_per_kwh: np.ndarray | float = 0.0,
    trust: np.ndarray | float = 1.0,
    margin_steps: int = 0,
    power_kw: np.ndarray | None = None,
    outlook: np.ndarray | None = None,
) -> np.ndarray:
    """Plan every vehicle on the published prices.

    Parameters
    ----------
    vehicles : Vehicles
        At the start of step `step`.
    step, step_h : int, float
        The coming step, and its length [h].
    buy_per_kwh, sell_per_kwh : float64, shape (n_batch, n_steps - step)
        Published prices from this step on [currency/kWh].
    worth : Worth
        What the objective charges.
    end_per_kwh : float or float64, shape (n_batch,)
        From `Worth.end_per_kwh`: what a kWh at the meter is worth at the end of the episode to a vehicle that stays,
        up to its wish [currency/kWh].
    adder_per_kwh : float or float64, shape (n_batch, n_ports)
        Added to this step's buying and selling price: above 0 a vehicle waits for something better, below 0 it pays
        more to charge now [currency/kWh].
    trust : float or float64, shape (n_batch, n_ports)
        Share of its power that the plan assumes to get in later steps, 0..1 [-].
    margin_steps : int
        The plan ends so many steps before the deadline.
    power_kw : float64, shape (n_batch, n_ports), optional
        Written and returned, instead of a new array.
    outlook : float64, shape (n_batch, n_ports, 3), optional
        Written, see `OUTLOOK`: what the rest of the plan earns, costs being below 0 [currency]; what the first kWh
        charged in this step gains over keeping the vehicle as it is; and what the last one at full power gains
        [currency per kWh at the meter]. None of them depends on the adder; 0 at empty ports.

    Returns
    -------
    float64, shape (n_batch, n_ports)
        Power of the first step of each plan [kW].
    """
    shape = vehicles.session.shape
    out = np.empty(shape) if power_kw is None else power_kw
    _plan(
        step,
        step_h,
        vehicles.stays,
        vehicles.session,
        vehicles.energy_kwh,
        vehicles.lo_kw,
        vehicles.hi_kw,
        worth.money_per_kwh(buy_per_kwh, sell_per_kwh),
        worth.unmet_per_kwh,
        np.broadcast_to(np.asarray(end_per_kwh, dtype=np.float64), shape[:1]),
        np.broadcast_to(np.asarray(adder_per_kwh, dtype=np.float64), shape),
        np.broadcast_to(np.asarray(trust, dtype=np.float64), shape),
        margin_steps,
        out,
        _NO_OUTLOOK if outlook is None else outlook,
    )
    return out
