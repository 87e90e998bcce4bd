"""Whether a scenario makes sense: what is no error, and yet is seldom meant."""

from ev_marl.checks.plausibility import CHECKS, Finding, findings
from ev_marl.checks.sampled import SampledDays, Start

__all__ = ["CHECKS", "Finding", "SampledDays", "Start", "findings"]
