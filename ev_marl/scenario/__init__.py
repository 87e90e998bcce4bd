"""What a user writes: the schema of a scenario, the reader of YAML with a line for every error, the JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ev_marl.support.lazy import on_first_use

if TYPE_CHECKING:
    from ev_marl.scenario.loader import (
        as_scenario,
        load_scenario,
        scenario_from_dict,
        scenario_value,
        shipped_scenarios,
    )
    from ev_marl.scenario.problems import Problem, ScenarioError
    from ev_marl.scenario.schema import Scenario

__all__ = [
    "Problem",
    "Scenario",
    "ScenarioError",
    "as_scenario",
    "load_scenario",
    "scenario_from_dict",
    "scenario_value",
    "shipped_scenarios",
]

__getattr__, __dir__ = on_first_use(
    __name__,
    {
        "Problem": "problems",
        "Scenario": "schema",
        "ScenarioError": "problems",
        "as_scenario": "loader",
        "load_scenario": "loader",
        "scenario_from_dict": "loader",
        "scenario_value": "loader",
        "shipped_scenarios": "loader",
    },
)
