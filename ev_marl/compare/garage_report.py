"""Tables and picture of a month in a garage: our numbers, the published ones, and what nobody can exceed."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from rich.console import Console
from rich.table import Table

from ev_marl.compare.drawing import BLUE, GREEN, GREY, INK, ORANGE, PALE, plain
from ev_marl.compare.garage import OPTIMUM, SCENARIOS, Case, Goal, Month, Result, published_of, published_results
from ev_marl.support.files import write_atomically

REPORT, PICTURE = "report.md", "report.png"
COLOURS = {OPTIMUM: GREEN, "mpc": BLUE, "llf": INK, "edf": GREY, "round-robin": ORANGE, "uncontrolled": PALE}
MEANING = {
    "I": "ideal batteries, the month known in advance",
    "II": "ideal batteries, continuous power",
    "III": "ideal batteries, levels of the stations",
    "IV": "batteries that charge more slowly from 80 % on, continuous power",
    "V": "batteries that charge more slowly from 80 % on, levels of the stations",
}

PUBLISHED = "published"  # header of a column
CURRENCY = "USD"  # of the garages' scenarios
Found = Mapping[Case, Result]
FIGURES: dict[str, str] = {
    "profit": "profit",
    "energy_cost": "energy cost",
    "demand_charge": "demand charge",
    "percent": "delivered [%]",
}
"""Columns of the table of profits, in the currency unless they say otherwise."""


def as_rows(month: Month, found: Found) -> list[dict[str, Any]]:
    """One dict for each case: ours, and the bound as the goal has it, in percent of the requested energy or money."""
    return [
        {
            **asdict(case),
            **result.model_dump(),
            **{f"published_{figure}": _told(month, case, figure) for figure in FIGURES},
            "bound": bound(case, found),
        }
        for case, result in found.items()
    ]


def bound(case: Case, found: Found) -> float:
    """What nobody can exceed behind this transformer, NaN if it was not computed: energy in percent, or profit.

    What is proven for ideal batteries holds for those that charge more slowly, too.
    """
    battery = SCENARIOS[case.scenario][0]
    proven = [
        result.bound * (result.requested_kwh if case.goal == "energy" else 1.0)
        for other, result in found.items()
        if other.policy == OPTIMUM
        and (other.goal, other.rating_kva) == (case.goal, case.rating_kva)
        and SCENARIOS[other.scenario][0] in ("ideal", battery)
    ]
    requested_kwh = [result.requested_kwh for other, result in found.items() if other.scenario == case.scenario]
    if not proven or not requested_kwh:
        return math.nan
    return min(proven) / (requested_kwh[0] if case.goal == "energy" else 1.0)


def _told(month: Month, case: Case, figure: str = "percent") -> float | None:
    """A figure that was published of a case of this month."""
    return published_of(case, figure) if month.is_published else None


def _of(goal: Goal, found: Found) -> Found:
    return {case: result for case, result in found.items() if case.goal == goal}


def _energy_rows(month: Month, found: Found) -> tuple[list[str], list[list[str]]]:
    """Header, and for each scenario and policy: energy delivered by rating, ours and published."""
    ratings = sorted({case.rating_kva for case in found})
    header = ["", "delivered [%]", *(word for rating in ratings for word in (f"{rating:g} kVA", PUBLISHED))]
    rows = []
    for scenario, policy in dict.fromkeys((case.scenario, case.policy) for case in found):
        row = [scenario, policy]
        for case in (Case(scenario, rating, policy) for rating in ratings):
            told = _told(month, case)
            row += [f"{found[case].percent:.1f}" if case in found else "", "" if told is None else f"{told:.1f}"]
        rows.append(row)
    return header, rows


def _profit_rows(month: Month, found: Found) -> tuple[list[str], list[list[str]]]:
    """Header, and for each case: its figures, ours and published."""
    header = ["", f"profit [{CURRENCY}]", "kVA", *(word for name in FIGURES.values() for word in (name, PUBLISHED))]
    rows = []
    for case, result in found.items():
        row = [case.scenario, case.policy, f"{case.rating_kva:g}"]
        for figure in FIGURES:
            told, digits = _told(month, case, figure), 1 if figure == "percent" else 0
            row += [f"{getattr(result, figure):,.{digits}f}", "" if told is None else f"{told:,.{digits}f}"]
        rows.append(row)
    return header[:-1], [row[:-1] for row in rows]  # of the energy, nothing was published


def _tables(month: Month, found: Found) -> list[tuple[list[str], list[list[str]]]]:
    made = ((_energy_rows, _of("energy", found)), (_profit_rows, _of("profit", found)))
    tables = [table(month, cases) for table, cases in made if cases]
    return tables if month.is_published else [_without_published(*table) for table in tables]


def _without_published(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    kept = [k for k, word in enumerate(header) if word != PUBLISHED]
    return [header[k] for k in kept], [[row[k] for k in kept] for row in rows]


def print_month(month: Month, found: Found, out: Console) -> None:
    """The tables: our number, and the published one beside it."""
    out.print(_title(month, found))
    for header, rows in _tables(month, found):
        table = Table(box=None, pad_edge=False)
        for k, word in enumerate(header):
            style = "dim" if word == PUBLISHED else None
            shown = "publ." if word == PUBLISHED else word
            width = max(len(row[k]) for row in rows)
            table.add_column(
                shown, no_wrap=k < 2, justify="right" if k > 1 else "left", style=style, min_width=max(width, 5)
            )
        before = ""
        for row in rows:
            table.add_row(row[0] if row[0] != before else "", *row[1:])
            before = row[0]
        out.print(table)
    for line in _notes(month, found):
        out.print(line)


def _title(month: Month, found: Found) -> str:
    first = next(iter(found.values()), None)
    size = f": {first.sessions:,} sessions, {first.requested_kwh:,.1f} kWh requested" if first else ""
    return f"acn-{month.garage}, {month.start} until {month.until}{size}"


def _notes(month: Month, found: Found) -> list[str]:
    notes = [f"{scenario}: {MEANING[scenario]}." for scenario in dict.fromkeys(case.scenario for case in found)]
    proven = {case: result for case, result in found.items() if case.policy == OPTIMUM}
    gaps = [result.bound - result.percent for case, result in proven.items() if case.goal == "energy"]
    if gaps:
        notes.append(
            f"optimum: a plan that knows the month, replayed; no controller delivers more than {max(gaps):.2g} points "
            "above it (proven)."
        )
    gaps = [result.bound - result.profit for case, result in proven.items() if case.goal == "profit"]
    if gaps:
        notes.append(f"optimum: no controller earns more than {max(gaps):.2g} {CURRENCY} above it (proven).")
    if any(case.goal == "profit" for case in found):
        tariff = published_results()["profit"]["driver_tariff_per_kwh"]
        notes.append(
            f"profit: what drivers pay, {tariff:.2f} {CURRENCY}/kWh, less "
            f"energy and a demand charge of {month.demand_charge_per_kw:.2f} {CURRENCY} for each kW of the highest "
            "power; uncontrolled charging ignores the transformer."
        )
    if month.is_published:
        notes.append(
            f"published: {published_results()['source']}; mpc beside their ASA-QC, and for the profit beside ASA-PM."
        )
    elif month.garage == "caltech":
        known = published_results()
        notes.append(
            f"What was published is of {known['start']} until {known['until']}, so it is not beside these numbers."
        )
    return notes


def write_month(month: Month, found: Found) -> None:
    """Report and picture, in the folder of the month."""
    lines = [f"# {_title(month, found)}"]
    for header, rows in _tables(month, found):
        lines += ["", f"| {' | '.join(header)} |", "| --- | --- |" + " ---: |" * (len(header) - 2)]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    energy = _of("energy", found)
    if energy:
        lines += ["", f"![Energy delivered by transformer rating]({PICTURE})"]
        write_atomically(month.folder / PICTURE, draw_month(month, energy))
    lines += ["", "Energy delivered in percent of the requested energy.", ""]
    lines += [f"- {note}" for note in _notes(month, found)]
    write_atomically(month.folder / REPORT, "\n".join(lines) + "\n")


def draw_month(month: Month, found: Found) -> bytes:
    """The picture as a PNG: lines are ours, circles published, one panel for each scenario with policies."""
    scenarios = [name for name in SCENARIOS if any(case.scenario == name and case.policy != OPTIMUM for case in found)]
    scenarios = scenarios or list(dict.fromkeys(case.scenario for case in found))
    columns = min(len(scenarios), 2)
    rows = math.ceil(len(scenarios) / columns)
    figure = Figure(figsize=(6.4 * columns, 4.2 * rows + 0.4), dpi=140, layout="constrained")
    for k, scenario in enumerate(scenarios):
        _draw(figure.add_subplot(rows, columns, k + 1), month, found, scenario)
    figure.suptitle(_title(month, found), x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    text = "Lines: computed here. Grey band: more than any controller can deliver, proven."
    figure.supxlabel(
        text + (" Circles: published." if month.is_published else ""), x=0.01, ha="left", fontsize=9, color=GREY
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _draw(axes: Axes, month: Month, found: Found, scenario: str) -> None:
    cases = [case for case in found if case.scenario == scenario]
    ratings = sorted({case.rating_kva for case in cases})
    places = {rating: place for place, rating in enumerate(ratings)}
    bounds = {rating: bound(Case(scenario, rating, OPTIMUM), found) for rating in ratings}
    known = [rating for rating in ratings if not math.isnan(bounds[rating])]
    if known:
        at, most = [places[rating] for rating in known], [bounds[rating] for rating in known]
        axes.fill_between(at, most, 102.0, color=PALE, alpha=0.6, linewidth=0, zorder=0)
        axes.plot(at, most, color=GREEN, linewidth=1.4)
    ends = []
    for policy in dict.fromkeys(case.policy for case in cases if case.policy != OPTIMUM):
        own = {case.rating_kva: found[case].percent for case in cases if case.policy == policy}
        line = [own.get(rating, math.nan) for rating in ratings]  # a gap where a case was not computed
        axes.plot(range(len(ratings)), line, ".-", markersize=5, color=COLOURS[policy], linewidth=1.8)
        told = {rating: _told(month, Case(scenario, rating, policy)) for rating in ratings}
        there = [(places[r], value) for r, value in told.items() if value is not None]
        axes.plot(
            *zip(*there, strict=True) if there else ([], []), "o", markersize=6, mfc="none", color=COLOURS[policy]
        )
        ends.append((places[min(own)], own[min(own)], policy))
    if known:
        ends.append((places[known[0]], bounds[known[0]], OPTIMUM))
    _label(axes, ends)
    axes.set_xticks(range(len(ratings)), [f"{rating:g} kVA" for rating in ratings])
    axes.set_xlim(-0.75 if len(ratings) > 1 else -1.0, len(ratings) - 0.8)
    lowest = min((value for _, value, _ in ends), default=0.0)
    axes.set_ylim(max(0.0, lowest - 8.0), 102.0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_title(f"{scenario}: {MEANING[scenario]}", loc="left", fontsize=10.5, color=INK)
    axes.set_ylabel("energy delivered", color=GREY)
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    plain(axes)


def _label(axes: Axes, ends: list[tuple[int, float, str]]) -> None:
    """Names of the lines at their left ends (place, percent), moved apart where they would overlap."""
    least: dict[int, float] = {}
    for place, value, policy in sorted(ends):
        height = max(value, least.get(place, -math.inf))
        least[place] = height + 3.2
        colour = GREY if policy == "uncontrolled" else COLOURS[policy]
        axes.annotate(
            policy,
            (place, value),
            xytext=(place - 0.06, height),
            textcoords="data",
            ha="right",
            va="center",
            fontsize=9.5,
            color=colour,
        )
