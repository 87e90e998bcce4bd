"""JSON Schema and reference: current, complete, and true to what the loader takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ev_marl.scenario import shipped_scenarios
from ev_marl.scenario.json_schema import scenario_json_schema, scenario_schema_text
from ev_marl.scenario.reference import scenario_reference
from ev_marl.scenario.schema import Group, Scenario, Stations

ROOT = Path(__file__).parents[2]
SCHEMA = scenario_json_schema()
TYPES = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool}


def fits(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value fits a schema, for the keywords that the scenario schema has."""
    known = {"title", "description", "default", "examples", "x-unit", "$schema", "$defs", "then", "else", "format"}
    known |= {"$ref", "anyOf", "oneOf", "if", "type", "const", "enum", "pattern", "minimum", "maximum", "items"}
    known |= {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "properties", "required", "maxLength"}
    known |= {"minLength", "patternProperties", "prefixItems"}
    assert schema.keys() <= known | {"additionalProperties"}
    if "$ref" in schema and not fits(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], value):
        return False
    if "if" in schema and not fits(schema["then"] if fits(schema["if"], value) else schema["else"], value):
        return False
    if "anyOf" in schema and not any(fits(part, value) for part in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(part, value) for part in schema["oneOf"]) != 1:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kind = schema.get("type")
    if kind == "null":
        return value is None
    if kind is not None and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if isinstance(value, str):
        short = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return short and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
    if isinstance(value, int | float):
        return (
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and not value <= schema.get("exclusiveMinimum", value - 1)
            and not value >= schema.get("exclusiveMaximum", value + 1)
        )
    if isinstance(value, list):
        count = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        first = schema.get("prefixItems", [])
        return (
            count
            and all(fits(part, entry) for part, entry in zip(first, value, strict=False))
            and all(fits(schema.get("items", {}), entry) for entry in value[len(first) :])
        )
    if isinstance(value, dict):
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
        matching = schema.get("patternProperties", {}).items()
        named = {key: part for pattern, part in matching for key in value if re.search(pattern, key)}
        properties = {**named, **properties}
        if not value.keys() >= set(schema.get("required", ())) or (
            extra is False and not value.keys() <= properties.keys()
        ):
            return False
        return all(
            fits(properties.get(key, extra if isinstance(extra, dict) else {}), part) for key, part in value.items()
        )
    return True


def data_of(path: Path) -> Any:
    text = re.sub(r"^(start|until): (.*)$", r"\1: '\2'", path.read_text(encoding="utf-8"), flags=re.M)
    return yaml.safe_load(text)


def test_committed_schema_is_current() -> None:
    path = ROOT / "scenarios" / "scenario.schema.json"
    assert path.read_text(encoding="utf-8") == scenario_schema_text(), "run `make docs`"
    assert json.loads(scenario_schema_text()) == SCHEMA


@pytest.mark.parametrize("name", sorted(shipped_scenarios()))
def test_shipped_scenarios_fit(name: str) -> None:
    assert fits(SCHEMA, data_of(shipped_scenarios()[name]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nam", "x"),
        ("step", "7 mins"),
        ("step", 0),
        ("start", 2023),
        ("days", "mondays"),
        ("site", {"name": "grid", "import_limit": "-5 kW"}),
        ("site", {"import_limit": 5}),
        ("site", {"name": "grid", "stations": [{"type": "ac", "efficiency": 1.5}]}),
        ("prices", {"feed_in": 0.9}),
        ("prices", {"constant": "0.25 EUR/kW"}),
        ("prices", {"time_of_use": "sce"}),
        ("prices", {"time_of_use": [{"hours": {"0-24": "0.25 EUR/kW"}}]}),
        ("objective", {"overload": -1}),
        ("action", {"levels": 1}),
    ],
)
def test_what_does_not_fit(key: str, value: object) -> None:
    data = data_of(shipped_scenarios()["tiny"])
    assert fits(SCHEMA, data)
    assert not fits(SCHEMA, {**data, key: value})


def test_variants_may_leave_out_what_they_inherit() -> None:
    variant = {"site": {"import_limit": "10 kW", "base_load": None}, "prices": {"feed_in": "80 %"}}
    assert not fits(SCHEMA, variant)
    assert fits(SCHEMA, {"extends": "tiny", **variant})
    assert not fits(SCHEMA, {"extends": "tiny", "sites": {}})
    assert not fits(SCHEMA, {"extends": "tiny", "site": {"groups": [{"import_limit": 3}]}})  # lists are not merged


def test_every_key_is_described() -> None:
    for name, definition in SCHEMA["$defs"].items():
        assert definition["description"], name
        for key, entry in definition["properties"].items():
            assert entry.get("description"), f"{name}.{key}"
            assert "\n" not in entry["description"]


def test_committed_reference_is_current() -> None:
    path = ROOT / "docs" / "reference" / "scenario.md"
    assert path.read_text(encoding="utf-8") == scenario_reference(), "run `make docs`"


@pytest.mark.parametrize("model", [Scenario, Group, Stations])
def test_reference_has_every_key(model: type[Scenario | Group | Stations]) -> None:
    section = scenario_reference().partition(f"\n## {model.__name__}\n")[2].partition("\n## ")[0]
    for key in model.model_fields:
        assert f"| `{key}` | " in section


def test_links_of_the_reference_lead_somewhere() -> None:
    text = scenario_reference()
    anchors = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", text, flags=re.M)}
    links = set(re.findall(r"\]\(#(.*?)\)", text))
    assert links
    assert links <= anchors


def test_rows_of_the_reference_have_four_cells() -> None:
    rows = [line for line in scenario_reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5, row
