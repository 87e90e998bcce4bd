"""What all pictures share: colours, white halos around text, axes without clutter.

Colours are Okabe and Ito's, which colour-blind people can tell apart.
"""

from __future__ import annotations

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

GREEN, ORANGE, BLUE, INK, GREY, PALE = "#009E73", "#D55E00", "#0072B2", "#222222", "#767676", "#D9D9D9"
HALO = [effects.withStroke(linewidth=3.5, foreground="white")]
NEAR_PU = 0.02  # a limit that no voltage comes this near to is not drawn


def label_hours(axes: Axes, horizon_h: float, first_hour: float, most: int = 9) -> None:
    """At most so many ticks at full local hours; a clock change within the day shifts what follows it by an hour."""
    every = next(hours for hours in (1, 2, 3, 6, 12, 24, 48, 96, 10**9) if horizon_h / hours <= most)
    start = -first_hour % every
    axes.set_xticks(np.arange(start, horizon_h + 1e-9, every))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda hour, _: f"{(first_hour + hour) % 24:02.0f}:00"))


def draw_limits(axes: Axes, values: list[float]) -> None:
    """Dashed lines at some heights, each labelled as a limit."""
    for value in values:
        axes.axhline(value, color=INK, linewidth=1.1, linestyle=(0, (5, 3)))
        axes.annotate(
            "limit",
            (1.0, value),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8.5,
            color=GREY,
            path_effects=HALO,
        )


def plain(axes: Axes) -> None:
    """Take away what no reader needs: two sides of the frame, and dark ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(PALE)
    axes.tick_params(colors=INK, labelsize=9.5, color=PALE)
