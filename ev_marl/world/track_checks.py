"""Everything that can be wrong with a track, found in one pass.

A track, and its site if known, come in; a list of faults in plain words goes out, empty for a sound track.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ev_marl.scenario.choices import LATEST_TAPER
from ev_marl.scenario.clock import zone_of
from ev_marl.scenario.curves import curve_faults
from ev_marl.scenario.units import FIRST_DAY, LAST_DAY, LONGEST_H
from ev_marl.support.values import LEAST, MOST
from ev_marl.world.events import event_problems
from ev_marl.world.session_table import FIELDS, SESSION, STATIONARY
from ev_marl.world.signals import RANGES

if TYPE_CHECKING:
    from ev_marl.grid.model.network import Network
    from ev_marl.site.site import Site
    from ev_marl.world.grid_day import GridDay
    from ev_marl.world.track import Track

_ROUNDING_KWH = 1e-9  # an energy may exceed the capacity by so much, for sums that are rounded
_LISTED = 5  # faults of one kind that are listed one by one


def problems(track: Track, site: Site | None = None, currency: str | None = None) -> list[str]:
    """Every fault of a track.

    Parameters
    ----------
    track : Track
        To be checked.
    site : Site, optional
        Site that it should belong to.
    currency : str, optional
        Currency that its prices should be in.
    """
    found = _frame(track)
    if currency is not None and track.currency != currency:
        found.append(f"its prices are in {track.currency}, the scenario counts in {currency} (key `currency`)")
    if site is not None:
        found += _names("ports", track.ports, site.ports) + _names("groups", track.groups, site.groups)
    if track.grid is not None:
        found += grid_day_problems(track.grid, track.n_steps, None if site is None else site.network)
    for name, values in track.signals.present.items():
        found += _values(f"signals.{name}", values, (track.n_steps,))
        least, most = RANGES[name]
        if not found and not ((values >= least) & (values <= most)).all():
            found.append(f"signals.{name} is {values.min():g} to {values.max():g}; it must be {least:g} to {most:g}")
    published = track.signals.published_steps
    if published is not None and not found and not (published > np.arange(track.n_steps)).all():
        found.append("signals.published_steps: the price of a step must be published when it starts")
    for name, points in track.curves.items():
        fault = curve_faults(points)
        found += [f"the charge curve of '{name}' {fault}"] if fault else []
    found += event_problems(track.events, track.n_steps, track.groups, track.ports)
    if track.sessions.ndim != 1 or track.sessions.dtype != SESSION:
        found.append("sessions are not a table of the dtype SESSION; make them with session_table(...)")
    else:
        with np.errstate(invalid="ignore"):  # comparisons with nan or inf are what is being looked for
            found += _session_values(track)
        if site is not None and not found:
            found += _battery_faults(track, site)
    return found


def _battery_faults(track: Track, site: Site) -> list[str]:
    """At a port with a stationary battery, the battery stands for the whole episode, and it stands nowhere else."""
    sessions = track.sessions
    here = sessions[site.arrays.is_battery[sessions["port"]]]
    whole = (here["vehicle"] == STATIONARY) & (here["arrival_step"] == 0) & (here["departure_step"] > track.n_steps)
    found = []
    for port in np.flatnonzero(site.arrays.is_battery):
        if not (whole & (here["port"] == port)).any():
            found.append(
                f"sessions: the stationary battery at port {track.ports[port]} is missing, or is not there from step 0 "
                "until after the end; add it with `ev_marl.world.batteries.with_batteries`"
            )
    astray = (sessions["vehicle"] == STATIONARY) & ~site.arrays.is_battery[sessions["port"]]
    return found + _listed(
        np.flatnonzero(astray), lambda k: f"a stationary battery stands at port {sessions['port'][k]}, which has none"
    )


def grid_day_problems(day: GridDay, n_steps: int, network: Network | None) -> list[str]:
    """Every fault of what happens on a network.

    Parameters
    ----------
    day : GridDay
        To be checked.
    n_steps : int
        Steps of its track.
    network : Network, optional
        Network that it should belong to.
    """
    found = []
    if network is not None:
        spec, n_own = network.spec, network.n_own_loads
        of = f"network '{spec.name}'"
        found += _names("loads", day.loads, spec.loads[:n_own], of)
        found += _names("generators", day.generators, spec.generators, of)
    for names, elements in (("loads", day.loads), ("generators", day.generators)):
        if len(set(elements)) != len(elements):
            found.append(f"grid.{names}: a name occurs twice")
    needed = {"load_kw": day.loads, "load_kvar": day.loads, "generator_kw": day.generators}
    for name, elements in {**needed, "generator_kvar": day.generators}.items():
        found += _values(f"grid.{name}", getattr(day, name), (n_steps, len(elements)))
    return found


def _values(name: str, values: np.ndarray, shape: tuple[int, ...]) -> list[str]:
    """Faults of finite numbers, one a step, or one a step and element."""
    if values.shape != shape:
        return [f"{name} has the shape {values.shape}; {shape} is needed"]
    if values.dtype != np.float64:
        return [f"{name} is {values.dtype}; float64 is needed"]
    if not (np.abs(values) <= MOST).all():
        step = int(np.argwhere(~(np.abs(values) <= MOST))[0][0])
        return [f"{name} is not finite at step {step}, or beyond {MOST:g}"]
    return []


def _frame(track: Track) -> list[str]:
    found = []
    n_steps, n_groups = track.n_steps, len(track.groups)
    if n_steps == 0:
        found.append("buy_per_kwh is empty: a track has at least one step")
    if not LEAST <= track.step_h * max(1, n_steps) <= LONGEST_H or not track.step_h >= LEAST:
        found.append(f"step_h is {track.step_h}; it must be above 0 h, and all {n_steps} steps at most {LONGEST_H:g} h")
    if track.start.tzinfo is None:
        found.append(f"start {track.start} has no time zone")
    if not FIRST_DAY < track.start.date() < LAST_DAY:
        found.append(f"start {track.start} is not between {FIRST_DAY} and {LAST_DAY}")
    try:
        zone_of(track.timezone)
    except ValueError as error:
        found.append(f"timezone: {error}")
    if track.turned_away < 0:
        found.append(f"turned_away is {track.turned_away}; it must be 0 or more")
    for names in ("ports", "groups"):
        if len(set(getattr(track, names))) != len(getattr(track, names)):
            found.append(f"{names}: a name occurs twice")
    shapes = {
        "buy_per_kwh": (n_steps,),
        "sell_per_kwh": (n_steps,),
        "base_load_kw": (n_steps, n_groups),
        "import_limit_kw": (n_steps, n_groups),
        "export_limit_kw": (n_steps, n_groups),
    }
    for name, shape in shapes.items():
        values = getattr(track, name)
        if values.shape != shape or values.dtype != np.float64 or not name.endswith("limit_kw"):
            found += _values(name, values, shape)
        elif not ((values >= 0) & ((values <= MOST) | np.isinf(values))).all():
            found.append(f"{name} is {_worst(values)} kW somewhere; a limit is 0 to {MOST:g}, inf for none")
    return found


def _worst(values: np.ndarray) -> float:
    if np.isnan(values).any():
        return float("nan")
    return float(values.min()) if values.min() < 0 else float(values[np.isfinite(values)].max())


def _names(what: str, mine: tuple[str, ...], needed: tuple[str, ...], of: str = "site") -> list[str]:
    if mine == needed:
        return []
    if len(mine) != len(needed):
        return [f"the track has {len(mine)} {what}, the {of} {len(needed)}"]
    k = next(k for k in range(len(mine)) if mine[k] != needed[k])
    return [
        f"{what}: number {k} is '{mine[k]}' in the track and '{needed[k]}' {'at' if of == 'site' else 'in'} the {of}"
    ]


def _session_values(track: Track) -> list[str]:
    s = track.sessions
    n_ports = len(track.ports)
    port, arrival, departure = s["port"], s["arrival_step"], s["departure_step"]
    energy, wanted, capacity = s["energy_kwh"], s["wanted_kwh"], s["capacity_kwh"]
    taper, reserve, ahead = s["taper_start"], s["reserve_kwh"], s["ahead_kwh"]
    declared, revised_at, revised = s["declared_step"], s["revised_at_step"], s["revised_step"]
    over = s["overstated_kwh"]
    checks = [
        ((port < 0) | (port >= n_ports), lambda k: f"port {port[k]} is out of range; there are {n_ports}"),
        (
            (arrival < 0) | (arrival >= track.n_steps),
            lambda k: f"arrival_step {arrival[k]} is outside the {track.n_steps} steps",
        ),
        (
            departure <= arrival,
            lambda k: f"departure_step {departure[k]} is not after arrival_step {arrival[k]}",
        ),
        (departure > MOST, lambda k: f"departure_step {departure[k]} is beyond {MOST:g}"),
        (
            ~(energy + np.maximum(0.0, wanted) <= capacity + _ROUNDING_KWH) & np.isfinite(energy + wanted + capacity),
            lambda k: f"energy_kwh {energy[k]:g} + wanted_kwh {wanted[k]:g} is above capacity_kwh {capacity[k]:g}",
        ),
        (
            ~((taper >= LEAST) & (taper <= LATEST_TAPER)),
            lambda k: f"taper_start is {taper[k]}, not above 0 and at most {LATEST_TAPER}",
        ),
        (
            reserve > capacity + _ROUNDING_KWH,
            lambda k: f"reserve_kwh {reserve[k]:g} is above capacity_kwh {capacity[k]:g}",
        ),
        (
            ~((energy - ahead >= -_ROUNDING_KWH) & (energy - ahead <= capacity + _ROUNDING_KWH)) & np.isfinite(energy),
            lambda k: f"ahead_kwh is {ahead[k]:g}: energy_kwh less that, an even service, must be 0 to capacity_kwh",
        ),
        (
            (ahead != 0.0) & (arrival > 0),
            lambda k: f"ahead_kwh is {ahead[k]:g}; it must be 0, since the vehicle comes at step {arrival[k]} only",
        ),
        (
            (declared != 0) & ~((declared > arrival) & (declared <= MOST)),
            lambda k: f"declared_step {declared[k]} is not after arrival_step {arrival[k]}; 0 is the true departure",
        ),
        (
            (revised_at != 0) & ~((revised_at > arrival) & (revised_at <= MOST)),
            lambda k: f"revised_at_step {revised_at[k]} is not after arrival_step {arrival[k]}; 0 is never",
        ),
        (
            (revised != 0) & ~((revised_at != 0) & (revised > revised_at) & (revised <= MOST)),
            lambda k: (
                f"revised_step {revised[k]} is not after revised_at_step {revised_at[k]}; 0 is the true departure"
            ),
        ),
        (
            ~((wanted + over >= -_ROUNDING_KWH) & (energy + wanted + over <= capacity + _ROUNDING_KWH))
            & np.isfinite(energy + wanted + capacity),
            lambda k: f"overstated_kwh is {over[k]:g}: wanted_kwh and that must be 0 to what the battery takes",
        ),
        (
            (s["vehicle"] == STATIONARY) & ((declared != 0) | (revised_at != 0) | (over != 0.0)),
            lambda k: "a stationary battery declares neither departure nor wish",
        ),
    ]
    found = []
    for bad, text in checks:
        found += _listed(np.flatnonzero(bad), text)
    for name, field in FIELDS.items():
        if field.allowed:
            good = (s[name] <= MOST) & (s[name] >= (LEAST if field.allowed == "above 0" else 0.0))
            found += _listed(np.flatnonzero(~good), partial(_out_of_range, name, s[name], field.allowed))
    if (np.diff(arrival) < 0).any():
        found.append("sessions are not sorted by arrival_step")
    return found + _overlaps(track)


def _overlaps(track: Track) -> list[str]:
    port, arrival, departure = (track.sessions[name] for name in ("port", "arrival_step", "departure_step"))
    order = np.lexsort((departure, arrival, port))
    early, late = order[:-1], order[1:]
    bad = (port[early] == port[late]) & (departure[early] > arrival[late])

    def text(k: int) -> str:
        where = int(port[late[k]])
        name = track.ports[where] if 0 <= where < len(track.ports) else str(where)
        return f"comes to port {name} at step {arrival[late[k]]}, while session {early[k]} is there"

    where = np.flatnonzero(bad)
    found = [f"session {late[k]} {text(k)}" for k in where[:_LISTED]]
    return found + _more(len(where))


def _listed(where: np.ndarray, text: Callable[[int], str]) -> list[str]:
    return [f"session {k}: {text(k)}" for k in where[:_LISTED]] + _more(len(where))


def _out_of_range(name: str, values: np.ndarray, allowed: str, k: int) -> str:
    return f"{name} is {values[k]}; it must be {allowed}"


def _more(n: int) -> list[str]:
    return [f"... and {n - _LISTED} more like it"] if n > _LISTED else []
