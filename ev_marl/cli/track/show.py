"""Show the content of a track: sessions, prices, loads, limits, and its source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from ev_marl.cli.options import AsJson
from ev_marl.cli.output import console, print_json
from ev_marl.world.session_table import last_said

if TYPE_CHECKING:
    from ev_marl.world import Track
    from ev_marl.world.grid_day import GridDay

_SIGNALS = {
    "carbon_kg_per_kwh": ("Carbon", "kg/kWh", ".3f"),
    "temperature_c": ("Temperature", "°C", ".1f"),
    "pv_kw": ("PV", "kW", ".1f"),
}
LISTED_EVENTS = 20
HALF_AN_HOUR = 0.5 + 1e-9  # [h]
EXAMPLES = ("ev-marl track show day.parquet", "ev-marl track show day.json --sessions 5")


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Track file.")],
    sessions: Annotated[int, typer.Option("--sessions", min=0, help="How many sessions to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    from ev_marl.world import Track

    track = Track.load(file)
    facts = summary(track)
    if as_json:
        print_json(facts)
        return
    out = console()
    grid = Table.grid(padding=(0, 2))
    for name, value in _lines(track, facts):
        grid.add_row(Text(name, style="bold"), Text(value))
    out.print(grid)
    if sessions and len(track.sessions):
        out.print()
        out.print(_sessions_table(track, sessions))


def summary(track: Track) -> dict[str, Any]:
    """A track in a few numbers."""
    sessions = track.vehicles
    stays_h = (sessions["departure_step"] - sessions["arrival_step"]) * track.step_h
    return {
        "start": track.start.isoformat(),
        "timezone": track.timezone,
        "step_h": track.step_h,
        "n_steps": track.n_steps,
        "currency": track.currency,
        "ports": len(track.ports),
        "groups": {
            group: {
                "import_limit_kw": _range(track.import_limit_kw[:, g]),
                "export_limit_kw": _range(track.export_limit_kw[:, g]),
                "mean_base_load_kw": float(track.base_load_kw[:, g].mean()),
            }
            for g, group in enumerate(track.groups)
        },
        "sessions": len(sessions),
        "batteries": len(track.sessions) - len(sessions),
        "turned_away": track.turned_away,
        "wanted_kwh": float(sessions["wanted_kwh"].sum()),
        "mean_stay_h": float(stays_h.mean()) if len(sessions) else 0.0,
        "parked_at_start": int((sessions["arrival_step"] == 0).sum()),
        "stay_beyond_end": int((sessions["departure_step"] > track.n_steps).sum()),
        "declared": _declared(track),
        "buy_per_kwh": _range(track.buy_per_kwh),
        "sell_per_kwh": _range(track.sell_per_kwh),
        "signals": {name: _range(values) for name, values in track.signals.present.items()},
        "events": [dict(zip(track.events.dtype.names or (), row.tolist(), strict=True)) for row in track.events],
        "grid": None if track.grid is None else _grid(track.grid),
        "source": track.source,
    }


def _grid(day: GridDay) -> dict[str, Any]:
    return {
        "loads": len(day.loads),
        "generators": len(day.generators),
        "load_kw": _range(day.load_kw.sum(axis=1)),
        "generator_kw": _range(day.generator_kw.sum(axis=1)),
    }


def _range(values: np.ndarray) -> dict[str, float]:
    return {"lowest": float(values.min()), "mean": float(values.mean()), "highest": float(values.max())}


def _lines(track: Track, facts: dict[str, Any]) -> list[tuple[str, str]]:
    prices = [
        (
            f"{name} price",
            "{lowest:.3f} to {highest:.3f}, mean {mean:.3f} {currency}/kWh".format(
                **facts[key], currency=track.currency
            ),
        )
        for name, key in (("Buying", "buy_per_kwh"), ("Selling", "sell_per_kwh"))
    ]
    groups = [
        (
            f"  {group}",
            f"import limit {_limit(entry['import_limit_kw'])}, export limit {_limit(entry['export_limit_kw'])}, "
            f"base load {entry['mean_base_load_kw']:.1f} kW on average",
        )
        for group, entry in facts["groups"].items()
    ]
    return [
        ("Start", f"{track.start:%A %Y-%m-%d %H:%M} {track.timezone}"),
        ("Length", f"{track.n_steps} steps of {60 * track.step_h:g} min"),
        ("Ports", f"{len(track.ports)}"),
        (
            "Vehicles",
            f"{facts['sessions']}: {facts['parked_at_start']} there at the start, {facts['stay_beyond_end']} stay "
            f"beyond the end, {facts['turned_away']} found no free port",
        ),
        *([("Batteries", f"{facts['batteries']} stationary")] if facts["batteries"] else []),
        *_declared_lines(facts["declared"]),
        ("Wanted", f"{facts['wanted_kwh']:.0f} kWh, mean stay {facts['mean_stay_h']:.1f} h"),
        *prices,
        *_signal_lines(facts["signals"]),
        ("Groups", ""),
        *groups,
        *_event_lines(track),
        *_grid_lines(facts["grid"]),
        *((name.capitalize(), str(value)) for name, value in track.source.items()),
    ]


def _declared(track: Track) -> dict[str, float] | None:
    """How far departures and wishes are off that drivers said last; None where all say the truth."""
    sessions = track.vehicles
    late_h = (sessions["departure_step"] - last_said(sessions)) * track.step_h
    revised = sessions["revised_at_step"] > 0
    over_kwh = sessions["overstated_kwh"]
    if not late_h.any() and not revised.any() and not over_kwh.any():
        return None
    return {
        "more_than_half_an_hour_early": int((late_h < -HALF_AN_HOUR).sum()),
        "more_than_half_an_hour_late": int((late_h > HALF_AN_HOUR).sum()),
        "earliest_h": max(0.0, float(-late_h.min())),
        "latest_h": max(0.0, float(late_h.max())),
        "revised": int(revised.sum()),
        "want_less_kwh": float(np.maximum(0.0, over_kwh).sum()),
        "want_more_kwh": float(np.maximum(0.0, -over_kwh).sum()),
    }


def _declared_lines(facts: dict[str, float] | None) -> list[tuple[str, str]]:
    if facts is None:
        return []
    said = (
        "{more_than_half_an_hour_early} leave more than half an hour before they say, at most {earliest_h:.1f} h; "
        "{more_than_half_an_hour_late} after it, at most {latest_h:.1f} h; {revised} say otherwise in between"
    )
    lines = [("Declared", said.format(**facts))]
    if facts["want_less_kwh"] or facts["want_more_kwh"]:
        wish = "{want_less_kwh:.0f} kWh more than they want, {want_more_kwh:.0f} kWh less"
        lines.append(("Declared energy", wish.format(**facts)))
    return lines


def _event_lines(track: Track) -> list[tuple[str, str]]:
    """The first events; one is announced from the start on if it was known before the episode."""
    times = track.clock.local_times
    lines = [("Events", f"{len(track.events)}")] if len(track.events) else []
    for event in track.events[:LISTED_EVENTS]:
        limit = f" to {event['limit_kw']:g} kW" if event["kind"] == "demand_response" else ""
        if event["penalty_per_kwh"]:
            limit += f" or {event['penalty_per_kwh']:g} {track.currency}/kWh"
        hours = (event["end_step"] - event["first_step"]) * track.step_h
        known = times[max(0, int(event["announced_step"]))]
        what = f"{event['kind'].replace('_', ' ')} of {event['of']}{limit}"
        lines.append(
            (f"  {times[event['first_step']]:%a %H:%M}", f"{what} for {hours:g} h, announced by {known:%a %H:%M}")
        )
    return lines


def _signal_lines(facts: dict[str, dict[str, float]]) -> list[tuple[str, str]]:
    return [
        (what, f"{{lowest:{spec}}} to {{highest:{spec}}}, mean {{mean:{spec}}} {unit}".format(**facts[name]))
        for name, (what, unit, spec) in _SIGNALS.items()
        if name in facts
    ]


def _grid_lines(facts: dict[str, Any] | None) -> list[tuple[str, str]]:
    if facts is None:
        return []
    return [
        ("Network", ""),
        *(
            (
                f"  {facts[what]} {what}",
                "{lowest:.1f} to {highest:.1f} kW together, mean {mean:.1f} kW".format(**facts[f"{what[:-1]}_kw"]),
            )
            for what in ("loads", "generators")
            if facts[what]
        ),
    ]


def _limit(limit_kw: dict[str, float]) -> str:
    """The limit, or the least and the highest where it changes over the day."""
    lowest, highest = ("none" if np.isinf(limit_kw[end]) else f"{limit_kw[end]:g} kW" for end in ("lowest", "highest"))
    return lowest if lowest == highest else f"{lowest} to {highest}"


def _sessions_table(track: Track, count: int) -> Table:
    sessions, times = track.sessions, track.clock.local_times
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("port", "arrival", "stay h", "on arrival kWh", "wanted kWh", "battery kWh", "vehicle"):
        table.add_column(heading, justify="left" if heading in ("port", "vehicle") else "right")
    for session in sessions[:count]:
        stay_h = (session["departure_step"] - session["arrival_step"]) * track.step_h
        arrival = times[session["arrival_step"]]
        numbers = (stay_h, session["energy_kwh"], session["wanted_kwh"], session["capacity_kwh"])
        formats = (".2f", ".1f", ".1f", ".0f")
        table.add_row(
            track.ports[session["port"]],
            f"{arrival:%H:%M}",
            *(format(number, spec) for number, spec in zip(numbers, formats, strict=True)),
            session["vehicle"],
        )
    return table
