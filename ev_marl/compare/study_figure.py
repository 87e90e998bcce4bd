"""The picture of a study: the scores of all policies, a panel for each case, with intervals.

A `StudyResult` comes in, a PNG goes out.
"""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ev_marl.compare.drawing import BLUE, GREY, INK, ORANGE, PALE, plain
from ev_marl.compare.figure import LONGEST_LABEL, LOWEST_SCORE, MARKERS, SHAPES
from ev_marl.compare.studying import CaseResult, StudyResult
from ev_marl.compare.text import fold, percent

_COLUMNS = 2


def draw_study(result: StudyResult) -> bytes:
    """The picture as a PNG."""
    n_rows = -(-len(result.cases) // _COLUMNS)
    n_columns = min(_COLUMNS, len(result.cases))
    most = max(len(case.rows) for case in result.cases)
    figure = Figure(figsize=(7.2 * n_columns, n_rows * (1.4 + 0.34 * most)), dpi=140, layout="constrained")
    for k, case in enumerate(result.cases):
        _draw_case(figure.add_subplot(n_rows, n_columns, k + 1), case, most)
    used = {row.information for case in result.cases for row in case.summaries().values()}
    knows = "  ".join(text for key, text in SHAPES.items() if key in used)
    figure.supxlabel(
        f"Score: 0 % is uncontrolled charging, 100 % the optimum. Knows: {knows}.\n"
        "Blue: learned, small dots its training seeds. Orange: baseline. "
        f"Bar: 95 % interval over {result.days} days and training seeds.",
        x=0.01,
        ha="left",
        fontsize=9,
        color=GREY,
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _draw_case(axes: Axes, case: CaseResult, most: int) -> None:
    """Scores of one case, best at the top."""
    rows = case.summaries()
    seeds = {row.policy: row for row in case.comparison.seed_table()}
    known = [row.score for row in rows.values() if not math.isnan(row.score)]
    lowest = max(LOWEST_SCORE, min([0.0, *known]))
    baseline = case.baseline
    if not math.isnan(rows[baseline].score):
        axes.axvline(rows[baseline].score, color=ORANGE, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
    for place, (name, row) in zip(range(len(rows))[::-1], rows.items(), strict=True):
        if math.isnan(row.score):
            continue
        colour = BLUE if name in case.case.learned else ORANGE if name == baseline else GREY
        inside = row.score >= lowest
        at = row.score if inside else lowest
        if inside and not math.isnan(row.score_low):
            ends = np.clip([row.score_low, row.score_high], lowest, None)
            axes.plot(ends, [place, place], color=colour, linewidth=3.0, alpha=0.45, solid_capstyle="butt")
        members = case.comparison.manifest.members(row.policy)
        if len(members) > 1:
            apart = [seeds[member].score for member in members]
            axes.plot(apart, [place] * len(apart), ".", color=INK, markersize=3.0, zorder=3)
        axes.plot([at], [place], MARKERS[row.information] if inside else "<", markersize=7.0, color=colour)
        axes.annotate(
            percent(row.score, 1),
            (1.0, place),
            xycoords=("axes fraction", "data"),  # a column of their own, which no line crosses
            ha="right",
            va="center",
            fontsize=8.5,
            color=colour if colour != GREY else INK,
        )
    axes.set_yticks(range(len(rows))[::-1], [fold(name, LONGEST_LABEL) for name in rows])
    axes.set_ylim(len(rows) - most - 0.7, len(rows) - 0.3)
    axes.set_xlim(lowest - 0.05, 1.22)
    axes.set_xticks(np.arange(math.ceil(5.0 * lowest), 6) / 5.0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %".replace("-", "−")))
    axes.set_title(case.name, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    plain(axes)
    axes.tick_params(axis="y", length=0, labelsize=9)
