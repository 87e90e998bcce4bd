"""Best response: every vehicle's own cheapest plan on the published prices, made anew in every step.

For one vehicle with no limit but its own, the problem is a concave dynamic programme in one number, the energy e in
its battery. Its value functions are concave and piecewise linear, so each is kept as a sorted list of slopes. One step
back in time: shift what would charge left, shift what would discharge right, put the two marginal costs between.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.compiled import kernel
from ev_marl.errors import OptionError
from ev_marl.policies.base import POLICIES, Episode, Information, StationView

# Prices that differ by less count as equal [currency/kWh]: rounding must not decide between equally cheap steps.
SAME_PRICE = 1e-9

# Pieces of a value function shorter than this are not told apart: the slope of a sliver would be rounding [kWh].
SLIVER_KWH = 1e-7

# Most chords that replace the curve inside the step in which the taper begins. With 12, the first power cost at most
# 0.008 EUR more than the best one on 4,000 random vehicles (steps of 15 minutes or an hour), 0.00003 EUR on average.
MOST_CHORDS = 12


@kernel
def _before(
    x: float,
    knee: float,
    after_knee: float,
    slope_kwh: float,
    growth: float,
    capacity: float,
    tau_h: float,
    step_h: float,
) -> float:
    """Energy one step before x at full power; knee: where the taper starts, after_knee: one step later."""
    if x <= knee:
        return x - slope_kwh
    if x >= after_knee:
        return capacity - (capacity - x) * growth
    from_knee_h = tau_h * math.log((capacity - knee) / (capacity - x))
    return knee - slope_kwh * (1.0 - from_knee_h / step_h)


@kernel
def _split(x: np.ndarray, slope: np.ndarray, n: int, at: float, sliver: float) -> int:
    """Make `at` a breakpoint, where it lies inside and none is near; returns the number of pieces."""
    if at <= x[0] or at >= x[n]:
        return n
    i = n - 1
    while x[i] > at:
        i -= 1
    if at - x[i] < sliver or x[i + 1] - at < sliver:
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
    sliver: float,
) -> int:
    """Add the next piece, cut to [low, high]; slivers and pieces of the same slope are joined with their neighbour."""
    start, end = max(start, low), min(end, high)
    if end <= start:
        return n
    if n > 0 and (end - start < sliver or slope[n - 1] == value):
        x[n] = end
        return n
    if n == 1 and x[1] - low < sliver:
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
    most_chords: int,
    sliver: float,
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
    after_knee, growth = capacity, 1.0
    if rate_kw > 0.0 and tau_h > 0.0:
        growth = math.exp(step_h / tau_h)
        after_knee = capacity - rate_kw * tau_h / growth
        # The curve is straight on both sides of the step with the knee; chords replace it inside, more for long steps.
        n_chords = min(most_chords, 1 + int(most_chords * step_h / tau_h))
        for i in range(n_chords + 1):
            n = _split(x, slope, n, knee + (after_knee - knee) * i / n_chords, sliver)
    m = 0
    i = 0
    left = _before(x[0], knee, after_knee, in_kwh, growth, capacity, tau_h, step_h)
    while i < n and slope[i] > charge_cost:
        right = _before(x[i + 1], knee, after_knee, in_kwh, growth, capacity, tau_h, step_h)
        value = slope[i]
        if x[i + 1] > knee and right > left:
            value = charge_cost + (value - charge_cost) * (x[i + 1] - x[i]) / (right - left)
        m = _append(new_x, new_slope, m, left, right, value, low, capacity, sliver)
        left = right
        i += 1
    m = _append(new_x, new_slope, m, left, x[i], charge_cost, low, capacity, sliver)
    while i < n and slope[i] >= discharge_gain:
        m = _append(new_x, new_slope, m, x[i], x[i + 1], slope[i], low, capacity, sliver)
        i += 1
    if out_kwh > 0.0:
        m = _append(new_x, new_slope, m, x[i], x[i] + out_kwh, discharge_gain, low, capacity, sliver)
    while i < n:
        m = _append(new_x, new_slope, m, x[i] + out_kwh, x[i + 1] + out_kwh, slope[i], low, capacity, sliver)
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
    same: float,
) -> float:
    """Best energy after this step, between energy − down and energy + up; ties charge now and keep."""
    target_up, gain_up = energy, 0.0
    target_down, gain_down = energy, 0.0
    for i in range(n):
        margin = slope[i] - charge_cost
        start, end = max(x[i], energy), min(x[i + 1], energy + up)
        if end > start and margin >= -same:
            target_up = end
            gain_up += margin * (end - start)
    for i in range(n - 1, -1, -1):
        margin = discharge_gain - slope[i]
        start, end = max(x[i], energy - down), min(x[i + 1], energy)
        if end > start and margin > same:
            target_down = start
            gain_down += margin * (end - start)
    if gain_down > gain_up:
        return target_down
    return target_up


@kernel
def _plan(
    step: int,
    step_h: float,
    connected: np.ndarray,
    energy_kwh: np.ndarray,
    capacity_kwh: np.ndarray,
    floor_kwh: np.ndarray,
    due_kwh: np.ndarray,
    deadline_step: np.ndarray,
    charge_kw: np.ndarray,
    discharge_kw: np.ndarray,
    charge_efficiency: np.ndarray,
    discharge_efficiency: np.ndarray,
    tau_h: np.ndarray,
    lo_kw: np.ndarray,
    hi_kw: np.ndarray,
    buy_per_kwh: np.ndarray,
    sell_per_kwh: np.ndarray,
    wear_per_kwh: float,
    unmet_per_kwh: float,
    adder_per_kwh: np.ndarray,
    trust: np.ndarray,
    margin_steps: int,
    same: float,
    most_chords: int,
    sliver: float,
    out: np.ndarray,
) -> None:
    n_batch, n_ports = energy_kwh.shape
    # A step back adds at most the ends of the chords and the two marginal costs.
    most_pieces = (most_chords + 3) * (buy_per_kwh.shape[1] + 1)
    x, new_x = np.empty(most_pieces + 1), np.empty(most_pieces + 1)
    slope, new_slope = np.empty(most_pieces), np.empty(most_pieces)
    for b in range(n_batch):
        for p in range(n_ports):
            out[b, p] = 0.0
            energy, capacity = energy_kwh[b, p], capacity_kwh[b, p]
            # Without V2G, energies below the present one are never visited.
            low = floor_kwh[b, p] if discharge_kw[b, p] > 0.0 else energy
            if not connected[b, p] or low >= capacity:
                continue
            charge_eta, discharge_eta = charge_efficiency[b, p], discharge_efficiency[b, p]
            rate_kw = trust[b, p] * charge_eta * charge_kw[b, p]
            out_kwh = trust[b, p] * discharge_kw[b, p] * step_h / discharge_eta
            n = _append(x, slope, 0, low, due_kwh[b, p], unmet_per_kwh, low, capacity, sliver)
            n = _append(x, slope, n, due_kwh[b, p], capacity, 0.0, low, capacity, sliver)
            n_steps = max(1, deadline_step[b, p] - margin_steps - step)
            for k in range(n_steps - 1, 0, -1):
                charge_cost = (buy_per_kwh[b, k] + wear_per_kwh) / charge_eta
                discharge_gain = (sell_per_kwh[b, k] - wear_per_kwh) * discharge_eta
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
                    tau_h[b, p],
                    step_h,
                    most_chords,
                    sliver,
                    new_x,
                    new_slope,
                )
                x, new_x = new_x, x
                slope, new_slope = new_slope, slope
            target = _first_step(
                x,
                slope,
                n,
                energy,
                hi_kw[b, p] * charge_eta * step_h,
                -lo_kw[b, p] * step_h / discharge_eta,
                (buy_per_kwh[b, 0] + adder_per_kwh[b, p] + wear_per_kwh) / charge_eta,
                (sell_per_kwh[b, 0] + adder_per_kwh[b, p] - wear_per_kwh) * discharge_eta,
                same,
            )
            if target > energy:
                out[b, p] = min(hi_kw[b, p], (target - energy) / (charge_eta * step_h))
            elif target < energy:
                out[b, p] = max(lo_kw[b, p], (target - energy) * discharge_eta / step_h)


def best_response(
    view: StationView,
    *,
    adder_per_kwh: np.ndarray | float = 0.0,
    trust: np.ndarray | float = 1.0,
    margin_steps: int = 0,
) -> np.ndarray:
    """Setpoints with which each vehicle follows its own cheapest plan.

    Parameters
    ----------
    view : StationView
        What is known; only a port's own columns enter its setpoint.
    adder_per_kwh : float or float64, shape (n_batch, n_ports)
        Added to this step's buying and selling price: above 0 a vehicle waits for something better, below 0 it pays
        more to charge now [currency/kWh].
    trust : float or float64, shape (n_batch, n_ports)
        Share of its power that the plan assumes to get in later steps, 0..1 [-].
    margin_steps : int
        The plan ends so many steps before the deadline.

    Returns
    -------
    float64, shape (n_batch, n_ports)
        Setpoints within the port's box [kW].
    """
    shape = view.energy_kwh.shape
    setpoint_kw = np.empty(shape)
    _plan(
        view.step,
        view.step_h,
        view.connected,
        view.energy_kwh,
        view.capacity_kwh,
        view.floor_kwh,
        view.due_kwh,
        view.deadline_step,
        view.charge_kw,
        view.discharge_kw,
        view.charge_efficiency,
        view.discharge_efficiency,
        view.tau_h,
        view.lo_kw,
        view.hi_kw,
        view.energy_weight * view.buy_per_kwh,
        view.energy_weight * view.sell_per_kwh,
        float(view.wear_per_kwh),
        float(view.unmet_per_kwh),
        np.broadcast_to(np.asarray(adder_per_kwh, dtype=np.float64), shape),
        np.broadcast_to(np.asarray(trust, dtype=np.float64), shape),
        margin_steps,
        SAME_PRICE,
        MOST_CHORDS,
        SLIVER_KWH,
        setpoint_kw,
    )
    return setpoint_kw


@POLICIES.register("best-response")
class BestResponse:
    """Each vehicle follows its own cheapest plan on the published prices, planned anew in every step.

    The plan weighs energy bought and sold, wear and unmet energy as the objective does, knows the vehicle's charge
    curve and its V2G reserve, and assumes that every request is granted: where limits bind, all want the same cheap
    steps. It is exact for one vehicle alone; only inside the step in which the taper begins is the value of energy
    interpolated, and where prices are so negative that charging and discharging at once would pay, the plan
    assumes a mixture of both. Of equally cheap steps it takes the first.

    Parameters
    ----------
    trust : float
        Share of its power that the plan assumes to get in later steps, 0..1; less than 1 hedges against being
        curtailed [-].
    adder_per_kwh : float
        Added to this step's price; below 0 charges earlier than the plan alone would [currency/kWh].
    margin_steps : int
        The plan ends so many steps before the deadline.
    """

    name = "best-response"
    information: Information = "own"

    def __init__(self, trust: float = 1.0, adder_per_kwh: float = 0.0, margin_steps: int = 0) -> None:
        if not 0.0 <= trust <= 1.0:
            raise OptionError(f"policy 'best-response': trust is a share between 0 and 1, got {trust}")
        if margin_steps < 0:
            raise OptionError(f"policy 'best-response': margin_steps must be 0 or more, got {margin_steps}")
        self.trust = float(trust)
        self.adder_per_kwh = float(adder_per_kwh)
        self.margin_steps = int(margin_steps)

    def reset(self, episode: Episode) -> None:
        """Nothing to prepare."""

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        return best_response(view, adder_per_kwh=self.adder_per_kwh, trust=self.trust, margin_steps=self.margin_steps)
