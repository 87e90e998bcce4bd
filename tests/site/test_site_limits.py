"""Limits that a scenario gives by the hour or in a file reach the site, also on days when the clocks change."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ev_marl.scenario import Scenario, scenario_from_dict
from ev_marl.scenario.clock import Clock
from ev_marl.site import Site

ZONE = "Europe/Amsterdam"


def scenario(horizon_h: float, limit: object) -> Scenario:
    lot = {"name": "lot", "export_limit": limit, "stations": [{"type": "ac", "power": 11}]}
    return scenario_from_dict(
        {
            "name": "test",
            "start": "2023-03-26",
            "timezone": ZONE,
            "step": "30 min",
            "horizon": horizon_h,
            "site": {"name": "grid", "import_limit": limit, "groups": [lot]},
        }
    )


@pytest.mark.parametrize(
    ("month", "day", "hours"),
    [
        (5, 15, list(range(24))),
        (3, 26, [0, 1, *range(3, 24)]),
        (10, 29, [0, 1, 2, 2, *range(3, 24)]),
    ],
)
def test_by_hour_follows_the_local_clock(month: int, day: int, hours: list[int]) -> None:
    model = scenario(len(hours), {"by_hour": [10 + hour for hour in range(24)]})
    clock = Clock(datetime(2023, month, day, tzinfo=ZoneInfo(ZONE)), ZONE, model.step, model.n_steps)
    import_kw, export_kw = Site.from_scenario(model).limits(clock)
    expected = np.repeat([10.0 + hour for hour in hours], 2)
    np.testing.assert_array_equal(import_kw[:, 0], expected)
    np.testing.assert_array_equal(export_kw[:, 1], expected)
    assert np.isinf(import_kw[:, 1]).all()
    assert np.isinf(export_kw[:, 0]).all()


def test_a_file_has_one_value_for_each_step(tmp_path: Path) -> None:
    values = [float(step) for step in range(46)]
    path = tmp_path / "limit.csv"
    path.write_text("time,kw\n" + "".join(f"{step},{value}\n" for step, value in enumerate(values)), encoding="utf-8")
    model = scenario(23, {"csv": str(path), "column": "kw"})
    clock = Clock(datetime(2023, 3, 26, tzinfo=ZoneInfo(ZONE)), ZONE, model.step, model.n_steps)
    import_kw, _ = Site.from_scenario(model).limits(clock)
    assert import_kw[:, 0].tolist() == values
