"""The results as a table: for the terminal as wide as it is, and complete for Markdown and CSV.

Summaries come in, text goes out. Each column is defined once, with its heading, its unit, and how dispensable it is;
what a reader must know to trust the numbers stands below them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ev_marl.compare.battery_metrics import asks_for_ageing
from ev_marl.compare.comparison import Comparison, PolicySummary
from ev_marl.compare.day import OPTIMUM, UNCONTROLLED
from ev_marl.compare.grid_metrics import GridSummary
from ev_marl.compare.grid_notes import grid_notes
from ev_marl.compare.prices_of import price_of
from ev_marl.compare.statistics import PairedDifference
from ev_marl.compare.text import fold, number, percent, signed
from ev_marl.policies.base import INFORMATION
from ev_marl.policies.make import read_learned

PLAN_TOLERANCE = 1e-3  # of the score: below this, the coordinator changes the plan [-]
BOUND_TOLERANCE = 1e-6  # of the bound: from this gap on, bound and plan are told apart [-]

_NARROWEST_LABEL = 26  # letters of a policy's name that always stand in one line
_WORDS = ("policy", "knows")
_PRICES = {  # what a policy's distance to the optimum is the price of
    "dual-prices": "of decentralisation",
    "selfish": "of anarchy",
}


LEFT = ("left_early", "left_late")  # numbers of a day that knows what drivers said


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    heading: tuple[str, str]  # two lines; the second is mostly the unit
    cell: Callable[[PolicySummary], str]
    dispensable: int = 0  # 0: always shown; the highest is hidden first where the terminal is narrow


def columns(comparison: Comparison) -> list[Column]:
    """Every column, in order."""
    money = f"{comparison.currency}/day"
    broken = any(row.violations for row in comparison.table())
    required = comparison.scenario.objective.service == "required"
    unmet = Column(("unmet", "kWh/day"), lambda row: number(row.unmet_kwh_per_day, 1), 1)
    has_phases = any(row.unbalance_percent is not None for row in comparison.table())
    unbalance = Column(
        ("unbal-", "ance %"),
        lambda row: "–" if row.unbalance_percent is None else number(row.unbalance_percent, 0),
        7,
    )
    believed = any(row.unmet_early_kwh_per_day is not None for row in comparison.table())
    early = _known(("unmet,", "left early"), lambda row: row.unmet_early_kwh_per_day, 1)
    has_storage = any(row.storage_kwh_per_day is not None for row in comparison.table())
    storage = Column(
        ("stored", "kWh/day"),
        lambda row: "–" if row.storage_kwh_per_day is None else number(row.storage_kwh_per_day, 0),
        4,
    )
    carbon = Column(
        ("CO2", "kg/day"),
        lambda row: "–" if row.charging_carbon_kg_per_day is None else number(row.charging_carbon_kg_per_day, 1),
        3,
    )
    has_transformer = any(row.transformer_hot_spot_c is not None for row in comparison.table())
    transformer = (
        _known(("hot spot", "°C"), lambda row: row.transformer_hot_spot_c, 0),
        _known(("aged", "h/day"), lambda row: row.transformer_aged_h_per_day, 1),
    )
    ageing = (
        _known(("ageing", money), lambda row: row.ageing_per_day, 2),
        _known(("linear", "ageing"), lambda row: row.linear_ageing_per_day, 2),
    )
    return [
        Column(("policy", ""), lambda row: row.label),
        Column(("knows", ""), lambda row: INFORMATION[row.information], 1),
        Column(("score", ""), lambda row: percent(row.score, 1 if row.score > -1.0 else 0)),
        Column(("95 %", "interval"), _interval, 1),
        Column(("IQM", ""), lambda row: percent(row.score_iqm, 1 if row.score_iqm > -1.0 else 0), 11),
        Column(("gap", money), lambda row: number(row.gap_per_day, 2)),
        Column(("cost", money), lambda row: number(row.cost_per_day, 2), 3),
        Column(("energy", "kWh/day"), lambda row: number(row.net_kwh_per_day, 0), 4),
        *((unmet,) if required else ()),
        Column(("satis-", "fied"), lambda row: percent(row.satisfaction, 0), 1),
        Column(("worst", "10 %"), lambda row: percent(row.satisfaction_worst_tenth, 0), 2),
        Column(("fair-", "ness"), lambda row: number(row.fairness, 2), 6),
        Column(("peak", "kW"), lambda row: number(row.peak_kw, 0), 5),
        Column(("curtailed", "kWh/day"), lambda row: number(row.curtailed_kwh_per_day, 0), 8),
        Column(("viola-", "tions"), lambda row: str(row.violations), 7 if broken else 10),
        *((early,) if believed else ()),
        *((storage,) if has_storage else ()),
        *((unbalance,) if has_phases else ()),
        *(transformer if has_transformer else ()),
        *(ageing if asks_for_ageing(comparison.scenario) else ()),
        *((carbon,) if comparison.scenario.carbon is not None else ()),
        *(grid_columns() if comparison.has_grid else ()),
        Column(("ms per", "step"), lambda row: number(row.policy_ms, 2), 9),
    ]


def _known(heading: tuple[str, str], value: Callable[[PolicySummary], float | None], digits: int) -> Column:
    """A column of what is measured at some sites only."""
    return Column(heading, lambda row: "–" if (found := value(row)) is None else number(found, digits), 6)


def grid_columns() -> list[Column]:
    """The columns about the network above the site."""
    return [
        _about_grid(("network", "viol./h"), lambda seen: number(seen.violations_per_h, 2), 1),
        _about_grid(("worst", "p.u."), lambda seen: number(seen.worst_pu, 3), 2),
        _about_grid(("transf.", "%"), lambda seen: number(seen.transformer_percent, 0), 2),
        _about_grid(("line", "%"), lambda seen: number(seen.line_percent, 0), 4),
        _about_grid(("hot spot", "°C"), lambda seen: number(seen.hot_spot_c, 0), 8),
        _about_grid(("losses", "kWh/day"), lambda seen: number(seen.losses_kwh_per_day, 1), 5),
        _about_grid(("taken back", "kWh/day"), lambda seen: number(seen.curtailed_kwh_per_day, 1), 7),
        _about_grid(("tap moves", "per day"), lambda seen: number(seen.tap_moves_per_day, 1), 10),
        _about_grid(("no flow", "or cut"), lambda seen: str(seen.failed_steps + seen.cut_steps), 6),
    ]


def _about_grid(heading: tuple[str, str], cell: Callable[[GridSummary], str], dispensable: int) -> Column:
    return Column(heading, lambda row: "–" if row.grid is None else cell(row.grid), dispensable)


def _interval(row: PolicySummary) -> str:
    if row.policy == OPTIMUM or math.isnan(row.score_low):
        return ""
    digits = 1 if 0.0 < row.score_high - row.score_low < 0.02 else 0  # else the score would lie beside it
    low, high = (number(100 * end, digits) for end in (row.score_low, row.score_high))
    return f"{low} … {high} %"


def terminal_table(comparison: Comparison, width: int) -> Group:
    """Table with its title and notes, for a terminal of `width` characters.

    Where not everything fits, the most dispensable columns are left out, and a note names them.
    """
    rows = comparison.table()
    policy, *others = columns(comparison)
    folded = replace(policy, cell=lambda row: fold(row.label, max(_NARROWEST_LABEL, width // 3)))
    shown, hidden, space = _fitting([folded, *others], rows, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, space - 1, 0, 0), pad_edge=False)
    for column in shown:
        left = column.heading[0] in _WORDS
        table.add_column("\n".join(column.heading).strip(), justify="left" if left else "right", no_wrap=True)
    for row in rows:
        if row.policy == OPTIMUM and bound_stands_apart(comparison):
            table.add_row(*map(Text, _bound_cells(comparison, shown)), style="bold")
        table.add_row(*(Text(column.cell(row)) for column in shown), style="bold" if row.policy == OPTIMUM else "")
    above = Text(f"{title(comparison)}\n", style="bold") + Text(f"Limits: {comparison.limits}.\n", style="not bold")
    return Group(above, table, Text(f"\n{notes(comparison, hidden)}"))


def print_table(comparison: Comparison, console: Console) -> None:
    """Print the table on a console."""
    console.print(terminal_table(comparison, console.width))


def markdown_table(comparison: Comparison, rows: Sequence[PolicySummary] | None = None) -> str:
    """Every column, as a Markdown table; `rows` instead of the comparison's table."""
    shown = columns(comparison)
    headings = [" ".join(column.heading).replace("- ", "").strip() for column in shown]
    lines = ["| " + " | ".join(headings) + " |"]
    lines.append("|" + "|".join(" --- " if heading in _WORDS else " ---: " for heading in headings) + "|")
    for row in comparison.table() if rows is None else rows:
        if row.policy == OPTIMUM and bound_stands_apart(comparison):
            lines.append("| " + " | ".join(_bound_cells(comparison, shown)) + " |")
        lines.append("| " + " | ".join(column.cell(row).replace("|", "\\|") for column in shown) + " |")
    return "\n".join(lines)


