"""One day's exogenous data: sessions, prices, base load, limits.

A track holds plain arrays and the names they belong to, so it can be saved, edited, replayed and solved without the
scenario it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ev_marl.scenario.clock import Clock
from ev_marl.scenario.curves import Points
from ev_marl.support.errors import TrackError
from ev_marl.world import handmade, track_checks, track_edits, track_files
from ev_marl.world.events import events_from_rows, limited, no_events, out_ports, requested
from ev_marl.world.grid_day import GridDay
from ev_marl.world.session_table import STATIONARY, session_table
from ev_marl.world.signals import Signals

if TYPE_CHECKING:
    from ev_marl.site.site import Site


@dataclass(frozen=True, eq=False)
class Track:
    """One episode's exogenous data; T steps, G groups, S sessions."""

    start: datetime  # aware: start of the first step
    timezone: str
    step_h: float
    currency: str
    ports: tuple[str, ...]  # (P,) names, in the site's order
    groups: tuple[str, ...]  # (G,) names, in the site's order
    sessions: np.ndarray  # SESSION (S,)  vehicle stays, sorted by arrival step; see `session_table`
    buy_per_kwh: np.ndarray  # float64 (T,)
    sell_per_kwh: np.ndarray  # float64 (T,)
    base_load_kw: np.ndarray  # float64 (T, G)  inflexible load − PV of everything below the group [kW]
    import_limit_kw: np.ndarray  # float64 (T, G)  >= 0, inf: no limit
    export_limit_kw: np.ndarray  # float64 (T, G)  >= 0, inf: no limit
    grid: GridDay | None = None  # other loads and generators on the network above, if there is one
    signals: Signals = field(default_factory=Signals)  # what else is known of each step, where the scenario has it
    curves: Mapping[str, Points] = field(default_factory=dict)  # measured charge curves, by vehicle model
    events: np.ndarray = field(default_factory=no_events)  # EVENT (E,)  sorted by first step
    turned_away: int = 0  # vehicles that found no free port
    source: dict[str, str] = field(default_factory=dict)  # where it came from: scenario, seed, file, imputations, edits
    told: Mapping[str, Any] = field(
        default_factory=dict, repr=False
    )  # kept by itself: the content that `source` tells of

    def __post_init__(self) -> None:
        """A copy with the same `source` and other content was edited, and its `source` says so.

        Arrays cannot be written to, so that nothing is edited without that.
        """
        track_edits.read_only_arrays(self)
        if self.told and self.told["source"] is self.source:
            object.__setattr__(self, "source", track_edits.marked(self))
        object.__setattr__(self, "told", {**track_edits.content(self), "source": self.source})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Copies and pickles cannot be written to either."""
        self.__dict__.update(state)
        track_edits.read_only_arrays(self)

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.buy_per_kwh)

    @property
    def vehicles(self) -> np.ndarray:
        """The sessions of vehicles, without those of stationary batteries, SESSION, shape (n,)."""
        stationary = self.sessions["vehicle"] == STATIONARY
        return self.sessions[~stationary] if stationary.any() else self.sessions

    @property
    def later_per_kwh(self) -> float:
        """What energy costs after the end, as far as all may know: the mean buying price [currency/kWh]."""
        return float(self.buy_per_kwh.mean())

    @property
    def clock(self) -> Clock:
        """The steps as local times."""
        return _clock(self.start.astimezone(UTC), self.timezone, self.step_h, self.n_steps)

    @property
    def limits_kw(self) -> tuple[np.ndarray, np.ndarray]:
        """Import and export limits with the events that lower them, shape (T, G) each [kW]."""
        ordinary = self.import_limit_kw, self.export_limit_kw
        return limited(self.events, self.groups, *ordinary) if len(self.events) else ordinary

    @property
    def ordinary_bounds_kw(self) -> tuple[np.ndarray, np.ndarray]:
        """`lower_kw` and `upper_kw` as they were without events, shape (T, G) each [kW]."""
        return (
            np.minimum(0.0, -self.export_limit_kw - self.base_load_kw),
            np.maximum(0.0, self.import_limit_kw - self.base_load_kw),
        )

    @property
    def out_ports(self) -> np.ndarray | None:
        """Whether each port is out of order, bool, shape (T, P); None if none ever is."""
        return out_ports(self.events, self.ports, self.n_steps) if len(self.events) else None

    @property
    def requests(self) -> np.ndarray | None:
        """Requests with a penalty, float64, shape (T, 2, G), see `ev_marl.world.events.requested`; None: none are."""
        return requested(self.events, self.groups, self.n_steps) if len(self.events) else None

    @property
    def upper_kw(self) -> np.ndarray:
        """Most that vehicles below a group may draw, max(0, import limit − base load), shape (T, G) [kW]."""
        return np.asarray(np.maximum(0.0, self.limits_kw[0] - self.base_load_kw))

    @property
    def lower_kw(self) -> np.ndarray:
        """Least (most negative), min(0, −export limit − base load), shape (T, G) [kW]."""
        return np.asarray(np.minimum(0.0, -self.limits_kw[1] - self.base_load_kw))

    @property
    def unavoidable_overload_kw(self) -> np.ndarray:
        """Overload that the base load alone makes, shape (T, G) [kW]."""
        import_kw, export_kw = self.limits_kw
        over = np.maximum(0.0, self.base_load_kw - import_kw)
        return np.asarray(np.maximum(over, -self.base_load_kw - export_kw))

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same data, bit for bit; `source`, where they came from, is not compared."""
        if not isinstance(other, Track):
            return NotImplemented
        mine, theirs = track_edits.content(self), track_edits.content(other)
        return all(track_edits.same(value, theirs[name]) for name, value in mine.items())

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def build(
        cls,
        site: Site,
        *,
        step_h: float = 0.25,
        n_steps: int = 96,
        sessions: Sequence[Mapping[str, Any]] = (),
        buy: float | Sequence[float] | np.ndarray = 0.25,
        sell: float | Sequence[float] | np.ndarray | None = None,
        base_load_kw: Mapping[str, float | Sequence[float] | np.ndarray] | None = None,
        start: datetime | str = "2023-05-15T00:00",
        timezone: str = "Europe/Amsterdam",
        currency: str = "EUR",
        grid: GridDay | None = None,
        signals: Signals | None = None,
        curves: Mapping[str, Points] | None = None,
        events: Sequence[Mapping[str, Any]] = (),
        source: Mapping[str, str] | None = None,
    ) -> Track:
        """A track made by hand, checked against its site.

        Parameters
        ----------
        site : Site
            Where it happens; the limits are the site's. Loads and PV that the site describes are not drawn.
        step_h, n_steps : float, int
            Step length [h] and number of steps.
        sessions : sequence of mapping
            One mapping a session, see `sessions_from_rows`; stationary batteries of the site are added.
        buy, sell : float or sequence of n_steps
            Prices [currency/kWh]; selling earns the buying price if left out.
        base_load_kw : mapping of group name to float or sequence of n_steps
            Inflexible load − PV at single groups, summed up the tree; 0 where left out [kW].
        start : datetime or str
            Start of the first step; local time where it has no offset.
        timezone, currency : str
            IANA time zone and currency.
        grid : GridDay, optional
            Other loads and generators on the network above the site.
        curves : mapping of str, optional
            Measured charge curves of vehicle models: states of charge from 0 to 1 and the power into the battery at
            each [kW]; sessions whose `vehicle` has none charge with a taper.
        signals : Signals, optional
            Carbon intensity and temperature.
        events : sequence of mapping
            One mapping an event, see `ev_marl.world.events.EVENT`.
        source : mapping of str
            Where it came from; `{"kind": "handmade"}` if left out.

        Raises
        ------
        TrackError
            If anything does not fit; every fault is listed.

        Examples
        --------
        >>> track = Track.build(
        ...     site,
        ...     n_steps=4,
        ...     sessions=[{"port": "ac_0/0", "arrival": 0, "departure": 4, "wanted_kwh": 10}],
        ...     buy=[0.3, 0.3, 0.1, 0.1],
        ... )
        """
        content = handmade.track_columns(
            site,
            step_h=step_h,
            n_steps=n_steps,
            buy=buy,
            sell=sell,
            base_load_kw=base_load_kw or {},
            start=start,
            timezone=timezone,
        )
        track = cls(
            sessions=handmade.sessions_from_rows(sessions, site, n_steps),
            timezone=timezone,
            step_h=float(step_h),
            currency=currency,
            grid=grid,
            signals=signals or Signals(),
            curves={
                name: tuple((float(soc), float(power_kw)) for soc, power_kw in points)
                for name, points in (curves or {}).items()
            },
            events=events_from_rows(events),
            source=dict(source or {"kind": "handmade"}),
            **content,
        )
        track.validate(site)
        return track

    def validate(self, site: Site | None = None, currency: str | None = None) -> None:
        """Check everything about the track, and where they are given, that it fits site and currency.

        Raises
        ------
        TrackError
            With every fault found, one a line.
        """
        problems = track_checks.problems(self, site, currency)
        if problems:
            listed = "\n".join(f"  - {problem}" for problem in problems)
            raise TrackError(f"the track has {len(problems)} fault{'s' * (len(problems) > 1)}:\n{listed}")

    def replace(self, **changes: Any) -> Track:
        """A copy with other values for the named fields, not checked; see `validate`.

        Its `source` lists under `edited` which fields were edited, now and before, unless a `source` is among the
        changes: that says itself where the track comes from. With other sessions nobody is known to be turned away,
        so `turned_away` is 0 unless it is among the changes; `dataclasses.replace` does not do that.
        """
        if "sessions" in changes and "turned_away" not in changes:
            changes |= {"turned_away": 0, "told": {**changes.get("told", self.told), "turned_away": 0}}
        return replace(self, **changes)

    def with_prices(
        self,
        buy: float | Sequence[float] | np.ndarray,
        sell: float | Sequence[float] | np.ndarray | None = None,
    ) -> Track:
        """A copy with other prices, one value or one per step [currency/kWh]; `sell` left out: as `buy`."""
        buy_per_kwh = handmade.per_step(buy, self.n_steps, "buy")
        sell_per_kwh = buy_per_kwh.copy() if sell is None else handmade.per_step(sell, self.n_steps, "sell")
        return self.replace(buy_per_kwh=buy_per_kwh, sell_per_kwh=sell_per_kwh)

    def with_sessions(self, sessions: np.ndarray | Sequence[Mapping[str, Any]], site: Site | None = None) -> Track:
        """A copy with other sessions; rows written by hand (see `sessions_from_rows`) need the site."""
        if not isinstance(sessions, np.ndarray):
            if site is None:
                raise TrackError("sessions written as rows need the site: with_sessions(rows, site)")
            sessions = handmade.sessions_from_rows(sessions, site, self.n_steps)
        return self.replace(sessions=sessions)

    def with_events(self, rows: Sequence[Mapping[str, Any]]) -> Track:
        """A copy with other events, one mapping each, see `ev_marl.world.events.EVENT`; not checked.

        Raises
        ------
        TrackError
            If a field is missing, unknown or of a wrong kind.
        """
        return self.replace(events=events_from_rows(rows))

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the track to a file, `.parquet` or `.json` by its suffix.

        Parameters
        ----------
        path : str or Path
            File to write.
        overwrite : bool
            Whether an existing file may be replaced.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        TrackError
            If the file exists, has another suffix, or the track has faults (see `validate`).
        """
        self.validate()
        return track_files.write(self, Path(path), overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Track:
        """Read a track from a `.parquet` or `.json` file.

        What was edited by hand is listed in `source`, as by `replace`: its digest in the file does not fit.

        Raises
        ------
        TrackError
            If the file is no track, is of a newer version, lacks a field, or holds faulty values; the message names
            file and field.
        """
        content = track_files.read(Path(path))
        grid = GridDay(**content.pop("grid")) if "grid" in content else None
        signals = Signals(**content.pop("signals"))
        digests = content.pop("digests")
        try:
            sessions = session_table(**content.pop("sessions"))
            events = events_from_rows(content.pop("events"))
            track = cls(sessions=sessions, grid=grid, signals=signals, events=events, **content)
            track.validate()
        except TrackError as error:
            raise TrackError(f"{path}: {error}") from error
        found = track_edits.digests(track) if digests else {}
        edited = {name: getattr(track, name) for name in found if digests.get(name, found[name]) != found[name]}
        if not edited:
            return track
        told = {name: value for name, value in track.told.items() if name not in edited}
        return track.replace(told=told, **edited)


@lru_cache(maxsize=1024)
def _clock(start: datetime, timezone: str, step_h: float, n_steps: int) -> Clock:
    return Clock(start, timezone, step_h, n_steps)
