"""Which vehicle comes, and at which port it stands: continuous-time arrivals become the sessions of a track.

Each arrival is rounded to the nearest step and gets a vehicle that suits site and wish. Vehicles take free ports in
order of arrival; one that finds no free port waits as long as its patience, else it is left out and counted. Records of
a data set are treated in the same way, and may prefer a port.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from ev_marl.scenario import schema
from ev_marl.scenario.curves import CURVE_POINTS, Points
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import (
    NO_CURVE,
    charging_gain,
    curve_table,
    energy_after,
    taper_time_h,
)
from ev_marl.site.levels import level_below
from ev_marl.site.part_load import drawn_kw, into_battery_kw
from ev_marl.site.scaling import scale
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import SiteError
from ev_marl.world.declared import Said
from ev_marl.world.session_table import session_table
from ev_marl.world.sessions import LEAST_SOC_ON_ARRIVAL

ROUNDING_KWH = 1e-9  # a wish that lacks so little is met
ROUNDING_STEPS = 1e-9
NEVER = np.iinfo(np.int64).min  # a step that does not come
WAITING = np.dtype(
    [
        ("arrival_step", "i8"),
        ("departure_step", "i8"),
        ("port", "i8"),
        ("charge_efficiency", "f8"),
        ("rate_kw", "f8"),  # into the battery, below the taper
        ("capacity_kwh", "f8"),
        ("tau_h", "f8"),  # of the taper
        ("wish_kwh", "f8"),  # in the battery
    ]
)
"""A vehicle that charges before the episode."""


@dataclass(frozen=True)
class Before:
    """What limits vehicles in the K steps before the episode."""

    upper_kw: np.ndarray  # float64 (K, n_groups)  most that those below each group may draw, inf: no limit
    currents: np.ndarray  # float64 (3, K, n_currents)  see `ev_marl.site.scaling.base_currents`


@dataclass(frozen=True)
class Fleet:
    """The vehicles that may come to a site; V models."""

    names: tuple[str, ...]
    share: np.ndarray  # float64 (V,)  weights
    capacity_kwh: np.ndarray  # float64 (V,)
    ac_kw: np.ndarray  # float64 (V,)
    dc_kw: np.ndarray  # float64 (V,)  0: cannot charge at DC ports
    taper_start: np.ndarray  # float64 (V,)
    curves: Mapping[str, Points]  # measured charge curves, by name; all others have a taper
    curve: np.ndarray | None  # float64 (V, 2, CURVE_POINTS)  the same as in a stay, None: no vehicle has one
    v2g: np.ndarray  # bool (V,)  whether the model can discharge
    v2g_share: float  # of those that can
    reserve: float

    @classmethod
    def of(cls, mix: Sequence[schema.Vehicle], options: schema.Vehicles, site: SiteArrays) -> Fleet:
        """The vehicles of a mix that can charge at some port of the site.

        Raises
        ------
        SiteError
            If no vehicle of the mix can.
        """
        all_dc = len(site.vehicle_ports) > 0 and site.port_is_dc[site.vehicle_ports].all()
        usable = [vehicle for vehicle in mix if vehicle.most_dc_kw > 0 or not all_dc]
        if not usable:
            raise SiteError("every port of the site is DC, and no vehicle of the mix has a DC power above 0 kW")
        tables = [curve_table(vehicle.curve, vehicle.capacity)[:2] if vehicle.curve else NO_CURVE for vehicle in usable]
        curves = {vehicle.name: tuple(vehicle.curve) for vehicle in usable if vehicle.curve}
        return cls(
            names=tuple(vehicle.name for vehicle in usable),
            share=np.array([vehicle.share for vehicle in usable], dtype=np.float64),
            capacity_kwh=np.array([vehicle.capacity for vehicle in usable], dtype=np.float64),
            ac_kw=np.array([vehicle.ac_power for vehicle in usable], dtype=np.float64),
            dc_kw=np.array([vehicle.most_dc_kw for vehicle in usable], dtype=np.float64),
            taper_start=np.array([vehicle.taper_start for vehicle in usable], dtype=np.float64),
            curves=curves,
            curve=np.stack(tables) if curves else None,
            v2g=np.array([vehicle.v2g for vehicle in usable]),
            v2g_share=options.v2g_share,
            reserve=options.reserve,
        )

    def at(self, port_is_dc: np.ndarray) -> Fleet:
        """The same vehicles, of which only those come that can charge at some of these ports.

        Raises
        ------
        SiteError
            If none can.
        """
        if not len(port_is_dc) or not port_is_dc.all():
            return self
        share = np.where(self.dc_kw > 0.0, self.share, 0.0)
        if not share.any():
            raise SiteError("all these ports are DC, and no vehicle of the mix has a DC power above 0 kW")
        return replace(self, share=share)


@dataclass(frozen=True)
class Choice:
    """Who may stand where."""

    visitors: np.ndarray  # int64  indices of vehicles, ascending
    ports: np.ndarray  # int64  indices of the ports that they choose among, ascending
    rng: np.random.Generator  # chooses among free ports
    patience_h: float = 0.0  # how long a vehicle waits for a port [h]


@dataclass(frozen=True)
class Visitors:
    """N vehicles with what they want; everything that does not depend on the step."""

    model: np.ndarray  # int64 (N,)  index into the fleet
    energy_kwh: np.ndarray  # float64 (N,)  in the battery on arrival
    wanted_kwh: np.ndarray  # float64 (N,)
    is_v2g: np.ndarray  # bool (N,)

    def take(self, index: np.ndarray) -> Visitors:
        """Those at `index`."""
        return Visitors(self.model[index], self.energy_kwh[index], self.wanted_kwh[index], self.is_v2g[index])

    @classmethod
    def together(cls, parts: Sequence[Visitors]) -> Visitors:
        """Those of all parts, one part after the other."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def draw_visitors(
    fleet: Fleet, wanted_kwh: np.ndarray, target_soc: tuple[float, float], rng: np.random.Generator
) -> Visitors:
    """Choose a vehicle for every wish, and the energy it arrives with.

    The vehicle is drawn by share among those whose battery takes the wish between 5 % and the highest target state of
    charge; a wish that no vehicle of the fleet can take is cut to what the largest takes. The state of charge that the
    wish ends at is uniform over the target range, as far as the vehicle then arrives with at least 5 %.

    Parameters
    ----------
    fleet : Fleet
        Vehicles that may come; V models.
    wanted_kwh : float64, shape (n,)
        Energy wanted in the battery [kWh].
    target_soc : tuple of float
        Range of the state of charge at departure [-].
    rng : numpy.random.Generator
        Source of the draws.
    """
    low, high = target_soc
    room = np.where(fleet.share > 0.0, fleet.capacity_kwh * (high - LEAST_SOC_ON_ARRIVAL), 0.0)
    draws = rng.random((len(wanted_kwh), 3))
    wanted = np.minimum(wanted_kwh, room.max())
    cumulative = np.cumsum(np.where(room >= wanted[:, None], fleet.share, 0.0), axis=1)
    model = (cumulative <= draws[:, :1] * cumulative[:, -1:]).sum(axis=1)
    capacity = fleet.capacity_kwh[model]
    least = np.maximum(low, wanted / capacity + LEAST_SOC_ON_ARRIVAL)
    target = least + draws[:, 1] * np.maximum(0.0, high - least)
    return Visitors(
        model=model,
        energy_kwh=np.maximum(0.0, np.minimum(target, high) * capacity - wanted),
        wanted_kwh=wanted,
        is_v2g=(draws[:, 2] < fleet.v2g_share) & fleet.v2g[model],
    )


