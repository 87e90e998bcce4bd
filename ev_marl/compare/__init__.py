"""Comparisons of many policies over many days with the optimum: runs, statistics, tables, reports, studies.

`compare` runs it all. Names are loaded on first use, so that worker processes do not load what only the report needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ev_marl.support.lazy import on_first_use

if TYPE_CHECKING:
    from ev_marl.compare.comparison import Comparison, PolicySummary
    from ev_marl.compare.day import run_day
    from ev_marl.compare.run import compare, rerun_day

__all__ = ["Comparison", "PolicySummary", "compare", "rerun_day", "run_day"]

__getattr__, __dir__ = on_first_use(
    __name__,
    {
        "Comparison": "comparison",
        "PolicySummary": "comparison",
        "compare": "run",
        "rerun_day": "run",
        "run_day": "day",
    },
)
