"""What `check` looks at: names of plug-ins, what they stand for, and what is no error and yet seldom meant."""

from ev_marl.checks.names import checked_setting, name_problems
from ev_marl.checks.plausibility import CHECKS, Finding, findings
from ev_marl.checks.sampled import SampledDays, Start

__all__ = ["CHECKS", "Finding", "SampledDays", "Start", "checked_setting", "findings", "name_problems"]
