"""What a user writes: the schema, YAML reading with line-numbered errors, JSON Schema."""

from ev_marl.scenario.loader import load_scenario, shipped_scenarios
from ev_marl.scenario.schema import Scenario

__all__ = ["Scenario", "load_scenario", "shipped_scenarios"]
