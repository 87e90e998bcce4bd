"""YAML with a memory: the data of a file, where each key stands, and what it inherits through `extends:`.

Comes in: a path. Goes out: a `Document`, plain data and the file and line of every key path in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ev_marl.scenario.problems import KeyPath, Places, Problem, ScenarioError, key_text

ALTERNATIVES = (
    "model",
    "constant",
    "by_hour",
    "csv",
    "profile",
    "levels",
    "bid",
    "pandapower",
    "simbench",
    "file",
    "sun",
    "power_factor",
    "q_of_v",
)  # a mapping has at most one of these keys
FILE_KEYS = ("csv", "file")  # whose text is a path
PLUG_IN_KEYS = ("options", "extra")  # below these stands what a plug-in takes; this program does not look inside


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as people read it: only true and false are Booleans (NO is Norway), 12:30 is no number, dates are text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
    ("merge", r"^<<$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


@dataclass
class Document:
    """Data of a scenario and the places of its keys."""

    data: dict[str, Any]
    places: Places = field(default_factory=Places)

    def place(self, path: KeyPath) -> tuple[str, int]:
        """File and line of the nearest key at or above `path`."""
        return self.places.of(path)

    def value(self, path: KeyPath, default: Any) -> Any:
        """What the file says at `path`, before units are read; `default` where it says nothing."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return default
        return value

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem at a key."""
        return self.places.problem(path, message)


def read_document(path: Path, find: Callable[[str], Path | None], what: str = "scenario") -> Document:
    """Read a YAML file and everything it extends.

    Parameters
    ----------
    path : Path
        A YAML file.
    find : callable
        Path of a shipped file by name, or None; `shipped_scenarios().get` for scenarios.
    what : str
        What such a file is called, for messages.

    Raises
    ------
    ScenarioError
        If a file is missing, is no YAML mapping, has a key twice, or extends itself.
    """
    return _read(path, find, what, ())


def read_setting(text: str, source: str) -> Document:
    """`ppo.epochs=2` as a document of its own, to be merged into a file's.

    Parameters
    ----------
    text : str
        Keys with dots between, `=`, and the value as YAML.
    source : str
        Where it stands, for messages, such as "--set".

    Raises
    ------
    ScenarioError
        If it is not like that.
    """
    key, equals, written = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ScenarioError([Problem(source, 0, "", f"found '{text}'; expected KEY=VALUE, such as ppo.epochs=2")])
    try:
        value = yaml.load(written, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ScenarioError([Problem(source, 0, key, f"found '{written}', which is not YAML")]) from error
    for part in reversed(path):
        value = {part: value}
    return Document(value, Places({path[: length + 1]: (source, 0) for length in range(len(path))}))


def _read(path: Path, find: Callable[[str], Path | None], what: str, chain: tuple[Path, ...]) -> Document:
    own = _parse(path)
    base = own.data.pop("extends", None)
    if base is None:
        return own
    place = own.places[("extends",)]
    if not isinstance(base, str):
        raise ScenarioError([Problem(*place, "extends", f"found {base!r}; expected a {what}'s name or a path")])
    parent = find(base) or path.parent / base
    chain = (*chain, path.resolve())
    if parent.resolve() in chain:
        loop = " -> ".join(str(step.name) for step in (*chain, parent))
        raise ScenarioError([Problem(*place, "extends", f"the {what}s extend each other in a cycle: {loop}")])
    if not parent.is_file():
        message = f"found '{base}', which is neither a shipped {what} nor a file beside {path.name}"
        raise ScenarioError([Problem(*place, "extends", message)])
    return merge(_read(parent, find, what, chain), own)


def _parse(path: Path) -> Document:
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ScenarioError([Problem(name, 0, "", "there is no such file")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError([Problem(name, 0, "", f"cannot be read: {error}")]) from error
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        context = f" {error.context}" if error.context else ""
        raise ScenarioError([Problem(name, line, "", f"this is not YAML: {error.problem}{context}")]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ScenarioError([Problem(name, line, "", f"this is not YAML: {error.reason}")]) from error
    except RecursionError:
        raise ScenarioError([Problem(name, 0, "", "this is nested too deeply")]) from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise ScenarioError([Problem(name, 1, "", "expected a mapping of keys, such as `name: workplace`")])
    document = Document(data, Places({(): (name, 1)}))
    twice: list[Problem] = []
    try:
        _locate(node, (), name, document.places, twice)
    except RecursionError:
        raise ScenarioError([Problem(name, 1, "", "an anchor stands inside itself")]) from None
    if twice:
        raise ScenarioError(twice)
    folder = path.parent.resolve()
    for mapping, key in _files(document.data):
        mapping[key] = str(folder / mapping[key])
    return document


def _locate(node: yaml.Node, path: KeyPath, file: str, places: Places, twice: list[Problem]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, key.value)
            line = key.start_mark.line + 1
            if below in places:
                first = places[below][1]
                twice.append(Problem(file, line, key_text(below), f"this key stands here twice, first in line {first}"))
            places[below] = (file, line)
            _locate(value, below, file, places, twice)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            places[(*path, i)] = (file, value.start_mark.line + 1)
            _locate(value, (*path, i), file, places, twice)


def named_files(path: Path) -> list[str]:
    """Files that a scenario file names, as it writes them; paths are relative to the file that names them."""
    return [mapping[key] for mapping, key in _files(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))]


def _files(data: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every mapping that names a file, and the key."""
    if isinstance(data, dict):
        yield from ((data, key) for key in FILE_KEYS if isinstance(data.get(key), str))
        for key, value in data.items():
            if key not in PLUG_IN_KEYS:
                yield from _files(value)
    elif isinstance(data, list):
        for value in data:
            yield from _files(value)


def _replaces(below: Mapping[str, Any], above: Mapping[str, Any], path: KeyPath) -> bool:
    """Whether a variant's mapping takes the place of the inherited one, instead of changing some of its keys.

    It does where it chooses another alternative, such as constant prices for modelled ones, and where it names another
    coordinator, whose options are not the inherited one's.
    """
    chosen = {key for key in ALTERNATIVES if key in above}
    other = {key for key in ALTERNATIVES if key in below}
    if path == ("coordinator",):
        return "name" in above and above["name"] != below.get("name")
    return bool(chosen and other and chosen != other)


def merge(base: Document, own: Document) -> Document:
    """A document with the keys of another one over its own: mappings are merged, anything else is replaced, and null
    takes a key back."""
    places = Places(base.places)

    def deep(below: dict[str, Any], above: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
        merged = dict(below)
        for key, value in above.items():
            here = (*path, key)
            if value is None and not set(path) & set(PLUG_IN_KEYS):
                merged.pop(key, None)  # a variant takes an inherited key back: the default holds again
            elif (
                isinstance(value, dict)
                and isinstance(merged.get(key), dict)
                and not _replaces(merged[key], value, here)
            ):
                merged[key] = deep(merged[key], value, here)
            else:
                for old in [old for old in places if old[: len(here)] == here]:
                    del places[old]
                merged[key] = value
        return merged

    data = deep(base.data, own.data, ())
    places.update(own.places)
    places.pop(("extends",), None)
    return Document(data, places)