@kernel
def _count(tree: np.ndarray, place: int, change: int) -> None:
    """Add to the number at a place of a binary indexed tree (Fenwick 1994)."""
    at = place + 1
    while at < tree.size:
        tree[at] += change
        at += at & -at


@kernel
def _place(tree: np.ndarray, skip: int) -> int:
    """The place at which the sum of a binary indexed tree first exceeds `skip`."""
    at, step = 0, 1
    while 2 * step < tree.size:
        step *= 2
    while step > 0:
        if at + step < tree.size and tree[at + step] <= skip:
            at += step
            skip -= tree[at]
        step //= 2
    return at


@kernel
def _assign_ports(
    arrival_step: np.ndarray,
    departure_step: np.ndarray,
    takes_dc: np.ndarray,
    preferred: np.ndarray,
    choice: np.ndarray,
    port_is_dc: np.ndarray,
    is_battery: np.ndarray,
    port: np.ndarray,
) -> None:
    """Write the port of each vehicle, −1 for none: the preferred one if free, else a uniformly random free one.

    Vehicles are in order of arrival. Which ports are free is kept in trees, so that a vehicle takes time that grows
    with the logarithm of the number of ports.
    """
    n_ports = port_is_dc.size
    free = np.zeros((2, n_ports + 1), dtype=np.int64)  # AC ports; all ports
    n_free = np.zeros(2, dtype=np.int64)
    taken = is_battery.copy()
    for p in range(n_ports):
        if is_battery[p]:
            continue
        for k in range(1 if port_is_dc[p] else 0, 2):
            _count(free[k], p, 1)
            n_free[k] += 1
    leaving = np.argsort(departure_step, kind="mergesort")
    gone = 0
    for i in range(arrival_step.size):
        while gone < leaving.size and departure_step[leaving[gone]] <= arrival_step[i]:
            left = port[leaving[gone]]
            gone += 1
            if left >= 0:
                taken[left] = False
                for k in range(1 if port_is_dc[left] else 0, 2):
                    _count(free[k], left, 1)
                    n_free[k] += 1
        chosen = preferred[i]
        if chosen >= 0 and (taken[chosen] or (port_is_dc[chosen] and not takes_dc[i])):
            chosen = -1
        which = 1 if takes_dc[i] else 0
        if chosen < 0 and n_free[which] > 0:
            chosen = _place(free[which], int(choice[i] * n_free[which]))
        port[i] = chosen
        if chosen >= 0:
            taken[chosen] = True
            for k in range(1 if port_is_dc[chosen] else 0, 2):
                _count(free[k], chosen, -1)
                n_free[k] -= 1


