"""The tables of `ev-marl grid`: facts in, rich tables out."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ev_marl.grid.studies.describe import ChargerBusFacts, GridFacts, IdleDay
from ev_marl.grid.studies.unbalanced_day import UnbalancedDay
from ev_marl.grid.studies.year import Year
from ev_marl.grid.studies.year_files import summary
from ev_marl.grid.studies.year_record import RANDOM
from ev_marl.scenario.schema.grid import Grid


def print_facts(out: Console, grid: Grid, facts: GridFacts, idle: IdleDay, top: int) -> None:
    """A network, a day without charging, and the `top` most sensitive buses with chargers."""
    dead = ", ".join(facts.dead_buses[:6]) + (", ..." if len(facts.dead_buses) > 6 else "")
    low, high = grid.limits.voltage
    added = f", {facts.n_added_generators} of them added by the scenario" if facts.n_added_generators else ""
    chargers = facts.charger_buses
    reactive = (
        "Q(V) by the voltage at the bus" if grid.chargers.q_of_v else f"power factor {grid.chargers.power_factor:g}"
    )
    keeps = {"curtail": "curtail: charging is curtailed until they hold", "none": "none: not enforced"}
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
        ("Constant", ", ".join(f"{count} {table}" for table, count in facts.constant.items()) or "nothing else"),
        (
            "Chargers",
            f"{sum(bus.ports for bus in chargers)} ports of {sum(bus.stations for bus in chargers)} stations at "
            f"{len(chargers)} buses, {sum(bus.charge_kw for bus in chargers):,.0f} kW together; {reactive}",
        ),
        (
            "Limits",
            f"{low:g} to {high:g} p.u., lines {grid.limits.line:g} %, transformers {grid.limits.transformer:g} %",
        ),
        ("Enforced by", keeps[grid.coordinator]),
        ("Backend", f"{facts.backend} (in the scenario: {grid.backend})"),
        ("Agreement", agreement),
        ("Without EVs", str(idle)),
    ]
    if grid.tap_control is not None:
        band = grid.tap_control.voltage
        rows.append(("Taps", f"of transformer {grid.tap_control.transformer} between {band[0]:g} and {band[1]:g} p.u."))
    _print_rows(out, rows)
    if facts.transformers:
        out.print(Text("\nTransformers", style="bold"))
        _transformer_table(facts).print(out)
    shown = sorted(chargers, key=lambda bus: bus.sensitivity_pu_per_kw)[:top]
    if shown:
        out.print(Text(f"\nBuses with chargers, the most sensitive {len(shown)} of {len(chargers)}", style="bold"))
        _charger_table(shown).print(out)


def print_year(out: Console, year: Year) -> None:
    """Worst values of a year on the network, and the agreement with pandapower."""
    series, limits, facts = year.series, year.limits, summary(year)
    days = len(year.clocks)
    out.print(
        Text(
            f"{year.scenario}: {year.policy} charging on {year.spec.name}, {days} days of "
            f"{year.clocks[0].n_steps} steps from {year.clocks[0].local_times[0]:%Y-%m-%d %H:%M} on "
            f"({year.n_steps:,} power flows), grid coordinator: {year.grid_coordinator}",
            style="bold",
        )
    )
    table = _Sheet(("",), ("worst",), ("where", "when"), ("seed", "limit", "h beyond", "h without EVs"))
    shown = (
        ("lowest voltage", "voltage below", " p.u.", f"{limits.voltage[0]:g}", 4),
        ("highest voltage", "voltage above", " p.u.", f"{limits.voltage[1]:g}", 4),
        ("fullest line", "line above", " %", f"{limits.line:g}", 1),
        ("fullest transformer", "transformer above", " %", f"{limits.transformer:g}", 1),
    )
    for name, beyond, unit, limit, digits in shown:
        if name not in year.worst:
            continue
        worst = year.worst[name]
        with_vehicles, without = year.hours_beyond[beyond]
        table.add(
            name,
            f"{worst.value:.{digits}f}{unit}",
            worst.element,
            f"{year.clocks[worst.day].local_times[worst.step]:%Y-%m-%d %H:%M}",
            f"{year.seeds[worst.day]}",
            limit,
            f"{with_vehicles:,.2f}",
            f"{without:,.2f}",
        )
    table.print(out)
    rows = [
        (
            "Charged",
            f"{year.charged_kwh / 1000:,.1f} MWh in {year.stays:,} stays (those beyond the end of a day count twice), "
            f"at most {series.charging_kw.max():,.0f} kW; {year.unmet_kwh / 1000:,.2f} MWh unmet",
        ),
        (
            "Network",
            f"{facts['from_above_kwh'] / 1000:,.1f} MWh from above, {facts['losses_kwh'] / 1000:,.2f} MWh lost",
        ),
        (
            "Costs",
            ", ".join(
                f"{name} {cost:,.2f} {year.currency}/day" for name, cost in facts["costs_per_day"].items() if cost
            ),
        ),
    ]
    if year.discharged_kwh:
        rows.append(("Fed back", f"{year.discharged_kwh / 1000:,.1f} MWh"))
    if year.grid_coordinator != "none":
        rows.append(
            (
                "Curtailed",
                f"in {facts['curtailed_steps']:,} steps, {facts['curtailed_kwh'] / 1000:,.2f} MWh delayed or lost",
            )
        )
    if facts["cut_steps"] or facts["failed_steps"]:
        rows.append(
            (
                "No solution",
                f"charging cut in {facts['cut_steps']:,} steps; none even without charging in "
                f"{facts['failed_steps']:,} of {facts['steps']:,}, which are left out above",
            )
        )
    voltage, line, transformer = year.differences
    kinds = ", ".join(one.state.why for one in year.checked if one.state.why != RANDOM)
    count = sum(one.state.why == RANDOM for one in year.checked)
    rows += [
        (
            "Checked",
            f"{len(year.checked)} steps solved again by pandapower ({kinds}; {count} at random): largest differences "
            f"{voltage:.0e} p.u., lines {line:.0e} %, transformers {transformer:.0e} %",
        ),
        (
            "Time",
            f"{year.seconds['drawing']:.1f} s to draw the days, {year.seconds['playing']:.1f} s to play them "
            f"({year.backend}), {year.seconds['checking']:.1f} s for pandapower's check",
        ),
    ]
    out.print()
    _print_rows(out, rows)


def print_unbalanced(out: Console, scenario: str, grid: Grid, result: UnbalancedDay) -> None:
    """Steps of a day, balanced and on three phases."""
    track, steps = result.track, [step for step in result.steps if step.converged]
    out.print(
        Text(
            f"{scenario}: {result.policy} charging from {track.clock.local_times[0]:%Y-%m-%d %H:%M} on, grid "
            f"coordinator: {grid.coordinator}",
            style="bold",
        )
    )
    table = _Sheet(
        ("\ntime",),
        ("chargers kW\na/b/c", "lowest p.u.\nbalanced", "lowest p.u.\nof a phase"),
        ("\nwhere",),
        ("unbalance\n%", "transf. %\nbalanced", "transf. %\na/b/c", "line %\nfullest phase"),
    )
    for one in result.steps:
        time = f"{track.clock.local_times[one.step]:%H:%M}"
        if not one.converged:
            table.add(time, "", f"{one.lowest_pu:.4f}", "none", "no solution", *[""] * 4)
            continue
        table.add(
            time,
            "/".join(f"{power:.0f}" for power in one.charging_kw),
            f"{one.lowest_pu:.4f}",
            f"{one.phase_lowest_pu:.4f}",
            f"{one.phase_lowest_bus}, {one.phase_lowest_phase}",
            f"{one.unbalance_percent:.2f}",
            f"{one.transformer_percent:.0f}",
            "/".join(f"{loading:.0f}" for loading in one.phase_transformer_percent),
            f"{one.phase_line_percent:.0f}",
        )
    table.print(out)
    connected = {"in-turn": "ports take a, b, c in turn", "same": "all ports take phase a"}[result.connection]
    drawn = {"balanced": "balanced", "one-phase": "up to 1 kV single-phase, phases in turn"}[result.loads]
    rows = [
        ("One phase", f"{result.one_phase_sessions} of {len(track.sessions)} vehicles (up to 7.4 kW); {connected}"),
        ("Loads", f"{drawn}; generators balanced"),
        *(("Assumed" if not k else "", said) for k, said in enumerate(result.assumptions)),
    ]
    if steps:
        worst = min(steps, key=lambda one: one.phase_lowest_pu)
        unbalance = max(steps, key=lambda one: one.unbalance_percent)
        apart = max(one.lowest_pu - one.phase_lowest_pu for one in steps)
        rows = [
            (
                "Worst",
                f"{worst.phase_lowest_pu:.4f} p.u.; the balanced power flow gives {worst.lowest_pu:.4f} in that step. "
                f"In the steps above, a phase is up to {apart:.4f} p.u. lower than in the balanced power flow",
            ),
            (
                "Unbalance",
                f"{unbalance.unbalance_percent:.2f} % at {unbalance.unbalance_bus}, negative over positive sequence "
                "(EN 50160: up to 2 % for 95 % of a week)",
            ),
            *rows,
        ]
    out.print()
    _print_rows(out, rows)


def _transformer_table(facts: GridFacts) -> _Sheet:
    table = _Sheet(("name", "from", "to"), ("kVA", "kV", "vk %", "vkr %"), ("type",), ("tap", "step %"))
    for one in facts.transformers:
        tap = "none" if one.tap is None else f"{one.tap}"
        if one.tap is not None and one.tap_range is not None:
            tap += f" of {one.tap_range[0]}..{one.tap_range[1]}"
        table.add(
            one.name + ("" if one.in_service else " (off)"),
            one.hv_bus,
            one.lv_bus,
            f"{one.kva:,.0f}",
            f"{one.hv_kv:g}/{one.lv_kv:g}",
            f"{one.vk_percent:g}",
            f"{one.vkr_percent:g}",
            one.type or one.vector_group or "not given",
            tap,
            "" if one.tap_step_percent is None else f"{one.tap_step_percent:g}",
        )
    return table


def _charger_table(buses: list[ChargerBusFacts]) -> _Sheet:
    table = _Sheet(
        ("bus",),
        ("kV", "stations", "ports", "chargers kW", "loads kW", "10⁻³ p.u./kW", "lines above"),
        ("transformer",),
    )
    for bus in buses:
        table.add(
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
    """Names in bold, each with its text."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    out.print(table)


class _Sheet:
    """A table if the console is wide enough; else a paragraph for each row, so that nothing is cut off.

    Parameters
    ----------
    *headings : tuple of str
        Of columns to the left and to the right, in turn.
    """

    def __init__(self, *headings: tuple[str, ...]) -> None:
        self._headings = [(name, "right" if k % 2 else "left") for k, names in enumerate(headings) for name in names]
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: str) -> None:
        """A row."""
        self._rows.append(cells)

    def print(self, out: Console) -> None:
        """All rows."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        needed = -2  # for the last column's padding
        for k, (name, side) in enumerate(self._headings):
            lines = [line for text in (name, *(cells[k] for cells in self._rows)) for line in text.splitlines()]
            needed += 2 + max(map(cell_len, lines), default=0)
            table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
        for cells in self._rows:
            table.add_row(*map(Text, cells))
        if needed <= out.width:
            out.print(table)
            return
        names = [" ".join(name.split()) for name, _ in self._headings[1:]]
        told = [
            (first, "; ".join(f"{name}: {cell}" for name, cell in zip(names, cells, strict=True) if cell))
            for first, *cells in self._rows
        ]
        _print_rows(out, told)
