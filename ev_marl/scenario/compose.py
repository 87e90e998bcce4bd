"""A commented scenario from a few wishes: what `ev-marl new` writes.

Kind and size of a site come in, the text of a scenario file goes out, each line with its unit and what it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

SiteKind = Literal["work", "home", "public", "motorway"]
KINDS: tuple[SiteKind, ...] = get_args(SiteKind)


@dataclass(frozen=True)
class _Usual:
    """What is usual at a kind of site."""

    about: str
    sessions: str  # model, and vehicles per port and day
    sessions_source: str
    days: str
    start_hour: int  # local clock hour at which few vehicles are there
    profile: str  # of the base load
    unmet_per_kwh: float
    step: str
    power: str  # of a station's port


_USUAL: dict[SiteKind, _Usual] = {
    "work": _Usual(
        "Car park of a work place",
        "{model: elaadnl/workplace, per_port_per_day: 1.1}",
        "ElaadNL, stations of work places",
        "weekdays",
        0,
        "office",
        0.40,
        "15 min",
        "11 kW",
    ),
    "home": _Usual(
        "Home chargers behind one connection",
        "{model: elaadnl/private, per_port_per_day: 0.9}",
        "ElaadNL, private stations",
        "all",
        12,
        "household",
        0.40,
        "15 min",
        "11 kW",
    ),
    "public": _Usual(
        "Public stations",
        "{model: elaadnl/public, per_port_per_day: 1.2}",
        "ElaadNL, public stations",
        "all",
        6,
        "retail",
        0.45,
        "15 min",
        "22 kW",
    ),
    "motorway": _Usual(
        "Fast charging along a motorway",
        "{model: highway, per_port_per_day: 14}",
        "an assumption, fitted to no data",
        "all",
        0,
        "retail",
        0.60,
        "5 min",
        "150 kW",
    ),
}


@dataclass(frozen=True)
class SiteWishes:
    """A site in a few words; quantities as in a scenario, such as `22 kW`."""

    kind: SiteKind = "work"
    stations: int = 10
    ports: int = 1
    power: str = ""  # of each port; empty: what is usual
    v2g: bool = False
    fast_stations: int = 0
    fast_power: str = "150 kW"
    limit: str = ""  # import of the grid connection; empty: none
    base_load: str = ""
    pv: str = ""
    price: str = ""  # a constant one; empty: drawn from a fitted day-ahead market
    demand_charge: str = ""


def compose(name: str, wishes: SiteWishes) -> str:
    """The text of a scenario file.

    Parameters
    ----------
    name : str
        Of the scenario.
    wishes : SiteWishes
        What is known of the site; all else is what is usual at such sites, and said in comments.
    """
    usual = _USUAL[wishes.kind]
    power, ports = wishes.power or usual.power, f", ports: {wishes.ports}" if wishes.ports > 1 else ""
    type_name = "dc" if wishes.kind == "motorway" else "bidi" if wishes.v2g else "ac"
    more = {"dc": ", efficiency: 95 %", "bidi": ", v2g: true", "ac": ""}[type_name]
    stations = [f"{{type: {type_name}, count: {wishes.stations}{ports}, power: {power}{more}}}"]
    if wishes.fast_stations:
        stations.append(f"{{type: fast, count: {wishes.fast_stations}, power: {wishes.fast_power}, efficiency: 95 %}}")
    site = ["  name: connection"]
    if wishes.limit:
        site.append(f"  import_limit: {wishes.limit:<15} # of base load, PV and vehicles together")
    if wishes.base_load:
        load = f"{{profile: {usual.profile}, peak: {wishes.base_load}}}"
        site.append(f"  base_load: {load}   # also a constant, 24 numbers (by_hour), or a CSV file")
    if wishes.pv:
        site.append(f"  pv: {{peak: {wishes.pv}}}")
    site += [
        "  stations:                     # one agent each; `groups:` below a group makes lots with limits of their own"
    ]
    site += [f"    - {station}" for station in stations]
    if wishes.price:
        prices = f"{{constant: {wishes.price}}}"
    else:
        prices = "{model: nl/2023, feed_in: 90 %}   # fitted to the Dutch day-ahead market of 2023"
    objective = [
        "  energy_cost: 1                # times what energy costs at the meter",
        f"  unmet_energy: {usual.unmet_per_kwh:.2f} EUR/kWh    # for each kWh wanted, possible and not there",
    ]
    if type_name == "bidi":
        objective.append("  battery_wear: 0.03 EUR/kWh    # for each kWh in or out of a battery")
    if wishes.demand_charge:
        objective.append(f"  peak_power: {wishes.demand_charge:<17} # for the highest power of an episode")
    lines = [
        f"# {usual.about}, written by `ev-marl new`; every key is described in docs/reference/scenario.md.",
        f"name: {name}",
        f"about: {usual.about}.",
        "start: 2023-01-02               # episodes start on days between these two",
        "until: 2023-12-29",
        f"days: {usual.days:<25} # all, weekdays or weekends",
        f"start_hour: {usual.start_hour:<19} # `ev-marl check` says how many vehicles are there then",
        "timezone: Europe/Amsterdam",
        f"step: {usual.step}",
        "horizon: 24 h",
        "",
        "site:",
        *site,
        "",
        f"# Arrivals, stays and wishes: {usual.sessions_source}.",
        f"sessions: {usual.sessions}",
        "vehicles: {mix: eu}             # which models come",
        f"prices: {prices}",
        "",
        "coordinator: nearest            # who gets power when there is not enough",
        "objective:                      # what counts, in EUR",
        *objective,
        "observation: [identity, clock, ports, {prices: 12 h}, headroom]",
        "action: continuous              # share of a port's rated power; also bids, or levels",
    ]
    return "\n".join(lines) + "\n"
