"""The pictures of a year: how long which voltage and loading lasted, and when the lowest voltages were."""

from __future__ import annotations

import io
from datetime import date

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ev_marl.compare.drawing import BLUE, GREY, INK, NEAR_PU, ORANGE, draw_limits, plain
from ev_marl.grid.studies.year import Year

_TICKS_H = (0, 6, 12, 18, 24)


def draw_durations(year: Year) -> bytes:
    """Voltages and loadings of all steps, sorted, with vehicles and without them; a PNG."""
    series, limits = year.series, year.limits
    kinds = [name for name in ("transformer", "line") if getattr(year.spec, f"{name}s")]
    figure = Figure(figsize=(4.6 * (1 + len(kinds)), 4.0), dpi=140, layout="constrained")
    axes = [figure.add_subplot(1, 1 + len(kinds), k + 1) for k in range(1 + len(kinds))]
    hours = year.step_h * (np.arange(year.n_steps) + 0.5)
    low, high = limits.voltage
    for values, colour in ((series.idle_lowest_pu, GREY), (series.lowest_pu, ORANGE)):
        axes[0].plot(hours, np.sort(_finite(values)), color=colour, linewidth=1.6)
    for values, colour in ((series.idle_highest_pu, GREY), (series.highest_pu, BLUE)):
        axes[0].plot(hours, np.sort(_finite(values))[::-1], color=colour, linewidth=1.6)
    sound = ~series.failed
    seen = (series.lowest_pu[sound].min() - NEAR_PU, series.highest_pu[sound].max() + NEAR_PU)
    draw_limits(axes[0], [limit for limit in (low, high) if seen[0] <= limit <= seen[1]])
    _headline(axes[0], "Lowest (orange) and highest (blue) voltage [p.u.]")
    for at, kind in zip(axes[1:], kinds, strict=True):
        for values, colour in (
            (getattr(series, f"idle_{kind}_percent"), GREY),
            (getattr(series, f"{kind}_percent"), ORANGE),
        ):
            at.plot(hours, np.sort(values.ravel())[::-1], color=colour, linewidth=1.6)
        draw_limits(at, [getattr(limits, kind)])
        at.set_ylim(bottom=0.0)
        _headline(at, f"Fullest {kind} [%]")
    for at in axes:
        at.set_xlim(0.0, hours[-1])
        at.set_xlabel("hours with a worse value", fontsize=9, color=GREY)
        plain(at)
    figure.suptitle(
        f"{year.scenario}: {year.policy} charging, {len(year.clocks)} days; grey: without vehicles"
        + (f"; {series.failed.sum():,} steps have no power flow" if series.failed.any() else ""),
        x=0.01,
        ha="left",
        fontsize=12.5,
        fontweight="bold",
        color=INK,
    )
    return _png(figure)


def draw_carpet(year: Year) -> bytes:
    """The lowest voltage and the fullest transformer or line of every step, by date and local time; a PNG."""
    series = year.series
    loading = np.maximum(series.transformer_percent, series.line_percent)
    panels = (
        (np.where(series.failed, np.nan, series.lowest_pu), "Lowest voltage [p.u.]", "viridis"),
        (np.where(series.failed, np.nan, loading), "Fullest transformer or line [%]", "viridis_r"),
    )
    figure = Figure(figsize=(11.0, 6.4), dpi=140, layout="constrained")
    for k, (values, label, colours) in enumerate(panels):
        axes = figure.add_subplot(2, 1, k + 1)
        first, carpet = carpet_of(year, values)
        start = float(first.toordinal() - date(1970, 1, 1).toordinal())  # matplotlib's count of days
        image = axes.imshow(
            carpet,
            aspect="auto",
            origin="lower",
            extent=(start, start + carpet.shape[1], 0.0, 24.0),
            cmap=colours,
            interpolation="nearest",
        )
        axes.xaxis_date()
        axes.set_yticks(_TICKS_H, [f"{hour:02d}:00" for hour in _TICKS_H])
        _headline(axes, label)
        figure.colorbar(image, ax=axes, pad=0.01).outline.set_visible(False)
        plain(axes)
    figure.suptitle(
        f"{year.scenario}: {year.policy} charging", x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK
    )
    return _png(figure)


def carpet_of(year: Year, values: np.ndarray) -> tuple[date, np.ndarray]:
    """Values by local time and date; NaN where no step begins, such as before the first day's start.

    Parameters
    ----------
    year : Year
        Whose clocks say when each step is.
    values : float64, shape (n_days, n_steps)
        One a step.

    Returns
    -------
    first : date
        Of the first column.
    carpet : float64, shape (steps of a day, dates)
        The later of two steps at one local time, where the clocks go back.
    """
    times = [moment for clock in year.clocks for moment in clock.local_times]
    first = times[0].date()
    columns = np.array([(moment.date() - first).days for moment in times])
    rows = np.array([int((moment.hour + moment.minute / 60.0) / year.step_h) for moment in times])
    carpet = np.full((round(24.0 / year.step_h), int(columns.max()) + 1), np.nan)
    carpet[rows, columns] = values.ravel()
    return first, carpet


def _finite(values: np.ndarray) -> np.ndarray:
    """In one row; steps without a solution are left at the end of the curve."""
    flat = values.ravel()
    return np.where(np.isfinite(flat), flat, np.nan)


def _headline(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, color=INK)


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    return picture.getvalue()
