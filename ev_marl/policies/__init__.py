"""Who decides the setpoints: heuristics, an own plan on the published prices, replay of a plan."""

from ev_marl.policies.base import POLICIES, Episode, Information, Policy, SiteView, StationView
from ev_marl.policies.plan import Plan, PlanPolicy
from ev_marl.policies.rollout import Rollout, make_view, rollout

__all__ = [
    "POLICIES",
    "Episode",
    "Information",
    "Plan",
    "PlanPolicy",
    "Policy",
    "Rollout",
    "SiteView",
    "StationView",
    "make_view",
    "rollout",
]
