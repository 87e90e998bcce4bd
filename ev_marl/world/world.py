"""What happens at a site on one day: `World.sample(seed)` draws a complete track.

A scenario comes in; tracks go out, each fully determined by its seed. What does not change from one draw to the next of
the same day (clock, limits, mean loads) is kept.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from ev_marl.scenario.clock import Clock
from ev_marl.scenario.problems import ScenarioError
from ev_marl.scenario.schema import Scenario, Sessions
from ev_marl.scenario.sizes import MOST_CELLS, MOST_STEPS, too_many_vehicles
from ev_marl.site.areas import Area, areas_of
from ev_marl.site.scaling import base_currents
from ev_marl.site.site import Site
from ev_marl.site.vehicles import vehicle_mix
from ev_marl.support.errors import DataError, TrackError
from ev_marl.world.batteries import with_batteries
from ev_marl.world.declared import MeasuredSayings, Misjudged, Said, draw_said
from ev_marl.world.events import EventModels
from ev_marl.world.hours import HourGrid
from ev_marl.world.loads import LoadDay, SiteLoads
from ev_marl.world.measured_sessions import MeasuredSessions, read_session_file, sayings_of
from ev_marl.world.parking import Before, Choice, Fleet, Visitors, draw_visitors, park
from ev_marl.world.prices import FilePrices, PriceSource, TailedPrices, buy_and_sell, price_source
from ev_marl.world.public_holidays import public_holidays
from ev_marl.world.recorded import RecordedDays
from ev_marl.world.seeds import Split, as_training_seed, day_seeds
from ev_marl.world.session_table import no_sessions
from ev_marl.world.sessions import SESSION_MODELS, Arrivals, SessionModel, check_arrivals
from ev_marl.world.signals import SignalModels, irradiance_series
from ev_marl.world.streams import stream
from ev_marl.world.track import Track

if TYPE_CHECKING:
    from ev_marl.world.grid_loads import GridLoads, GridMean

LIMITED_H = 24.0  # in so many hours before the start, charging is within the limits; assumption
MOST_QUEUED_PORTS = 5_000  # of an area; each vehicle that comes looks at all of them
KNOWN_DAYS = 400  # days that are kept, so that they can be drawn again quickly


@dataclass(frozen=True)
class _Day:
    """What every episode with one start time shares."""

    clock: Clock
    hours: tuple[HourGrid, ...]  # of each area, from the warm-up before the start to the end
    episode_hours: HourGrid  # those of the episode itself
    import_limit_kw: np.ndarray  # float64 (T, G)
    export_limit_kw: np.ndarray  # float64 (T, G)
    loads: LoadDay
    grid: GridMean | None
    before: Before | None  # what limits vehicles before the start; None: nothing


@dataclass(frozen=True)
class _Comers:
    """Who comes to an area."""

    area: Area
    model: SessionModel
    fleet: Fleet
    sayings: Misjudged | MeasuredSayings | None  # None: drivers say the truth

    def draw(self, hours: HourGrid, seed: int) -> tuple[Arrivals, Visitors, np.ndarray, Said | None]:
        """Arrivals, vehicles, lengths of stay [h], and what drivers say of these; None: the truth."""
        number, sessions = self.area.number, self.area.sessions
        random = stream(seed, "arrivals", number), stream(seed, "stays", number)
        coming = self.model.draw(hours, len(self.area.ports), *random)
        check_arrivals(coming, sessions.called)
        wanted_kwh = sessions.energy_scale * coming.wanted_kwh
        visitors = draw_visitors(self.fleet, wanted_kwh, coming.target_soc, stream(seed, "vehicles", number))
        stay_h = sessions.stay_scale * coming.stay_h
        if self.sayings is None or sessions.declared is None:
            return coming, visitors, stay_h, None
        random_said = stream(seed, "declared", number)
        return (
            coming,
            visitors,
            stay_h,
            draw_said(self.sayings, sessions.declared, stay_h, visitors.wanted_kwh, random_said),
        )


class World:
    """Draws the days of a scenario.

    Parameters
    ----------
    scenario : Scenario
        What happens.
    site : Site, optional
        Where it happens; left out, the scenario's own.
    prices : PriceSource, optional
        Prices; left out, what the scenario names.

    Attributes
    ----------
    days : tuple of date
        The days that drawn tracks may start on.
    recorded : RecordedDays or None
        The days that are played instead of drawn ones, if the scenario has `tracks`.

    Raises
    ------
    DataError
        If no day is left between `start` and `until`, or if dated series are missing on one of them.
    ScenarioError
        If too many vehicles would come, if prices are missing on a day or are in another currency, or if the series
        that it asks for do not exist for its network.
    SiteError
        If no vehicle can charge at the site.
    TrackError
        If the folder of recorded days is not there, or has no training days.
    """

    def __init__(self, scenario: Scenario, site: Site | None = None, prices: PriceSource | None = None) -> None:
        scenario.check_trust()
        self.scenario = scenario
        self.site = site if site is not None else Site.from_scenario(scenario)
        self.days = _days(scenario)
        arrays = self.site.arrays
        areas = areas_of(scenario, self.site)
        self._check_size(areas)
        self.fleet = Fleet.of(vehicle_mix(scenario.vehicles), scenario.vehicles, arrays)
        self._comers = tuple(self._comers_to(area) for area in areas)
        with scenario.places.blamed("prices"):
            self._prices = price_source(scenario.prices, scenario.currency) if prices is None else prices
        file = scenario.weather.irradiance
        irradiance = {} if file is None else irradiance_series(file, scenario.timezone)
        self._loads = SiteLoads(self.site.groups, arrays.group_parent, self.site.base_loads, self.site.pvs, irradiance)
        self._grid = self._grid_loads()
        self._known_days: dict[date, _Day] = {}
        self.recorded = None if scenario.tracks is None else RecordedDays(Path(scenario.tracks))
        self._known_tracks: dict[Path, Track] = {}
        if isinstance(self._prices, FilePrices):
            with scenario.places.blamed("prices"):
                for day in self.days:
                    self._prices.check(episode_start(scenario, day), scenario.n_steps * scenario.step)
        self._signals = SignalModels(scenario)
        self._events = EventModels(scenario, self.site)
        network = () if self._grid is None else self._grid.dated
        for series in (*self.site.dated, *self._signals.dated, *irradiance.values(), *network):
            for day in self.days:
                series.check(episode_start(scenario, day), scenario.n_steps * scenario.step)

    def sample(self, seed: int, day: date | None = None) -> Track:
        """Draw a track; where the scenario has recorded days, one of them, of the split of the seed.

        Parameters
        ----------
        seed : int
            Seed, >= 0; the same seed gives the same track, bit for bit, in every process.
        day : date, optional
            Day that the track starts on; left out, it is drawn among the scenario's days.
        """
        if self.recorded is not None and day is None:
            return self._recorded(self.recorded.file(seed))
        known = self._day(self._day_of(seed) if day is None else day)
        scenario = self.scenario
        drawn = [comers.draw(hours, seed) for comers, hours in zip(self._comers, known.hours, strict=True)]
        arrival_h = np.concatenate([coming.arrival_h for coming, _, _, _ in drawn])
        order = np.argsort(arrival_h, kind="stable")
        of = np.repeat(np.arange(len(drawn)), [len(stay_h) for _, _, stay_h, _ in drawn])[order]
        said = None
        if any(one is not None for _, _, _, one in drawn):
            said = Said.together([one or Said.truth(stay_h) for _, _, stay_h, one in drawn]).take(order)
        areas = [comers.area for comers in self._comers]
        sessions, turned_away = park(
            self.fleet,
            Visitors.together([visitors for _, visitors, _, _ in drawn]).take(order),
            arrival_h[order],
            np.concatenate([stay_h for _, _, stay_h, _ in drawn])[order],
            self.site.arrays,
            scenario.step,
            scenario.n_steps,
            stream(seed, "ports"),
            before=known.before,
            choices=[
                Choice(np.flatnonzero(of == k), area.ports, stream(seed, "ports", area.number), area.sessions.patience)
                for k, area in enumerate(areas)
            ],
            said=said,
        )
        source = {"scenario": scenario.name, "seed": str(seed)}
        return self._track(known, seed, sessions, turned_away, source)

    def draw(self, seed: int, n: int, split: Split) -> list[Track]:
        """Different days of a split: those of `day_seeds`, or of the recorded days at most as many as there are.

        Parameters
        ----------
        seed : int
            Which days of the split.
        n : int
            Number of days.
        split : {"train", "validation", "test"}
            What the days are for.
        """
        if self.recorded is None:
            return [self.sample(one) for one in day_seeds(seed, n, split)]
        return [self._recorded(file) for file in self.recorded.some(seed, n, split)]

    def episode(self, seed: int) -> Track:
        """What an environment plays for a seed: the day of `sample`, or of the recorded days a training day."""
        return self.sample(seed if self.recorded is None else as_training_seed(seed))

    def surroundings(self, seed: int, day: date | None = None) -> Track:
        """The track of a seed without its vehicles: batteries, prices, base load and limits.

        Parameters
        ----------
        seed : int
            Seed of prices and loads, >= 0.
        day : date, optional
            Day that the track starts on; left out, that of the seed.
        """
        if self.recorded is not None and day is None:
            track = self._recorded(self.recorded.file(seed))
            nobody = with_batteries(no_sessions(), self.site.arrays, track.n_steps)
            return replace(track, sessions=nobody, turned_away=0)
        known = self._day(self._day_of(seed) if day is None else day)
        return self._track(known, seed, no_sessions(), 0, {"scenario": self.scenario.name, "seed": str(seed)})

    def _comers_to(self, area: Area) -> _Comers:
        places = self.scenario.places
        said = area.sessions
        if said.file is not None:
            model: SessionModel = MeasuredSessions(said, read_session_file(said.file))
        else:
            with places.blamed(*area.path, "model"):
                model = SESSION_MODELS.make(said.model, said, trust=self.scenario.trusted)
        if said.holidays is not None:
            with places.blamed(*area.path, "holidays"):
                public_holidays(said.holidays, self.days[0].year, self.days[0].year)
        sayings = None
        if said.declared is not None:
            with places.blamed(*area.path, "declared"):
                sayings = sayings_of(said.declared)
        with places.blamed(*area.path):
            return _Comers(area, model, self.fleet.at(self.site.arrays.port_is_dc[area.ports]), sayings)

    def _check_size(self, areas: tuple[Area, ...]) -> None:
        """Refuse to draw more vehicles than an episode may have; the site may be another than the scenario's own."""
        for area in areas:
            keys = area.sessions
            rates = keys.per_port_per_day, keys.weekend_factor, keys.stay_scale
            message = too_many_vehicles(len(area.ports), self.scenario.horizon, *rates)
            if message is not None:
                raise ScenarioError([self.scenario.places.problem((*area.path, "per_port_per_day"), message)])
            if keys.patience > 0.0 and len(area.ports) > MOST_QUEUED_PORTS:
                message = (
                    f"vehicles may wait at no more than {MOST_QUEUED_PORTS:,} ports, here there are {len(area.ports):,}"
                )
                raise ScenarioError([self.scenario.places.problem((*area.path, "patience"), message)])

    def check(self, track: Track) -> None:
        """Check that a track is sound, and fits the site and the currency of the scenario.

        Raises
        ------
        TrackError
            With every fault found, one a line.
        """
        track.validate(self.site, self.scenario.currency)

    def load(self, path: str | Path) -> Track:
        """Read a track from a file that fits the site and the currency of the scenario.

        Raises
        ------
        TrackError
            If it cannot be read, or does not fit; the message names the file.
        """
        track = Track.load(path)
        try:
            self.check(track)
        except TrackError as error:
            raise TrackError(f"{path}: {error}") from error
        return track

    def _recorded(self, file: Path) -> Track:
        """A recorded day, which must be as long as an episode of the scenario."""
        if file not in self._known_tracks:
            track, scenario = self.load(file), self.scenario
            if (track.n_steps, track.step_h) != (scenario.n_steps, scenario.step):
                raise TrackError(
                    f"{file}: it has {track.n_steps} steps of {track.step_h:g} h, an episode of scenario "
                    f"'{scenario.name}' has {scenario.n_steps} of {scenario.step:g} h"
                )
            if len(self._known_tracks) >= KNOWN_DAYS:
                self._known_tracks.pop(next(iter(self._known_tracks)))
            self._known_tracks[file] = track
        return self._known_tracks[file]

    def _day_of(self, seed: int) -> date:
        return self.days[int(stream(seed, "calendar").integers(len(self.days)))]

    def _day(self, day: date) -> _Day:
        if day not in self._known_days:
            scenario = self.scenario
            start = episode_start(scenario, day)
            clock = Clock(start, scenario.timezone, scenario.step, scenario.n_steps)
            episode_hours = HourGrid.around(start, scenario.timezone, 0.0, clock.horizon_h)
            import_limit_kw, export_limit_kw = self.site.limits(clock)
            if len(self._known_days) >= KNOWN_DAYS:
                self._known_days.pop(next(iter(self._known_days)))
            self._known_days[day] = _Day(
                clock,
                tuple(self._hours_of(comers.area.sessions, clock) for comers in self._comers),
                episode_hours,
                import_limit_kw,
                export_limit_kw,
                self._loads.on(clock, episode_hours),
                None if self._grid is None else self._grid.on(clock, episode_hours),
                self._before(clock),
            )
        return self._known_days[day]

    def _hours_of(self, sessions: Sessions, clock: Clock) -> HourGrid:
        """Clock hours from the warm-up of an area to the end of the episode, with its holidays."""
        holidays: Container[date] = ()
        if sessions.holidays is not None:
            last = clock.start + timedelta(hours=clock.horizon_h)
            holidays = public_holidays(sessions.holidays, clock.start.year - 1, last.year)
        around = clock.start, self.scenario.timezone, -sessions.warm_up_h, clock.horizon_h
        return HourGrid.around(*around, holidays)

    def _before(self, clock: Clock) -> Before | None:
        """What import limits and limits of currents leave to vehicles before a start, beside the mean base load."""
        site = self.site.arrays
        most = min(MOST_STEPS, MOST_CELLS // (site.n_groups + 3 * site.n_currents))
        steps = clock.before(min(math.ceil(LIMITED_H / clock.step_h), most))
        limit_kw = self.site.limits(steps)[0]
        if np.isinf(limit_kw).all() and not site.n_currents:
            return None
        hours = HourGrid.around(steps.start, steps.timezone, 0.0, steps.horizon_h)
        base_load_kw = self._loads.mean(self._loads.on(steps, hours))
        return Before(np.maximum(0.0, limit_kw - base_load_kw), base_currents(site, base_load_kw))

    def _grid_loads(self) -> GridLoads | None:
        """Other loads and generators on the network above the site, if it has one."""
        if self.site.network is None or self.scenario.grid is None:
            return None
        from ev_marl.world.grid_loads import GridLoads  # noqa: PLC0415  pandapower is heavy, and optional

        return GridLoads(self.scenario, self.site.network)

    def _track(self, known: _Day, seed: int, sessions: np.ndarray, turned_away: int, source: dict[str, str]) -> Track:
        scenario = self.scenario
        same_sky = (stream(seed, "pv"),) if isinstance(self._prices, TailedPrices) else ()
        price = self._prices.draw(known.clock, known.episode_hours, stream(seed, "prices"), *same_sky)
        grid = None
        if self._grid is not None and known.grid is not None:
            # The same stream as for the plants of the site, so that both have the same sky.
            sky = stream(seed, "pv")
            grid = self._grid.draw(known.grid, scenario.step, stream(seed, "grid"), sky)
        signals = self._signals.draw(known.clock, stream(seed, "weather"))
        random = stream(seed, "loads"), stream(seed, "pv")
        base_load_kw, pv_kw = self._loads.draw(known.loads, scenario.step, *random, signals.temperature_c)
        buy, sell = buy_and_sell(price, scenario.prices.feed_in, scenario.prices.markup)
        return Track(
            start=known.clock.start,
            timezone=scenario.timezone,
            step_h=scenario.step,
            currency=scenario.currency,
            ports=self.site.ports,
            groups=self.site.groups,
            sessions=with_batteries(sessions, self.site.arrays, scenario.n_steps),
            buy_per_kwh=buy,
            sell_per_kwh=sell,
            base_load_kw=base_load_kw,
            import_limit_kw=known.import_limit_kw.copy(),
            export_limit_kw=known.export_limit_kw.copy(),
            grid=grid,
            signals=replace(signals, pv_kw=pv_kw),
            curves=self.fleet.curves,
            events=self._events.draw(known.clock, stream(seed, "events")),
            turned_away=turned_away,
            source=source,
        )


def episode_start(scenario: Scenario, day: date) -> datetime:
    """Start of the episode of a day, local time; a time that the clock change skips is moved to one that exists."""
    zone = ZoneInfo(scenario.timezone)
    local = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(hours=scenario.start_hour)
    return local.astimezone(UTC).astimezone(zone)


def _days(scenario: Scenario) -> tuple[date, ...]:
    """The days that tracks may start on: `start` alone, or the chosen days from `start` to `until`."""
    if scenario.until is None:
        return (scenario.start,)
    n_days = (scenario.until - scenario.start).days + 1
    days = [scenario.start + timedelta(days=k) for k in range(n_days)]
    if scenario.days != "all":
        wants_weekend = scenario.days == "weekends"
        days = [day for day in days if (day.weekday() >= 5) == wants_weekend]
    if not days:
        raise DataError(
            f"scenario '{scenario.name}': `days: {scenario.days}` leaves no day between {scenario.start} and "
            f"{scenario.until}"
        )
    return tuple(days)
