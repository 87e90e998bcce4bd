"""YAML text as plain data, with the line of every key: the one reading of scalars and documents.

Only what the YAML tags of null, Booleans, numbers and text mean is understood; anything else is a problem with its
line. How much a text may hold is bounded before it is built, aliases and merged keys counted each time that they occur.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import yaml

from ev_marl.scenario.problems import KeyPath, Places, Problem, ScenarioError, key_text
from ev_marl.support.values import shown

MOST_BYTES = 10_000_000
"""Largest YAML file."""
MOST_VALUES = 500_000
"""Most values in a file, aliases and merged keys counted each time that they occur."""
DEEPEST = 150
"""Most mappings and lists around each other: the deepest site, whose groups are a mapping and a list each, fits."""
MOST_DIGITS = 18
"""Longest whole number: it fits into 64 bits."""

_TAG = "tag:yaml.org,2002:"
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as people read it: only true and false are Booleans (NO is Norway), 12:30 is no number, dates are text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


_WRITTEN = {
    "null": re.compile(r"^(?:~|null|Null|NULL|)\Z"),
    "bool": re.compile(r"^(?:true|True|TRUE|false|False|FALSE)\Z"),
    "int": re.compile(r"^[-+]?(?:0|[1-9][0-9]*)\Z"),
    "float": re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
    "merge": re.compile(r"^<<\Z"),
}
_FIRST = {"null": ["~", "n", "N", ""], "bool": "tTfF", "int": "-+0123456789", "float": "-+.0123456789", "merge": "<"}
for _name, _pattern in _WRITTEN.items():
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, list(_FIRST[_name]))

_READ: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": lambda text: float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text.lower())),
}


def read_yaml(text: str, file: str, line: int | None = None) -> tuple[Any, Places]:
    """What a YAML text says, and where.

    Parameters
    ----------
    text : str
        One YAML document.
    file : str
        Where it stands, for messages.
    line : int, optional
        The line of everything in it; left out, its own lines.

    Returns
    -------
    data : object
        Plain data: mappings, lists, text, numbers, Booleans, None.
    places : Places
        File and line of every key and list entry.

    Raises
    ------
    ScenarioError
        If it is not YAML, holds too much, has a key twice, or a value that is none of the above; with lines.
    """
    try:
        _check_amount(text, file)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        at, reason = _fault(error, text)
        problem = Problem(file, at if line is None else line, "", f"this is not YAML: {reason}")
        raise ScenarioError([problem]) from error
    builder = _Builder(file, line)
    if node is None:
        return None, builder.places
    _Extent(file).of(node)
    data = builder.value(node, ())
    if builder.problems:
        raise ScenarioError(builder.problems)
    return data, builder.places


def _fault(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """Line and reason of what the YAML library found."""
    if isinstance(error, yaml.MarkedYAMLError):
        context = f" {error.context}" if error.context else ""
        return error.problem_mark.line + 1 if error.problem_mark else 0, f"{error.problem}{context}"
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1, error.reason
    return 0, str(error)


def _check_amount(text: str, file: str) -> None:
    """Refuse what is too large or too deep to be put together, from the stream of what stands in the text."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _too_deep(file, _line(event))
        if count > 2 * MOST_VALUES:  # a key and its value are two
            raise _too_much(file, _line(event))


def _line(part: yaml.Event | yaml.Node) -> int:
    return part.start_mark.line + 1 if part.start_mark else 0


def _too_deep(file: str, line: int) -> ScenarioError:
    return ScenarioError([Problem(file, line, "", f"this is nested too deeply; at most {DEEPEST} levels are read")])


def _too_much(file: str, line: int) -> ScenarioError:
    message = f"there are more than {MOST_VALUES:,} values in this file, each alias counted each time that it occurs"
    return ScenarioError([Problem(file, line, "", message)])


class _Extent:
    """How many values a node has with its aliases written out, and how deep they lie; each node is counted once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._known: dict[int, tuple[int, int] | None] = {}  # by identity; None while a node is being counted

    def of(self, node: yaml.Node) -> tuple[int, int]:
        """Values and levels; refuses a node that has too many."""
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        if id(node) not in self._known:
            self._known[id(node)] = None
            parts = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
            below = [self.of(part) for part in parts]
            amount, levels = 1 + sum(count for count, _ in below), 1 + max((deep for _, deep in below), default=0)
            if amount > 2 * MOST_VALUES:  # a key and its value are two
                raise _too_much(self._file, _line(node))
            if levels > DEEPEST:
                raise _too_deep(self._file, _line(node))
            self._known[id(node)] = amount, levels
        found = self._known[id(node)]
        if found is None:
            raise ScenarioError([Problem(self._file, _line(node), "", "an anchor stands inside itself")])
        return found


class _Builder:
    """Puts data together from the nodes of a text, and notes where each part stands."""

    def __init__(self, file: str, line: int | None) -> None:
        self.places = Places()
        self.problems: list[Problem] = []
        self._file = file
        self._line = line

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """What a node says."""
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in (_TAG + "map", _TAG + "seq"):
            self._refuse(node, path)
        return self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)

    def _list(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        values = []
        for i, entry in enumerate(node.value):
            here = (*path, i)
            self._note(entry, here)
            values.append(self.value(entry, here))
        return values

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Any, Any]:
        data: dict[Any, Any] = {}
        for key, merged in node.value:
            if key.tag == _TAG + "merge":
                for other in self._merged(merged, path):
                    data = {**other, **data}  # of several, the first that has a key gives it
        first: dict[Any, int] = {}
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, path, "a key must be text; this one is a mapping or a list")
                continue
            if key.tag != _TAG + "str":
                self._problem(key, path, f"found the key {shown(key.value)}, which is not text; write it in quotes")
                continue
            name, below = self._scalar(key, path), (*path, key.value)
            if name in first:
                message = f"this key occurs twice, first in line {first[name]}"
                self._problem(key, below, message)
            first.setdefault(name, self._at(key))
            self._note(key, below)
            data[name] = self.value(value, below)
        return data

    def _merged(self, node: yaml.Node, path: KeyPath) -> Iterator[dict[Any, Any]]:
        """The mappings behind `<<:`."""
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode):
                yield self.value(source, path)
            else:
                self._problem(source, (*path, "<<"), "`<<` takes the keys of a mapping, or of a list of mappings")

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        text = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "merge"):
            control = _NOT_TEXT.search(text)
            if control is not None:
                self._problem(node, path, f"found {shown(text)}, with the control character {control[0]!r} in it")
            return text
        if kind not in _READ or not _WRITTEN[kind].match(text):
            self._refuse(node, path)
            return None
        if kind == "int" and len(text) > MOST_DIGITS:
            message = f"found {shown(text)}; a whole number has at most {MOST_DIGITS} digits"
            self._problem(node, path, message)
            return 0
        return _READ[kind](text)

    def _refuse(self, node: yaml.Node, path: KeyPath) -> None:
        tag = node.tag.replace(_TAG, "!!")
        found = f"{shown(node.value)}, written as {tag}" if isinstance(node, yaml.ScalarNode) else f"the tag {tag}"
        self._problem(node, path, f"found {found}, which is not understood; write it without a tag")

    def _note(self, node: yaml.Node, path: KeyPath) -> None:
        self.places[path] = (self._file, self._at(node))

    def _problem(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(self._file, self._at(node), key_text(path), message))

    def _at(self, node: yaml.Node) -> int:
        return _line(node) if self._line is None else self._line
