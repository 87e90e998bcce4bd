"""Outlooks: what to expect of the rest of the episode: known, present, expected, forecast, or your own."""

from ev_marl.planning.outlook.base import KINDS, OUTLOOKS, Coming, Kind, Outlook, Present, Truth, by_group
from ev_marl.planning.outlook.expected import ExpectedOutlook
from ev_marl.planning.outlook.forecast import ForecastOutlook
from ev_marl.planning.outlook.known import KnownOutlook
from ev_marl.planning.outlook.make import ComposedOutlook, OutlookLike, checked, make_outlook, outlook_problems
from ev_marl.planning.outlook.present import PresentOutlook
from ev_marl.planning.outlook.published import PublishedOutlook

__all__ = [
    "KINDS",
    "OUTLOOKS",
    "Coming",
    "ComposedOutlook",
    "ExpectedOutlook",
    "ForecastOutlook",
    "Kind",
    "KnownOutlook",
    "Outlook",
    "OutlookLike",
    "Present",
    "PresentOutlook",
    "PublishedOutlook",
    "Truth",
    "by_group",
    "checked",
    "make_outlook",
    "outlook_problems",
]
