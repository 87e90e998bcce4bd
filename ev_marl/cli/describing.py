"""`ev-marl describe`: a site as a tree."""

from __future__ import annotations

from ev_marl.cli.output import console
from ev_marl.scenario import load_scenario
from ev_marl.site import Site
from ev_marl.site.describe import describe_site


def run(scenario: str) -> None:
    """Print the tree."""
    loaded = load_scenario(scenario)
    console().print(describe_site(Site.from_scenario(loaded), loaded, called=scenario))
