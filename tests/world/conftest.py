"""Scenarios that the tests of the world share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ev_marl.scenario.problems import Places
from ev_marl.scenario.schema import Group, LoadProfile, PriceModel, Pv, Scenario, Sessions, Stations


@pytest.fixture
def data() -> Path:
    """Folder of the small files in official formats."""
    return Path(__file__).parent / "data"


@pytest.fixture
def scenario() -> Callable[..., Scenario]:
    """Makes a trusted scenario with two lots under one connection; keyword arguments replace its entries."""

    def make(**changes: Any) -> Scenario:
        entries: dict[str, Any] = {
            "name": "try-out",
            "start": date(2023, 5, 15),
            "site": Group(
                name="grid",
                import_limit=150.0,
                base_load=LoadProfile(profile="office", peak=80.0),
                pv=Pv(peak=60.0),
                groups=[
                    Group(
                        name="north", import_limit=60.0, stations=[Stations(type="ac", count=5, ports=2, power=11.0)]
                    ),
                    Group(name="south", stations=[Stations(type="bidi", count=6, power=11.0, v2g=True)]),
                ],
            ),
            "prices": PriceModel(model="nl/2023", feed_in=0.9),
        }
        return Scenario(**{**entries, **changes}).read_from(Places(), trust=True)

    return make


@pytest.fixture
def residential(scenario: Callable[..., Scenario]) -> Scenario:
    """Vehicles that come in the evening and stay overnight."""
    return scenario(sessions=Sessions(model="elaadnl/private", per_port_per_day=1.0))
