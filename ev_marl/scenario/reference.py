"""The scenario reference: every key of a scenario file, what is allowed, its default and what it means.

Comes in: the pydantic models and the shipped scenario `tiny`. Goes out: Markdown. Descriptions are the models' own, so
the reference says what the program does. `sections` does the same for files of other kinds.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import WithJsonSchema

from ev_marl.scenario.loader import shipped_scenarios
from ev_marl.scenario.schema import Scenario
from ev_marl.scenario.schema.patterns import PATTERNS
from ev_marl.scenario.sizes import DEEPEST_SITE, MOST_CELLS, MOST_GROUPS, MOST_PORTS, MOST_SESSIONS, MOST_STEPS
from ev_marl.scenario.units import FIRST_DAY, LAST_DAY, fraction
from ev_marl.scenario.yaml_text import MOST_VALUES
from ev_marl.support.values import LEAST, MOST

INTRODUCTION = """# Scenario files

<!-- Generated from ev_marl/scenario/schema/; `make docs` writes it anew. -->

A scenario is one YAML file: what is built at a site, what happens there, and what counts. `ev-marl check FILE`
reports all errors of a file at once; `ev-marl describe FILE` shows the site as a tree.

This is the shipped scenario `tiny`:

```yaml
{example}
```

## How to read and write it

- **Quantities** are numbers in the unit that the tables name, or text with a unit: `22` and `22 kW` are the same power,
  `0.25` and `15 min` the same time. Powers: kW, W, MW. Energies: kWh, Wh, MWh. Times: h, min, s, d. Shares: `0.9` or
  `90 %`. Prices: `0.25 EUR/kWh` or `85 EUR/MWh`, in the scenario's `currency`.
- **Charging and import are positive**, discharging and export negative.
- **Paths** are relative to the file that contains them; those in the options of a plug-in, and in `policies`, are
  relative to the current folder.
- **Unknown keys are errors**, so misspelt keys are never ignored.
- **`module:Class`** stands for a class of your own, wherever a table allows it: `my_package.coordinators:Fair`. Its
  code runs only if you allow it with `--trust`.
- **Variants**: `extends: workplace` (the name of a shipped scenario, or a path) takes over another file. Keys written
  here replace those of the other one, mappings are merged, lists are replaced as a whole, and `null` removes a key:

  ```yaml
  extends: workplace
  name: workplace-small
  site: {{import_limit: 150 kW, export_limit: null}}
  prices: {{constant: 0.30 EUR/kWh}}
  ```

- **Numbers** are 0, or of a magnitude from {least:g} to {most:g} in the unit that the tables name; anything else is a
  mistake. Days are from {first_day} to {last_day}.
- **Sizes** are checked before anything is built: at most {ports:,} ports, {groups:,} groups and {deepest} of
  them below each other, {steps:,} steps, {cells:,} steps times groups, {sessions:,} vehicles in an episode; in a file
  at most {values:,} values, aliases and merged keys counted each time that they occur.
- **Editors** complete keys and mark errors, with the first line
  `# yaml-language-server: $schema=scenario.schema.json` and the schema beside the file (`ev-marl schema`).

