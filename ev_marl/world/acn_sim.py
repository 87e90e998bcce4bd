"""Recorded sessions of many days as one track, by the rules of ACN-Sim.

Sessions that a reader gave and a scenario come in; one track as long as the scenario's horizon goes out, in which
vehicles stay over midnight. The rules are those of ACN-Sim 0.3.3 (Lee et al., "Adaptive Charging Networks", IEEE Trans.
Smart Grid 12 (2021); acnportal, BSD-3, `acnsim.events.acndata_events` with `force_feasible`): nothing is drawn, so
published results can be computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import get_args

import numpy as np

from ev_marl.scenario import Scenario
from ev_marl.scenario.choices import LATEST_TAPER
from ev_marl.site.charge_curve import energy_after, taper_time_h
from ev_marl.site.part_load import into_battery_kw
from ev_marl.site.site import Site
from ev_marl.support.errors import DataError
from ev_marl.world.batteries import NO_TAPER_KW, with_batteries
from ev_marl.world.choices import Battery, Departures
from ev_marl.world.importing import ports_of_stations, require_sessions
from ev_marl.world.parking import NEVER, declarations
from ev_marl.world.readers.records import SessionRecord, SessionRecords
from ev_marl.world.session_table import session_table
from ev_marl.world.track import Track
from ev_marl.world.world import World

LONGEST_STAY = 144  # steps; 12 h at 5 min, as in the experiments of Lee et al.
CAPACITIES_KWH = (8.0, 24.0, 40.0, 60.0, 85.0, 100.0)  # of two-stage batteries: acnportal 0.3.3, `batt_cap_fn`
TAPER_START = 0.8  # the same

_TOLERANCE_H = 1e-9
_TOLERANCE_KWH = 1e-9


def sessions_to_track(
    data: SessionRecords,
    scenario: Scenario,
    site: Site | None = None,
    *,
    battery: Battery = "ideal",
    longest_stay: int = LONGEST_STAY,
    departures: Departures = "true",
    seed: int = 0,
) -> Track:
    """One track from the scenario's `start` to the end of its horizon, with all sessions that begin in this time.

    Arrivals and departures are rounded down to steps; a stay that then lasts no step is left out. Longer stays are cut
    to `longest_stay` steps. The wish is the delivered energy, cut to what full power of the port gives in the stay.
    Each station of the data has its own ports, by the `ids` of the site's stations; where these have none, in order of
    first use. A session at a station that the site does not have, or whose ports are taken, is left out and counted in
    `turned_away`.

    Parameters
    ----------
    data : SessionRecords
        What a reader gave.
    scenario : Scenario
        All that the data do not hold; the clock is that of the data.
    site : Site, optional
        Site; left out, the scenario's own.
    battery : {"ideal", "two_stage"}
        `ideal`: empty on arrival, full with the wish, and without a taper. `two_stage`: the smallest capacity that can
        take the wish, and the highest energy on arrival from which the wish is just reached, see `two_stage_battery`.
    longest_stay : int
        In steps.
    departures : {"declared", "true"}
        What drivers say of their departure: when they leave, as in the experiments of Lee et al., or what they said
        where the data have it; what is said of the time before the next step counts as the next step.
    seed : int
        Seed of prices and loads, where they are drawn, >= 0.

    Raises
    ------
    DataError
        If no session of the data is in this time at a station of the site, or if there is no such battery.
    """
    if battery not in get_args(Battery):
        raise DataError(f"no battery is called '{battery}'. Known: {', '.join(get_args(Battery))}")
    require_sessions(data)
    world = World(scenario.model_copy(update={"timezone": data.timezone, "until": None, "days": "all"}), site)
    track = world.surroundings(seed)
    end = track.start + timedelta(hours=track.clock.horizon_h)
    records = [record for record in data.records if track.start <= record.arrival < end]
    stations, how = ports_of_stations(data, world.site)
    arrival, departure = (
        _steps(np.array([getattr(record, key).timestamp() for record in records]), track)
        for key in ("arrival", "departure")
    )
    departure = np.minimum(departure, arrival + longest_stay)
    port = np.full(len(records), -1, dtype=np.int64)
    free_from = np.zeros(len(world.site.ports), dtype=np.int64)
    for i in np.flatnonzero(departure > arrival):
        free = [p for p in stations.get(records[i].station, ()) if free_from[p] <= arrival[i]]
        if free:
            port[i] = free[0]
            free_from[free[0]] = departure[i]
    kept = np.flatnonzero(port >= 0)
    if len(kept) == 0:
        raise DataError(
            f"{data.file}: no session begins from {track.start} to {end} at a station of the site; of "
            f"{len(data)} sessions, the first begins at {data.records[0].arrival}; {how}"
        )
    turned_away = int(np.count_nonzero((port < 0) & (departure > arrival)))
    kept = kept[np.lexsort((port[kept], arrival[kept]))]
    port, stay_h = port[kept], (departure - arrival)[kept] * track.step_h
    port_kw = world.site.arrays.port_charge_kw[port]
    rate_kw = into_battery_kw(world.site.arrays, port, port_kw)
    delivered = np.array([records[i].delivered_kwh for i in kept])
    wanted = np.minimum(delivered, rate_kw * stay_h)
    if battery == "ideal":
        capacity, energy = wanted, np.zeros(len(kept))
        vehicle_kw, taper_start = np.full(len(kept), NO_TAPER_KW), LATEST_TAPER
    else:
        capacity, energy, wanted = two_stage_battery(wanted, stay_h, rate_kw)
        vehicle_kw, taper_start = port_kw, TAPER_START
    said = {}
    if departures == "declared":
        said = _declarations([records[i] for i in kept], arrival[kept], departure[kept], track)
    sessions = session_table(
        port=port,
        arrival_step=arrival[kept],
        departure_step=departure[kept],
        energy_kwh=energy,
        wanted_kwh=wanted,
        capacity_kwh=capacity,
        charge_kw=vehicle_kw,
        discharge_kw=np.zeros(len(kept)),
        taper_start=np.full(len(kept), taper_start),
        vehicle=np.full(len(kept), battery),
        **said,
    )
    source = {
        "kind": "data",
        "file": data.file,
        "scenario": scenario.name,
        "seed": str(seed),
        "energy": "delivered",
        "ports": how,
        "imputed": f"{battery} batteries; times rounded down to steps; stays of at most {longest_stay} steps; "
        f"{np.count_nonzero(wanted < delivered)} wishes cut to what the stay allows; "
        f"{np.count_nonzero(departure <= arrival)} stays of no step left out",
        "notes": "; ".join(data.notes),
    }
    sessions = with_batteries(sessions, world.site.arrays, track.n_steps)
    return track.replace(sessions=sessions, turned_away=turned_away, source=source)


def _declarations(
    records: Sequence[SessionRecord], arrival: np.ndarray, departure: np.ndarray, track: Track
) -> dict[str, np.ndarray]:
    """What drivers said, as columns of sessions."""

    def steps(name: str) -> np.ndarray:
        known = np.array([getattr(record, name) is not None for record in records])
        found = np.full(len(records), NEVER)
        found[known] = _steps(np.array([getattr(r, name).timestamp() for r in records if getattr(r, name)]), track)
        return found

    declared, revised_at, revised = steps("declared"), steps("revised_at"), steps("revised")
    said = np.stack([np.where(declared > NEVER, declared, departure), revised_at, revised])
    return declarations(arrival, departure, said)


def two_stage_battery(
    wanted_kwh: np.ndarray, stay_h: np.ndarray, rate_kw: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batteries that slow down as early as their wish allows, like those of `batt_cap_fn` of acnportal 0.3.3.

    The capacity is the smallest of `CAPACITIES_KWH` that can take the wish in the stay, and the energy on arrival the
    highest from which the wish is just reached at full power. acnportal gives vehicles that would arrive above 80 %, so
    with wishes below 1.6 kWh, their state of charge as if it were an energy: they arrive with less than 1 kWh, and
    never slow down. Here they arrive with what is meant.

    Parameters
    ----------
    wanted_kwh, stay_h, rate_kw : float64, shape (n,)
        Wish [kWh], length of stay [h], full power at the battery [kW].

    Returns
    -------
    capacity_kwh, energy_kwh, wanted_kwh : float64, shape (n,)
        Capacity, energy on arrival, and the wish, cut to what the largest battery takes in the stay [kWh].
    """
    capacity, most = np.empty(len(wanted_kwh)), np.empty(len(wanted_kwh))
    for size in reversed(CAPACITIES_KWH):
        gain = energy_after(0.0, stay_h, rate_kw, size, taper_time_h(TAPER_START, size, 1.0, rate_kw))
        fits = (gain >= wanted_kwh - _TOLERANCE_KWH) | (size == CAPACITIES_KWH[-1])
        capacity, most = np.where(fits, size, capacity), np.where(fits, gain, most)
    wanted = np.minimum(wanted_kwh, most)
    tau_h = taper_time_h(TAPER_START, capacity, 1.0, rate_kw)
    least, beyond = np.zeros(len(wanted)), capacity - wanted
    for _ in range(60):  # halvings, to the last digit
        middle = 0.5 * (least + beyond)
        gain = energy_after(middle, stay_h, rate_kw, capacity, tau_h) - middle
        reached = gain >= wanted - _TOLERANCE_KWH
        least, beyond = np.where(reached, middle, least), np.where(reached, beyond, middle)
    return capacity, least, wanted


def _steps(times_s: np.ndarray, track: Track) -> np.ndarray:
    """Step of the track that holds each time, given in seconds since 1970, int64, shape (n,)."""
    elapsed_h = (times_s - track.start.timestamp()) / 3600.0
    return np.floor((elapsed_h + _TOLERANCE_H) / track.step_h).astype(np.int64)
