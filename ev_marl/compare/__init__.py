"""Comparisons of many policies over many days with the optimum: runs, statistics, tables, reports, studies.

`compare` runs it all. Names are loaded on first use, so that worker processes do not load what only the report needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ev_marl.compare.comparison import Comparison, PolicySummary
    from ev_marl.compare.day import run_day
    from ev_marl.compare.run import compare, rerun_day

__all__ = ["Comparison", "PolicySummary", "compare", "rerun_day", "run_day"]

_MODULES = {
    "Comparison": "comparison",
    "PolicySummary": "comparison",
    "compare": "run",
    "rerun_day": "run",
    "run_day": "day",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'ev_marl.compare' has no attribute '{name}'")
    return getattr(importlib.import_module(f"ev_marl.compare.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return list(__all__)
