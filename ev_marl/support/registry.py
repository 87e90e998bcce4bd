"""Plug-ins by name: `@register("name")`, entry points, and `module:Class` in a YAML file.

There is one `Registry` for each kind of plug-in (coordinators, objective terms, observation blocks, policies). A name
is looked up among the registered ones, then among the installed entry points of the kind's group, then as
`module:Class`, which is imported only if the user allowed it.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Annotated, Any, Generic, TypeVar, cast, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from ev_marl.support.errors import EvMarlError, OptionError, TrustError, UnknownNameError
from ev_marl.support.values import number, shown, switch, whole

T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_OWN_CODE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*\Z")
MOST_COMPARED = 1000  # words; more take too long to compare


def did_you_mean(word: str, known: list[str], alike: float = 0.6) -> str:
    """` Did you mean 'x'?` for the nearest known word, or an empty string; `alike` from 0, any word, to 1, the same."""
    close = difflib.get_close_matches(word[:100], known[:MOST_COMPARED], n=1, cutoff=alike)
    return f" Did you mean '{close[0]}'?" if close else ""


class Registry(Generic[T]):
    """Named factories of one kind of thing.

    Parameters
    ----------
    kind : str
        Name of the kind, in the singular, for messages ("coordinator").
    group : str
        Entry-point group that other packages may fill ("ev_marl.coordinators").
    protocol : type, optional
        Attributes and methods that each plug-in must have.
    """

    def __init__(self, kind: str, group: str, protocol: type | None = None) -> None:
        self.kind = kind
        self.group = group
        self._members = () if protocol is None else _members(protocol)
        self._entries: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Decorator that makes a class or function available as `name`; a taken name is an error."""

        def add(entry: F) -> F:
            if name in self._entries and self._entries[name] is not entry:
                raise ValueError(f"{self.kind} '{name}' is registered already")
            self._entries[name] = entry
            return entry

        return add

    def names(self) -> list[str]:
        """Every name that `get` knows, registered and from entry points, sorted."""
        return sorted({*self._entries, *(point.name for point in entry_points(group=self.group))})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def get(self, name: str, *, trust: bool = False) -> Callable[..., T]:
        """The factory called `name`, or the class at `module:Class`.

        Parameters
        ----------
        name : str
            A registered name, that of an entry point, or module:Class.
        trust : bool
            Whether module:Class may be imported, which runs its code; a file alone cannot allow this.

        Raises
        ------
        UnknownNameError
            If there is none; the message lists the known names.
        TrustError
            If it is custom code, and `trust` is not given.
        """
        if name in self._entries:
            return self._entries[name]
        for point in entry_points(group=self.group):
            if point.name == name:
                return cast(Callable[..., T], _loaded(f"{self.kind} '{name}'", point.load))
        if ":" in name:
            return cast(Callable[..., T], own_class(f"{self.kind} {shown(name)}", name, trust=trust))
        known = self.names()
        raise UnknownNameError(
            f"no {self.kind} is called {shown(name)}.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}; or write module:Class."
        )

    def make(self, name: str, *given: Any, options: Mapping[str, Any] | None = None, trust: bool = False) -> T:
        """Make the plug-in called `name`.

        Parameters
        ----------
        name : str
            See `get`.
        *given : object
            Positional arguments.
        options : mapping, optional
            Keyword arguments, as in a file.
        trust : bool
            See `get`; also of custom code that the options name, at any depth: a plug-in may make others from them.

        Raises
        ------
        UnknownNameError, TrustError
            As `get` does.
        OptionError
            If it does not have these options, or if the result is not of this kind.
        """
        what = f"{self.kind} {shown(name)}"
        factory = self.get(name, trust=trust)
        nested = None if trust else next(own_code_in(options), None)
        if nested is not None:
            raise TrustError(_not_trusted(f"{what}: '{nested}' in its options"))
        made = construct(what, factory, options or {}, *given)
        lacking = [member for member in self._members if not hasattr(made, member)]
        if lacking:
            raise OptionError(f"{what} is not a valid {self.kind}: {type(made).__name__} lacks {', '.join(lacking)}")
        return made


def _members(protocol: type) -> tuple[str, ...]:
    """Attributes and methods of a protocol."""
    named = {*getattr(protocol, "__annotations__", {}), *vars(protocol)}
    return tuple(sorted(name for name in named if not name.startswith("_")))