@kernel
def _queue(
    arrival_step: np.ndarray,
    departure_step: np.ndarray,
    takes_dc: np.ndarray,
    patience: int,
    choice: np.ndarray,
    port_is_dc: np.ndarray,
    port: np.ndarray,
) -> np.ndarray:
    """Write the port of each vehicle, −1 for none, where vehicles wait: first come, first served.

    A vehicle takes a random free port, else the first that those before it leave within its patience, and stays as long
    there as it would have. The time of a vehicle grows with the number of ports.

    Returns
    -------
    int64, shape (n,)
        Steps that each vehicle waits.
    """
    n_ports = port_is_dc.size
    free_from = np.full(n_ports, np.iinfo(np.int64).min)
    wait = np.zeros(arrival_step.size, dtype=np.int64)
    for i in range(arrival_step.size):
        n_free, first = 0, -1
        for p in range(n_ports):
            if takes_dc[i] or not port_is_dc[p]:
                n_free += free_from[p] <= arrival_step[i]
                if first < 0 or free_from[p] < free_from[first]:
                    first = p
        port[i] = -1
        if n_free > 0:
            skip = int(choice[i] * n_free)
            for p in range(n_ports):
                if (takes_dc[i] or not port_is_dc[p]) and free_from[p] <= arrival_step[i]:
                    if skip == 0:
                        port[i] = p
                        break
                    skip -= 1
        elif first >= 0 and free_from[first] - arrival_step[i] <= patience:
            port[i] = first
            wait[i] = free_from[first] - arrival_step[i]
        if port[i] >= 0:
            free_from[port[i]] = departure_step[i] + wait[i]
    return wait


