"""Plug-ins by name: what `@register("name")`, an entry point, or `module:Class` in a YAML file refers to.

One `Registry` per kind of plug-in (coordinators, objective terms, observation blocks, policies). A name is looked up
among the registered ones, then among the installed entry points of the kind's group, then as `module:Class`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from ev_marl.support.errors import OptionError, UnknownNameError

T = TypeVar("T")

_registered: dict[str, set[str]] = {}  # names in every registry, by entry-point group


MOST_COMPARED = 1000  # words; more take too long to compare, and are more than a person remembers


def did_you_mean(word: str, known: list[str]) -> str:
    """` Did you mean 'x'?` for the nearest known word, or an empty string."""
    close = difflib.get_close_matches(word[:100], known[:MOST_COMPARED], n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def known_names(group: str) -> list[str]:
    """Names of one kind of plug-in, registered by now or announced as entry points of `group`, sorted.

    For those who check names but must not import the rooms that register the built-in ones.
    """
    return sorted({*_registered.get(group, ()), *(point.name for point in entry_points(group=group))})


class Registry(Generic[T]):
    """Named factories of one kind.

    Parameters
    ----------
    kind : str
        What the entries are, in the singular, for messages ("coordinator").
    group : str
        Entry-point group that other packages may fill ("ev_marl.coordinators").
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that makes a class or function available as `name`; a taken name is an error."""

        def add(entry: T) -> T:
            if name in self._entries and self._entries[name] is not entry:
                raise ValueError(f"{self.kind} '{name}' is registered already")
            self._entries[name] = entry
            _registered.setdefault(self.group, set()).add(name)
            return entry

        return add

    def names(self) -> list[str]:
        """Every name that `get` knows, registered and from entry points, sorted."""
        return sorted({*self._entries, *(point.name for point in entry_points(group=self.group))})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def get(self, name: str) -> T:
        """The entry called `name`, or the object at `module:Class`.

        Raises
        ------
        UnknownNameError
            If there is none; the message lists the known names.
        """
        if name in self._entries:
            return self._entries[name]
        for point in entry_points(group=self.group):
            if point.name == name:
                loaded: T = point.load()
                return loaded
        module, colon, attribute = name.partition(":")
        if colon:
            try:
                found: T = getattr(importlib.import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise UnknownNameError(f"{self.kind} '{name}' cannot be imported: {error}") from error
            return found
        known = self.names()
        raise UnknownNameError(
            f"no {self.kind} is called '{name}'.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}; or write module:Class."
        )


def construct(what: str, factory: Callable[..., T], options: Mapping[str, Any]) -> T:
    """Call `factory` with keyword options from a file.

    Parameters
    ----------
    what : str
        Kind and name of the plug-in, for messages ("coordinator 'nearest'").
    factory : callable
        Class or function that the registry gave.
    options : mapping
        Keyword arguments.

    Raises
    ------
    OptionError
        If an option does not exist or a needed one is missing; the message lists what exists.
    """
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        known = [name for name in inspect.signature(factory).parameters if name != "self"]
        guess = next((did_you_mean(name, known) for name in options if name not in known), "")
        exist = f"Options: {', '.join(known)}." if known else "It takes no options."
        raise OptionError(f"{what}: {error}.{guess} {exist}") from None
    return factory(**options)
