"""The picture of a run: power against the limits over the day, and the ranking of the policies.

A `Comparison` comes in, a PNG goes out. Every line carries its name, so the legend is the picture itself.
"""

from __future__ import annotations

import io
import math
from itertools import permutations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from ev_marl.compare.comparison import Comparison, PolicySummary
from ev_marl.compare.day import OPTIMUM, UNCONTROLLED
from ev_marl.compare.drawing import BLUE, GREEN, GREY, HALO, INK, ORANGE, PALE, label_hours, plain
from ev_marl.compare.grid_figure import draw_grid
from ev_marl.compare.table import title
from ev_marl.compare.text import fold, percent
from ev_marl.policies.base import INFORMATION

LOWEST_SCORE = -0.25  # the axis of a ranking ends here; what is lower is marked at its edge
LONGEST_LABEL = 40  # letters of a policy's name in one line of the ranking
_CHARACTER = 0.016  # width of a bold letter as a share of the power panel
MARKERS = {"own": "o", "messages": "^", "site": "s", "future": "D"}
SHAPES = {key: f"{shape} {INFORMATION[key]}" for key, shape in zip(MARKERS, "●▲■◆", strict=True)}


def draw_report(comparison: Comparison) -> bytes:
    """The picture as a PNG."""
    rows = comparison.table()
    colours = _colours(rows)
    n_panels = len(comparison.days[0].watched_groups)
    n_rows = n_panels + comparison.has_grid
    height = max(5.6, 1.9 + 0.42 * len(rows), 2.3 * n_rows)
    figure = Figure(figsize=(13.0, height), dpi=140, layout="constrained")
    grid = figure.add_gridspec(n_rows, 2, width_ratios=(1.35, 1.0), wspace=0.06)
    shared: Axes | None = None
    for k in range(n_panels):
        axes = figure.add_subplot(grid[k, 0], sharex=shared)
        shared = shared or axes
        _draw_power(axes, comparison, k, colours)
        if k < n_panels - 1:
            axes.tick_params(labelbottom=False)
    if comparison.has_grid:
        halves = grid[n_panels, 0].subgridspec(1, 2)
        draw_grid(
            figure.add_subplot(halves[0]), figure.add_subplot(halves[1]), comparison, _typical_day(comparison), colours
        )
    _draw_ranking(figure.add_subplot(grid[:, 1]), comparison, rows, colours)
    figure.suptitle(title(comparison), x=0.01, ha="left", fontsize=14, fontweight="bold", color=INK)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    return picture.getvalue()


def _colours(rows: list[PolicySummary]) -> dict[str, str]:
    """The optimum, uncontrolled charging and the best other policy, each with its colour."""
    colours = {OPTIMUM: GREEN, UNCONTROLLED: ORANGE}
    best = next((row.policy for row in rows if row.policy not in colours), None)
    return {**colours, best: BLUE} if best is not None else colours


