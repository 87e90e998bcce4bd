"""Unusual values in a scenario, which are no errors: a list of small checks, each with its numbers.

A setting comes in, findings go out. Each check is a function from sampled days to findings; a new one is written below
and added to `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ev_marl.checks.sampled import FIRST_H, SampledDays
from ev_marl.env.setup import Setting
from ev_marl.objective.carbon import MOST_KG_PER_KWH
from ev_marl.planning.programme.check import check_expressions
from ev_marl.scenario import Problem, Scenario
from ev_marl.scenario.problems import KeyPath, key_text
from ev_marl.scenario.schema import Group, Stations
from ev_marl.site.areas import areas_of
from ev_marl.site.currents import voltage_below_v
from ev_marl.site.vehicles import vehicle_mix
from ev_marl.support.errors import ObjectiveError
from ev_marl.world.events import OUTAGE, REQUEST

MANY_AT_THE_START = 1 / 3  # of the ports
SMALL_PU = 0.001  # a voltage that nobody would notice [p.u.]
USUAL_SIGNALS: tuple[tuple[str, KeyPath, tuple[float, float], str], ...] = (
    (
        "carbon_kg_per_kwh",
        ("carbon",),
        (0.0, MOST_KG_PER_KWH),
        f"grids are between 0 and {MOST_KG_PER_KWH:g} kg/kWh, lignite alone is at 1.1",
    ),
    ("temperature_c", ("weather", "temperature"), (-40.0, 50.0), "air is mostly between −40 and 50 °C"),
)
"""Signals with the range outside of which they are unusual."""
FAR_ABOVE = 100.0  # a price so much higher leaves no room for another
WRONG_START = 0.05  # of the energy of the first hours
MOST_AT_ONCE = 0.25  # of the drivers who leave late
ROUNDING_KWH = 1e-6  # no energy at all
FEWER_ELSEWHERE = 1 / 2  # of those at the start: another start hour is worth naming


@dataclass(frozen=True)
class Finding:
    """An unusual value, which is no error."""

    check: str  # name of the check
    path: KeyPath  # key of the scenario that it is about
    message: str
    numbers: dict[str, float]  # the numbers of the message, for programs

    @property
    def key(self) -> str:
        """The key as people read it: `site.groups[0]`."""
        return key_text(self.path)

    def problem(self, scenario: Scenario) -> Problem:
        """The finding with file and line."""
        return scenario.places.problem(self.path, self.message)


def findings(scenario: str | Path | Scenario | SampledDays) -> list[Finding]:
    """All unusual values of a scenario, which are no errors.

    Parameters
    ----------
    scenario : str, Path, Scenario or SampledDays
        Name of a shipped scenario, path of a YAML file, a loaded scenario, or days of one.

    Raises
    ------
    ScenarioError
        If it has errors; all are listed.
    """
    days = scenario if isinstance(scenario, SampledDays) else SampledDays.of(Setting.of(scenario))
    return [finding for check in CHECKS for finding in check(days)]


def check_refusal(days: SampledDays) -> Iterator[Finding]:
    """A missing kWh that costs less than a delivered one: the optimum then leaves vehicles uncharged."""
    objective, currency = days.setting.scenario.objective, days.setting.scenario.currency
    buy = np.concatenate([track.buy_per_kwh for track in days.tracks])
    site = days.setting.site.arrays
    efficiency = float(site.charge_efficiency[site.vehicle_ports].min(initial=1.0))
    delivered = (objective.energy_cost * buy + objective.battery_wear - objective.driver_tariff) / efficiency
    dearest, unmet = float(delivered.max()), objective.unmet_energy
    if objective.service == "priced" and unmet < dearest:
        share = float((delivered > unmet).mean())
        wear = f" and wear of {objective.battery_wear:g}" if objective.battery_wear else ""
        wear += f" less the tariff of {objective.driver_tariff:g}" if objective.driver_tariff else ""
        yield Finding(
            "refusal",
            ("objective", "unmet_energy"),
            f"{unmet:g} {currency}/kWh is less than the highest cost of a kWh in the battery, {dearest:.3f} {currency} "
            f"(price {buy.max():.3f}{wear}, efficiency {efficiency:.0%}): in {share:.0%} of the steps not charging is "
            "cheaper, and the optimum may refuse customers; a higher price of unmet energy avoids that",
            {"unmet_per_kwh": unmet, "dearest_per_kwh": dearest, "efficiency": efficiency, "share_of_steps": share},
        )


def check_stations(days: SampledDays) -> Iterator[Finding]:
    """Stations that no vehicle of the mix can use, or whose full power none can use."""
    scenario = days.setting.scenario
    mix = vehicle_mix(scenario.vehicles)
    for path, group, stations in _stations(scenario.site):
        if stations.battery is not None:
            yield from _check_battery(days, path, stations)
            continue
        supply = stations.feeds
        port_kw = max(stations.port_powers_kw(voltage_below_v(days.setting.site.graph, group)))
        fastest = max(mix, key=lambda vehicle: vehicle.most_dc_kw if supply == "dc" else vehicle.ac_power)
        power_kw = fastest.most_dc_kw if supply == "dc" else fastest.ac_power
        numbers = {"port_kw": port_kw, "fastest_vehicle_kw": power_kw}
        if power_kw == 0.0:
            message = f"no vehicle of the mix can charge at {supply.upper()} ports: these stations stay empty"
            yield Finding("stations", path, message, numbers)
        elif power_kw < port_kw:
            yield Finding(
                "stations",
                path,
                f"no vehicle of the mix can use the full power of these ports: they have {port_kw:g} "
                f"kW, and the fastest at {supply.upper()}, {fastest.name}, charges with {power_kw:g} kW",
                numbers,
            )
        if stations.v2g and scenario.vehicles.v2g_share == 0.0:
            message = "these ports have V2G, but no vehicle has (`vehicles: v2g_share: 0`)"
            yield Finding("stations", path, message, {"v2g_share": 0.0})


def _check_battery(days: SampledDays, path: KeyPath, stations: Stations) -> Iterator[Finding]:
    """A stationary battery whose wear and losses cost more than it can save, or that starts below its reserve."""
    battery, scenario = stations.battery, days.setting.scenario
    assert battery is not None
    eta_in, eta_out = stations.charge_efficiency, stations.discharge_efficiency or stations.efficiency
    # Behind a site's meter, a kWh stored may be one that would have been sold.
    behind = scenario.billed_at == "site"
    gain = scenario.objective.energy_cost * max(
        float(track.buy_per_kwh.max() * eta_out - (track.sell_per_kwh if behind else track.buy_per_kwh).min() / eta_in)
        for track in days.tracks
    )
    wear = battery.wear * (1.0 / eta_in + eta_out)
    if wear >= gain and not scenario.objective.peak_power:
        yield Finding(
            "stations",
            (*path, "battery"),
            f"storing a kWh from the cheapest to the most expensive time of a day saves at most "
            f"{max(0.0, gain):.3f} {scenario.currency} and costs {wear:.3f} {scenario.currency} of wear: this battery "
            "never pays by prices alone",
            {"gain_per_kwh": gain, "wear_per_kwh": wear},
        )
    if battery.start < battery.reserve:
        yield Finding(
            "stations",
            (*path, "battery", "start"),
            f"at {battery.start:.0%} the battery starts below its reserve of {battery.reserve:.0%}; it is then never "
            "discharged below what it started with",
            {"start": battery.start, "reserve": battery.reserve},
        )


def check_start(days: SampledDays) -> Iterator[Finding]:
    """Many vehicles at the start, if another start hour has few; a network that would limit them."""
    start, n_ports = days.start, len(days.setting.site.arrays.vehicle_ports)
    if start.vehicles > MANY_AT_THE_START * n_ports and start.fewest < FEWER_ELSEWHERE * start.vehicles:
        yield Finding(
            "start",
            ("start_hour",),
            f"{start}. There are {n_ports} ports. Charging before the start is assumed, not simulated; "
            f"with `start_hour: {int(start.fewest_at[:2])} h` less is assumed",
            {"vehicles": start.vehicles, "ports": n_ports, "fewest": start.fewest},
        )
    too_much_kwh, first_kwh = days.unlimited_before_start
    if too_much_kwh > max(ROUNDING_KWH, WRONG_START * first_kwh):
        yield Finding(
            "start",
            ("start_hour",),
            "uncontrolled charging in the hours before the start does not keep to the network: vehicles "
            f"there at {start.local_time} have {too_much_kwh:.0f} kWh more than they would, and all draw "
            f"{first_kwh:.0f} kWh in the first {FIRST_H:g} h. Fewest vehicles are there at {start.fewest_at}",
            {"too_much_kwh": too_much_kwh, "first_kwh": first_kwh},
        )


def check_limits(days: SampledDays) -> Iterator[Finding]:
    """Import limits that can never be reached; sites where uncontrolled charging reaches no limit."""
    limit_kw, possible_kw, uncontrolled_kw = days.import_limit_kw, days.possible_kw, days.uncontrolled_kw
    limited = np.isfinite(limit_kw).any(axis=(0, 1))
    paths = {group.name: path for path, group in days.setting.scenario.site.with_paths()}
    n_days = len(days.tracks)
    for g, name in enumerate(days.setting.site.groups):
        if not limited[g] or name not in paths or (possible_kw[:, :, g] >= limit_kw[:, :, g]).any():
            continue
        least, most = float(limit_kw[:, :, g].min()), float(possible_kw[:, :, g].max())
        yield Finding(
            "limits",
            (*paths[name], "import_limit"),
            f"the limit never binds: all vehicles of {n_days} days at full power and the base load come to "
            f"{most:.1f} kW, the limit is {least:g} kW or more",
            {"limit_kw": least, "possible_kw": most, "days": n_days},
        )
    yield from _check_export(days, paths)
    objective = days.setting.scenario.objective
    coupled = days.setting.grid is not None or objective.peak_power > 0.0 or objective.setpoint_tracking is not None
    coupled |= any(track.requests is not None for track in days.tracks)
    if not coupled and not (uncontrolled_kw > limit_kw).any() and not days.reaches_current_limit:
        highest = float(uncontrolled_kw[:, :, 0].max())
        yield Finding(
            "limits",
            ("site",),
            f"uncontrolled charging reaches no limit of the site on {n_days} days; the site draws at most "
            f"{highest:.1f} kW. Agents need to coordinate only if vehicles wait for the same cheap hour",
            {"highest_kw": highest, "days": n_days},
        )


def _check_export(days: SampledDays, paths: dict[str, KeyPath]) -> Iterator[Finding]:
    """Export limits above what all ports can discharge and what the base load exports."""
    site, n_days = days.setting.site.arrays, len(days.tracks)
    limit_kw = np.array([track.export_limit_kw for track in days.tracks]).min(axis=(0, 1))
    base_kw = np.array([track.base_load_kw for track in days.tracks]).min(axis=(0, 1))
    for g, name in enumerate(days.setting.site.groups):
        ports = slice(site.group_first_port[g], site.group_end_port[g])
        least, most = float(limit_kw[g]), float(site.port_discharge_kw[ports].sum()) + max(0.0, -float(base_kw[g]))
        if name in paths and most < least < np.inf:
            yield Finding(
                "limits",
                (*paths[name], "export_limit"),
                "the limit never binds: all ports at full discharging power and the highest export of the base load on "
                f"{n_days} days come to {most:.1f} kW, the limit is {least:g} kW or more",
                {"limit_kw": least, "possible_kw": most, "days": n_days},
            )


def check_prices(days: SampledDays) -> Iterator[Finding]:
    """A price that is higher or lower than the cost of every alternative."""
    objective, currency = days.setting.scenario.objective, days.setting.scenario.currency
    buy = np.stack([track.buy_per_kwh for track in days.tracks])
    yield from _check_peak(days)
    yield from _check_wear(days)
    yield from _check_tariff(days)
    yield from _check_tracking(days)
    yield from _check_voltage(days)
    later, least, most = objective.terminal_value, float(buy.min()), float(buy.max())
    if isinstance(later, float) and later > 0.0 and "terminal_value" not in days.setting.objective.names:
        key, why = ("unmet_energy", "no price if unmet") if objective.energy_cost else ("energy_cost", "no price")
        yield Finding(
            "prices",
            ("objective", "terminal_value"),
            f"{later:g} {currency}/kWh has no effect: with `{key}: 0`, energy has {why}, so it has no value at the end "
            f"either; give `{key}` a value above 0, or remove this key",
            {"terminal_per_kwh": later},
        )
    elif isinstance(later, float) and later > 0.0 and not least <= later <= most:
        above = later > most
        yield Finding(
            "prices",
            ("objective", "terminal_value"),
            f"{later:g} {currency}/kWh is {'more' if above else 'less'} than any price of {len(days.tracks)} days "
            f"({least:.3f} to {most:.3f}): vehicles that stay beyond the end "
            + ("charge up to their wish in every hour" if above else "never charge more than is due at the end"),
            {"terminal_per_kwh": later, "least_per_kwh": least, "most_per_kwh": most},
        )


def _check_peak(days: SampledDays) -> Iterator[Finding]:
    """A price of the peak above all that one more kW can deliver: unmet energy spared, and what drivers pay."""
    scenario = days.setting.scenario
    objective, currency = scenario.objective, scenario.currency
    efficiency, horizon_h = float(days.setting.site.arrays.charge_efficiency.max()), scenario.n_steps * scenario.step
    unmet = objective.unmet_energy
    worth = horizon_h * (unmet * efficiency + objective.driver_tariff)
    if objective.service == "priced" and 0.0 < objective.peak_power >= worth:
        tariff = f", drivers pay {objective.driver_tariff:g}" if objective.driver_tariff else ""
        yield Finding(
            "prices",
            ("objective", "peak_power"),
            f"{objective.peak_power:g} {currency}/kW is more than one more kW can be worth: in {horizon_h:g} h it "
            f"delivers {horizon_h * efficiency:.1f} kWh, and unmet energy costs {unmet:g} {currency}/kWh{tariff}, "
            f"{worth:.2f} {currency} in total. The optimum never raises the peak for a vehicle",
            {"peak_per_kw": objective.peak_power, "worth_per_kw": worth},
        )


def _check_wear(days: SampledDays) -> Iterator[Finding]:
    """A price of wear above what storing a kWh can earn; drivers pay for what is lost on the way."""
    scenario, site = days.setting.scenario, days.setting.site.arrays
    objective, currency = scenario.objective, scenario.currency
    v2g = (site.port_discharge_kw > 0.0) & ~site.is_battery
    if not v2g.any() or objective.battery_wear == 0.0:
        return
    eta_in, eta_out = float(site.charge_efficiency[v2g].max()), float(site.discharge_efficiency[v2g].max())
    later = objective.terminal_value if isinstance(objective.terminal_value, float) else np.inf
    gain = max(
        track.buy_per_kwh.max() * eta_out - min(track.buy_per_kwh.min(), later) / eta_in for track in days.tracks
    )
    gain = objective.energy_cost * float(gain) + objective.driver_tariff * (1.0 / eta_in - eta_out)
    wear = objective.battery_wear * (1.0 / eta_in + eta_out)
    if wear >= gain:
        yield Finding(
            "prices",
            ("objective", "battery_wear"),
            f"storing a kWh from the cheapest to the most expensive time of a day earns at most "
            f"{max(0.0, gain):.3f} {currency} and costs {wear:.3f} {currency} of wear: V2G never pays "
            "by prices alone",
            {"gain_per_kwh": gain, "wear_per_kwh": wear},
        )


def _check_tariff(days: SampledDays) -> Iterator[Finding]:
    """A tariff above the highest cost of a kWh."""
    scenario = days.setting.scenario
    objective, currency = scenario.objective, scenario.currency
    most = max(float(track.buy_per_kwh.max()) for track in days.tracks)
    dearest = objective.battery_wear + objective.energy_cost * most
    if objective.driver_tariff > max(0.0, dearest) and objective.peak_power == 0.0:
        yield Finding(
            "prices",
            ("objective", "driver_tariff"),
            f"drivers pay {objective.driver_tariff:g} {currency}/kWh, and a kWh never costs more than {dearest:.3f} "
            f"{currency}: charging pays in every hour, also beyond the wish",
            {"tariff_per_kwh": objective.driver_tariff, "dearest_per_kwh": dearest},
        )


def _check_tracking(days: SampledDays) -> Iterator[Finding]:
    """A weight of tracking at which one vehicle off the target costs more than leaving it uncharged."""
    scenario, site = days.setting.scenario, days.setting.site.arrays
    objective, currency = scenario.objective, scenario.currency
    if objective.setpoint_tracking is None or objective.service == "required":
        return
    weight, power_kw = objective.setpoint_tracking.weight, float(site.port_charge_kw.min())
    off, worth = weight * power_kw, objective.unmet_energy * float(site.charge_efficiency.max())
    worth += objective.driver_tariff
    if off > worth:
        yield Finding(
            "prices",
            ("objective", "setpoint_tracking"),
            f"one port at full power, {power_kw:g} kW off the target, costs {off:.2f} {currency} for each kWh, more "
            f"than a missing kWh, {worth:.2f} {currency}: the optimum follows the target and leaves vehicles uncharged",
            {"tracking_per_kwh": off, "worth_per_kwh": worth},
        )


def _check_voltage(days: SampledDays) -> Iterator[Finding]:
    """A price of voltage deviation above all that charging is worth."""
    scenario, site = days.setting.scenario, days.setting.site.arrays
    objective, currency = scenario.objective, scenario.currency
    worth = objective.unmet_energy * float((site.port_charge_kw * site.charge_efficiency).sum())
    worth += objective.driver_tariff * float(site.port_charge_kw.sum())
    small = SMALL_PU * objective.voltage_deviation
    if small > worth > 0.0:
        yield Finding(
            "prices",
            ("objective", "voltage_deviation"),
            f"{SMALL_PU:g} p.u. beyond the band at one bus for one hour costs {small:g} {currency}, more than an "
            f"hour of charging at all ports is worth, {worth:.2f} {currency}: the band is then a limit",
            {"small_per_h": small, "worth_per_h": worth},
        )


def check_overload(days: SampledDays) -> Iterator[Finding]:
    """A price of overload with a coordinator that enforces limits."""
    coordinator, price = days.setting.coordinator, days.setting.scenario.objective.overload
    if price is not None and coordinator.enforces_limits:
        message = f"coordinator `{coordinator.name}` never allows overload; remove this key, or use `none`"
        yield Finding("overload", ("objective", "overload"), message, {"overload_per_kwh": price})
    elif price is not None:
        yield from _check_overload_price(days, price)


def _check_overload_price(days: SampledDays, price: float) -> Iterator[Finding]:
    """A price of overload below what moving a kWh within a day can save, or far above what a kWh is worth."""
    scenario = days.setting.scenario
    objective, currency = scenario.objective, scenario.currency
    saved = objective.energy_cost * max(float(np.ptp(track.buy_per_kwh)) for track in days.tracks)
    worth = max(saved, objective.unmet_energy + objective.driver_tariff)
    numbers = {"overload_per_kwh": price, "saved_per_kwh": saved, "worth_per_kwh": worth}
    if price < saved:
        message = (
            f"{price:g} {currency}/kWh is less than moving a kWh within a day can save, {saved:.3f} {currency}: "
            "exceeding the limits is cheaper than keeping them"
        )
        yield Finding("overload", ("objective", "overload"), message, numbers)
    elif price > FAR_ABOVE * worth > 0.0 and objective.service == "priced":
        message = (
            f"{price:g} {currency}/kWh is more than {FAR_ABOVE:g} times what a kWh is worth, {worth:.3f} {currency}: "
            "overload dominates every reward; a coordinator that keeps the limits has the same effect"
        )
        yield Finding("overload", ("objective", "overload"), message, numbers)


def check_meter(days: SampledDays) -> Iterator[Finding]:
    """Selling prices above buying prices at the site's meter."""
    scenario = days.setting.scenario
    above = np.concatenate([track.sell_per_kwh > track.buy_per_kwh for track in days.tracks])
    if scenario.billed_at == "site" and above.any():
        yield Finding(
            "meter",
            ("metering",),
            f"selling pays more than buying in {above.mean():.0%} of the steps. At the site's meter the bill is then "
            "not convex: the optimum needs a binary for each such step, and `mpc` plans with an approximation",
            {"share_of_steps": float(above.mean())},
        )


