"""Table and picture of a month in a garage: our numbers, the published ones, and what nobody can exceed."""

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
from ev_marl.compare.garage import OPTIMUM, SCENARIOS, Case, Delivered, Month, published_percent, published_results
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

Found = Mapping[Case, Delivered]


def as_rows(found: Found) -> list[dict[str, Any]]:
    """One dict for each case: ours, the published number, the bound, all in percent of the requested energy."""
    return [
        {
            **asdict(case),
            **asdict(result),
            "published_percent": published_percent(case),
            "bound_percent": bound(case, found),
        }
        for case, result in found.items()
    ]


def bound(case: Case, found: Found) -> float:
    """What nobody can exceed behind this transformer, NaN if it was not computed [%].

    What is proven for ideal batteries holds for those that charge more slowly, too.
    """
    battery = SCENARIOS[case.scenario][0]
    bounds_kwh = [
        result.bound_percent * result.requested_kwh
        for other, result in found.items()
        if other.policy == OPTIMUM
        and other.rating_kva == case.rating_kva
        and SCENARIOS[other.scenario][0] in ("ideal", battery)
    ]
    requested_kwh = [result.requested_kwh for other, result in found.items() if other.scenario == case.scenario]
    return min(bounds_kwh) / requested_kwh[0] if bounds_kwh and requested_kwh else math.nan


def _cells(month: Month, found: Found) -> tuple[list[float], list[tuple[str, str, list[str], list[str]]]]:
    """Ratings, and for each row: scenario, policy, our numbers, the published ones."""
    ratings = sorted({case.rating_kva for case in found})
    rows = []
    for scenario in SCENARIOS:
        policies = list(dict.fromkeys(case.policy for case in found if case.scenario == scenario))
        for policy in policies:
            cases = [Case(scenario, rating, policy) for rating in ratings]
            ours = [f"{found[case].percent:.1f}" if case in found else "" for case in cases]
            theirs = [_published(month, case) for case in cases]
            rows.append((scenario, policy, ours, theirs))
    return ratings, rows


def _published(month: Month, case: Case) -> str:
    percent = published_percent(case) if month.is_published else None
    return "" if percent is None else f"{percent:.1f}"


def print_month(month: Month, found: Found, out: Console) -> None:
    """The table: our number, and the published one below a thin line beside it."""
    ratings, rows = _cells(month, found)
    table = Table(title=_title(month, found), title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("energy delivered [%]", no_wrap=True)
    for rating in ratings:
        table.add_column(f"{rating:g} kVA", justify="right")
        table.add_column("published", justify="right", style="dim")
    before = ""
    for scenario, policy, ours, theirs in rows:
        cells = [cell for pair in zip(ours, theirs, strict=True) for cell in pair]
        table.add_row(scenario if scenario != before else "", policy, *cells)
        before = scenario
    out.print(table)
    for line in _notes(month, found):
        out.print(line)


def _title(month: Month, found: Found) -> str:
    first = next(iter(found.values()), None)
    size = f": {first.sessions:,} sessions, {first.requested_kwh:,.1f} kWh requested" if first else ""
    return f"acn-{month.garage}, {month.start} until {month.until}{size}"


def _notes(month: Month, found: Found) -> list[str]:
    notes = [f"{scenario}: {MEANING[scenario]}." for scenario in dict.fromkeys(case.scenario for case in found)]
    gaps = [result.bound_percent - result.percent for case, result in found.items() if case.policy == OPTIMUM]
    if gaps:
        notes.append(
            f"optimum: a plan that knows the month, replayed; no controller delivers more than {max(gaps):.2g} points "
            "above it (proven)."
        )
    if month.is_published:
        notes.append(f"published: {published_results()['source']}; mpc beside their ASA-QC.")
    return notes


def write_month(month: Month, found: Found) -> None:
    """Report and picture, in the folder of the month."""
    ratings, rows = _cells(month, found)
    head = ["", "policy", *(f"{rating:g} kVA | published" for rating in ratings)]
    lines = [f"# {_title(month, found)}", "", f"![Energy delivered by transformer rating]({PICTURE})", ""]
    lines += [f"| {' | '.join(head)} |", "| --- | --- |" + " ---: | ---: |" * len(ratings)]
    for scenario, policy, ours, theirs in rows:
        cells = [cell for pair in zip(ours, theirs, strict=True) for cell in pair]
        lines.append(f"| {scenario} | {policy} | {' | '.join(cells)} |")
    lines += ["", "Energy delivered in percent of the requested energy.", ""]
    lines += [f"- {note}" for note in _notes(month, found)]
    write_atomically(month.folder / REPORT, "\n".join(lines) + "\n")
    write_atomically(month.folder / PICTURE, draw_month(month, found))


def draw_month(month: Month, found: Found) -> bytes:
    """The picture as a PNG: lines are ours, circles published, one panel for each scenario with policies."""
    scenarios = [name for name in SCENARIOS if any(case.scenario == name and case.policy != OPTIMUM for case in found)]
    scenarios = scenarios or list(dict.fromkeys(case.scenario for case in found))
    figure = Figure(figsize=(6.4 * len(scenarios), 4.6), dpi=140, layout="constrained")
    for k, scenario in enumerate(scenarios):
        _draw(figure.add_subplot(1, len(scenarios), k + 1), month, found, scenario)
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
        told = {r: published_percent(Case(scenario, r, policy)) for r in ratings} if month.is_published else {}
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
