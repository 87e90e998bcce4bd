"""The checks of `ev-marl check`: names of plug-ins, whether all of them can be made, and unusual values."""

from ev_marl.checks.names import checked_setting, plug_in_problems
from ev_marl.checks.plausibility import CHECKS, Finding, findings
from ev_marl.checks.sampled import SampledDays, Start

__all__ = ["CHECKS", "Finding", "SampledDays", "Start", "checked_setting", "findings", "plug_in_problems"]