def _draw_power(axes: Axes, comparison: Comparison, group: int, colours: dict[str, str]) -> None:
    """Power of a watched group: means over the days, one day faintly, base load, limit."""
    days = comparison.days
    typical = _typical_day(comparison)
    example = days[typical]
    n_steps, step_h = len(example.local_hour), example.step_h
    edges = step_h * np.arange(n_steps + 1)
    base_kw = np.mean([day.base_load_kw[group] for day in days], axis=0)
    limit_kw = np.mean([day.limit_kw[group] for day in days], axis=0)
    if np.any(base_kw != 0.0):
        axes.stairs(base_kw, edges, fill=True, color=PALE, linewidth=0)
        at = n_steps // 2
        axes.annotate(
            "base load less PV" if base_kw.min() < 0.0 else "base load",
            (edges[at], 0.5 * base_kw[at]),
            ha="center",
            va="center",
            fontsize=9,
            color=GREY,
        )
    means = {}
    for policy, colour in reversed(colours.items()):  # the optimum on top
        means[policy] = _mean_kw(comparison, policy, group)
        axes.stairs(means[policy], edges, baseline=None, color=colour, linewidth=2.2)
        if len(days) > 1:
            axes.stairs(
                comparison.power_kw(policy, typical)[group],
                edges,
                baseline=None,
                color=colour,
                linewidth=0.8,
                alpha=0.55,
            )
    if np.isfinite(limit_kw).all():
        axes.stairs(limit_kw, edges, baseline=None, color=INK, linewidth=1.3, linestyle=(0, (5, 3)))
        axes.annotate(
            "import limit",
            (edges[-1], limit_kw[-1]),
            xytext=(-2, -4),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=9,
            color=INK,
            path_effects=HALO,
        )
    low, high = _power_range(comparison, group, limit_kw, list(colours))
    if group == 0:  # the colours stay the same below
        axes.set_ylim(low, high + 0.16 * (high - low))
        lines = {comparison.label(policy): mean_kw for policy, mean_kw in means.items()}
        of_line = {comparison.label(policy): colour for policy, colour in colours.items()}
        _label_lines(axes, 0.5 * (edges[1:] + edges[:-1]), lines, of_line, high + 0.1 * (high - low))
    else:
        axes.set_ylim(low, high)
    name = example.watched_groups[group]
    kind = "Whole site" if group == 0 else "Tightest group"
    faint = f"; thin lines: {example.start[:10]}" if len(days) > 1 else f" on {example.start[:10]}"
    mean = f"mean of {len(days)} days" if len(days) > 1 else "power"
    axes.set_title(f"{kind} ({name}): {mean}{faint}", loc="left", fontsize=10.5, color=INK)
    axes.set_ylabel("kW", rotation=0, ha="right", va="center", color=INK)
    axes.set_xlim(edges[0], edges[-1])
    label_hours(axes, edges[-1], example.local_hour[0])
    plain(axes)


