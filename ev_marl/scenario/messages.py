"""From pydantic's errors to problems that people can act on."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ev_marl.registry import did_you_mean
from ev_marl.scenario.problems import Problem
from ev_marl.scenario.reading import Document, KeyPath


def problems_of(error: ValidationError, root: type[BaseModel], document: Document) -> list[Problem]:
    """One problem for each of pydantic's errors."""
    return [_problem(details, root, document) for details in error.errors()]


def _problem(details: ErrorDetails, root: type[BaseModel], document: Document) -> Problem:
    path, model = _follow(details["loc"], root)
    found, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            allowed = sorted(model.model_fields) if model else []
            message = f"unknown key.{did_you_mean(str(path[-1]), allowed)} Allowed: {', '.join(allowed)}"
        case "missing":
            message = f"is missing; {_meaning(model, path)}"
        case "literal_error":
            allowed = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ",").split(",")]
            message = f"found {_short(found)}.{did_you_mean(str(found), allowed)} Allowed: {', '.join(allowed)}"
        case "greater_than_equal" if "limit" in str(path[-1]):
            message = f"found {_short(found)}; a limit cannot be below zero, write 0 kW for no power"
        case "value_error":
            message = str(context["error"])
        case "choice":
            message = f"found {_short(found)}; {details['msg']}"
        case _:
            text = details["msg"][0].lower() + details["msg"][1:]
            message = f"found {_short(found)}; {text.replace('input should', 'it should')}"
    return document.problem(path, message)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _meaning(model: type[BaseModel] | None, path: KeyPath) -> str:
    field = model.model_fields.get(str(path[-1])) if model else None
    return field.description or "" if field else ""


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