def bound_stands_apart(comparison: Comparison) -> bool:
    """Whether the bound is so far above what the plan earns that it has a row of its own."""
    return comparison.largest_relative_gap > BOUND_TOLERANCE


def _bound_cells(comparison: Comparison, shown: Sequence[Column]) -> list[str]:
    """The row of the bound; it has no plan, so most cells are empty."""
    cells = {
        "policy": "bound",
        "score": percent(1.0, 1),
        "gap": number(0.0, 2),
        "cost": number(-float(comparison.bound.mean()), 2),
    }
    return [cells.get(column.heading[0], "") for column in shown]


def title(comparison: Comparison) -> str:
    """Title of a comparison: scenario, days, vehicles, coordinator."""
    n_days, scenario = len(comparison.days), comparison.scenario
    sessions = sum(day.sessions for day in comparison.days) / n_days
    days = "1 day" if n_days == 1 else f"{n_days} days"
    return f"{scenario.name}: {days}, {sessions:.0f} vehicles a day, coordinator {_coordinator(comparison)}"


def notes(comparison: Comparison, hidden: Sequence[Column] = ()) -> str:
    """Notes below the table."""
    n_days, exact = len(comparison.days), comparison.exact_days
    gap = comparison.largest_relative_gap
    lines = [
        f"Optimum: the replayed plan reaches the bound to within {gap:.1e} of it on every day: no policy can earn more."
        if exact == n_days
        else f"Optimum: proven to within {BOUND_TOLERANCE:.0e} of the bound on {exact} of {n_days} days; on the others "
        f"the bound is at most {gap:.1e} of it too high."
    ]
    lines.append("Score: 0 % is uncontrolled charging, 100 % the optimum; intervals by bootstrap over days.")
    trained = [f"{row.label} ({row.seeds})" for row in comparison.table() if row.seeds > 1]
    if trained:
        lines.append(f"Means over training seeds, which are part of the intervals: {', '.join(trained)}.")
    lines.extend(_difference_notes(comparison))
    turned_away = sum(day.turned_away for day in comparison.days) / n_days
    if turned_away:
        lines.append(f"Vehicles that found no free port: {turned_away:.1f} a day.")
    early, late = ([left for day in comparison.days if (left := getattr(day, name)) is not None] for name in LEFT)
    if early and late:
        before, after = sum(early) / n_days, sum(late) / n_days
        lines.append(f"Drivers who left before the time that they had said: {before:.1f} a day; after it: {after:.1f}.")
    unavoidable = sum(day.unavoidable_kwh for day in comparison.days) / n_days
    if unavoidable:
        lines.append(f"Base load alone exceeds limits by {unavoidable:.1f} kWh a day, which no policy is charged for.")
    rows = comparison.table()
    plan = next(row for row in rows if row.policy == OPTIMUM)
    if exact == n_days and plan.score < 1.0 - PLAN_TOLERANCE:
        lines.append(
            f"The coordinator {_coordinator(comparison)} curtails the plan: with it the plan scores "
            f"{percent(plan.score, 1)}. The bound is for a coordinator that curtails only to keep the limits."
        )
    if comparison.mismatches:
        recorded = comparison.scenario.tracks is not None
        expected = "training days" if recorded else "days of the scenario's models"
        advice = "" if recorded else "; with `outlook: {tracks: FOLDER}` in the scenario they expect other tracks"
        lines.append(
            f"Warning: the tracks differ from the {expected}: {'; '.join(comparison.mismatches)}. "
            f"Policies that expect such days are at a disadvantage{advice}."
        )
    broken = [f"{row.policy} ({row.violations})" for row in rows if row.violations]
    of_site = " of the site" if comparison.has_grid else ""
    lines.append(
        f"Limits{of_site} exceeded (steps × groups): {', '.join(broken)}."
        if broken
        else f"No policy exceeded a limit{of_site}."
    )
    lines.extend(grid_notes(comparison))
    if hidden:
        names = ", ".join(" ".join(column.heading).replace("- ", "").strip() for column in hidden)
        lines.append(f"Columns left out at this width (see report.md): {names}")
    return "\n".join(lines)


