"""Tracks from data sets: recorded sessions or real prices, everything else as the scenario says.

A file and a scenario come in; one track for each calendar day of the data goes out. What the data lack is imputed by
the rules below, seeded, and every track's `source` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np

from ev_marl.scenario import Scenario, as_scenario
from ev_marl.scenario.choices import Fill
from ev_marl.scenario.clock import zone_of
from ev_marl.site.site import Site
from ev_marl.support.errors import DataError, TrackError
from ev_marl.support.registry import did_you_mean
from ev_marl.world.batteries import with_batteries
from ev_marl.world.choices import Dataset, Departures, Wish
from ev_marl.world.declared import Said
from ev_marl.world.parking import draw_visitors, park
from ev_marl.world.prices import FilePrices
from ev_marl.world.readers.acn import read_acn
from ev_marl.world.readers.elaadnl import read_elaadnl
from ev_marl.world.readers.prices import PriceSeries, read_prices
from ev_marl.world.readers.records import SessionRecord, SessionRecords
from ev_marl.world.readers.session_csv import read_session_csv
from ev_marl.world.streams import stream
from ev_marl.world.track import Track
from ev_marl.world.world import World, episode_start

MOST_DAYS = 4000  # from the first session of a file to the last
TARGET_SOC = (0.7, 0.95)  # range of the state of charge at departure, imputed

DATASETS: tuple[Dataset, ...] = get_args(Dataset)

SESSION_READERS: dict[str, Callable[..., SessionRecords]] = {
    "acn": read_acn,
    "elaadnl": read_elaadnl,
    "csv": read_session_csv,
}


def import_tracks(
    kind: str,
    file: str | Path,
    scenario: Scenario | str | Path,
    *,
    out: str | Path | None = None,
    timezone: str | None = None,
    seed: int = 0,
    fill: Fill | None = None,
    area: str | None = None,
    energy: Wish = "delivered",
    departures: Departures = "declared",
    suffix: Literal[".parquet", ".json"] = ".parquet",
    overwrite: bool = False,
    trust: bool = False,
) -> list[Track]:
    """One track for each calendar day of a data file.

    Parameters
    ----------
    kind : {"acn", "elaadnl", "csv", "prices"}
        What the file is: charging sessions of ACN-Data, of ElaadNL, or of any operator as CSV (see `read_session_csv`);
        or day-ahead prices (ENTSO-E, Ember, or `datetime_utc,price_eur_per_mwh`).
    file : str or Path
        The file, `.gz` allowed.
    scenario : Scenario, str or Path
        The site, and all that the file does not hold; a scenario, or what `load_scenario` takes.
    out : str or Path, optional
        Folder that the tracks are written to, one file `YYYY-MM-DD` a day.
    timezone : str, optional
        Zone of the file's times, see `read_acn` and `read_elaadnl`. Left out, `csv` is in the scenario's zone. Price
        files state their own.
    seed : int
        Seed of all that is drawn or imputed, >= 0.
    fill : {"previous_day", "interpolate"}, optional
        How to fill missing prices; left out, a missing price is an error.
    area : str, optional
        Bidding zone or country, where a price file has several.
    energy : {"delivered", "requested"}
        Which energy of a recorded session is the wish; where no request is known, the delivered one.
    departures : {"declared", "true"}
        What drivers say of their departure, see `sessions_to_tracks`.
    suffix : {".parquet", ".json"}
        Format of the files.
    overwrite : bool
        Whether existing files may be replaced.
    trust : bool
        Whether custom code that the scenario file names may be run.

    Returns
    -------
    list of Track
        In order of days.

    Raises
    ------
    DataError
        If the file cannot be read or has no whole day, or if there is no such time zone.
    TrackError
        If a file to be written exists.
    """
    if kind not in DATASETS:
        near = did_you_mean(kind, list(DATASETS))
        raise DataError(f"no data set is called '{kind}'.{near} Known: {', '.join(DATASETS)}.")
    scenario = as_scenario(scenario, trust=trust)
    if timezone is not None:
        try:
            zone_of(timezone)
        except ValueError as error:
            raise DataError(f"timezone: {error}") from error
    if kind == "prices":
        tracks = prices_to_tracks(read_prices(file, area=area, fill=fill), scenario, seed=seed)
    else:
        if kind == "csv" and timezone is None:
            timezone = scenario.timezone
        data = SESSION_READERS[kind](file, timezone=timezone)
        tracks = sessions_to_tracks(data, scenario, seed=seed, energy=energy, departures=departures)
    if out is not None:
        paths = [Path(out) / f"{track.start:%Y-%m-%d}{suffix}" for track in tracks]
        existing = [path for path in paths if path.exists()]
        if existing and not overwrite:
            raise TrackError(f"{existing[0]} exists ({len(existing)} such files); choose another folder")
        for track, path in zip(tracks, paths, strict=True):
            track.save(path, overwrite=overwrite)
    return tracks


def sessions_to_tracks(
    data: SessionRecords,
    scenario: Scenario,
    site: Site | None = None,
    *,
    seed: int = 0,
    energy: Wish = "delivered",
    departures: Departures = "declared",
) -> list[Track]:
    """One track for each calendar day from the first recorded arrival to the last, on the data's own clock.

    Prices, base load and limits are the scenario's for that day, in the data's time zone. A session that stays beyond
    a day outlasts that day's track and is parked at the start of the next; until then it charged at full power (see
    `park`).

    Imputed: the vehicle, drawn by share among those of the scenario whose battery takes the energy; and the energy on
    arrival, such that the wish ends at a state of charge uniform from 70 % to 95 %, as far as at least 5 % are there
    on arrival; a wish beyond the largest battery is cut (see `draw_visitors`). Stations of the data are found by the
    `ids` of the site's stations, or become ports in order of first use where the site has enough of them; elsewhere, or
    where a station is taken twice in a step, the vehicle takes any free port, or is left out and counted in
    `turned_away`.

    Parameters
    ----------
    data : SessionRecords
        What a reader gave.
    scenario : Scenario
        All that the data do not hold.
    site : Site, optional
        Site; left out, the scenario's own.
    seed : int
        Seed, >= 0.
    energy : {"delivered", "requested"}
        Which energy is the wish.
    departures : {"declared", "true"}
        What drivers say of their departure: what they said on arrival and last, where the data have it, or when they
        left. The vehicles leave when they left.

    Raises
    ------
    DataError
        If the data hold no session.
    """
    require_sessions(data)
    zone = ZoneInfo(data.timezone)
    records = data.records
    first_day, last_day = (records[k].arrival.astimezone(zone).date() for k in (0, -1))
    if (last_day - first_day).days > MOST_DAYS:
        raise DataError(
            f"{data.file}: the first session is of {first_day}, the last of {last_day}; at most {MOST_DAYS:,} days are "
            "read. Is a time mistyped?"
        )
    world = World(
        scenario.model_copy(
            update={"timezone": data.timezone, "start": first_day, "until": last_day, "days": "all"},
        ),
        site,
    )
    wanted = np.array(
        [
            record.requested_kwh if energy == "requested" and record.requested_kwh else record.delivered_kwh
            for record in records
        ]
    )
    visitors = draw_visitors(world.fleet, wanted, TARGET_SOC, stream(seed, "vehicles"))
    cut = int(np.count_nonzero(visitors.wanted_kwh < wanted))
    ports, how = ports_of_stations(data, world.site)
    preferred = np.array([ports.get(record.station, [-1])[0] for record in records], dtype=np.int64)
    source = {
        "kind": "data",
        "file": data.file,
        "scenario": scenario.name,
        "seed": str(seed),
        "energy": energy,
        "ports": how,
        "imputed": "vehicle by share among those that can take the energy; energy on arrival such that the wish ends "
        f"at 70 to 95 % state of charge; {cut} wishes cut to the largest battery",
        "notes": "; ".join(data.notes),
    }
    arrival = np.array([record.arrival.timestamp() for record in records]) / 3600.0
    departure = np.array([record.departure.timestamp() for record in records]) / 3600.0
    said = None
    if departures == "declared" and any(record.declared is not None for record in records):
        n_said = sum(record.declared is not None for record in records)
        source["departures"] = f"as {n_said} of {len(records)} drivers said; those of the others are true"
        said = said_in(records)
    tracks = []
    for k, day in enumerate(world.days):
        surroundings = world.surroundings(seed + k, day)
        begin_h = surroundings.start.timestamp() / 3600.0
        end_h = begin_h + surroundings.n_steps * surroundings.step_h
        there = np.flatnonzero((departure > begin_h - surroundings.step_h) & (arrival < end_h))
        sessions, turned_away = park(
            world.fleet,
            visitors.take(there),
            arrival[there] - begin_h,
            departure[there] - arrival[there],
            world.site.arrays,
            surroundings.step_h,
            surroundings.n_steps,
            stream(seed + k, "ports"),
            preferred[there],
            said=None if said is None else said.take(there),
        )
        sessions = with_batteries(sessions, world.site.arrays, surroundings.n_steps)
        tracks.append(surroundings.replace(sessions=sessions, turned_away=turned_away, source=dict(source)))
    return tracks


def said_in(records: Sequence[SessionRecord]) -> Said:
    """What the drivers of records said; the truth where nothing is known."""
    hour = timedelta(hours=1)

    def after_arrival(name: str, otherwise: float) -> np.ndarray:
        times = [(record.arrival, getattr(record, name)) for record in records]
        return np.array([otherwise if time is None else (time - arrival) / hour for arrival, time in times])

    stay_h = np.array([(record.departure - record.arrival) / hour for record in records])
    declared_h = after_arrival("declared", np.nan)
    declared_h = np.where(np.isnan(declared_h), stay_h, declared_h)
    revised_after_h, revised_h = after_arrival("revised_at", np.inf), after_arrival("revised", np.nan)
    return replace(Said.truth(declared_h), revised_after_h=revised_after_h, revised_h=revised_h)


def prices_to_tracks(
    series: PriceSeries, scenario: Scenario, site: Site | None = None, *, seed: int = 0
) -> list[Track]:
    """One track for each day that a price series covers wholly; vehicles and loads are drawn from the scenario.

    Parameters
    ----------
    series : PriceSeries
        What `read_prices` gave.
    scenario : Scenario
        All but the prices; its feed-in and markup apply.
    site : Site, optional
        Site; left out, the scenario's own.
    seed : int
        Seed of the first day, >= 0; each further day takes the next.

    Raises
    ------
    DataError
        If the series covers no whole episode.
    """
    prices = FilePrices(series, scenario.currency)
    horizon_h = scenario.n_steps * scenario.step
    zone = ZoneInfo(scenario.timezone)
    first_day, last_day = (time.astimezone(zone).date() for time in (series.start, series.end))
    days = [first_day + timedelta(days=k) for k in range((last_day - first_day).days + 1)]
    days = [day for day in days if prices.covers(episode_start(scenario, day), horizon_h)]
    if not days:
        raise DataError(f"{series.source}: covers no whole episode of {horizon_h:g} h")
    world = World(scenario.model_copy(update={"start": days[0], "until": days[-1], "days": "all"}), site, prices)
    tracks = []
    for k, day in enumerate(world.days):
        track = world.sample(seed + k, day)
        end = track.start.astimezone(UTC) + timedelta(hours=horizon_h)
        filled = ", ".join(f"{time:%Y-%m-%dT%H:%MZ}" for time in series.filled if track.start <= time < end) or "none"
        tracks.append(track.replace(source={**track.source, "price_file": series.source, "filled_prices": filled}))
    return tracks


def require_sessions(data: SessionRecords) -> None:
    """Raise a DataError if the data hold no session."""
    if not data.records:
        raise DataError(f"{data.file}: holds no session{'; ' * bool(data.notes)}{'; '.join(data.notes)}")


def ports_of_stations(data: SessionRecords, site: Site) -> tuple[dict[str, list[int]], str]:
    """Ports of each station of the data, by the `ids` of the site's stations, and the rule in words.

    Without `ids`, stations have one port each in order of first use, or none where the site has too few ports.

    Raises
    ------
    DataError
        If the site's stations have `ids`, and no station of the data is among them.
    """
    names = list(dict.fromkeys(record.station for record in data.records))
    free_ports = site.arrays.vehicle_ports.tolist()
    n_ports = len(free_ports)
    if site.station_ids:
        first = site.arrays.station_first_port
        agents = {agent: a for a, agent in enumerate(site.agents)}
        known = {name: agents[site.station_ids[name]] for name in names if name in site.station_ids}
        if not known:
            some, mine = (", ".join(list(found)[:3]) for found in (names, site.station_ids))
            raise DataError(
                f"{data.file}: its stations ({some}, ...) are not among the `ids` of the site ({mine}, ...)"
            )
        ports = {name: list(range(first[a], first[a + 1])) for name, a in known.items()}
        return ports, f"{len(known)} of {len(names)} stations by their ids"
    if len(names) > n_ports:
        return {}, f"{len(names)} stations on {n_ports} ports: any free port"
    return {
        name: [p] for name, p in zip(names, free_ports, strict=False)
    }, f"{len(names)} stations on {n_ports} ports: in order of first use"
