"""What a user writes: the schema, YAML reading with line-numbered errors, JSON Schema."""

from ev_marl.scenario.loader import load_scenario, scenario_from_dict, scenario_value, shipped_scenarios
from ev_marl.scenario.problems import Problem, ScenarioError
from ev_marl.scenario.schema import Scenario

__all__ = [
    "Problem",
    "Scenario",
    "ScenarioError",
    "load_scenario",
    "scenario_from_dict",
    "scenario_value",
    "shipped_scenarios",
]
