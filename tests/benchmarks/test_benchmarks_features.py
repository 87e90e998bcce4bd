"""What each feature of the simulated world adds to a step, beside the same scenario without it, in one run.

Run with `make bench`; the test prints a table. Nothing is asserted about time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ev_marl

pytestmark = pytest.mark.benchmark(group="features")
N_ROWS, N_DAYS, ROUNDS = 256, 16, 5
BATTERY = {"energy": "200 kWh", "wear": "0.02 EUR/kWh"}
FEATURES: dict[str, Callable[[dict[str, Any]], None]] = {
    "nothing": lambda keys: None,
    "limits of currents, single-phase stations": lambda keys: _with_currents(keys),
    "1.4 kW at least, in steps of 0.2 kW": lambda keys: _stations(keys, least_power="1.4 kW", power_step="0.2 kW"),
    "a stationary battery": lambda keys: keys["site"].update(
        stations=[{"type": "bess", "power": "100 kW", "battery": BATTERY}]
    ),
    "measured charge curves": lambda keys: keys.update(vehicles={"mix": "nl-2023"}),
    "events": lambda keys: keys.update(
        events=[
            {"kind": "outage", "per_day": 0.1, "lasts": "2 h"},
            {"kind": "demand_response", "at": "18 h", "lasts": "2 h", "limit": "90 kW", "penalty": "0.5 EUR/kWh"},
        ]
    ),
    "declared departures": lambda keys: keys["sessions"].update(declared={"early": {"share": "20 %", "by": "30 min"}}),
    "battery ageing": lambda keys: keys["objective"].update(battery_ageing=1),
    "a transformer with rating and ageing": lambda keys: (
        keys["site"].update(transformer={"rating": "200 kVA", "secondary": "400 V"}),
        keys["objective"].update(transformer_ageing="0.10 EUR/h"),
    ),
    "carbon": lambda keys: (keys.update(carbon=300), keys["objective"].update(carbon="80 EUR/t")),
    "a demand charge": lambda keys: keys["objective"].update(peak_power="0.5 EUR/kW"),
}


def _stations(keys: dict[str, Any], **more: object) -> None:
    for lot in keys["site"]["groups"]:
        for stations in lot["stations"]:
            stations.update(more)


def _with_currents(keys: dict[str, Any]) -> None:
    _stations(keys, phases=["L1", "L2", "L3"])
    for lot in keys["site"]["groups"]:
        lot["current_limit"] = "180 A"


def fifty(feature: str) -> ev_marl.Scenario:
    """50 single-port stations of 7 kW on two lots, with a feature."""
    stations = {"type": "ac", "count": 25, "power": "7 kW"}
    keys: dict[str, Any] = {
        "name": "fifty",
        "start": "2023-05-15",
        "site": {
            "name": "grid",
            "import_limit": "150 kW",
            "groups": [
                {"name": name, "import_limit": "90 kW", "stations": [dict(stations)]} for name in ("lot_a", "lot_b")
            ],
        },
        "sessions": {"model": "elaadnl/workplace", "per_port_per_day": 1.1},
        "prices": {"model": "nl/2023"},
        "objective": {},
        "observation": ["clock", "ports", "prices", "headroom"],
        "coordinator": "proportional",
    }
    FEATURES[feature](keys)
    return ev_marl.Scenario.model_validate(keys)


def test_step_with_each_feature(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """All in turn in each round, the fastest of them; random setpoints."""
    days: dict[str, Callable[[], None]] = {}
    for feature in FEATURES:
        env = ev_marl.BatchedEnv(fifty(feature), N_ROWS, n_days=N_DAYS)
        actions = np.random.default_rng(0).uniform(0.0, 1.0, (4, N_ROWS, len(env.site.ports)))
        env.reset()

        def day(env: ev_marl.BatchedEnv = env, actions: np.ndarray = actions) -> None:
            for step in range(env.scenario.n_steps):
                env.step(actions[step % 4])

        day()
        days[feature] = day
    fastest = dict.fromkeys(days, np.inf)
    for _ in range(ROUNDS):
        for feature, day in days.items():
            begin = time.perf_counter()
            day()
            fastest[feature] = min(fastest[feature], time.perf_counter() - begin)
    benchmark.pedantic(days["nothing"], rounds=1)
    with capsys.disabled():
        print(f"\n{N_ROWS} rows x 50 ports, times that of the step without:")
        for feature, seconds in fastest.items():
            print(f"  {feature}: {seconds / fastest['nothing']:.2f}")
