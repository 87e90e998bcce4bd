"""The environment variables with which training gives the same numbers every time.

Python reads PYTHONHASHSEED, and numerical libraries read their number of threads, when they start: without these
variables, the process must be started again. Only the standard library is imported here.
"""

from __future__ import annotations

import os
import sys

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def missing_environment() -> dict[str, str]:
    """Environment variables that are missing, with their values.

    The order of sets in RLlib depends on hashes of text, and the order of sums over several threads on chance. One
    thread is also the fastest for small networks. A number of threads that is set already is not changed.
    """
    missing = {name: "1" for name in THREADS if name not in os.environ}
    if os.environ.get("PYTHONHASHSEED") in (None, "", "random"):
        missing["PYTHONHASHSEED"] = "0"
    return missing


def restart_reproducibly() -> None:
    """Start this command again with the variables that are missing; return if none is."""
    missing = missing_environment()
    if missing:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})
