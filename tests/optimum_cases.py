"""Days for the tests of the optimum, and an optimum of its own: scipy, straight from the equations, nothing shared."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
from builders import START, random_site, random_track
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, brentq, milp

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.scenario.schema import Metering
from ev_marl.site import Site
from ev_marl.world.session_table import session_table
from ev_marl.world.track import Track


def one_port_day(
    buy: list[float],
    *,
    sell: list[float] | None = None,
    import_limit_kw: float | list[float] = np.inf,
    export_limit_kw: float = np.inf,
    base_load_kw: float = 0.0,
    stay: tuple[int, int] | None = None,
    energy_kwh: float = 20.0,
    wanted_kwh: float = 10.0,
    capacity_kwh: float = 100.0,
    discharge_kw: float = 0.0,
    efficiency: float = 1.0,
    taper_start: float = 0.8,
    reserve_kwh: float = 0.0,
    n_vehicles: int = 1,
) -> tuple[Site, Track]:
    """One or more equal vehicles, each at its own 10 kW port, steps of one hour."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid", import_limit_kw=1000.0, export_limit_kw=1000.0)
    for a in range(n_vehicles):
        graph.add_node(f"ac_{a}", kind="station", type="ac", supply="ac")
        graph.add_edge("grid", f"ac_{a}")
        graph.add_node(
            f"ac_{a}/0",
            kind="port",
            supply="ac",
            charge_kw=10.0,
            discharge_kw=discharge_kw,
            charge_efficiency=efficiency,
            discharge_efficiency=efficiency,
        )
        graph.add_edge(f"ac_{a}", f"ac_{a}/0")
    site = Site.from_graph(graph)
    n_steps = len(buy)
    arrival, departure = stay or (0, n_steps)

    def every(value: float, dtype: type = float) -> np.ndarray:
        return np.full(n_vehicles, value, dtype=dtype)

    sessions = session_table(
        port=np.arange(n_vehicles),
        arrival_step=every(arrival, np.int64),
        departure_step=every(departure, np.int64),
        energy_kwh=every(energy_kwh),
        wanted_kwh=every(wanted_kwh),
        capacity_kwh=every(capacity_kwh),
        charge_kw=every(10.0),
        discharge_kw=every(discharge_kw),
        taper_start=every(taper_start),
        reserve_kwh=every(reserve_kwh),
        vehicle=["car"] * n_vehicles,
    )
    column = np.ones((n_steps, 1))
    return site, Track(
        start=START,
        timezone="UTC",
        step_h=1.0,
        currency="EUR",
        ports=site.ports,
        groups=site.groups,
        sessions=sessions,
        buy_per_kwh=np.array(buy, dtype=float),
        sell_per_kwh=np.array(buy if sell is None else sell, dtype=float),
        base_load_kw=base_load_kw * column,
        import_limit_kw=np.reshape(import_limit_kw, (-1, 1)) * column,
        export_limit_kw=export_limit_kw * column,
    )


def staying_vehicle(rng: np.random.Generator) -> tuple[Site, Track]:
    """A random vehicle that stays beyond the end of eight steps; some can be discharged."""
    return one_port_day(
        rng.uniform(0.1, 0.5, 8).tolist(),
        stay=(0, 8 + int(rng.integers(1, 8))),
        wanted_kwh=float(rng.uniform(0, 60)),
        discharge_kw=float(rng.choice([0.0, 8.0])),
        efficiency=0.95,
        taper_start=0.99,
    )


def money(*, wear: float = 0.0, unmet: float = 1.0, metering: Metering = "port") -> Objective:
    """Energy cost, unmet energy, and wear where it is not free."""
    terms = [EnergyCost(metering=metering), UnmetEnergy(unmet)]
    return Objective([*terms, BatteryWear(wear)] if wear > 0.0 else terms)


def random_day(seed: int, *, n_steps: int = 10, negative_prices: bool = True) -> tuple[Site, Track]:
    """A small random site and day."""
    rng = np.random.default_rng(seed)
    site = random_site(rng, most_stations=5)
    return site, random_track(rng, site, n_steps=n_steps, negative_prices=negative_prices)


