"""Policies, which decide the setpoints: rules, model predictive control, exchange of messages, learned ones.

`make_policy` turns a name with options into a policy, `rollout` runs it. Others are a class with the `Policy`
protocol, named as `module:Class`, registered with `POLICIES.register`, or an entry point of `ev_marl.policies`.
"""

from ev_marl.policies.base import POLICIES, Episode, Information, Policy, SiteView, StationView, site_view
from ev_marl.policies.make import make_policy, split_specs
from ev_marl.policies.messages.booked import BookedResponse
from ev_marl.policies.messages.dual import DualPrices
from ev_marl.policies.messages.selfish import Selfish
from ev_marl.policies.mpc.mpc import Mpc, MpcPerfect
from ev_marl.policies.plan import Plan, PlanPolicy
from ev_marl.policies.rollout import Rollout, make_view, rollout
from ev_marl.policies.rules.best_response import BestResponse, best_response
from ev_marl.policies.rules.latest import AsLateAsPossible
from ev_marl.policies.rules.serving import EarliestDeadlineFirst, LeastLaxityFirst, RoundRobin
from ev_marl.policies.rules.simple import Idle, Random, Uncontrolled
from ev_marl.policies.rules.threshold import PriceThreshold

__all__ = [
    "POLICIES",
    "AsLateAsPossible",
    "BestResponse",
    "BookedResponse",
    "DualPrices",
    "EarliestDeadlineFirst",
    "Episode",
    "Idle",
    "Information",
    "LeastLaxityFirst",
    "Mpc",
    "MpcPerfect",
    "Plan",
    "PlanPolicy",
    "Policy",
    "PriceThreshold",
    "Random",
    "Rollout",
    "RoundRobin",
    "Selfish",
    "SiteView",
    "StationView",
    "Uncontrolled",
    "best_response",
    "make_policy",
    "make_view",
    "rollout",
    "site_view",
    "split_specs",
]
