"""Packages whose names are loaded when they are first used (PEP 562).

So a file of the package can be imported without all others, and the command line shows its help at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def on_first_use(package: str, files: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Parameters
    ----------
    package : str
        Its `__name__`.
    files : mapping
        Its public names, and the file or package below it that has each: {"Track": "track"}.

    Returns
    -------
    callable, callable
        To be assigned to `__getattr__, __dir__` in its `__init__.py`.
    """

    def load(name: str) -> Any:
        if name not in files:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{package}.{files[name]}"), name)

    return load, lambda: list(files)
