"""Observation blocks: the parts of an observation, one file each, chosen by name in the scenario."""

from ev_marl.env.blocks.base import BLOCKS, Feature, ObservationBlock, Scope
from ev_marl.env.blocks.booking import Booking
from ev_marl.env.blocks.calendar import Calendar
from ev_marl.env.blocks.carbon import CarbonIntensity
from ev_marl.env.blocks.clock import TimeOfDay
from ev_marl.env.blocks.demand import Demand
from ev_marl.env.blocks.events import Events
from ev_marl.env.blocks.grid import GridLoading, Voltage
from ev_marl.env.blocks.headroom import Headroom
from ev_marl.env.blocks.identity import Identity
from ev_marl.env.blocks.neighbours import Neighbours
from ev_marl.env.blocks.plans import Plans
from ev_marl.env.blocks.ports import Ports
from ev_marl.env.blocks.prices import Prices
from ev_marl.env.blocks.site_price import SitePrice

__all__ = [
    "BLOCKS",
    "Booking",
    "Calendar",
    "CarbonIntensity",
    "Demand",
    "Events",
    "Feature",
    "GridLoading",
    "Headroom",
    "Identity",
    "Neighbours",
    "ObservationBlock",
    "Plans",
    "Ports",
    "Prices",
    "Scope",
    "SitePrice",
    "TimeOfDay",
    "Voltage",
]
