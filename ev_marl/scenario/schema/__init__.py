"""What a scenario file may say: pydantic models, a file for each key, an attribute for each key below it.

Attribute docstrings are the descriptions in the JSON Schema and in the scenario reference, so they are written for
people who write scenarios. Quantities are plain numbers in the documented unit or text with a unit ("22 kW").
"""

from ev_marl.scenario.schema.action import Action, Bid, BidOptions, Levels
from ev_marl.scenario.schema.coordinator import CoordinatorChoice, CoordinatorOptions
from ev_marl.scenario.schema.events import Event
from ev_marl.scenario.schema.grid import Grid
from ev_marl.scenario.schema.objective import Objective, SetpointTracking, ShareRule
from ev_marl.scenario.schema.observation import Block, BlockOptions, PricesBlock
from ev_marl.scenario.schema.outlook import OutlookByKind, OutlookChoice, OutlookOptions, OutlookSource
from ev_marl.scenario.schema.patterns import CURRENCY_PATTERN, NAME_PATTERN, TYPE_PATTERN, Name
from ev_marl.scenario.schema.prices import (
    PriceByHour,
    PriceConstant,
    PriceFile,
    PriceModel,
    Prices,
    PriceTimeOfUse,
    TariffDays,
)
from ev_marl.scenario.schema.scenario import Metering, Scenario
from ev_marl.scenario.schema.series import LimitByHour, LimitSeries, PowerByHour, PowerFile, PowerSeries
from ev_marl.scenario.schema.sessions import Declared, DeclaredEnergy, Misjudged, MisjudgedEnergy, Revised, Sessions
from ev_marl.scenario.schema.signals import IrradianceFile
from ev_marl.scenario.schema.site import BaseLoad, Group, LoadProfile, Pv, PvSystem, Stations, Transformer
from ev_marl.scenario.schema.vehicles import CatalogueVehicle, Vehicle, Vehicles

__all__ = [
    "CURRENCY_PATTERN",
    "NAME_PATTERN",
    "TYPE_PATTERN",
    "Action",
    "BaseLoad",
    "Bid",
    "BidOptions",
    "Block",
    "BlockOptions",
    "CatalogueVehicle",
    "CoordinatorChoice",
    "CoordinatorOptions",
    "Declared",
    "DeclaredEnergy",
    "Event",
    "Grid",
    "Group",
    "IrradianceFile",
    "Levels",
    "LimitByHour",
    "LimitSeries",
    "LoadProfile",
    "Metering",
    "Misjudged",
    "MisjudgedEnergy",
    "Name",
    "Objective",
    "OutlookByKind",
    "OutlookChoice",
    "OutlookOptions",
    "OutlookSource",
    "PowerByHour",
    "PowerFile",
    "PowerSeries",
    "PriceByHour",
    "PriceConstant",
    "PriceFile",
    "PriceModel",
    "PriceTimeOfUse",
    "Prices",
    "PricesBlock",
    "Pv",
    "PvSystem",
    "Revised",
    "Scenario",
    "Sessions",
    "SetpointTracking",
    "ShareRule",
    "Stations",
    "TariffDays",
    "Transformer",
    "Vehicle",
    "Vehicles",
]
