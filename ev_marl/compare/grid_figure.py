"""Two small panels for a run with a network: the worst voltages and the fullest transformer, step by step over a day.

A `Comparison` comes in; the axes that are given are drawn on.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ev_marl.compare.comparison import Comparison
from ev_marl.compare.drawing import INK, NEAR_PU, draw_limits, label_hours, plain


def draw_grid(voltages: Axes, loadings: Axes, comparison: Comparison, day: int, colours: dict[str, str]) -> None:
    """Draw the voltages and the loadings of a day, one line a policy.

    Parameters
    ----------
    voltages, loadings : Axes
        Where.
    comparison : Comparison
        With a network.
    day : int
        Which of its days.
    colours : dict of str to str
        Policies that are drawn, and how.
    """
    grid, shown = comparison.scenario.grid, comparison.days[day]
    if grid is None:
        raise ValueError("the run's scenario has no network")
    edges = shown.step_h * np.arange(len(shown.local_hour) + 1)
    lowest, highest = grid.limits.voltage
    extremes = []
    for policy, colour in reversed(colours.items()):
        network = shown.of(comparison.manifest.members(policy)[0]).grid
        if network is None:
            continue
        low_pu, high_pu = np.array(network.lowest_pu), np.array(network.highest_pu)
        extremes += [low_pu.min(), high_pu.max()]
        for line_pu in (low_pu, high_pu):
            voltages.stairs(line_pu, edges, baseline=None, color=colour, linewidth=1.5)
        loadings.stairs(np.array(network.transformer_percent), edges, baseline=None, color=colour, linewidth=1.5)
    draw_limits(voltages, [at for at in (lowest, highest) if min(extremes) - NEAR_PU <= at <= max(extremes) + NEAR_PU])
    draw_limits(loadings, [grid.limits.transformer])
    loadings.set_ylim(bottom=0.0)
    voltages.set_title("Lowest and highest voltage [p.u.]", loc="left", fontsize=10.5, color=INK)
    loadings.set_title(f"Fullest transformer [%], {shown.start[:10]}", loc="left", fontsize=10.5, color=INK)
    for axes in (voltages, loadings):
        axes.set_xlim(edges[0], edges[-1])
        label_hours(axes, edges[-1], shown.local_hour[0], most=5)
        plain(axes)