def check_signals(days: SampledDays) -> Iterator[Finding]:
    """Carbon intensities and temperatures that are no such thing, and a time of publication that changes nothing."""
    scenario = days.setting.scenario
    for name, path, (least, most), what in USUAL_SIGNALS:
        found = [track.signals.present[name] for track in days.tracks if name in track.signals.present]
        if not found:
            continue
        lowest, highest = float(np.min(found)), float(np.max(found))
        if lowest < least or highest > most:
            message = f"found {lowest:g} to {highest:g}; {what}. Is the unit right?"
            yield Finding("signals", path, message, {"lowest": lowest, "highest": highest})
    published = [track.signals.published_steps for track in days.tracks]
    if all(steps is not None and steps[0] >= len(steps) for steps in published):
        message = (
            f"every episode of {scenario.horizon:g} h lies within one calendar day, whose prices are all known from "
            "its start: `published` changes nothing; start later (`start_hour`), or make the horizon longer"
        )
        yield Finding("signals", ("prices", "published"), message, {"horizon_h": scenario.horizon})


def check_declared(days: SampledDays) -> Iterator[Finding]:
    """Drivers who are so late that they would have said to leave as soon as they came."""
    step_h = days.tracks[0].step_h
    for area in areas_of(days.setting.scenario, days.setting.site):
        late = None if area.sessions.declared is None else area.sessions.declared.late
        if late is None or late.share == 0.0:
            continue
        come = np.concatenate([track.sessions[np.isin(track.sessions["port"], area.ports)] for track in days.tracks])
        come = come[come["arrival_step"] > 0]
        stay = come["departure_step"] - come["arrival_step"]
        at_once = (come["declared_step"] == come["arrival_step"] + 1) & (stay > 1)
        share, stay_h = (float(values.mean()) if len(come) else 0.0 for values in (at_once, stay * step_h))
        if share > MOST_AT_ONCE * late.share:
            yield Finding(
                "declared",
                (*area.path, "declared", "late"),
                f"{share:.0%} of the drivers say to leave {60 * step_h:g} min after they come: nobody is later than "
                f"by their stay, which is {stay_h:.1f} h on average; `by: {late.by:g} h` is long for that",
                {"share": share, "by_h": late.by, "stay_h": stay_h},
            )


