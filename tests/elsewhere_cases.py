"""What the tests of the training libraries' faces share."""

from __future__ import annotations

from ev_marl import Scenario, load_scenario


def mixed_scenario() -> Scenario:
    """As `tiny`, but the two `ac` stations have one port each and the `bidi` station has three."""
    data = load_scenario("tiny").model_dump(mode="json", exclude_unset=True)
    data["site"]["groups"][0]["stations"][1]["ports"] = 3
    return Scenario.model_validate(data)
