"""What scenario files and others have in common, such as options of commands; known without loading the schema."""

from __future__ import annotations

from typing import Literal

Fill = Literal["previous_day", "interpolate"]
"""What to do where a file lacks a price."""

GridCoordinator = Literal["curtail", "none"]
"""Who keeps the limits of the network."""

SITE_COORDINATORS = ("nearest", "none", "priority", "proportional", "round-robin")
"""Those that come with the package and keep the limits of the site; the registry of coordinators has the same."""

Mix = Literal["eu", "nl-2023", "no-2023"]
"""Named mixes of vehicles."""

LATEST_TAPER = 0.999
"""A battery that charges at full rate to the end has no taper."""
