"""Show a site as a tree: groups, limits, loads, stations."""

from __future__ import annotations

from ev_marl.cli.options import ScenarioName
from ev_marl.cli.output import console
from ev_marl.scenario import load_scenario
from ev_marl.site import Site
from ev_marl.site.describe import describe_site

EXAMPLES = ("ev-marl describe workplace", "ev-marl describe my_site.yaml")


def command(scenario: ScenarioName) -> None:
    loaded = load_scenario(scenario)
    console().print(describe_site(Site.from_scenario(loaded), loaded, called=scenario))
