"""JSON Schema of scenario files, for editors: completion, descriptions, and marks at errors while typing.

Comes in: the pydantic models. Goes out: their JSON Schema plus the key `extends`, which the loader takes out before
validation. A file that extends another may leave out what the other one says, so it has a laxer schema of its own.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from ev_marl.scenario.schema import Scenario

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/$defs/"
VARIANT = "Variant"


def scenario_json_schema() -> dict[str, Any]:
    """JSON Schema of a scenario file, draft 2020-12."""
    return file_schema(Scenario, "scenario", "workplace")


def file_schema(model: type[BaseModel], what: str, shipped: str) -> dict[str, Any]:
    """JSON Schema of a file that may extend another one, draft 2020-12.

    Parameters
    ----------
    model : type
        What the file must be.
    what : str
        What it is called.
    shipped : str
        Name of a shipped one, as an example.
    """
    name = model.__name__
    whole = _one_line(model.model_json_schema())
    definitions: dict[str, Any] = whole.pop("$defs")
    definitions[name] = whole
    variant = _variant_of(name, definitions)
    extends = {
        "title": "Extends",
        "description": f"{what.capitalize()} that this one is a variant of: the name of a shipped {what}, or a path "
        "beside this file. Keys written here replace those of the other one; mappings are merged, lists are replaced.",
        "type": "string",
        "examples": [shipped, "base.yaml"],
    }
    definitions[variant]["properties"] = {"extends": extends, **definitions[variant]["properties"]}
    return {
        "$schema": DIALECT,
        "title": f"ev_marl {what}",
        "description": whole["description"],
        "properties": {"extends": extends},
        "if": {"type": "object", "required": ["extends"]},
        "then": {"$ref": REFERENCE + variant},
        "else": {"$ref": REFERENCE + name},
        "$defs": dict(sorted(definitions.items())),
    }


def scenario_schema_text() -> str:
    """The JSON Schema as the text of a file."""
    return schema_text(scenario_json_schema())


def schema_text(schema: dict[str, Any]) -> str:
    """A JSON Schema as the text of a file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _one_line(schema: Any) -> Any:
    """The schema with every description on one line."""
    if isinstance(schema, dict):
        return {
            key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _one_line(value)
            for key, value in schema.items()
        }
    return [_one_line(entry) for entry in schema] if isinstance(schema, list) else schema


def _variant_of(name: str, definitions: dict[str, Any]) -> str:
    """Add the definition of a mapping that is merged into an inherited one: nothing in it is required."""
    new = name + VARIANT
    if new not in definitions:
        definitions[new] = {}  # before the properties, since a definition may contain itself
        model = definitions[name]
        properties = {key: _merged(value, definitions) for key, value in model["properties"].items()}
        definitions[new] = {
            **{key: value for key, value in model.items() if key != "required"},
            "properties": properties,
            "title": new,
        }
    return new


def _merged(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A property of a variant: mappings are merged at any depth, lists are replaced as a whole."""
    if schema.get("$ref", "").startswith(REFERENCE):
        return {**schema, "$ref": REFERENCE + _variant_of(schema["$ref"].removeprefix(REFERENCE), definitions)}
    result = {key: value for key, value in schema.items() if key not in ("oneOf", "anyOf")}
    alternatives = [*schema.get("oneOf", []), *schema.get("anyOf", [])]
    if alternatives:  # a partial mapping may fit several alternatives, so `oneOf` would be too strict
        result["anyOf"] = [_merged(alternative, definitions) for alternative in alternatives]
    return result