def without_limits(track: Track) -> Track:
    """The same day with no group limit."""
    nothing = np.full(track.import_limit_kw.shape, np.inf)
    return replace(track, import_limit_kw=nothing, export_limit_kw=nothing)


class _Vehicle:
    """One session's physics, written down once more."""

    def __init__(self, site: Site, track: Track, s: int) -> None:
        sessions, arrays, self.step_h = track.sessions, site.arrays, track.step_h
        port = sessions["port"][s]
        self.most_kw = min(arrays.port_charge_kw[port], sessions["charge_kw"][s])
        self.least_kw = min(arrays.port_discharge_kw[port], sessions["discharge_kw"][s])
        self.eta_in, self.eta_out = arrays.charge_efficiency[port], arrays.discharge_efficiency[port]
        self.capacity = sessions["capacity_kwh"][s]
        self.tau = (1 - sessions["taper_start"][s]) * self.capacity / (self.eta_in * sessions["charge_kw"][s])
        self.arrival = sessions["energy_kwh"][s]
        self.floor = min(self.arrival, sessions["reserve_kwh"][s])
        first, leave = sessions["arrival_step"][s], sessions["departure_step"][s]
        self.steps = range(first, min(leave, track.n_steps))
        self.stays_on, self.ahead = leave > track.n_steps, sessions["ahead_kwh"][s]
        wish = min(self.arrival + sessions["wanted_kwh"][s], self.flow(self.arrival, (leave - first) * self.step_h))
        start = self.arrival - self.ahead
        self.wish, self.even = wish, start + (wish - start) * (track.n_steps - first) / (leave - first)
        beyond_h = max(0, leave - track.n_steps) * self.step_h
        if beyond_h == 0:
            self.due = wish
        elif wish >= self.capacity:
            self.due = self.capacity
        else:
            low = wish - self.eta_in * self.most_kw * beyond_h - 1.0
            self.due = brentq(lambda e: self.flow(e, beyond_h) - wish, low, wish, xtol=1e-13)

    def flow(self, energy: float, hours: float) -> float:
        """F: constant current up to the knee, then the exponential."""
        rate = self.eta_in * self.most_kw
        knee = self.capacity - rate * self.tau
        straight_h = min(hours, max(0.0, (knee - energy) / rate))
        energy += rate * straight_h
        return (
            self.capacity - (self.capacity - energy) * np.exp(-(hours - straight_h) / self.tau)
            if (hours > straight_h)
            else energy
        )

    def tangent(self, energy: float) -> tuple[float, float]:
        """Slope and F at a point; the slope as dF/de by the chain rule of the two phases."""
        rate = self.eta_in * self.most_kw
        in_taper_h = self.step_h - min(self.step_h, max(0.0, (self.capacity - rate * self.tau - energy) / rate))
        return float(np.exp(-in_taper_h / self.tau)), self.flow(energy, self.step_h)


