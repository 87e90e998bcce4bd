"""Show a site as a tree: groups, limits, loads, stations."""

from __future__ import annotations

from ev_marl.cli.options import ScenarioName, Trust
from ev_marl.cli.output import console

EXAMPLES = ("ev-marl describe workplace", "ev-marl describe my_site.yaml")


def command(scenario: ScenarioName, trust: Trust = False) -> None:
    from ev_marl.scenario import load_scenario
    from ev_marl.scenario.problems import key_text
    from ev_marl.site import Site
    from ev_marl.site.describe import describe_site

    loaded = load_scenario(scenario, trust=trust)
    out = console()
    out.print(describe_site(Site.from_scenario(loaded), loaded, called=scenario))
    for path, name in loaded.own_code():
        out.print(f"{key_text(path)}: {name} is custom code", markup=False)