@kernel
def _charge_within(
    upper_kw: np.ndarray,
    currents: np.ndarray,
    weight: np.ndarray,
    current_group: np.ndarray,
    group_ports: np.ndarray,
    levels_kw: np.ndarray,
    step_h: float,
    vehicles: np.ndarray,
    curve: np.ndarray,
    energy_kwh: np.ndarray,
) -> np.ndarray:
    """Charge vehicles at full power up to their wish in the K steps before the episode, within all limits.

    All vehicles below a group beyond a limit get the same share of the power that they would have drawn, or the level
    of their port below it.

    Parameters
    ----------
    upper_kw, currents : float64, shapes (K, n_groups) and (3, K, n_currents)
        As in `Before`.
    weight, current_group, group_ports, levels_kw
        As in `SiteArrays`.
    vehicles : WAITING, shape (n,)
        In order of arrival; their steps are counted back from the episode, −1 is the last before it.
    curve : float64, shape (n, 2, CURVE_POINTS)
        Measured charge curves; of length 0 where no vehicle has one.
    energy_kwh : float64, shape (n,)
        On arrival, or at the first of the K steps for a vehicle that came before it; written: at the end of the last.

    Returns
    -------
    bool, shape (n,)
        Whether a vehicle got less than full power in some step.
    """
    n_steps, n_ports = len(upper_kw), weight.shape[2]
    curtailed = np.zeros(len(energy_kwh), dtype=np.bool_)
    gain_kwh = np.empty(len(energy_kwh))
    charging = np.empty(len(energy_kwh), dtype=np.int64)
    wanted_kw, power_kw = np.empty(n_ports), np.empty(n_ports)
    nothing_back = np.full(upper_kw.shape, -np.inf)
    n_come, n_charging = 0, 0
    for step in range(-n_steps, 0):
        while n_come < len(vehicles) and vehicles[n_come].arrival_step <= step:
            charging[n_charging] = n_come
            n_charging += 1
            n_come += 1
        wanted_kw[:] = 0.0
        n_before, n_charging = n_charging, 0
        for i in charging[:n_before]:
            one = vehicles[i]
            missing_kwh = one.wish_kwh - energy_kwh[i]
            if one.departure_step > step and missing_kwh > 0.0:
                charging[n_charging] = i
                n_charging += 1
                points = curve[i] if len(curve) > 0 else NO_CURVE
                gain = charging_gain(energy_kwh[i], step_h, one.rate_kw, one.capacity_kwh, one.tau_h, points)
                gain_kwh[i] = min(gain, missing_kwh)
                wanted_kw[one.port] = gain_kwh[i] / (one.charge_efficiency * step_h)
        power_kw[:] = wanted_kw
        row = n_steps + step
        scale(row, nothing_back, upper_kw, currents, weight, current_group, group_ports, power_kw)
        for i in charging[:n_charging]:
            p = vehicles[i].port
            power_kw[p] = level_below(power_kw[p], wanted_kw[p], levels_kw[0, p], levels_kw[1, p])
            if power_kw[p] < wanted_kw[p]:
                energy_kwh[i] += gain_kwh[i] * (power_kw[p] / wanted_kw[p])
                curtailed[i] = True
            else:
                energy_kwh[i] += gain_kwh[i]
    return curtailed


