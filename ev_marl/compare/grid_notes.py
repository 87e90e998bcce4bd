"""Notes on the network above the site below a table: its name, exceeded limits, quality of the optimum.

A `Comparison` comes in; lines of text and a Markdown table go out, none where the scenario has no network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ev_marl.compare.comparison import Comparison
from ev_marl.compare.text import number
from ev_marl.scenario.schema.grid import NetworkFile, PandapowerNetwork, SimbenchNetwork

_MEANING = {
    "bound": "a bound: nobody earns more",
    "estimate": "an estimate: neither bound nor plan",
    "plan": "a plan: earned in the simulator, with the exact power flow",
}


def grid_notes(comparison: Comparison) -> list[str]:
    """Network and limits, policies that exceed them, steps without a power flow, accuracy of the optimum's plan."""
    grid, rows = comparison.scenario.grid, comparison.table()
    if grid is None or not comparison.has_grid:
        return []
    limits, kept = grid.limits, "enforced by curtailing" if grid.coordinator == "curtail" else "not enforced"
    lines = [
        f"Network {_name(grid.network)}: {limits.voltage[0]:g} to {limits.voltage[1]:g} p.u., lines up to "
        f"{limits.line:g} %, transformers up to {limits.transformer:g} %; {kept}. Violations "
        "without any charging are not counted."
    ]
    seen = [(row.label, row.grid) for row in rows if row.grid is not None]
    failed = any(network.failed_steps for _, network in seen)
    broken = [f"{label} ({number(network.violations_per_h, 2)})" for label, network in seen if network.violations_per_h]
    lines.append(
        f"Limits of the network exceeded (elements × steps, per hour): {', '.join(broken)}."
        if broken
        else f"No policy exceeded a limit of the network{' in the steps with a power flow' if failed else ''}."
    )
    lost = [
        f"{label} ({network.failed_steps} and {network.cut_steps})"
        for label, network in seen
        if network.failed_steps or network.cut_steps
    ]
    if lost:
        lines.append(f"Steps without a power flow solution, and steps with charging cut to get one: {', '.join(lost)}.")
    return lines + _plan_notes(comparison, max((network.failed_steps for _, network in seen), default=0))


def _plan_notes(comparison: Comparison, n_failed: int) -> list[str]:
    """The difference of bound and plan, and the violations of the plan."""
    days = [day.grid for day in comparison.days if day.grid is not None]
    if not days:
        return []
    gaps = np.array([day.bound - day.achieved for day in comparison.days])
    size = max(1.0, float(np.abs(comparison.bound).mean()))
    lines = [
        f"Difference of bound and plan: {number(float(gaps.mean()), 4)} {comparison.currency}/day "
        f"({number(100 * float(gaps.mean()) / size, 4)} % of the bound)."
    ]
    n_steps = comparison.scenario.n_steps * len(comparison.days)
    flow = "exact power flow" + (
        f" in {n_steps - n_failed:,} of {n_steps:,} steps; the others have no solution" if n_failed else ""
    )
    voltage_pu = max(max(day.voltage_violation_pu, day.checked_voltage_violation_pu) for day in days)
    percent = max(max(day.loading_violation_percent, day.checked_loading_violation_percent) for day in days)
    checked = sum(day.checked_steps for day in days)
    by_whom = f", {checked} of its steps nearest to a limit also solved by pandapower" if checked else ""
    lines.append(
        f"The optimum's plan in the {flow}{by_whom}: exceeds limits by at most {voltage_pu:.1e} p.u. "
        f"and {percent:.1e} percentage points."
        if max(voltage_pu, percent) > 0.0
        else f"The optimum's plan keeps every limit of the network in the {flow}{by_whom}."
    )
    return lines


def formulations_table(comparison: Comparison) -> str:
    """The value of each formulation of the network in the optimum's model, as a Markdown table; empty without any."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for day in comparison.days:
        for entry in day.grid.formulations if day.grid is not None else ():
            found.setdefault((entry.name, entry.kind), []).append((entry.value, entry.seconds))
    if not found:
        return ""
    heading = ("formulation", "its value is", f"return {comparison.currency}/day", "s", "days")
    lines = ["| " + " | ".join(heading) + " |", "| --- | --- |" + " ---: |" * 3]
    for (name, kind), values in found.items():
        value, seconds = np.mean(values, axis=0)
        cells = (name, _MEANING[kind], number(value, 4), number(seconds, 1), str(len(values)))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _name(network: str | PandapowerNetwork | SimbenchNetwork | NetworkFile) -> str:
    """Short name of a network."""
    if isinstance(network, str):
        return network
    if isinstance(network, PandapowerNetwork):
        return network.pandapower
    return network.simbench if isinstance(network, SimbenchNetwork) else Path(network.file).name