def check_events(days: SampledDays) -> Iterator[Finding]:
    """Events that never happen in an episode, and requests that nobody could exceed."""
    scenario, site, n_days = days.setting.scenario, days.setting.site, len(days.tracks)
    for k, event in enumerate(scenario.events if days.setting.world.recorded is None else ()):
        path, limit = ("events", k), event.limit or 0.0
        groups = [event.of or site.groups[0]] if event.kind != OUTAGE else []
        happened, most_kw = 0, 0.0
        for day, track in enumerate(days.tracks):
            same = track.events["kind"] == event.kind
            if groups:
                same &= (track.events["of"] == groups[0]) & (track.events["limit_kw"] == limit)
            for one in track.events[same]:
                happened += 1
                during = slice(one["first_step"], one["end_step"])
                if groups:
                    most_kw = max(most_kw, days.possible_kw[day, during, site.groups.index(groups[0])].max())
        if event.at is not None and not happened:
            message = f"the event never happens: no step of the episodes on {n_days} days contains {event.at:g} h"
            yield Finding("events", (*path, "at"), message, {"at_h": event.at})
        elif event.kind == REQUEST and happened and most_kw <= limit:
            yield Finding(
                "events",
                (*path, "limit"),
                f"the request asks for nothing: all vehicles of {n_days} days at full power and the base load come to "
                f"{most_kw:.1f} kW in its steps, the limit is {limit:g} kW",
                {"highest_kw": most_kw, "limit_kw": limit},
            )