def _draw_ranking(axes: Axes, comparison: Comparison, rows: list[PolicySummary], colours: dict[str, str]) -> None:
    """Scores with intervals, best at the top; training seeds as small dots."""
    places = np.arange(len(rows))[::-1]
    known = [row.score for row in rows if not math.isnan(row.score)]
    lowest = max(LOWEST_SCORE, min([0.0, *known]))
    for at in (0.0, 1.0):
        axes.axvline(at, color=PALE, linewidth=1.2, zorder=0)
    for place, row in zip(places, rows, strict=True):
        colour = colours.get(row.policy, GREY)
        if math.isnan(row.score):
            axes.annotate("nothing to gain", (0.0, place), va="center", fontsize=9.5, color=GREY)
            continue
        inside = row.score >= lowest
        at = row.score if inside else lowest
        if not math.isnan(row.score_low) and row.policy != OPTIMUM and inside:
            ends = np.clip([row.score_low, row.score_high], lowest, None)
            axes.plot(ends, [place, place], color=colour, linewidth=3.0, alpha=0.45, solid_capstyle="butt")
        if row.seeds > 1:
            members = comparison.manifest.members(row.policy)
            seeds = [entry.score for entry in comparison.seed_table() if entry.policy in members]
            axes.plot(np.clip(seeds, lowest, None), [place] * len(seeds), ".", color=INK, markersize=3.0, zorder=4)
        marker = MARKERS[row.information] if inside else "<"
        axes.plot([at], [place], marker=marker, markersize=7.5, color=colour, markeredgecolor="white", linestyle="none")
        right = max(at, row.score_high if inside and row.policy != OPTIMUM and not math.isnan(row.score_high) else at)
        axes.annotate(
            percent(row.score, 1),
            (right, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=colour if row.policy in colours else INK,
            path_effects=HALO,
        )
    axes.set_yticks(places, [fold(row.label, LONGEST_LABEL) for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(colours.get(row.policy, INK))
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlim(lowest - 0.06, 1.24)
    axes.xaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %".replace("-", "−")))
    axes.set_title(
        "Score: 0 % is uncontrolled charging, 100 % the optimum",
        loc="left",
        fontsize=10.5,
        color=INK,
    )
    used = [text for key, text in SHAPES.items() if any(row.information == key for row in rows)]
    axes.set_xlabel(f"Knows: {'  '.join(used)}    Bar: 95 % interval", loc="left", fontsize=8.5, color=GREY)
    plain(axes)
    axes.tick_params(axis="y", length=0, labelsize=10.5)


def _typical_day(comparison: Comparison) -> int:
    """The day on which as much could be gained as on half of the days."""
    possible = comparison.bound - comparison.returns(UNCONTROLLED)
    return int(np.argsort(possible, kind="stable")[len(possible) // 2])


def _mean_kw(comparison: Comparison, policy: str, group: int) -> np.ndarray:
    """Power of a watched group, mean of the days, shape (n_steps,) [kW]."""
    return np.asarray(np.mean([comparison.power_kw(policy, day)[group] for day in range(len(comparison.days))], axis=0))


def _power_range(comparison: Comparison, group: int, limit_kw: np.ndarray, policies: list[str]) -> tuple[float, float]:
    """Everything that is drawn, and the limit, as long as that does not squeeze the curves."""
    typical = _typical_day(comparison)
    drawn = [comparison.power_kw(policy, typical)[group] for policy in policies]
    drawn += [_mean_kw(comparison, policy, group) for policy in policies]
    drawn.append(np.mean([day.base_load_kw[group] for day in comparison.days], axis=0))
    highest, lowest = max(np.max(line) for line in drawn), min(np.min(line) for line in drawn)
    finite = limit_kw[np.isfinite(limit_kw)]
    if len(finite) and finite.max() < 3.0 * max(highest, 1e-9):
        highest = max(highest, finite.max())
    span = max(highest - min(lowest, 0.0), 1e-9)
    return min(0.0, lowest - 0.04 * span), highest + 0.06 * span


def _label_lines(
    axes: Axes, hours: np.ndarray, lines: dict[str, np.ndarray], colours: dict[str, str], height: float
) -> None:
    """Write each line's name above everything, with a leader down to where the line is highest above the others."""
    places = _label_places(hours, lines)
    for policy, line in lines.items():
        best = places[policy]
        axes.annotate(
            policy,
            (hours[best], line[best]),
            xytext=(hours[best], height),
            ha="center",
            va="center",
            fontsize=10.5,
            fontweight="bold",
            color=colours[policy],
            arrowprops={"arrowstyle": "-", "color": colours[policy], "linewidth": 0.9, "shrinkB": 2},
        )


def _label_places(hours: np.ndarray, lines: dict[str, np.ndarray]) -> dict[str, int]:
    """Step at which each line is named: where it stands out from the others, with room between the names.

    Names take their places in turn; of all orders, the one in which they stand out most together.
    """
    span_h = hours[-1] - hours[0]
    inside = (hours > hours[0] + 0.1 * span_h) & (hours < hours[-1] - 0.1 * span_h)
    leads = {
        policy: np.min([line - other for name, other in lines.items() if name != policy] or [line], axis=0)
        for policy, line in lines.items()
    }
    free = inside if inside.any() else np.ones_like(inside)
    found: list[tuple[float, dict[str, int]]] = []
    for order in permutations(lines):
        places = dict[str, int]()
        for policy in order:
            room = free.copy()
            for other, at in places.items():
                share = 0.01 + _CHARACTER * 0.5 * (len(policy) + len(other))
                room &= np.abs(hours - hours[at]) > share * span_h
            places[policy] = int(np.argmax(np.where(room, leads[policy], -np.inf)))
        found.append((float(sum(leads[policy][at] for policy, at in places.items())), places))
    return max(found, key=lambda entry: entry[0])[1]
