"""How every kernel of the package is compiled, and the one line that says so when it happens.

A Python function comes in, a cached machine-code function goes out. In one place, so that all kernels share the same
options, and so that a first run, which is slow, says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core import event

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` with numba on its first call and keep the result on disk.

    The options are the same everywhere: cached; without the interpreter lock; division by zero as in NumPy; no
    `fastmath`, since limits may be infinite and the order of a sum is part of the result. A kernel must neither call
    a kernel of another file nor read module constants: the cache would not notice that they changed.

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
    compiled: F = njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled


class _SayOnce(event.Listener):
    """Prints one line when the first kernel of the package is compiled; kernels read from the cache raise no event."""

    def __init__(self) -> None:
        self.installed = False
        self.said = False

    def on_start(self, event: event.Event) -> None:
        module = event.data["dispatcher"].py_func.__module__ or ""
        if not self.said and module.partition(".")[0] == __name__.partition(".")[0]:
            self.said = True
            print("ev_marl: compiling kernels on their first use: some seconds, kept for next time.", file=sys.stderr)

    def on_end(self, event: event.Event) -> None:
        """Nothing to say."""


_LISTENER = _SayOnce()


def announce_compilation() -> None:
    """From now on, say on stderr that kernels are compiled: one line per process, none where the cache has them all.

    May be called any number of times; each simulator does.
    """
    if not _LISTENER.installed:
        event.register("numba:compile", _LISTENER)  # type: ignore[no-untyped-call]
        _LISTENER.installed = True