def reference_bound(
    site: Site,
    track: Track,
    *,
    wear: float = 0.0,
    unmet: float = 1.0,
    exclusive: bool = True,
    metering: str = "port",
    later: float | None = None,
) -> float:
    """Highest team return, by scipy: dense tangents, and a binary at every pair that can charge and discharge.

    With the meter at the site, import and export of each step are columns, with a binary in every step.

    Parameters
    ----------
    site, track
        The day; group limits are hard.
    wear, unmet : float
        Prices [currency/kWh].
    exclusive : bool
        Whether charging and discharging exclude each other.
    metering : {"port", "site"}
        Where energy is billed.
    later : float, optional
        Price of energy after the end; left out, the end counts for nothing.
    """
    arrays, step_h = site.arrays, track.step_h
    vehicles = [_Vehicle(site, track, s) for s in range(len(track.sessions))]
    cost: list[float] = []
    lower: list[float] = []
    upper: list[float] = []
    whole: list[int] = []
    rows: list[tuple[dict[int, float], float, float]] = []
    at_step: list[dict[int, dict[int, float]]] = [{} for _ in range(track.n_steps)]

    def column(price: float, low: float, high: float, integer: int = 0) -> int:
        cost.append(price)
        lower.append(low)
        upper.append(high)
        whole.append(integer)
        return len(cost) - 1

    constant = 0.0
    chains = []
    for s, car in enumerate(vehicles):
        before = column(0.0, car.arrival, car.arrival)
        for t in car.steps:
            at_port = step_h * (metering == "port")
            c = column(at_port * track.buy_per_kwh[t] + step_h * wear, 0.0, car.most_kw)
            d = column(step_h * wear - at_port * track.sell_per_kwh[t], 0.0, car.least_kw)
            e = column(0.0, min(car.floor, car.arrival), car.capacity)
            rows.append(({e: 1.0, before: -1.0, c: -step_h * car.eta_in, d: step_h / car.eta_out}, 0.0, 0.0))
            if car.least_kw > 0 and exclusive:
                z = column(0.0, 0.0, 1.0, 1)
                rows.append(({c: 1.0, z: -car.most_kw}, -np.inf, 0.0))
                rows.append(({d: 1.0, z: car.least_kw}, -np.inf, car.least_kw))
            at_step[t].setdefault(int(track.sessions["port"][s]), {}).update({c: 1.0, d: -1.0})
            chains.append((car, before, e))
            before = e
        short = column(unmet, 0.0, car.capacity)
        rows.append(({short: 1.0, before: 1.0}, car.due, np.inf))
        worth = 0.0 if later is None else min(unmet, max(0.0, later + wear) / car.eta_in)
        constant += worth * car.ahead
        if car.stays_on and len(car.steps):
            counted = column(-worth, -1000.0, car.wish)
            rows.append(({counted: 1.0, before: -1.0, short: -1.0}, -np.inf, 0.0))
            constant += worth * car.even
    for t in range(track.n_steps):
        for g in range(arrays.n_groups):
            row: dict[int, float] = {}
            for port in range(arrays.group_first_port[g], arrays.group_end_port[g]):
                row.update(at_step[t].get(port, {}))
            most = max(0.0, track.import_limit_kw[t, g] - track.base_load_kw[t, g])
            least = min(0.0, -track.export_limit_kw[t, g] - track.base_load_kw[t, g])
            if row:
                rows.append((row, least, most))

    if metering == "site":
        for t in range(track.n_steps):
            base, buy, sell = track.base_load_kw[t, 0], step_h * track.buy_per_kwh[t], step_h * track.sell_per_kwh[t]
            constant -= buy * base if base > 0.0 else sell * base
            far = 1000.0
            bought, sold, way = column(buy, 0.0, far), column(-sell, 0.0, far), column(0.0, 0.0, 1.0, 1)
            drawn = {j: v for one in at_step[t].values() for j, v in one.items()}
            rows.append(({bought: 1.0, sold: -1.0, **{j: -v for j, v in drawn.items()}}, base, base))
            rows.append(({bought: 1.0, way: -far}, -np.inf, 0.0))
            rows.append(({sold: 1.0, way: far}, -np.inf, far))

    def add_tangent(car: _Vehicle, before: int, after: int, energy: float) -> None:
        slope, height = car.tangent(energy)
        rows.append(({after: 1.0, before: -slope}, -np.inf, height - slope * energy))

    for car, before, after in chains:
        for energy in np.linspace(max(0.0, car.floor), car.capacity, 25):
            add_tangent(car, before, after, float(energy))
    if not cost:
        return 0.0
    for _ in range(30):
        entries = [(i, j, v) for i, (row, _, _) in enumerate(rows) for j, v in row.items()]
        i, j, v = (np.array(column) for column in zip(*entries, strict=True))
        result = milp(
            np.array(cost),
            integrality=np.array(whole),
            bounds=Bounds(np.array(lower), np.array(upper)),
            constraints=LinearConstraint(
                sparse.csr_array((v, (i, j)), shape=(len(rows), len(cost))),
                np.array([row[1] for row in rows]),
                np.array([row[2] for row in rows]),
            ),
            options={"mip_rel_gap": 1e-9},
        )
        assert result.success, result.message
        above = [k for k, (car, b, e) in enumerate(chains) if result.x[e] > car.flow(result.x[b], step_h) + 1e-7]
        if not above:
            break
        for k in above:
            car, before, after = chains[k]
            add_tangent(car, before, after, float(result.x[before]))
    return -(float(result.fun) + constant)
