"""Compilation of all kernels of the package, and one message when it happens.

A Python function comes in, a cached machine-code function goes out. It is done in one place, so that all kernels have
the same options, the cache notices every change, and a slow first run explains itself.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import caching, event
from numba.core.dispatcher import Dispatcher

F = TypeVar("F", bound=Callable[..., Any])
Number = TypeVar("Number", float, np.ndarray)  # in functions on arrays that are kernels on scalars, too

_FunctionCache: Any = caching.FunctionCache  # carries no types
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def kernel(function: F) -> F:
    """Compile `function` with numba on its first call and keep the result on disk.

    The options are the same everywhere: cached; without the interpreter lock; division by zero as in NumPy; no
    `fastmath`, since limits may be infinite and the order of a sum is part of the result. A kernel may call kernels of
    other files and read module constants: when any of them changes, the kernel is compiled again.

    Parameters
    ----------
    function : callable
        A module-level function in numba's subset of Python.

    Returns
    -------
    callable
        The compiled function; the plain one where `NUMBA_DISABLE_JIT` is set.
    """
    njit: Any = numba.njit  # whether it carries types depends on numba's version
    compiled: Any = njit(**_OPTIONS)(function)
    if compiled is not function:
        compiled._cache = _Cache(function)
    result: F = compiled
    return result


class _Cache(_FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, valid as long as the kernel and all that it uses are unchanged.

    Numba's own stamp covers only the file of the function, so it would not notice a change of a kernel in another file.
    """

    def load_overload(self, sig: object, target_context: object) -> object:
        """Look up a kernel just before it would be compiled: only then its module has all its names."""
        self._cache_file._source_stamp = source_digest(self._py_func)
        return super().load_overload(sig, target_context)


def source_digest(function: FunctionType) -> str:
    """A digest of all that a kernel is compiled from: its code, the kernels that it calls, constants that it reads.

    The names of their modules are included, because compiled code refers to them. The digest is that of the code which
    Python has loaded, not of the files, which may have changed since. Comments are not included.
    """
    digest = hashlib.sha256(repr(_OPTIONS).encode())
    seen: set[object] = {function}

    def add(name: str, value: object, names: tuple[str, ...]) -> None:
        """What `name` refers to in code that uses `names`; for names from outside the package, the name itself."""
        digest.update(name.encode())
        if isinstance(value, Dispatcher):
            if value.py_func not in seen:
                seen.add(value.py_func)
                add_function(value.py_func)
        elif isinstance(value, ModuleType):
            if value not in seen:
                seen.add(value)
                for inside in names:
                    if inside in vars(value):
                        add(inside, vars(value)[inside], names)
                seen.remove(value)
        elif isinstance(value, np.ndarray):
            digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
        elif isinstance(value, bool | int | float | complex | str | bytes | tuple | np.generic | np.dtype):
            digest.update(repr(value).encode())

    def add_function(reached: FunctionType) -> None:
        digest.update(repr((reached.__module__, reached.__defaults__, reached.__kwdefaults__)).encode())
        cells = zip(reached.__code__.co_freevars, reached.__closure__ or (), strict=True)
        known = reached.__globals__ | {name: cell.cell_contents for name, cell in cells}
        for code in _nested(reached.__code__):
            constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
            digest.update(code.co_code + repr((constants, code.co_varnames)).encode())
            for name in (*code.co_names, *code.co_freevars):
                add(name, known.get(name), code.co_names)

    add_function(function)
    return digest.hexdigest()


def _nested(code: CodeType) -> Iterator[CodeType]:
    """The code of a function and of the functions and comprehensions inside it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _nested(value)


class _SayOnce(event.Listener):
    """Prints one line when the first kernel of the package is compiled, not when kernels come from the cache."""

    def __init__(self) -> None:
        self.installed = False
        self.said = False

    def on_start(self, event: event.Event) -> None:
        module = event.data["dispatcher"].py_func.__module__ or ""
        if not self.said and module.partition(".")[0] == __name__.partition(".")[0]:
            self.said = True
            print("ev_marl: compiling kernels on their first use: some seconds, kept for next time.", file=sys.stderr)

    def on_end(self, event: event.Event) -> None:
        """No message at the end of compilation."""


_LISTENER = _SayOnce()


def announce_compilation() -> None:
    """Print to stderr when kernels are compiled: one line per process, none if all are in the cache.

    May be called any number of times; each simulator calls it.
    """
    if not _LISTENER.installed:
        event.register("numba:compile", _LISTENER)  # type: ignore[no-untyped-call]
        _LISTENER.installed = True