"""

_PLAIN: dict[Any, str] = {str: "text", float: "number", int: "whole number", bool: "`true` or `false`"}


def scenario_reference() -> str:
    """The reference of scenario files as Markdown."""
    introduction = INTRODUCTION.format(
        example=example(shipped_scenarios()["tiny"]),
        least=LEAST,
        most=MOST,
        first_day=FIRST_DAY,
        last_day=LAST_DAY,
        ports=MOST_PORTS,
        groups=MOST_GROUPS,
        deepest=DEEPEST_SITE,
        steps=MOST_STEPS,
        cells=MOST_CELLS,
        sessions=MOST_SESSIONS,
        values=MOST_VALUES,
    )
    return introduction + sections(Scenario, "Scenario")


def sections(root: type[BaseModel], what: str) -> str:
    """A section for each model of a file, with a list of them above.

    Parameters
    ----------
    root : type
        Model of the whole file.
    what : str
        What such a file is, as its key `extends` says it.
    """
    models = list(_reachable(root))
    contents = "".join(f"- {_link(model)}: {_first_sentence(model)}\n" for model in models)
    parts = "\n".join(_section(model, what if model is root else None) for model in models)
    return f"## Contents\n\n{contents}\n{parts}"


def example(path: Path) -> str:
    """The YAML of a file without the comments above it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def _reachable(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The root and every model below it, in the order of the file."""
    seen: list[type[BaseModel]] = []
    waiting = [root]
    while waiting:
        model = waiting.pop(0)
        if model in seen:
            continue
        seen.append(model)
        yield model
        below = [other for field in model.model_fields.values() for other in _models(field.annotation)]
        waiting = below + waiting


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _section(model: type[BaseModel], whole: str | None) -> str:
    rows = "".join(_row(key, field) for key, field in model.model_fields.items())
    extends = ""
    if whole is not None:
        extends = f"| `extends` | text | | {whole} that this one is a variant of: a shipped one's name, or a path. |\n"
    head = "| key | allowed | default | meaning |\n|---|---|---|---|\n"
    return f"## {_title(model)}\n\n{_prose(model.__doc__)}\n\n{head}{extends}{rows}"


def _row(key: str, field: FieldInfo) -> str:
    allowed = _allowed(field.annotation, field.metadata)
    default = "**required**" if field.is_required() else _default(field.default)
    return f"| `{key}` | {_cell(allowed)} | {_cell(default)} | {_cell(_prose(field.description))} |\n"


def _allowed(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """What a key may hold, in words."""
    metadata = [inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])]
    quantity = next((item for item in metadata if isinstance(item, WithJsonSchema)), None)
    if quantity is not None:
        return _quantity(quantity.json_schema or {}, metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _link(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _allowed(arguments[0], [*annotation.__metadata__, *metadata])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments).replace("` or ", "`, ", len(arguments) - 2)
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(_allowed(part) for part in arguments if part is not type(None))
    if origin is tuple and Ellipsis not in arguments:
        return f"[{'; '.join(_allowed(part) for part in arguments)}]"
    if origin in (list, tuple):
        least, most = (next((getattr(m, key) for m in metadata if hasattr(m, key)), None) for key in _LENGTHS)
        count = f" of {least}" if least is not None and least == most else ""
        entry = _allowed(arguments[0])
        return f"list of {entry}" if entry.startswith("[") else f"list{count}, each: {entry}"
    if origin is dict:
        return "mapping"
    pattern = next((item.pattern for item in metadata if getattr(item, "pattern", None)), None)
    if pattern is not None:
        return PATTERNS.get(pattern, f"text like `{pattern}`")
    plain = _PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))
    bounds = _bounds(metadata)
    return f"{plain}, {bounds}" if bounds else plain


_LENGTHS = ("min_length", "max_length")
_WORDS = (("ge", "at least {:g}"), ("gt", "above {:g}"), ("le", "at most {:g}"), ("lt", "below {:g}"))


def _bounds(metadata: Iterable[Any]) -> str:
    found = {key: getattr(item, key) for item in metadata for key, _ in _WORDS if getattr(item, key, None) is not None}
    return " and ".join(words.format(found[key]) for key, words in _WORDS if key in found)


def _quantity(schema: dict[str, Any], metadata: Iterable[Any]) -> str:
    unit = schema["x-unit"]
    if unit == fraction.documented:  # says its bounds itself
        metadata = [item for item in metadata if getattr(item, "ge", None) != 0 and getattr(item, "le", None) != 1]
    text, bounds = f"{unit}, such as `{schema['examples'][0]}`", _bounds(metadata)
    return f"{text}, {bounds}" if bounds else text


def _default(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        changed = value.model_dump(exclude_unset=True)
        inside = ", ".join(f"{key}: {entry}" for key, entry in changed.items())
        return f"`{{{inside}}}`" if inside else "its defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(str(entry) for entry in value)}]`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if value not in ("", {}) else ""


def _title(model: type[BaseModel]) -> str:
    """Class name as words: PowerByHour is "Power by hour"."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in model.__name__)
    return words.strip().capitalize()


def _link(model: type[BaseModel]) -> str:
    title = _title(model)
    return f"[{title}](#{title.lower().replace(' ', '-')})"


def _first_sentence(model: type[BaseModel]) -> str:
    text = _prose(model.__doc__)
    return text.partition(". ")[0].removesuffix(".") + "."


def _prose(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
