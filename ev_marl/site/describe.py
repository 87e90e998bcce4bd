"""A site in words, for a terminal: the tree of groups with limits, loads and stations, and one line for headers.

Comes in: a `Site`, and its scenario if there is one. Goes out: a rich `Tree`, or text. The share of the ports'
power that a limit allows is always shown: it says how much there is to coordinate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from ev_marl.scenario.schema import Declared, LoadProfile, Pv, PvSystem, Scenario
from ev_marl.scenario.schema.grid import Grid
from ev_marl.scenario.schema.series import DatedFile
from ev_marl.scenario.series import Series
from ev_marl.site.areas import areas_of
from ev_marl.site.part_load import read_table
from ev_marl.site.site import Site

LIMITS = (("import_limit_kw", "import"), ("export_limit_kw", "export"))


def describe_site(site: Site, scenario: Scenario | None = None, *, called: str | None = None) -> Tree:
    """The site as a tree.

    Parameters
    ----------
    site : Site
        What is described.
    scenario : Scenario, optional
        Adds what the scenario is about to the first line.
    called : str, optional
        What the user calls the scenario, for a hint at the command that describes its network; its name if left out.

    Returns
    -------
    rich.tree.Tree
        Print it with a `rich.console.Console`.
    """
    arrays = site.arrays
    title = f"[bold]{escape(scenario.name if scenario else site.name)}[/bold]"
    if scenario is not None and scenario.about:
        title += f": {escape(scenario.about)}"
    tree = Tree(title)
    tree.add(f"{_count(arrays.n_stations, 'agent')}, {_count(arrays.n_ports, 'port')}")
    if scenario is not None and scenario.grid is not None:
        more = f"more: ev-marl grid describe {escape(called or scenario.name)}"
        tree.add(f"{escape(grid_line(site, scenario.grid))}; {more}")
    if scenario is not None:
        for line in _sessions_lines(site, scenario):
            tree.add(escape(line))
    if scenario is not None:
        for line in _signal_lines(scenario):
            tree.add(escape(line))
        for line in _event_lines(site, scenario):
            tree.add(escape(line))
    _add_group(tree, site, site.groups[0])
    return tree


def _signal_lines(scenario: Scenario) -> Iterator[str]:
    """What else is known of each step: carbon intensity, temperature, irradiance, and when prices are published."""
    weather = scenario.weather
    for what, said, unit in (("carbon", scenario.carbon, "g/kWh"), ("temperature", weather.temperature, "°C")):
        if said is not None:
            yield f"{what} {_said(said, unit)}"
    if weather.irradiance is not None:
        yield f"irradiance from {Path(weather.irradiance.csv).name}"
    published = getattr(scenario.prices, "published", None)
    if published is not None:
        yield f"prices of the next day are published at {published:g} h"


def _event_lines(site: Site, scenario: Scenario) -> Iterator[str]:
    """One line for each event: what happens, when, and when it is known."""
    for event in scenario.events:
        what = f"{event.kind.replace('_', ' ')} of {event.of or site.groups[0]}"
        if event.limit is not None:
            what += f" to {event.limit:g} kW"
        if event.penalty:
            what += f" or {event.penalty:g} {scenario.currency}/kWh"
        when = f"{event.per_day:g} a day at random" if event.at is None else f"at {event.at:g} h"
        known = f"announced {event.announced:g} h ahead" if event.announced else "without notice"
        yield f"{what}, {when}, for {event.lasts:g} h, {known}"


def _said(said: Any, unit: str) -> str:
    """A signal as its key has it."""
    if isinstance(said, DatedFile):
        return f"from {Path(said.csv).name}"
    if isinstance(said, float | int):
        return f"{said:g} {unit}"
    values = getattr(said, "by_hour", None) or said.by_month
    return f"{min(values):g} to {max(values):g} {unit} {'by hour' if hasattr(said, 'by_hour') else 'by month'}"


def _sessions_lines(site: Site, scenario: Scenario) -> Iterator[str]:
    """One line for each model of sessions, where stations have different ones; and what drivers say, if it is wrong."""
    areas = areas_of(scenario, site)
    if len(areas) == 1 and areas[0].sessions.declared is not None:
        yield _declared_line(areas[0].sessions.declared)
    for area in areas if len(areas) > 1 else ():
        stations = [site.agents[a] for a in dict.fromkeys(site.arrays.port_station[area.ports].tolist())]
        said = area.sessions
        rate = f"{said.per_port_per_day:g} vehicles per port and weekday"
        wait = f", wait up to {60 * said.patience:g} min for a port" if said.patience else ""
        declared = "" if said.declared is None else f"; {_declared_line(said.declared)}"
        yield f"sessions at {_shortened(stations)}: {said.called}, {rate}{wait}{declared}"


def _declared_line(said: Declared) -> str:
    """What drivers say of departure and wish, in words."""
    parts = [] if said.called is None else [f"as {said.called}"]
    for when, part in (("before", said.early), ("after", said.late)):
        if part is not None:
            parts.append(f"{part.share:.0%} leave {when} the time they say, by {60 * part.by:.0f} min on average")
    if said.revised is not None:
        parts.append(f"{said.revised.share:.0%} say the truth {60 * said.revised.ahead:.0f} min ahead")
    for how, wish in () if said.energy is None else (("more", said.energy.more), ("less", said.energy.less)):
        if wish is not None:
            parts.append(f"{wish.share:.0%} say that they want {how}, by {wish.by:g} kWh on average")
    return f"what drivers declare: {', '.join(parts)}"


def limits_line(site: Site, scenario: Scenario | None = None) -> str:
    """One line that says how tight the limits are: `lot_north 60 kW for 440 kW of ports (14 %), ...`.

    Groups with an import limit below the power of their ports, or all with an import limit if there is none; and the
    network of the scenario, if it has one.
    """
    line = _site_limits_line(site)
    if scenario is not None and scenario.grid is not None:
        line += f"; {grid_line(site, scenario.grid)}"
    return line


def _site_limits_line(site: Site) -> str:
    groups = [group for group in site.groups if group not in site.agents]  # single stations would be a long list
    found = [(group, _limit(site, group, "import_limit_kw"), _ports_kw(site, group)) for group in groups]
    limited = [(group, limit, ports_kw) for group, limit, ports_kw in found if limit is not None]
    tight = [entry for entry in limited if entry[1].lowest < entry[2]]
    lines = [
        f"{group} {_range(limit)} for {_kw(ports_kw)} of ports ({_share(limit, ports_kw)})"
        for group, limit, ports_kw in tight or limited
    ]
    if not limited:
        lines = [f"no import limits for {_kw(_ports_kw(site, site.groups[0]))} of ports"]
    if site.currents:
        lines.append(f"{len(site.currents)} limits of currents")
    return ", ".join(lines)


def grid_line(site: Site, grid: Grid) -> str:
    """The network above the site in one line: `network cigre_lv, chargers at 5 of 44 buses: 0.95 to 1.05 p.u., ...`."""
    if site.network is None:
        raise ValueError(f"site '{site.name}' has no network")
    spec, limits = site.network.spec, grid.limits
    keeper = "kept by curtailing" if grid.coordinator == "curtail" else "kept by nobody"
    return (
        f"network {spec.name}, chargers at {spec.n_charger_buses} of {spec.n_buses} buses: "
        f"{limits.voltage[0]:g} to {limits.voltage[1]:g} p.u., lines {limits.line:g} %, "
        f"transformers {limits.transformer:g} %, {keeper}"
    )


def _add_group(tree: Tree, site: Site, group: str) -> None:
    attributes = site.graph.nodes[group]
    branch = tree.add(f"[bold]{escape(group)}[/bold] ({escape(attributes['kind'])})")
    for line in _group_lines(site, group):
        branch.add(line)
    children = list(site.graph.successors(group))
    alike: dict[tuple[object, ...], list[str]] = {}
    for child in children:
        alike.setdefault(_station_key(site, child), []).append(child)
    for names in alike.values():
        if site.graph.nodes[names[0]]["kind"] == "station":
            branch.add(_stations_text(site, names))
        else:
            for name in names:
                _add_group(branch, site, name)


def _group_lines(site: Site, group: str) -> Iterator[str]:
    attributes, ports_kw = site.graph.nodes[group], _ports_kw(site, group)
    transformer = attributes.get("transformer")
    if transformer is not None:
        sides = f"{transformer.primary:g} to " if transformer.primary else ""
        windings = f" {transformer.vector_group}" if transformer.vector_group else ""
        yield f"transformer of {_number(transformer.rating)} kVA{windings}, {sides}{transformer.secondary:g} V"
    for key, name in LIMITS:
        limit = _limit(site, group, key)
        if limit is None:
            continue
        power_kw = ports_kw if key == "import_limit_kw" else _discharge_kw(site, group)
        text = f"{name} limit {_range(limit)}"
        if power_kw > 0:
            verb = "charging" if key == "import_limit_kw" else "discharging"
            text += f": {_share(limit, power_kw)} of the {_kw(power_kw)} of {verb} power below"
        yield text
    if _limit(site, group, "import_limit_kw") is None:
        yield f"no import limit; {_kw(ports_kw)} of charging power below"
    yield from _current_lines(site, group)
    if "base_load" in attributes:
        yield _load_text(attributes["base_load"])
    if "pv" in attributes:
        pv: Pv | PvSystem = attributes["pv"]
        if isinstance(pv, Pv):
            yield f"PV of {_kw(pv.peak)} at {pv.latitude:g}° north"
        else:
            place = f"{pv.latitude:g}° north, {pv.longitude:g}° east"
            yield f"PV of {_number(pv.kwp)} kWp at {place}, tilt {pv.tilt:g}°, azimuth {pv.azimuth:g}°"


def _current_lines(site: Site, group: str) -> Iterator[str]:
    """Limits of currents of a group: name, limit, and the stations whose power flows in each."""
    g = site.groups.index(group)
    arrays = site.arrays
    for r in (arrays.current_group == g).nonzero()[0]:
        ports = arrays.current_weight[r].any(axis=0).nonzero()[0]
        stations = [site.agents[a] for a in dict.fromkeys(arrays.port_station[ports].tolist())]
        below = arrays.port_station[arrays.group_first_port[g] : arrays.group_end_port[g]]
        whose = "all stations below" if len(stations) == len(set(below.tolist())) else _shortened(stations)
        yield f"{escape(site.currents[r])} at most {_number(arrays.current_limit_a[r])} A: {whose}"


def _shortened(names: list[str]) -> str:
    """Names of stations, those that follow each other as `ac_0 … ac_9`."""
    runs: list[list[str]] = []
    for name in names:
        kind, _, number = name.rpartition("_")
        if runs and runs[-1][-1] == f"{kind}_{int(number) - 1}":
            runs[-1].append(name)
        else:
            runs.append([name])
    if len(runs) > 4:
        return f"{', '.join(_first_to_last(run) for run in runs[:3])} … {names[-1]}"
    return ", ".join(_first_to_last(run) for run in runs)


def _first_to_last(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} … {names[-1]}"


def _load_text(load: Any) -> str:
    if isinstance(load, LoadProfile):
        return f"base load {load.profile}, peak {_kw(load.peak)}"
    return f"base load {_range(_series(load))}"


def _station_key(site: Site, node: str) -> tuple[object, ...]:
    """What stations in one line have in common; every group is different from all others."""
    attributes = site.graph.nodes[node]
    if attributes["kind"] != "station":
        return ("group", node)
    ports = [tuple(sorted(site.graph.nodes[port].items())) for port in site.graph.successors(node)]
    limits = tuple(attributes.get(key) for key, _ in LIMITS)
    own = tuple(attributes.get(key) for key in ("phases", "power_factor", "standby_kw"))
    return ("station", _type(node), limits, own, tuple(ports))


def _type(station: str) -> str:
    return station.partition("_")[0]


def _stations_text(site: Site, names: list[str]) -> str:
    nodes = site.graph.nodes
    ports = [nodes[port] for port in site.graph.successors(names[0])]
    agents = _shortened(names)
    powers = sorted({float(port["charge_kw"]) for port in ports})
    power = _kw(powers[0]) if len(powers) == 1 else f"{powers[0]:g} to {_kw(powers[-1])}"
    supply = "DC" if ports[0].get("supply", "ac") == "dc" else "AC"
    called = f"{len(names)} × {_type(names[0])} ({agents})"
    storage = ports[0].get("storage_kwh")
    if storage is None:
        parts = [f"{called}, {_count(len(ports), 'port')} of {power} {supply}"]
    else:
        parts = [f"{called}, stationary battery of {_number(storage)} kWh and {power}"]
    if "phases" in nodes[names[0]]:
        parts[0] += f" on {nodes[names[0]]['phases']}"
    if "power_factor" in nodes[names[0]]:
        parts.append(f"power factor {nodes[names[0]]['power_factor']:g}")
    if "standby_kw" in nodes[names[0]]:
        parts.append(f"standby {1000.0 * nodes[names[0]]['standby_kw']:g} W")
    least, step = (float(ports[0].get(key, 0.0)) for key in ("least_kw", "step_kw"))
    if least > 0.0:
        parts.append(f"at least {_level(least)}")
    if step > 0.0:
        parts.append(f"in steps of {_level(step)}")
    discharge = max(float(port.get("discharge_kw", 0.0)) for port in ports)
    if storage is not None:
        if discharge != powers[-1]:
            parts.append(f"{_kw(discharge)} out")
        parts.append(f"{_number(ports[0]['start_kwh'])} kWh at the start, at least {_number(ports[0]['reserve_kwh'])}")
    elif discharge > 0:
        parts.append("V2G" if discharge == powers[-1] else f"V2G {_kw(discharge)}")
    limit = _limit(site, names[0], "import_limit_kw")
    if limit is not None:
        parts.append(f"together {_range(limit)} a station")
    parts.append(_efficiency_text(ports, discharge > 0))
    return ", ".join(parts)


def _efficiency_text(ports: list[Any], discharges: bool) -> str:
    if "part_load" in ports[0]:
        table = [f"{100 * eta:.3g} % at {100 * share:.3g} %" for share, eta in read_table(ports[0]["part_load"])]
        back = f", {100 * float(ports[0].get('discharge_efficiency', 1.0)):.3g} % back" if discharges else ""
        return f"efficiency {', '.join(table)} of the power{back}"
    charge = min(float(port.get("charge_efficiency", 1.0)) for port in ports)
    discharge = min(float(port.get("discharge_efficiency", 1.0)) for port in ports)
    text = f"efficiency {100 * charge:.3g} %"
    return f"{text} in, {100 * discharge:.3g} % out" if discharges and charge != discharge else text


def _ports_kw(site: Site, group: str) -> float:
    return _below(site, group, site.arrays.port_charge_kw)


def _discharge_kw(site: Site, group: str) -> float:
    return _below(site, group, site.arrays.port_discharge_kw)


def _below(site: Site, group: str, port_kw: Any) -> float:
    g = site.groups.index(group)
    return float(port_kw[site.arrays.group_first_port[g] : site.arrays.group_end_port[g]].sum())


def _series(value: Any) -> Series:
    return value if isinstance(value, Series) else Series.constant(value)


def _limit(site: Site, node: str, key: str) -> Series | None:
    """A limit of a node, None where there is none."""
    limit = _series(site.graph.nodes[node].get(key, math.inf))
    return None if math.isinf(limit.lowest) else limit


def _range(series: Series) -> str:
    if series.lowest == series.highest:
        return _kw(series.lowest)
    return f"{_number(series.lowest)} to {_kw(series.highest)}"


def _share(limit: Series, power_kw: float) -> str:
    """A limit as a share of a power, from its lowest to its highest value."""
    low, high = (f"{100 * value / power_kw:.0f}" for value in (limit.lowest, limit.highest))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".") if value < 1e6 else f"{value:g}"


def _level(value: float) -> str:
    return f"{value:.3g} kW"


def _kw(value: float) -> str:
    return f"{_number(value)} kW"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
