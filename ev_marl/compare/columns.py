"""The columns of the results: each defined once, with its heading, its unit, and how dispensable it is.

A summary of a policy comes in, text goes out. What is about the network above the site is only there where there is
one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ev_marl.compare.comparison import Comparison, PolicySummary
from ev_marl.compare.day import OPTIMUM
from ev_marl.compare.grid_metrics import GridSummary

INFORMATION = {"own": "own station", "messages": "messages", "site": "whole site", "future": "whole future"}


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
    return [
        Column(("policy", ""), lambda row: row.label),
        Column(("knows", ""), lambda row: INFORMATION[row.information], 1),
        Column(("score", ""), lambda row: percent(row.score, 1 if row.score > -1.0 else 0)),
        Column(("95 %", "interval"), _interval, 1),
        Column(("IQM", ""), lambda row: percent(row.score_iqm, 1 if row.score_iqm > -1.0 else 0), 11),
        Column(("gap", money), lambda row: number(row.gap_per_day, 2)),
        Column(("cost", money), lambda row: number(row.cost_per_day, 2), 3),
        Column(("energy", "kWh/day"), lambda row: number(row.net_kwh_per_day, 0), 4),
        Column(("satis-", "fied"), lambda row: percent(row.satisfaction, 0), 1),
        Column(("worst", "10 %"), lambda row: percent(row.satisfaction_worst_tenth, 0), 2),
        Column(("fair-", "ness"), lambda row: number(row.fairness, 2), 6),
        Column(("peak", "kW"), lambda row: number(row.peak_kw, 0), 5),
        Column(("curtailed", "kWh/day"), lambda row: number(row.curtailed_kwh_per_day, 0), 8),
        Column(("viola-", "tions"), lambda row: str(row.violations), 7 if broken else 10),
        *(grid_columns() if comparison.has_grid else ()),
        Column(("ms per", "step"), lambda row: number(row.policy_ms, 2), 9),
    ]


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


def percent(value: float, digits: int) -> str:
    """A share as text."""
    return "–" if math.isnan(value) else f"{number(100 * value, digits)} %"


def number(value: float, digits: int) -> str:
    """A number as text; no minus before a zero."""
    return "–" if math.isnan(value) else f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def _interval(row: PolicySummary) -> str:
    if row.policy == OPTIMUM or math.isnan(row.score_low):
        return ""
    digits = 1 if 0.0 < row.score_high - row.score_low < 0.02 else 0  # else the score would lie beside it
    low, high = (number(100 * end, digits) for end in (row.score_low, row.score_high))
    return f"{low} … {high} %"