def differences_table(comparison: Comparison) -> str:
    """How much better each policy is than the baseline, as a Markdown table; empty without a baseline."""
    found = comparison.differences()
    if not found:
        return ""
    heading = ("policy", "difference of scores", "95 % interval", f"{comparison.currency}/day", "95 % interval")
    lines = ["| " + " | ".join(heading) + " |", "| --- |" + " ---: |" * (len(heading) - 1)]
    for policy, difference in found.items():
        cells = (
            comparison.label(policy).replace("|", "\\|"),
            f"{signed(difference.points, 1)} points",
            _span(difference.points_low, difference.points_high, 1),
            signed(difference.per_day, 2),
            _span(difference.per_day_low, difference.per_day_high, 2),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def prices_table(comparison: Comparison) -> str:
    """The price of not knowing the future, of decentralisation and of anarchy, as a Markdown table.

    Not knowing the future is the loss of the best policy of the run without foresight. Each policy that stands for one
    of the others has a row; without any, the table is empty.
    """
    names = [name for name in comparison.manifest.asked if name.partition("(")[0] in _PRICES]
    if not names:
        return ""
    names.sort(key=lambda name: list(_PRICES).index(name.partition("(")[0]))
    blind = next(row.policy for row in comparison.table() if row.information != "future")
    priced = [("of not knowing the future", blind), *((_PRICES[name.partition("(")[0]], name) for name in names)]
    heading = ("price", "policy", "cost over the optimum's", f"{comparison.currency}/day", "points of score")
    lines = ["| " + " | ".join(heading) + " |", "| --- | --- |" + " ---: |" * 3]
    uncontrolled = comparison.returns(UNCONTROLLED)
    for what, name in priced:
        price = price_of(comparison.returns(name), comparison.bound, uncontrolled)
        cells = (
            what,
            comparison.label(name).replace("|", "\\|"),
            number(price.ratio, 3),
            number(price.per_day, 2),
            number(100 * price.points, 1),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _difference_notes(comparison: Comparison) -> list[str]:
    """What the baseline is, and how much better the learned policies, or else the best other policies, are."""
    found = comparison.differences()
    if not found:
        return []
    information = {row.policy: row.information for row in comparison.table()}
    own = [name for name in found if information[name] == "own"]
    shown = [name for name in found if read_learned(name) is not None] or own[:1]
    reason = f" ({comparison.baseline_reason})" if comparison.baseline_reason else ""
    return [f"Baseline: {comparison.label(comparison.baseline)}{reason}."] + [
        f"{comparison.label(name)} less the baseline, on the same days: {difference_text(found[name])}."
        for name in shown
    ]


def difference_text(difference: PairedDifference) -> str:
    """A difference in words: `+3.1 points [1.9, 4.4]`."""
    ends = f" [{_span(difference.points_low, difference.points_high, 1)}]" if difference.known else ""
    return f"{signed(difference.points, 1)} points{ends}"


def _span(low: float, high: float, digits: int) -> str:
    return "" if math.isnan(low) else f"{number(low, digits)} … {number(high, digits)}"


def _coordinator(comparison: Comparison) -> str:
    coordinator = comparison.scenario.coordinator
    return coordinator if isinstance(coordinator, str) else coordinator.name


def _fitting(
    all_columns: list[Column], rows: list[PolicySummary], width: int
) -> tuple[list[Column], list[Column], int]:
    """Columns that are shown, columns that are not, and the space between two of them."""
    shown, hidden = list(all_columns), list[Column]()
    widths = {
        column.heading: max(
            len(line) for text in [*column.heading, *map(column.cell, rows)] for line in text.split("\n")
        )
        for column in all_columns
    }
    while True:
        content = sum(widths[column.heading] for column in shown)
        if content + 2 * (len(shown) - 1) <= width:
            return shown, hidden, 2
        if content + len(shown) - 1 <= width:
            return shown, hidden, 1
        column = max(shown, key=lambda column: column.dispensable)
        if column.dispensable == 0:
            return shown, hidden, 1
        shown.remove(column)
        hidden.append(column)
