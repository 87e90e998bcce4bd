"""The data of a YAML file, the place of each key, and what the file inherits through `extends:`.

Comes in: a path. Goes out: a `Document`, plain data and the file and line of every key path in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ev_marl.scenario.problems import KeyPath, Places, Problem, ScenarioError
from ev_marl.scenario.yaml_text import MOST_BYTES, read_yaml
from ev_marl.support.files import FileError, is_file, read_text
from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import shown

ALTERNATIVES = (
    "model",
    "constant",
    "by_hour",
    "time_of_use",
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
FILE_KEYS = ("csv", "file", "tracks")  # whose text is a path
LONGEST_CHAIN = 20  # of files that extend each other
PLUG_IN_KEYS = ("options", "extra")  # below these are the options of plug-ins, which are not read here


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


def find_file(name_or_path: str | Path, shipped: Mapping[str, Path], what: str) -> Path:
    """Path of a shipped file by its name, or of a YAML file.

    Raises
    ------
    ScenarioError
        If there is no such file; the message lists what is shipped.
    """
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if is_file(path):
        return path
    if path.suffix in (".yaml", ".yml"):
        if path.stem in shipped:
            message = f"there is no such file; write {path.stem} for the shipped {what} of this name"
            raise ScenarioError([Problem(str(path), 0, "", message)])
        return path
    file = Path(f"{path}.yaml")
    near = f" Did you mean the file '{file}'?" if is_file(file) else did_you_mean(str(name_or_path), list(shipped))
    known = f"Shipped: {', '.join(shipped)}; or" if shipped else "Please"
    message = f"no {what} is called {shown(str(name_or_path))}.{near} {known} give a YAML file"
    raise ScenarioError([Problem("", 0, "", message)])


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
        If it does not have this form.
    """
    key, equals, written = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ScenarioError([Problem(source, 0, "", f"found '{text}'; expected KEY=VALUE, such as ppo.epochs=2")])
    try:
        value, _ = read_yaml(written, source, line=0)
    except ScenarioError as error:
        why = [Problem(source, 0, key, f"found {shown(written)}; {one.message}") for one in error.problems]
        raise ScenarioError(why) from error
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
        raise ScenarioError([Problem(*place, "extends", f"found {shown(base)}; expected a {what}'s name or a path")])
    parent = find(base) or path.parent / base
    if not is_file(parent):
        message = f"found {shown(base)}, which is neither a shipped {what} nor a file beside {path.name}"
        raise ScenarioError([Problem(*place, "extends", message)])
    chain = (*chain, path.resolve())
    if parent.resolve() in chain:
        loop = " -> ".join(str(step.name) for step in (*chain, parent))
        raise ScenarioError([Problem(*place, "extends", f"the {what}s extend each other in a cycle: {loop}")])
    if len(chain) > LONGEST_CHAIN:
        message = f"more than {LONGEST_CHAIN} {what}s extend each other in a row"
        raise ScenarioError([Problem(*place, "extends", message)])
    return merge(_read(parent, find, what, chain), own)


def _parse(path: Path) -> Document:
    data, places = _read_file(path)
    name = str(path)
    if not isinstance(data, dict):
        raise ScenarioError([Problem(name, 1, "", "expected a mapping of keys, such as `name: workplace`")])
    document = Document(data, places)
    document.places[()] = (name, 1)
    folder = path.parent.resolve()
    for mapping, key in _files(document.data):
        mapping[key] = str(folder / mapping[key])
    return document


def _read_file(path: Path) -> tuple[Any, Places]:
    try:
        text = read_text(path, MOST_BYTES)
    except FileError as error:
        raise ScenarioError([Problem(str(path), error.line, "", str(error))]) from error
    return read_yaml(text, str(path))


def named_files(path: Path) -> list[str]:
    """Files that a scenario file names, as it writes them; paths are relative to the file that names them."""
    return [mapping[key] for mapping, key in _files(_read_file(path)[0])]


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
    removes a key."""
    replaced: set[KeyPath] = set()

    def deep(below: dict[str, Any], above: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
        merged = dict(below)
        for key, value in above.items():
            here = (*path, key)
            if value is None and not set(path) & set(PLUG_IN_KEYS):
                merged.pop(key, None)  # a variant removes an inherited key, so that its default applies
            elif (
                isinstance(value, dict)
                and isinstance(merged.get(key), dict)
                and not _replaces(merged[key], value, here)
            ):
                merged[key] = deep(merged[key], value, here)
            else:
                replaced.add(here)
                merged[key] = value
        return merged

    data = deep(base.data, own.data, ())
    places = Places(
        {
            path: place
            for path, place in base.places.items()
            if not any(path[: k + 1] in replaced for k in range(len(path)))
        }
    )
    places.update(own.places)
    places.pop(("extends",), None)
    return Document(data, places)
