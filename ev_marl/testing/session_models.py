"""Whether a session model draws vehicles that can park at a site, and whether seeds repeat them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np

from ev_marl.scenario import schema
from ev_marl.site.vehicles import vehicle_mix
from ev_marl.support.errors import ConformanceError, DataError
from ev_marl.testing.asserting import calling, require, require_array, require_same, require_unchanged
from ev_marl.testing.cases import small_day, small_site
from ev_marl.world.hours import HourGrid
from ev_marl.world.parking import Fleet, draw_visitors, park
from ev_marl.world.sessions import Arrivals, SessionModel, check_arrivals
from ev_marl.world.streams import stream
from ev_marl.world.track_checks import problems

ZONE = "Europe/Amsterdam"
STARTS = tuple(
    datetime(year, month, day, tzinfo=UTC)
    for year, month, day in ((2023, 5, 15), (2023, 5, 20), (2023, 3, 26), (2023, 10, 29))
)
"""A weekday, a weekend day, and both clock changes."""
HORIZON_H = 12.0  # of `small_day`
N_PORTS = (1, 6, 40)


def check_session_model(
    factory: Callable[[schema.Sessions], SessionModel], sessions: schema.Sessions | None = None, *, n_days: int = 3
) -> None:
    """Check a session model on weekdays, weekends and days of clock changes.

    Arrivals must be in order of time, within the given hours; stays above 0 h; wishes finite and at least 0 kWh; all
    three float64 arrays of the same length; `target_soc` between 0.05 and 1. The same seeds must give the same
    vehicles, also from a new model; other numbers from `stays` must not change the arrivals; `hours` must not be
    changed. The sessions made of them must be a sound track of a small site.

    Parameters
    ----------
    factory : callable
        Makes a new model from the section `sessions` of a scenario, usually the class itself.
    sessions : Sessions, optional
        That section; left out, its default: one vehicle a port and weekday.
    n_days : int
        Seeds for each start and number of ports.

    Raises
    ------
    ConformanceError
        If the model breaks a rule; the message says which, on which day and seed, and what to do.
    """
    section = schema.Sessions() if sessions is None else sessions
    with calling("the session model's constructor"):
        model, again = factory(section), factory(section)
    name = type(model).__name__
    drawn = callable(getattr(model, "draw", None))
    require(drawn, f"session model '{name}' has no method draw(hours, n_ports, arrivals, stays)")
    for start in STARTS:
        hours = HourGrid.around(start, ZONE, -section.warm_up_h, HORIZON_H)
        for n_ports in N_PORTS:
            for seed in range(n_days):
                where = f"session model '{name}', {start:%Y-%m-%d}, {n_ports} ports, seed {seed}"
                first = _draw(model, hours, n_ports, seed, seed, where)
                _check(first, hours, name, where)
                _require_equal(_draw(again, hours, n_ports, seed, seed, where), first, f"{where}: the same seed again")
                other = _draw(model, hours, n_ports, seed, seed + n_days, where)
                same = np.array_equal(other.arrival_h, first.arrival_h)
                require(same, f"{where}: other numbers from `stays` changed arrival_h; draw arrivals from `arrivals`")
                if n_ports == len(small_site().ports):
                    _check_track(first, section, seed, where)


def _draw(model: SessionModel, hours: HourGrid, n_ports: int, seed: int, stays: int, where: str) -> Arrivals:
    """Draw vehicles; the hours must not be changed."""
    names = [field.name for field in fields(HourGrid)]
    given = HourGrid(*(getattr(hours, name).copy() for name in names))
    with calling(f"{where}, draw"):
        arrivals = model.draw(given, n_ports, stream(seed, "arrivals"), stream(stays, "stays"))
    require_unchanged(
        [getattr(hours, name) for name in names],
        [getattr(given, name) for name in names],
        [f"hours.{name}" for name in names],
        f"{where}: draw",
    )
    fine = isinstance(arrivals, Arrivals)
    require(fine, f"{where}: draw must return Arrivals (ev_marl.world.sessions), got {type(arrivals).__name__}")
    return arrivals


def _check(arrivals: Arrivals, hours: HourGrid, name: str, where: str) -> None:
    """Fields within their ranges."""
    n = np.shape(arrivals.arrival_h)[:1]
    for field in ("arrival_h", "stay_h", "wanted_kwh"):
        require_array(getattr(arrivals, field), n or (0,), f"{where}: {field}")
    try:
        check_arrivals(arrivals, name)
    except DataError as error:
        raise ConformanceError(f"{where}: {error}") from error
    first_h, last_h = hours.start_h[0], hours.start_h[-1] + 1.0
    outside = (arrivals.arrival_h < first_h) | (arrivals.arrival_h >= last_h)
    if outside.any():
        k = int(np.flatnonzero(outside)[0])
        raise ConformanceError(
            f"{where}: arrival_h of vehicle {k} is {arrivals.arrival_h[k]:g} h; it must lie within `hours`, from "
            f"{first_h:g} to {last_h:g} h after the start of the episode"
        )


def _require_equal(again: Arrivals, first: Arrivals, where: str) -> None:
    for field in ("arrival_h", "stay_h", "wanted_kwh"):
        one, other = getattr(again, field), getattr(first, field)
        said = f"{where} gives another {field}; draw only from the two generators, and keep nothing between calls"
        require(one.shape == other.shape, said)
        require_same(one, other, said, "vehicle")
    require(again.target_soc == first.target_soc, f"{where} gives another target_soc")


def _check_track(arrivals: Arrivals, section: schema.Sessions, seed: int, where: str) -> None:
    """Park the vehicles at the small site, and look for faults of the track."""
    site, options, day = small_site(), schema.Vehicles(), small_day(0)
    fleet = Fleet.of(vehicle_mix(options), options, site.arrays)
    with calling(f"{where}, parking"):
        wanted_kwh = section.energy_scale * arrivals.wanted_kwh
        visitors = draw_visitors(fleet, wanted_kwh, arrivals.target_soc, stream(seed, "vehicles"))
        stay_h = section.stay_scale * arrivals.stay_h
        parked, _ = park(
            fleet, visitors, arrivals.arrival_h, stay_h, site.arrays, day.step_h, day.n_steps, stream(seed, "ports")
        )
        found = problems(replace(day, sessions=parked), site)
    require(not found, f"{where}: its sessions do not fit the site: {'; '.join(found[:3])}")
