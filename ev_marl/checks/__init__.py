"""What is no error in a scenario and yet seldom meant: small checks on some of its days, with their numbers."""

from ev_marl.checks.plausibility import CHECKS, Finding, findings
from ev_marl.checks.sampled import SampledDays, Start

__all__ = ["CHECKS", "Finding", "SampledDays", "Start", "findings"]
