"""From pydantic's errors to problems that people can act on."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ev_marl.scenario.problems import MOST_PROBLEMS, KeyPath, Problem
from ev_marl.scenario.reading import Document
from ev_marl.scenario.schema.patterns import PATTERNS
from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import shown

_EXPECTED = {
    "greater_than_equal": "{ge:g} or more",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "{le:g} or less",
    "less_than": "less than {lt:g}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "invalid_key": "keys that are text",
}


def problems_of(error: ValidationError, root: type[BaseModel], document: Document) -> list[Problem]:
    """One problem for each of pydantic's errors, at most `MOST_PROBLEMS` of them."""
    found = error.errors(include_url=False)[:MOST_PROBLEMS]
    return [_problem(details, root, document) for details in found]


def _problem(details: ErrorDetails, root: type[BaseModel], document: Document) -> Problem:
    of_key = details["loc"][-1:] == ("[key]",)  # how pydantic says that a mapping has a wrong key
    path, model = _follow(details["loc"][:-1] if of_key else details["loc"], root)
    context = details.get("ctx", {})
    value = details["input"] if of_key else document.value(path, details["input"])
    found = f"found {shown(value)}"
    match details["type"]:
        case "extra_forbidden":
            allowed = list(model.model_fields) if model else []
            message = f"unknown key.{did_you_mean(str(path[-1]), allowed)} Allowed: {', '.join(allowed)}"
        case "missing":
            message = "; ".join(filter(None, ["is missing", _meaning(model, path)]))
        case "literal_error":
            allowed = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ",").split(",")]
            message = f"{found}.{did_you_mean(str(value), allowed)} Allowed: {', '.join(allowed)}"
        case "greater_than_equal" if any(key in path for key in ("import_limit", "export_limit")):
            message = f"{found}; a limit cannot be below zero, write 0 kW for no power"
        case "value_error":
            message = str(context["error"])
        case "fault":
            path, message = (*path, *context["key"].split(".")), context["message"]
        case "choice":
            keys = [tag.strip("<>") for tag in _models_at(model, path)]
            near = "".join(did_you_mean(str(key), keys) for key in value) if isinstance(value, dict) else ""
            message = f"{found}; {details['msg']}.{near}" if near else f"{found}; {details['msg']}"
        case "too_short" | "too_long":
            least, most = context.get("min_length"), context.get("max_length")
            needed = f"at least {least}" if details["type"] == "too_short" else f"at most {most}"
            needed = "24, for the clock hours 0 to 23" if path[-1] == "by_hour" else needed
            message = f"found {context['actual_length']} values; expected {needed}"
        case "model_type" | "model_attributes_type":
            keys = [key for expected in list(_models_at(model, path).values())[:1] for key in expected.model_fields]
            message = f"{found}; expected a mapping with keys among {', '.join(keys)}"
        case "string_pattern_mismatch":
            message = f"{found}; expected {PATTERNS.get(str(context['pattern']), context['pattern'])}"
        case kind if kind in _EXPECTED:
            message = f"{found}; expected {_EXPECTED[kind].format(**context)}"
        case kind if kind.startswith("date_"):
            message = f"{found}; expected a date such as 2023-05-15"
        case _:
            message = f"{found}; {details['msg'][0].lower()}{details['msg'][1:]}"
    return document.problem(path, message)


def _meaning(model: type[BaseModel] | None, path: KeyPath) -> str:
    field = model.model_fields.get(str(path[-1])) if model else None
    return " ".join((field.description or "").split()) if field else ""


def _models_at(model: type[BaseModel] | None, path: KeyPath) -> Mapping[str, type[BaseModel]]:
    """Models that the last key of `path` may hold."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    field = model.model_fields.get(key) if model else None
    return _models(field.annotation, field.metadata) if field else {}


def _follow(loc: tuple[str | int, ...], root: type[BaseModel]) -> tuple[KeyPath, type[BaseModel] | None]:
    """Key path without pydantic's union tags, and the model that holds its last key."""
    path: list[str | int] = []
    model: type[BaseModel] | None = root
    holder: type[BaseModel] | None = root
    choices: dict[str, type[BaseModel]] = {}
    for part in loc:
        if isinstance(part, str) and part.startswith("<") and part.endswith(">"):
            model = choices.get(part)
            continue
        path.append(part)
        if isinstance(part, int):
            continue
        holder = model
        field = model.model_fields.get(part) if model else None
        found = _models(field.annotation, field.metadata) if field else {}
        choices = {tag: kind for tag, kind in found.items() if tag.startswith("<")}
        plain = [kind for tag, kind in found.items() if not tag.startswith("<")]
        model = plain[0] if len(plain) == 1 and not choices else None
    return tuple(path), holder


def _models(annotation: Any, metadata: typing.Iterable[Any] = ()) -> Mapping[str, type[BaseModel]]:
    """Models inside an annotation, by union tag where there is one, by class name otherwise."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        tags = [item.tag for item in metadata if hasattr(item, "tag")]
        return {tags[0] if tags else annotation.__name__: annotation}
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *extra = typing.get_args(annotation)
        return _models(inner, extra)
    if origin in (list, typing.Union, types.UnionType):
        return {tag: kind for part in typing.get_args(annotation) for tag, kind in _models(part).items()}
    return {}
