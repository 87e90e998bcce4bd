"""Tracks as arrays for the simulator: the stays of several days in one table, prices, loads and limits stacked.

A stay is the session of a track, and the values that follow from port, vehicle and step. Tables of stays are NumPy
arrays of the dtype `STAY`: the simulator, views of policies, own plans, messages, model predictive control and the
optimum all read this record, and its derived values are computed only here. Each row of a batch refers to a day by its
index, without copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ev_marl.scenario.curves import CURVE_POINTS, Points
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import (
    curve_table,
    curves_of,
    energy_after,
    energy_before,
    hours_along,
    share_in_taper,
    taper_time_h,
)
from ev_marl.site.part_load import METERED, into_battery_kw
from ev_marl.site.scaling import base_currents
from ev_marl.support.errors import TrackError
from ev_marl.world.session_table import SESSION
from ev_marl.world.track import Track

_NO_POWER_KW = 1e-300  # used instead of 0 to avoid 0/0
_NO_TAPER_H = 1e-9  # τ of a vehicle with a measured curve, which leaves nothing to a taper
_LEAST_DUE = 1e-6  # of the capacity: what is due, at least, where a mean is taken over it

DERIVED = {
    "deadline_step": ("i8", "when due_kwh is due: the departure, or the end of what is looked at if that is earlier"),
    "charge_efficiency": ("f8", "η⁺, battery power over metered power; the highest one if it depends on the power [-]"),
    "discharge_efficiency": ("f8", "η⁻, metered power over battery power [-]"),
    "floor_kwh": ("f8", "e_min: V2G never goes below [kWh]"),
    "due_kwh": ("f8", "energy that should be in the battery at the deadline [kWh]"),
    "wish_kwh": ("f8", "energy that should be in the battery at the departure [kWh]"),
    "even_kwh": ("f8", "energy at the end of the episode if the wish is served evenly over the stay [kWh]"),
    "served_kwh": ("f8", "wish_kwh, or 0 for a stationary battery: what simple rules charge to [kWh]"),
    "is_battery": ("i8", "1 for a stationary battery, which has a value of its energy instead of a wish"),
    "at_part_load": ("i8", "1 if the efficiency depends on the power, see `ev_marl.site.part_load`"),
    "wear_per_kwh": ("f8", "cost of a kWh metered into or out of a stationary battery [currency/kWh]"),
    "tau_h": ("f8", "τ, time constant of the taper [h]"),
    "rate_kw": ("f8", "full power at the battery, η⁺P⁺ unless the efficiency depends on the power [kW]"),
    "taper_kw_per_kwh": ("f8", "power of a step within the taper per room left, (1 − exp(−Δ/τ))/(η⁺Δ) [kW/kWh]"),
    "hours_per_kwh": (
        "f8",
        "time to charge one kWh at full power, 1/rate_kw; with a measured curve, the mean over what is due [h/kWh]",
    ),
    "n_curve": ("i8", "points of the vehicle's measured charge curve, 0: it has a taper"),
    "curve": (f"(4, {CURVE_POINTS})f8", "energies of these points [kWh], rates there [kW]; the same of the hull"),
}
"""Fields that a stay has besides those of a session; its charge_kw and discharge_kw are P⁺ and P⁻ [kW], the most that
port and vehicle allow together."""

_FIELDS = {name: SESSION[name] for name in SESSION.names or () if SESSION[name].kind != "U"} | {
    name: kind for name, (kind, _) in DERIVED.items()
}
# What every step reads comes first, so that it lies in few cache lines.
_FIRST: tuple[str, ...] = (
    "capacity_kwh",
    "due_kwh",
    "deadline_step",
    "departure_step",
    "charge_efficiency",
    "discharge_efficiency",
)
_FIRST += ("charge_kw", "discharge_kw", "rate_kw", "tau_h", "taper_kw_per_kwh", "floor_kwh", "hours_per_kwh")
_FIRST += ("n_curve",)
_MORE = ("arrival_step", "energy_kwh", "ahead_kwh", "wish_kwh", "even_kwh")
STAY = np.dtype([(name, _FIELDS[name]) for name in dict.fromkeys([*_FIRST, *_FIELDS])])
MOVING = np.dtype([(name, _FIELDS[name]) for name in (*_FIRST, *_MORE)])
"""The fields of a stay that a step reads."""
_NOBODY = np.zeros(1, dtype=STAY)
_NOBODY["capacity_kwh"] = _NOBODY["charge_efficiency"] = _NOBODY["discharge_efficiency"] = 1.0
_NOBODY["tau_h"] = np.inf


class Beliefs:
    """What everyone at the site believes of the stays at a step, where some drivers say something wrong.

    A departure is believed to be the one that the driver said last. Who is still there when it has passed is believed
    to leave with the next step. A wish is believed to be the one that the driver said. All that follows from both
    follows from what is believed; the simulator and the optimum use the truth.

    Parameters
    ----------
    stays : STAY, shape (N,)
        The true ones.
    who : int64, shape (M,)
        Those whose drivers declare something else.
    n_steps : int
        Steps of the episode.
    step_h : float
        Length of a step [h].
    """

    def __init__(self, stays: np.ndarray, who: np.ndarray, n_steps: int, step_h: float) -> None:
        self._who, self._n_steps, self._step_h = who, n_steps, step_h
        names = ("arrival_step", "departure_step", "declared_step", "revised_at_step", "revised_step")
        self._arrival, self._departure, declared, self._revised_at, revised = (stays[name][who] for name in names)
        self._declared = np.where(declared > 0, declared, self._departure)
        self._revised = np.where(revised > 0, revised, self._departure)
        self._believed, self._step = self._departure.copy(), -1
        self._stays = stays.copy()
        self._hear_wishes()
        self.at(0)

    @classmethod
    def of(cls, stays: np.ndarray, n_steps: int, step_h: float) -> Beliefs | None:
        """The beliefs about stays; None where all drivers say the truth."""
        said = (stays["declared_step"] > 0) | (stays["revised_at_step"] > 0) | (stays["overstated_kwh"] != 0.0)
        who = np.flatnonzero(said)
        return cls(stays, who, n_steps, step_h) if len(who) else None

    def _hear_wishes(self) -> None:
        """A wish is believed as the driver said it."""
        rows = self._who[self._stays["overstated_kwh"][self._who] != 0.0]
        some = self._stays[rows]
        some["wanted_kwh"] = np.maximum(0.0, some["wanted_kwh"] + some["overstated_kwh"])
        set_due(some, self._n_steps, self._step_h)
        self._stays[rows] = some

    def at(self, step: int) -> np.ndarray:
        """The stays as they are believed at a step, STAY, shape (N,): always the same array, changed in place."""
        if step != self._step:
            revised = (self._revised_at > 0) & (self._revised_at <= step)
            said = np.where(revised, self._revised, self._declared)
            there = (self._arrival <= step) & (step < self._departure)
            said = np.where(there, np.maximum(said, step + 1), said)
            changed = said != self._believed
            if changed.any():
                rows = self._who[changed]
                some = self._stays[rows]
                some["departure_step"] = said[changed]
                set_due(some, self._n_steps, self._step_h)
                self._stays[rows] = some
                self._believed = said
            self._step = step
        return self._stays


@dataclass(frozen=True)
class Days:
    """K tracks of one site as stacked arrays; N sessions in all, sorted by track, port and arrival."""

    n_steps: int
    step_h: float
    stays: np.ndarray  # STAY (N,)
    first_session: np.ndarray  # int64 (K, P + 1)  sessions of track k and port p: [first[k, p], first[k, p + 1])
    by_step: np.ndarray  # float64 (3, K, T)  buy_per_kwh, sell_per_kwh, local_hour
    by_group: np.ndarray  # float64 (3, K, T, G)  lower_kw, upper_kw, base_load_kw
    by_current: np.ndarray  # float64 (3, K, T, R)  current of the base load, real and imaginary part; clamped limit [A]
    later_per_kwh: np.ndarray  # float64 (K,)  price of energy after the episode
    weekday: np.ndarray  # int64 (K, T)  Monday 0
    day_of_year: np.ndarray  # int64 (K, T)  1..366
    carbon_kg_per_kwh: np.ndarray | None = None  # float64 (K, T)  CO2 of what is drawn from the grid; None: not known
    temperature_c: np.ndarray | None = None  # float64 (K, T)  ambient; None: not known
    pv_kw: np.ndarray | None = None  # float64 (K, T)  of plants with place and modules; None: there are none
    published_steps: np.ndarray | None = None  # float64 (K, T)  see `ev_marl.world.signals.Signals`; None: all
    events: tuple[np.ndarray, ...] = ()  # EVENT (E,) of each day; empty where no day has any
    requests: np.ndarray | None = None  # float64 (K, T, 2, G)  see `ev_marl.world.events.requested`; None: none
    works: np.ndarray | None = None  # float64 (K, T, P)  0 for ports out of order, else 1; None: no outages
    beliefs: Beliefs | None = None  # where drivers declare other departures than the true ones; None: nowhere

    @cached_property
    def moving(self) -> np.ndarray:
        """What a step reads of the stays, MOVING, shape (N,): side by side, so that fewer bytes are read."""
        slim = np.empty(len(self.stays), dtype=MOVING)
        for name in MOVING.names or ():
            slim[name] = self.stays[name]
        return slim

    @cached_property
    def curves(self) -> np.ndarray:
        """Energies [kWh] and rates [kW] of the measured charge curves, float64, shape (N, 2, CURVE_POINTS); (0, 2, ...)
        where there is none."""
        found = curves_of(self.stays)
        return np.zeros((0, 2, CURVE_POINTS)) if found is None else found

    def believed(self, step: int) -> np.ndarray:
        """The stays as everyone at the site believes them to be at a step, STAY, shape (N,); see `Beliefs`."""
        return self.stays if self.beliefs is None else self.beliefs.at(step)

    @property
    def n_days(self) -> int:
        """K."""
        return len(self.weekday)

    @property
    def buy_per_kwh(self) -> np.ndarray:
        """Price of buying, float64, shape (K, T) [currency/kWh]."""
        return np.asarray(self.by_step[0])

    @property
    def sell_per_kwh(self) -> np.ndarray:
        """Price of selling, float64, shape (K, T) [currency/kWh]."""
        return np.asarray(self.by_step[1])

    @property
    def local_hour(self) -> np.ndarray:
        """Local clock time of each step, float64, shape (K, T) [h in 0..24)."""
        return np.asarray(self.by_step[2])

    @property
    def lower_kw(self) -> np.ndarray:
        """Clamped export limits of the groups, float64, shape (K, T, G) [kW]."""
        return np.asarray(self.by_group[0])

    @property
    def upper_kw(self) -> np.ndarray:
        """Clamped import limits of the groups, float64, shape (K, T, G) [kW]."""
        return np.asarray(self.by_group[1])

    @property
    def base_load_kw(self) -> np.ndarray:
        """Inflexible load − PV below each group, float64, shape (K, T, G) [kW]."""
        return np.asarray(self.by_group[2])

    @classmethod
    def stack(cls, site: SiteArrays, tracks: Sequence[Track]) -> Days:
        """Stack tracks of the same site, step and horizon.

        Raises
        ------
        TrackError
            If there is no track, or if one differs in step, horizon or signals, or does not fit the site.
        """
        if not tracks:
            raise TrackError("no track to simulate: give at least one")
        first = tracks[0]
        tables: list[np.ndarray] = []
        starts = np.empty((len(tracks), site.n_ports + 1), dtype=np.int64)
        offset = 0
        for k, track in enumerate(tracks):
            if track.step_h != first.step_h or track.n_steps != first.n_steps:
                raise TrackError(
                    f"track {k} has {track.n_steps} steps of {track.step_h} h, the first has {first.n_steps} of "
                    f"{first.step_h} h; simulate them separately"
                )
            if len(track.ports) != site.n_ports or track.base_load_kw.shape[1] != site.n_groups:
                raise TrackError(
                    f"track {k} is of a site with {len(track.ports)} ports and {track.base_load_kw.shape[1]} groups, "
                    f"this site has {site.n_ports} and {site.n_groups}"
                )
            stays = stays_of(site, track)
            order = np.lexsort((stays["arrival_step"], stays["port"]))
            counts = np.bincount(stays["port"], minlength=site.n_ports)
            starts[k, 0] = offset
            starts[k, 1:] = offset + np.cumsum(counts)
            offset += len(stays)
            tables.append(stays[order])
        signals = {name: _stacked(name, tracks) for name in first.signals.present}
        if any(track.signals.present.keys() != signals.keys() for track in tracks):
            raise TrackError(
                "some tracks have signals (carbon intensity, temperature) that others lack; simulate them separately"
            )
        clocks = [track.clock for track in tracks]
        table = np.concatenate(tables)
        by_group = np.stack(
            [
                [track.lower_kw for track in tracks],
                [track.upper_kw for track in tracks],
                [track.base_load_kw for track in tracks],
            ]
        )
        return cls(
            n_steps=first.n_steps,
            step_h=first.step_h,
            stays=table,
            first_session=starts,
            by_step=np.stack(
                [
                    [track.buy_per_kwh for track in tracks],
                    [track.sell_per_kwh for track in tracks],
                    [clock.local_hour for clock in clocks],
                ]
            ),
            by_group=by_group,
            by_current=base_currents(site, by_group[2]),
            later_per_kwh=np.array([track.later_per_kwh for track in tracks]),
            weekday=np.stack([clock.weekday for clock in clocks]),
            day_of_year=np.stack([clock.day_of_year for clock in clocks]),
            events=tuple(track.events for track in tracks) if any(len(track.events) for track in tracks) else (),
            requests=_requests(tracks),
            works=_working(tracks),
            beliefs=Beliefs.of(table, first.n_steps, first.step_h),
            **signals,
        )


def _stacked(name: str, tracks: Sequence[Track]) -> np.ndarray:
    """A signal of all tracks, shape (K, T); of those that lack it, NaN."""
    none = np.full(tracks[0].n_steps, np.nan)
    return np.stack([track.signals.present.get(name, none) for track in tracks])


def _requests(tracks: Sequence[Track]) -> np.ndarray | None:
    """Requests with a penalty; of days without any, 0, so that nothing is paid."""
    requests = [track.requests for track in tracks]
    if all(one is None for one in requests):
        return None
    none = np.zeros((tracks[0].n_steps, 2, len(tracks[0].groups)))
    return np.stack([none if one is None else one for one in requests])


def _working(tracks: Sequence[Track]) -> np.ndarray | None:
    out = [track.out_ports for track in tracks]
    if all(one is None for one in out):
        return None
    works = np.ones((len(tracks), tracks[0].n_steps, len(tracks[0].ports)))
    for one, of_day in zip(works, out, strict=True):
        one[...] = 1.0 if of_day is None else ~of_day
    return works


def stays_of(site: SiteArrays, track: Track) -> np.ndarray:
    """Stays of a track, in its order; see `stays_of_sessions`."""
    return stays_of_sessions(site, track.sessions, track.n_steps, track.step_h, track.curves)


def stays_of_sessions(
    site: SiteArrays, sessions: np.ndarray, n_steps: int, step_h: float, curves: Mapping[str, Points] | None = None
) -> np.ndarray:
    """Stays of sessions, in their order.

    What is due is the wish, or the energy that full power from arrival to departure gives if that is less. For a
    session that lasts longer than the horizon, it is the least energy at the end of the horizon from which full power
    reaches that energy by departure. An even service rises linearly from the energy on arrival (for a vehicle that came
    before the start, from the energy it would then have) to the wish at departure. A stationary battery is owed
    nothing; its wish is its capacity, since every kWh in it has a value at the end, and what is even is what it began
    with.

    Parameters
    ----------
    site : SiteArrays
        Ratings and efficiencies of the ports.
    sessions : SESSION, shape (n_sessions,)
        What a track has of them.
    n_steps : int
        Steps of the episode.
    step_h : float
        Length of a step [h].
    curves : mapping of str, optional
        Measured charge curves of vehicle models, see `curve_table`; all others have a taper.

    Returns
    -------
    STAY, shape (n_sessions,)
    """
    stays = np.empty(len(sessions), dtype=STAY)
    for name in STAY.names or ():
        if name in (SESSION.names or ()):
            stays[name] = sessions[name]
    port, capacity_kwh = stays["port"], stays["capacity_kwh"]
    stays["charge_efficiency"] = efficiency = site.charge_efficiency[port]
    stays["discharge_efficiency"] = site.discharge_efficiency[port]
    vehicle_kw, full_kw = sessions["charge_kw"], np.minimum(site.port_charge_kw[port], sessions["charge_kw"])
    stays["charge_kw"], stays["at_part_load"] = full_kw, 0
    if site.has_part_load:
        stays["at_part_load"] = site.part_load[port, METERED, -1] > 0.0
        rate_kw = into_battery_kw(site, port, full_kw)
        efficiency = np.where(stays["at_part_load"] > 0, rate_kw / np.maximum(full_kw, _NO_POWER_KW), efficiency)
    stays["tau_h"] = tau_h = taper_time_h(stays["taper_start"], capacity_kwh, efficiency, vehicle_kw)
    stays["discharge_kw"] = np.minimum(site.port_discharge_kw[port], stays["discharge_kw"])
    stays["floor_kwh"] = np.minimum(stays["energy_kwh"], stays["reserve_kwh"])
    stays["n_curve"], stays["curve"] = 0, 0.0
    for name, points in (curves or {}).items():
        for k in np.flatnonzero(sessions["vehicle"] == name):
            most_kw = max(_NO_POWER_KW, efficiency[k] * stays["charge_kw"][k])
            stays["n_curve"][k], stays["curve"][k] = len(points), curve_table(points, capacity_kwh[k], most_kw)
    curve = curves_of(stays)
    if curve is not None:
        stays["tau_h"] = np.where(stays["n_curve"] > 0, _NO_TAPER_H, tau_h)
    set_rates(stays, step_h)
    if site.has_part_load:
        stays["rate_kw"] = rate_kw
        stays["hours_per_kwh"] = 1.0 / np.maximum(rate_kw, _NO_POWER_KW)
    set_due(stays, n_steps, step_h)
    stays["is_battery"] = battery = site.is_battery[port]
    stays["wear_per_kwh"] = site.storage_wear_per_kwh[port]
    if battery.any():  # all that it holds has a value, and it is owed nothing
        stays["wish_kwh"][battery] = capacity_kwh[battery]
        stays["due_kwh"][battery] = stays["floor_kwh"][battery]
        stays["even_kwh"][battery] = (stays["energy_kwh"] - stays["ahead_kwh"])[battery]
        stays["served_kwh"][battery] = 0.0
    return stays


def set_due(stays: np.ndarray, n_steps: int, step_h: float) -> None:
    """Write the fields of vehicles that follow from departure and wish; see `stays_of_sessions`.

    Parameters
    ----------
    stays : STAY, shape (n_stays,)
        With departures, wishes and rates; written.
    n_steps : int
        Steps of the episode.
    step_h : float
        Length of a step [h].
    """
    stays["deadline_step"] = np.minimum(stays["departure_step"], n_steps)
    capacity_kwh, tau_h, rate_kw, curve = stays["capacity_kwh"], stays["tau_h"], stays["rate_kw"], curves_of(stays)
    steps = stays["departure_step"] - stays["arrival_step"]
    most = energy_after(stays["energy_kwh"], steps * step_h, rate_kw, capacity_kwh, tau_h, curve)
    stays["wish_kwh"] = wish = np.minimum(stays["energy_kwh"] + stays["wanted_kwh"], most)
    beyond = np.maximum(0, stays["departure_step"] - n_steps)
    reachable = energy_before(wish, beyond * step_h, rate_kw, capacity_kwh, tau_h, curve)
    stays["due_kwh"] = np.where(beyond > 0, reachable, wish)
    if curve is not None:
        due_kwh = np.maximum(stays["due_kwh"] - stays["energy_kwh"], _LEAST_DUE * capacity_kwh)
        from_kwh = np.maximum(0.0, stays["due_kwh"] - due_kwh)
        mean_h = hours_along(from_kwh, from_kwh + due_kwh, np.maximum(rate_kw, _NO_POWER_KW), curve) / due_kwh
        stays["hours_per_kwh"] = np.where(stays["n_curve"] > 0, mean_h, stays["hours_per_kwh"])
    from_kwh = stays["energy_kwh"] - stays["ahead_kwh"]
    stays["even_kwh"] = np.where(beyond > 0, wish - (wish - from_kwh) * beyond / steps, wish)
    stays["served_kwh"] = wish


def set_rates(stays: np.ndarray, step_h: float) -> None:
    """Write the fields that follow from power, efficiency and taper: `rate_kw` and the next two."""
    efficiency = stays["charge_efficiency"]
    stays["rate_kw"] = efficiency * stays["charge_kw"]
    stays["taper_kw_per_kwh"] = share_in_taper(step_h, stays["tau_h"]) / (efficiency * step_h)
    stays["hours_per_kwh"] = 1.0 / np.maximum(stays["rate_kw"], _NO_POWER_KW)


def vehicles_at(stays: np.ndarray, session: np.ndarray, energy_kwh: np.ndarray, step: int) -> np.ndarray:
    """The vehicle at each port, as it is now.

    Parameters
    ----------
    stays : STAY, shape (n_stays,)
        All stays.
    session : int64, shape (n_batch, n_ports)
        Connected session as an index into the stays, −1 at an empty port.
    energy_kwh : float64, shape (n_batch, n_ports)
        Energy in the battery now [kWh].
    step : int
        The coming step.

    Returns
    -------
    STAY, shape (n_batch, n_ports)
        Copies, with the present energy as `energy_kwh`. At empty ports all fields are 0, except that capacity and
        efficiencies are 1, the time constant of the taper is infinite, and arrival, departure and deadline are the
        coming step.
    """
    nobody = _NOBODY.copy()
    nobody["arrival_step"] = nobody["departure_step"] = nobody["deadline_step"] = step
    free = session < 0
    vehicles: np.ndarray = stays.take(session, mode="clip") if len(stays) else np.empty(session.shape, dtype=STAY)
    vehicles[free] = nobody
    vehicles["energy_kwh"] = energy_kwh
    return vehicles
