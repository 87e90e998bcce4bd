"""The tables of `ev-marl grid`: facts in, rich tables out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ev_marl.scenario.grid import Grid

if TYPE_CHECKING:
    from ev_marl.grid.describe import ChargerBusFacts, NetworkFacts


def print_facts(out: Console, grid: Grid, facts: NetworkFacts, top: int) -> None:
    """A network as it was built; the weakest so many of its buses with chargers."""
    dead = ", ".join(facts.dead_buses[:6]) + (", ..." if len(facts.dead_buses) > 6 else "")
    low, high = grid.limits.voltage
    added = f", {facts.n_added_generators} of them added by the scenario" if facts.n_added_generators else ""
    chargers = facts.charger_buses
    reactive = (
        "Q(V) by the voltage at the bus" if grid.chargers.q_of_v else f"power factor {grid.chargers.power_factor:g}"
    )
    keeps = {"curtail": "curtail: power is taken back until they hold", "none": "none: nobody keeps them"}
    if facts.agreement is None:
        agreement = "pandapower itself"
    else:
        found = facts.agreement
        agreement = (
            f"{found.converged} of {found.states} random states solved by runpp; largest differences "
            f"{found.voltage_pu:.0e} p.u., lines {found.line_percent:.0e} %, "
            f"transformers {found.transformer_percent:.0e} %"
        )
    rows = [
        ("Network", facts.name),
        ("Buses", f"{facts.n_buses}, {len(facts.dead_buses)} of them dead" + (f": {dead}" if dead else "")),
        ("Lines", f"{facts.n_lines}"),
        ("Loads", f"{facts.n_loads}, {facts.load_kw:,.0f} kW and {facts.load_kvar:,.0f} kvar in the network's data"),
        ("Site loads", f"at {facts.n_site_loads} buses"),
        ("Generators", f"{facts.n_generators}, {facts.generator_kw:,.0f} kW{added}"),
        (
            "Chargers",
            f"{sum(bus.ports for bus in chargers)} ports of {sum(bus.stations for bus in chargers)} stations at "
            f"{len(chargers)} buses, {sum(bus.charge_kw for bus in chargers):,.0f} kW together; {reactive}",
        ),
        (
            "Limits",
            f"{low:g} to {high:g} p.u., lines {grid.limits.line:g} %, transformers {grid.limits.transformer:g} %",
        ),
        ("Kept by", keeps[grid.coordinator]),
        ("Backend", f"{facts.backend} (asked for: {grid.backend})"),
        ("Agreement", agreement),
    ]
    if grid.tap_control is not None:
        band = grid.tap_control.voltage
        rows.append(("Taps", f"of transformer {grid.tap_control.transformer} between {band[0]:g} and {band[1]:g} p.u."))
    _print_rows(out, rows)
    if facts.transformers:
        out.print(Text("\nTransformers", style="bold"))
        out.print(_transformer_table(facts))
    shown = sorted(chargers, key=lambda bus: bus.sensitivity_pu_per_kw)[:top]
    if shown:
        out.print(Text(f"\nBuses with chargers, the weakest {len(shown)} of {len(chargers)}", style="bold"))
        out.print(_charger_table(shown))


def _transformer_table(facts: NetworkFacts) -> Table:
    table = _columns(("name", "from", "to"), ("kVA", "kV", "vk %", "vkr %"), ("vector group",), ("tap", "step %"))
    for one in facts.transformers:
        tap = "none" if one.tap is None else f"{one.tap}"
        if one.tap is not None and one.tap_range is not None:
            tap += f" of {one.tap_range[0]}..{one.tap_range[1]}"
        table.add_row(
            one.name + ("" if one.in_service else " (off)"),
            one.hv_bus,
            one.lv_bus,
            f"{one.kva:,.0f}",
            f"{one.hv_kv:g}/{one.lv_kv:g}",
            f"{one.vk_percent:g}",
            f"{one.vkr_percent:g}",
            one.vector_group or "not given",
            tap,
            "" if one.tap_step_percent is None else f"{one.tap_step_percent:g}",
        )
    return table


def _charger_table(buses: list[ChargerBusFacts]) -> Table:
    table = _columns(
        ("bus",),
        ("kV", "stations", "ports", "chargers kW", "loads kW", "10⁻³ p.u./kW", "lines above"),
        ("transformer",),
    )
    for bus in buses:
        table.add_row(
            bus.bus,
            f"{bus.kv:g}",
            f"{bus.stations}",
            f"{bus.ports}",
            f"{bus.charge_kw:.0f}",
            f"{bus.load_kw:.1f}",
            f"{1e3 * bus.sensitivity_pu_per_kw:.3f}",
            f"{bus.lines}",
            bus.transformer or "none",
        )
    return table


def _print_rows(out: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Names in bold, and what is to be said of each."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    out.print(table)


def _columns(*headings: tuple[str, ...]) -> Table:
    """An empty table: headings in turn to the left and to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for k, names in enumerate(headings):
        for name in names:
            table.add_column(name, justify="right" if k % 2 else "left")
    return table
