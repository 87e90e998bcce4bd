"""What a user writes: the schema of a scenario, the reader of YAML with a line for every error, the JSON Schema."""

from ev_marl.scenario.loader import as_scenario, load_scenario, scenario_from_dict, scenario_value, shipped_scenarios
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
