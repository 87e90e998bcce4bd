"""How every kernel of the package is compiled, and the one line that says so on a first run.

A Python function comes in, a cached machine-code function goes out. In one place, so that all kernels share the same
options and the package knows whether they have been compiled before.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

_KERNELS: list[Any] = []  # every compiled function of the package that has been imported so far
_announced = False


def kernel(function: F) -> F:
    """Compile `function` with numba on its first call and keep the result on disk.

    The options are the same everywhere: cached; without the interpreter lock; division by zero as in NumPy; no
    `fastmath`, since limits may be infinite and results must not depend on the machine's rounding. A kernel must not
    call a kernel of another file nor read module constants: the cache would not notice that they changed.

    Parameters
    ----------
    function : callable
        A module-level function in numba's subset of Python.

    Returns
    -------
    callable
        The compiled function; the plain one where the user has set `NUMBA_DISABLE_JIT`.
    """
    compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    _KERNELS.append(compiled)
    return compiled


def uncompiled_kernels() -> int:
    """How many of the imported kernels have no compiled code on disk that is younger than their source."""
    if numba.config.DISABLE_JIT:
        return 0
    return sum(not _is_cached(compiled) for compiled in _KERNELS)


def announce_compilation() -> None:
    """Say on stderr, at most once per process, that a first run compiles; silent where nothing will be compiled."""
    global _announced
    if _announced or not uncompiled_kernels():
        return
    _announced = True
    print("ev_marl: compiling its kernels, once per installation; about half a minute.", file=sys.stderr)


def _is_cached(compiled: Any) -> bool:
    function = compiled.py_func
    base = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}-{function.__code__.co_firstlineno}."
    pattern = os.path.join(glob.escape(compiled.stats.cache_path), glob.escape(base) + "*.nbi")
    source_time = os.path.getmtime(function.__code__.co_filename)
    return any(os.path.getmtime(index) >= source_time for index in glob.glob(pattern))