def _said_steps(said: Said, step_after: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Departure as said on arrival, step at which it is replaced, departure as said then, int64, shape (3, n); `NEVER`
    where nothing is said."""
    stay_h = [said.stay_h, said.revised_after_h, said.revised_h]
    return np.stack([np.where(np.isfinite(h), step_after(np.where(np.isfinite(h), h, 0.0)), NEVER) for h in stay_h])


def declarations(arrival: np.ndarray, departure: np.ndarray, said_steps: np.ndarray) -> dict[str, np.ndarray]:
    """What drivers say, as columns of sessions; of those who are there at the start, what they have said by then."""
    declared, revised_at, revised = said_steps
    before = (revised_at > NEVER) & (revised_at <= arrival)
    declared = np.where(before, np.where(revised > NEVER, revised, departure), declared)
    later = (revised_at > arrival) & (revised_at < departure)
    revised = np.where(later & (revised > NEVER), np.maximum(revised, revised_at + 1), departure)
    declared = np.maximum(declared, arrival + 1)
    return {
        "declared_step": np.where(declared == departure, 0, declared),
        "revised_at_step": np.where(later, revised_at, 0),
        "revised_step": np.where(later & (revised != departure), revised, 0),
    }


def park(
    fleet: Fleet,
    visitors: Visitors,
    arrival_h: np.ndarray,
    stay_h: np.ndarray,
    site: SiteArrays,
    step_h: float,
    n_steps: int,
    rng: np.random.Generator,
    preferred: np.ndarray | None = None,
    before: Before | None = None,
    choices: Sequence[Choice] = (),
    said: Said | None = None,
) -> tuple[np.ndarray, int]:
    """Sessions of one episode, and how many vehicles it turned away.

    Arrival and departure are rounded to the nearest step; every stay lasts one step at least. A vehicle that came
    before the episode is there from step 0. Until then it charged at full power of its port and of its own, taper
    included, and stopped at its wish, as its driver said it; what is missing remains its wish. Where the vehicles
    together would have drawn more than was allowed, they shared it. V2G takes a vehicle to the reserve, or to what it
    really arrived with if that was less. Its `ahead_kwh` is what it holds beyond an even service since it came; an even
    service rises to the wish, or to what full power gives if that is less.

    Parameters
    ----------
    fleet : Fleet
        Vehicle models.
    visitors : Visitors
        N vehicles.
    arrival_h, stay_h : float64, shape (n,)
        Arrival, elapsed since the start of the episode, in ascending order, and length of stay [h].
    site : SiteArrays
        Ports.
    step_h, n_steps : float, int
        Step length [h] and number of steps.
    rng : numpy.random.Generator
        Chooses among free ports, where there are no `choices`.
    preferred : int64, shape (n,), optional
        Port that each vehicle takes if it is free, −1: any.
    before : Before, optional
        Limits in the last K steps before the episode; left out, and before these steps, there are none.
    choices : sequence of Choice
        Which vehicles may stand at which ports, each vehicle and port in one; left out, any at any.
    said : Said, optional
        What the drivers say of their wishes and of their stays, which begin where they find a port; left out, the
        truth.
    """
    n = len(arrival_h)
    arrival = np.rint(arrival_h / step_h).astype(np.int64)

    def step_after(stay_h: np.ndarray) -> np.ndarray:
        steps: np.ndarray = np.maximum(arrival + 1, np.rint((arrival_h + stay_h) / step_h).astype(np.int64))
        return steps

    departure = step_after(stay_h)
    said_steps = None if said is None else _said_steps(said, step_after)
    port = np.full(n, -1, dtype=np.int64)
    takes_dc = fleet.dc_kw[visitors.model] > 0.0
    wish = np.full(n, -1, dtype=np.int64) if preferred is None else preferred
    for some in choices:
        who, chosen = some.visitors, np.empty(len(some.visitors), dtype=np.int64)
        free, draws = site.port_is_dc[some.ports], some.rng.random(len(who))
        patience = math.floor(some.patience_h / step_h + ROUNDING_STEPS)
        if patience > 0:
            wait = _queue(arrival[who], departure[who], takes_dc[who], patience, draws, free, chosen)
            arrival[who] += wait
            departure[who] += wait
            if said_steps is not None:
                said_steps[:, who] += np.where(said_steps[:, who] > NEVER, wait, 0)
        else:
            taken = site.is_battery[some.ports]
            _assign_ports(arrival[who], departure[who], takes_dc[who], wish[who], draws, free, taken, chosen)
        port[who] = np.where(chosen >= 0, some.ports[chosen], -1)
    if not choices:
        _assign_ports(arrival, departure, takes_dc, wish, rng.random(n), site.port_is_dc, site.is_battery, port)
    turned_away = int(np.count_nonzero((port < 0) & (arrival >= 0) & (arrival < n_steps)))

    n_before = 0 if before is None else len(before.upper_kw)
    parked = np.flatnonzero((port >= 0) & (departure > -n_before) & (arrival < n_steps))
    if any(some.patience_h > 0.0 for some in choices):
        parked = parked[np.argsort(arrival[parked], kind="stable")]  # who waited comes later
    port, arrival, departure, model = port[parked], arrival[parked], departure[parked], visitors.model[parked]
    capacity = fleet.capacity_kwh[model]
    curve, dc_kw = None, fleet.dc_kw[model]
    if fleet.curve is not None:
        curve = fleet.curve[model]
        dc_kw = np.where(curve[:, 1, 0] > 0.0, drawn_kw(site, port, dc_kw), dc_kw)  # a curve is of the battery
    vehicle_kw = np.where(site.port_is_dc[port], dc_kw, fleet.ac_kw[model])
    on_arrival = visitors.energy_kwh[parked]
    wish = np.minimum(on_arrival + visitors.wanted_kwh[parked], capacity)
    said_wish = wish if said is None else np.minimum(wish + said.overstated_kwh[parked], capacity)
    full_kw = np.minimum(site.port_charge_kw[port], vehicle_kw)
    rate_kw, efficiency = into_battery_kw(site, port, full_kw), site.charge_efficiency[port]
    if site.has_part_load:  # of full power, at which vehicles charge until the episode begins
        efficiency = np.divide(rate_kw, full_kw, out=efficiency, where=full_kw > 0.0)
    tau_h = taper_time_h(fleet.taper_start[model], capacity, efficiency, vehicle_kw)

    def after(steps: np.ndarray) -> np.ndarray:
        return energy_after(on_arrival, steps * step_h, rate_kw, capacity, tau_h, curve)

    waited, stay = np.maximum(0, -arrival), departure - arrival
    energy = np.minimum(after(waited), said_wish)
    behind = np.zeros(len(parked), dtype=np.bool_)  # less was charged than at full power
    if before is not None:
        held = np.minimum(after(np.maximum(0, -arrival - n_before)), said_wish)
        vehicles = np.empty(len(parked), dtype=WAITING)
        own = (arrival, departure, port, efficiency, rate_kw, capacity, tau_h, said_wish)
        for name, column in zip(WAITING.names or (), own, strict=True):
            vehicles[name] = column
        limits = (before.upper_kw, before.currents, site.current_weight, site.current_group, site.group_ports)
        points = np.empty((0, 2, CURVE_POINTS)) if curve is None else curve
        behind = _charge_within(*limits, site.port_levels_kw, step_h, vehicles, points, held) & (
            held < said_wish - ROUNDING_KWH
        )
        energy = np.where(behind, held, energy)
    even = on_arrival + (np.minimum(wish, after(stay)) - on_arrival) * waited / stay
    reserve = fleet.reserve * capacity
    columns = {
        "port": port,
        "arrival_step": np.maximum(arrival, 0),
        "departure_step": departure,
        "energy_kwh": energy,
        "wanted_kwh": np.maximum(0.0, wish - energy),
        "capacity_kwh": capacity,
        "charge_kw": vehicle_kw,
        "discharge_kw": np.where(visitors.is_v2g[parked], vehicle_kw, 0.0),
        "taper_start": fleet.taper_start[model],
        "reserve_kwh": np.where(arrival < 0, np.minimum(on_arrival, reserve), reserve),
        "ahead_kwh": np.where(behind, energy - even, np.maximum(0.0, energy - even)),  # behind by rounding alone: 0
        "vehicle": np.array(fleet.names)[model],
    }
    if said_steps is not None:
        columns["overstated_kwh"] = said_wish - energy - columns["wanted_kwh"]
        columns |= declarations(columns["arrival_step"], departure, said_steps[:, parked])
    kept = np.flatnonzero(departure > 0)
    kept = kept[np.lexsort((port[kept], columns["arrival_step"][kept]))]
    return session_table(**{name: column[kept] for name, column in columns.items()}), turned_away