def own_class(what: str, name: str, *, trust: bool) -> type:
    """The class at `module:Class`: the only place where custom code is imported.

    The current folder is searched last, and only from now on, so that a file there does not replace an installed
    module.

    Parameters
    ----------
    what : str
        Kind and name, for messages.
    name : str
        module:Class.
    trust : bool
        Whether the user allowed to run it.

    Raises
    ------
    UnknownNameError
        If it is not written like that, cannot be imported, or is no class.
    TrustError
        If the user did not allow it.
    """
    if not is_own_code(name):
        raise UnknownNameError(f"{what}: write custom code as module:Class, such as my_module:MyClass")
    if not trust:
        raise TrustError(_not_trusted(what))
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    module, _, attribute = name.partition(":")
    searched = f" (searched: installed packages, then {here})"
    found = _loaded(what, lambda: getattr(importlib.import_module(module), attribute), searched)
    if not isinstance(found, type):
        raise UnknownNameError(f"{what} is not a class, but {shown(found)}")
    return found


def _not_trusted(what: str) -> str:
    return f"{what} is custom code; if you trust it, allow it with --trust (command line) or trust=True (Python)"


def is_own_code(name: str) -> bool:
    """Whether a name is written as module:Class."""
    return _OWN_CODE.match(name) is not None


def own_code_in(value: object) -> Iterator[str]:
    """Every module:Class in plain data or a model: the value itself, or keys and values in it, at any depth."""
    if isinstance(value, str | bytes):
        text = value if isinstance(value, str) else value.decode(errors="replace")
        if is_own_code(text):
            yield text
    elif isinstance(value, BaseModel | Mapping):
        for key, inner in dict(value).items():
            yield from own_code_in(key)
            yield from own_code_in(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from own_code_in(inner)


def _loaded(what: str, load: Callable[[], Any], searched: str = "") -> Any:
    try:
        return load()
    except Exception as error:
        raise UnknownNameError(f"{what} cannot be imported: {type(error).__name__}: {error}{searched}") from error


def construct(what: str, factory: Callable[..., R], options: Mapping[str, Any], *given: Any) -> R:
    """Call `factory` with keyword options from a file.

    Parameters
    ----------
    what : str
        Kind and name of the plug-in, for messages ("coordinator 'nearest'").
    factory : callable
        Class or function that the registry gave.
    options : mapping
        Keyword arguments.
    *given : object
        Positional arguments before them.

    Raises
    ------
    OptionError
        If an option does not exist, is missing, or has a value that is not allowed; the message lists all options.
    """
    signature = (_signature if isinstance(factory, Hashable) else _signature.__wrapped__)(factory)
    try:
        bound = signature.bind(*given, **options)
    except TypeError as error:
        known = [name for name in signature.parameters if name != "self"][len(given) :]
        guess = next((did_you_mean(name, known) for name in options if name not in known), "")
        exist = f"Options: {', '.join(known)}." if known else "It takes no options."
        raise OptionError(f"{what}: {error}.{guess} {exist}") from None
    declared = {name: parameter.annotation for name, parameter in bound.signature.parameters.items()}
    options = {name: _read(f"{what}: {name}", declared.get(name), value) for name, value in options.items()}
    try:
        return factory(*given, **options)
    except EvMarlError:
        raise
    except Exception as error:
        said = str(error)
        said = said if said.startswith(what) else f"{what}: {said}"
        raise OptionError(said if isinstance(error, ValueError) else f"{said} ({type(error).__name__})") from error


_PLAIN: dict[str, Callable[[Any], object]] = {"float": number, "int": whole, "bool": switch}


@lru_cache(maxsize=256)
def _signature(factory: Callable[..., Any]) -> inspect.Signature:
    """The options of a factory, with their types where these can be found out; that takes a third of a millisecond."""
    try:
        return inspect.signature(factory, eval_str=True)
    except (AttributeError, NameError, TypeError):  # a type is imported for type checkers only
        return inspect.signature(factory)


def _read(what: str, declared: Any, value: Any) -> Any:
    """An option as a file gives it, read as the plug-in says.

    Numbers and Booleans are read as they are everywhere. A type with a reader of its own, such as the quantities of
    `ev_marl.scenario.units`, is the schema of its option: `price: NonNegativePrice` takes 0.25 and "0.25 EUR/kWh".
    """
    try:
        if get_origin(declared) is Annotated:
            return TypeAdapter(declared).validate_python(value)
        kind, _, rest = getattr(declared, "__name__", str(declared)).partition(" | ")
        if kind in _PLAIN and not (rest == "None" and value is None) and rest in ("", "None"):
            _PLAIN[kind](value)
    except ValidationError as error:
        first = error.errors()[0]
        raise OptionError(f"{what}: {first.get('ctx', {}).get('error', first['msg'])}") from error
    except ValueError as error:
        raise OptionError(f"{what}: {error}") from error
    return value
