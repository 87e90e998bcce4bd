"""The environment in which training gives the same numbers every time.

Python reads PYTHONHASHSEED and numerical libraries their number of threads when they start, so a process that lacks
them can only start anew. Nothing but the standard library is imported here.
"""

from __future__ import annotations

import os
import sys

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def missing_environment() -> dict[str, str]:
    """Variables that this process should have been started with, and was not.

    Sets and dictionaries of RLlib are ordered by hashes of text, and sums over several threads by chance. One thread
    also is the fastest for small networks. A number of threads that somebody chose is left alone.
    """
    missing = {name: "1" for name in THREADS if name not in os.environ}
    if os.environ.get("PYTHONHASHSEED") in (None, "", "random"):
        missing["PYTHONHASHSEED"] = "0"
    return missing


def restart_reproducibly() -> None:
    """Start this very command again with what is missing in its environment; return if nothing is."""
    missing = missing_environment()
    if missing:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})