def check_plans(days: SampledDays) -> Iterator[Finding]:
    """Terms that cannot be planned with."""
    setting = days.setting
    try:
        with_grid = setting.grid is not None
        check_expressions(setting.objective, setting.site.arrays, "the cooperative optimum", with_grid=with_grid)
    except ObjectiveError as error:
        message = f"{error}. Without it, `solve`, `compare` and policies that plan refuse the scenario"
        yield Finding("plans", ("objective",), message, {})


def check_power_flow(days: SampledDays) -> Iterator[Finding]:
    """A network whose power flow has no solution even without charging."""
    network = days.setting.grid
    if network is None:
        return
    from ev_marl.grid.studies.describe import idle_day  # noqa: PLC0415  pandapower is heavy, and optional

    found = idle_day(network, days.tracks[0])
    if found.n_failed:
        message = f"network '{network.spec.name}': {found}"
        yield Finding("power_flow", ("grid",), message, {"failed": found.n_failed, "steps": found.n_steps})


CHECKS: tuple[Callable[[SampledDays], Iterator[Finding]], ...] = (
    check_refusal,
    check_stations,
    check_start,
    check_limits,
    check_prices,
    check_overload,
    check_meter,
    check_signals,
    check_declared,
    check_events,
    check_plans,
    check_power_flow,
)


def _stations(site: Group) -> Iterator[tuple[KeyPath, str, Stations]]:
    """Key, group and content of every entry of stations."""
    for path, group in site.with_paths():
        for i, stations in enumerate(group.stations):
            yield (*path, "stations", i), group.name, stations
